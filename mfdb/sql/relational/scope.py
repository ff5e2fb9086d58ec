"""What names mean inside a query: its sources, then those of the queries around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from mfdb.kernel.errors import (
    AmbiguousColumn,
    NotSupportedError,
    ProgrammingError,
    UnknownColumn,
    UnknownDataset,
)
from mfdb.kernel.nearest import nearest_hint
from mfdb.sql.bind_expression import RelationalScope
from mfdb.sql.relational.tree import AUTHOR, ROW_ID, WRITTEN_AT, RelationField, TableRef

if TYPE_CHECKING:
    from mfdb.sql import query as qu
    from mfdb.sql import statement as st
    from mfdb.sql.bound import Bound, Context
    from mfdb.sql.catalogue import Catalogue, TableSchema
    from mfdb.sql.coerce import ParameterList
    from mfdb.sql.relational.tree import WindowValue

Column = tuple[str, "Bound"]
_PLACES = {"author": AUTHOR, "row_id": ROW_ID, "written_at": WRITTEN_AT}


class CteShape:
    """What is known of a query of WITH: its number and the names and types of its columns."""

    def __init__(self, number: int, columns: list[tuple[str, Any]]) -> None:
        self.number = number
        self.columns = columns


class Whole:
    """What all queries of one statement share."""

    def __init__(self, catalogue: Catalogue, parameters: ParameterList) -> None:
        self.catalogue = catalogue
        self.parameters = parameters
        self.tables: dict[bytes, TableSchema] = {}
        self.views: list[bytes] = []
        """The views inside whose queries we are."""
        self._relations = 0
        self._ctes = 0

    def relation(self) -> int:
        """Return a number for the next thing in FROM."""
        self._relations += 1
        return self._relations

    def cte(self) -> int:
        """Return a number for the next query of WITH."""
        self._ctes += 1
        return self._ctes


class Source:
    """One name in FROM with its columns; `columns` are those that `name.*` gives."""

    def __init__(self, name: str, columns: list[Column], *, owner: str | None = None) -> None:
        self.name = name
        self.owner = owner
        self.columns = columns
        self.table: TableRef | None = None


class QueryScope(RelationalScope):
    """The names of one query; `parent` are those of the query around it."""

    def __init__(self, whole: Whole, parent: QueryScope | None) -> None:
        super().__init__(None)
        self.whole = whole
        self.parent = parent
        self.parameters = whole.parameters
        self.star: list[Column] = []
        self.sources: list[Source] = []
        self.ctes: dict[str, CteShape] = {}
        self.windows: dict[str, qu.Window] = {}
        self.windows_allowed = False
        self.window_seen = False
        self.grouping_seen = False
        self.series_allowed = False

    def cte(self, name: str) -> CteShape | None:
        """Return the query that WITH gave this name, here or around."""
        scope: QueryScope | None = self
        while scope is not None:
            if name in scope.ctes:
                return scope.ctes[name]
            scope = scope.parent
        return None

    def add(self, source: Source, position: int) -> None:
        """Take a source in.

        Raises:
            ProgrammingError: one of that name is here already.
        """
        if any(other.name == source.name and other.owner == source.owner for other in self.sources):
            raise ProgrammingError(
                f"{source.name} is named twice in FROM",
                hint=f"give one of them another name: {source.name} AS ...",
                position=position,
            )
        self.sources.append(source)

    def column(self, ref: st.ColumnRef) -> Bound:
        """Return the column that a name means, here or in a query around."""
        scope: QueryScope | None = self
        qualifier_known = False
        while scope is not None:
            found, known = scope._local(ref)
            if found is not None:
                return found
            qualifier_known = qualifier_known or known
            scope = scope.parent
        if ref.table is not None and not qualifier_known:
            raise self._no_source(ref)
        raise self._no_column(ref)

    def _local(self, ref: st.ColumnRef) -> tuple[Bound | None, bool]:
        if ref.table is None:
            columns = self.star
        else:
            found = self._of(ref.table, ref.owner, ref.position)
            if found is None:
                return None, False
            columns = found.columns
        matches = [bound for name, bound in columns if name == ref.name]
        if len(matches) > 1:
            raise AmbiguousColumn(
                f"column {ref.name} is in several sources of this query",
                hint=f"say which: source.{ref.name}",
                position=ref.position,
            )
        if not matches:
            return None, ref.table is not None
        return _at(matches[0], ref.position), True

    def _of(self, name: str, owner: str | None, position: int) -> Source | None:
        found = [
            source
            for source in self.sources
            if source.name == name and (owner is None or source.owner == owner)
        ]
        if len(found) > 1:
            raise AmbiguousColumn(f"{name} is several sources of this query", position=position)
        return found[0] if found else None

    def _no_source(self, ref: st.ColumnRef) -> UnknownDataset:
        names = [source.name for source in self.sources]
        hint = nearest_hint(ref.table or "", names, f"FROM has: {', '.join(names[:12]) or '-'}")
        return UnknownDataset(
            f"{ref.table} is no dataset of this query", hint=hint, position=ref.position
        )

    def _no_column(self, ref: st.ColumnRef) -> UnknownColumn:
        names = sorted({name for name, _ in self.star})
        hint = nearest_hint(ref.name, names, f"columns: {', '.join(names[:12]) or '-'}")
        if not self.sources:
            hint = "a string is written in single quotes; a column needs FROM"
        return UnknownColumn(f"there is no column {ref.name}", hint=hint, position=ref.position)

    def star_of(self, star: st.Star) -> list[Column]:
        """Return the columns that `*` or `name.*` stands for.

        Raises:
            UnknownDataset: there is no such source.
        """
        if star.table is None:
            return self.star
        found = self._of(star.table, None, star.position)
        if found is None:
            raise UnknownDataset(
                f"{star.table} is no dataset of this query", position=star.position
            )
        return found.columns

    def row_context(self, name: str, call: Context) -> Bound:
        """Return what a row knows beside its columns, if only one dataset can be meant.

        Raises:
            UnknownColumn: none or several could be.
        """
        tables = [source.table for source in self.sources if source.table is not None]
        if len(tables) != 1:
            raise UnknownColumn(
                f"{name}() needs one dataset in FROM, there are {len(tables)}",
                position=call.position,
            )
        return RelationField(
            type=call.type,
            position=call.position,
            index=_PLACES[call.what],
            name=name,
            relation=tables[0].relation,
        )

    def query_expression(self, node: Any) -> Bound:
        """Return a query inside an expression, bound."""
        from mfdb.sql.relational.bind_subquery import bind_query_expression

        bound: Bound = bind_query_expression(node, self)
        return bound

    def window_expression(self, node: qu.WindowCall) -> WindowValue:
        """Return a window function, bound."""
        from mfdb.sql.relational.bind_window import bind_window

        return bind_window(node, self)

    def group_expression(self, node: st.Call) -> Bound:
        """Return `grouping(...)`, or an aggregate WITHIN GROUP, bound."""
        from mfdb.sql.relational.bind_group import bind_grouping
        from mfdb.sql.relational.bind_within import bind_within

        return bind_within(node, self) if node.within else bind_grouping(node, self)

    def series_expression(self, node: st.Call) -> Bound:
        """Return a function that gives rows, bound; only items of a SELECT may hold one."""
        from mfdb.sql.relational.bind_series import bind_series

        if not self.series_allowed or self.inside_aggregate:
            raise NotSupportedError(
                f"{node.name} gives rows and may not stand here",
                hint=f"put it into FROM: FROM {node.name}(...) AS name",
                position=node.position,
            )
        return bind_series(node, self)


def _at(bound: Bound, position: int) -> Bound:
    return msgspec.structs.replace(bound, position=position)
