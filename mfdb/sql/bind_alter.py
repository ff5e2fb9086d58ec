"""Binding ALTER: each change of a statement, made to a draft of the dataset's next manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from mfdb.kernel.errors import (
    DependentObjects,
    DuplicateColumn,
    InvalidDefinition,
    NotSupportedError,
    UnknownObject,
)
from mfdb.rules.clauses import AnyClause, Check, ForeignKey, Layout, Policy, Unique, plain
from mfdb.rules.expression import columns_of
from mfdb.rules.manifest import DEFAULT_NOW, SPECIAL_DEFAULTS, Ordering
from mfdb.sql import statement as st
from mfdb.sql.bind_constraint import ConstraintBinder, column_clauses, table_clause
from mfdb.sql.bind_definition import bind_column, bind_default, column_type
from mfdb.sql.bind_expression import unknown_column
from mfdb.sql.catalogue import ColumnSchema, schema_of
from mfdb.sql.types import KEYABLE, make_type, parse_type

if TYPE_CHECKING:
    from collections.abc import Callable

    from mfdb.rules.manifest import Manifest
    from mfdb.sql.catalogue import Catalogue, TableSchema
    from mfdb.sql.types import SqlType

COLUMNS = 256


class Draft:
    """The next manifest of a dataset while its ALTER is bound.

    `judges` says that rows that are there have to be judged by what is new; `uses` are columns,
    called as before, that must not be named by other datasets or views, with where that was said.
    """

    def __init__(
        self,
        manifest: Manifest,
        catalogue: Catalogue,
        evaluate: Callable[[ColumnSchema], Any],
    ) -> None:
        """`evaluate` gives the stored default of a column, as of now."""
        self._manifest = manifest
        self._catalogue = catalogue
        self._evaluate = evaluate
        layout = manifest.layout
        self.name = manifest.name
        self._columns = list(manifest.columns)
        self._numbers = list(layout.numbers)
        self._missing = list(layout.missing)
        self._next = layout.next
        self._grants = list(manifest.grants)
        self._clauses: list[AnyClause] = [
            one for one in manifest.parsed_clauses if not isinstance(one, Layout)
        ]
        self.judges = False
        self.uses: list[st.Name] = []
        self.cascades = False

    def change(self, node: st.Alteration) -> None:
        """Make one change.

        Raises:
            ProgrammingError, NotSupportedError: it cannot be made; position says why.
        """
        _CHANGES[type(node)](self, node)

    def fields(self) -> dict[str, Any]:
        """Return what the next manifest says otherwise."""
        clauses: list[AnyClause] = list(self._clauses)
        plain_order = self._numbers == list(range(self._next))
        if not plain_order or any(value is not None for value in self._missing):
            clauses.append(Layout(self._next, tuple(self._numbers), tuple(self._missing)))
        return {
            "name": self.name,
            "columns": tuple(self._columns),
            "clauses": tuple(map(plain, clauses)),
            "grants": tuple(self._grants),
            "revocations": (),
        }

    # ---- columns

    def _place(self, name: st.Name) -> int:
        for at, column in enumerate(self._columns):
            if column.name == name.text:
                return at
        raise unknown_column(name.text, self._schema(), name.position)

    def _schema(self) -> TableSchema:
        fields = self.fields()
        return schema_of(msgspec.structs.replace(self._manifest, format=2, **fields))

    def _is_taken(self, name: str) -> bool:
        return any(column.name == name for column in self._columns)

    def add_column(self, node: st.AddColumn) -> None:
        """ADD COLUMN: rows that are there get its default, as it is now."""
        column = node.column
        name = column.name
        if self._is_taken(name.text):
            if node.if_not_exists:
                return
            raise DuplicateColumn(
                f"dataset {self.name} has a column {name.text} already", position=name.position
            )
        if len(self._columns) >= COLUMNS:
            raise InvalidDefinition(f"a dataset has 1 to {COLUMNS} columns", position=name.position)
        if column.primary_key:
            raise NotSupportedError(
                "a new column is no primary key yet: rows that are there would have none",
                hint="ADD the column, UPDATE it, then ADD PRIMARY KEY",
                position=column.position,
            )
        schema = ColumnSchema(name=name.text, type=column_type(column), clear=column.clear)
        made = bind_column(column, schema, key=[], unique=set())
        if made.default in SPECIAL_DEFAULTS and made.default != DEFAULT_NOW:
            raise NotSupportedError(
                f"rows that are there would all get one value in {name.text}",
                hint="ADD the column without DEFAULT, UPDATE it, then SET DEFAULT",
                position=column.position,
            )
        self._columns.append(made)
        self._numbers.append(self._next)
        self._next += 1
        default = msgspec.structs.replace(schema, default=made.default)
        self._missing.append(self._evaluate(default))
        self.judges = True
        binder = self._binder()
        self._clauses += column_clauses(column, binder)
        if column.unique and column.unique_name is None:
            self._clauses.append(binder.unique((name,), None))

    def drop_column(self, node: st.DropColumn) -> None:
        """DROP COLUMN: constraints of the dataset that name it go too, as in PostgreSQL."""
        name = node.name
        if node.if_exists and not self._is_taken(name.text):
            return
        at = self._place(name)
        column = self._columns[at]
        if column.key:
            raise DependentObjects(
                f"column {name.text} is part of the primary key",
                hint=f"DROP CONSTRAINT {self.name}_pkey first",
                position=name.position,
            )
        if len(self._columns) == 1:
            raise InvalidDefinition("a dataset has at least one column", position=name.position)
        self._refuse_rights(name)
        del self._columns[at], self._numbers[at], self._missing[at]
        self._clauses = [one for one in self._clauses if name.text not in _names_in(one)]
        self.uses.append(name)
        self.cascades = self.cascades or node.cascade

    def rename_column(self, node: st.RenameColumn) -> None:
        """RENAME COLUMN: what names it here names it anew."""
        at = self._place(node.name)
        old, new = node.name.text, node.new.text
        if self._is_taken(new):
            raise DuplicateColumn(
                f"dataset {self.name} has a column {new} already", position=node.new.position
            )
        column = self._columns[at]
        if column.clear:
            raise NotSupportedError(
                f"the clear column {old} keeps its name: providers judge old rows by it",
                position=node.name.position,
            )
        self._columns[at] = msgspec.structs.replace(column, name=new)
        self._clauses = [_renamed(one, old, new, self._manifest.dataset) for one in self._clauses]
        self._grants = [
            msgspec.structs.replace(
                grant, columns=tuple(new if one == old else one for one in grant.columns)
            )
            for grant in self._grants
        ]
        self.uses.append(node.name)

    def alter_column(self, node: st.AlterColumn) -> None:
        """ALTER COLUMN: default, NOT NULL or type."""
        at = self._place(node.name)
        column = self._columns[at]
        if node.change == "default":
            schema = ColumnSchema(name=column.name, type=parse_type(column.type))
            default = bind_default(node.default, schema)
            self._columns[at] = msgspec.structs.replace(column, default=default)
        elif node.change == "not null":
            if column.key and not node.not_null:
                raise InvalidDefinition(
                    f"column {column.name} is part of the primary key", position=node.position
                )
            self._columns[at] = msgspec.structs.replace(column, not_null=node.not_null)
            self.judges = self.judges or node.not_null
        else:
            assert node.type is not None, "the parser gives a type"
            kind = make_type(node.type.name, node.type.numbers, node.type.position)
            _refuse_other_form(parse_type(column.type), kind, node)
            self._columns[at] = msgspec.structs.replace(column, type=str(kind))

    # ---- constraints

    def _binder(self) -> ConstraintBinder:
        taken = [one.name for one in self._clauses if isinstance(one, Check | Unique | ForeignKey)]
        return ConstraintBinder(self._schema(), self._catalogue, taken)

    def add_constraint(self, node: st.AddConstraint) -> None:
        """ADD CONSTRAINT: rows that are there are judged by it."""
        constraint = node.constraint
        self._demand_order(constraint)
        self.judges = True
        if not isinstance(constraint, st.KeyConstraint):
            self._clauses += table_clause(constraint, self._binder())
            return
        if not constraint.primary:
            self._clauses.append(self._binder().unique(constraint.columns, constraint.name))
            return
        if any(column.key for column in self._columns):
            raise InvalidDefinition(
                "there is more than one PRIMARY KEY", position=constraint.position
            )
        for number, name in enumerate(self._binder().columns(constraint.columns), 1):
            at = next(at for at, one in enumerate(self._columns) if one.name == name)
            column = self._columns[at]
            kind = parse_type(column.type)
            if kind.family not in KEYABLE:
                raise InvalidDefinition(
                    f"{kind} is no type for a primary key", position=constraint.position
                )
            self._columns[at] = msgspec.structs.replace(column, key=number, not_null=True)

    def drop_constraint(self, node: st.DropConstraint) -> None:
        """DROP CONSTRAINT, also the primary key's and that of a UNIQUE column."""
        name = node.name.text
        kept = [
            one
            for one in self._clauses
            if not (isinstance(one, Check | Unique | ForeignKey) and one.name == name)
        ]
        if len(kept) < len(self._clauses):
            gone = next(one for one in self._clauses if one not in kept)
            self._clauses = kept
            if isinstance(gone, Unique):
                self.uses += [_named(column, node.name) for column in gone.columns]
            return
        if name == f"{self._manifest.name}_pkey" and any(column.key for column in self._columns):
            self.uses += [_named(one.name, node.name) for one in self._columns if one.key]
            self._columns = [msgspec.structs.replace(one, key=0) for one in self._columns]
            return
        for at, column in enumerate(self._columns):
            if column.unique and name == f"{self._manifest.name}_{column.name}_key":
                self._columns[at] = msgspec.structs.replace(column, unique=False)
                self.uses.append(_named(column.name, node.name))
                return
        if not node.if_exists:
            raise UnknownObject(
                f"dataset {self._manifest.name} has no constraint {name}",
                hint=f"SHOW CREATE TABLE {self._manifest.name} names them",
                position=node.name.position,
            )

    def _demand_order(self, constraint: st.TableConstraint) -> None:
        free = self._manifest.ordering is Ordering.FREE
        if free and not isinstance(constraint, st.CheckConstraint):
            raise NotSupportedError(
                "keys need one node that orders all writes",
                hint="create the dataset with ordering = 'owner'",
                position=constraint.position,
            )

    # ---- the rest

    def rename_to(self, node: st.RenameTo) -> None:
        """RENAME TO."""
        self.name = node.new.text
        self.uses.append(node.new)

    def owner_to(self, node: st.OwnerTo) -> None:
        """OWNER TO is refused: the id of a dataset is made of its owner's key."""
        raise NotSupportedError(
            "a dataset belongs for ever to the key that its id is made of",
            hint="create one of the other identity and INSERT INTO it ... SELECT",
            position=node.position,
        )

    def _refuse_rights(self, name: st.Name) -> None:
        """Rights that could no longer be judged would be rights of nobody, or of everybody."""
        conditions = [grant.condition for grant in self._grants]
        for one in self._clauses:
            if isinstance(one, Policy):
                conditions += [one.using, one.check]
        named = any(name.text in columns_of(one) for one in conditions if one is not None)
        if named or any(name.text in grant.columns for grant in self._grants):
            raise DependentObjects(
                f"a grant or policy names column {name.text}",
                hint="REVOKE it, or DROP POLICY, first",
                position=name.position,
            )


def _named(text: str, at: st.Name) -> st.Name:
    return st.Name(position=at.position, text=text)


def _refuse_other_form(before: SqlType, after: SqlType, node: st.AlterColumn) -> None:
    """Signed rows are never written anew, so the new type must hold their values as they stand."""
    if before == after or _is_wider(before, after):
        return
    raise NotSupportedError(
        f"column {node.name.text} is {before}, and its rows were signed so: they hold no {after}",
        hint="ADD a column of that type, UPDATE it by a CAST, then DROP this one and RENAME that",
        position=node.position,
    )


_WHOLE = ("SMALLINT", "INTEGER", "BIGINT")


def _is_wider(before: SqlType, after: SqlType) -> bool:
    if before.name in _WHOLE and after.name in _WHOLE:
        return _WHOLE.index(before.name) <= _WHOLE.index(after.name)
    if before.family == after.family == "text":
        limit = before.numbers[0] if before.numbers else None
        return not after.numbers or (limit is not None and limit <= after.numbers[0])
    if before.name == after.name == "DECIMAL" and before.numbers:
        if not after.numbers:
            return True
        precision, scale = (*before.numbers, 0)[:2]
        wider, same = (*after.numbers, 0)[:2]
        return scale == same and precision <= wider
    return (before.name, after.name) == ("REAL", "DOUBLE PRECISION")


def _names_in(clause: AnyClause) -> frozenset[str]:
    if isinstance(clause, Check):
        return columns_of(clause.condition)
    if isinstance(clause, Unique | ForeignKey):
        return frozenset(clause.columns)
    return frozenset()


def _renamed(clause: AnyClause, old: str, new: str, dataset: bytes) -> AnyClause:
    def named(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(new if one == old else one for one in names)

    if isinstance(clause, Check):
        condition = _renamed_in(clause.condition, old, new)
        return msgspec.structs.replace(clause, condition=condition)
    if isinstance(clause, Unique):
        return msgspec.structs.replace(clause, columns=named(clause.columns))
    if isinstance(clause, ForeignKey):
        own = clause.dataset == dataset
        references = named(clause.references) if own else clause.references
        return msgspec.structs.replace(clause, columns=named(clause.columns), references=references)
    return clause


def _renamed_in(node: Any, old: str, new: str) -> Any:
    operator, *operands = node
    if operator == "column":
        return ["column", new if operands[0] == old else operands[0]]
    if operator == "value":
        return node
    return [operator, *(_renamed_in(one, old, new) for one in operands)]


_CHANGES: dict[type, Callable[[Draft, Any], None]] = {
    st.AddColumn: Draft.add_column,
    st.AddConstraint: Draft.add_constraint,
    st.DropColumn: Draft.drop_column,
    st.DropConstraint: Draft.drop_constraint,
    st.RenameColumn: Draft.rename_column,
    st.RenameTo: Draft.rename_to,
    st.AlterColumn: Draft.alter_column,
    st.OwnerTo: Draft.owner_to,
}
