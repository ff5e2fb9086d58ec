"""Values as text: exact for programs, safe for people."""

from __future__ import annotations

import datetime
import json
import uuid
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shell.values import exact, json_text, safe, shown, width

MOMENT = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("value", "person", "program", "json_form"),
    [
        (None, "NULL", "", "null"),
        (True, "true", "true", "true"),
        (10**30, "1" + "0" * 30, "1" + "0" * 30, "1" + "0" * 30),
        (1.5, "1.5", "1.5", "1.5"),
        (float("nan"), "nan", "nan", '"nan"'),
        (Decimal("1.10"), "1.10", "1.10", '"1.10"'),
        (Decimal("3E-7"), "0.0000003", "0.0000003", '"0.0000003"'),
        ("a\nb", "a\\nb", "a\nb", '"a\\nb"'),
        (b"\x01\xff", "\\x01ff", "\\x01ff", '"Af8="'),
        (MOMENT, "2026-01-02T03:04:05+00:00", "2026-01-02T03:04:05+00:00", None),
        (uuid.UUID(int=1), str(uuid.UUID(int=1)), str(uuid.UUID(int=1)), None),
        ({"a": [b"\x01"]}, '{"a": ["AQ=="]}', '{"a": ["AQ=="]}', '{"a": ["AQ=="]}'),
    ],
)
def test_forms(value: object, person: str, program: str, json_form: str | None) -> None:
    assert shown(value) == person
    assert exact(value) == program
    assert json_text(value) == (json_form or json.dumps(program))


def test_a_long_blob_is_shortened_for_people_only() -> None:
    assert shown(bytes(2000)) == "\\x" + "00" * 16 + "… (2,000 bytes)"
    assert len(exact(bytes(2000))) == 4002


@given(st.text())
def test_safe_text_cannot_drive_a_terminal(text: str) -> None:
    made = safe(text)
    assert not any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in made)
    assert not any(letter in made for letter in "\u202e\u2066\u2028")
    made.encode()  # no lone surrogate is left


@given(st.text(alphabet=st.characters(codec="ascii", exclude_categories=["Cc"])))
def test_plain_text_stays_as_it_is(text: str) -> None:
    assert safe(text) == text
    assert width(text) == len(text)


def test_wide_letters_take_two_columns() -> None:
    assert width("名前") == 4
    assert width("e\u0301") == 1
