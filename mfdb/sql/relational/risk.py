"""Which expressions may fail for some rows, so that DuckDB must not compute them too early."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.sql.bound import Slot, Strict, Value, WithNulls
from mfdb.sql.relational.tree import RelationField
from mfdb.sql.types import NUMBERS

if TYPE_CHECKING:
    from mfdb.sql.bound import Bound

WIDTH = {"SMALLINT": 2, "INTEGER": 4, "BIGINT": 8}
_SAFE = frozenset(
    {"=", "<>", "<", "<=", ">", ">=", "not", "+", "-", "*", "||", "length", "negative", "cast",
     "like"}
)  # fmt: skip


def is_leaf(node: Bound) -> bool:
    """Return whether an expression may be written twice for nothing."""
    return isinstance(node, RelationField | Value | Slot)


def is_risky(node: Bound) -> bool:
    """Return whether evaluating an expression may fail for some rows."""
    if isinstance(node, WithNulls):
        return True
    if isinstance(node, Strict):
        if node.operator in ("/", "%") or node.operator not in _SAFE:
            return True
        if node.operator == "cast" and not _is_total(node):
            return True
    return any(is_risky(operand) for operand in getattr(node, "operands", ()))


def _is_total(cast: Strict) -> bool:
    """Return whether a cast has a result for every value."""
    source, target = cast.operands[0].type.family, cast.type
    if target.numbers or target.name == "REAL":
        return False
    if target.family == "integer" == source:
        return WIDTH[cast.operands[0].type.name] <= WIDTH[target.name]
    if target.family == "text":
        return True
    return source in NUMBERS[:2] and target.family in NUMBERS[NUMBERS.index(source) :]
