"""Binding ON CONFLICT: which keys it is about, and what becomes of the row that is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.kernel.errors import AmbiguousColumn, NotSupportedError, UnknownConstraint
from mfdb.sql.bind_expression import Scope, bind_condition, unknown_column
from mfdb.sql.bound import Bound, BoundConflict, Field, Value
from mfdb.sql.statement import DefaultValue
from mfdb.sql.types import BOOLEAN
from mfdb.sql.unique import unique_keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfdb.sql import statement as st
    from mfdb.sql.catalogue import Catalogue, TableSchema
    from mfdb.sql.relational.scope import QueryScope
    from mfdb.sql.unique import UniqueKey

EXCLUDED = "excluded"
"""What the row is called that could not be inserted."""


class ConflictScope(Scope):
    """The columns of the row that is there, and behind them those of the row that was to come."""

    def __init__(self, table: TableSchema, given: Scope) -> None:
        super().__init__(table, given.alias)
        self._columns = table
        self.parameters = given.parameters

    def column(self, ref: st.ColumnRef) -> Bound:
        """Return the column of either row that a name means.

        Raises:
            AmbiguousColumn: it does not say of which row.
            UnknownColumn, UnknownDataset: there is no such column.
        """
        table = self._columns
        if ref.table is not None and ref.table != EXCLUDED:
            return super().column(ref)
        place = table.place(ref.name)
        if place is None:
            raise unknown_column(ref.name, table, ref.position)
        if ref.table is None:
            name = self.alias or table.name
            raise AmbiguousColumn(
                f"column {ref.name} could be that of the row there or of the new one",
                hint=f"write {name}.{ref.name} or {EXCLUDED}.{ref.name}",
                position=ref.position,
            )
        return _excluded(table, place, ref.position)


def _excluded(table: TableSchema, place: int, position: int) -> Field:
    column = table.columns[place]
    index = len(table.columns) + place
    return Field(type=column.type, position=position, index=index, name=column.name)


def bind_conflict(
    insert: st.Insert,
    table: TableSchema,
    scope: Scope,
    named: Sequence[int] | None,
    catalogue: Catalogue,
) -> BoundConflict | None:
    """Return what happens to rows whose key is taken; `named` are the columns of the INSERT.

    Raises:
        UnknownConstraint: no rule makes these columns unique.
        ProgrammingError, DataError: with position.
    """
    node = insert.on_conflict
    assert node is not None, "whoever asks has one"
    if node.action == "upsert":
        return _upsert(node, table, named)
    keys = _keys(node, table)
    if node.action != "update":
        return BoundConflict(action=node.action, keys=keys)
    both = ConflictScope(table, scope)
    try:
        return _updating(node, keys, table, both)
    except NotSupportedError:
        if not both.needs_relational:
            raise
    return _asking(insert, keys, table, scope, catalogue)


def _updating(
    node: st.OnConflict, keys: tuple[UniqueKey, ...], table: TableSchema, both: ConflictScope
) -> BoundConflict:
    from mfdb.sql.bind_change import assignments_of

    return BoundConflict(
        action="update",
        keys=keys,
        assignments=assignments_of(node.assignments, table, both),
        where=bind_condition(node.where, both, "WHERE"),
    )


def _asking(
    insert: st.Insert,
    keys: tuple[UniqueKey, ...],
    table: TableSchema,
    scope: Scope,
    catalogue: Catalogue,
) -> BoundConflict:
    """Return an update whose values a query computes of the pairs of rows that meet."""
    from mfdb.sql.relational.bind_asked import Asking, of_table

    node = insert.on_conflict
    assert node is not None, "whoever asks has one"
    width = len(table.columns)
    there = of_table(table, insert.alias or table.name, insert.table.owner)
    new = of_table(table, EXCLUDED, first=width)
    asking = Asking("conflict", [there, new], catalogue, scope.parameters)
    asking.with_queries(insert.ctes, recursive=insert.recursive)
    where = bind_condition(node.where, asking.scope, "WHERE")
    true = Value(type=BOOLEAN, position=node.position, value=True)
    items = [true if where is None else where]
    assignments, items = _asked_values(node, table, asking.scope, items)
    return BoundConflict(
        action="update",
        keys=keys,
        assignments=assignments,
        where=Field(type=BOOLEAN, position=node.position, index=0, name=""),
        asked=asking.asked(items),
    )


def _asked_values(
    node: st.OnConflict, table: TableSchema, scope: QueryScope, items: list[Bound]
) -> tuple[tuple[tuple[int, Bound | None], ...], list[Bound]]:
    from mfdb.sql.bind_change import set_places
    from mfdb.sql.relational.bind_joined import asked_value

    found: list[tuple[int, Bound | None]] = []
    for place, one in zip(set_places(node.assignments, table), node.assignments, strict=True):
        if isinstance(one.value, DefaultValue):
            found.append((place, None))
            continue
        value, taken = asked_value(one.value, table.columns[place], scope, len(items))
        items.append(value)
        found.append((place, taken))
    return tuple(found), items


def _upsert(
    node: st.OnConflict, table: TableSchema, named: Sequence[int] | None
) -> BoundConflict | None:
    """A row of the same primary key gets the values of the columns that the INSERT names."""
    if not table.key:
        return None
    places = range(len(table.columns)) if named is None else named
    return BoundConflict(
        action="update",
        keys=(unique_keys(table)[0],),
        assignments=tuple(
            (place, _excluded(table, place, node.position))
            for place in places
            if place not in table.key
        ),
    )


def _keys(node: st.OnConflict, table: TableSchema) -> tuple[UniqueKey, ...]:
    keys = unique_keys(table)
    if node.constraint is not None:
        found = tuple(key for key in keys if key.name == node.constraint.text)
        if not found:
            raise _unknown(f"{table.name} has no constraint {node.constraint.text}", node, keys)
        return found
    if not node.columns:
        return keys
    places = {_place(name, table) for name in node.columns}
    found = tuple(key for key in keys if set(key.places) == places)
    if not found:
        names = ", ".join(name.text for name in node.columns)
        raise _unknown(f"nothing makes ({names}) of {table.name} unique", node, keys, table)
    return found


def _place(name: st.Name, table: TableSchema) -> int:
    place = table.place(name.text)
    if place is None:
        raise unknown_column(name.text, table, name.position)
    return place


def _unknown(
    message: str,
    node: st.OnConflict,
    keys: tuple[UniqueKey, ...],
    table: TableSchema | None = None,
) -> UnknownConstraint:
    if table is None:
        shown = [key.name for key in keys]
    else:
        shown = [f"({', '.join(table.columns[at].name for at in key.places)})" for key in keys]
    hint = f"unique are: {', '.join(shown)}" if shown else "it has no PRIMARY KEY and no UNIQUE"
    at = node.constraint or node.columns[0]
    return UnknownConstraint(message, hint=hint, position=at.position)
