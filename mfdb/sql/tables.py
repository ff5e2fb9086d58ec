"""The port to stored rows, and the pure data that changes to them are.

The dataset room implements `Tables` over a snapshot; a statement reads through it and hands back a
`Mutation`, which its caller turns into a signed changeset. Nothing here writes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from mfdb.kernel.ids import Address, RowId  # noqa: TC001 - NewTypes in a struct, kept importable
from mfdb.sql.types import StoredScalar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

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

    @property
    def lasting_id(self) -> RowId:
        """The id by which the row is known everywhere; `row_id` may mean something here only."""
        return self.row_id


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

    @property
    def is_bounded(self) -> bool:
        """Whether it leaves any key out."""
        return bool(self.prefix) or self.low is not None or self.high is not None


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


class Vector(Protocol):
    """A column of many rows, in the form that suits; Arrow and numpy are typed as Any."""

    @property
    def is_coded(self) -> bool:
        """Whether values are kept once, in a dictionary."""
        ...

    @property
    def size_bytes(self) -> int:
        """Bytes in memory."""
        ...

    def codes(self) -> tuple[Any, list[Any]]:
        """Return a numpy code for each row, and the values that codes stand for (None may be)."""
        ...

    def at(self, positions: Any) -> list[Any]:
        """Return the stored values at positions, which are a numpy array."""
        ...

    def numbers(self) -> tuple[Any, Any]:
        """Return a number column as numpy values, and where they are NULL (None: nowhere)."""
        ...


class Column(Vector, Protocol):
    """A column of one block."""

    @property
    def arrow(self) -> Any:
        """The stored values as an Arrow array, perhaps with a dictionary."""
        ...

    def values(self) -> list[Any]:
        """Return the stored values."""
        ...


class RowBlock(Protocol):
    """Some rows of a dataset, by column; the ones at `outdated` positions do not hold any more."""

    @property
    def size(self) -> int:
        """How many rows its columns have."""
        ...

    @property
    def outdated(self) -> tuple[int, ...]:
        """Positions of rows to pass over."""
        ...


class ColumnScan(Protocol):
    """All rows of a dataset, most of them by column."""

    @property
    def rows(self) -> int:
        """How many rows are in blocks."""
        ...

    @property
    def blocks(self) -> Sequence[RowBlock]:
        """The blocks."""
        ...

    @property
    def runs(self) -> Sequence[RowBlock]:
        """The same blocks, several taken as one."""
        ...

    def merged(self, run: Any, place: int) -> Vector:
        """Return a column of a run: of the dataset only."""
        ...

    def column(self, block: Any, place: int) -> Column:
        """Return a column of a block: of the dataset, or AUTHOR or WRITTEN_AT."""
        ...

    def derived(
        self, block: Any, place: int, name: str, make: Callable[[Column], Column]
    ) -> Column:
        """Return what is made of a column of a block, kept by name."""
        ...

    def fresh(self) -> Iterator[StoredRow]:
        """Yield the rows that are in no block."""
        ...

    def kept(self, name: Any, make: Callable[[], Any]) -> Any:
        """Return what was made of this very state before, or make it; it knows `size_bytes`."""
        ...


class Tables(Protocol):
    """Rows as of one moment, already filtered by what the caller may read."""

    def columns(self, table: TableSchema) -> ColumnScan | None:
        """Return the rows by column where they can be had so, else None: `scan` has them."""
        ...

    def scan(self, table: TableSchema, access: Access) -> Iterator[StoredRow]:
        """Return the rows that `access` describes, in no promised order but that of a range."""
        ...

    def greatest(self, table: TableSchema, place: int) -> int | None:
        """Return the greatest integer that a column holds or held in this batch, None if none."""
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

    `count` is the rows it counts for; a moved key may need two changes for one row, then `moved`
    tells each row's values before and after.
    """

    table: TableSchema
    changes: tuple[Change, ...]
    count: int
    columns: tuple[Output, ...]
    rows: tuple[tuple[object, ...], ...]
    moved: tuple[tuple[Values, Values], ...] = ()
