"""Counting what a statement looks at, for EXPLAIN ANALYZE."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    from mfdb.sql.catalogue import TableSchema
    from mfdb.sql.tables import Access, ColumnScan, StoredRow, Tables


class Counted:
    """`mfdb.sql.tables.Tables` that count: `rows` one by one, `in_blocks` by column."""

    def __init__(self) -> None:
        self._tables: Tables | None = None
        self._seen: set[bytes] = set()
        self.rows = 0
        self.in_blocks = 0

    def over(self, tables: Tables) -> Self:
        """Return these tables, counting what is taken from others."""
        self._tables = tables
        return self

    def columns(self, table: TableSchema) -> ColumnScan | None:
        """Return the rows by column, each dataset counted once."""
        assert self._tables is not None, "`over` comes first"
        found = self._tables.columns(table)
        if found is not None and table.dataset not in self._seen:
            self._seen.add(table.dataset)
            self.in_blocks += found.rows
        return found

    def greatest(self, table: TableSchema, place: int) -> int | None:
        """Return the greatest integer that a column holds; that is no row that is read."""
        assert self._tables is not None, "`over` comes first"
        return self._tables.greatest(table, place)

    def scan(self, table: TableSchema, access: Access) -> Iterator[StoredRow]:
        """Yield the rows that an access describes, counted as they are taken."""
        assert self._tables is not None, "`over` comes first"
        for row in self._tables.scan(table, access):
            self.rows += 1
            yield row
