"""Values of applications to stored ones and back, with every refusal."""

from __future__ import annotations

import datetime
import uuid
from decimal import Decimal

import msgspec
import pytest

from mfdb.kernel.errors import (
    BadType,
    InvalidDefinition,
    InvalidText,
    MfdbError,
    NumberOutOfRange,
    UnknownObject,
    ValueTooLarge,
)
from mfdb.sql.convert import from_stored, parse_text, to_stored, to_text
from mfdb.sql.types import from_storage, make_type, parse_type

BERLIN = datetime.timezone(datetime.timedelta(hours=1))
ADDRESS = "0x" + "ab" * 20
SOME_UUID = uuid.UUID(int=5)


@pytest.mark.parametrize(
    ("kind", "value", "stored", "back"),
    [
        ("SMALLINT", 32767, 32767, 32767),
        ("INTEGER", 5.0, 5, 5),
        ("INTEGER", Decimal(5), 5, 5),
        ("BIGINT", -(2**63), -(2**63), -(2**63)),
        ("REAL", 0.1, 0.10000000149011612, 0.10000000149011612),
        ("DOUBLE PRECISION", 1, 1.0, 1.0),
        ("DECIMAL(5,2)", "1.005", None, None),
        ("DECIMAL(5,2)", Decimal("1.005"), "1.01", Decimal("1.01")),
        ("DECIMAL", 10**30, "1" + "0" * 30, Decimal(10**30)),
        ("DECIMAL", 0.1, "0.1", Decimal("0.1")),
        ("MFT", Decimal("1.50"), "1.5", Decimal("1.5")),
        ("MFT", 1000, "1000", Decimal(1000)),
        ("TEXT", "ä", "ä", "ä"),
        ("VARCHAR(2)", "ab  ", "ab", "ab"),
        ("BOOLEAN", True, True, True),
        ("BYTEA", bytearray(b"x"), b"x", b"x"),
        ("DATE", datetime.date(1970, 1, 2), 1, datetime.date(1970, 1, 2)),
        ("DATE", "1969-12-31", -1, datetime.date(1969, 12, 31)),
        (
            "TIMESTAMP",
            datetime.datetime(1970, 1, 1, 0, 0, 1),
            1_000_000,
            datetime.datetime(1970, 1, 1, 0, 0, 1),
        ),
        (
            "TIMESTAMPTZ",
            datetime.datetime(1970, 1, 1, 1, tzinfo=BERLIN),
            0,
            datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC),
        ),
        ("JSON", {"a": 1}, '{"a":1}', '{"a":1}'),
        ("JSON", "[1]", "[1]", "[1]"),
        ("UUID", SOME_UUID, SOME_UUID.bytes, SOME_UUID),
        ("UUID", str(SOME_UUID), SOME_UUID.bytes, SOME_UUID),
        ("IDENTITY", ADDRESS, b"\xab" * 20, ADDRESS),
        ("IDENTITY", b"\xab" * 20, b"\xab" * 20, ADDRESS),
        ("INTEGER", None, None, None),
    ],
)
def test_there_and_back(kind: str, value: object, stored: object, back: object) -> None:
    if kind.startswith("DECIMAL") and isinstance(value, str):
        with pytest.raises(BadType):
            to_stored(value, parse_type(kind))
        return
    found = to_stored(value, parse_type(kind))
    assert found == stored
    assert type(found) is type(stored)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(found)) == stored
    assert from_stored(found, parse_type(kind)) == back


@pytest.mark.parametrize(
    ("kind", "value", "error"),
    [
        ("SMALLINT", 32768, NumberOutOfRange),
        ("INTEGER", -(2**31) - 1, NumberOutOfRange),
        ("BIGINT", 2**63, NumberOutOfRange),
        ("INTEGER", 1.5, BadType),
        ("INTEGER", float("inf"), BadType),
        ("INTEGER", Decimal("NaN"), BadType),
        ("INTEGER", Decimal("Infinity"), BadType),
        ("INTEGER", Decimal("1e999999"), BadType),
        ("INTEGER", True, BadType),
        ("INTEGER", "5", BadType),
        ("DOUBLE PRECISION", 10**400, NumberOutOfRange),
        ("DOUBLE PRECISION", Decimal("1e400"), NumberOutOfRange),
        ("REAL", 1e39, NumberOutOfRange),
        ("DECIMAL", float("nan"), NumberOutOfRange),
        ("DECIMAL", Decimal("1e1001"), NumberOutOfRange),
        ("DECIMAL(3,1)", Decimal("99.95"), NumberOutOfRange),
        ("MFT", Decimal("1e42"), NumberOutOfRange),
        ("TEXT", 5, BadType),
        ("TEXT", "\ud800", InvalidText),
        ("VARCHAR(2)", "abc", ValueTooLarge),
        ("BOOLEAN", 1, BadType),
        ("BYTEA", "x", BadType),
        ("DATE", datetime.datetime(2026, 1, 1, tzinfo=BERLIN), BadType),
        ("DATE", "yesterday", BadType),
        ("JSON", "{", BadType),
        ("JSON", {"a": object()}, InvalidText),
        ("UUID", b"short", BadType),
        ("IDENTITY", "0x12", BadType),
        ("IDENTITY", object(), BadType),
    ],
)
def test_refused(kind: str, value: object, error: type[MfdbError]) -> None:
    with pytest.raises(error):
        to_stored(value, parse_type(kind))


@pytest.mark.parametrize(("kind", "error"), [("BIGINT", NumberOutOfRange), ("BYTEA", BadType)])
def test_integers_too_long_to_print_are_refused(kind: str, error: type[MfdbError]) -> None:
    with pytest.raises(error, match="bits"):
        to_stored(10**5000, parse_type(kind))


@pytest.mark.parametrize("text", ["SMALLINT", "DECIMAL(10,2)", "VARCHAR(7)", "DOUBLE PRECISION"])
def test_canonical_type_names_read_back(text: str) -> None:
    assert str(parse_type(text)) == text


def test_unknown_types_are_errors_with_a_hint() -> None:
    with pytest.raises(UnknownObject) as caught:
        make_type("interger", (), 7)
    assert caught.value.hint == "did you mean INTEGER?"
    assert caught.value.position == 7
    with pytest.raises(InvalidDefinition):
        make_type("text", (5,))


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("BOOLEAN", "false"),
        ("BIGINT", "-5"),
        ("DECIMAL", "1.50"),
        ("DOUBLE PRECISION", "1.5"),
        ("DOUBLE PRECISION", "NaN"),
        ("DOUBLE PRECISION", "-Infinity"),
        ("BYTEA", "\\x00ff"),
        ("DATE", "2026-01-31"),
        ("TIMESTAMP", "2026-01-31 10:00:00.000001"),
        ("TIMESTAMPTZ", "2026-01-31 10:00:00+00"),
        ("UUID", str(SOME_UUID)),
        ("IDENTITY", ADDRESS),
        ("JSON", '{"a": 1}'),
    ],
)
def test_text_reads_back(kind: str, text: str) -> None:
    assert to_text(parse_text(text, parse_type(kind)), parse_type(kind)) == text


def test_stored_decimals_are_numbers_again() -> None:
    assert from_storage("1.50", parse_type("DECIMAL")) == Decimal("1.5")
