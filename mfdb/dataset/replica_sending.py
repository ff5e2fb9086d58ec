"""The writes of one identity on their way to providers: signed, sent, acknowledged, or kept.

compose -> acknowledge (rows, receipts)            -> shown
        -> keep (the outbox) -> acknowledge, settle
                             -> acknowledged -> show: many at once, before anybody reads

A writing run (`Chain`) belongs to the process that writes; the store has its successor's.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec

from mfdb.dataset.history import check_own
from mfdb.dataset.layout import (
    Outgoing,
    Receipts,
    chain_key,
    of_dataset,
    outgoing_key,
    receipts_key,
)
from mfdb.dataset.pending import check_current
from mfdb.dataset.replica_core import ReplicaCore
from mfdb.dataset.row_changes import named_rows, split
from mfdb.dataset.states import States
from mfdb.dataset.working import Working, load, parse, save
from mfdb.dataset.writer import Chain
from mfdb.kernel.codec import encode
from mfdb.kernel.errors import AccessDenied, MfdbError, ProtocolViolation, SchemaViolation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfdb.dataset.outcome import Applied, Written
    from mfdb.dataset.row_changes import RowChange
    from mfdb.dataset.writer import Draft
    from mfdb.kernel.ids import ChangesetId, DatasetId
    from mfdb.rules.receipt import WriteReceipt
    from mfdb.store.port import Store, Write

log = logging.getLogger(__name__)

INVALID = (ProtocolViolation, AccessDenied, SchemaViolation)
"""What says that a changeset may not stand."""


class ReplicaSending(ReplicaCore):
    """The part of a replica that writes to datasets on a network."""

    def compose(
        self, dataset: DatasetId, changes: Sequence[RowChange], *, sealed_sender: bool = False
    ) -> list[Draft]:
        """Return signed changesets for providers, of which this machine's disk knows nothing yet.

        Whoever was told nothing of a write lost nothing with it: `acknowledge` keeps what a quorum
        holds, before anybody is told, and `keep` what takes longer or found no quorum.

        Raises:
            AccessDenied, SchemaViolation, ValueTooLarge: no provider would take it.
            StaleWrite, DuplicateRow: a row changed, or came, since the changes were planned.
        """
        drafts = []
        asks = bool(named_rows(changes))
        with self._lock:
            chain = self._taken_chain(dataset)
            store: Store = self._store if asks else self._below
            with store.snapshot() as snapshot:
                working = Working(snapshot)
                known = self._known(working, dataset)
                states = States(working, dataset)
                if asks:
                    check_current(states, known.manifest, changes)
                for part in split(changes):
                    draft = self._writer.compose(
                        known.manifest, part, chain, sealed_sender=sealed_sender
                    )
                    admitted = check_own(draft.changeset, known, working, states)
                    if admitted is not None:
                        self._admitted[draft.entry.changeset] = admitted
                    chain = draft.chain
                    drafts.append(draft)
            self._chains[dataset] = chain
        return drafts

    def get_ready(self, dataset: DatasetId) -> None:
        """Do what the next changeset of a dataset needs whatever it holds; this is no must."""
        with self._lock:
            known = self._catalogue.by_id.get(dataset)
            if known is not None:
                self._writer.get_ready(known.manifest)

    def keep(self, dataset: DatasetId, drafts: Sequence[Draft]) -> None:
        """Put changesets into the outbox, durably, until they are acknowledged or settled.

        Raises:
            StoreFull: the disk is full; nothing was kept.
        """
        if not drafts:
            return
        writes: list[Write] = []
        for draft in drafts:
            # The record `Outgoing`, without encoding the changeset again.
            outgoing = b"\x92" + draft.data + encode(draft.entry)
            writes.append((outgoing_key(dataset, draft.entry.changeset), outgoing))
        left = self._left_run(drafts[-1].changeset.header.hlc)
        writes.append((chain_key(dataset), encode(left)))
        with self._lock:
            self._put(writes)

    def stage(
        self, dataset: DatasetId, changes: Sequence[RowChange], *, sealed_sender: bool = False
    ) -> list[Draft]:
        """Return what `compose` does, once it is in the outbox; raise what both do."""
        drafts = self.compose(dataset, changes, sealed_sender=sealed_sender)
        self.keep(dataset, drafts)
        return drafts

    def rest(self) -> None:
        """Put the writing runs at rest, for the next process to go on with them.

        Raises:
            StoreFull: the disk is full; the next process begins new runs.
        """
        with self._writing() as working:
            for dataset, chain in self._chains.items():
                save(working, chain_key(dataset), chain)
            self._chains.clear()

    def outgoing(self, dataset: DatasetId) -> list[Outgoing]:
        """Return what waits in the outbox, oldest first."""
        with self._store.snapshot() as snapshot:
            found = [
                parse(Outgoing, value) for _, value in snapshot.scan(of_dataset(b"o", dataset))
            ]
        return sorted(found, key=lambda one: one.changeset.header.hlc)

    def settle(
        self, dataset: DatasetId, changeset: ChangesetId, receipts: Sequence[WriteReceipt]
    ) -> None:
        """Take a changeset out of the outbox: with receipts it was acknowledged, else refused."""
        self._admitted.pop(changeset, None)
        with self._writing() as working:
            working.delete(outgoing_key(dataset, changeset))
            self._add_receipts(working, dataset, changeset, receipts)

    def acknowledge(self, dataset: DatasetId, written: Sequence[Written]) -> Applied:
        """Show own changesets that a quorum acknowledged, and take them out of the outbox.

        Raises:
            StoreFull: the disk is full; they stay in the outbox and are sent again.
        """
        refused: list[tuple[ChangesetId, MfdbError]] = []
        with self._writing() as working:
            batch = self._batch(working, self._known(working, dataset))
            for one in written:
                own = one.draft.entry.changeset
                try:
                    batch.add_acknowledged(one.draft, self._admitted.pop(own, None))
                except INVALID as error:  # our rights were revoked meanwhile
                    refused.append((own, error))
                working.delete(outgoing_key(dataset, own))
                self._add_receipts(working, dataset, own, one.receipts)
            if written:
                self._leave_run(working, dataset, written[-1].draft.changeset.header.hlc)
            done = self._finish(dataset, batch)
        self._notify(dataset)
        return msgspec.structs.replace(done, refused=tuple(refused))

    def acknowledged(self, dataset: DatasetId, written: Sequence[Written]) -> int:
        """Note what a quorum holds of new rows in the outbox, to be shown before anybody reads.

        Return how many changesets wait for that.
        """
        with self._lock:
            waiting = self._unshown.setdefault(dataset, [])
            waiting.extend(written)
            self._store.is_behind = True
            return len(waiting)

    def show(self) -> None:
        """Show what was acknowledged; what cannot be shown now stays in the outbox."""
        with self._lock:
            waiting, self._unshown = self._unshown, {}
            self._store.is_behind = False
            for dataset, written in waiting.items():
                try:
                    self.acknowledge(dataset, written)
                except MfdbError as error:
                    log.warning("acknowledged rows are not shown yet: %s", error)

    # ---- inside

    def _chain(self, working: Working, dataset: DatasetId) -> Chain:
        return load(working, Chain, chain_key(dataset)) or self._writer.new_chain()

    def _taken_chain(self, dataset: DatasetId) -> Chain:
        """Return where the writing run of a dataset stands, which from now on only we know.

        In the store a new one takes its place, for the successor of a process that is killed: so
        no run is ever forked.
        """
        found = self._chains.get(dataset)
        if found is None:
            with self._writing() as working:
                found = self._chain(working, dataset)
                if working.get(chain_key(dataset)) is not None:
                    self._leave_run(working, dataset, found.hlc)
            self._chains[dataset] = found
        return found

    def _leave_run(self, working: Working, dataset: DatasetId, hlc: int) -> None:
        """Have a successor begin a new run, with a stamp above this one."""
        save(working, chain_key(dataset), self._left_run(hlc))

    def _left_run(self, hlc: int) -> Chain:
        return Chain(self._writer.new_run(), hlc=hlc)

    def _add_receipts(
        self,
        working: Working,
        dataset: DatasetId,
        changeset: ChangesetId,
        receipts: Sequence[WriteReceipt],
    ) -> None:
        key = receipts_key(dataset, changeset)
        kept = load(working, Receipts, key) or Receipts(())
        fresh = tuple(one for one in receipts if one not in kept.receipts)
        if fresh:
            save(working, key, Receipts(kept.receipts + fresh))
