"""Binding statements: from what was written to what is to be done, checked against the catalogue.

1. `parse` gives a statement;
2. `bind` looks its dataset up, resolves columns, gives every expression a type, and chooses
   what the primary key can answer;
3. `execute.py` and `dml.py` carry queries out; definitions go to the session as bound.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from mfdb.kernel.errors import (
    AmbiguousColumn,
    BadType,
    DuplicateColumn,
    MfdbError,
    NotSupportedError,
    ProgrammingError,
    SqlSyntax,
    UngroupedColumn,
    UnknownDataset,
)
from mfdb.sql import query as qu
from mfdb.sql import statement as st
from mfdb.sql.access import key_access
from mfdb.sql.bind_definition import bind_create, bind_grant, bind_index, bind_revoke
from mfdb.sql.bind_expression import Scope, bind_condition, is_free_of_rows, unknown_column
from mfdb.sql.bind_expression import bind as bind_expression
from mfdb.sql.bound import (
    Bound,
    BoundDelete,
    BoundDescribe,
    BoundExplain,
    BoundInsert,
    BoundSelect,
    BoundStatement,
    BoundSubscribe,
    BoundUpdate,
    Field,
    Output,
    Parameters,
    Sort,
    Source,
)
from mfdb.sql.coerce import coerce, settle
from mfdb.sql.convert import placed
from mfdb.sql.relational.tree import shape
from mfdb.sql.types import BIGINT, TEXT

if TYPE_CHECKING:
    from collections.abc import Callable

    from mfdb.sql.catalogue import Catalogue, ColumnSchema, TableSchema
    from mfdb.sql.relational.tree import BoundRelational


ITEMS = 1_664
"""Most items of a SELECT or RETURNING, and most sort keys (PostgreSQL's limit)."""


def bind(statement: st.Statement, catalogue: Catalogue) -> BoundStatement:
    """Return a statement with every name resolved and every expression typed.

    Statements that only name things (SHOW, SET, DROP, BEGIN ...) come back as they are.

    Raises:
        ProgrammingError, DataError: it cannot mean anything here; position says where.
    """
    binder = _BINDERS.get(type(statement))
    if binder is None:
        return statement  # type: ignore[return-value] # every other kind is carried out as parsed
    bound: BoundStatement = binder(statement, catalogue)
    return bound


def table_of(name: st.TableName, catalogue: Catalogue) -> TableSchema:
    """Return the dataset that a name means.

    Raises:
        UnknownDataset: none; the hint names the nearest.
    """
    table = catalogue.table(name)
    if table is not None:
        return table
    near = difflib.get_close_matches(name.name, list(catalogue.names()), n=1, cutoff=0.6)
    hint = f"did you mean {near[0]}?" if near else "SHOW DATASETS lists those that are known"
    raise UnknownDataset(f"there is no dataset {name}", hint=hint, position=name.position)


def _parameters(scope: Scope) -> Parameters:
    found = scope.parameters
    return Parameters(found.style, found.count, tuple(found.slots))


# ---- SELECT


def _select(node: st.Select, catalogue: Catalogue) -> BoundSelect | BoundRelational:
    """Bind for the row route, or for the relational one where an expression needs it."""
    table = table_of(node.table, catalogue) if node.table is not None else None
    scope = Scope(table, node.alias)
    try:
        return _row_select(node, table, scope)
    except NotSupportedError:
        if not scope.needs_relational:
            raise
    return _relational(node, catalogue)


def _relational(node: st.Select | qu.Query, catalogue: Catalogue) -> BoundRelational:
    from mfdb.sql.relational.bind_query import bind_relational

    return bind_relational(node, catalogue)


def _row_select(node: st.Select, table: TableSchema | None, scope: Scope) -> BoundSelect:
    scope.aggregates_allowed = True
    names, items = _items(node.items, scope)
    where = bind_condition(node.where, scope, "WHERE")
    if len(node.order_by) > ITEMS:
        raise SqlSyntax(
            f"there are more than {ITEMS} sort keys", position=node.order_by[ITEMS].position
        )
    order_by = tuple(_sort(item, names, items, scope) for item in node.order_by)
    scope.aggregates_allowed = False
    limit, offset = _count(node.limit, scope, "LIMIT"), _count(node.offset, scope, "OFFSET")
    if scope.aggregates:
        _refuse_bare_columns(node, scope)
    source = None
    if table is not None:
        wanted = () if scope.aggregates else order_by
        access = key_access(where, table, wanted, limited=limit is not None)
        source = Source(table=table, where=where, access=access)
    return BoundSelect(
        outputs=_outputs(names, items),
        items=tuple(items),
        source=source,
        condition=where if table is None else None,
        aggregates=tuple(scope.aggregates),
        order_by=order_by,
        limit=limit,
        offset=offset,
        parameters=_parameters(scope),
    )


def _refuse_bare_columns(node: st.Select, scope: Scope) -> None:
    """A WHERE may name columns beside aggregates, the items and ORDER BY may not."""
    inside = Scope(scope.table, scope.alias)
    inside.aggregates_allowed = True
    names, items = _items(node.items, inside)
    for item in node.order_by:
        _sort(item, names, items, inside)
    if inside.bare_columns:
        field = inside.bare_columns[0]
        raise UngroupedColumn(
            f"column {field.name} stands beside an aggregate",
            hint="put it into an aggregate, min for example",
            position=field.position,
        )


def _items(items: tuple[st.Item | st.Star, ...], scope: Scope) -> tuple[list[str], list[Bound]]:
    if len(items) > ITEMS:
        raise SqlSyntax(f"there are more than {ITEMS} items", position=items[ITEMS].position)
    names: list[str] = []
    found: list[Bound] = []
    for item in items:
        if isinstance(item, st.Star):
            for column in _star(item, scope):
                names.append(column.name)
                reference = st.ColumnRef(position=item.position, name=column.name)
                found.append(scope.column(reference))
        else:
            names.append(item.name or name_of(item.expression))
            found.append(settle(bind_expression(item.expression, scope), scope.parameters))
    return names, found


def _star(star: st.Star, scope: Scope) -> tuple[ColumnSchema, ...]:
    if scope.table is None:
        raise SqlSyntax("* needs FROM", position=star.position)
    if star.table is not None and star.table != (scope.alias or scope.table.name):
        raise UnknownDataset(
            f"{star.table} is no dataset of this statement", position=star.position
        )
    return scope.table.columns


def name_of(node: st.Expression) -> str:
    """Return the name of a result column as PostgreSQL gives it."""
    if isinstance(node, qu.WindowCall):
        return node.call.name
    if isinstance(node, qu.Exists):
        return "exists"
    if isinstance(node, qu.Subquery):
        return _first_name(node.query)
    match node:
        case st.ColumnRef():
            return node.name
        case st.Call():
            return node.name
        case st.Case():
            return "case"
        case st.Cast():
            inner = name_of(node.operand)
            return node.type.name if inner == "?column?" else inner
        case _:
            return "?column?"


def _first_name(query: qu.Query) -> str:
    """A scalar subquery is called like its column."""
    core = query.body
    if isinstance(core, qu.SelectCore) and isinstance(core.items[0], st.Item):
        return core.items[0].name or name_of(core.items[0].expression)
    return "?column?"


def _outputs(names: list[str], items: list[Bound]) -> tuple[Output, ...]:
    return tuple(Output(name, item.type) for name, item in zip(names, items, strict=True))


def _sort(item: st.OrderItem, names: list[str], items: list[Bound], scope: Scope) -> Sort:
    node = item.expression
    if isinstance(node, st.Constant) and node.kind == "integer" and isinstance(node.value, int):
        if not 1 <= node.value <= len(items):
            raise SqlSyntax(
                f"ORDER BY {node.value} names no item",
                position=node.position,
                hint=f"there are {len(items)}",
            )
        expression = items[node.value - 1]
    elif isinstance(node, st.ColumnRef) and node.table is None and node.name in names:
        expression = items[named_item(node, names, items)]
    else:
        expression = settle(bind_expression(node, scope), scope.parameters)
    if expression.type.family == "json":
        raise BadType("JSON has no order", position=item.position)
    return Sort(expression, item.descending, item.nulls_first)


def named_item(node: st.ColumnRef, names: list[str], items: list[Bound]) -> int:
    """Return the item that a name in ORDER BY means; one is called so.

    Raises:
        AmbiguousColumn: different items are.
    """
    found = [place for place, name in enumerate(names) if name == node.name]
    if len({shape(items[place]) for place in found}) > 1:
        raise AmbiguousColumn(
            f"ORDER BY {node.name} could be several items",
            hint="order by the number of the item, or name them apart",
            position=node.position,
        )
    return found[0]


def _count(node: st.Expression | None, scope: Scope, what: str) -> Bound | None:
    if node is None:
        return None
    bound = coerce(bind_expression(node, scope), BIGINT, scope.parameters, what=what)
    if not is_free_of_rows(bound):
        raise BadType(f"{what} cannot name columns", position=node.position)
    return bound


# ---- changes


def _insert(node: st.Insert, catalogue: Catalogue) -> BoundInsert:
    table = table_of(node.table, catalogue)
    scope = Scope(table)
    places = _target_places(node.columns, table)
    values = Scope(None)
    values.parameters = scope.parameters
    rows = node.rows if node.rows is not None else ((),)
    bound = tuple(_row(row, places, table, values, given=node) for row in rows)
    query = None
    if node.query is not None:
        query, row = _rows_of(node, places, table, values, catalogue)
        bound = (row,)
    names, returning = _items(node.returning, scope)
    return BoundInsert(
        table=table,
        rows=bound,
        query=query,
        outputs=_outputs(names, returning),
        returning=tuple(returning),
        parameters=_parameters(scope),
    )


def _rows_of(
    node: st.Insert, places: list[int], table: TableSchema, scope: Scope, catalogue: Catalogue
) -> tuple[BoundRelational, tuple[Bound | None, ...]]:
    """Return the query of INSERT ... SELECT, and a row's values made of one row of it."""
    from mfdb.sql.relational.bind_query import bind_relational

    assert node.query is not None
    query = bind_relational(node.query, catalogue, scope.parameters)
    width = len(query.outputs)
    if width > len(places) or (node.columns is not None and width < len(places)):
        raise SqlSyntax(
            f"{width} values for {len(places)} columns",
            hint="the query gives one column for each column named",
            position=node.query.position,
        )
    values: list[Bound | None] = [None] * len(table.columns)
    for index, (place, output) in enumerate(zip(places, query.outputs, strict=False)):
        column = table.columns[place]
        field = Field(type=output.type, position=node.query.position, index=index, name=output.name)
        what = f"column {column.name}"
        values[place] = coerce(field, column.type, scope.parameters, assign=True, what=what)
    return query, tuple(values)


def _target_places(columns: tuple[st.Name, ...] | None, table: TableSchema) -> list[int]:
    if columns is None:
        return list(range(len(table.columns)))
    places: list[int] = []
    for name in columns:
        place = _place(name, table)
        if place in places:
            raise DuplicateColumn(f"column {name.text} is named twice", position=name.position)
        places.append(place)
    return places


def _place(name: st.Name, table: TableSchema) -> int:
    place = table.place(name.text)
    if place is None:
        raise unknown_column(name.text, table, name.position)
    return place


def _row(
    row: tuple[st.Expression | st.DefaultValue, ...],
    places: list[int],
    table: TableSchema,
    scope: Scope,
    *,
    given: st.Insert,
) -> tuple[Bound | None, ...]:
    if len(row) > len(places) or (given.columns is not None and row and len(row) < len(places)):
        at = row[len(places)].position if len(row) > len(places) else row[0].position
        raise SqlSyntax(
            f"{len(row)} values for {len(places)} columns",
            hint="a row has one value for each column named",
            position=at,
        )
    values: list[Bound | None] = [None] * len(table.columns)
    for place, node in zip(places, row, strict=False):
        values[place] = _assigned(node, table.columns[place], scope)
    return tuple(values)


def _assigned(
    node: st.Expression | st.DefaultValue, column: ColumnSchema, scope: Scope
) -> Bound | None:
    if isinstance(node, st.DefaultValue):
        return None
    bound = bind_expression(node, scope)
    what = f"column {column.name}"
    try:
        return coerce(bound, column.type, scope.parameters, assign=True, what=what)
    except MfdbError as error:
        raise placed(error, node.position) from None


def _source(table: TableSchema, where: st.Expression | None, scope: Scope) -> Source:
    condition = bind_condition(where, scope, "WHERE")
    return Source(table=table, where=condition, access=key_access(condition, table))


def _update(node: st.Update, catalogue: Catalogue) -> BoundUpdate:
    table = table_of(node.table, catalogue)
    scope = Scope(table)
    assignments: list[tuple[int, Bound | None]] = []
    for assignment in node.assignments:
        place = _place(assignment.column, table)
        if any(place == other for other, _ in assignments):
            raise DuplicateColumn(
                f"column {assignment.column.text} is set twice", position=assignment.position
            )
        assignments.append((place, _assigned(assignment.value, table.columns[place], scope)))
    source = _source(table, node.where, scope)
    names, returning = _items(node.returning, scope)
    return BoundUpdate(
        source=source,
        assignments=tuple(assignments),
        outputs=_outputs(names, returning),
        returning=tuple(returning),
        parameters=_parameters(scope),
    )


def _delete(node: st.Delete, catalogue: Catalogue) -> BoundDelete:
    table = table_of(node.table, catalogue)
    scope = Scope(table)
    source = _source(table, node.where, scope)
    names, returning = _items(node.returning, scope)
    return BoundDelete(
        source=source,
        outputs=_outputs(names, returning),
        returning=tuple(returning),
        parameters=_parameters(scope),
    )


# ---- the rest


def _subscribe(node: st.Subscribe, catalogue: Catalogue) -> BoundSubscribe:
    query = _select(node.query, catalogue)
    if (
        not isinstance(query, BoundSelect)
        or query.source is None
        or query.aggregates
        or query.order_by
        or query.limit
        or query.offset
    ):
        raise ProgrammingError(
            "a subscription is to rows of one dataset, as they change",
            hint="leave out aggregates, ORDER BY and LIMIT",
            position=node.query.position,
        )
    scope = Scope(None)
    since = None
    if node.since is not None:
        since = coerce(bind_expression(node.since, scope), TEXT, scope.parameters)
    return BoundSubscribe(query=query, since=since, parameters=_parameters(scope))


def _describe(node: st.Describe, catalogue: Catalogue) -> BoundDescribe:
    return BoundDescribe(table=table_of(node.table, catalogue))


def _explain(node: st.Explain, catalogue: Catalogue) -> BoundExplain:
    query: Any = _BINDERS[type(node.statement)](node.statement, catalogue)
    return BoundExplain(statement=query)


def _grant(node: st.Grant, catalogue: Catalogue) -> Any:
    return bind_grant(node, table_of(node.table, catalogue))


def _revoke(node: st.Revoke, catalogue: Catalogue) -> Any:
    return bind_revoke(node, table_of(node.table, catalogue))


def _create(node: st.CreateDataset, _catalogue: Catalogue) -> Any:
    return bind_create(node)


def _index(node: st.CreateIndex, catalogue: Catalogue) -> Any:
    return bind_index(node, table_of(node.table, catalogue))


_BINDERS: dict[type, Callable[[Any, Catalogue], Any]] = {
    st.Select: _select,
    qu.Query: _relational,
    st.Insert: _insert,
    st.Update: _update,
    st.Delete: _delete,
    st.Subscribe: _subscribe,
    st.Describe: _describe,
    st.Explain: _explain,
    st.Grant: _grant,
    st.Revoke: _revoke,
    st.CreateDataset: _create,
    st.CreateIndex: _index,
}

__all__ = ["bind", "table_of"]
