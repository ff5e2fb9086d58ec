"""Binding UPDATE and DELETE that look beyond their dataset: FROM, USING, WITH, inner queries.

The relational route answers a query that gives, for each row to change: its id, its primary key,
the values it is set to, and the columns of the other sources that RETURNING may name. The change
itself is then made like any other.

    row id | key columns | values of SET | columns of the other sources
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mfdb.kernel.errors import (
    AmbiguousColumn,
    NotSupportedError,
    UnknownColumn,
    UnknownDataset,
)
from mfdb.sql import query as qu
from mfdb.sql import statement as st
from mfdb.sql.bind_change import assigned_to, set_places
from mfdb.sql.bind_expression import Scope, bind_condition
from mfdb.sql.bind_expression import bind as bind_expression
from mfdb.sql.bind_items import items_of, outputs_of
from mfdb.sql.bound import (
    Asked,
    Bound,
    BoundDelete,
    BoundUpdate,
    Field,
    Joined,
    Parameters,
    Source,
)
from mfdb.sql.coerce import ParameterList, settle
from mfdb.sql.relational.bind_asked import Asking, Named, ask_returning, of_table
from mfdb.sql.relational.bind_query import bind_ctes
from mfdb.sql.relational.bind_source import bind_source
from mfdb.sql.relational.bind_subquery import bind_subquery
from mfdb.sql.relational.scope import QueryScope, Whole
from mfdb.sql.relational.tree import (
    ROW_ID,
    BoundCore,
    BoundRelational,
    RelationalQuery,
    RelationField,
    TableRef,
)
from mfdb.sql.types import BYTEA

if TYPE_CHECKING:
    from mfdb.sql.catalogue import Catalogue, ColumnSchema, TableSchema
    from mfdb.sql.relational.scope import Column
    from mfdb.sql.types import SqlType


class _Extra(msgspec.Struct, frozen=True):
    """A column of another source: who it is in FROM, and its place behind the row's own."""

    source: str
    owner: str | None
    name: str
    field: Field


class ReturningScope(Scope):
    """The columns of the changed row, then those of the other sources (`star`: all of them)."""

    def __init__(
        self, table: TableSchema, alias: str | None, extras: list[_Extra], star: list[Column]
    ) -> None:
        super().__init__(table, alias)
        self._columns = table.columns
        self._extras = extras
        self._star = star

    def column(self, ref: st.ColumnRef) -> Bound:
        """Return the column of any source that a name means.

        Raises:
            AmbiguousColumn, UnknownColumn, UnknownDataset: it means several, or none.
        """
        if ref.table is not None:
            return self._qualified(ref)
        found = [bound for name, bound in self._star if name == ref.name]
        own = any(column.name == ref.name for column in self._columns)
        if len(found) + own > 1:
            raise AmbiguousColumn(
                f"column {ref.name} is in several sources of this statement",
                hint=f"say which: source.{ref.name}",
                position=ref.position,
            )
        if not found:
            return super().column(ref)
        return msgspec.structs.replace(found[0], position=ref.position)

    def _qualified(self, ref: st.ColumnRef) -> Bound:
        of = [extra for extra in self._extras if extra.source == ref.table]
        if not of:
            return super().column(ref)
        for extra in of:
            if extra.name == ref.name and ref.owner in (None, extra.owner):
                return msgspec.structs.replace(extra.field, position=ref.position)
        raise UnknownColumn(f"{ref.table} has no column {ref.name}", position=ref.position)

    def star_of(self, star: st.Star) -> list[Column]:
        """Return the columns of all sources, or of the one that is named."""
        of = [(one.name, one.field) for one in self._extras if one.source == star.table]
        if of:
            return [*of]
        own = Scope(self.table, self.alias).star_of(star)
        return [*own, *self._star] if star.table is None else own


def target_of(node: st.Update | st.Delete | st.Merge, scope: QueryScope) -> TableRef:
    """Return the dataset that a change is about, added to the scope.

    Raises:
        UnknownDataset: the name means a query of WITH.
    """
    alias = None
    at = node.table.position
    if node.alias is not None:
        alias = qu.Alias(position=at, name=st.Name(position=at, text=node.alias))
    found = bind_source(qu.TableSource(position=at, table=node.table, alias=alias), scope)
    if not isinstance(found, TableRef):
        raise UnknownDataset(
            f"{node.table.name} is a query of WITH here, and cannot be changed", position=at
        )
    return found


class _Joining:
    """One statement that is bound: its sources, and the query's columns as they come."""

    def __init__(
        self, node: st.Update | st.Delete, table: TableSchema, catalogue: Catalogue
    ) -> None:
        self.node = node
        self.table = table
        self.whole = Whole(catalogue, ParameterList())
        self.scope = QueryScope(self.whole, None)
        self.ctes = bind_ctes(node.ctes, recursive=node.recursive, scope=self.scope)
        self.target = target_of(node, self.scope)
        self.sources = tuple(bind_source(source, self.scope) for source in node.sources)
        self.names: list[str] = ["row_id"]
        self.items: list[Bound] = [self._of_target(ROW_ID, "row_id", Bound(type=BYTEA, position=0))]
        for place in table.key:
            column = table.columns[place]
            self.items.append(
                self._of_target(place, column.name, Bound(type=column.type, position=0))
            )
            self.names.append(column.name)

    def _of_target(self, place: int, name: str, like: Bound) -> RelationField:
        return RelationField(
            type=like.type,
            position=self.node.position,
            index=place,
            name=name,
            relation=self.target.relation,
        )

    def add(self, name: str, bound: Bound) -> Field:
        """Let the query give one more column, and return it as a field of the query's rows."""
        self.names.append(name)
        self.items.append(bound)
        return Field(type=bound.type, position=bound.position, index=len(self.items) - 1, name=name)

    def extras(self) -> list[_Extra]:
        """Let the query give the columns of the other sources, for RETURNING to name."""
        found: list[_Extra] = []
        if not self.node.returning:
            return []
        for source in self.scope.sources[1:]:
            for name, bound in source.columns:
                field = self.add(name, bound)
                index = len(self.table.columns) + len(found)
                placed = msgspec.structs.replace(field, index=index)
                found.append(_Extra(source.name, source.owner, name, placed))
        return found

    def returning(self, extras: list[_Extra]) -> tuple[list[str], list[Bound], Asked | None]:
        """Return what RETURNING names, over the row's columns and the extra ones."""
        if not self.node.returning:
            return [], [], None
        own = len(self.table.columns)
        star: list[Column] = []
        left = list(extras)
        for name, _ in self.scope.star[own:]:
            extra = next(one for one in left if one.name == name)
            left.remove(extra)
            star.append((name, extra.field))
        scope = ReturningScope(self.table, self.node.alias, extras, star)
        scope.parameters = self.whole.parameters
        try:
            return (*items_of(self.node.returning, scope), None)
        except NotSupportedError:
            if not scope.needs_relational:
                raise
        return ask_returning(self.node, self._asking(extras, star))

    def _asking(self, extras: list[_Extra], star: list[Column]) -> Asking:
        """Return a query over the changed rows with the columns of the other sources."""
        row = of_table(self.table, self.node.alias or self.table.name, self.node.table.owner)
        sources = [row]
        for extra in extras:
            if (extra.source, extra.owner) != sources[-1][:2] or sources[-1] is row:
                sources.append(Named(extra.source, extra.owner, []))
            sources[-1].columns.append((extra.name, extra.field.type, extra.field.index))
        beside = [(name, bound.type, bound.index) for name, bound in star if type(bound) is Field]
        whole = self.whole
        every = [*row.columns, *beside]
        return Asking("returning", sources, whole.catalogue, whole.parameters, every)

    def joined(self, extra_count: int) -> Joined:
        """Return the query, with where its columns lie."""
        where = bind_condition(self.node.where, self.scope, "WHERE")
        core = BoundCore(items=tuple(self.items), sources=(self.target, *self.sources), where=where)
        query = RelationalQuery(
            outputs=outputs_of(self.names, self.items), body=core, ctes=self.ctes
        )
        bound = BoundRelational(
            query=query,
            tables=tuple(self.whole.tables.values()),
            parameters=self.parameters(),
        )
        return Joined(bound, len(self.items) - extra_count)

    def parameters(self) -> Parameters:
        """Return the parameters met so far."""
        found = self.whole.parameters
        return Parameters(found.style, found.count, tuple(found.slots))


def bind_joined_update(node: st.Update, table: TableSchema, catalogue: Catalogue) -> BoundUpdate:
    """Return an UPDATE whose rows and values a query gives.

    Raises:
        ProgrammingError, DataError: it cannot mean anything here; position says where.
    """
    joining = _Joining(node, table, catalogue)
    places = set_places(node.assignments, table)
    assignments: list[tuple[int, Bound | None]] = []
    for place, assignment in zip(places, node.assignments, strict=True):
        if isinstance(assignment.value, st.DefaultValue):
            assignments.append((place, None))
            continue
        column, at = table.columns[place], len(joining.items)
        bound, value = asked_value(assignment.value, column, joining.scope, at)
        joining.add(column.name, bound)
        assignments.append((place, value))
    extras = joining.extras()
    joined = joining.joined(len(extras))
    names, returning, asked = joining.returning(extras)
    return BoundUpdate(
        source=Source(table=table, where=None, access=None),
        assignments=tuple(assignments),
        joined=joined,
        outputs=outputs_of(names, returning),
        returning=tuple(returning),
        asked=asked,
        parameters=joining.parameters(),
    )


def asked_value(
    node: st.Expression, column: ColumnSchema, scope: QueryScope, at: int
) -> tuple[Bound, Bound]:
    """Return a value that a query computes, and what the column takes of place `at` of its rows.

    Raises:
        ProgrammingError, DataError: the column does not take it; with position.
    """
    bound = _value(node, column.type, scope)
    if bound.type.family == "unknown":
        bound = assigned_to(column, bound, scope.parameters)
    bound = settle(bound, scope.parameters)
    field = Field(type=bound.type, position=bound.position, index=at, name=column.name)
    return bound, assigned_to(column, field, scope.parameters)


def _value(node: st.Expression, wanted: SqlType, scope: QueryScope) -> Bound:
    if isinstance(node, qu.Subquery):
        return bind_subquery(node, scope, wanted)
    return bind_expression(node, scope)


def bind_joined_delete(node: st.Delete, table: TableSchema, catalogue: Catalogue) -> BoundDelete:
    """Return a DELETE whose rows a query gives.

    Raises:
        ProgrammingError, DataError: it cannot mean anything here; position says where.
    """
    joining = _Joining(node, table, catalogue)
    extras = joining.extras()
    joined = joining.joined(len(extras))
    names, returning, asked = joining.returning(extras)
    return BoundDelete(
        source=Source(table=table, where=None, access=None),
        joined=joined,
        outputs=outputs_of(names, returning),
        returning=tuple(returning),
        asked=asked,
        parameters=joining.parameters(),
    )
