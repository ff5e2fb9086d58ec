"""Binding one SELECT: items, grouping and sorting, checked as PostgreSQL does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from mfdb.kernel.errors import (
    BadType,
    ProgrammingError,
    SqlSyntax,
    UngroupedColumn,
    UnknownColumn,
)
from mfdb.sql import query as qu
from mfdb.sql import statement as st
from mfdb.sql.bind_arithmetic import ordered
from mfdb.sql.bind_expression import bind as bind_expression
from mfdb.sql.bind_expression import bind_condition
from mfdb.sql.bound import Aggregate, Bound, Output
from mfdb.sql.coerce import boolean, settle
from mfdb.sql.functions import WITHIN
from mfdb.sql.relational.bind_group import groups_of, has_sets
from mfdb.sql.relational.bind_source import bind_source
from mfdb.sql.relational.tree import (
    BoundCore,
    GroupingValue,
    RelationalQuery,
    RelationField,
    SortKey,
    SubqueryValue,
    WindowValue,
    fields_of,
    shape,
)
from mfdb.sql.types import SqlType

if TYPE_CHECKING:
    from mfdb.sql.relational.scope import QueryScope

ITEMS = 1_664
"""Most items of a SELECT (PostgreSQL's limit)."""


class CoreBinder:
    """Binds a SELECT with the ORDER BY of the query it belongs to."""

    def __init__(
        self, node: qu.SelectCore, scope: QueryScope, query: qu.Query, *, settled: bool
    ) -> None:
        self._node = node
        self._scope = scope
        self._query = query
        self._settled = settled
        self._names: list[str] = []
        self._items: list[Bound] = []
        self._sets: list[tuple[int, ...]] | None = None

    def query(self) -> RelationalQuery:
        """Return the SELECT, bound.

        Raises:
            ProgrammingError, DataError: it cannot mean anything; with position.
        """
        node, scope = self._node, self._scope
        sources = tuple(bind_source(source, scope) for source in node.sources)
        self._name_windows()
        where = bind_condition(node.where, scope, "WHERE")
        scope.aggregates_allowed = scope.windows_allowed = scope.series_allowed = True
        self._bind_items()
        scope.windows_allowed = scope.series_allowed = False
        groups = self._group_by()
        having = None
        if node.having is not None:
            having = boolean(bind_expression(node.having, scope), scope.parameters, "HAVING")
        scope.windows_allowed = True
        order_by = tuple(self._sort(item) for item in self._query.order_by)
        distinct_on = self._distinct_on(order_by)
        grouped = groups is not None or having is not None
        if grouped or scope.aggregates or scope.grouping_seen:
            groups = self._checked(groups or (), having, order_by, distinct_on)
        self._check_distinct(order_by)
        core = BoundCore(
            items=tuple(self._items),
            distinct=node.distinct,
            sources=sources,
            where=where,
            group_by=groups,
            grouping_sets=None if self._sets is None else tuple(self._sets),
            having=having,
            distinct_on=distinct_on,
        )
        return RelationalQuery(
            outputs=outputs_of(self._names, self._items), body=core, order_by=order_by
        )

    def _name_windows(self) -> None:
        for named in self._node.windows:
            if named.name.text in self._scope.windows:
                raise ProgrammingError(
                    f"window {named.name.text} is named twice", position=named.position
                )
            self._scope.windows[named.name.text] = named.window

    def _bind_items(self) -> None:
        from mfdb.sql.bind import name_of

        for item in self._node.items:
            if isinstance(item, st.Star):
                if not self._scope.sources:
                    raise SqlSyntax("* needs FROM", position=item.position)
                for name, bound in self._scope.star_of(item):
                    self._names.append(name)
                    self._items.append(msgspec.structs.replace(bound, position=item.position))
                continue
            bound = bind_expression(item.expression, self._scope)
            self._names.append(item.name or name_of(item.expression))
            self._items.append(settle(bound, self._scope.parameters) if self._settled else bound)
        if len(self._items) > ITEMS:
            raise SqlSyntax(f"there are more than {ITEMS} items", position=self._node.position)

    # ---- GROUP BY

    def _group_by(self) -> tuple[Bound, ...] | None:
        items = self._node.group_by
        if items is None:
            return None
        if not has_sets(items):
            return tuple(self._group(item) for item in items if isinstance(item, st.Expression))
        found = groups_of(items)
        bound = [self._group(node) for node in found.nodes]
        places: dict[Any, int] = {}
        for one in bound:
            places.setdefault(shape(one), len(places))
        first = {places[shape(one)]: one for one in reversed(bound)}
        sets = [
            tuple(dict.fromkeys(places[shape(bound[place])] for place in one)) for one in found.sets
        ]
        if self._node.group_distinct:
            sets = list({frozenset(one): one for one in sets}.values())
        self._sets = sets
        return tuple(first[place] for place in range(len(first)))

    def _group(self, node: st.Expression) -> Bound:
        place = self._place(node, "GROUP BY")
        if place is None and isinstance(node, st.ColumnRef) and node.table is None:
            place = self._named(node)
        if place is not None:
            bound = settle(self._items[place], self._scope.parameters)
        else:
            allowed, self._scope.aggregates_allowed = self._scope.aggregates_allowed, False
            bound = settle(bind_expression(node, self._scope), self._scope.parameters)
            self._scope.aggregates_allowed = allowed
        if bound.type.family == "json":
            raise BadType("JSON cannot be grouped by", position=node.position)
        if _has_aggregate(bound):
            raise UngroupedColumn("GROUP BY cannot hold an aggregate", position=node.position)
        return bound

    def _named(self, node: st.ColumnRef) -> int | None:
        """A name in GROUP BY is a column of FROM first, then an item."""
        try:
            self._scope.column(node)
        except UnknownColumn:
            if node.name in self._names:
                return self._names.index(node.name)
            raise
        return None

    def _place(self, node: st.Expression, what: str) -> int | None:
        if not (isinstance(node, st.Constant) and node.kind == "integer"):
            return None
        assert isinstance(node.value, int)
        if not 1 <= node.value <= len(self._items):
            raise SqlSyntax(
                f"{what} {node.value} names no item",
                position=node.position,
                hint=f"there are {len(self._items)}",
            )
        return node.value - 1

    def _checked(
        self,
        groups: tuple[Bound, ...],
        having: Bound | None,
        order_by: tuple[SortKey, ...],
        distinct_on: tuple[Bound, ...],
    ) -> tuple[Bound, ...]:
        """Return the groups, with columns that a grouped primary key decides.

        Raises:
            UngroupedColumn: a column is neither grouped nor inside an aggregate.
        """
        shapes = {shape(group) for group in groups}
        keys = self._grouped_keys({shape(groups[place]) for place in self._always(groups)})
        extra: dict[Any, Bound] = {}
        parts = [*self._items, *([having] if having is not None else [])]
        parts += [key.expression for key in order_by if key.expression is not None]
        parts += distinct_on
        mine = {
            bound.relation
            for source in self._scope.sources
            for _, bound in source.columns
            if isinstance(bound, RelationField)
        }
        mine |= {source.table.relation for source in self._scope.sources if source.table}
        for part in parts:
            for field in _ungrouped(part, shapes):
                if field.relation not in mine or shape(field) in shapes:
                    continue
                if field.relation not in keys:
                    raise UngroupedColumn(
                        f"column {field.name} is neither in GROUP BY nor in an aggregate",
                        hint="group by it, or put it into an aggregate, min for example",
                        position=field.position,
                    )
                extra[shape(field)] = field
        if self._sets is not None and extra:
            added = range(len(groups), len(groups) + len(extra))
            self._sets = [(*one, *added) for one in self._sets]
        return (*groups, *extra.values())

    def _always(self, groups: tuple[Bound, ...]) -> set[int]:
        """Return the places of the groups that every way of grouping has."""
        found = set(range(len(groups)))
        return found.intersection(*self._sets) if self._sets is not None else found

    def _grouped_keys(self, shapes: set[Any]) -> set[int]:
        """Return the datasets whose whole primary key is grouped by."""
        found = set()
        for source in self._scope.sources:
            if source.table is None or not source.table.table.key:
                continue
            fields = [bound for _, bound in source.columns]
            if all(
                any(
                    isinstance(field, RelationField)
                    and field.index == place
                    and shape(field) in shapes
                    for field in fields
                )
                for place in source.table.table.key
            ):
                found.add(source.table.relation)
        return found

    # ---- ORDER BY

    def _sort(self, item: st.OrderItem) -> SortKey:
        node = item.expression
        place = self._place(node, "ORDER BY")
        if place is None and isinstance(node, st.ColumnRef) and node.table is None:
            place = self._item_named(node)
        if place is not None:
            return _key(item, place, self._items[place])
        bound = settle(bind_expression(node, self._scope), self._scope.parameters)
        _check_order(bound, item)
        wanted = shape(bound)
        for index, other in enumerate(self._items):
            if shape(other) == wanted:
                return _key(item, index, other)
        return SortKey(None, ordered(bound), item.descending, item.nulls_first)

    def _item_named(self, node: st.ColumnRef) -> int | None:
        from mfdb.sql.bind import named_item

        return named_item(node, self._names, self._items) if node.name in self._names else None

    def _distinct_on(self, order_by: tuple[SortKey, ...]) -> tuple[Bound, ...]:
        """Return what DISTINCT ON tells rows apart by; ORDER BY must begin with it."""
        nodes = self._node.distinct_on
        found = [self._key_of(self._sort(_ascending(node))) for node in nodes]
        left = {shape(bound) for bound in found}
        for key, item in zip(order_by, self._query.order_by, strict=True):
            if left and shape(self._key_of(key)) not in {shape(bound) for bound in found}:
                raise ProgrammingError(
                    "ORDER BY must begin with what DISTINCT ON names",
                    hint="order by that first, then by what decides which row stays",
                    position=item.position,
                )
            left.discard(shape(self._key_of(key)))
        return tuple(settle(bound, self._scope.parameters) for bound in found)

    def _key_of(self, key: SortKey) -> Bound:
        if key.place is not None:
            return self._items[key.place]
        assert key.expression is not None, "a sort key is an item or an expression"
        return key.expression

    def _check_distinct(self, order_by: tuple[SortKey, ...]) -> None:
        if not self._node.distinct:
            return
        for index, bound in enumerate(self._items):
            if bound.type.family == "json":
                raise BadType("DISTINCT takes no JSON", position=self._items[index].position)
        for key, item in zip(order_by, self._query.order_by, strict=True):
            if key.place is None:
                raise ProgrammingError(
                    "with DISTINCT, ORDER BY can only name items",
                    hint="add the expression to the items",
                    position=item.position,
                )


def _ascending(node: st.Expression) -> st.OrderItem:
    return st.OrderItem(
        position=node.position, expression=node, descending=False, nulls_first=False
    )


def _check_order(bound: Bound, item: st.OrderItem) -> None:
    if bound.type.family == "json":
        raise BadType("JSON has no order", position=item.position)


def _key(item: st.OrderItem, place: int, bound: Bound) -> SortKey:
    _check_order(bound, item)
    if bound.type.family == "array":
        return SortKey(None, ordered(bound), item.descending, item.nulls_first)
    return SortKey(place, None, item.descending, item.nulls_first)


def _has_aggregate(node: Any) -> bool:
    if isinstance(node, Aggregate | WindowValue | GroupingValue):
        return True
    return any(_has_aggregate(operand) for operand in getattr(node, "operands", ()))


def _ungrouped(node: Any, shapes: set[Any]) -> list[RelationField]:
    """Return the columns of an expression outside aggregates and grouped expressions."""
    if isinstance(node, Bound) and shape(node) in shapes:
        return []
    if isinstance(node, Aggregate):
        return _ungrouped(node.more, shapes) if node.kind in WITHIN else []
    if isinstance(node, GroupingValue):
        if any(shape(operand) not in shapes for operand in node.operands):
            raise UngroupedColumn(
                "the arguments of grouping are what GROUP BY groups by", position=node.position
            )
        return []
    if isinstance(node, RelationField):
        return [node]
    if isinstance(node, SubqueryValue):
        return [*_ungrouped(node.operands, shapes), *fields_of(node.query)]
    if isinstance(node, tuple):
        return [field for part in node for field in _ungrouped(part, shapes)]
    if isinstance(node, msgspec.Struct) and not isinstance(node, SqlType):
        return [
            field
            for name in node.__struct_fields__
            if name not in ("type", "call")
            for field in _ungrouped(getattr(node, name), shapes)
        ]
    return []


def outputs_of(names: list[str], items: list[Bound]) -> tuple[Output, ...]:
    """Return the columns of a result."""
    return tuple(Output(name, item.type) for name, item in zip(names, items, strict=True))
