"""Which rows a statement has to look at: what its WHERE says of the primary key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.sql.bind_expression import is_free_of_rows
from mfdb.sql.bound import Bound, Field, KeyPart, Lazy, Strict
from mfdb.sql.types import KEYABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mfdb.sql.catalogue import TableSchema

_TURNED = {"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_Condition = tuple[str, Bound]


def key_access(where: Bound | None, table: TableSchema) -> KeyPart | None:
    """Return how the key narrows the search, or None if every row has to be looked at.

    It may give too many rows, never too few: the whole WHERE is evaluated on each of them.
    """
    if where is None or not table.key:
        return None
    said = _conditions(where, table)
    equal: list[Bound] = []
    for place in table.key:
        value = next((bound for sign, bound in said.get(place, ()) if sign == "="), None)
        if value is None:
            part = _after_equal(tuple(equal), said.get(place, []))
            return part or _choices(where, table)
        equal.append(value)
    return KeyPart(equal=tuple(equal), whole=True)


def _after_equal(equal: tuple[Bound, ...], said: list[_Condition]) -> KeyPart | None:
    low = next(((sign, bound) for sign, bound in said if sign in (">", ">=")), None)
    high = next(((sign, bound) for sign, bound in said if sign in ("<", "<=")), None)
    if not equal and low is None and high is None:
        return None
    return KeyPart(
        equal=equal,
        low=low[1] if low else None,
        low_open=bool(low and low[0] == ">"),
        high=high[1] if high else None,
        high_open=bool(high and high[0] == "<"),
    )


def _conditions(where: Bound, table: TableSchema) -> dict[int, list[_Condition]]:
    said: dict[int, list[_Condition]] = {}
    for part in _conjuncts(where):
        if not isinstance(part, Strict) or part.operator not in _TURNED:
            continue
        left, right = part.operands
        if (place := _key_place(left, table)) is not None and _comparable(left, right):
            said.setdefault(place, []).append((part.operator, right))
        elif (place := _key_place(right, table)) is not None and _comparable(right, left):
            said.setdefault(place, []).append((_TURNED[part.operator], left))
    return said


def _conjuncts(where: Bound) -> Iterator[Bound]:
    if isinstance(where, Lazy) and where.operator == "and":
        for operand in where.operands:
            yield from _conjuncts(operand)
    else:
        yield where


def _key_place(node: Bound, table: TableSchema) -> int | None:
    if isinstance(node, Field) and node.index in table.key and node.type.family in KEYABLE:
        return node.index
    return None


def _comparable(field: Bound, other: Bound) -> bool:
    return other.type.family == field.type.family and is_free_of_rows(other)


def _choices(where: Bound, table: TableSchema) -> KeyPart | None:
    """Return the look-ups for `key IN (...)` on a key of one column."""
    if len(table.key) != 1:
        return None
    for part in _conjuncts(where):
        if isinstance(part, Lazy) and part.operator == "in":
            subject, *choices = part.operands
            if _key_place(subject, table) is not None and all(
                _comparable(subject, choice) for choice in choices
            ):
                return KeyPart(choices=tuple(choices))
    return None
