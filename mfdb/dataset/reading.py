"""Reading one committed state of a replica: rows, keys, the changelog and what is in conflict.

Every row that leaves here was allowed by `authorise` for this identity, row by row where a grant
has a condition.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from mfdb.dataset import catalogue
from mfdb.dataset.indexes import indexes_of
from mfdb.dataset.layout import StoredRow, key_locator, of_dataset, shown_key, unique_prefix
from mfdb.dataset.ledger.feed import LedgerFeed
from mfdb.dataset.ledger.format import has_ledger
from mfdb.dataset.ledger.journal import Journal
from mfdb.dataset.rows import row_reader, values_reader
from mfdb.dataset.schema import has_key
from mfdb.dataset.visibility import Visibility
from mfdb.kernel.errors import CorruptRecord
from mfdb.kernel.ids import DatasetId
from mfdb.rules.clauses import ForeignKey, View
from mfdb.rules.manifest import Action

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mfdb.dataset.blocks.keeper import Blocks
    from mfdb.dataset.blocks.scan import BlockScan
    from mfdb.dataset.catalogue import Known
    from mfdb.dataset.feed import Feed
    from mfdb.dataset.indexes import Index
    from mfdb.dataset.keyring import Keyring
    from mfdb.dataset.ledger.form import Form
    from mfdb.dataset.ledger.format import LedgerHead
    from mfdb.dataset.outcome import Conflict, RowChanged
    from mfdb.dataset.pending import Before
    from mfdb.kernel.ids import Address, Hash, RowId, VersionId
    from mfdb.rules.manifest import Manifest
    from mfdb.store.ordered import Plain
    from mfdb.store.port import Snapshot


_NAMES = 4_096
"""Names that are remembered; beyond, they are looked up again."""


class CatalogueCache:
    """What readings of one state of the catalogue have looked up already."""

    __slots__ = (
        "by_id",
        "by_name",
        "forms",
        "heads",
        "highs",
        "indexes",
        "referring",
        "viewing",
        "visible",
    )

    def __init__(self) -> None:
        self.by_id: dict[DatasetId, Known] = {}
        self.by_name: dict[tuple[Address, str], Known | None] = {}
        self.forms: dict[DatasetId, Form] = {}
        self.heads: dict[DatasetId, LedgerHead] = {}
        """Where ledgers stand: kept by whoever writes, taken away while that is under way."""
        self.highs: dict[DatasetId, bytes] = {}
        """Up to which row there are blocks, as long as nothing but single rows is written."""
        self.indexes: dict[DatasetId, list[Index]] = {}
        self.referring: dict[DatasetId, list[Known]] | None = None
        self.viewing: dict[DatasetId, list[Known]] = {}
        self.visible: dict[tuple[DatasetId, Action], Visibility] = {}


class Reading:
    """One committed state, as one identity may see it."""

    def __init__(
        self,
        snapshot: Snapshot,
        keyring: Keyring,
        *,
        recent: Mapping[tuple[DatasetId, int], Before],
        cache: CatalogueCache,
        blocks: Blocks,
        state: int | None,
    ) -> None:
        """`state` names the committed state, None if nothing does."""
        blocks.beats += 1
        self._blocks = blocks
        self._state = state
        self._cache = cache
        self._snapshot = snapshot
        self.keyring = keyring
        """The keys of whoever reads."""
        self._recent = recent

    # ---- datasets

    def datasets(self) -> list[Known]:
        """Return all datasets that are known here, an owner's in name order."""
        found = catalogue.all_datasets(self._snapshot)
        return [catalogue.known_dataset(self._snapshot, dataset) for dataset in found]

    def known(self, dataset: DatasetId) -> Known:
        """Return what is known of a dataset.

        Raises:
            UnknownDataset: nothing is.
        """
        found = self._cache.by_id.get(dataset)
        if found is None:
            found = catalogue.known_dataset(self._snapshot, dataset)
            self._cache.by_id[dataset] = found
        return found

    def find(self, owner: Address, name: str) -> Known | None:
        """Return an owner's dataset by name, or None."""
        asked = (owner, name)
        if asked not in self._cache.by_name:
            dataset = catalogue.find_dataset(self._snapshot, owner, name)
            if len(self._cache.by_name) >= _NAMES:
                self._cache.by_name.clear()
            self._cache.by_name[asked] = None if dataset is None else self.known(dataset)
        return self._cache.by_name[asked]

    def indexes(self, known: Known) -> list[Index]:
        """Return the secondary indexes of a dataset, also those that are being built."""
        dataset = known.manifest.dataset
        if dataset not in self._cache.indexes:
            self._cache.indexes[dataset] = indexes_of(self._snapshot, known.manifest)
        return self._cache.indexes[dataset]

    def referring(self, dataset: DatasetId) -> list[Known]:
        """Return the datasets with foreign keys that refer to one."""
        return self._relations().get(dataset, [])

    def viewing(self, dataset: DatasetId) -> list[Known]:
        """Return the views that read a dataset or view."""
        self._relations()
        return self._cache.viewing.get(dataset, [])

    def _relations(self) -> dict[DatasetId, list[Known]]:
        if self._cache.referring is None:
            referring: dict[DatasetId, list[Known]] = {}
            viewing: dict[DatasetId, list[Known]] = {}
            for one in self.datasets():
                known = self.known(one.manifest.dataset)
                for target in {key.dataset for key in known.manifest.of_kind(ForeignKey)}:
                    referring.setdefault(DatasetId(target), []).append(known)
                for view in known.manifest.of_kind(View):
                    for target in view.reads:
                        viewing.setdefault(DatasetId(target), []).append(known)
            self._cache.viewing, self._cache.referring = viewing, referring
        return self._cache.referring

    def named(self, owner: Address, name: str) -> Known:
        """Return an owner's dataset.

        Raises:
            UnknownDataset: there is none; the hint names the nearest.
        """
        dataset = catalogue.named_dataset(self._snapshot, owner, name)
        return catalogue.known_dataset(self._snapshot, dataset)

    # ---- rows

    def rows(self, known: Known) -> Iterator[StoredRow]:
        """Yield the visible rows, in key order, or as they were first seen."""
        sees = self._visibility(known, Action.SELECT)
        read, prefix = row_reader(known.manifest), of_dataset(b"d", known.manifest.dataset)
        count = 0
        for key, value in self._snapshot.scan(prefix):
            row = read(key[len(prefix) :], value)
            count += 1
            if sees.all or self._sees(known, sees, row):
                yield row
        if sees.all:  # else nobody would read the blocks
            self._blocks.note(known.manifest.dataset, count)

    def keyed(
        self, known: Known, start: bytes, stop: bytes | None, *, reverse: bool = False
    ) -> Iterator[StoredRow]:
        """Yield the visible rows whose packed key lies in start <= key < stop.

        `stop=None` means: as long as the key begins with `start`.
        """
        assert has_key(known.manifest), "only an owner-ordered dataset with a key has this order"
        dataset = known.manifest.dataset
        sees = self._visibility(known, Action.SELECT)
        above = None if stop is None else shown_key(dataset, stop)
        read, skip = row_reader(known.manifest), len(shown_key(dataset, b""))
        for key, value in self._snapshot.scan(shown_key(dataset, start), above, reverse=reverse):
            row = read(key[skip:], value)
            if sees.all or self._sees(known, sees, row):
                yield row

    def columns(self, known: Known) -> BlockScan | None:
        """Return the visible rows by column, or None: no blocks, or not every row may be seen."""
        manifest = known.manifest
        if not self._visibility(known, Action.SELECT).all:
            return None
        from mfdb.dataset.blocks.scan import BlockScan

        covered = self._blocks.covered(self._snapshot, manifest, self._state)
        if covered is None or not covered.blocks:
            return None
        return BlockScan(self._snapshot, manifest, covered, self._blocks.cache, self._state)

    def is_shown(self, dataset: DatasetId, locator: bytes) -> bool:
        """Return whether a row stands at a place; whether one may see it is not asked."""
        return self._snapshot.get(shown_key(dataset, locator)) is not None

    def any_shown(self, dataset: DatasetId, locators: Sequence[bytes]) -> bytes | None:
        """Return one of these places at which a row stands, or None."""
        prefix = of_dataset(b"d", dataset)
        least, greatest = prefix + min(locators), prefix + max(locators)
        if next(self._snapshot.scan(least, greatest + b"\x00"), None) is None:
            return None
        get = self._snapshot.get
        return next((one for one in locators if get(prefix + one) is not None), None)

    def shows_all(self, known: Known) -> bool:
        """Return whether this identity may see whatever stands at a place of a ledger."""
        return has_ledger(known.manifest) and self._visibility(known, Action.SELECT).all

    def at(self, known: Known, locators: Iterable[bytes]) -> dict[bytes, StoredRow]:
        """Return the rows that stand at places, by their places; who may see them is not asked."""
        prefix, read = of_dataset(b"d", known.manifest.dataset), row_reader(known.manifest)
        get = self._snapshot.get
        return {
            locator: read(locator, data)
            for locator in sorted(locators)  # neighbours share pages
            if (data := get(prefix + locator)) is not None
        }

    def by_key(self, known: Known, values: tuple[Any, ...]) -> StoredRow | None:
        """Return the visible row with the primary key of these values (all columns are given)."""
        return next(self.keyed(known, key_locator(known.manifest, values), None), None)

    def by_unique(self, known: Known, column: int, value: Plain) -> StoredRow | None:
        """Return a visible row that holds a value in a UNIQUE column."""
        dataset = known.manifest.dataset
        prefix = unique_prefix(dataset, column, value)
        for key, _ in self._snapshot.scan(prefix):
            locator = key[len(prefix) :]
            data = self._snapshot.get(shown_key(dataset, locator))
            return None if data is None else row_reader(known.manifest)(locator, data)
        return None

    def by_index(
        self, known: Known, index: Index, start: bytes, stop: bytes | None, *, reverse: bool = False
    ) -> Iterator[StoredRow]:
        """Yield the visible rows whose entries in an index lie in start <= key < stop.

        `stop=None` means: as long as the entry begins with `start`. Rows come in the index's order.
        """
        prefix = of_dataset(b"d", known.manifest.dataset)
        sees = self._visibility(known, Action.SELECT)
        get, read = self._snapshot.get, row_reader(known.manifest)
        for _, locator in self._snapshot.scan(start, stop, reverse=reverse):
            data = get(prefix + locator)
            if data is None:
                raise CorruptRecord(f"index {index.info.name} names a row that is not there")
            row = read(locator, data)
            if sees.all or self._sees(known, sees, row):
                yield row

    def values_between(
        self, manifest: Manifest, index: Index | None, start: bytes, stop: bytes | None
    ) -> Iterator[tuple[Any, ...]]:
        """Yield stored values in the order of an index (None: of the key), unasked who may see."""
        found = (
            (value for _, value in self._snapshot.scan(start, stop))
            if index is None
            else self._snapshot.follow(start, stop, of_dataset(b"d", manifest.dataset))
        )
        read = values_reader(manifest)
        try:
            for data in found:
                if data is None:
                    raise CorruptRecord("an index names a row that is not there")
                yield read(data).values
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise CorruptRecord("a stored row does not decode") from error

    # ---- the past

    def last_sequence(self, known: Known) -> int:
        """Return the number of the newest change, 0 if there is none."""
        return self._feed(known).last_sequence()

    def changes(self, known: Known, after: int) -> Iterator[RowChanged]:
        """Yield the changes that this identity may see, with a sequence number above `after`.

        A row that moves out of view is deleted for this reader, one that moves in is inserted. A
        version that was destroyed since is passed over: what became of its row follows.
        """
        return self._feed(known).changes(after, self._visibility(known, Action.SUBSCRIBE))

    def places(self, known: Known) -> list[tuple[int, RowId, VersionId]]:
        """Return the rows that may be subscribed to, in the order in which they were first shown.

        Each as the sequence number of the change that first showed it, and the handles of the row
        and of its version now.
        """
        return self._feed(known).places(self._visibility(known, Action.SUBSCRIBE))

    def of_version(self, known: Known, row: RowId, version: VersionId) -> StoredRow | None:
        """Return a row as it is or was in a version, by its lasting ids; None: destroyed since."""
        return self._feed(known).of_version(row, version)

    def conflicts(self, known: Known) -> Iterator[Conflict]:
        """Yield the heads that lost, what cannot be read, and what still waits."""
        return self._feed(known).conflicts()

    def shown_version(self, known: Known, row: RowId) -> VersionId | None:
        """Return the handle of the version in which a row is shown, or None."""
        return self._feed(known).shown_version(row)

    def frontier(self, known: Known, signer: Address | None) -> tuple[Hash, ...]:
        """Return the heads of a signer's chains (None: of everybody's but the owner's)."""
        return self._feed(known).frontier(signer)

    def newest(self, known: Known) -> int:
        """Return the number of the newest change of a ledger, -1 for a dataset without one."""
        if not has_ledger(known.manifest):
            return -1
        return Journal(self._snapshot, known.manifest.dataset).head.sequence

    # ---- inside

    def _feed(self, known: Known) -> Feed:
        if has_ledger(known.manifest):
            return LedgerFeed(self._snapshot, known, self.keyring, self._recent)
        from mfdb.dataset.sealed_feed import SealedFeed  # with the first dataset of a network

        return SealedFeed(self._snapshot, known, self.keyring, self._recent)

    def _visibility(self, known: Known, action: Action) -> Visibility:
        asked = (known.manifest.dataset, action)
        sees = self._cache.visible.get(asked)
        if sees is None or sees.manifest is not known.manifest:
            sees = Visibility.of(known.manifest, action, self.keyring.address)
            self._cache.visible[asked] = sees
        return sees

    def _sees(self, known: Known, sees: Visibility, row: StoredRow) -> bool:
        view = self._feed(known).view(row)
        return view is not None and sees.row(view)
