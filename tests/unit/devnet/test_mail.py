"""The mbox reader, the sample that the package ships, and the search for plaintext."""

from __future__ import annotations

import json
import tomllib
from email import message_from_bytes
from pathlib import Path

import pytest

from mfdb.devnet.demo import mail as mail_module
from mfdb.devnet.demo.mail import read_mbox, secrets_of, split_mbox
from mfdb.devnet.demo.search import Needles
from mfdb.kernel.errors import NotAnMbox

ROOT = Path(__file__).parents[3]
SAMPLE = Path(mail_module.__file__).parent / "sample.mbox"


def test_the_sample_has_what_makes_mail_hard() -> None:
    mails = read_mbox(None)
    raws = [mail.raw for mail in mails]
    assert len(mails) == 12
    assert [mail.position for mail in mails] == list(range(12))
    assert len(set(raws)) == 11, "one is there twice"
    assert sum(b"\r\n" in raw for raw in raws) == 1
    assert sum(b"Message-ID" not in raw for raw in raws) >= 1
    assert sum(mail.subject == "" for mail in mails) == 1
    assert sum("\ufffd" in mail.subject for mail in mails) == 1, "bytes that are no UTF-8"
    assert sum(mail.subject.startswith("=?utf-8?") for mail in mails) == 1
    assert any(b"\n>From " in raw and b"\nFrom here" in raw for raw in raws)
    assert max(len(line) for raw in raws for line in raw.split(b"\n")) > 10_000
    parsed = [message_from_bytes(raw) for raw in raws]
    assert sum(message.is_multipart() for message in parsed) == 1
    assert sum(bool(message.defects) for message in parsed) >= 1
    assert all(json.loads(mail.headers) for mail in mails)


def test_the_bytes_of_all_messages_are_those_between_the_separators() -> None:
    data = SAMPLE.read_bytes()
    assert sum(len(mail.raw) for mail in read_mbox(None)) == len(data) - sum(
        len(line) + 1 for line in data.split(b"\n") if line.startswith(b"From ") and b"@" in line
    )


def test_the_wheel_ships_the_sample() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert "mfdb" in wheel["packages"]
    assert "exclude" not in wheel
    ignored = (ROOT / ".gitignore").read_text("utf-8").split()  # hatchling leaves those out
    assert not any(pattern.endswith("mbox") for pattern in ignored)


def test_a_from_line_parts_messages_only_after_an_empty_line() -> None:
    data = b"From a\nSubject: one\n\nbody\nFrom inside\n\nFrom b\nSubject: two\n\n"
    first, second = split_mbox(data, "box")
    assert first.raw == b"Subject: one\n\nbody\nFrom inside\n\n"
    assert (second.subject, second.sender) == ("two", "")


@pytest.mark.parametrize("data", [b"", b"\n", b"Subject: x\n\n", b"\nFrom a\n\n", b">From a\n"])
def test_what_does_not_begin_with_a_message_is_no_mbox(data: bytes) -> None:
    with pytest.raises(NotAnMbox, match="box") as refusal:
        split_mbox(data, "box")
    assert refusal.value.hint


def test_secrets_are_subjects_addresses_and_body_lines_of_some_length() -> None:
    data = (
        b"From x\nFrom: Ann <ann@long.example>\nSubject: a subject of some length\n\n"
        b"short\r\n  a body line of some length\r\nwrite to carl@other.example\n"
    )
    assert secrets_of(split_mbox(data, "box")) == {
        b"ann@long.example",
        b"a subject of some length",
        b"a body line of some length",
        b"write to carl@other.example",
        b"carl@other.example",
    }


@pytest.mark.parametrize("offset", range(17))
def test_a_secret_is_found_at_every_offset_and_at_both_ends(offset: int) -> None:
    needles = Needles([b"the needle itself", b"another needle"])
    around = b"\x00" * offset
    assert needles.found_in(around + b"the needle itself" + around) == {b"the needle itself"}
    assert needles.found_in(around + b"the needle itsel" + around) == set()


def test_secrets_with_a_common_beginning_are_told_apart(tmp_path: Path) -> None:
    needles = Needles([b"same beginning, one", b"same beginning, two"])
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_bytes(b"...same beginning, two...")
    (tmp_path / "small").write_bytes(b"tiny")
    found = needles.found_under([tmp_path])
    assert list(found) == [b"same beginning, two"]
    with pytest.raises(ValueError, match="8 bytes"):
        Needles([b"short"])
