"""Which aggregates there are, what they take and what they give."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.kernel.errors import UngroupedColumn, UnknownFunction
from mfdb.sql.arrays import array_of
from mfdb.sql.bind_json import json_operands
from mfdb.sql.coerce import coerce
from mfdb.sql.functions import AGGREGATES, JSON_AGGREGATES, REGRESSIONS, RESULT_OF, SPREADS
from mfdb.sql.types import BIGINT, BOOLEAN, DECIMAL, DOUBLE, JSON, NUMBERS, TEXT, SqlType

if TYPE_CHECKING:
    from mfdb.sql import statement as st
    from mfdb.sql.bound import Bound, Sort
    from mfdb.sql.coerce import ParameterList


_TWO = REGRESSIONS | {"string_agg", "json_object_agg", "jsonb_object_agg"}


def is_aggregate(name: str) -> bool:
    """Return whether a function sums rows up."""
    return name in AGGREGATES


def check_order(node: st.Call, operands: tuple[Bound, ...], order_by: tuple[Sort, ...]) -> None:
    """Refuse an order of distinct values by anything but themselves.

    Raises:
        UngroupedColumn: it is one.
    """
    from mfdb.sql.relational.tree import shape

    if not node.distinct:
        return
    if any(shape(sort.expression) != shape(operands[0]) for sort in order_by):
        raise UngroupedColumn(
            "with DISTINCT, an aggregate is ordered by its argument only", position=node.position
        )


def aggregate_type(node: st.Call, operands: tuple[Bound, ...]) -> SqlType:
    """Return the type of an aggregate's result.

    Raises:
        UnknownFunction: it takes other arguments.
    """
    wanted = 2 if node.name in _TWO else 1
    if node.star:
        wanted = 0
    if len(operands) != wanted or (node.star and node.name != "count"):
        shown = "one argument" if wanted < 2 else "two arguments"
        raise UnknownFunction(f"{node.name} takes {shown}", position=node.position)
    if node.name == "count":
        return BIGINT
    kind = operands[0].type
    if node.name in JSON_AGGREGATES:
        return JSON
    if node.name in REGRESSIONS:
        return _of_pairs(node, operands)
    if node.name == "array_agg":
        return array_of(kind, node.position)
    if node.name not in _OF_FAMILY:
        return _numeric_aggregate(node, kind)
    family, result = _OF_FAMILY[node.name]
    if any(operand.type.family != family for operand in operands):
        raise _no_aggregate(node, kind)
    return result or kind


def _of_pairs(node: st.Call, operands: tuple[Bound, ...]) -> SqlType:
    for operand in operands:
        if operand.type.family not in NUMBERS:
            raise _no_aggregate(node, operand.type)
    return BIGINT if node.name == "regr_count" else DOUBLE


def taken(
    node: st.Call, operands: tuple[Bound, ...], parameters: ParameterList
) -> tuple[Bound, ...]:
    """Return the operands of an aggregate as it takes them: pairs of numbers as floats."""
    if node.name not in REGRESSIONS:
        return json_operands(node, operands, parameters)
    return tuple(coerce(operand, DOUBLE, parameters) for operand in operands)


_OF_FAMILY: dict[str, tuple[str, SqlType | None]] = {
    **dict.fromkeys(("bit_and", "bit_or", "bit_xor"), ("integer", None)),
    **dict.fromkeys(("bool_and", "bool_or", "every"), ("boolean", BOOLEAN)),
    "string_agg": ("text", TEXT),
}
"""Aggregates that take one family of types: which, and what they give (None: what they take)."""


def _numeric_aggregate(node: st.Call, kind: SqlType) -> SqlType:
    if node.name in ("min", "max"):
        if kind.family in ("json", "boolean", "array"):
            raise _no_aggregate(node, kind)
        return kind
    if kind.family == "interval" and node.name in ("sum", "avg"):
        return kind
    if kind.family not in NUMBERS:
        raise _no_aggregate(node, kind)
    if kind.family == "integer":
        if node.name in SPREADS:
            return DECIMAL
        return BIGINT if node.name == "sum" and kind.name != "BIGINT" else DECIMAL
    return RESULT_OF[kind.family]


def _no_aggregate(node: st.Call, kind: SqlType) -> UnknownFunction:
    return UnknownFunction(f"there is no {node.name}({kind})", position=node.position)
