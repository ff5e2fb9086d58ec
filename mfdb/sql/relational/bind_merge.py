"""Binding MERGE: a query joins the rows of USING with those there and says what becomes of each.

    row id | key columns | number of the WHEN that counts, 0 for none | values of all WHENs

Rows that match none have no row id. The change itself is made like any other (`mfdb.sql.merge`).
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from mfdb.kernel.errors import SqlSyntax
from mfdb.sql import statement as st
from mfdb.sql.bind_change import changed_table, set_places, target_places
from mfdb.sql.bind_expression import bind_condition, compare, negated
from mfdb.sql.bind_items import outputs_of
from mfdb.sql.bound import Bound, BoundMerge, BoundWhen, Lazy, Parameters, Value
from mfdb.sql.coerce import ParameterList
from mfdb.sql.relational.bind_joined import asked_value, target_of
from mfdb.sql.relational.bind_query import bind_ctes
from mfdb.sql.relational.bind_source import bind_source
from mfdb.sql.relational.risk import is_leaf
from mfdb.sql.relational.scope import QueryScope, Whole
from mfdb.sql.relational.tree import (
    ROW_ID,
    BoundCore,
    BoundRelational,
    JoinRef,
    RelationalQuery,
    RelationField,
)
from mfdb.sql.types import BIGINT, BOOLEAN, BYTEA

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mfdb.sql.catalogue import Catalogue, ColumnSchema
    from mfdb.sql.types import SqlType


def bind_merge(node: st.Merge, catalogue: Catalogue) -> BoundMerge:
    """Return a MERGE, with the query that says what it does.

    Raises:
        ProgrammingError, DataError: it cannot mean anything here; position says where.
    """
    return _Merging(node, catalogue).bound()


class _Merging:
    """One statement that is bound; `items` are the columns of its query."""

    def __init__(self, node: st.Merge, catalogue: Catalogue) -> None:
        self._node = node
        self.table = changed_table(node.table, catalogue)
        self._whole = Whole(catalogue, ParameterList())
        self._scope = QueryScope(self._whole, None)
        self._ctes = bind_ctes(node.ctes, recursive=node.recursive, scope=self._scope)
        self._target = target_of(node, self._scope)
        self._own = (len(self._scope.sources), len(self._scope.star))
        self._source = bind_source(node.source, self._scope)
        self._items: list[Bound] = [self._of_target(ROW_ID, BYTEA)]
        self._items += [
            self._of_target(place, self.table.columns[place].type) for place in self.table.key
        ]
        self._at = len(self._items)

    def bound(self) -> BoundMerge:
        """Return the statement, bound."""
        node = self._node
        condition = bind_condition(node.condition, self._scope, "ON")
        which = self._which()
        self._items.append(which)
        whens = tuple(self._when(when, number) for number, when in enumerate(node.whens, 1))
        everywhere = all(when.matched for when in node.whens)
        kind = "INNER" if everywhere else "LEFT"
        joined = JoinRef(kind, self._source, self._target, condition)  # type: ignore[arg-type] # one of two
        core = BoundCore(items=tuple(self._items), sources=(joined,))
        query = RelationalQuery(
            outputs=outputs_of([""] * len(self._items), self._items), body=core, ctes=self._ctes
        )
        found = self._whole.parameters
        parameters = Parameters(found.style, found.count, tuple(found.slots))
        tables = tuple(self._whole.tables.values())
        return BoundMerge(
            table=self.table,
            query=BoundRelational(query=query, tables=tables, parameters=parameters),
            which=self._at,
            whens=whens,
            parameters=parameters,
        )

    def _of_target(self, place: int, kind: SqlType) -> RelationField:
        relation = self._target.relation
        return RelationField(
            type=kind, position=self._node.position, index=place, name="", relation=relation
        )

    @contextmanager
    def _seeing(self, *, matched: bool) -> Iterator[QueryScope]:
        """Where no row matches, only the columns of USING are there."""
        scope = self._scope
        sources, star = scope.sources, scope.star
        if not matched:
            scope.sources, scope.star = sources[self._own[0] :], star[self._own[1] :]
        try:
            yield scope
        finally:
            scope.sources, scope.star = sources, star

    def _which(self) -> Bound:
        """Return the number of the first WHEN whose conditions hold."""
        at = self._node.position
        parts: list[Bound] = []
        for number, when in enumerate(self._node.whens, 1):
            missing = Lazy(
                type=BOOLEAN, position=at, operator="is_null", operands=(self._items[0],)
            )
            test: Bound = negated(missing, when=when.matched)
            if when.condition is not None:
                with self._seeing(matched=when.matched) as scope:
                    more = bind_condition(when.condition, scope, "AND")
                assert more is not None, "there is a condition"
                test = Lazy(type=BOOLEAN, position=at, operator="and", operands=(test, more))
            parts += (test, Value(type=BIGINT, position=at, value=number))
        parts.append(Value(type=BIGINT, position=at, value=0))
        return Lazy(type=BIGINT, position=at, operator="case", operands=tuple(parts))

    def _when(self, when: st.MergeWhen, number: int) -> BoundWhen:
        if when.action == "update":
            places = set_places(when.assignments, self.table)
            values = [one.value for one in when.assignments]
        elif when.action == "insert" and when.values is not None:
            places = target_places(when.columns, self.table)
            values = list(when.values)
            _check_width(when, values, places)
        else:
            return BoundWhen(action=when.action)
        assignments = []
        with self._seeing(matched=when.matched) as scope:
            for place, value in zip(places, values, strict=False):
                taken = self._value(value, self.table.columns[place], scope, number)
                assignments.append((place, taken))
        return BoundWhen(action=when.action, assignments=tuple(assignments))

    def _value(
        self,
        node: st.Expression | st.DefaultValue,
        column: ColumnSchema,
        scope: QueryScope,
        number: int,
    ) -> Bound | None:
        """Let the query give a value where its WHEN counts, and return what the column takes."""
        if isinstance(node, st.DefaultValue):
            return None
        value, taken = asked_value(node, column, scope, len(self._items))
        if not is_leaf(value):
            wanted = Value(type=BIGINT, position=node.position, value=number)
            counts = compare("=", self._items[self._at], wanted, scope.parameters, node.position)
            value = Lazy(
                type=value.type, position=node.position, operator="case", operands=(counts, value)
            )
        self._items.append(value)
        return taken


def _check_width(when: st.MergeWhen, values: Sequence[object], places: Sequence[int]) -> None:
    if len(values) > len(places) or (when.columns is not None and len(values) < len(places)):
        raise SqlSyntax(
            f"{len(values)} values for {len(places)} columns",
            hint="a row has one value for each column named",
            position=when.position,
        )
