"""Functions of bytes: encodings as texts, single bytes, character sets."""

from __future__ import annotations

import base64

from mfdb.kernel.errors import BadType, DataError, InvalidParameter, InvalidText
from mfdb.sql.overload import Overload
from mfdb.sql.types import BYTEA, INTEGER, TEXT

_LINE = 76
"""Letters of base64 in one line (RFC 2045), as PostgreSQL writes it."""
_ENCODINGS = "hex, base64 and escape are known"
_CHARSETS = {"utf8": "utf-8", "unicode": "utf-8", "latin1": "latin-1", "sqlascii": "ascii",
             "win1252": "cp1252", "latin9": "iso8859-15"}  # fmt: skip


def encoded(data: bytes, how: str) -> str:
    """Return bytes as a text of that encoding.

    Raises:
        BadType: nobody knows it.
    """
    name = how.lower()
    if name == "hex":
        return data.hex()
    if name == "base64":
        text = base64.b64encode(data).decode()
        lines = [text[at : at + _LINE] for at in range(0, len(text), _LINE)]
        return "\n".join([*lines, ""] if lines and len(lines[-1]) == _LINE else lines)
    if name == "escape":
        return "".join(map(_escaped, data))
    raise BadType(f"no encoding {how[:20]!r}", hint=_ENCODINGS)


def _escaped(byte: int) -> str:
    if byte == 0 or byte > 127:
        return f"\\{byte:03o}"
    return "\\\\" if byte == 92 else chr(byte)


def decoded(text: str, how: str) -> bytes:
    """Return the bytes of a text of that encoding.

    Raises:
        BadType: nobody knows it.
        DataError: the text is not written in it.
    """
    name = how.lower()
    try:
        if name == "hex":
            return bytes.fromhex(text)
        if name == "base64":
            return base64.b64decode("".join(text.split()), validate=True)
    except ValueError as error:
        raise DataError(f"the text is no {name}") from error
    if name == "escape":
        return _unescaped(text)
    raise BadType(f"no encoding {how[:20]!r}", hint=_ENCODINGS)


def _unescaped(text: str) -> bytes:
    found = bytearray()
    pieces = text.split("\\")
    found += pieces[0].encode()
    left = iter(pieces[1:])
    for piece in left:
        digits = piece[:3]
        if piece:
            if len(digits) < 3 or not set(digits) <= set("01234567") or digits[0] > "3":
                raise InvalidText("a backslash stands for no byte", hint=r"write \\ or \377")
            found.append(int(digits, 8))
            found += piece[3:].encode()
        else:  # two of them
            found += b"\\" + next(left, "").encode()
    return bytes(found)


def _at(data: bytes, place: int) -> int:
    if not 0 <= place < len(data):
        raise InvalidParameter(
            f"there is no byte {place}", hint=f"bytes count from 0, there are {len(data)}"
        )
    return place


def _with_byte(data: bytes, place: int, byte: int) -> bytes:
    _at(data, place)
    return data[:place] + bytes([byte & 255]) + data[place + 1 :]


def _charset(name: str) -> str:
    found = _CHARSETS.get("".join(filter(str.isalnum, name.lower())))
    if found is None:
        raise InvalidParameter(f"no character set {name[:20]!r}", hint="UTF8 and LATIN1 are known")
    return found


def _from(data: bytes, name: str) -> str:
    try:
        return data.decode(_charset(name))
    except UnicodeDecodeError:
        raise InvalidText(f"the bytes are no text in {name[:20]}") from None


def _to(text: str, name: str) -> bytes:
    try:
        return text.encode(_charset(name))
    except UnicodeEncodeError:
        raise InvalidText(f"{name[:20]} has no such character") from None


BYTE_FUNCTIONS: dict[str, list[Overload]] = {
    "encode": [Overload(("bytes", "text"), TEXT, encoded)],
    "decode": [Overload(("text", "text"), BYTEA, decoded)],
    "get_byte": [Overload(("bytes", "integer"), INTEGER, lambda data, at: data[_at(data, at)])],
    "set_byte": [Overload(("bytes", "integer", "integer"), BYTEA, _with_byte)],
    "convert_from": [Overload(("bytes", "text"), TEXT, _from)],
    "convert_to": [Overload(("text", "text"), BYTEA, _to)],
    "bit_length": [
        Overload(("text",), INTEGER, lambda text: 8 * len(text.encode("utf-8", "surrogatepass"))),
        Overload(("bytes",), INTEGER, lambda data: 8 * len(data)),
    ],
}
