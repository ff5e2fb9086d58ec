"""Messages of an mbox file: a message is its position, its bytes those between the separators.

The format is mboxo (RFC 4155, appendix A): a message begins with a line "From ", at the start of
the file or after an empty line. Nothing is unquoted or repaired, so the bytes can be compared.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from email import policy
from email.parser import BytesParser
from importlib import resources
from typing import TYPE_CHECKING

from mfdb.kernel.errors import NotAnMbox, ValueTooLarge

if TYPE_CHECKING:
    from email.message import Message
    from pathlib import Path

MBOX_BYTES = 256 * 2**20
_SEPARATOR = re.compile(rb"(?:\A|(?<=\n\n)|(?<=\r\n\r\n))From [^\n]*\n")
_ADDRESS = re.compile(rb"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """One message: where it stands in the mbox, its headers as columns, its bytes."""

    position: int
    sender: str
    recipient: str
    subject: str
    sent: str
    headers: str
    raw: bytes


def read_mbox(path: Path | None) -> list[Mail]:
    """Return the messages of an mbox file, or of the sample that the package ships.

    Raises:
        NotAnMbox: there is no such file, or it does not begin with a message.
        ValueTooLarge: it is over 256 MiB.
    """
    if path is None:
        data = resources.files("mfdb.devnet.demo").joinpath("sample.mbox").read_bytes()
    else:
        try:
            if path.stat().st_size > MBOX_BYTES:
                raise ValueTooLarge(
                    f"{path} is over {MBOX_BYTES} bytes", hint="send it in several runs"
                )
            data = path.read_bytes()
        except OSError as error:
            raise NotAnMbox(
                f"{path} cannot be read: {error.strerror}",
                hint="give the path of an mbox file, or none for the sample",
            ) from error
    return split_mbox(data, str(path or "the sample"))


def split_mbox(data: bytes, name: str) -> list[Mail]:
    """Return the messages in the bytes of an mbox.

    Raises:
        NotAnMbox: they do not begin with a message.
    """
    starts = list(_SEPARATOR.finditer(data))
    if not starts or starts[0].start() != 0:
        raise NotAnMbox(
            f"{name} is no mbox: it does not begin with a line 'From '",
            hint="an mbox is what mail programs export as one file for a whole folder",
        )
    ends = [match.start() for match in starts[1:]] + [len(data)]
    raws = [data[match.end() : end] for match, end in zip(starts, ends, strict=True)]
    return [_mail(position, raw) for position, raw in enumerate(raws)]


def _mail(position: int, raw: bytes) -> Mail:
    parsed = BytesParser(policy=policy.compat32).parsebytes(raw, headersonly=True)
    headers = [[_text(name), _text(value)] for name, value in parsed.items()]
    return Mail(
        position=position,
        sender=_header(parsed, "From"),
        recipient=_header(parsed, "To"),
        subject=_header(parsed, "Subject"),
        sent=_header(parsed, "Date"),
        headers=json.dumps(headers),
        raw=raw,
    )


def _header(message: Message, name: str) -> str:
    value = message.get(name)
    return "" if value is None else _text(value)


def _text(value: object) -> str:
    """Return a header as valid text: bytes that are no UTF-8 become replacement characters."""
    return str(value).encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def secrets_of(mails: list[Mail], least_bytes: int = 12) -> set[bytes]:
    """Return what no provider may be able to read: subjects, addresses and body lines.

    Of at least `least_bytes` bytes, so that chance finds none.
    """
    found: set[bytes] = set()
    for mail in mails:
        found.add(mail.subject.encode())
        found.update(_ADDRESS.findall(mail.raw))
        _, _, body = mail.raw.replace(b"\r\n", b"\n").partition(b"\n\n")
        found.update(line.strip() for line in body.split(b"\n"))
    return {secret for secret in found if len(secret) >= least_bytes}
