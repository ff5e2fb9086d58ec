"""How many requests one side has under way: waits here rather than being refused there."""

from __future__ import annotations

import asyncio
from collections import deque


class Gate:
    """Admits requests in order while their number and bytes are within bounds.

    One request is always admitted, however large, so that nobody waits for ever.
    """

    def __init__(self, count: int, size_bytes: int) -> None:
        self._count = count
        self._size_bytes = size_bytes
        self._inside = 0
        self._inside_bytes = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    def try_enter(self, size_bytes: int) -> bool:
        """Enter if that needs no waiting; say whether it was done."""
        if self._waiting or not self._fits(size_bytes):
            return False
        self._take(size_bytes)
        return True

    async def enter(self, size_bytes: int) -> None:
        """Enter, waiting for those before; if cancelled, nothing was entered."""
        if self.try_enter(size_bytes):
            return
        turn = asyncio.get_running_loop().create_future()
        entry = (size_bytes, turn)
        self._waiting.append(entry)
        try:
            await turn
        except asyncio.CancelledError:
            if entry in self._waiting:
                self._waiting.remove(entry)
            else:
                self.leave(size_bytes)
            raise

    def leave(self, size_bytes: int) -> None:
        """Give the place back."""
        self._inside -= 1
        self._inside_bytes -= size_bytes
        while self._waiting and self._fits(self._waiting[0][0]):
            size, turn = self._waiting.popleft()
            self._take(size)
            if turn.cancelled():  # its owner has not run yet; it finds itself gone and leaves
                continue
            turn.set_result(None)

    def _fits(self, size_bytes: int) -> bool:
        if not self._inside:
            return True
        within = self._inside_bytes + size_bytes <= self._size_bytes
        return self._inside < self._count and within

    def _take(self, size_bytes: int) -> None:
        self._inside += 1
        self._inside_bytes += size_bytes
