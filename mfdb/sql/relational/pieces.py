"""Pieces of DuckDB's SQL: an expression's text with how its value travels, and some arithmetic."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mfdb.sql.relational import physical as ph
from mfdb.sql.relational.physical import Phys, native, physical

if TYPE_CHECKING:
    from mfdb.sql.bound import Bound

SMALL = 18
"""Most digits of a DECIMAL that DuckDB keeps in 64 bits."""


class Piece(NamedTuple):
    """SQL of one expression, and how its value travels."""

    sql: str
    phys: Phys


def keyed(sql: str, phys: Phys) -> str:
    """Return what is compared: of an exact number in text, all but its scale."""
    return f"split_part({sql}, '!', 1)" if phys.kind == "DTEXT" else sql


def loose(node: Bound) -> Phys:
    """Our own functions give exact numbers as texts: nothing bounds their digits."""
    return ph.DTEXT if node.type.family == "decimal" else physical(node.type)


def exact(sign: str, left: Piece, right: Piece) -> Piece | None:
    """Return arithmetic of exact numbers, None where the result has too many digits for DuckDB."""
    one, two = left.phys, right.phys
    if sign == "*":
        phys = native(one.precision + two.precision - one.scale - two.scale, one.scale + two.scale)
    else:
        integers = max(one.precision - one.scale, two.precision - two.scale) + 1
        phys = native(integers, max(one.scale, two.scale))
    if phys is None:
        return None
    first = left.sql
    if phys.precision > SMALL:
        # DuckDB computes in the width of the operands, not of the result.
        first = f"CAST({first} AS DECIMAL({phys.precision},{one.scale}))"
    return Piece(f"CAST(({first} {sign} {right.sql}) AS {phys.sql})", phys)


def guarded_float(sign: str, left: str, right: str) -> Piece:
    """Finite numbers never give infinity: that is an error, raised by the row it happens in."""
    result = f"({left} {sign} {right})"
    overflow = f"isinf({result}) AND isfinite({left}) AND isfinite({right})"
    return Piece(f"(CASE WHEN {overflow} THEN error('22003') ELSE {result} END)", ph.DOUBLE)
