"""The asker's side of a connection: requests that wait for answers, streams that are read."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from mfdb.kernel.errors import DeadlineExceeded, MfdbError, PeerUnreachable, ValueTooLarge
from mfdb.net.frames import BODY_BYTES, Frame, Kind, encode_credit, encode_frame
from mfdb.net.gate import Gate
from mfdb.net.refusal import decode_refusal
from mfdb.net.window import ReceiveWindow

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from mfdb.net.outbox import Outbox
    from mfdb.net.settings import NetSettings

_TIMER_SLACK_S = 1e-3
"""Loops round times, and a timer that comes a moment early is not set again for that moment."""


class _Inflow:
    """One stream as its reader sees it."""

    __slots__ = ("ended", "error", "items", "news", "window")

    def __init__(self, window_bytes: int) -> None:
        self.items: deque[bytes] = deque()
        self.window = ReceiveWindow(window_bytes)
        self.news = asyncio.Event()
        self.ended = False
        self.error: MfdbError | None = None

    def end(self, error: MfdbError | None) -> None:
        self.ended = True
        self.error = error
        self.news.set()


class _Call(NamedTuple):
    """One request under way; `deadline` is a time of the loop."""

    future: asyncio.Future[bytes]
    size_bytes: int
    deadline: float
    timeout_s: float


class Asking:
    """Everything this side asked of its peer and has no answer to yet."""

    def __init__(
        self, outbox: Outbox, settings: NetSettings, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._outbox = outbox
        self._settings = settings
        self._loop = loop
        self._gate = Gate(settings.requests, settings.requests_bytes)
        self._last_number = 0
        self._calls: dict[int, _Call] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._due = math.inf
        """When the timer looks for requests that took too long; a time of the loop."""
        self._inflows: dict[int, _Inflow] = {}
        self._gone: str | None = None

    async def request(self, body: bytes, timeout_s: float) -> bytes:
        """Return the answer; a request given up here is cancelled there."""
        asked_at = self._loop.time()
        if not self._enter_now(body):
            await self._enter(len(body), timeout_s)
            try:
                self._need_open()
            except PeerUnreachable:
                self._gate.leave(len(body))
                raise
        answer, frame = self._called(body, asked_at + timeout_s, timeout_s)
        self._outbox.put(frame)
        return await answer

    def post(self, body: bytes, timeout_s: float) -> asyncio.Future[bytes] | None:
        """Send a request now and return its answer to come, or None if it would have to wait.

        It does not wait for others of this turn of the loop either, as those of `request` do.

        A future that is cancelled gives the request up, here and there.
        """
        if not self._enter_now(body):
            return None
        answer, frame = self._called(body, self._loop.time() + timeout_s, timeout_s)
        self._outbox.put_now(frame)
        return answer

    def _enter_now(self, body: bytes) -> bool:
        _check_size(body)
        self._need_open()
        return self._outbox.has_room and self._gate.try_enter(len(body))

    async def _enter(self, size_bytes: int, timeout_s: float) -> None:
        entered = False
        try:
            async with asyncio.timeout(timeout_s):
                await self._gate.enter(size_bytes)
                entered = True
                await self._outbox.room()
        except BaseException as error:
            if entered:
                self._gate.leave(size_bytes)
            if isinstance(error, TimeoutError):
                raise _no_answer(timeout_s) from error
            raise

    def _called(
        self, body: bytes, deadline: float, timeout_s: float
    ) -> tuple[asyncio.Future[bytes], bytes]:
        """Return the answer to come of a request that has entered the gate, and its frame."""
        number = self._next_number()
        future: asyncio.Future[bytes] = self._loop.create_future()
        self._calls[number] = _Call(future, len(body), deadline, timeout_s)
        future.add_done_callback(partial(self._ended, number))
        if deadline < self._due:
            self._set_timer(deadline)
        return future, encode_frame(Kind.REQUEST, number, body)

    def _ended(self, number: int, _: asyncio.Future[bytes]) -> None:
        """Tell the peer of a request that was given up here."""
        if self._taken(number) is not None:
            self._outbox.put(encode_frame(Kind.CANCEL, number))

    def _taken(self, number: int) -> asyncio.Future[bytes] | None:
        """Take a request out of those under way."""
        call = self._calls.pop(number, None)
        if call is None:
            return None
        self._gate.leave(call.size_bytes)
        return call.future

    # ---- deadlines: one timer for all, which mostly finds that its requests were answered

    def _set_timer(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due = due
        self._timer = self._loop.call_at(due, self._expire)

    def _expire(self) -> None:
        self._timer, self._due = None, math.inf
        now = self._loop.time() + _TIMER_SLACK_S
        for number, call in list(self._calls.items()):
            if call.deadline <= now:
                if not call.future.done():
                    call.future.set_exception(_no_answer(call.timeout_s))
                self._ended(number, call.future)
        if self._calls:
            self._set_timer(min(call.deadline for call in self._calls.values()))

    async def stream(self, body: bytes) -> AsyncGenerator[bytes, None]:
        """Yield the items of a stream; leaving it early ends it at the peer."""
        _check_size(body)
        await self._outbox.room()
        self._need_open()
        number = self._next_number()
        inflow = self._inflows[number] = _Inflow(self._settings.window_bytes)
        self._outbox.put(encode_frame(Kind.OPEN, number, body))
        self._grant(number, self._settings.window_bytes)
        try:
            while inflow.items or not inflow.ended:
                if not inflow.items:
                    inflow.news.clear()
                    await inflow.news.wait()
                    continue
                item = inflow.items.popleft()
                credit = inflow.window.taken(len(item))
                if credit and not inflow.ended:
                    self._grant(number, credit)
                yield item
            if inflow.error is not None:
                raise inflow.error
        finally:
            if self._inflows.pop(number, None) is not None:
                self._outbox.put(encode_frame(Kind.CANCEL, number))

    # ---- what the peer sends back; frames for what was given up here are late, not wrong

    def on_answer(self, frame: Frame) -> None:
        """Give a request its answer."""
        future = self._taken(frame.number)
        if future is not None and not future.done():
            future.set_result(frame.body)

    def on_refusal(self, frame: Frame) -> None:
        """Give a request the error that the peer raised."""
        error = decode_refusal(frame.body)
        future = self._taken(frame.number)
        if future is not None and not future.done():
            future.set_exception(error)

    def on_item(self, frame: Frame) -> None:
        """Keep an item for the stream's reader."""
        inflow = self._inflows.get(frame.number)
        if inflow is not None:
            inflow.window.received(len(frame.body))
            inflow.items.append(frame.body)
            inflow.news.set()

    def on_end(self, frame: Frame) -> None:
        """End a stream: orderly without a body, else with the error in it."""
        error = decode_refusal(frame.body) if frame.body else None
        inflow = self._inflows.pop(frame.number, None)
        if inflow is not None:
            inflow.end(error)

    def lost(self, reason: str) -> None:
        """Fail everything that is under way; the connection is gone."""
        self._gone = reason
        if self._timer is not None:
            self._timer.cancel()
        inflows, self._inflows = self._inflows, {}
        for number in list(self._calls):
            future = self._taken(number)
            if future is not None and not future.done():
                future.set_exception(_unreachable(reason))
        for inflow in inflows.values():
            inflow.end(_unreachable(reason))

    def unread_bytes(self) -> int:
        """Return the bytes of all items that arrived and were not taken by a reader."""
        return sum(inflow.window.unread_bytes for inflow in self._inflows.values())

    def _grant(self, number: int, size_bytes: int) -> None:
        self._outbox.put(encode_frame(Kind.CREDIT, number, encode_credit(size_bytes)))

    def _next_number(self) -> int:
        self._last_number += 1
        return self._last_number

    def _need_open(self) -> None:
        if self._gone is not None:
            raise _unreachable(self._gone)


def _check_size(body: bytes) -> None:
    if len(body) > BODY_BYTES:
        raise ValueTooLarge(f"a message of {len(body)} bytes is over the limit of {BODY_BYTES}")


def _unreachable(reason: str) -> PeerUnreachable:
    return PeerUnreachable(reason, hint="the connection can be dialled again")


def _no_answer(timeout_s: float) -> DeadlineExceeded:
    return DeadlineExceeded(f"the peer did not answer within {timeout_s:g} s")
