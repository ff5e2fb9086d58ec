"""Binding arithmetic: of numbers, of days, of moments and intervals."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from mfdb.kernel.errors import UnknownFunction
from mfdb.sql.arrays import element_of, key_of
from mfdb.sql.coerce import ParameterList, coerce, settle, strict, unify
from mfdb.sql.functions import NEGATE, NUMBER_OPERATORS, RESULT_OF
from mfdb.sql.interval import length
from mfdb.sql.interval_functions import OPERATORS
from mfdb.sql.interval_functions import negated as backwards
from mfdb.sql.json_making import without
from mfdb.sql.types import (
    DATE,
    DECIMAL,
    DOUBLE,
    INTEGER,
    INTERVAL,
    NUMBERS,
    TEXT,
    TIME,
    TIMESTAMP,
    TIMESTAMPTZ,
    SqlType,
    fit,
)

if TYPE_CHECKING:
    from mfdb.sql.bound import Bound

_CLOCKS = frozenset({"timestamp", "timestamptz", "time", "interval"})
"""Families whose arithmetic gives or takes intervals."""
_TYPES = {
    "date": DATE,
    "timestamp": TIMESTAMP,
    "timestamptz": TIMESTAMPTZ,
    "time": TIME,
    "interval": INTERVAL,
    "float": DOUBLE,
}


def no_operator(sign: str, left: SqlType, right: SqlType | None, position: int) -> UnknownFunction:
    """Return the error for an operator that takes no such operands."""
    shown = f"{left} {sign} {right}" if right is not None else f"{sign} {left}"
    return UnknownFunction(
        f"there is no operator {shown}",
        hint="cast the operands: CAST(... AS ...)",
        position=position,
    )


def compared(node: Bound) -> Bound:
    """Return what an operand is compared by: the length of intervals, the elements of arrays."""
    if node.type.family == "array":
        call = partial(key_of, element=element_of(node.type))
        return strict("key of array", (node,), TEXT, call, node.position)
    if node.type.family != "interval":
        return node
    return strict("length_of", (node,), TEXT, length, node.position)


def ordered(node: Bound) -> Bound:
    """Return what rows are ordered by: intervals are in order as they are."""
    return compared(node) if node.type.family == "array" else node


def signed(sign: str, operand: Bound, parameters: ParameterList, position: int) -> Bound:
    """Return `+x` or `-x`.

    Raises:
        UnknownFunction: it is nothing that has a sign.
    """
    operand = settle(operand, parameters, DECIMAL)
    family = operand.type.family
    if family == "interval" and sign == "-":
        return strict("backwards", (operand,), INTERVAL, backwards, position)
    if family not in NUMBERS:
        raise no_operator(sign, operand.type, None, position)
    if sign == "+":
        return operand
    return strict("negative", (operand,), RESULT_OF[family], NEGATE[family], position)


def arithmetic(
    sign: str, left: Bound, right: Bound, parameters: ParameterList, position: int
) -> Bound:
    """Return a sum, difference, product and the like of two operands.

    Raises:
        UnknownFunction: there is no such operator.
        BadType, InvalidText: an operand does not suit it.
    """
    families = {left.type.family, right.type.family}
    if left.type.family == "json" and sign == "-":
        kind = right.type if right.type.family == "integer" else TEXT
        right = coerce(right, kind, parameters, what="-")
        return strict("without", (left, right), left.type, without, position)
    if not families.isdisjoint(_CLOCKS):
        return _time_arithmetic(sign, left, right, parameters, position)
    if "date" in families and families <= {"date", "integer", "unknown"}:
        return _date_arithmetic(sign, left, right, parameters, position)
    if not families <= {*NUMBERS, "unknown"}:
        raise no_operator(sign, left.type, right.type, position)
    if families == {"unknown"}:
        left, right = (settle(side, parameters, DECIMAL) for side in (left, right))
    (left, right), kind = unify((left, right), parameters, position, sign)
    if sign == "^" and kind.family == "integer":
        left, right = (coerce(side, DOUBLE, parameters) for side in (left, right))
        kind = DOUBLE
    call = NUMBER_OPERATORS[sign].get(kind.family)
    if call is None:
        raise no_operator(sign, left.type, right.type, position)
    left, right = (coerce(side, RESULT_OF[kind.family], parameters) for side in (left, right))
    return strict(sign, (left, right), RESULT_OF[kind.family], call, position)


def _date_arithmetic(
    sign: str, left: Bound, right: Bound, parameters: ParameterList, position: int
) -> Bound:
    if left.type.family == "date" and sign == "-" and right.type.family != "integer":
        right = coerce(right, DATE, parameters)
        return strict("-", (left, right), INTEGER, lambda late, early: late - early, position)
    if sign in ("+", "-") and (left.type.family == "date" or sign == "+"):
        day, count = (left, right) if left.type.family == "date" else (right, left)
        count = coerce(count, INTEGER, parameters)
        factor = 1 if sign == "+" else -1
        return strict(sign, (day, count), DATE, lambda a, b: fit(a + factor * b, DATE), position)
    raise no_operator(sign, left.type, right.type, position)


def _time_arithmetic(
    sign: str, left: Bound, right: Bound, parameters: ParameterList, position: int
) -> Bound:
    """Arithmetic with moments, times of day and intervals."""
    families = _meant(sign, left.type.family, right.type.family)
    found = OPERATORS.get((families[0], sign, families[1]))
    if found is None:
        raise no_operator(sign, left.type, right.type, position)
    kind, call = found
    operands = tuple(
        coerce(side, _TYPES[family], parameters)
        for side, family in zip((left, right), families, strict=True)
    )
    return strict(f"{sign} of times", operands, kind, call, position)


def _meant(sign: str, left: str, right: str) -> tuple[str, str]:
    """Return the families in which two operands meet.

    A literal is an interval beside one and behind +, else what the other side is, as in PostgreSQL;
    of two kinds of moments the wider one counts, numbers become floats.
    """
    if left in NUMBERS or right in NUMBERS:
        return ("float" if left in NUMBERS else left), ("float" if right in NUMBERS else right)
    if "unknown" in (left, right):
        known = right if left == "unknown" else left
        other = known if sign == "-" and known != "interval" else "interval"
        return (other, known) if left == "unknown" else (known, other)
    moments = [kind for kind in ("timestamptz", "timestamp") if kind in (left, right)]
    if sign == "-" and moments and {left, right} <= {"date", "timestamp", "timestamptz"}:
        return moments[0], moments[0]
    return left, right
