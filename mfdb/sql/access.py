"""Which rows a statement has to look at: what its WHERE says of a key or index, and in what order.

The primary key and every index are candidates. One that fixes all its columns wins; then the more
columns are fixed or bounded the better; then one that gives the order that is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mfdb.sql.bind_expression import is_free_of_rows
from mfdb.sql.bound import Bound, Field, KeyPart, Lazy, Sort, Strict
from mfdb.sql.types import KEYABLE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mfdb.sql.catalogue import IndexSchema, TableSchema

_TURNED = {"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_Condition = tuple[str, Bound]
_FOUND = KEYABLE | {"float"}
"""Families whose stored values an index finds by their working values."""
_WHOLE, _EQUAL, _CHOICES, _RANGE, _ORDER = 1_000, 100, 90, 50, 1


@dataclass(frozen=True, slots=True)
class _Order:
    """A primary key (index None) or an index: the places of its columns, with "descending"."""

    index: IndexSchema | None
    places: tuple[tuple[int, bool], ...]
    is_unique: bool
    is_ordered: bool = True


def key_access(
    where: Bound | None, table: TableSchema, order_by: Sequence[Sort] = (), *, limited: bool = False
) -> KeyPart | None:
    """Return how a key or index narrows the search, or None if every row has to be looked at.

    It may give too many rows, never too few: the whole WHERE is evaluated on each of them. Only
    where a LIMIT may end the search early is an index read just for its order.
    """
    candidates = _orders(table)
    if not candidates:
        return None
    said = _conditions(where) if where is not None else {}
    chosen = _choices(where) if where is not None else {}
    best: tuple[int, KeyPart] | None = None
    for candidate in candidates:
        found = _part(candidate, said, chosen, order_by, limited=limited)
        if found is not None and (best is None or found[0] > best[0]):
            best = found
    return best[1] if best is not None else None


def _orders(table: TableSchema) -> list[_Order]:
    found = []
    if table.key:
        places = tuple((place, False) for place in table.key)
        found.append(_Order(None, places, table.owner_ordered, table.owner_ordered))
    for index in table.indexes:
        known = all(table.columns[place].not_null for place, _ in index.places)
        found.append(_Order(index, index.places, index.unique and known))
    return found


def _part(
    order: _Order,
    said: dict[int, list[_Condition]],
    chosen: dict[int, tuple[Bound, ...]],
    order_by: Sequence[Sort],
    *,
    limited: bool,
) -> tuple[int, KeyPart] | None:
    """Return how good one candidate is, and what it does; None if nothing."""
    equal = _equal(order, said)
    if len(equal) == len(order.places):
        part = KeyPart(index=order.index, equal=equal, whole=True)
        score = _WHOLE if order.is_unique else _EQUAL * len(equal) + _ORDER
        return score, part if order.is_unique else _in_order(order, part, order_by)
    next_place = order.places[len(equal)][0]
    several = order.index is not None or len(order.places) == 1
    choices = chosen.get(next_place, ()) if several and not equal else ()
    low, high = _bounds(said.get(next_place, ()))
    if choices:
        return _CHOICES, KeyPart(index=order.index, choices=choices)
    part = KeyPart(
        index=order.index,
        equal=equal,
        low=low[1] if low else None,
        low_open=bool(low and low[0] == ">"),
        high=high[1] if high else None,
        high_open=bool(high and high[0] == "<"),
    )
    score = _EQUAL * len(equal) + (_RANGE if low else 0) + (_RANGE if high else 0)
    part = _in_order(order, part, order_by)
    if score or (part.ordered and (limited or order.index is None)):
        return score + (_ORDER if part.ordered else 0), part
    return None


def _equal(order: _Order, said: dict[int, list[_Condition]]) -> tuple[Bound, ...]:
    equal: list[Bound] = []
    for place, _ in order.places:
        value = next((bound for sign, bound in said.get(place, ()) if sign == "="), None)
        if value is None:
            break
        equal.append(value)
    return tuple(equal)


def _bounds(said: Sequence[_Condition]) -> tuple[_Condition | None, _Condition | None]:
    low = next((one for one in said if one[0] in (">", ">=")), None)
    high = next((one for one in said if one[0] in ("<", "<=")), None)
    return low, high


# ---- order


def _in_order(order: _Order, part: KeyPart, order_by: Sequence[Sort]) -> KeyPart:
    """Return the part with its order promised, if that is the one asked for."""
    wanted = order_by and order.is_ordered
    reverse = _reversed(order, len(part.equal), order_by) if wanted else None
    if reverse is None:
        return part
    return KeyPart(
        index=part.index,
        ordered=True,
        reverse=reverse,
        equal=part.equal,
        low=part.low,
        low_open=part.low_open,
        high=part.high,
        high_open=part.high_open,
    )


def _reversed(order: _Order, equal: int, order_by: Sequence[Sort]) -> bool | None:
    """Return whether reading backwards gives the wanted order; None if no reading does."""
    fixed = {place for place, _ in order.places[:equal]}
    left = list(order.places[equal:])
    reverse: bool | None = None
    for sort in order_by:
        place = _place(sort.expression)
        if place is None or sort.nulls_first != sort.descending:
            return None
        if place in fixed:
            continue
        if not left:
            return bool(reverse) if order.is_unique else None
        at, descending = left.pop(0)
        turned = descending != sort.descending
        if at != place or (reverse is not None and reverse != turned):
            return None
        reverse = turned
        fixed.add(place)
    return bool(reverse)


# ---- what WHERE says


def _conditions(where: Bound) -> dict[int, list[_Condition]]:
    said: dict[int, list[_Condition]] = {}
    for part in conjuncts(where):
        if not isinstance(part, Strict) or part.operator not in _TURNED:
            continue
        left, right = part.operands
        if (place := _place(left)) is not None and _comparable(left, right):
            said.setdefault(place, []).append((part.operator, right))
        elif (place := _place(right)) is not None and _comparable(right, left):
            said.setdefault(place, []).append((_TURNED[part.operator], left))
    return said


def conjuncts(where: Bound) -> Iterator[Bound]:
    """Yield the conditions that a WHERE joins by AND."""
    if isinstance(where, Lazy) and where.operator == "and":
        for operand in where.operands:
            yield from conjuncts(operand)
    else:
        yield where


def _place(node: Bound) -> int | None:
    if isinstance(node, Field) and node.index >= 0 and node.type.family in _FOUND:
        return node.index
    return None


def _comparable(field: Bound, other: Bound) -> bool:
    return other.type.family == field.type.family and is_free_of_rows(other)


def _choices(where: Bound) -> dict[int, tuple[Bound, ...]]:
    """Return the values of `column IN (...)`, by the column's place."""
    found: dict[int, tuple[Bound, ...]] = {}
    for part in conjuncts(where):
        if isinstance(part, Lazy) and part.operator in ("in", "in_given"):
            subject, *choices = part.operands
            place = _place(subject)
            given = part.operator == "in_given"
            if place is not None and (
                given or all(_comparable(subject, choice) for choice in choices)
            ):
                found.setdefault(place, tuple(choices))
    return found
