"""What the binder knows of datasets: names, columns, keys. The session's node provides it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from mfdb.kernel.ids import DatasetId
from mfdb.rules.clauses import Check, ForeignKey, Unique, View
from mfdb.rules.manifest import DEFAULT_ALWAYS_NEXT, DEFAULT_NEXT
from mfdb.sql.types import SqlType, parse_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mfdb.kernel.ids import Address
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

    @property
    def is_numbered(self) -> bool:
        """Whether the column numbers itself (an identity column)."""
        return self.default is not None and list(self.default) in (
            DEFAULT_NEXT,
            DEFAULT_ALWAYS_NEXT,
        )

    @property
    def is_generated(self) -> bool:
        """Whether the column takes no other value than its own number."""
        return self.default is not None and list(self.default) == DEFAULT_ALWAYS_NEXT


class IndexSchema(msgspec.Struct, frozen=True, kw_only=True):
    """A secondary index that is ready: the places of its columns, each with "descending"."""

    name: str
    places: tuple[tuple[int, bool], ...]
    unique: bool = False


class ForeignSchema(msgspec.Struct, frozen=True, kw_only=True):
    """A foreign key: places of its columns, the dataset it refers to, names of columns there."""

    name: str
    places: tuple[int, ...]
    dataset: DatasetId
    references: tuple[str, ...]
    on_delete: str
    on_update: str


class TableSchema(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset as statements see it.

    `key` holds the places of the primary key's columns in key order, `checks` lowered expressions
    by name, `uniques` names of columns by the name of their constraint.
    `owner_ordered` datasets derive a row's id from its key; in free ones rows keep their ids.
    `told` relations are no datasets: they tell what SHOW tells.
    """

    name: str
    owner: Address
    dataset: DatasetId
    columns: tuple[ColumnSchema, ...]
    key: tuple[int, ...] = ()
    checks: tuple[Check, ...] = ()
    uniques: tuple[tuple[str, tuple[str, ...]], ...] = ()
    foreign_keys: tuple[ForeignSchema, ...] = ()
    owner_ordered: bool = True
    indexes: tuple[IndexSchema, ...] = ()
    told: bool = False
    view: str = ""
    """The query that a view stands for; a dataset has none."""

    def place(self, name: str) -> int | None:
        """Return the place of a column, or None."""
        for index, column in enumerate(self.columns):
            if column.name == name:
                return index
        return None

    def unique_keys(self) -> Iterator[tuple[str, ...]]:
        """Yield the sets of columns that identify a row."""
        if self.key:
            yield tuple(self.columns[place].name for place in self.key)
        for column in self.columns:
            if column.unique:
                yield (column.name,)
        for _, columns in self.uniques:
            yield columns


class Catalogue(Protocol):
    """Where the binder looks names up; never over the network."""

    @property
    def me(self) -> Address:
        """Whose statements are bound."""
        ...

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
        checks=manifest.of_kind(Check),
        uniques=tuple((one.name, one.columns) for one in manifest.of_kind(Unique)),
        foreign_keys=tuple(
            ForeignSchema(
                name=one.name,
                places=tuple(places[name] for name in one.columns),
                dataset=DatasetId(one.dataset),
                references=one.references,
                on_delete=one.on_delete,
                on_update=one.on_update,
            )
            for one in manifest.of_kind(ForeignKey)
        ),
        owner_ordered=manifest.ordering is Ordering.OWNER,
        indexes=indexes,
        view=next((one.query for one in manifest.of_kind(View)), ""),
    )
