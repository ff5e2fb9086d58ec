"""Rows that a statement keeps for itself while it runs, as a relation that its queries may read.

What a change returns (for a subquery in RETURNING, or for what comes after it in WITH), and the
pairs of rows that an ON CONFLICT met, are such rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.kernel.digest import tagged_hash
from mfdb.kernel.ids import DatasetId, RowId
from mfdb.sql.catalogue import ColumnSchema, TableSchema
from mfdb.sql.tables import StoredRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mfdb.kernel.ids import Address
    from mfdb.sql.tables import Access, ColumnScan, Tables, Values
    from mfdb.sql.types import SqlType


def scratch_table(name: str, columns: Iterable[tuple[str, SqlType]], owner: Address) -> TableSchema:
    """Return the schema of a relation of one statement, in which its name is of one kind."""
    return TableSchema(
        name=name,
        owner=owner,
        dataset=DatasetId(tagged_hash("mfdb.scratch", name.encode())),
        columns=tuple(ColumnSchema(name=column, type=kind) for column, kind in columns),
        told=True,
    )


def scratch_rows(rows: Iterable[Values]) -> list[StoredRow]:
    """Return rows that nobody wrote."""
    return [
        StoredRow(RowId(number.to_bytes(32, "big")), values, None, 0)
        for number, values in enumerate(rows)
    ]


class ScratchTables:
    """`mfdb.sql.tables.Tables` of datasets, and of a statement's own relations."""

    def __init__(self, tables: Tables, rows: Mapping[DatasetId, Sequence[StoredRow]]) -> None:
        self._tables = tables
        self._rows = rows

    def columns(self, table: TableSchema) -> ColumnScan | None:
        """Return the rows by column, if the relation is a dataset that has them so."""
        return None if table.dataset in self._rows else self._tables.columns(table)

    def greatest(self, table: TableSchema, place: int) -> int | None:
        """Return the greatest integer that a column of a dataset holds."""
        return self._tables.greatest(table, place)

    def scan(self, table: TableSchema, access: Access) -> Iterator[StoredRow]:
        """Yield the rows that an access describes: all of the statement's own ones."""
        own = self._rows.get(table.dataset)
        return self._tables.scan(table, access) if own is None else iter(own)
