"""Grouping sets: what ROLLUP, CUBE and GROUPING SETS stand for, and `grouping()`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mfdb.kernel.errors import SqlSyntax, UngroupedColumn
from mfdb.sql import query as qu
from mfdb.sql import statement as st
from mfdb.sql.bind_expression import bind as bind_expression
from mfdb.sql.relational.tree import GroupingValue
from mfdb.sql.types import INTEGER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfdb.sql.relational.scope import QueryScope

SETS = 4_096
"""Most grouping sets of a query, as in PostgreSQL."""
CUBED = 12
"""Most elements of a CUBE, as in PostgreSQL."""
ASKED = 31
"""Most arguments of grouping(), whose answer has a bit for each."""
GroupSet = tuple[st.Expression, ...]


class Groups(msgspec.Struct):
    """What GROUP BY says, by places among its expressions: one set for each way to group."""

    nodes: list[st.Expression]
    sets: list[tuple[int, ...]]


def has_sets(items: Sequence[qu.GroupItem]) -> bool:
    """Return whether GROUP BY says more than a list of expressions."""
    return any(isinstance(item, qu.Grouping | st.Row) for item in items)


def groups_of(items: Sequence[qu.GroupItem]) -> Groups:
    """Return the sets that GROUP BY stands for: each part of it with each of the others.

    Raises:
        SqlSyntax: there are more than `SETS`, or a CUBE has more than `CUBED` elements.
    """
    found: list[GroupSet] = [()]
    for item in items:
        parts = _sets_of(item)
        if len(found) * len(parts) > SETS:
            raise SqlSyntax(f"there are more than {SETS} grouping sets", position=item.position)
        found = [(*one, *other) for one in found for other in parts]
    nodes = list({id(node): node for one in found for node in one}.values())
    places = {id(node): place for place, node in enumerate(nodes)}
    return Groups(nodes, [tuple(places[id(node)] for node in one) for one in found])


def _sets_of(item: qu.GroupItem) -> list[GroupSet]:
    if isinstance(item, st.Row):
        return [item.items]
    if isinstance(item, st.Expression):
        return [(item,)]
    if item.kind == "SETS":
        found = [one for part in item.parts for one in _sets_of(part)]
        if len(found) > SETS:
            raise SqlSyntax(f"there are more than {SETS} grouping sets", position=item.position)
        return found if item.parts else [()]
    units = [one for part in item.parts for one in _sets_of(part)]
    if item.kind == "ROLLUP":
        return [_joined(units[:count]) for count in range(len(units), -1, -1)]
    if len(units) > CUBED:
        raise SqlSyntax(f"CUBE takes at most {CUBED} elements", position=item.position)
    subsets: list[GroupSet] = [()]
    for unit in units:
        subsets = [*((*one, *unit) for one in subsets), *subsets]
    return subsets


def _joined(units: Sequence[GroupSet]) -> GroupSet:
    return tuple(node for unit in units for node in unit)


def bind_grouping(node: st.Call, scope: QueryScope) -> GroupingValue:
    """Return `grouping(a, b)`; that its arguments are grouped by is checked with the groups.

    Raises:
        UngroupedColumn: it may not stand there.
        SqlSyntax: it has none, or more than `ASKED` arguments.
    """
    if not scope.aggregates_allowed or scope.inside_aggregate:
        raise UngroupedColumn("grouping may not stand here", position=node.position)
    if not 1 <= len(node.arguments) <= ASKED:
        raise SqlSyntax(f"grouping takes 1 to {ASKED} arguments", position=node.position)
    operands = tuple(bind_expression(argument, scope) for argument in node.arguments)
    scope.grouping_seen = True
    return GroupingValue(type=INTEGER, position=node.position, operands=operands)
