"""All rows of a dataset by column, in one snapshot, for somebody who may see every one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mfdb.dataset.blocks.coverage import fresh_rows, load_column
from mfdb.dataset.blocks.run import MergedColumn

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

    from mfdb.dataset.blocks.cache import BlockCache
    from mfdb.dataset.blocks.columns import Column
    from mfdb.dataset.blocks.coverage import Block, Covered
    from mfdb.dataset.blocks.run import Run
    from mfdb.dataset.layout import StoredRow
    from mfdb.rules.manifest import Manifest
    from mfdb.store.port import Snapshot


class BlockScan:
    """The blocks of a dataset and the rows that none of them holds; good while its snapshot is."""

    def __init__(
        self,
        source: Snapshot,
        manifest: Manifest,
        covered: Covered,
        cache: BlockCache,
        state: Hashable,
    ) -> None:
        """`state` names the committed state that is read, None if nothing does."""
        self._source = source
        self._manifest = manifest
        self._dataset = manifest.dataset
        self._covered = covered
        self._cache = cache
        self._state = state

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The blocks, in the order of their rows."""
        return self._covered.blocks

    @property
    def runs(self) -> tuple[Run, ...]:
        """The same blocks, several taken as one."""
        return self._covered.runs

    @property
    def rows(self) -> int:
        """How many rows stand in blocks."""
        return self._covered.rows

    def column(self, block: Block, place: int) -> Column:
        """Return a column of a block with all its rows, outdated ones too.

        Raises:
            CorruptRecord: it is missing or damaged.
        """
        return load_column(self._source, self._dataset, block, place, self._cache)

    def merged(self, run: Run, place: int) -> MergedColumn:
        """Return a column of a run with all its rows, outdated ones too.

        Raises:
            CorruptRecord: it is missing or damaged.
        """
        key = (self._dataset, "run", run.numbers, place)
        return self._cache.get(
            key, lambda: MergedColumn([self.column(block, place) for block in run.blocks])
        )

    def derived(self, block: Block, place: int, name: str, make: Callable[[Column], Any]) -> Any:
        """Return what is made of a column of a block, kept by name."""
        key = (self._dataset, block.info.number, place, name)
        return self._cache.get(key, lambda: make(self.column(block, place)))

    def fresh(self) -> Iterator[StoredRow]:
        """Yield the rows that are not in blocks, or changed since."""
        return fresh_rows(self._source, self._manifest, self._covered)

    def kept(self, name: Hashable, make: Callable[[], Any]) -> Any:
        """Return what was made of this very state of the dataset before, or make and keep it."""
        if self._state is None:
            return make()
        return self._cache.get((self._dataset, "made", self._state, name), make)
