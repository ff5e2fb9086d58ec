"""Group commit: whatever arrived since the last commit goes into one durable transaction.

A change is a function over a `Transaction` (the committed state plus what earlier changes of the
same group wrote). Changes run in the order of submission, one writer at a time; one that raises
leaves nothing behind and fails alone. Results are handed out only after the store has synced.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mfdb.store.port import Snapshot, Store, Write

T = TypeVar("T")
A = TypeVar("A")

GROUP_LIMIT = 512
"""Changes in one transaction, so that a burst does not delay its first member for long."""


BRIEF = 256
"""Writes of a commit that is small."""


class RunBlocking(Protocol):
    """How a blocking call is kept off the event loop: a thread, or inline in a simulation."""

    async def __call__(self, work: Callable[[], T]) -> T:
        """Return what `work` returns."""
        ...


class Transaction:
    """A view of the store in which one's own writes are visible."""

    __slots__ = ("_snapshot", "_under", "_writes", "redefines")

    def __init__(self, under: Snapshot | Transaction) -> None:
        self._writes: dict[bytes, bytes | None] = {}
        self.redefines: set[bytes] = set()
        """The datasets of which it changes what others remember of the store (`Committer`)."""
        self._under: tuple[dict[bytes, bytes | None], ...] = ()
        """What was written below, the newest first; a change stands on its group's transaction."""
        self._snapshot: Snapshot
        if isinstance(under, Transaction):
            self._snapshot = under._snapshot
            self._under = (under._writes, *under._under)
            self.redefines |= under.redefines
        else:
            self._snapshot = under

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key, or None."""
        if key in self._writes:
            return self._writes[key]
        for writes in self._under:
            if key in writes:
                return writes[key]
        return self._snapshot.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        """Set a key."""
        self._writes[key] = value

    def delete(self, key: bytes) -> None:
        """Remove a key."""
        self._writes[key] = None

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield the pairs whose key begins with a prefix, in key order."""
        merged: dict[bytes, bytes | None] = dict(self._snapshot.scan(prefix))
        for writes in (*reversed(self._under), self._writes):
            merged.update({k: v for k, v in writes.items() if k.startswith(prefix)})
        for key in sorted(merged):
            value = merged[key]
            if value is not None:
                yield key, value

    def writes(self) -> Sequence[Write]:
        """Return what was written, for the store."""
        return list(self._writes.items())

    def afresh(self) -> Transaction:
        """Return a transaction over the same snapshot in which nothing was written."""
        return Transaction(self._snapshot)

    def absorb(self, inner: Transaction) -> None:
        """Take over the writes of a transaction that was opened on this one."""
        self._writes.update(inner._writes)
        self.redefines |= inner.redefines


@dataclass(slots=True)
class _Submitted(Generic[T, A]):
    change: Callable[[Transaction], T]
    answer: Callable[[T], A]
    future: asyncio.Future[A]

    def settle(self, result: T) -> None:
        """Hand out the answer: the change is durable, whether or not anybody still waits."""
        try:
            answer = self.answer(result)
        except Exception as error:  # handed to whoever submitted the change
            _fail(self, error)
            return
        if not self.future.done():
            self.future.set_result(answer)


class Committer:
    """The only writer of a node's store."""

    def __init__(
        self,
        store: Store,
        run_blocking: RunBlocking,
        *,
        run_briefly: RunBlocking | None = None,
        before_commit: Callable[[Transaction], None] = lambda _: None,
    ) -> None:
        """`run_briefly` carries out small commits, which may take less than a thread's turn.

        `before_commit` may add writes that belong to the whole group (a batch signature).
        """
        self._store = store
        self._run_blocking = run_blocking
        self._run_briefly = run_briefly or run_blocking
        self._before_commit = before_commit
        self._queue: list[_Submitted[Any, Any]] = []
        self._sleep: asyncio.Future[None] | None = None
        """What the committer waits for while there is nothing to do."""
        self._is_over = False
        self.commits = 0
        """Groups that were made durable."""
        self.changes = 0
        """Changes in them."""
        self.redefined = 0
        """Grows with every commit after which what is remembered of rules may not hold any more."""
        self._redefined_at: dict[bytes, int] = {}
        """How far it had grown when that was so of a dataset, the last one last."""

    def redefined_since(self, then: int) -> list[bytes]:
        """Return the datasets that were redefined since `redefined` stood at this."""
        newest = reversed(self._redefined_at.items())
        return [dataset for dataset, _ in takewhile(lambda one: one[1] > then, newest)]

    async def submit(self, change: Callable[[Transaction], T]) -> T:
        """Return what a change returns, once it is durable.

        Raises:
            StoreFull: the disk is full; nothing of the group was kept.
            MfdbError: what the change itself raised; nothing of it was kept.
            CancelledError: the node is closing.
        """
        return await self.enqueue(change, _itself)

    def enqueue(
        self, change: Callable[[Transaction], T], answer: Callable[[T], A]
    ) -> asyncio.Future[A]:
        """Return the future of a change's answer, made of its result once that is durable.

        Changes run in the order in which they are enqueued.

        Raises:
            CancelledError: the node is closing.
        """
        if self._is_over:
            raise asyncio.CancelledError("the committer has ended")
        future: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._queue.append(_Submitted(change, answer, future))
        if self._sleep is not None and not self._sleep.done():
            self._sleep.set_result(None)
        return future

    async def run(self) -> None:
        """Commit groups until cancelled. The node owns this task."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                if not self._queue:
                    self._sleep = loop.create_future()
                    await self._sleep
                group, self._queue = self._queue[:GROUP_LIMIT], self._queue[GROUP_LIMIT:]
                await self._commit(group)
        finally:
            self._end()

    def _end(self) -> None:
        """Let nobody wait for a commit that will never come."""
        self._is_over = True
        for submitted in self._queue:
            submitted.future.cancel()
        self._queue.clear()

    async def _commit(self, group: list[_Submitted[Any, Any]]) -> None:
        done: list[tuple[_Submitted[Any, Any], Any]] = []
        try:
            with self._store.snapshot() as snapshot:
                transaction = Transaction(snapshot)
                if len(group) == 1:
                    transaction = self._apply_one(group[0], transaction, done)
                else:
                    for submitted in group:
                        self._apply(submitted, transaction, done)
                self._before_commit(transaction)
            writes = transaction.writes()
            await self._write(writes, transaction.redefines)
        except BaseException as error:
            for submitted in group:
                _fail(submitted, error)
            if not isinstance(error, Exception):
                raise
            return
        self.commits += bool(writes)
        self.changes += len(done)
        for submitted, result in done:
            submitted.settle(result)

    async def _write(self, writes: Sequence[Write], redefines: set[bytes]) -> None:
        """Make writes durable; a store that tells a failure may have kept them all the same."""
        try:
            if writes:
                carry_out = self._run_briefly if len(writes) <= BRIEF else self._run_blocking
                await carry_out(lambda: self._store.write(writes))
        finally:
            if redefines:
                self.redefined += 1
                for dataset in sorted(redefines):
                    self._redefined_at.pop(dataset, None)
                    self._redefined_at[dataset] = self.redefined

    @staticmethod
    def _apply_one(
        submitted: _Submitted[Any, Any],
        transaction: Transaction,
        done: list[tuple[_Submitted[Any, Any], Any]],
    ) -> Transaction:
        """Carry out the only change of a group; return the transaction to commit."""
        try:
            result = submitted.change(transaction)
        except Exception as error:  # handed to whoever submitted the change
            _fail(submitted, error)
            return transaction.afresh()
        done.append((submitted, result))
        return transaction

    @staticmethod
    def _apply(
        submitted: _Submitted[Any, Any],
        transaction: Transaction,
        done: list[tuple[_Submitted[Any, Any], Any]],
    ) -> None:
        inner = Transaction(transaction)
        try:
            result = submitted.change(inner)
        except Exception as error:  # handed to whoever submitted the change
            _fail(submitted, error)
            return
        transaction.absorb(inner)
        done.append((submitted, result))


def _itself(result: T) -> T:
    return result


def _fail(submitted: _Submitted[Any, Any], error: BaseException) -> None:
    if submitted.future.done():
        return
    if isinstance(error, asyncio.CancelledError):
        submitted.future.cancel()
    else:
        submitted.future.set_exception(error)
