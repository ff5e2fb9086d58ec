"""How values travel through DuckDB: six physical kinds, and the encoding of exact numbers.

Times are integers (days, microseconds), identities and UUIDs bytes, JSON text, as in stored rows.
A DECIMAL whose digits are known to fit is DuckDB's own; every other exact number is a text that
sorts as the number does, with its scale behind a `!`, so that 1.50 comes back as 1.50.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from mfdb.sql.types import EXACT

if TYPE_CHECKING:
    from mfdb.sql.types import SqlType

WIDEST = 38
"""Most digits of DuckDB's own DECIMAL."""
_OFFSET = 50_000
_COMPLEMENT = str.maketrans("0123456789", "9876543210")


class Phys(NamedTuple):
    """A physical kind; `precision` and `scale` are those of DEC."""

    kind: str
    precision: int = 0
    scale: int = 0

    @property
    def sql(self) -> str:
        """The name of DuckDB's type."""
        if self.kind == "DEC":
            return f"DECIMAL({self.precision},{self.scale})"
        return "VARCHAR" if self.kind == "DTEXT" else self.kind


BIGINT, DOUBLE, VARCHAR = Phys("BIGINT"), Phys("DOUBLE"), Phys("VARCHAR")
BOOLEAN, BLOB, DTEXT = Phys("BOOLEAN"), Phys("BLOB"), Phys("DTEXT")
_OF_FAMILY = {
    "integer": BIGINT,
    "date": BIGINT,
    "timestamp": BIGINT,
    "timestamptz": BIGINT,
    "time": BIGINT,
    "interval": VARCHAR,
    "float": DOUBLE,
    "text": VARCHAR,
    "json": VARCHAR,
    "unknown": VARCHAR,
    "boolean": BOOLEAN,
    "bytes": BLOB,
    "uuid": BLOB,
    "identity": BLOB,
    "array": BLOB,
    "decimal": DTEXT,
}


def physical(kind: SqlType) -> Phys:
    """Return how a column of a type travels."""
    if kind.name == "DECIMAL" and kind.numbers and kind.numbers[0] <= WIDEST:
        return Phys("DEC", kind.numbers[0], (*kind.numbers, 0)[1])
    return _OF_FAMILY[kind.family]


def native(integers: int, scale: int) -> Phys | None:
    """Return DuckDB's DECIMAL with so many digits on both sides of the point, if it has one."""
    precision = max(integers + scale, 1)
    return Phys("DEC", precision, scale) if precision <= WIDEST else None


def shared(first: Phys, second: Phys) -> Phys:
    """Return the kind in which values of both can be compared."""
    if first.kind not in ("DEC", "DTEXT"):
        return first
    if "DTEXT" in (first.kind, second.kind):
        return DTEXT
    integers = max(first.precision - first.scale, second.precision - second.scale)
    return native(integers, max(first.scale, second.scale)) or DTEXT


def together(first: Phys, second: Phys) -> Phys:
    """Return the kind that holds values of both as they are, 2 beside 1.50."""
    if first.kind == "DEC" == second.kind and first.scale != second.scale:
        return DTEXT
    return shared(first, second)


def encode_decimal(value: Decimal) -> str:
    """Return the text of an exact number; texts compare as the numbers do."""
    scale = max(-int(value.as_tuple().exponent), 0)
    if not value:
        return f"1!{scale}"
    plain = value.normalize(EXACT)
    digits = "".join(map(str, plain.as_tuple().digits))
    body = f"{plain.adjusted() + _OFFSET:06d}{digits}"
    if plain > 0:
        return f"2{body}!{scale}"
    return f"0{body.translate(_COMPLEMENT)}~!{scale}"


def decode_decimal(text: str) -> Decimal:
    """Return the number that a text encodes, with its scale where it was kept."""
    body, _, scale = text.partition("!")
    if body == "1":
        value = Decimal(0)
    else:
        negative = body[0] == "0"
        digits = body[1:].rstrip("~")
        digits = digits.translate(_COMPLEMENT) if negative else digits
        exponent = int(digits[:6]) - _OFFSET - (len(digits) - 7)
        value = Decimal((int(negative), tuple(map(int, digits[6:])), exponent))
    if scale:
        return value.quantize(Decimal(1).scaleb(-int(scale)), context=EXACT)
    return value if int(value.as_tuple().exponent) <= 0 else value.quantize(1, context=EXACT)
