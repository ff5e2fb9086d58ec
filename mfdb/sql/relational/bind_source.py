"""Binding FROM: datasets, queries, queries of WITH, and their joins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.kernel.errors import (
    AmbiguousColumn,
    InvalidDefinition,
    MfdbError,
    SqlSyntax,
    UnknownColumn,
)
from mfdb.sql import query as qu
from mfdb.sql.bind_expression import bind_condition, compare
from mfdb.sql.bound import Bound, Lazy
from mfdb.sql.coerce import unify
from mfdb.sql.names import table_of
from mfdb.sql.relational.scope import Column, QueryScope, Source
from mfdb.sql.relational.tree import (
    CteRef,
    JoinRef,
    QueryRef,
    Ref,
    RelationField,
    SeriesRef,
    TableRef,
)
from mfdb.sql.types import BIGINT, BOOLEAN, SqlType
from mfdb.sql.views import query_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mfdb.sql import statement as st
    from mfdb.sql.catalogue import TableSchema


def bind_source(node: qu.FromItem, scope: QueryScope) -> Ref:
    """Return something in FROM, its columns added to the scope.

    Raises:
        UnknownDataset, UnknownColumn, ProgrammingError: with position.
    """
    if isinstance(node, qu.Join):
        return _join(node, scope)
    if isinstance(node, qu.QuerySource):
        return _query(node, scope)
    if isinstance(node, qu.FunctionSource):
        return _series(node, scope)
    return _table(node, scope)


def _table(node: qu.TableSource, scope: QueryScope) -> Ref:
    alias = node.alias.name.text if node.alias is not None else node.table.name
    relation = scope.whole.relation()
    cte = scope.cte(node.table.name) if node.table.owner is None else None
    if cte is not None:
        columns = _fields(relation, cte.columns, node.alias, node.position)
        _add(scope, Source(alias, columns), node.position)
        return CteRef(relation, cte.number)
    table = table_of(node.table, scope.whole.catalogue)
    if table.view:
        return _view(table, node, scope, relation)
    scope.whole.tables.setdefault(table.dataset, table)
    named = [(column.name, column.type) for column in table.columns]
    source = Source(
        alias,
        _fields(relation, named, node.alias, node.position),
        owner=node.table.owner if node.alias is None else None,
    )
    source.table = TableRef(relation, table)
    _add(scope, source, node.position)
    return source.table


def _view(table: TableSchema, node: qu.TableSource, scope: QueryScope, relation: int) -> Ref:
    """A view's query sees nothing of the query that names it."""
    from mfdb.sql.relational.bind_query import bind_query

    whole = scope.whole
    if table.dataset in whole.views:
        raise InvalidDefinition(f"view {table.name} reads itself", position=node.position)
    whole.views.append(table.dataset)
    try:
        query = bind_query(query_of(table), QueryScope(whole, None))
    except MfdbError as error:
        error.position = node.position  # its own is a place in the view's text
        raise
    whole.views.pop()
    names = [column.name for column in table.columns]
    if len(query.outputs) != len(names):
        raise InvalidDefinition(
            f"view {table.name} has {len(names)} columns, its query gives {len(query.outputs)}",
            hint="CREATE OR REPLACE VIEW",
            position=node.position,
        )
    named = list(zip(names, (output.type for output in query.outputs), strict=True))
    alias = node.alias.name.text if node.alias is not None else node.table.name
    columns = _fields(relation, named, node.alias, node.position)
    _add(scope, Source(alias, columns), node.position)
    return QueryRef(relation, query)


def _query(node: qu.QuerySource, scope: QueryScope) -> Ref:
    from mfdb.sql.relational.bind_query import bind_query

    # A query in FROM sees the queries around this one, and WITH, but not its neighbours.
    outside = scope
    if not node.lateral:
        outside = QueryScope(scope.whole, scope.parent)
        outside.ctes = scope.ctes
    query = bind_query(node.query, outside)
    relation = scope.whole.relation()
    named = [(output.name, output.type) for output in query.outputs]
    columns = _fields(relation, named, node.alias, node.position)
    _add(scope, Source(node.alias.name.text, columns), node.position)
    return QueryRef(relation, query, node.lateral)


def _series(node: qu.FunctionSource, scope: QueryScope) -> Ref:
    """A function sees the sources before it; its column has its alias's name, or its own."""
    from mfdb.sql.relational.bind_series import bind_series

    series = bind_series(node.call, scope)
    name = node.call.name if node.alias is None else node.alias.name.text
    relation = scope.whole.relation()
    named = [(name, series.type), *([("ordinality", BIGINT)] if node.ordinality else [])]
    columns = _fields(relation, named, node.alias, node.position)
    _add(scope, Source(name, columns), node.position)
    return SeriesRef(relation, series, node.ordinality)


def _fields(
    relation: int,
    named: Iterable[tuple[str, SqlType]],
    alias: qu.Alias | None,
    position: int,
) -> list[Column]:
    columns = list(named)
    given = alias.columns if alias is not None else ()
    if len(given) > len(columns):
        raise _too_many(given, len(columns))
    names = [name.text for name in given] + [name for name, _ in columns[len(given) :]]
    return [
        (
            name,
            RelationField(type=kind, position=position, index=place, name=name, relation=relation),
        )
        for place, (name, (_, kind)) in enumerate(zip(names, columns, strict=True))
    ]


def _add(scope: QueryScope, source: Source, position: int) -> None:
    scope.add(source, position)
    scope.star.extend(source.columns)


# ---- joins


def _join(node: qu.Join, scope: QueryScope) -> JoinRef:
    """Both sides are bound in turn; ON sees only them, so the other sources are set aside."""
    before, sources = scope.star, scope.sources
    scope.star, scope.sources = [], []
    left = bind_source(node.left, scope)
    left_star, left_sources = scope.star, scope.sources
    right_star: list[Column]
    if _sees_before(node.right) and node.kind in ("CROSS", "INNER", "LEFT"):
        scope.star, scope.sources = list(left_star), list(left_sources)
        right = bind_source(node.right, scope)
        right_star = scope.star[len(left_star) :]
        scope.sources = scope.sources[len(left_sources) :]
    else:
        scope.star, scope.sources = [], []
        right = bind_source(node.right, scope)
        right_star = scope.star
    for source in scope.sources:
        if any(one.name == source.name and one.owner == source.owner for one in left_sources):
            scope.sources = left_sources
            scope.add(source, node.right.position)
    scope.star = [*left_star, *right_star]
    scope.sources = [*left_sources, *scope.sources]
    condition = None
    if node.using is not None:
        condition, scope.star = _using(node, left_star, right_star, scope)
    elif node.kind != "CROSS":
        condition = bind_condition(node.condition, scope, "ON")
    joined = _renamed(node, scope)
    scope.star, scope.sources = [*before, *scope.star], sources
    for source in joined:
        scope.add(source, node.position)
    return JoinRef(node.kind, left, right, condition)


def _renamed(node: qu.Join, scope: QueryScope) -> list[Source]:
    """Return the names of a join: a name of its own hides those inside it."""
    if node.alias is not None:
        given = node.alias.columns
        if len(given) > len(scope.star):
            raise _too_many(given, len(scope.star))
        names = [name.text for name in given] + [name for name, _ in scope.star[len(given) :]]
        scope.star = [(name, bound) for name, (_, bound) in zip(names, scope.star, strict=True)]
        return [Source(node.alias.name.text, scope.star)]
    if node.shared is not None:
        merged = scope.star[: len(node.using or ())]
        return [*scope.sources, Source(node.shared.text, merged)]
    return scope.sources


def _too_many(given: tuple[st.Name, ...], count: int) -> SqlSyntax:
    return SqlSyntax(
        f"there are {count} columns, {len(given)} are named", position=given[count].position
    )


def _sees_before(node: qu.FromItem) -> bool:
    return isinstance(node, qu.FunctionSource) or (
        isinstance(node, qu.QuerySource) and node.lateral
    )


def _using(
    node: qu.Join, left: list[Column], right: list[Column], scope: QueryScope
) -> tuple[Bound | None, list[Column]]:
    """Return the condition of USING or NATURAL, and the columns: the common ones first, once."""
    using = node.using or ()
    common = [(name.text, name.position) for name in using]
    if not common:
        right_names = {name for name, _ in right}
        common = [(name, node.position) for name, _ in left if name in right_names]
    pairs = [
        (name, _only(name, left, position), _only(name, right, position))
        for name, position in common
    ]
    tests = [compare("=", one, other, scope.parameters, node.position) for _, one, other in pairs]
    names = {name for name, _, _ in pairs}
    merged = [(name, _merged(node, one, other, scope)) for name, one, other in pairs]
    rest = [column for column in (*left, *right) if column[0] not in names]
    if not tests:
        return None, [*merged, *rest]
    condition = (
        tests[0]
        if len(tests) == 1
        else Lazy(type=BOOLEAN, position=node.position, operator="and", operands=tuple(tests))
    )
    return condition, [*merged, *rest]


def _only(name: str, columns: list[Column], position: int) -> Bound:
    found = [bound for other, bound in columns if other == name]
    if not found:
        raise UnknownColumn(
            f"column {name} of USING is not on both sides of the join", position=position
        )
    if len(found) > 1:
        raise AmbiguousColumn(f"column {name} is twice on one side of the join", position=position)
    return found[0]


def _merged(node: qu.Join, left: Bound, right: Bound, scope: QueryScope) -> Bound:
    if node.kind == "RIGHT":
        return right
    if node.kind != "FULL":
        return left
    operands, kind = unify((left, right), scope.parameters, node.position, "USING")
    return Lazy(type=kind, position=node.position, operator="coalesce", operands=tuple(operands))
