"""Binding constraints: CHECK, UNIQUE and foreign keys, in the words of the manifest.

A constraint without a name gets PostgreSQL's: dataset, columns and key, check or fkey, and a number
where that is taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mfdb.kernel.errors import (
    DuplicateColumn,
    DuplicateObject,
    InvalidDefinition,
    InvalidForeignKey,
    NotSupportedError,
)
from mfdb.rules.clauses import KEY_COLUMNS, AnyClause, Check, ForeignKey, Unique
from mfdb.sql import statement as st
from mfdb.sql.bind_expression import Scope, bind_condition, unknown_column
from mfdb.sql.lower import lower
from mfdb.sql.names import table_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mfdb.sql.catalogue import Catalogue, TableSchema
    from mfdb.sql.types import SqlType

NAME_CHARACTERS = 128


class ConstraintBinder:
    """Binds the constraints of one dataset; `taken` grows with the names that are given."""

    def __init__(self, table: TableSchema, catalogue: Catalogue, taken: Iterable[str] = ()) -> None:
        self._table = table
        self._catalogue = catalogue
        self._taken = set(taken)

    def check(self, node: st.CheckConstraint, columns: Sequence[str] = ()) -> Check:
        """Return a CHECK.

        Raises:
            DuplicateObject: its name is taken.
            NotSupportedError, ProgrammingError: not every node could judge it.
        """
        condition = lowered(node.condition, self._table, "CHECK")
        return Check(self._name(node.name, columns, "check"), condition)

    def unique(self, columns: Sequence[st.Name], name: st.Name | None) -> Unique:
        """Return a UNIQUE over columns.

        Raises:
            DuplicateObject, DuplicateColumn, UnknownColumn, InvalidDefinition: there is none.
        """
        names = self.columns(columns)
        for column in columns:
            check_comparable(self._kind(column.text), column.position)
        return Unique(self._name(name, names, "key"), names)

    def foreign(
        self, columns: Sequence[st.Name], node: st.Reference, name: st.Name | None
    ) -> ForeignKey:
        """Return a foreign key.

        Raises:
            InvalidForeignKey: what it refers to is no key, or of other types.
            NotSupportedError: it refers to somebody else's rows.
        """
        names = self.columns(columns)
        target = self._target(node)
        references = self._references(node, target)
        if len(references) != len(names):
            raise InvalidForeignKey(
                f"{len(names)} columns refer to {len(references)}", position=node.position
            )
        for own, other in zip(names, references, strict=True):
            self._comparable(own, other, target, node.position)
        return ForeignKey(
            self._name(name, names, "fkey"),
            names,
            target.dataset,
            references,
            node.on_delete,
            node.on_update,
        )

    def columns(self, named: Sequence[st.Name]) -> tuple[str, ...]:
        """Return the names of columns that make a key.

        Raises:
            UnknownColumn, DuplicateColumn, InvalidDefinition: they make none.
        """
        seen: list[str] = []
        for name in named:
            if self._table.place(name.text) is None:
                raise unknown_column(name.text, self._table, name.position)
            if name.text in seen:
                raise DuplicateColumn(
                    "a column stands twice in the key", position=named[0].position
                )
            seen.append(name.text)
        if len(seen) > KEY_COLUMNS:
            raise InvalidDefinition(
                f"a key has at most {KEY_COLUMNS} columns", position=named[0].position
            )
        return tuple(seen)

    def _target(self, node: st.Reference) -> TableSchema:
        own = self._table
        if node.table.name == own.name and node.table.owner is None:
            return own
        target = table_of(node.table, self._catalogue)
        if target.owner != self._catalogue.me:
            raise NotSupportedError(
                f"{node.table} belongs to somebody else, whose node orders its rows",
                hint="a foreign key is checked within the datasets of one owner",
                position=node.table.position,
            )
        if not target.owner_ordered:
            raise InvalidForeignKey(
                f"{node.table} has no keys: nobody orders what is written to it",
                position=node.table.position,
            )
        return target

    def _references(self, node: st.Reference, target: TableSchema) -> tuple[str, ...]:
        if not node.columns:
            if not target.key:
                raise InvalidForeignKey(
                    f"{target.name} has no primary key to refer to",
                    hint=f"say which columns: REFERENCES {target.name} (...)",
                    position=node.position,
                )
            return tuple(target.columns[place].name for place in target.key)
        for name in node.columns:
            if target.place(name.text) is None:
                raise unknown_column(name.text, target, name.position)
        names = tuple(name.text for name in node.columns)
        if not any(set(names) == set(key) for key in target.unique_keys()):
            raise InvalidForeignKey(
                f"({', '.join(names)}) of {target.name} is neither its primary key nor UNIQUE",
                hint="refer to a key, or declare those columns UNIQUE",
                position=node.columns[0].position,
            )
        return names

    def _comparable(self, own: str, other: str, target: TableSchema, position: int) -> None:
        left, right = self._kind(own), _kind(target, other)
        if left.family != right.family or left.numbers != right.numbers != ():
            raise InvalidForeignKey(
                f"column {own} is {left}, and {target.name}.{other} is {right}",
                hint="give both columns one type",
                position=position,
            )

    def _kind(self, name: str) -> SqlType:
        return _kind(self._table, name)

    def _name(self, given: st.Name | None, columns: Sequence[str], what: str) -> str:
        if given is not None:
            if given.text in self._taken:
                raise DuplicateObject(
                    f"{self._table.name} has a constraint {given.text} already",
                    position=given.position,
                )
            self._taken.add(given.text)
            return given.text
        base = "_".join((self._table.name, *columns))[: NAME_CHARACTERS - 12] + f"_{what}"
        name, number = base, 0
        while name in self._taken:
            number += 1
            name = f"{base}{number}"
        self._taken.add(name)
        return name


def _kind(table: TableSchema, name: str) -> SqlType:
    place = table.place(name)
    assert place is not None, "its name was looked up before"
    return table.columns[place].type


def bind_elements(node: st.CreateDataset, binder: ConstraintBinder) -> tuple[AnyClause, ...]:
    """Return the clauses of a CREATE: what its columns say, then what stands between them.

    Raises:
        ProgrammingError: a constraint cannot stand.
    """
    clauses: list[AnyClause] = []
    for part in node.elements:
        if isinstance(part, st.ColumnDef):
            clauses += column_clauses(part, binder)
        else:
            clauses += table_clause(part, binder)
    return tuple(clauses)


def column_clauses(column: st.ColumnDef, binder: ConstraintBinder) -> list[AnyClause]:
    """Return the clauses that a column's definition makes."""
    found: list[AnyClause] = [binder.check(check, (column.name.text,)) for check in column.checks]
    if column.unique and column.unique_name is not None:
        found.append(binder.unique((column.name,), column.unique_name))
    found += [binder.foreign((column.name,), one, one.name) for one in column.references]
    return found


def table_clause(part: st.TableConstraint, binder: ConstraintBinder) -> list[AnyClause]:
    """Return the clause that a table constraint makes; keys are columns' own."""
    if isinstance(part, st.CheckConstraint):
        return [binder.check(part)]
    if isinstance(part, st.ForeignConstraint):
        return [binder.foreign(part.columns, part.reference, part.name or part.reference.name)]
    if part.primary or (len(part.columns) == 1 and part.name is None):
        return []
    return [binder.unique(part.columns, part.name)]


def check_comparable(kind: SqlType, position: int) -> None:
    """Return quietly if equal values of a type are stored alike, so that they can be unique.

    Raises:
        InvalidDefinition: they are not.
    """
    if kind.family == "array":
        raise InvalidDefinition(
            f"no column of {kind} is unique: there are no indexes of arrays",
            hint="keep the elements in a dataset of their own, a row each",
            position=position,
        )
    if kind.family in ("json", "interval") or (kind.name == "DECIMAL" and not kind.numbers):
        raise InvalidDefinition(
            f"values of {kind} may be equal and written differently, so none of them is unique",
            hint="say how many digits: DECIMAL(p, s)" if kind.family == "decimal" else "use TEXT",
            position=position,
        )


def lowered(condition: st.Expression, table: TableSchema, what: str) -> Any:
    """Return a condition in the form that every node evaluates.

    Raises:
        NotSupportedError, ProgrammingError: it cannot be said so; position says where.
    """
    scope = Scope(table)
    bound = bind_condition(condition, scope, what)
    refuse_parameters(scope, condition.position)
    assert bound is not None
    return lower(bound, what)


def refuse_parameters(scope: Scope, position: int) -> None:
    """Return quietly if a definition has no parameters.

    Raises:
        NotSupportedError: it has.
    """
    if scope.parameters.style:
        raise NotSupportedError(
            "a definition takes no parameters", hint="write the value", position=position
        )
