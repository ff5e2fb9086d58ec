"""Writing to a dataset on a network: acknowledged by a quorum, applied, shredded.

compose -> remote.write -> W receipts -> apply here (durable) -> shred what was deleted
                        -> refused    -> the error raised; taken out of the outbox if it is there
                        -> too few    -> kept in the outbox; the next write retries
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import msgspec

from mfdb.client.lane import REFUSALS, Lane
from mfdb.dataset.outcome import Incoming
from mfdb.kernel.codec import encode
from mfdb.kernel.errors import MfdbError, NetworkError
from mfdb.kernel.ids import ChangesetId

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfdb.client.remote import Remote
    from mfdb.dataset.replica import Replica
    from mfdb.dataset.row_changes import RowChange
    from mfdb.kernel.ids import DatasetId
    from mfdb.rules.changeset import Changeset
    from mfdb.rules.key_log import KeyLogEntry

_SHRED_MARK = "shred"


class Outbox:
    """Brings one identity's writes to the providers, each exactly once as far as they can tell."""

    def __init__(self, replica: Replica, remote: Remote) -> None:
        self._replica = replica
        self._remote = remote
        self._lanes: dict[DatasetId, Lane] = {}
        self._clean: set[DatasetId] = set()
        """Datasets of which nothing from before is left: no changeset, no salt to destroy."""

    async def write(
        self, dataset: DatasetId, changes: Sequence[RowChange], *, sealed_sender: bool
    ) -> None:
        """Write changes and wait until a quorum has acknowledged them; callers share changesets.

        Raises:
            AccessDenied, StaleWrite, SchemaViolation: the providers refuse; nothing was written.
            QuorumNotReached: it may have been written; it stays in the outbox and is retried.
        """
        if dataset not in self._clean:
            await self.flush(dataset)
        try:
            await self._lane(dataset).write(changes, sealed_sender=sealed_sender)
        except MfdbError:
            self._clean.discard(dataset)
            raise

    async def flush(self, dataset: DatasetId) -> None:
        """Send again what an earlier write left in the outbox, oldest first.

        A write that is refused now was never acknowledged; it is given up.
        """
        self._clean.add(dataset)
        try:
            for outgoing in self._replica.outgoing(dataset):
                if outgoing.entry.changeset not in self._lane(dataset).under_way:
                    await self._send(dataset, outgoing.changeset, outgoing.entry)
            await self._shred(dataset, ())
        except BaseException:
            self._clean.discard(dataset)
            raise

    async def close(self) -> None:
        """Return when nothing is under way; the remote is closed already."""
        for lane in self._lanes.values():
            await lane.close()
        self._replica.rest()

    def _lane(self, dataset: DatasetId) -> Lane:
        if dataset not in self._lanes:
            shred = partial(self._shred, dataset)
            self._lanes[dataset] = Lane(dataset, self._replica, self._remote, shred)
        return self._lanes[dataset]

    async def _send(self, dataset: DatasetId, changeset: Changeset, entry: KeyLogEntry) -> None:
        try:
            outcome = await self._remote.write(dataset, changeset, entry)
        except REFUSALS:
            self._replica.settle(dataset, entry.changeset, ())
            return
        item = Incoming(changeset=changeset, entry=entry, receipts=outcome.receipts)
        applied = self._replica.apply(dataset, [item])
        self._replica.settle(dataset, entry.changeset, outcome.receipts)
        if applied.shred:
            await self._shred(dataset, applied.shred)

    async def _shred(self, dataset: DatasetId, salts: Sequence[tuple[ChangesetId, int]]) -> None:
        """Have salts destroyed everywhere; what fails is remembered for the next write."""
        if self._replica.known(dataset).manifest.owner != self._replica.identity:
            return
        kept = self._replica.mark(dataset, _SHRED_MARK)
        if kept is None and not salts:
            return
        owed = msgspec.msgpack.decode(kept, type=list[tuple[bytes, int]]) if kept else []
        due = [(ChangesetId(changeset), index) for changeset, index in [*owed, *salts]]
        self._replica.set_mark(dataset, _SHRED_MARK, encode(due))
        try:
            await self._remote.shred(dataset, due)
        except NetworkError:
            self._clean.discard(dataset)
            return
        self._replica.set_mark(dataset, _SHRED_MARK, None)
