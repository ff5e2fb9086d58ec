"""Binding what only a query can compute of a change's own rows: subqueries in RETURNING and such.

The rows stand in a relation of the statement's own; the last of its columns counts them, so that
the answers come in their order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mfdb.sql.bind_items import items_of, outputs_of
from mfdb.sql.bound import Asked, Field, Parameters
from mfdb.sql.relational.bind_query import bind_ctes
from mfdb.sql.relational.scope import QueryScope, Source, Whole
from mfdb.sql.relational.tree import (
    BoundCore,
    BoundRelational,
    RelationalQuery,
    RelationField,
    SortKey,
    TableRef,
)
from mfdb.sql.scratch import scratch_table
from mfdb.sql.types import BIGINT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfdb.sql import query as qu
    from mfdb.sql import statement as st
    from mfdb.sql.bound import Bound
    from mfdb.sql.catalogue import Catalogue, TableSchema
    from mfdb.sql.coerce import ParameterList
    from mfdb.sql.relational.tree import BoundCte
    from mfdb.sql.types import SqlType


class Named(NamedTuple):
    """Columns of the rows under one name, as (name, type, place)."""

    name: str
    owner: str | None
    columns: list[tuple[str, SqlType, int]]


class Asking:
    """A query over rows of a statement's own, in the making: `scope` binds what is asked."""

    def __init__(
        self,
        role: str,
        sources: Sequence[Named],
        catalogue: Catalogue,
        parameters: ParameterList,
        star: Sequence[tuple[str, SqlType, int]] | None = None,
    ) -> None:
        """`star` is what `*` means, if it is not simply all columns of all sources."""
        self._whole = Whole(catalogue, parameters)
        self._ctes: tuple[BoundCte, ...] = ()
        self.scope = QueryScope(self._whole, None)
        every = [column for source in sources for column in source.columns]
        width = 1 + max((place for _, _, place in every), default=-1)
        named = {place: (name, kind) for name, kind, place in every}
        columns = [named.get(place, ("", BIGINT)) for place in range(width)]
        self.table = scratch_table(role, [*columns, ("", BIGINT)], catalogue.me)
        self._ref = TableRef(self._whole.relation(), self.table)
        for source in sources:
            found = Source(source.name, self._fields(source.columns), owner=source.owner)
            self.scope.add(found, 0)
        if self.scope.sources:
            self.scope.sources[0].table = self._ref
        self.scope.star = self._fields(every if star is None else star)

    def _fields(self, columns: Sequence[tuple[str, SqlType, int]]) -> list[tuple[str, Bound]]:
        return [(name, self._field(name, kind, place)) for name, kind, place in columns]

    def _field(self, name: str, kind: SqlType, place: int) -> RelationField:
        relation = self._ref.relation
        return RelationField(type=kind, position=0, index=place, name=name, relation=relation)

    def with_queries(self, ctes: tuple[qu.Cte, ...], *, recursive: bool) -> None:
        """Let what is asked name the queries of WITH."""
        self._ctes = bind_ctes(ctes, recursive=recursive, scope=self.scope)

    def asked(self, items: Sequence[Bound]) -> Asked:
        """Return the query that computes these of each row."""
        number = self._field("", BIGINT, len(self.table.columns) - 1)
        query = RelationalQuery(
            outputs=outputs_of([""] * len(items), list(items)),
            body=BoundCore(items=tuple(items), sources=(self._ref,)),
            ctes=self._ctes,
            order_by=(SortKey(None, number, descending=False, nulls_first=False),),
        )
        found = self._whole.parameters
        bound = BoundRelational(
            query=query,
            tables=tuple(self._whole.tables.values()),
            parameters=Parameters(found.style, found.count, tuple(found.slots)),
        )
        return Asked(self.table, bound)


def of_table(table: TableSchema, name: str, owner: str | None = None, first: int = 0) -> Named:
    """Return the columns of a dataset's row, which begin at a place."""
    columns = [
        (column.name, column.type, first + place) for place, column in enumerate(table.columns)
    ]
    return Named(name, owner, columns)


def ask_returning(
    node: st.Insert | st.Update | st.Delete, asking: Asking
) -> tuple[list[str], list[Bound], Asked]:
    """Return what RETURNING names and gives, of the answers of a query over the changed rows.

    Raises:
        ProgrammingError, DataError: it cannot mean anything here; with position.
    """
    asking.with_queries(node.ctes, recursive=node.recursive)
    names, items = items_of(node.returning, asking.scope)
    return names, fields_of_answer(items), asking.asked(items)


def fields_of_answer(items: Sequence[Bound]) -> list[Bound]:
    """Return the columns of an answer, as expressions over one of its rows."""
    return [
        Field(type=item.type, position=item.position, index=place, name="")
        for place, item in enumerate(items)
    ]
