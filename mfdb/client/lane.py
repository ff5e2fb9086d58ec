"""One dataset's writes on their way: those that wait together go out as one changeset.

    write -> waits for the next group -> signed -> sent -> W receipts -> applied (durable)
                                                        -> refused    -> each one alone
                                                        -> too few    -> kept in the outbox

New rows are put into the outbox while the providers work, and their writers hear of them as soon as
a quorum has given receipts; to show them here waits until somebody reads or many can be shown at
once. Whatever else is written, and many rows at once, is shown before anybody hears of it, and goes
into the outbox only if it is not acknowledged within `KEEP_S`, or is given up. So a process that is
killed has told nobody of a write that is not at least in its outbox, from where the next process
sends it again.

Signing, sending, judging and syncing cost the same for one row as for many, so that a writer with
many writes under way pays them once a group. Each write still has a result of its own: a group
that cannot stand is taken apart, and whoever is refused alone is refused.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from mfdb.dataset.outcome import Written
from mfdb.dataset.row_changes import cost_of_all, named_rows, together
from mfdb.kernel.errors import (
    DataError,
    IntegrityError,
    MfdbError,
    ProgrammingError,
    ProtocolViolation,
    QuorumNotReached,
)
from mfdb.kernel.ids import RowId

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from mfdb.client.remote import Remote
    from mfdb.dataset.replica import Replica
    from mfdb.dataset.row_changes import RowChange
    from mfdb.dataset.writer import Draft
    from mfdb.kernel.ids import ChangesetId, DatasetId
    from mfdb.rules.receipt import WriteReceipt

    Shredding = Callable[[Sequence[tuple[ChangesetId, int]]], Awaitable[None]]

log = logging.getLogger(__name__)

REFUSALS = (ProgrammingError, DataError, IntegrityError, ProtocolViolation)
GROUPS = 2
"""Groups under way at once: while one waits for receipts, the next is sealed."""
GROUP_CHANGES = 1_000
MANY_CHANGES = 250
"""Writes of so many rows go into the outbox only if they are not acknowledged soon: to write all of
them twice takes longer than to show them when they are."""
GROUP_BYTES = 2**20
KEEP_S = 0.1
"""How long a write may be under way before it is put into the outbox."""
SHOW_S = 0.02
"""How long acknowledged rows wait to be shown, if nobody reads."""
SHOW_CHANGESETS = 16
"""So many are shown while providers work on the next one."""


@dataclass(slots=True, eq=False)
class _Write:
    """One caller's changes, and how it hears of them."""

    changes: Sequence[RowChange]
    sealed_sender: bool
    done: asyncio.Future[None]
    rows: frozenset[RowId] = frozenset()
    """The rows that are named (new ones in free datasets have no name yet)."""

    def __post_init__(self) -> None:
        self.rows = frozenset(named_rows(self.changes))

    def fail(self, error: BaseException) -> None:
        """Tell the caller."""
        if self.done.done():
            return
        if isinstance(error, asyncio.CancelledError):
            self.done.cancel()
        else:
            self.done.set_exception(error)


class _Group:
    """Writes that go out as one changeset."""

    def __init__(self) -> None:
        self.writes: list[_Write] = []
        self.rows: set[RowId] = set()
        self._count = 0
        self._size_bytes = 0
        """What they take of a changeset at most; who is alone is not measured."""

    def takes(self, write: _Write) -> bool:
        """Take a write in, if it may join: a sealed sender's rows are not to be linked."""
        count = self._count + len(write.changes)
        if self.writes:
            first = self.writes[0]
            if write.sealed_sender or first.sealed_sender or count > GROUP_CHANGES:
                return False
            size_bytes = self._size_bytes or cost_of_all(first.changes)
            size_bytes += cost_of_all(write.changes)
            if size_bytes > GROUP_BYTES or not self.rows.isdisjoint(write.rows):
                return False
            self._size_bytes = size_bytes
        self.writes.append(write)
        self.rows |= write.rows
        self._count = count
        return True


class Lane:
    """The writes of one identity to one dataset."""

    def __init__(
        self, dataset: DatasetId, replica: Replica, remote: Remote, shred: Shredding
    ) -> None:
        """`shred` is told of salts that others should destroy too."""
        self._dataset = dataset
        self._replica = replica
        self._remote = remote
        self._shred = shred
        self._waiting: deque[_Write] = deque()
        self._groups: dict[asyncio.Task[None], set[RowId]] = {}
        self._under_way: set[ChangesetId] = set()
        self._is_woken = False
        self._unshown = 0
        self._showing: asyncio.TimerHandle | None = None

    @property
    def under_way(self) -> frozenset[ChangesetId]:
        """Changesets in the outbox that are being sent just now."""
        return frozenset(self._under_way)

    async def write(self, changes: Sequence[RowChange], *, sealed_sender: bool) -> None:
        """Write changes and wait until a quorum has acknowledged them.

        Raises:
            AccessDenied, StaleWrite, SchemaViolation: the providers refuse; nothing was written.
            QuorumNotReached: it may have been written; it stays in the outbox and is retried.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Write(changes, sealed_sender, done))
        self._wake()
        await done

    async def close(self) -> None:
        """Return when nothing is under way any more; what is not acknowledged stays in the outbox.

        The remote is closed first, which ends what waits for it.
        """
        if self._showing is not None:
            self._showing.cancel()
        while self._waiting:
            self._waiting.popleft().fail(asyncio.CancelledError())
        for task in list(self._groups):
            task.cancel()
        if self._groups:
            await asyncio.wait(list(self._groups))

    # ---- groups

    def _wake(self) -> None:
        """Form groups once whoever writes in this turn of the loop has done so."""
        if not self._is_woken:
            self._is_woken = True
            asyncio.get_running_loop().call_soon(self._start)

    def _start(self) -> None:
        self._is_woken = False
        while self._waiting and len(self._groups) < GROUPS:
            group = self._next_group()
            if not group.writes:
                return
            carrying = self._carry(group.writes)
            task = asyncio.get_running_loop().create_task(carrying, name="write group")
            self._groups[task] = group.rows
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._groups[task]
        self._wake()

    def _next_group(self) -> _Group:
        """Take the writes that can go out together, in order; one on a row under way waits."""
        taken = set[RowId]().union(*self._groups.values())
        group = _Group()
        while self._waiting:
            write = self._waiting[0]
            if write.done.done():  # given up before anything of it was signed
                self._waiting.popleft()
                continue
            if not (write.rows.isdisjoint(taken) and group.takes(write)):
                break
            self._waiting.popleft()
        return group

    # ---- one group

    async def _carry(self, group: list[_Write]) -> None:
        self._replica.blocks.under_way += 1
        try:
            await self._send_together(group)
        except BaseException as error:
            for write in group:
                write.fail(error)
            if not isinstance(error, Exception):
                raise
        finally:
            self._replica.blocks.under_way -= 1

    async def _send_together(self, group: list[_Write]) -> None:
        """Send a group as one; if it cannot stand so, send each write of it alone."""
        try:
            await self._send(together([write.changes for write in group]), group[0])
        except QuorumNotReached as error:
            error.hint = error.hint or "it stays in the outbox; the next write tries again"
            raise
        except REFUSALS:
            if len(group) == 1:
                raise
            await asyncio.gather(*(self._carry([write]) for write in group))
            return
        for write in group:
            if not write.done.done():
                write.done.set_result(None)

    async def _send(self, changes: Sequence[RowChange], first: _Write) -> None:
        drafts = self._replica.compose(self._dataset, changes, sealed_sender=first.sealed_sender)
        ids = {draft.entry.changeset for draft in drafts}
        self._under_way |= ids
        asks = bool(named_rows(changes))
        lingers = asks or len(changes) >= MANY_CHANGES
        keeping = _Keeping(partial(self._keep, drafts), lingers=lingers)
        written: list[Written] = []
        try:
            for draft in drafts:  # what was acknowledged counts, whatever becomes of the next
                receipts = await self._receipts(draft)
                written.append(Written(draft=draft, receipts=receipts))
        except REFUSALS:  # what follows the one that was refused is not sent later either
            for draft in drafts[len(written) :]:
                self._replica.settle(self._dataset, draft.entry.changeset, ())
            raise
        except BaseException:
            self._replica.keep(self._dataset, drafts[len(written) :])
            raise
        finally:
            keeping.cancel()
            try:
                shred = self._acknowledge(written, is_kept=keeping.is_done and not asks)
            finally:  # what could not be shown (the disk is full) is sent again
                self._under_way -= ids
        if shred:
            await self._shred(shred)

    def _acknowledge(
        self, written: Sequence[Written], *, is_kept: bool
    ) -> Sequence[tuple[ChangesetId, int]]:
        """Show what was acknowledged, or have it shown soon; return the salts to be destroyed."""
        if not written:
            return ()
        if not is_kept:
            return self._replica.acknowledge(self._dataset, written).shred
        self._unshown = self._replica.acknowledged(self._dataset, written)
        if self._showing is None:
            loop = asyncio.get_running_loop()
            self._showing = loop.call_later(SHOW_S, self._show)
        return ()

    def _show(self) -> None:
        """Show what was acknowledged."""
        if self._showing is not None:
            self._showing.cancel()
            self._showing = None
        self._unshown = 0
        self._replica.show()

    def _keep(self, drafts: Sequence[Draft]) -> bool:
        """Let a write outlive its process; return whether that was possible."""
        self._replica.get_ready(self._dataset)
        try:
            self._replica.keep(self._dataset, drafts)
        except MfdbError as error:
            log.warning("a write under way is not in the outbox: %s", error)
            return False
        if self._unshown >= SHOW_CHANGESETS:
            self._show()
        return True

    async def _receipts(self, draft: Draft) -> tuple[WriteReceipt, ...]:
        outcome = await self._remote.write(self._dataset, draft.changeset, draft.entry)
        return outcome.receipts


class _Keeping:
    """Has drafts kept in the next turn of the loop, or (`lingers`) after `KEEP_S`."""

    __slots__ = ("_handle", "_keep", "is_done")

    def __init__(self, keep: Callable[[], bool], *, lingers: bool) -> None:
        self._keep = keep
        self.is_done = False
        loop = asyncio.get_running_loop()
        self._handle: asyncio.Handle = (
            loop.call_later(KEEP_S, self._now) if lingers else loop.call_soon(self._now)
        )

    def cancel(self) -> None:
        """Keep nothing that is not kept already."""
        self._handle.cancel()

    def _now(self) -> None:
        self.is_done = self._keep()
