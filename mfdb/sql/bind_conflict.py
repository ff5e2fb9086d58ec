"""Binding ON CONFLICT: which keys it is about, and what becomes of the row that is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.kernel.errors import AmbiguousColumn, UnknownConstraint
from mfdb.sql.bind_expression import Scope, bind_condition, unknown_column
from mfdb.sql.bound import Bound, BoundConflict, Field
from mfdb.sql.unique import unique_keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfdb.sql import statement as st
    from mfdb.sql.catalogue import TableSchema
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
    node: st.OnConflict, table: TableSchema, scope: Scope, named: Sequence[int] | None
) -> BoundConflict | None:
    """Return what happens to rows whose key is taken; `named` are the columns of the INSERT.

    Raises:
        UnknownConstraint: no rule makes these columns unique.
        ProgrammingError, DataError: with position.
    """
    from mfdb.sql.bind_change import assignments_of

    if node.action == "upsert":
        return _upsert(node, table, named)
    keys = _keys(node, table)
    if node.action != "update":
        return BoundConflict(action=node.action, keys=keys)
    both = ConflictScope(table, scope)
    return BoundConflict(
        action="update",
        keys=keys,
        assignments=assignments_of(node.assignments, table, both),
        where=bind_condition(node.where, both, "WHERE"),
    )


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
