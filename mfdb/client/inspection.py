"""What a dataset or view is, for tools that read definitions back (SQLAlchemy, migrations)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mfdb.client.identities import address_of
from mfdb.client.show import show_default
from mfdb.rules.given_up import is_given_up
from mfdb.rules.manifest import Kind
from mfdb.sql.catalogue import schema_of
from mfdb.sql.show_expression import show_expression

if TYPE_CHECKING:
    from mfdb.client.state import SessionState
    from mfdb.dataset.catalogue import Known
    from mfdb.dataset.reading import Reading
    from mfdb.kernel.ids import Address
    from mfdb.sql.catalogue import TableSchema

KINDS = {"dataset": (Kind.DATASET, Kind.MAILBOX), "view": (Kind.VIEW,)}


class ColumnInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A column: `type` and `default` as SQL; `generated` is ALWAYS or BY DEFAULT if it counts."""

    name: str
    type: str
    nullable: bool
    default: str | None
    generated: str | None


class UniqueInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Columns that no two rows have alike."""

    name: str
    columns: tuple[str, ...]


class ForeignKeyInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Columns that hold a key of `table`'s columns `references`."""

    name: str
    columns: tuple[str, ...]
    table: str
    references: tuple[str, ...]
    on_delete: str
    on_update: str


class CheckInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A condition on every row, as SQL."""

    name: str
    condition: str


class IndexInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A secondary index of this machine."""

    name: str
    columns: tuple[str, ...]
    unique: bool


class TableInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset, or a view with its `query`."""

    name: str
    columns: tuple[ColumnInfo, ...]
    primary_key: tuple[str, ...]
    uniques: tuple[UniqueInfo, ...]
    foreign_keys: tuple[ForeignKeyInfo, ...]
    checks: tuple[CheckInfo, ...]
    indexes: tuple[IndexInfo, ...]
    query: str


def inspect_names(state: SessionState, kind: str, owner: str | None) -> list[str]:
    """Return the names of an owner's datasets, or views, in order; of the session's own for None.

    Raises:
        UnknownIdentity: the owner is a petname that nobody here has.
    """
    whose = _owner(state, owner)
    with state.replica.reading() as reading:
        manifests = [
            known.manifest
            for known in reading.datasets()
            if known.manifest.owner == whose and not is_given_up(known.manifest)
        ]
    return sorted(one.name for one in manifests if one.kind in KINDS[kind])


def inspect(state: SessionState, name: str, owner: str | None) -> TableInfo | None:
    """Return what a dataset or view is, None if there is none of that name.

    Raises:
        UnknownIdentity: the owner is a petname that nobody here has.
    """
    with state.replica.reading() as reading:
        known = reading.find(_owner(state, owner), name)
        if known is None or is_given_up(known.manifest):
            return None
        return _info(known, reading)


def _owner(state: SessionState, owner: str | None) -> Address:
    return state.me if owner is None else address_of(owner, state.identities)


def _info(known: Known, reading: Reading) -> TableInfo:
    manifest, schema = known.manifest, schema_of(known.manifest)
    columns = []
    for column in manifest.columns:
        default = show_default(column)
        words = (default or "").split()
        counts = words[:1] == ["GENERATED"] and words[-1:] == ["IDENTITY"]
        columns.append(
            ColumnInfo(
                name=column.name,
                type=column.type,
                nullable=not (column.not_null or column.key),
                default=None if counts else default,
                generated=" ".join(words[1:-2]) if counts else None,
            )
        )
    constraints = {name for name, _ in schema.uniques}  # their indexes bear their names
    return TableInfo(
        name=manifest.name,
        columns=tuple(columns),
        primary_key=tuple(schema.columns[place].name for place in schema.key),
        uniques=tuple(_uniques(schema)),
        foreign_keys=tuple(_foreign_keys(schema, reading)),
        checks=tuple(
            CheckInfo(name=one.name, condition=show_expression(one.condition))
            for one in schema.checks
        ),
        indexes=tuple(
            IndexInfo(
                name=index.info.name,
                columns=tuple(column for column, _ in index.info.columns),
                unique=index.info.unique,
            )
            for index in reading.indexes(known)
            if index.info.name not in constraints
        ),
        query=schema.view,
    )


def _uniques(schema: TableSchema) -> list[UniqueInfo]:
    single = [
        UniqueInfo(name=f"{schema.name}_{column.name}_key", columns=(column.name,))
        for column in schema.columns
        if column.unique
    ]
    return [*single, *(UniqueInfo(name=name, columns=them) for name, them in schema.uniques)]


def _foreign_keys(schema: TableSchema, reading: Reading) -> list[ForeignKeyInfo]:
    return [
        ForeignKeyInfo(
            name=one.name,
            columns=tuple(schema.columns[place].name for place in one.places),
            table=reading.known(one.dataset).manifest.name,
            references=one.references,
            on_delete=one.on_delete,
            on_update=one.on_update,
        )
        for one in schema.foreign_keys
    ]
