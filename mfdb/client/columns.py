"""Rows by column as statements read them, over the blocks of the replica."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from mfdb.client.versioned import versioned
from mfdb.dataset.blocks import records
from mfdb.dataset.blocks.columns import INTEGERS, Column, array_of
from mfdb.sql.compile import written_at_us
from mfdb.sql.relational.tree import AUTHOR, WRITTEN_AT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mfdb.client.versioned import Naming, VersionedRow
    from mfdb.client.watch import Watch
    from mfdb.dataset.blocks.scan import BlockScan
    from mfdb.sql.tables import Column as AnyColumn


class LocalColumns:
    """`mfdb.sql.tables.ColumnScan` over the blocks of a dataset."""

    def __init__(self, scan: BlockScan, named: Naming | None, watch: Watch) -> None:
        """`named` makes lasting ids of the handles of rows, where those are others."""
        self._scan = scan
        self._watch = watch
        self._named = named
        self.rows = scan.rows
        self.blocks = scan.blocks
        self.runs = scan.runs
        self.merged = scan.merged
        self.kept = scan.kept

    def column(self, block: Any, place: int) -> AnyColumn:
        """Return a column of a block: of the dataset, or what its rows know besides."""
        if place == AUTHOR:
            return self._scan.column(block, records.AUTHOR)
        if place == WRITTEN_AT:
            return cast("AnyColumn", self._scan.derived(block, records.HLC, "time", _times))
        return self._scan.column(block, place)

    def derived(
        self, block: Any, place: int, name: str, make: Callable[[AnyColumn], AnyColumn]
    ) -> AnyColumn:
        """Return what is made of a column of a block, kept by name."""
        if place < 0:
            return make(self.column(block, place))
        return cast("AnyColumn", self._scan.derived(block, place, name, make))

    def fresh(self) -> Iterator[VersionedRow]:
        """Yield the rows that are in no block."""
        fresh = self._watch.over(self._scan.fresh())
        return (versioned(row, row.row, self._named) for row in fresh)


def _times(hlcs: Column) -> Column:
    return Column(array_of([written_at_us(hlc) for hlc in hlcs.values()], INTEGERS))
