"""Column types: their names, ranges, and the three forms of a value.

- *stored*: what stands in rows: None, bool, int, float, str, bytes (plain MessagePack);
- *working*: what expressions compute with: the same, but DECIMAL and MFT are `Decimal`;
- *Python*: what applications pass and get: also date, datetime, UUID, Decimal, "0x…" addresses.

DATE is stored as days, TIMESTAMP and TIMESTAMPTZ as microseconds since 1970 (UTC), TIME as
microseconds since midnight, INTERVAL as the text of `mfdb.sql.interval`, DECIMAL and MFT as their
text, UUID as 16 bytes, IDENTITY as 20 bytes, JSON as text, arrays as `mfdb.sql.arrays` says.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from typing import Final

import msgspec

from mfdb.kernel.errors import InvalidDefinition, NumberOutOfRange, UnknownObject, ValueTooLarge
from mfdb.kernel.nearest import nearest_hint

Scalar = bool | int | float | str | bytes | Decimal | None
"""A working value."""
StoredScalar = bool | int | float | str | bytes | None

NUMERIC_DIGITS: Final = 1_000
SINGLE_BITS: Final = 24
"""FLOAT(p) of so many binary digits is a REAL."""
EXACT = Context(prec=2_200, Emax=5_000, Emin=-5_000, rounding=ROUND_HALF_UP)
"""Decimal arithmetic: enough digits that sums and products of what may be stored are exact."""


class SqlType(msgspec.Struct, frozen=True):
    """A type: `name` is canonical, `family` what it computes like, `numbers` what is in ( )."""

    name: str
    family: str
    numbers: tuple[int, ...] = ()

    def __str__(self) -> str:
        """Return the canonical text, which `parse_type` reads back."""
        if self.family == "array":
            return f"{SqlType(self.name.removesuffix('[]'), '', self.numbers)}[]"
        return self.name + (f"({','.join(map(str, self.numbers))})" if self.numbers else "")


SMALLINT: Final = SqlType("SMALLINT", "integer")
INTEGER: Final = SqlType("INTEGER", "integer")
BIGINT: Final = SqlType("BIGINT", "integer")
REAL: Final = SqlType("REAL", "float")
DOUBLE: Final = SqlType("DOUBLE PRECISION", "float")
DECIMAL: Final = SqlType("DECIMAL", "decimal")
MFT: Final = SqlType("MFT", "decimal")
TEXT: Final = SqlType("TEXT", "text")
VARCHAR: Final = SqlType("VARCHAR", "text")
BOOLEAN: Final = SqlType("BOOLEAN", "boolean")
BYTEA: Final = SqlType("BYTEA", "bytes")
DATE: Final = SqlType("DATE", "date")
TIMESTAMP: Final = SqlType("TIMESTAMP", "timestamp")
TIMESTAMPTZ: Final = SqlType("TIMESTAMPTZ", "timestamptz")
TIME: Final = SqlType("TIME", "time")
INTERVAL: Final = SqlType("INTERVAL", "interval")
JSON: Final = SqlType("JSON", "json")
UUID: Final = SqlType("UUID", "uuid")
IDENTITY: Final = SqlType("IDENTITY", "identity")
UNKNOWN: Final = SqlType("UNKNOWN", "unknown")
"""The type of NULL, of a string literal and of a parameter until their place gives them one."""

_TYPES = (
    SMALLINT, INTEGER, BIGINT, REAL, DOUBLE, DECIMAL, MFT, TEXT, VARCHAR, BOOLEAN, BYTEA, DATE,
    TIMESTAMP, TIMESTAMPTZ, TIME, INTERVAL, JSON, UUID, IDENTITY,
)  # fmt: skip
NAMES: Final[dict[str, SqlType]] = {kind.name.lower(): kind for kind in _TYPES} | {
    "int2": SMALLINT,
    "int": INTEGER,
    "int4": INTEGER,
    "int8": BIGINT,
    "float4": REAL,
    "double": DOUBLE,
    "float": DOUBLE,
    "float8": DOUBLE,
    "numeric": DECIMAL,
    "dec": DECIMAL,
    "char": VARCHAR,
    "character": VARCHAR,
    "character varying": VARCHAR,
    "bool": BOOLEAN,
    "blob": BYTEA,
    "timestamp without time zone": TIMESTAMP,
    "timestamp with time zone": TIMESTAMPTZ,
    "time without time zone": TIME,
    "jsonb": JSON,
}
RANGES: Final[dict[str, range]] = {
    "SMALLINT": range(-(2**15), 2**15),
    "INTEGER": range(-(2**31), 2**31),
    "BIGINT": range(-(2**63), 2**63),
    "DATE": range(-719_162, 2_932_897),
    "TIME": range(86_400_000_000),
    "TIMESTAMP": range(-62_135_596_800_000_000, 253_402_300_800_000_000),
    "TIMESTAMPTZ": range(-62_135_596_800_000_000, 253_402_300_800_000_000),
}
"""Stored integers of a type; times run from the year 1 to the year 9999."""
_WIDER = {
    "integer": "use a wider type",
    "date": "dates run from 0001-01-01 to 9999-12-31",
    "timestamp": "times run from the year 1 to the year 9999",
    "timestamptz": "times run from the year 1 to the year 9999",
    "time": "times of day run from 00:00:00 to 23:59:59.999999",
}
KEYABLE: Final = frozenset(
    {"integer", "text", "boolean", "bytes", "date", "timestamp", "timestamptz", "time", "uuid",
     "identity"}
)  # fmt: skip
"""Families whose stored values compare as their working values do, so that keys can find them."""
NUMBERS: Final = ("integer", "decimal", "float")
"""Families of numbers, each widening to the next."""
TIMES: Final = ("date", "timestamp", "timestamptz")

_PREFIXES = {
    "b": "there are no bit strings: x'ff' is a BYTEA",
    "n": "every text is Unicode: write '...' without the N",
}
"""Letters before a string that say nothing here, and read as a type: `N'a'` as `DATE '...'`."""


def make_type(name: str, numbers: tuple[int, ...] = (), position: int | None = None) -> SqlType:
    """Return the type of a name as written in a statement or manifest.

    Raises:
        UnknownObject: there is none of that name.
        InvalidDefinition: the numbers in parentheses do not suit it.
    """
    if name.endswith("[]"):
        element = make_type(name.removesuffix("[]"), numbers, position)
        return SqlType(f"{element.name}[]", "array", element.numbers)
    kind = NAMES.get(name.lower())
    if kind is None:
        hint = nearest_hint(name.lower(), NAMES, f"types: {_listed()}", shown=str.upper)
        hint = _PREFIXES.get(name.lower(), hint)
        from mfdb.sql.elsewhere import TYPES

        if name.lower() in TYPES:
            hint = f"here that is {TYPES[name.lower()]}"
        raise UnknownObject(f"there is no type {name}", hint=hint, position=position)
    numbers = _implied(name.lower(), numbers)
    if numbers:
        _check_numbers(kind, numbers, position)
    if name.lower() == "float" and numbers:
        return REAL if numbers[0] <= SINGLE_BITS else DOUBLE
    return SqlType(kind.name, kind.family, numbers)


def _implied(name: str, numbers: tuple[int, ...]) -> tuple[int, ...]:
    """CHAR is CHAR(1), which holds up to one character: nothing is padded here."""
    return (1,) if name in ("char", "character") and not numbers else numbers


def _listed() -> str:
    return ", ".join(kind.name for kind in _TYPES)


def _check_numbers(kind: SqlType, numbers: tuple[int, ...], position: int | None) -> None:
    if kind == DECIMAL:
        precision, scale = (*numbers, 0)[:2]
        if 1 <= precision <= NUMERIC_DIGITS and 0 <= scale <= precision:
            return
        reason = f"DECIMAL(p, s) needs 1 <= p <= {NUMERIC_DIGITS} and 0 <= s <= p"
    elif kind == VARCHAR:
        if len(numbers) == 1 and numbers[0] >= 1:
            return
        reason = "VARCHAR(n) needs one n >= 1"
    elif kind == DOUBLE and len(numbers) == 1 and 1 <= numbers[0] <= 53:
        return
    else:
        reason = f"{kind.name} takes no such numbers"
    raise InvalidDefinition(reason, position=position)


def parse_type(text: str) -> SqlType:
    """Return the type that a canonical text names (the inverse of `str`)."""
    if text.endswith("[]"):
        element = parse_type(text.removesuffix("[]"))
        return SqlType(f"{element.name}[]", "array", element.numbers)
    name, _, numbers = text.partition("(")
    return make_type(name, tuple(int(part) for part in numbers.rstrip(")").split(",") if part))


def fit(value: Scalar, kind: SqlType) -> Scalar:
    """Return a working value of the right family as it may stand in a column of this type.

    Raises:
        NumberOutOfRange: a number is beyond the type's range.
        ValueTooLarge: a text is longer than its VARCHAR.
    """
    if value is None:
        return None
    if kind.name in RANGES:
        if value not in RANGES[kind.name]:
            raise NumberOutOfRange(
                f"{cut_short(value)} is out of the range of {kind}",
                hint=_WIDER.get(kind.family, ""),
            )
        return value
    if isinstance(value, Decimal):
        return _fit_decimal(value, kind)
    if kind.name == "REAL" and isinstance(value, float):
        return _to_single(value)
    if kind.name == "VARCHAR" and kind.numbers and isinstance(value, str):
        return _fit_text(value, kind.numbers[0])
    return value


def _fit_text(value: str, limit: int) -> str:
    """Only spaces may be cut, as in PostgreSQL."""
    if len(value) <= limit:
        return value
    if value[limit:].strip(" "):
        raise ValueTooLarge(f"a text of {len(value)} characters is too long for VARCHAR({limit})")
    return value[:limit]


def _to_single(value: float) -> float:
    import struct

    try:
        (single,) = struct.unpack("<f", struct.pack("<f", value))
    except OverflowError:
        raise NumberOutOfRange(f"{value} is out of the range of REAL") from None
    return float(single)


def _fit_decimal(value: Decimal, kind: SqlType) -> Decimal:
    if kind.name == "MFT":
        precision, scale = 60, 18
    elif kind.numbers:
        precision, scale = (*kind.numbers, 0)[:2]
    else:
        return bounded(value)
    try:
        rounded = value.quantize(Decimal(1).scaleb(-scale), context=EXACT)
    except InvalidOperation:
        rounded = None
    if rounded is None or (rounded and rounded.adjusted() >= precision - scale):
        raise NumberOutOfRange(
            f"{cut_short(value)} is out of the range of {kind}",
            hint=f"it holds {precision - scale} digits before the point",
        )
    if kind.name == "MFT":
        return rounded.normalize(EXACT)
    return rounded


def bounded(value: Decimal) -> Decimal:
    """Return a DECIMAL of at most `NUMERIC_DIGITS` digits on each side of the point."""
    if not value.is_finite() or (value and abs(value.adjusted()) > NUMERIC_DIGITS):
        raise NumberOutOfRange(f"{cut_short(value)} is out of the range of DECIMAL")
    if not value and value.is_signed():
        return abs(value)  # there is no negative zero among exact numbers
    if int(value.as_tuple().exponent) > 0:
        return value.quantize(Decimal(1), context=EXACT)
    if -int(value.as_tuple().exponent) > NUMERIC_DIGITS:
        return value.quantize(Decimal(1).scaleb(-NUMERIC_DIGITS), context=EXACT)
    return value


def cut_short(value: object) -> str:
    """Return a value as an error may show it, however large it is."""
    if isinstance(value, int) and value.bit_length() > 1_000:
        return f"an integer of {value.bit_length()} bits"
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "..."


def to_storage(value: Scalar) -> StoredScalar:
    """Return the stored form of a working value."""
    return f"{value:f}" if isinstance(value, Decimal) else value


def from_storage(value: StoredScalar, kind: SqlType) -> Scalar:
    """Return the working form of a stored value."""
    if kind.family == "decimal" and value is not None:
        return Decimal(value if isinstance(value, str) else str(value))
    return value
