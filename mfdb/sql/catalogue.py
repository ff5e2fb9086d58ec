"""What the binder knows of datasets: names, columns, keys. The session's node provides it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from mfdb.sql.types import SqlType, parse_type

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mfdb.kernel.ids import Address, DatasetId
    from mfdb.rules.manifest import Manifest
    from mfdb.sql.statement import TableName


class ColumnSchema(msgspec.Struct, frozen=True, kw_only=True):
    """A column. `default` is a lowered expression (`lower.py`) or None."""

    name: str
    type: SqlType
    not_null: bool = False
    clear: bool = False
    unique: bool = False
    default: Any = None


class IndexSchema(msgspec.Struct, frozen=True, kw_only=True):
    """A secondary index that is ready: the places of its columns, each with "descending"."""

    name: str
    places: tuple[tuple[int, bool], ...]
    unique: bool = False


class TableSchema(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset as statements see it.

    `key` holds the places of the primary key's columns in key order, `checks` lowered expressions.
    `owner_ordered` datasets derive a row's id from its key; in free ones rows keep their ids.
    `told` relations are no datasets: they tell what SHOW tells.
    """

    name: str
    owner: Address
    dataset: DatasetId
    columns: tuple[ColumnSchema, ...]
    key: tuple[int, ...] = ()
    checks: tuple[Any, ...] = ()
    owner_ordered: bool = True
    indexes: tuple[IndexSchema, ...] = ()
    told: bool = False

    def place(self, name: str) -> int | None:
        """Return the place of a column, or None."""
        for index, column in enumerate(self.columns):
            if column.name == name:
                return index
        return None


class Catalogue(Protocol):
    """Where the binder looks names up; never over the network."""

    def table(self, name: TableName) -> TableSchema | None:
        """Return the dataset of that name, or None."""
        ...

    def names(self) -> Iterable[str]:
        """Return the names of all known datasets, for "did you mean"."""
        ...


def schema_of(manifest: Manifest, indexes: tuple[IndexSchema, ...] = ()) -> TableSchema:
    """Return what statements need of a manifest, and of the indexes that this machine keeps."""
    from mfdb.rules.manifest import Ordering

    places = {column.name: index for index, column in enumerate(manifest.columns)}
    return TableSchema(
        name=manifest.name,
        owner=manifest.owner,
        dataset=manifest.dataset,
        columns=tuple(
            ColumnSchema(
                name=column.name,
                type=parse_type(column.type),
                not_null=column.not_null,
                clear=column.clear,
                unique=column.unique,
                default=column.default,
            )
            for column in manifest.columns
        ),
        key=tuple(places[column.name] for column in manifest.key_columns),
        checks=manifest.checks,
        owner_ordered=manifest.ordering is Ordering.OWNER,
        indexes=indexes,
    )
