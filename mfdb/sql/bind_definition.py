"""Binding definitions and rights: columns, checks and grants in the words of the manifest."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from mfdb.kernel.errors import (
    DuplicateColumn,
    InvalidDefinition,
    InvalidText,
    MfdbError,
    NotSupportedError,
)
from mfdb.kernel.ids import ZERO_ADDRESS, DatasetId, parse_address
from mfdb.rules.manifest import DEFAULT_ALWAYS_NEXT, DEFAULT_NEXT, Action
from mfdb.rules.manifest import Column as ManifestColumn
from mfdb.sql import statement as st
from mfdb.sql.bind_constraint import (
    ConstraintBinder,
    bind_elements,
    check_comparable,
    lowered,
    refuse_parameters,
)
from mfdb.sql.bind_expression import Scope, unknown_column
from mfdb.sql.bind_expression import bind as bind_expression
from mfdb.sql.bound import BoundCreate, BoundGrant, BoundIndex, BoundPolicy, BoundRevoke
from mfdb.sql.catalogue import ColumnSchema, TableSchema
from mfdb.sql.coerce import coerce
from mfdb.sql.convert import parse_text, placed
from mfdb.sql.lower import lower_default
from mfdb.sql.types import KEYABLE, TIMESTAMPTZ, make_type

if TYPE_CHECKING:
    from mfdb.sql.catalogue import Catalogue
    from mfdb.sql.types import SqlType

COLUMNS = 256
INDEX_COLUMNS = 16
SELF = DatasetId(bytes(32))
"""Stands for the dataset that is being made, whose id is not known yet."""
SERIAL = {
    "serial": "INTEGER",
    "serial4": "INTEGER",
    "bigserial": "BIGINT",
    "serial8": "BIGINT",
    "smallserial": "SMALLINT",
    "serial2": "SMALLINT",
}
MAILBOX_COLUMNS = (("body", "BYTEA"),)
"""What a mailbox holds unless its CREATE says otherwise."""
_ALL = ("SELECT", "INSERT", "UPDATE", "DELETE", "SUBSCRIBE")
_WITH_COLUMNS = ("UPDATE",)


def bind_create(node: st.CreateDataset, catalogue: Catalogue) -> BoundCreate:
    """Return the columns and constraints of a new dataset, in the words of the manifest.

    Raises:
        DuplicateColumn, InvalidDefinition, UnknownObject, NotSupportedError: they cannot stand.
    """
    definitions = [part for part in node.elements if isinstance(part, st.ColumnDef)]
    if not definitions and node.mailbox:
        definitions = [_plain(node.position, *column) for column in MAILBOX_COLUMNS]
    _check_names(node, definitions)
    key, unique = _keys(node, definitions)
    draft = TableSchema(
        name=node.table.name,
        owner=ZERO_ADDRESS,
        dataset=SELF,
        columns=tuple(
            ColumnSchema(
                name=column.name.text,
                type=column_type(column),
                unique=column.name.text in unique,
                clear=column.clear,
            )
            for column in definitions
        ),
    )
    places = [draft.place(name) for name in key]
    draft = msgspec.structs.replace(
        draft, key=tuple(place for place in places if place is not None)
    )
    columns = tuple(
        bind_column(column, schema, key=key, unique=unique)
        for column, schema in zip(definitions, draft.columns, strict=True)
    )
    clauses = bind_elements(node, ConstraintBinder(_with_uniques(node, draft), catalogue))
    return BoundCreate(statement=node, columns=columns, clauses=clauses)


def _with_uniques(node: st.CreateDataset, draft: TableSchema) -> TableSchema:
    """A foreign key may refer to a UNIQUE of its own dataset."""
    several = [
        tuple(name.text for name in part.columns)
        for part in node.elements
        if isinstance(part, st.KeyConstraint) and not part.primary
    ]
    several += [
        (part.name.text,)
        for part in node.elements
        if isinstance(part, st.ColumnDef) and part.unique
    ]
    return msgspec.structs.replace(draft, uniques=tuple(("", columns) for columns in several))


def _plain(position: int, name: str, kind: str) -> st.ColumnDef:
    return st.ColumnDef(
        position=position,
        name=st.Name(position=position, text=name),
        type=st.TypeName(position=position, name=kind),
    )


def _check_names(node: st.CreateDataset, definitions: list[st.ColumnDef]) -> None:
    seen: set[str] = set()
    if not 1 <= len(definitions) <= COLUMNS:
        raise InvalidDefinition(f"a dataset has 1 to {COLUMNS} columns", position=node.position)
    for column in definitions:
        name = column.name
        if name.text in seen:
            raise DuplicateColumn(f"column {name.text} is named twice", position=name.position)
        seen.add(name.text)


def _keys(node: st.CreateDataset, definitions: list[st.ColumnDef]) -> tuple[list[str], set[str]]:
    """Return the columns of the primary key in order, and those that are UNIQUE alone."""
    found = [[column.name] for column in definitions if column.primary_key]
    unique = {
        column.name.text for column in definitions if column.unique and column.unique_name is None
    }
    names = {column.name.text for column in definitions}
    for part in node.elements:
        if not isinstance(part, st.KeyConstraint):
            continue
        for name in part.columns:
            if name.text not in names:
                raise InvalidDefinition(
                    f"there is no column {name.text} to be a key", position=name.position
                )
        if part.primary:
            found.append(list(part.columns))
        elif len(part.columns) == 1 and part.name is None:
            unique.add(part.columns[0].text)
    if len(found) > 1:
        raise InvalidDefinition("there is more than one PRIMARY KEY", position=found[1][0].position)
    key = [name.text for name in found[0]] if found else []
    if len(set(key)) != len(key):
        raise DuplicateColumn("a column stands twice in the key", position=found[0][0].position)
    return key, unique


def column_type(column: st.ColumnDef) -> SqlType:
    """Return the type of a column; SERIAL is an integer that numbers itself."""
    name = SERIAL.get(column.type.name.lower(), column.type.name)
    return make_type(name, column.type.numbers, column.type.position)


def bind_column(
    column: st.ColumnDef, schema: ColumnSchema, *, key: list[str], unique: set[str]
) -> ManifestColumn:
    """Return a column in the words of the manifest.

    Raises:
        InvalidDefinition, BadType, NotSupportedError: it cannot stand.
    """
    name = column.name.text
    place = key.index(name) + 1 if name in key else 0
    if place and schema.type.family not in KEYABLE:
        raise InvalidDefinition(
            f"{schema.type} is no type for a primary key",
            hint="use an integer, text, bytes, a date, time, UUID or IDENTITY",
            position=column.type.position,
        )
    if name in unique:
        check_comparable(schema.type, column.type.position)
    default = _generated(column, schema) or bind_default(column.default, schema)
    numbered = default in (DEFAULT_NEXT, DEFAULT_ALWAYS_NEXT)
    return ManifestColumn(
        name=name,
        type=str(schema.type),
        clear=column.clear,
        not_null=column.not_null or bool(place) or numbered,
        key=place,
        default=default,
        unique=name in unique,
    )


def _generated(column: st.ColumnDef, schema: ColumnSchema) -> Any:
    """Return the default of an identity column, or None for any other."""
    serial = column.type.name.lower() in SERIAL
    if not column.generated and not serial:
        return None
    if column.default is not None or (serial and column.generated):
        raise InvalidDefinition(
            f"column {schema.name} numbers itself and has another default too",
            position=column.position,
        )
    if schema.type.family != "integer":
        raise InvalidDefinition(
            f"an identity column is an integer, not {schema.type}", position=column.type.position
        )
    return list(DEFAULT_ALWAYS_NEXT if column.generated == "ALWAYS" else DEFAULT_NEXT)


def bind_default(default: st.Expression | None, schema: ColumnSchema) -> Any:
    """Return a DEFAULT in the words of the manifest, None for none.

    Raises:
        BadType, NotSupportedError: it cannot stand.
    """
    if default is None:
        return None
    scope = Scope(None)
    bound = bind_expression(default, scope)
    refuse_parameters(scope, default.position)
    what = f"DEFAULT of {schema.name}"
    found = lower_default(coerce(bound, schema.type, scope.parameters, assign=True, what=what))
    return None if found == ["value", None] else found


# ---- indexes


def bind_index(node: st.CreateIndex, table: TableSchema) -> BoundIndex:
    """Return an index to make.

    Raises:
        UnknownColumn, DuplicateColumn, InvalidDefinition: there can be no such index.
    """
    seen: list[str] = []
    for column in node.columns:
        name = column.name
        place = table.place(name.text)
        if place is None:
            raise unknown_column(name.text, table, name.position)
        if name.text in seen:
            raise DuplicateColumn(f"column {name.text} is named twice", position=name.position)
        seen.append(name.text)
        kind = table.columns[place].type
        if kind.family == "json":
            raise InvalidDefinition("JSON has no order to index", position=name.position)
        if kind.family == "array":
            raise InvalidDefinition(
                "there are no indexes of arrays",
                hint="keep the elements in a dataset of their own, a row each, and index that",
                position=name.position,
            )
        if node.unique:
            check_comparable(kind, name.position)
    if len(seen) > INDEX_COLUMNS:
        raise InvalidDefinition(
            f"an index has at most {INDEX_COLUMNS} columns", position=node.columns[-1].position
        )
    columns = tuple((column.name.text, column.descending) for column in node.columns)
    return BoundIndex(statement=node, table=table, columns=columns)


# ---- rights


def bind_grant(node: st.Grant, table: TableSchema) -> BoundGrant:
    """Return rights to give, in the words of the manifest.

    Raises:
        InvalidDefinition: the condition names a sealed column, or the grant contradicts itself.
        UnknownColumn, InvalidText: a column or time is none.
    """
    condition = None
    if node.condition is not None:
        condition = lowered(node.condition, table, "a condition of a GRANT")
        _refuse_sealed(condition, node.condition, table)
    _check_grantees(node.grantees)
    return BoundGrant(
        statement=node,
        table=table,
        rights=_rights(node.privileges, table),
        condition=condition,
        until=_until(node.until),
    )


def bind_revoke(node: st.Revoke, table: TableSchema) -> BoundRevoke:
    """Return rights to take back.

    Raises:
        UnknownColumn, InvalidDefinition: a column or grantee is none.
    """
    _check_grantees(node.grantees)
    return BoundRevoke(statement=node, table=table, rights=_rights(node.privileges, table))


def bind_policy(node: st.CreatePolicy, table: TableSchema) -> BoundPolicy:
    """Return a policy to make, in the words of the manifest.

    Raises:
        InvalidDefinition: a condition names a sealed column, or is of no use to the action.
        UnknownColumn, NotSupportedError: a condition means nothing, or cannot be said.
    """
    names = _ALL if node.action == "ALL" else (node.action,)
    if node.action == "INSERT" and node.using is not None:
        raise InvalidDefinition(
            "an INSERT has no row before it, so USING is never asked",
            hint="write WITH CHECK (...)",
            position=node.using.position,
        )
    if node.action in ("SELECT", "DELETE", "SUBSCRIBE") and node.check is not None:
        raise InvalidDefinition(
            f"a {node.action} makes no new row, so WITH CHECK is never asked",
            hint="write USING (...)",
            position=node.check.position,
        )
    _check_grantees(node.grantees)
    conditions = []
    for condition in (node.using, node.check):
        judged = None
        if condition is not None:
            judged = lowered(condition, table, "a policy")
            _refuse_sealed(judged, condition, table)
        conditions.append(judged)
    return BoundPolicy(
        statement=node,
        table=table,
        actions=sum(int(Action[name]) for name in names),
        using=conditions[0],
        check=conditions[1],
    )


def _refuse_sealed(condition: Any, node: st.Expression, table: TableSchema) -> None:
    from mfdb.rules.expression import columns_of

    clear = {column.name for column in table.columns if column.clear}
    sealed = sorted(columns_of(condition) - clear)
    if sealed:
        raise InvalidDefinition(
            f"a condition names column {sealed[0]}, which providers cannot read",
            hint="only CLEAR columns, row_author() and current_identity() can be judged there",
            position=node.position,
        )


def _check_grantees(grantees: tuple[st.Grantee, ...]) -> None:
    for grantee in grantees:
        if grantee.kind == "IDENTITY" and grantee.name.lower().startswith("0x"):
            try:
                parse_address(grantee.name)
            except MfdbError as error:
                raise placed(error, grantee.position) from None


def _rights(
    privileges: tuple[st.Privilege, ...], table: TableSchema
) -> tuple[tuple[int, tuple[str, ...]], ...]:
    """Return (actions, columns) groups: those on whole rows together, each column list apart."""
    if not privileges:
        return ((sum(int(Action[name]) for name in _ALL), ()),)
    plain = 0
    limited: list[tuple[int, tuple[str, ...]]] = []
    for privilege in privileges:
        if not privilege.columns:
            plain |= int(Action[privilege.action])
            continue
        if privilege.action not in _WITH_COLUMNS:
            raise NotSupportedError(
                f"{privilege.action} is granted on whole rows",
                hint="UPDATE takes a list of columns",
                position=privilege.position,
            )
        for name in privilege.columns:
            if table.place(name.text) is None:
                raise unknown_column(name.text, table, name.position)
        names = tuple(name.text for name in privilege.columns)
        limited.append((int(Action[privilege.action]), names))
    return (*(((plain, ()),) if plain else ()), *limited)


def _until(until: st.Constant | None) -> int:
    """Return the end of a grant in seconds since 1970, 0 for none."""
    if until is None:
        return 0
    try:
        value = parse_text(str(until.value), TIMESTAMPTZ)
    except InvalidText as error:
        raise placed(error, until.position) from None
    assert isinstance(value, int)
    if value <= 0:
        first = datetime.datetime.fromtimestamp(0, datetime.UTC).date()
        raise InvalidDefinition(f"a grant ends after {first}", position=until.position)
    return value // 1_000_000
