"""The answerer's side of a connection: a future or task per request or stream, bounded."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Any

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
    from collections.abc import AsyncIterator, Callable

    from mfdb.net.outbox import Outbox
    from mfdb.net.port import Handler, Peer
    from mfdb.net.settings import NetSettings

logger = logging.getLogger(__name__)


class _Work:
    """One request or stream that is being served."""

    __slots__ = ("failure", "flow", "size_bytes")

    def __init__(self, size_bytes: int, failure: Kind, flow: _Flow | None = None) -> None:
        self.size_bytes = size_bytes
        self.failure = failure
        self.flow = flow


class _Flow:
    """How much of a stream may be sent."""

    __slots__ = ("credited", "window")

    def __init__(self) -> None:
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
        self._tasks: dict[int, asyncio.Future[Any]] = {}
        self._stopping: dict[asyncio.Future[Any], None] = {}
        self._size_bytes = 0

    # ---- what the peer asks

    def on_request(self, frame: Frame) -> None:
        """Start answering a request, or refuse it if too much is under way."""
        if not self._admits(frame, Kind.REFUSAL):
            return
        answer: asyncio.Future[bytes]
        try:
            found = self._handler.on_request(self._peer, frame.body)
            answer = found if isinstance(found, asyncio.Future) else asyncio.ensure_future(found)
        except Exception as error:  # noqa: BLE001,RUF100 - whatever a handler raises must become an answer
            answer = asyncio.get_running_loop().create_future()
            answer.set_exception(error)
        self._start(frame, _Work(len(frame.body), Kind.REFUSAL), answer, self._answered)

    def on_open(self, frame: Frame) -> None:
        """Start serving a stream, or refuse it if too much is under way."""
        if self._admits(frame, Kind.END):
            work = _Work(len(frame.body), Kind.END, _Flow())
            feeding = self._feed(frame.number, frame.body)
            task = asyncio.get_running_loop().create_task(feeding, name=f"feed {frame.number}")
            self._start(frame, work, task, self._ended)

    def on_credit(self, frame: Frame) -> None:
        """Let a stream send more; credit for a stream that ended is late, not wrong."""
        credit = decode_credit(frame.body)
        work = self._works.get(frame.number)
        if work is not None and work.flow is not None:
            work.flow.window.granted(credit)
            work.flow.credited.set()

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

    def _start(
        self,
        frame: Frame,
        work: _Work,
        run: asyncio.Future[Any],
        ended: Callable[[int, asyncio.Future[Any]], None],
    ) -> None:
        self._works[frame.number] = work
        self._size_bytes += work.size_bytes
        self._tasks[frame.number] = run
        self._stopping[run] = None
        run.add_done_callback(partial(ended, frame.number))

    def _forget(self, number: int) -> _Work | None:
        work = self._works.pop(number, None)
        if work is not None:
            self._size_bytes -= work.size_bytes
        return work

    def _ended(self, number: int, task: asyncio.Future[Any]) -> None:
        self._stopping.pop(task, None)
        self._tasks.pop(number, None)
        work = self._forget(number)
        if work is not None:  # the handler cancelled itself: the peer must not wait for nothing
            error = InternalError("the peer gave up answering")
            self._outbox.put(encode_frame(work.failure, number, encode_refusal(error)))
        if not task.cancelled() and task.exception() is not None:
            logger.error("serving a peer failed", exc_info=task.exception())

    # ---- requests

    def _answered(self, number: int, answer: asyncio.Future[bytes]) -> None:
        """Send what a handler's future has come to; it is done without a task of its own."""
        if answer.cancelled():
            self._ended(number, answer)
            return
        del self._stopping[answer]
        error = answer.exception()
        frame = _refusal(number, error) if error else _answer_frame(number, answer.result())
        if self._outbox.has_room or number not in self._works:
            self._tasks.pop(number, None)
            self._send(number, frame)
            return
        task = asyncio.get_running_loop().create_task(self._finish(number, frame), name="answer")
        self._stopping[task], self._tasks[number] = None, task
        task.add_done_callback(partial(self._ended, number))

    # ---- streams

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
        flow = self._works[number].flow
        assert flow is not None, "a stream has one"
        while True:
            while not flow.window.is_open:
                flow.credited.clear()
                await flow.credited.wait()
            if not await self._outbox.room():
                return
            try:
                item = await anext(items)
            except StopAsyncIteration:
                return
            if len(item) > BODY_BYTES:
                raise _too_large(item)
            if not await self._outbox.room():
                return
            flow.window.sent(len(item))
            self._outbox.put(encode_frame(Kind.ITEM, number, item))

    async def _finish(self, number: int, frame: bytes) -> None:
        """Send the last frame, once there is room for it."""
        if await self._outbox.room():
            self._send(number, frame)

    def _send(self, number: int, frame: bytes) -> None:
        """Send the last frame; the place is given back first, as the peer counts on it then."""
        if self._forget(number) is None:
            return
        self._tasks.pop(number, None)
        if self._works:
            self._outbox.put(frame)
        else:  # nothing else is to come that it could wait for
            self._outbox.put_now(frame)


def _answer_frame(number: int, answer: bytes) -> bytes:
    """Return the frame of an answer, or of a refusal if that is over the limit."""
    if len(answer) > BODY_BYTES:
        return _refusal(number, _too_large(answer))
    return encode_frame(Kind.ANSWER, number, answer)


def _refusal(number: int, error: BaseException) -> bytes:
    return encode_frame(Kind.REFUSAL, number, encode_refusal(_told(error)))


def _told(error: BaseException) -> MfdbError:
    """Return what the peer may know of an error."""
    if isinstance(error, MfdbError):
        return error
    logger.error("a handler failed", exc_info=error)
    return InternalError("the peer failed to answer", hint="its log has the reason")


def _too_large(body: bytes) -> ValueTooLarge:
    return ValueTooLarge(f"an answer of {len(body)} bytes is over the limit of {BODY_BYTES}")
