"""Group commit: writers that arrive while one commit runs share the next one.

The first caller to find nobody committing becomes the leader: it takes what waits, commits it as
one group and wakes its members, then hands the lead to the first who came meanwhile. No thread of
its own, so nothing to stop. With sync on this is worth a factor of 5 to 15 in commits per second.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from mfdb.kernel.errors import InterfaceError, MfdbError, OperationalError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mfdb.store.port import Write

_GROUP_BYTES = 64 * 2**20


class _Waiting:
    """One caller's batch and what became of it."""

    __slots__ = ("batch", "error", "leads", "settled", "size_bytes", "woken")

    def __init__(self, batch: Sequence[Write], size_bytes: int) -> None:
        self.batch = batch
        self.size_bytes = size_bytes
        self.woken = threading.Event()
        self.leads = False
        self.settled = False
        self.error: MfdbError | None = None


class CommitQueue:
    """Merges the batches of concurrent callers into few commits.

    `commit` applies batches, of so many bytes together, as one atomic, durable transaction or
    raises an `MfdbError` and applies nothing; it is called by one thread at a time.
    """

    def __init__(self, commit: Callable[[Sequence[Sequence[Write]], int], None]) -> None:
        self._commit = commit
        self._lock = threading.Lock()
        self._queue: deque[_Waiting] = deque()
        self._idle = threading.Condition(self._lock)
        self._busy = False
        self._closed = False

    def write(self, batch: Sequence[Write], size_bytes: int) -> None:
        """Return once this batch is committed; raise what `commit` raised for this batch."""
        mine = None
        with self._lock:
            if self._closed:
                raise InterfaceError("the store is closed")
            if self._busy:
                mine = _Waiting(batch, size_bytes)
                self._queue.append(mine)
            self._busy = True
        if mine is None:
            self._alone(batch, size_bytes)
            return
        self._wait(mine)
        if mine.leads:
            self._lead()
        if mine.error is not None:
            raise mine.error

    def close(self) -> None:
        """Refuse further writes and wait until those accepted are settled."""
        with self._lock:
            self._closed = True
            self._idle.wait_for(lambda: not self._busy)

    def _alone(self, batch: Sequence[Write], size_bytes: int) -> None:
        """Commit what nobody else shares: the usual case costs no more than it must."""
        try:
            self._commit((batch,), size_bytes)
        finally:
            with self._lock:
                self._hand_over()

    def _wait(self, mine: _Waiting) -> None:
        try:
            mine.woken.wait()
        except BaseException:  # Ctrl-C while waiting: leave the queue in order for the others
            with self._lock:
                if mine in self._queue:
                    self._queue.remove(mine)
                if mine.leads and not mine.settled:
                    self._hand_over()
            raise

    def _lead(self) -> None:
        group: list[_Waiting] = []
        try:
            with self._lock:
                group = self._next_group()
            self._settle(group)
        finally:
            with self._lock:
                for waiting in group:
                    self._release(waiting)
                self._hand_over()

    def _next_group(self) -> list[_Waiting]:
        group = [self._queue.popleft()]
        size = group[0].size_bytes
        while self._queue and size + self._queue[0].size_bytes <= _GROUP_BYTES:
            group.append(self._queue.popleft())
            size += group[-1].size_bytes
        return group

    def _settle(self, group: list[_Waiting]) -> None:
        try:
            self._commit(
                [waiting.batch for waiting in group], sum(waiting.size_bytes for waiting in group)
            )
        except MfdbError as error:
            if len(group) == 1:
                group[0].error = error
                group[0].settled = True
                return
        else:
            for waiting in group:
                waiting.settled = True
            return
        # The group failed as a whole: each batch gets its own try and its own error.
        for waiting in group:
            self._settle([waiting])

    @staticmethod
    def _release(waiting: _Waiting) -> None:
        if not waiting.settled:  # the leader was interrupted (Ctrl-C) inside the commit
            waiting.settled = True
            waiting.error = OperationalError(
                "the commit was interrupted; it may or may not have happened"
            )
        waiting.woken.set()

    def _hand_over(self) -> None:
        if self._queue:
            self._queue[0].leads = True
            self._queue[0].woken.set()
        else:
            self._busy = False
            if self._closed:
                self._idle.notify_all()
