"""What waits to be written on one connection: frames coalesced per turn of the loop, bounded.

`put` never waits, for small frames that a connection cannot do without; whoever sends bodies asks
for `room` first, so that a peer that does not read holds back its own answers and streams only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

OUTBOX_BYTES = 2**20


class Outbox:
    """Collects frames and hands them to the channel once per turn of the loop."""

    def __init__(
        self, send: Callable[[list[bytes]], None], loop: asyncio.AbstractEventLoop
    ) -> None:
        self._send = send
        self._loop = loop
        self._frames: list[bytes] = []
        self._size_bytes = 0
        self._waiters: list[asyncio.Future[None]] = []
        self._held_since: float | None = None
        self._shut = False

    def put(self, frame: bytes) -> None:
        """Send a frame soon; after `shut` it is dropped."""
        if self._shut:
            return
        if not self._frames:
            self._loop.call_soon(self.flush)
        self._frames.append(frame)
        self._size_bytes += len(frame)

    def put_now(self, frame: bytes) -> None:
        """Send a frame in this turn of the loop, with what was put before it."""
        if not self._shut:
            self._frames.append(frame)
            self.flush()

    @property
    def has_room(self) -> bool:
        """Whether a body may be put now."""
        return self._held_since is None and self._size_bytes < OUTBOX_BYTES

    async def room(self) -> bool:
        """Wait until a body may be put; return False once nothing will be sent any more."""
        while not self._shut and not self.has_room:
            waiter = self._loop.create_future()
            self._waiters.append(waiter)
            await waiter
        return not self._shut

    def held_s(self) -> float:
        """Return for how many seconds the channel has taken nothing."""
        return 0.0 if self._held_since is None else self._loop.time() - self._held_since

    def flush(self) -> None:
        """Hand everything collected to the channel."""
        if self._frames and not self._shut:
            frames, self._frames, self._size_bytes = self._frames, [], 0
            self._send(frames)
            if self._waiters:
                self._wake()

    def hold(self) -> None:
        """Take note that the channel wants no more (its peer reads too slowly)."""
        self._held_since = self._loop.time()

    def resume(self) -> None:
        """Take note that the channel takes frames again."""
        self._held_since = None
        self._wake()

    def shut(self) -> None:
        """Send nothing any more and let nobody wait."""
        self._shut = True
        self._frames.clear()
        self._wake()

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
