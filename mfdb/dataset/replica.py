"""A verified plaintext copy of datasets on the machine of their owner or reader.

    write:  changes -> ChangesetWriter -> the same path as what the network brings
    apply:  changeset -> History (judge, park, heads) -> Table (visible rows, indexes, changelog)
            -> one `store.write` -> listeners

One replica has one writer at a time; readers hold snapshots and block nobody. Applying a changeset
twice changes nothing, and the order of arrival does not matter.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from mfdb.dataset import catalogue, indexes
from mfdb.dataset.blocks.tail import drop_misfits
from mfdb.dataset.layout import (
    FORMAT,
    Envelope,
    Receipts,
    Verdict,
    chain_key,
    dropped_key,
    entry_key,
    envelope_key,
    mark_key,
    of_dataset,
    receipts_key,
)
from mfdb.dataset.layouts import is_moved
from mfdb.dataset.ledger.format import has_ledger
from mfdb.dataset.outcome import Applied, Incoming
from mfdb.dataset.pending import changed_since, check_current
from mfdb.dataset.reading import CatalogueCache, Reading
from mfdb.dataset.replica_sending import INVALID, ReplicaSending
from mfdb.dataset.row_changes import split
from mfdb.dataset.salts import load_entry
from mfdb.dataset.working import Working, load, parse, save
from mfdb.kernel.clock import Hlc, hlc_seconds
from mfdb.kernel.codec import encode
from mfdb.kernel.errors import (
    MfdbError,
    WrongNetwork,
)
from mfdb.kernel.ids import ChangesetId
from mfdb.kernel.limits import HLC_AHEAD_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mfdb.dataset.catalogue import Known
    from mfdb.dataset.check import CheckReport
    from mfdb.dataset.ledger.book import Book
    from mfdb.dataset.ledger.format import LedgerHead
    from mfdb.dataset.pending import Pending
    from mfdb.dataset.row_changes import RowChange
    from mfdb.dataset.row_leaves import RowLeaves
    from mfdb.dataset.scope import Scope
    from mfdb.kernel.ids import Address, DatasetId
    from mfdb.rules.changeset import Changeset
    from mfdb.rules.key_log import KeyLogEntry
    from mfdb.rules.manifest import Manifest, SignedManifest
    from mfdb.rules.receipt import WriteReceipt

    Listener = Callable[[DatasetId], None]

_BUILD_ROWS = 2_000
"""Existing rows that enter a new index in one commit; other writers come in between."""


class Replica(ReplicaSending):
    """The datasets of one identity's machine: its own and those that it may read or write."""

    # ---- datasets

    def add_manifests(self, chain: Sequence[SignedManifest]) -> bool:
        """Take manifests of one dataset in, oldest first; return whether any was new.

        Raises:
            WrongNetwork, BadSignature, BadProof, SchemaViolation: one may not stand.
        """
        with self._redefining() as working:
            before = catalogue.manifest_of(working, chain[0].manifest.dataset) if chain else None
            fresh = [signed for signed in chain if self._add_manifest(working, signed)]
            if fresh:
                drop_misfits(working, fresh[-1].manifest)
                self._follow(working, before, fresh[0].manifest.dataset)
            if fresh and not has_ledger(fresh[0].manifest):
                self._judge_again(working, fresh)
        if fresh:
            self._notify(fresh[0].manifest.dataset)
        return bool(fresh)

    def _follow(self, working: Working, before: Manifest | None, dataset: DatasetId) -> None:
        """Bring names, indexes and the shape of rows after the manifest that is in force now."""
        known = catalogue.known_dataset(working, dataset)
        now = known.manifest
        moved = before is not None and is_moved(before, now)
        for older in known.manifests if before is None else (before,):
            catalogue.rename(working, older, now)
        if before is not None:
            indexes.follow(working, before, now)
        fresh = indexes.define_uniques(working, now, self.identity)
        if moved:
            self._rebuild(working, dataset)
            if not has_ledger(now):
                self._info = self._now_is(working, FORMAT)
        for name in fresh:
            if not moved:
                indexes.build_some(working, now, name, b"", indexes.EVERY)
            indexes.make_ready(working, now, name)

    def _judge_again(self, working: Working, fresh: Sequence[SignedManifest]) -> None:
        """Let new rules decide over changesets that are here, or wait for them."""
        dataset = fresh[0].manifest.dataset
        batch = self._batch(working, catalogue.known_dataset(working, dataset))
        for signed in fresh:
            batch.history.wake(signed.manifest.hash)
        if any(signed.manifest.revocations for signed in fresh):
            batch.history.rejudge()
        if any(signed.manifest.wrapped_keys for signed in fresh):
            batch.history.touch_hidden()
        self._finish(dataset, batch)

    def known(self, dataset: DatasetId) -> Known:
        """Return a dataset's manifests.

        Raises:
            UnknownDataset: nothing is known of it.
        """
        known = self._catalogue.by_id.get(dataset)
        if known is not None:
            return known
        with self._store.snapshot() as snapshot:
            return catalogue.known_dataset(snapshot, dataset)

    def find(self, owner: Address, name: str) -> Known | None:
        """Return an owner's dataset by name, or None."""
        with self._store.snapshot() as snapshot:
            dataset = catalogue.find_dataset(snapshot, owner, name)
            return None if dataset is None else catalogue.known_dataset(snapshot, dataset)

    def is_used(self, dataset: DatasetId) -> bool:
        """Return whether a dataset id is or was in use here."""
        with self._store.snapshot() as snapshot:
            known = any(True for _ in snapshot.scan(of_dataset(b"m", dataset)))
            return known or catalogue.is_dropped(snapshot, dataset)

    def forget(self, dataset: DatasetId, *, reason: str) -> None:
        """Remove a dataset and all that is kept of it here.

        Raises:
            UnknownDataset: nothing is known of it.
        """
        with self._redefining() as working:
            catalogue.forget(working, catalogue.known_dataset(working, dataset), reason=reason)
        self._notify(dataset)

    # ---- indexes and upkeep

    def create_index(
        self,
        dataset: DatasetId,
        name: str,
        columns: Sequence[tuple[str, bool]],
        *,
        unique: bool = False,
    ) -> None:
        """Make a secondary index over columns, each with "descending"; others write meanwhile.

        Raises:
            UnknownDataset, UnknownColumn, ProgrammingError: there can be no such index.
            DuplicateRow: it is to be UNIQUE, and two rows have the same values; there is none then.
        """
        with self._redefining() as working:
            manifest = catalogue.known_dataset(working, dataset).manifest
            indexes.define(working, manifest, name, columns, unique=unique)
        after: bytes | None = b""
        try:
            while after is not None:
                with self._writing() as working:
                    after = indexes.build_some(working, manifest, name, after, _BUILD_ROWS)
            with self._redefining() as working:
                indexes.make_ready(working, manifest, name)
        except MfdbError:
            self.drop_index(dataset, name)
            raise

    def drop_index(self, dataset: DatasetId, name: str) -> bool:
        """Remove a secondary index; return whether there was one."""
        with self._redefining() as working:
            return indexes.remove(working, dataset, name)

    def check(self, dataset: DatasetId | None = None, scope: Scope | None = None) -> CheckReport:
        """Return what a check against the signed log found: of everything, or of one dataset.

        Of one on a network it may be of a scope only.
        """
        from mfdb.dataset.check import check_scope, check_store

        with self._store.snapshot() as snapshot:
            if dataset is not None and scope is not None:
                known = catalogue.known_dataset(snapshot, dataset)
                return check_scope(snapshot, self.keyring.private_read_key, known, scope)
            return check_store(snapshot, self.keyring.private_read_key, dataset)

    def vacuum(self) -> tuple[int, int]:
        """Bring all blocks up to date and give free room in the store back to the disk.

        Return the store's bytes before and after.

        Raises:
            OperationalError: somebody reads just now.
            StoreFull: there is no room for the copy; what is stored is as it was.
        """
        self.blocks.compact_all()
        with self.blocks.paused(), self._lock:
            return self._store.compact()

    # ---- writing

    def write(self, changes: Mapping[DatasetId, Sequence[RowChange]]) -> Applied:
        """Make changes to datasets that are kept here only: all of them or none.

        Raises:
            AccessDenied, SchemaViolation, ValueTooLarge: it may not be.
            StaleWrite, DuplicateRow: a row changed, or came, since the changes were planned.
            StoreFull: the disk is full; nothing was kept.
        """
        with self._writing() as working:
            done = [self._write(working, *planned) for planned in changes.items()]
        for dataset in changes:
            self._notify(dataset)
        return Applied(
            applied=tuple(one for part in done for one in part.applied),
            shred=tuple(one for part in done for one in part.shred),
        )

    def commit(self, batch: Mapping[DatasetId, Pending]) -> None:
        """Make what statements planned durable, in datasets that are kept here only: all or none.

        Raises:
            AccessDenied, SchemaViolation, ValueTooLarge: it may not be.
            StaleWrite, DuplicateRow: a row changed, or came, since the changes were planned.
            StoreFull: the disk is full; nothing was kept.
        """
        with self._lock:
            if not self._commit_row(batch):
                self._commit_all(batch)
        for dataset, pending in batch.items():
            if not pending.is_empty:
                self._notify(dataset)

    def _commit_row(self, batch: Mapping[DatasetId, Pending]) -> bool:
        """Commit a batch of one new row, if it is no more than that."""
        if len(batch) != 1:
            return False
        from mfdb.dataset.ledger.single import fresh_row, written

        ((dataset, pending),) = batch.items()
        heads, form = self._catalogue.heads, self._catalogue.forms.get(dataset)
        head = heads.get(dataset)
        if form is None or head is None:
            return False
        handle = fresh_row(pending, form, head, self.identity)
        if handle is None or self.blocks.is_made(dataset):
            return False
        highs = self._catalogue.highs
        if dataset not in highs:
            highs[dataset] = self.blocks.high(dataset)
        if handle <= highs[dataset]:
            return False
        (values,) = pending.after.values()
        assert values is not None, "a batch of one new row has its values"
        writes, after = written(handle, values, form, head, self._hand)
        del heads[dataset]
        self._put(writes)
        heads[dataset] = after
        self.blocks.note(dataset, 1)
        return True

    def _commit_all(self, batch: Mapping[DatasetId, Pending]) -> None:
        heads: dict[DatasetId, LedgerHead] = {}
        with self._writing() as working:
            for dataset, pending in batch.items():
                if pending.watched:
                    self._check_watched(working, dataset, pending)
            for dataset, pending in batch.items():
                if pending.is_empty:
                    continue
                known = self._known(working, dataset)
                pending.check_rules(known.manifest)
                if has_ledger(known.manifest):
                    book = self._enter(working, known, pending)
                    if book.head is not None:
                        heads[dataset] = book.head
                else:
                    self._write(working, dataset, pending.changes(known.manifest))
        self._catalogue.heads.update(heads)

    def newest(self, dataset: DatasetId) -> int | None:
        """Return the number of the newest change of a ledger, if that is at hand just now."""
        head = self._catalogue.heads.get(dataset)
        return None if head is None else head.sequence

    def _check_watched(self, working: Working, dataset: DatasetId, pending: Pending) -> None:
        """A foreign key was judged by rows that others may have changed since."""
        known = self._known(working, dataset)
        if has_ledger(known.manifest):
            from mfdb.dataset.ledger.journal import Journal

            if Journal(working, dataset).head.sequence != pending.seen:
                raise changed_since(known.manifest)

    def _write(self, working: Working, dataset: DatasetId, changes: Sequence[RowChange]) -> Applied:
        known = self._known(working, dataset)
        if has_ledger(known.manifest):
            from mfdb.dataset.ledger.planned import planned

            pending = planned(working, known.manifest, changes)
            return Applied(applied=tuple(self._enter(working, known, pending).done))
        batch = self._batch(working, known)
        check_current(batch.history.states, known.manifest, changes)
        chain = self._chain(working, dataset)
        for part in split(changes):
            draft = self._writer.compose(known.manifest, part, chain)
            chain = draft.chain
            batch.add_own(draft)
        save(working, chain_key(dataset), chain)
        return self._finish(dataset, batch, is_own=True)

    def _enter(self, working: Working, known: Known, pending: Pending) -> Book:
        """Take a batch into the ledger of a dataset."""
        dataset, book = known.manifest.dataset, self._book(working, known)
        head = self._catalogue.heads.get(dataset)
        book.add(pending, now_s=self._clock.now_s(), head=head)
        self.blocks.note(dataset, book.tail.touched)
        self._remember(dataset, book.gone)
        return book

    def apply(self, dataset: DatasetId, items: Sequence[Incoming]) -> Applied:
        """Take in changesets that the network brought, durably, as one batch.

        Raises:
            UnknownDataset: its manifest must come first.
            StoreFull: the disk is full; nothing was kept.
        """
        refused: list[tuple[ChangesetId, MfdbError]] = []
        parked: list[ChangesetId] = []
        with self._writing() as working:
            batch = self._batch(working, catalogue.known_dataset(working, dataset))
            batch.history.wake_future()
            for item in items:
                identity = item.changeset.id
                try:
                    verdict = batch.history.add(item.changeset, item.entry)
                except INVALID as error:
                    refused.append((identity, error))
                    continue
                if verdict is Verdict.PARKED:
                    parked.append(identity)
                self._saw(item.changeset)
                self._add_receipts(working, dataset, identity, item.receipts)
            done = self._finish(dataset, batch)
        if done.applied or items:
            self._notify(dataset)
        waiting = tuple(one for one in parked if one not in done.applied)
        return Applied(
            applied=done.applied, parked=waiting, refused=tuple(refused), shred=done.shred
        )

    # ---- evidence and what the network layer remembers

    def has(self, dataset: DatasetId, changeset: ChangesetId) -> bool:
        """Return whether a changeset is kept here, applied or parked."""
        with self._store.snapshot() as snapshot:
            return snapshot.get(envelope_key(dataset, changeset)) is not None

    def changeset_data(self, dataset: DatasetId, changeset: ChangesetId) -> bytes | None:
        """Return the bytes of a changeset that is kept here, None if it is not."""
        with self._store.snapshot() as snapshot:
            kept = load(snapshot, Envelope, envelope_key(dataset, changeset))
        return None if kept is None else encode(kept.changeset)

    def copies(self, dataset: DatasetId) -> Iterator[tuple[Changeset, KeyLogEntry]]:
        """Yield the changesets that count and what opens each, in the order of their writing."""
        with self._store.snapshot() as snapshot:
            stamps = []
            for key, value in snapshot.scan(of_dataset(b"c", dataset)):
                envelope = parse(Envelope, value)
                if envelope.verdict is Verdict.APPLIED:
                    stamps.append((envelope.changeset.header.hlc, ChangesetId(key[33:])))
            for _, named in sorted(stamps):
                kept = load(snapshot, Envelope, envelope_key(dataset, named))
                entry = load_entry(snapshot, dataset, named)
                if kept is not None and entry is not None:
                    yield kept.changeset, entry

    def missing_entries(self, dataset: DatasetId) -> list[ChangesetId]:
        """Return the changesets that are kept without anything that opens them."""
        with self._store.snapshot() as snapshot:
            kept = snapshot.scan(of_dataset(b"c", dataset))
            found = [ChangesetId(key[33:]) for key, _ in kept]
            return [one for one in found if snapshot.get(entry_key(dataset, one)) is None]

    def receipts(self, dataset: DatasetId, changeset: ChangesetId) -> tuple[WriteReceipt, ...]:
        """Return the receipts that are kept of a changeset."""
        with self._store.snapshot() as snapshot:
            kept = load(snapshot, Receipts, receipts_key(dataset, changeset))
        return kept.receipts if kept else ()

    def add_receipts(
        self, dataset: DatasetId, changeset: ChangesetId, receipts: Sequence[WriteReceipt]
    ) -> None:
        """Keep receipts for a changeset; the caller has verified them."""
        with self._writing() as working:
            self._add_receipts(working, dataset, changeset, receipts)

    def leaves(self, dataset: DatasetId) -> RowLeaves:
        """Return what the tree of rows says of the copy that is here."""
        from mfdb.dataset import row_leaves  # only networks prove rows

        return row_leaves.RowLeaves(self._store, dataset)

    def mark(self, dataset: DatasetId, name: str) -> bytes | None:
        """Return what the network layer remembered under a name."""
        with self._store.snapshot() as snapshot:
            return snapshot.get(mark_key(dataset, name))

    def set_mark(self, dataset: DatasetId, name: str, value: bytes | None) -> None:
        """Remember something for the network layer, durably; None forgets it."""
        with self._writing() as working:
            if value is None:
                working.delete(mark_key(dataset, name))
            else:
                working.put(mark_key(dataset, name), value)

    # ---- reading

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        """Return a context that reads one committed state."""
        state, cache, writes = self._catalogue_state, self._catalogue, self._writes
        with self._store.snapshot() as snapshot:
            # What is remembered of the catalogue holds for this snapshot only if the catalogue
            # did not change before the snapshot was taken.
            current = state == self._catalogue_state and not state & 1
            yield Reading(
                snapshot,
                self.keyring,
                recent=self._recent,
                cache=cache if current else CatalogueCache(),
                blocks=self.blocks,
                state=writes if writes == self._writes and not writes & 1 else None,
            )

    def first(self, prefix: bytes) -> bytes | None:
        """Return what is stored of the visible row whose place begins with a prefix.

        The caller may see it, and knows its kind (`rows.values_reader`).
        """
        return self._store.first(prefix)

    # ---- inside

    def _add_manifest(self, working: Working, signed: SignedManifest) -> bool:
        manifest = signed.manifest
        if manifest.network not in self.networks:
            raise WrongNetwork("the manifest belongs to another network")
        if working.get(dropped_key(manifest.dataset)) is not None:
            return False
        return catalogue.add_manifest(working, signed, manifest.network)

    def _saw(self, changeset: Changeset) -> None:
        stamp = Hlc(changeset.header.hlc)
        if hlc_seconds(stamp) <= self._clock.now_s() + HLC_AHEAD_S:
            self._hlc.saw(stamp)
