"""The port to stored rows, and the pure data that changes to them are.

The dataset room implements `Tables` over a snapshot; a statement reads through it and hands back a
`Mutation`, which its caller turns into a signed changeset. Nothing here writes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from mfdb.kernel.ids import Address, RowId  # noqa: TC001 - NewTypes in a struct, kept importable
from mfdb.sql.types import StoredScalar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mfdb.sql.bound import Output
    from mfdb.sql.catalogue import IndexSchema, TableSchema

Values = tuple[StoredScalar, ...]
"""A row's stored values, in column order."""
Key = tuple[StoredScalar, ...]
"""Stored values of the primary key's columns (or of its first ones), in key order."""


class StoredRow(msgspec.Struct, frozen=True):
    """A row version: its id, values, author (None if unknown) and hybrid logical time."""

    row_id: RowId
    values: Values
    author: Address | None
    hlc: int


class KeyLookup(msgspec.Struct, frozen=True):
    """The rows with one of these whole keys (several rows may share one in a free dataset)."""

    keys: tuple[Key, ...]


class KeyRange(msgspec.Struct, frozen=True, kw_only=True):
    """The rows whose key begins with `prefix` and whose next key column lies between the bounds.

    A bound of None is none. Rows come in key order, backwards if `reverse`.
    """

    prefix: Key = ()
    low: StoredScalar = None
    low_open: bool = False
    high: StoredScalar = None
    high_open: bool = False
    reverse: bool = False


class IndexRange(msgspec.Struct, frozen=True, kw_only=True):
    """The rows whose first columns in an index are one of `prefixes` and the next in the bounds.

    A bound of None is none; NULLs lie inside no bound. Rows come in the index's order (of one
    prefix), backwards if `reverse`.
    """

    index: IndexSchema
    prefixes: tuple[Key, ...] = ((),)
    low: StoredScalar = None
    low_open: bool = False
    high: StoredScalar = None
    high_open: bool = False
    reverse: bool = False

    @property
    def is_bounded(self) -> bool:
        """Whether it bounds a column behind the prefix."""
        return self.low is not None or self.high is not None


class ValueLookup(msgspec.Struct, frozen=True):
    """The rows with one of these values in one column; by an index, or by looking at every row."""

    column: int
    values: tuple[StoredScalar, ...]


class FullScan(msgspec.Struct, frozen=True):
    """Every row."""


Access = KeyLookup | KeyRange | IndexRange | ValueLookup | FullScan


class Tables(Protocol):
    """Rows as of one moment, already filtered by what the caller may read."""

    def scan(self, table: TableSchema, access: Access) -> Iterator[StoredRow]:
        """Return the rows that `access` describes, in no promised order but that of a range."""
        ...


class RowInsert(msgspec.Struct, frozen=True):
    """A new row."""

    values: Values


class RowUpdate(msgspec.Struct, frozen=True):
    """New values for a row; `old` is the version they supersede."""

    row_id: RowId
    values: Values
    old: StoredRow


class RowDelete(msgspec.Struct, frozen=True):
    """A row to delete; `old` is its last version."""

    row_id: RowId
    old: StoredRow


Change = RowInsert | RowUpdate | RowDelete


class Mutation(msgspec.Struct, frozen=True):
    """What a statement changes, and what it returns (Python values).

    `count` is the rows it counts for; a moved key may need two changes for one row.
    """

    table: TableSchema
    changes: tuple[Change, ...]
    count: int
    columns: tuple[Output, ...]
    rows: tuple[tuple[object, ...], ...]
