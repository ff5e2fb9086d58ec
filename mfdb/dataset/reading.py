"""Reading one committed state of a replica: rows, keys, the changelog and what is in conflict.

Every row that leaves here was allowed by `authorise` for this identity, row by row where a grant
has a condition.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from mfdb.dataset import catalogue
from mfdb.dataset.acceptance import VersionMeta, winner
from mfdb.dataset.blocks.scan import BlockScan
from mfdb.dataset.contents import Contents
from mfdb.dataset.indexes import indexes_of
from mfdb.dataset.layout import (
    Envelope,
    FeedBlock,
    FeedEntry,
    RowState,
    StoredRow,
    Verdict,
    feed_key,
    former_version_key,
    key_locator,
    of_dataset,
    row_key,
    shown_key,
    unique_prefix,
)
from mfdb.dataset.opener import Unreadable
from mfdb.dataset.outcome import Conflict, RowChanged
from mfdb.dataset.states import version_in
from mfdb.dataset.table import has_key, last_sequence
from mfdb.dataset.visibility import Visibility
from mfdb.dataset.working import load, parse
from mfdb.kernel.codec import own_decoder
from mfdb.kernel.errors import CorruptRecord
from mfdb.kernel.ids import Hash, RowId, VersionId
from mfdb.rules.changeset import version_ids
from mfdb.rules.manifest import Action, Ordering

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from nacl.public import PrivateKey

    from mfdb.dataset.blocks.keeper import Blocks
    from mfdb.dataset.catalogue import Known
    from mfdb.dataset.indexes import Index
    from mfdb.kernel.ids import Address, DatasetId
    from mfdb.rules.manifest import Manifest
    from mfdb.store.ordered import Plain
    from mfdb.store.port import Snapshot


_NAMES = 4_096
"""Names that are remembered; beyond, they are looked up again."""


class CatalogueCache:
    """What readings of one state of the catalogue have looked up already."""

    __slots__ = ("by_id", "by_name", "indexes", "visible")

    def __init__(self) -> None:
        self.by_id: dict[DatasetId, Known] = {}
        self.by_name: dict[tuple[Address, str], Known | None] = {}
        self.indexes: dict[DatasetId, list[Index]] = {}
        self.visible: dict[tuple[DatasetId, Action], Visibility] = {}


class Reading:
    """One committed state, as one identity may see it."""

    def __init__(
        self,
        snapshot: Snapshot,
        identity: Address,
        private_key: Callable[[Manifest, int], PrivateKey | None],
        *,
        recent: Mapping[tuple[DatasetId, int], StoredRow],
        cache: CatalogueCache,
        blocks: Blocks,
        state: int | None,
    ) -> None:
        """`state` names the committed state, None if nothing does."""
        self._blocks = blocks
        self._state = state
        self._cache = cache
        self._snapshot = snapshot
        self._identity = identity
        self._private_key = private_key
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
        for _, value in self._snapshot.scan(of_dataset(b"d", known.manifest.dataset)):
            row = parse(StoredRow, value)
            if sees.all or self._sees(known, sees, row):
                yield row

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
        for _, value in self._snapshot.scan(shown_key(dataset, start), above, reverse=reverse):
            row = parse(StoredRow, value)
            if sees.all or self._sees(known, sees, row):
                yield row

    def columns(self, known: Known) -> BlockScan | None:
        """Return the visible rows by column, or None: no blocks, or not every row may be seen."""
        manifest = known.manifest
        if not self._visibility(known, Action.SELECT).all:
            return None
        covered = self._blocks.covered(self._snapshot, manifest, self._state)
        if covered is None or not covered.blocks:
            return None
        return BlockScan(self._snapshot, manifest.dataset, covered, self._blocks.cache, self._state)

    def is_shown(self, dataset: DatasetId, locator: bytes) -> bool:
        """Return whether a row stands at a place; whether one may see it is not asked."""
        return self._snapshot.get(shown_key(dataset, locator)) is not None

    def by_key(self, known: Known, values: tuple[Any, ...]) -> StoredRow | None:
        """Return the visible row with the primary key of these values (all columns are given)."""
        return next(self.keyed(known, key_locator(known.manifest, values), None), None)

    def by_unique(self, known: Known, column: int, value: Plain) -> StoredRow | None:
        """Return a visible row that holds a value in a UNIQUE column."""
        dataset = known.manifest.dataset
        prefix = unique_prefix(dataset, column, value)
        for key, _ in self._snapshot.scan(prefix):
            return load(self._snapshot, StoredRow, shown_key(dataset, key[len(prefix) :]))
        return None

    def by_index(
        self, known: Known, index: Index, start: bytes, stop: bytes | None, *, reverse: bool = False
    ) -> Iterator[StoredRow]:
        """Yield the visible rows whose entries in an index lie in start <= key < stop.

        `stop=None` means: as long as the entry begins with `start`. Rows come in the index's order.
        """
        prefix = of_dataset(b"d", known.manifest.dataset)
        sees = self._visibility(known, Action.SELECT)
        get = self._snapshot.get
        for _, locator in self._snapshot.scan(start, stop, reverse=reverse):
            data = get(prefix + locator)
            if data is None:
                raise CorruptRecord(f"index {index.info.name} names a row that is not there")
            row = parse(StoredRow, data)
            if sees.all or self._sees(known, sees, row):
                yield row

    def values_between(
        self, dataset: DatasetId, index: Index | None, start: bytes, stop: bytes | None
    ) -> Iterator[tuple[Any, ...]]:
        """Yield stored values in the order of an index (None: of the key), unasked who may see."""
        found = (
            (value for _, value in self._snapshot.scan(start, stop))
            if index is None
            else self._snapshot.follow(start, stop, of_dataset(b"d", dataset))
        )
        read = own_decoder(StoredRow)
        try:
            for data in found:
                if data is None:
                    raise CorruptRecord("an index names a row that is not there")
                yield read(data).values
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise CorruptRecord("a stored row does not decode") from error

    # ---- the changelog

    def last_sequence(self, known: Known) -> int:
        """Return the number of the newest change, 0 if there is none."""
        return last_sequence(self._snapshot, known.manifest.dataset)

    def changes(self, known: Known, after: int) -> Iterator[RowChanged]:
        """Yield the changes that this identity may see, with a sequence number above `after`.

        A row that moves out of view is deleted for this reader, one that moves in is inserted. A
        version that was destroyed since is passed over: what became of its row follows.
        """
        dataset = known.manifest.dataset
        contents = Contents(self._snapshot, known, self._private_key)
        sees = self._visibility(known, Action.SUBSCRIBE)
        start, stop = feed_key(dataset, after + 1), feed_key(dataset, 2**64 - 1)
        for key, value in self._snapshot.scan(start, stop):
            entries = parse(FeedBlock, value).entries
            first = int.from_bytes(key[-8:], "big") - len(entries) + 1
            for sequence, entry in enumerate(entries, first):
                if sequence <= after:
                    continue
                old = self._side(known, contents, sees, entry, entry.old)
                new = self._side(known, contents, sees, entry, entry.new)
                is_partial = False
                if old is not None and not entry.new:
                    recent = self._recently(known, sequence)
                    old, is_partial = recent or _kept(known, entry), recent is None
                change = _change(entry, old, new, sequence)
                if change is not None:
                    yield msgspec.structs.replace(change, is_partial=is_partial)

    def places(self, known: Known) -> list[tuple[int, RowId, VersionId]]:
        """Return the rows that may be subscribed to, in the order in which they were first shown.

        Each as the sequence number of the change that first showed it, its id and version now.
        """
        sees = self._visibility(known, Action.SUBSCRIBE)
        found = []
        dataset = known.manifest.dataset
        for key, value in self._snapshot.scan(of_dataset(b"w", dataset)):
            state = parse(RowState, value)
            version = VersionId(state.shown)
            if not version:
                continue
            meta = None if sees.all else version_in(self._snapshot, dataset, state, version)
            if sees.all or (meta is not None and sees.row(meta.view)):
                found.append((int.from_bytes(state.place, "big"), RowId(key[33:]), version))
        return sorted(found)

    def of_version(self, known: Known, row_id: RowId, version: VersionId) -> StoredRow | None:
        """Return a row as it is or was in a version, or None if that was destroyed since."""
        meta = self._former_meta(known, row_id, version)
        if meta is None:
            return None
        values = Contents(self._snapshot, known, self._private_key).shown(meta)
        if values is None:
            return None
        state = load(self._snapshot, RowState, row_key(known.manifest.dataset, meta.row))
        row = None
        if state is not None and state.shown == version:
            row = load(self._snapshot, StoredRow, shown_key(known.manifest.dataset, state.locator))
        return row or StoredRow(
            row=meta.row,
            version=version,
            author=meta.author,
            hlc=meta.hlc,
            values=tuple(values.get(column.name) for column in known.manifest.columns),
        )

    def _side(
        self,
        known: Known,
        contents: Contents,
        sees: Visibility,
        entry: FeedEntry,
        version: bytes,
    ) -> dict[str, Any] | None:
        """Return one side of a change: None if there is none or this identity may not see it."""
        meta = self._former_meta(known, entry.row, VersionId(version)) if version else None
        if meta is None or not (sees.all or sees.row(meta.view)):
            return None
        return contents.shown(meta) or {}

    def _recently(self, known: Known, sequence: int) -> dict[str, Any] | None:
        row = self._recent.get((known.manifest.dataset, sequence))
        return None if row is None else _named(known, row)

    # ---- conflicts

    def conflicts(self, known: Known) -> Iterator[Conflict]:
        """Yield the heads that lost, what cannot be read, and what still waits."""
        contents = Contents(self._snapshot, known, self._private_key)
        dataset = known.manifest.dataset
        for _, value in self._snapshot.scan(of_dataset(b"w", dataset)):
            state = parse(RowState, value)
            if state.versions:
                yield from _row_conflicts(known, list(state.versions), contents)
        for _, value in self._snapshot.scan(of_dataset(b"c", dataset)):
            envelope = parse(Envelope, value)
            if envelope.verdict is not Verdict.APPLIED:
                yield from _waiting(envelope)

    def shown_version(self, known: Known, row: RowId) -> VersionId | None:
        """Return the version in which a row is shown, or None."""
        state = load(self._snapshot, RowState, row_key(known.manifest.dataset, row))
        return VersionId(state.shown) if state and state.shown else None

    # ---- headers, for revocations

    def frontier(self, known: Known, signer: Address | None) -> tuple[Hash, ...]:
        """Return the heads of a signer's chains (None: of everybody's but the owner's)."""
        previous: set[bytes] = set()
        heads: list[Hash] = []
        for _, value in self._snapshot.scan(of_dataset(b"c", known.manifest.dataset)):
            envelope = parse(Envelope, value)
            header = envelope.changeset.header
            wanted = (
                header.signer != known.manifest.owner
                if signer is None
                else (header.signer == signer)
            )
            if wanted and envelope.verdict is Verdict.APPLIED:
                previous.add(header.previous)
                heads.append(Hash(envelope.changeset.id))
        return tuple(head for head in heads if head not in previous)

    # ---- inside

    def meta(self, known: Known, row: RowId, version: VersionId) -> VersionMeta | None:
        """Return what everybody can see of a row's version, or None if it is not known."""
        dataset = known.manifest.dataset
        state = load(self._snapshot, RowState, row_key(dataset, row))
        return version_in(self._snapshot, dataset, state, version)

    def _former_meta(self, known: Known, row: RowId, version: VersionId) -> VersionMeta | None:
        """The changelog tells of versions, too, that a revocation has taken back since."""
        key = former_version_key(known.manifest.dataset, version)
        return self.meta(known, row, version) or load(self._snapshot, VersionMeta, key)

    def _visibility(self, known: Known, action: Action) -> Visibility:
        asked = (known.manifest.dataset, action)
        sees = self._cache.visible.get(asked)
        if sees is None or sees.manifest is not known.manifest:
            sees = Visibility.of(known.manifest, action, self._identity)
            self._cache.visible[asked] = sees
        return sees

    def _sees(self, known: Known, sees: Visibility, row: StoredRow) -> bool:
        meta = self.meta(known, row.row, row.version)
        return meta is not None and sees.row(meta.view)


def _named(known: Known, row: StoredRow) -> dict[str, Any]:
    names = (column.name for column in known.manifest.columns)
    return dict(zip(names, row.values, strict=True))


def _kept(known: Known, entry: FeedEntry) -> dict[str, Any]:
    return {column.name: entry.kept.get(column.name) for column in known.manifest.columns}


def _change(
    entry: FeedEntry, old: dict[str, Any] | None, new: dict[str, Any] | None, sequence: int
) -> RowChanged | None:
    if new == {}:
        return None  # destroyed since: a later entry tells that the row is gone
    if old is None and new is None:
        return None
    return RowChanged(
        op="insert" if old is None else "delete" if new is None else "update",
        row=entry.row,
        version=VersionId(entry.new or entry.old),
        old=old,
        new=new,
        author=entry.author,
        hlc=entry.hlc,
        sequence=sequence,
    )


def _row_conflicts(
    known: Known, heads: list[VersionMeta], contents: Contents
) -> Iterator[Conflict]:
    first = winner(heads)
    for head in sorted(heads, key=lambda one: (one.hlc, one.version)):
        if head.version != first.version:
            if not (head.is_tombstone and known.manifest.ordering is Ordering.OWNER):
                yield _conflict(head, "a later version of the row won")
            continue
        opened = contents.of(head)
        if isinstance(opened, Unreadable):
            yield _conflict(head, f"the row cannot be shown: {opened.reason}")


def _conflict(head: VersionMeta, reason: str) -> Conflict:
    return Conflict(
        row=head.row, version=head.version, author=head.author, hlc=head.hlc, reason=reason
    )


def _waiting(envelope: Envelope) -> Iterator[Conflict]:
    parked = envelope.verdict is Verdict.PARKED
    reason = "what it builds on is not here yet" if parked else "its signer's rights were revoked"
    header = envelope.changeset.header
    operations = envelope.changeset.operations
    ids = version_ids(envelope.changeset.id, len(operations))
    for version, operation in zip(ids, operations, strict=True):
        yield Conflict(
            row=RowId(operation.row),
            version=version,
            author=header.identity,
            hlc=header.hlc,
            reason=reason,
        )
