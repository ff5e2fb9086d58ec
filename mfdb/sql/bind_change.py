"""Binding INSERT, UPDATE and DELETE: which columns get which values, and what is returned.

What names other datasets (FROM, USING, WITH, queries inside expressions) has a query of the
relational route found first: `bind_joined`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard

import msgspec

from mfdb.kernel.errors import (
    DuplicateColumn,
    GeneratedColumn,
    MfdbError,
    NotSupportedError,
    SqlSyntax,
)
from mfdb.sql import query as qu
from mfdb.sql import statement as st
from mfdb.sql.access import key_access
from mfdb.sql.bind_conflict import bind_conflict
from mfdb.sql.bind_expression import Scope, bind_condition, unknown_column
from mfdb.sql.bind_expression import bind as bind_expression
from mfdb.sql.bind_items import items_of, outputs_of, parameters_of
from mfdb.sql.bound import Asked, Bound, BoundDelete, BoundInsert, BoundUpdate, Field, Source
from mfdb.sql.coerce import coerce
from mfdb.sql.convert import placed
from mfdb.sql.names import table_of
from mfdb.sql.views import writable

if TYPE_CHECKING:
    from mfdb.sql.bound import Output
    from mfdb.sql.catalogue import Catalogue, ColumnSchema, TableSchema
    from mfdb.sql.coerce import ParameterList
    from mfdb.sql.relational.tree import BoundRelational

Row = tuple[Bound | None, ...]


def changed_table(name: st.TableName, catalogue: Catalogue) -> TableSchema:
    """Return the dataset that a change is about.

    Raises:
        UnknownDataset: there is none of that name.
        WrongObject: it is a view, or a relation that only tells something.
    """
    return writable(table_of(name, catalogue), name)


# ---- INSERT


def bind_insert(node: st.Insert, catalogue: Catalogue) -> BoundInsert:
    """Return an INSERT with a value, or its default, for every column of each row.

    Raises:
        ProgrammingError, DataError: it cannot mean anything here; position says where.
    """
    table = changed_table(node.table, catalogue)
    scope = Scope(table, node.alias)
    places = target_places(node.columns, table)
    fill = _values if node.query is None else _rows_of
    query, rows = fill(node, places, table, scope, catalogue)
    conflict = None
    if node.on_conflict is not None:
        named = None if node.columns is None else places
        conflict = bind_conflict(node, table, scope, named, catalogue)
    names, returning, asked = _returned(node, table, scope, catalogue)
    return BoundInsert(
        table=table,
        rows=rows,
        query=query,
        on_conflict=conflict,
        outputs=outputs_of(names, returning),
        returning=tuple(returning),
        asked=asked,
        parameters=parameters_of(scope),
    )


def _returned(
    node: st.Insert | st.Update | st.Delete,
    table: TableSchema,
    scope: Scope,
    catalogue: Catalogue,
) -> tuple[list[str], list[Bound], Asked | None]:
    """Return what RETURNING names, of the changed row or of a query that is asked about it."""
    try:
        return (*items_of(node.returning, scope), None)
    except NotSupportedError:
        if not scope.needs_relational:
            raise
    from mfdb.sql.relational.bind_asked import Asking, ask_returning, of_table

    row = of_table(table, node.alias or table.name, node.table.owner)
    return ask_returning(node, Asking("returning", [row], catalogue, scope.parameters))


def _rows_of(
    node: st.Insert, places: list[int], table: TableSchema, scope: Scope, catalogue: Catalogue
) -> tuple[BoundRelational | None, tuple[Row, ...]]:
    """Return the query of INSERT ... SELECT, and a row's values made of one row of it."""
    from mfdb.sql.relational.bind_query import bind_relational

    assert node.query is not None
    wanted = [table.columns[place].type for place in places]
    asked = _with(node, qu.as_query(node.query))
    query = bind_relational(asked, catalogue, scope.parameters, wanted)
    width = len(query.outputs)
    if width > len(places) or (node.columns is not None and width < len(places)):
        raise SqlSyntax(
            f"{width} values for {len(places)} columns",
            hint="the query gives one column for each column named",
            position=node.query.position,
        )
    values: list[Bound | None] = [None] * len(table.columns)
    for index, (place, output) in enumerate(zip(places, query.outputs, strict=False)):
        field = _taken(output, index, node.query.position)
        values[place] = assigned_to(table.columns[place], field, scope.parameters)
    return query, (tuple(values),)


def _with(node: st.Insert, query: qu.Query) -> qu.Query:
    """A query of WITH before INSERT is seen by the query behind it."""
    if not node.ctes:
        return query
    return msgspec.structs.replace(
        query,
        ctes=(*node.ctes, *query.ctes),
        recursive=node.recursive or query.recursive,
    )


def _taken(output: Output, index: int, position: int) -> Field:
    return Field(type=output.type, position=position, index=index, name=output.name)


def _values(
    node: st.Insert, places: list[int], table: TableSchema, scope: Scope, catalogue: Catalogue
) -> tuple[BoundRelational | None, tuple[Row, ...]]:
    """Return the rows of VALUES; what holds queries is computed by one query before."""
    values = Scope(None)
    values.parameters = scope.parameters
    rows = node.rows if node.rows is not None else ((),)
    asked: list[st.Expression] = []
    for row in rows:
        _check_width(row, places, node)
        asked += filter(_needs_query, row)
    if not asked:
        return None, tuple(_row(row, places, table, values, {}) for row in rows)
    query = _query_of(asked, node, scope, catalogue)
    fields = {
        id(value): _taken(output, index, value.position)
        for index, (value, output) in enumerate(zip(asked, query.outputs, strict=True))
    }
    return query, tuple(_row(row, places, table, values, fields) for row in rows)


def _needs_query(value: st.Expression | st.DefaultValue) -> TypeGuard[st.Expression]:
    return isinstance(value, st.Expression) and any(
        isinstance(part, qu.Query) for part in qu.parts_of(value)
    )


def _query_of(
    asked: list[st.Expression], node: st.Insert, scope: Scope, catalogue: Catalogue
) -> BoundRelational:
    from mfdb.sql.relational.bind_query import bind_relational

    items = tuple(st.Item(position=value.position, expression=value) for value in asked)
    core = qu.SelectCore(position=node.position, items=items)
    query = _with(node, qu.Query(position=node.position, body=core))
    return bind_relational(query, catalogue, scope.parameters)


def _check_width(
    row: tuple[st.Expression | st.DefaultValue, ...], places: list[int], given: st.Insert
) -> None:
    if len(row) > len(places) or (given.columns is not None and row and len(row) < len(places)):
        at = row[len(places)].position if len(row) > len(places) else row[0].position
        raise SqlSyntax(
            f"{len(row)} values for {len(places)} columns",
            hint="a row has one value for each column named",
            position=at,
        )


def _row(
    row: tuple[st.Expression | st.DefaultValue, ...],
    places: list[int],
    table: TableSchema,
    scope: Scope,
    asked: dict[int, Field],
) -> Row:
    values: list[Bound | None] = [None] * len(table.columns)
    for place, node in zip(places, row, strict=False):
        column = table.columns[place]
        field = asked.get(id(node))
        if field is not None:
            values[place] = assigned_to(column, field, scope.parameters)
        else:
            values[place] = assigned(node, column, scope)
    return tuple(values)


def target_places(columns: tuple[st.Name, ...] | None, table: TableSchema) -> list[int]:
    """Return the places of the columns that an INSERT gives values for.

    Raises:
        UnknownColumn, DuplicateColumn: with position.
    """
    if columns is None:
        return list(range(len(table.columns)))
    places: list[int] = []
    for name in columns:
        place = place_of(name, table)
        if place in places:
            raise DuplicateColumn(f"column {name.text} is named twice", position=name.position)
        places.append(place)
    return places


# ---- what columns are set to


def place_of(name: st.Name, table: TableSchema) -> int:
    """Return the place of a column.

    Raises:
        UnknownColumn: the dataset has none of that name.
    """
    place = table.place(name.text)
    if place is None:
        raise unknown_column(name.text, table, name.position)
    return place


def assigned(
    node: st.Expression | st.DefaultValue, column: ColumnSchema, scope: Scope
) -> Bound | None:
    """Return a value as a column takes it, None for its default.

    Raises:
        ProgrammingError, DataError: the column does not take it.
    """
    if isinstance(node, st.DefaultValue):
        return None
    bound = bind_expression(node, scope)
    try:
        return assigned_to(column, bound, scope.parameters)
    except MfdbError as error:
        raise placed(error, node.position) from None


def assigned_to(column: ColumnSchema, bound: Bound, parameters: ParameterList) -> Bound:
    """Return a bound value as a column takes it.

    Raises:
        BadType, InvalidText: the column does not take it.
        GeneratedColumn: the column takes none but its own number.
    """
    if column.is_generated:
        raise GeneratedColumn(
            f"column {column.name} numbers itself, ALWAYS",
            hint="leave the column out, or write DEFAULT",
            position=bound.position,
        )
    return coerce(bound, column.type, parameters, assign=True, what=f"column {column.name}")


def assignments_of(
    nodes: tuple[st.Assignment, ...], table: TableSchema, scope: Scope
) -> tuple[tuple[int, Bound | None], ...]:
    """Return the columns that SET names, each with its value, None for its default.

    Raises:
        UnknownColumn, DuplicateColumn, DataError: with position.
    """
    places = set_places(nodes, table)
    return tuple(
        (place, assigned(node.value, table.columns[place], scope))
        for place, node in zip(places, nodes, strict=True)
    )


def set_places(nodes: tuple[st.Assignment, ...], table: TableSchema) -> list[int]:
    """Return the places of the columns that SET names.

    Raises:
        UnknownColumn, DuplicateColumn: with position.
    """
    places: list[int] = []
    for node in nodes:
        place = place_of(node.column, table)
        if place in places:
            raise DuplicateColumn(f"column {node.column.text} is set twice", position=node.position)
        places.append(place)
    return places


# ---- UPDATE and DELETE


def _source(table: TableSchema, where: st.Expression | None, scope: Scope) -> Source:
    condition = bind_condition(where, scope, "WHERE")
    return Source(table=table, where=condition, access=key_access(condition, table))


def bind_update(node: st.Update, catalogue: Catalogue) -> BoundUpdate:
    """Return an UPDATE with its rows, its new values and what it returns.

    Raises:
        ProgrammingError, DataError: it cannot mean anything here; position says where.
    """
    table = changed_table(node.table, catalogue)
    scope = Scope(table, node.alias)
    if not node.sources and not node.ctes:
        try:
            return _plain_update(node, table, scope, catalogue)
        except NotSupportedError:
            if not scope.needs_relational:
                raise
    from mfdb.sql.relational.bind_joined import bind_joined_update

    return bind_joined_update(node, table, catalogue)


def _plain_update(
    node: st.Update, table: TableSchema, scope: Scope, catalogue: Catalogue
) -> BoundUpdate:
    assignments = assignments_of(node.assignments, table, scope)
    source = _source(table, node.where, scope)
    names, returning, asked = _returned(node, table, scope, catalogue)
    return BoundUpdate(
        source=source,
        assignments=assignments,
        outputs=outputs_of(names, returning),
        returning=tuple(returning),
        asked=asked,
        parameters=parameters_of(scope),
    )


def bind_delete(node: st.Delete, catalogue: Catalogue) -> BoundDelete:
    """Return a DELETE with its rows and what it returns.

    Raises:
        ProgrammingError, DataError: it cannot mean anything here; position says where.
    """
    table = changed_table(node.table, catalogue)
    scope = Scope(table, node.alias)
    if not node.sources and not node.ctes:
        try:
            return _plain_delete(node, table, scope, catalogue)
        except NotSupportedError:
            if not scope.needs_relational:
                raise
    from mfdb.sql.relational.bind_joined import bind_joined_delete

    return bind_joined_delete(node, table, catalogue)


def _plain_delete(
    node: st.Delete, table: TableSchema, scope: Scope, catalogue: Catalogue
) -> BoundDelete:
    source = _source(table, node.where, scope)
    names, returning, asked = _returned(node, table, scope, catalogue)
    return BoundDelete(
        source=source,
        outputs=outputs_of(names, returning),
        returning=tuple(returning),
        asked=asked,
        parameters=parameters_of(scope),
    )
