"""Group commit: writers that arrive while one commit runs share the next one.

Batches stand in a queue, and whoever's is the first leads: it commits what stands there as one
group and leaves, so that the next one does. No thread of its own, so nothing to stop. With sync on
this is worth a factor of 5 to 15 in commits per second.

The queue alone says who leads: whoever is interrupted (Ctrl-C), wherever that is, leaves it like
everybody, and what was interrupted inside a commit is committed once more by the next. Events and
conditions of `threading` are not used, for Ctrl-C inside them may leave them locked.
"""

from __future__ import annotations

import threading
from collections import deque
from queue import SimpleQueue
from typing import TYPE_CHECKING

from mfdb.kernel.errors import InterfaceError, MfdbError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mfdb.store.port import Write

_GROUP_BYTES = 64 * 2**20


class _Waiting:
    """One caller's batch and what became of it."""

    __slots__ = ("batch", "error", "settled", "size_bytes", "woken")

    def __init__(self, batch: Sequence[Write], size_bytes: int) -> None:
        self.batch = batch
        self.size_bytes = size_bytes
        self.settled = False
        self.error: MfdbError | None = None
        self.woken: SimpleQueue[None] | None = None

    def settle(self, error: MfdbError | None) -> None:
        """Tell the caller what became of it."""
        self.error, self.settled = error, True
        self.wake()

    def wake(self) -> None:
        """Let the caller look: it is settled, or leads."""
        if self.woken is not None:
            self.woken.put(None)


class CommitQueue:
    """Merges the batches of concurrent callers into few commits.

    `commit` applies batches, of so many bytes together, as one atomic, durable transaction or
    raises an `MfdbError` and applies nothing; it is called by one thread at a time. To apply the
    same batches once more must do no harm.
    """

    def __init__(self, commit: Callable[[Sequence[Sequence[Write]], int], None]) -> None:
        self._commit = commit
        self._lock = threading.Lock()
        self._queue: deque[_Waiting] = deque()
        self._closed = False

    def write(self, batch: Sequence[Write], size_bytes: int) -> None:
        """Return once this batch is committed; raise what `commit` raised for this batch."""
        mine = _Waiting(batch, size_bytes)
        self._stand(mine, self._lead)
        if mine.error is not None:
            raise mine.error

    def close(self) -> None:
        """Refuse further writes and wait until those accepted are settled."""
        self._stand(_Waiting((), 0), lambda: None, closes=True)

    def _stand(self, mine: _Waiting, lead: Callable[[], None], *, closes: bool = False) -> None:
        """Stand in the queue until somebody has committed mine, or it is the first and leads."""
        try:
            self._enter(mine, closes=closes)
            if mine.woken is not None:
                mine.woken.get()
            if not mine.settled:
                lead()
            self._leave(mine)
        except BaseException:  # not `finally`: Ctrl-C may strike in there as well
            self._leave(mine)
            raise

    def _enter(self, mine: _Waiting, *, closes: bool) -> None:
        with self._lock:
            if self._closed and not closes:
                raise InterfaceError("the store is closed")
            self._closed = closes
            if self._queue:
                mine.woken = SimpleQueue()
            self._queue.append(mine)

    def _leave(self, mine: _Waiting) -> None:
        """Leave the queue; whoever is the first then leads."""
        with self._lock:
            queue = self._queue
            if not mine.settled and mine in queue:  # Ctrl-C: it is not to be committed later
                queue.remove(mine)
            while queue and queue[0].settled:
                queue.popleft()
            if queue:
                queue[0].wake()

    def _lead(self) -> None:
        group = self._group()
        errors = self._committed(group)
        # The first last: as long as it stands there unsettled, nobody else leads.
        while group:
            group.pop().settle(errors.pop())

    def _group(self) -> list[_Waiting]:
        waiting, size = list(self._queue), 0
        for at, one in enumerate(waiting):
            size += one.size_bytes
            if at and size > _GROUP_BYTES:
                return waiting[:at]
        return waiting

    def _committed(self, group: list[_Waiting]) -> list[MfdbError | None]:
        """Commit batches together, or if that fails each by itself; return what each one failed by.

        One batch that is refused must not take the others with it.
        """
        try:
            if len(group) == 1:
                self._commit((group[0].batch,), group[0].size_bytes)
            else:
                self._commit([one.batch for one in group], sum([one.size_bytes for one in group]))
        except MfdbError as error:
            if len(group) == 1:
                return [error]
            return [told for one in group for told in self._committed([one])]
        return [None] * len(group)
