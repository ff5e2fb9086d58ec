"""The answerer's side of a connection: one task per request or stream of the peer, bounded."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from mfdb.kernel.errors import (
    InternalError,
    MfdbError,
    PeerBusy,
    ProtocolViolation,
    ValueTooLarge,
)
from mfdb.net.frames import BODY_BYTES, Frame, Kind, decode_credit, encode_frame
from mfdb.net.refusal import encode_refusal
from mfdb.net.window import SendWindow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from mfdb.net.outbox import Outbox
    from mfdb.net.port import Handler, Peer
    from mfdb.net.settings import NetSettings

logger = logging.getLogger(__name__)


class _Work:
    """One request or stream that is being served."""

    __slots__ = ("credited", "failure", "size_bytes", "window")

    def __init__(self, size_bytes: int, failure: Kind) -> None:
        self.size_bytes = size_bytes
        self.failure = failure
        self.window = SendWindow(0)
        self.credited = asyncio.Event()


class Serving:
    """Runs the handler for what one peer asks."""

    def __init__(self, handler: Handler, peer: Peer, outbox: Outbox, settings: NetSettings) -> None:
        self._handler = handler
        self._peer = peer
        self._outbox = outbox
        self._settings = settings
        self._works: dict[int, _Work] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._stopping: dict[asyncio.Task[None], None] = {}
        self._size_bytes = 0

    # ---- what the peer asks

    def on_request(self, frame: Frame) -> None:
        """Start answering a request, or refuse it if too much is under way."""
        if self._admits(frame, Kind.REFUSAL):
            self._start(frame, Kind.REFUSAL, self._answer(frame.number, frame.body))

    def on_open(self, frame: Frame) -> None:
        """Start serving a stream, or refuse it if too much is under way."""
        if self._admits(frame, Kind.END):
            self._start(frame, Kind.END, self._feed(frame.number, frame.body))

    def on_credit(self, frame: Frame) -> None:
        """Let a stream send more; credit for a stream that ended is late, not wrong."""
        credit = decode_credit(frame.body)
        work = self._works.get(frame.number)
        if work is not None:
            work.window.granted(credit)
            work.credited.set()

    def on_cancel(self, frame: Frame) -> None:
        """Stop serving what the peer gave up; its place is free at once."""
        if self._forget(frame.number) is not None:
            self._tasks[frame.number].cancel()

    async def stop(self) -> None:
        """Cancel everything under way and wait for its end."""
        self._works.clear()
        while self._stopping:
            tasks = list(self._stopping)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    # ---- book-keeping

    def _admits(self, frame: Frame, failure: Kind) -> bool:
        if frame.number in self._tasks:
            raise ProtocolViolation(f"number {frame.number} is under way already")
        size = self._size_bytes + len(frame.body)
        # Cancelled work gives its place back at once, but what lingers of it is bounded as well.
        limit = self._settings.requests
        fits = len(self._works) < limit and len(self._stopping) < 2 * limit
        fits = fits and (not self._works or size <= self._settings.requests_bytes)
        if not fits:
            if not self._outbox.has_room:
                raise ProtocolViolation("asks on and on and does not read the refusals")
            busy = PeerBusy(
                f"{len(self._works)} requests are under way", hint="wait for some answers first"
            )
            self._outbox.put(encode_frame(failure, frame.number, encode_refusal(busy)))
        return fits

    def _start(self, frame: Frame, failure: Kind, run: Coroutine[None, None, None]) -> None:
        number = frame.number
        self._works[number] = _Work(len(frame.body), failure)
        self._size_bytes += len(frame.body)
        task = asyncio.get_running_loop().create_task(run, name=f"serve {number}")
        self._tasks[number] = task
        self._stopping[task] = None
        task.add_done_callback(lambda task: self._ended(number, task))

    def _forget(self, number: int) -> _Work | None:
        work = self._works.pop(number, None)
        if work is not None:
            self._size_bytes -= work.size_bytes
        return work

    def _ended(self, number: int, task: asyncio.Task[None]) -> None:
        self._stopping.pop(task, None)
        self._tasks.pop(number, None)
        work = self._forget(number)
        if work is not None:  # the handler cancelled itself: the peer must not wait for nothing
            error = InternalError("the peer gave up answering")
            self._outbox.put(encode_frame(work.failure, number, encode_refusal(error)))
        if not task.cancelled() and task.exception() is not None:
            logger.error("serving a peer failed", exc_info=task.exception())

    # ---- the tasks

    async def _answer(self, number: int, body: bytes) -> None:
        try:
            answer = await self._handler.on_request(self._peer, body)
            _check_size(answer)
            frame = encode_frame(Kind.ANSWER, number, answer)
        except Exception as error:  # noqa: BLE001,RUF100 - whatever a handler raises must become an answer
            frame = encode_frame(Kind.REFUSAL, number, encode_refusal(_told(error)))
        await self._finish(number, frame)

    async def _feed(self, number: int, body: bytes) -> None:
        end = b""
        try:
            items = self._handler.on_stream(self._peer, body)
            try:
                await self._pump(number, items)
            finally:
                close = getattr(items, "aclose", None)
                if close is not None:
                    await close()
        except Exception as error:  # noqa: BLE001,RUF100 - whatever a handler raises must become an answer
            end = encode_refusal(_told(error))
        await self._finish(number, encode_frame(Kind.END, number, end))

    async def _pump(self, number: int, items: AsyncIterator[bytes]) -> None:
        """Send items while there is credit; the handler is not asked for one that cannot go."""
        work = self._works[number]
        while True:
            while not work.window.is_open:
                work.credited.clear()
                await work.credited.wait()
            if not await self._outbox.room():
                return
            try:
                item = await anext(items)
            except StopAsyncIteration:
                return
            _check_size(item)
            if not await self._outbox.room():
                return
            work.window.sent(len(item))
            self._outbox.put(encode_frame(Kind.ITEM, number, item))

    async def _finish(self, number: int, frame: bytes) -> None:
        """Send the last frame; the place is given back first, as the peer counts on it then."""
        if await self._outbox.room() and self._forget(number) is not None:
            self._tasks.pop(number, None)
            self._outbox.put(frame)


def _told(error: Exception) -> MfdbError:
    """Return what the peer may know of an error."""
    if isinstance(error, MfdbError):
        return error
    logger.error("a handler failed", exc_info=error)
    return InternalError("the peer failed to answer", hint="its log has the reason")


def _check_size(body: bytes) -> None:
    if len(body) > BODY_BYTES:
        raise ValueTooLarge(f"an answer of {len(body)} bytes is over the limit of {BODY_BYTES}")
