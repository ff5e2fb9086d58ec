"""One live connection to a peer: requests and streams both ways over a channel of frames.

The channel moves bytes and says when it is held, free and gone; everything else is here and the
same for TLS and for the memory twin:

1. `receive` cuts what arrived into frames and gives each to `asking` (answers to us) or `serving`
   (questions to our handler);
2. both put their frames into the outbox, which hands them to the channel once per turn;
3. `_tick` pings a silent peer and declares one dead that stays silent or takes nothing;
4. however the connection ends, `_shut` runs once: what was asked fails with PeerUnreachable, what
   was being served is cancelled, then the handler hears `on_closed`.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

from mfdb.kernel.errors import MfdbError
from mfdb.net.asking import Asking
from mfdb.net.frames import Frame, FrameReader, Kind, encode_frame
from mfdb.net.outbox import Outbox
from mfdb.net.serving import Serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from mfdb.kernel.ids import TransportKey
    from mfdb.net.port import Handler
    from mfdb.net.settings import NetSettings

logger = logging.getLogger(__name__)


class Channel(Protocol):
    """What a session writes to. It reports back through `receive`, `hold`, `resume`, `lost`."""

    def send(self, frames: list[bytes]) -> None:
        """Deliver frames in order."""
        ...

    def close(self) -> None:
        """End the connection after what was sent; the session hears `lost`."""
        ...

    def abort(self) -> None:
        """End the connection at once; the session hears `lost`."""
        ...


class Session:
    """`mfdb.net.port.Peer` over a channel whose other side has proven its key."""

    def __init__(
        self,
        key: TransportKey,
        channel: Channel,
        handler: Handler,
        settings: NetSettings,
        *,
        dialled_here: bool,
    ) -> None:
        self._key = key
        self._channel = channel
        self._handler = handler
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._reader = FrameReader()
        self._outbox = Outbox(channel.send, self._loop)
        self._asking = Asking(self._outbox, settings, self._loop)
        self._serving = Serving(handler, self, self._outbox, settings)
        self._dispatch: dict[Kind, Callable[[Frame], None]] = {
            Kind.REQUEST: self._serving.on_request,
            Kind.OPEN: self._serving.on_open,
            Kind.CREDIT: self._serving.on_credit,
            Kind.CANCEL: self._serving.on_cancel,
            Kind.ANSWER: self._asking.on_answer,
            Kind.REFUSAL: self._asking.on_refusal,
            Kind.ITEM: self._asking.on_item,
            Kind.END: self._asking.on_end,
            Kind.PING: self._on_ping,
            Kind.PONG: self._on_pong,
        }
        self.dialled_here = dialled_here
        self.opened_at = self._loop.time()
        self._heard_at = self.opened_at
        self._ticker = self._loop.call_later(settings.ping_s, self._tick)
        self._open = True
        self._tell = True
        self._gone: asyncio.Future[None] = self._loop.create_future()
        self._ending: asyncio.Task[None] | None = None
        self._on_shut: list[Callable[[Session], None]] = []
        self._on_ended: list[Callable[[Session], None]] = []

    # ---- mfdb.net.port.Peer

    @property
    def key(self) -> TransportKey:
        """The other side's proven transport key."""
        return self._key

    @property
    def is_open(self) -> bool:
        """Whether the connection still stands."""
        return self._open

    async def request(self, body: bytes, *, timeout_s: float) -> bytes:
        """Return the peer's answer; see the port for what is raised."""
        return await self._asking.request(body, timeout_s)

    def post(self, body: bytes, *, timeout_s: float) -> asyncio.Future[bytes] | None:
        """Send a request now and return its answer to come; None: it would have to wait."""
        return self._asking.post(body, timeout_s)

    def stream(self, body: bytes) -> AsyncIterator[bytes]:
        """Yield what the peer sends on a stream; it is opened when the first item is asked for."""
        return self._asking.stream(body)

    async def close(self) -> None:
        """Close the connection and wait until it is closed."""
        if self._open:
            self._outbox.flush()
            self._shut("the connection was closed here")
            self._channel.close()
        await self.wait_closed()

    # ---- for the transport that owns the session

    def when_shut(self, call: Callable[[Session], None]) -> None:
        """Have `call` called once, at the moment the connection stops being open."""
        self._on_shut.append(call)

    def when_ended(self, call: Callable[[Session], None]) -> None:
        """Have `call` called once, when nothing of the connection is left."""
        self._on_ended.append(call)

    async def wait_closed(self) -> None:
        """Wait until the channel is gone and the handler knows (not from within `on_closed`)."""
        if self._ending is not None and self._ending is not asyncio.current_task():
            await asyncio.shield(self._ending)

    def abort(self, reason: str, *, tell: bool = True) -> None:
        """End the connection at once; with `tell=False` the handler never hears of it."""
        if self._open:
            self._tell = tell
            self._shut(reason)
        self._channel.abort()

    def unread_bytes(self) -> int:
        """Return the bytes of stream items that arrived and no reader has taken."""
        return self._asking.unread_bytes()

    # ---- for the channel

    def receive(self, data: bytes) -> None:
        """Take bytes that arrived; a peer that breaks the protocol is cut off."""
        self._heard_at = self._loop.time()
        try:
            for frame in self._reader.feed(data):
                if not self._open:
                    return
                self._dispatch[frame.kind](frame)
        except MfdbError as error:
            logger.info("a peer broke the protocol peer=%s rule=%s", self._key.hex()[:16], error)
            self.abort(f"the peer broke the protocol: {error}")

    def hold(self) -> None:
        """Take note that the channel wants no more for now."""
        self._outbox.hold()

    def resume(self) -> None:
        """Take note that the channel takes frames again."""
        self._outbox.resume()

    def lost(self, reason: str) -> None:
        """Take note that the channel is gone."""
        self._shut(reason)
        if not self._gone.done():
            self._gone.set_result(None)

    # ---- life and death

    def _on_ping(self, frame: Frame) -> None:
        if self._outbox.has_room:  # one who does not read what we send needs no pong either
            self._outbox.put(encode_frame(Kind.PONG, frame.number))

    def _on_pong(self, _frame: Frame) -> None:
        """Nothing to do: any byte that arrives is a sign of life."""

    def _tick(self) -> None:
        silent_s = self._loop.time() - self._heard_at
        limit_s = self._settings.dead_after_s
        if silent_s >= limit_s:
            self.abort(f"the peer was silent for {silent_s:.0f} s")
            return
        if self._outbox.held_s() >= limit_s:
            self.abort(f"the peer took nothing for {self._outbox.held_s():.0f} s")
            return
        if silent_s >= self._settings.ping_s / 2:
            self._outbox.put(encode_frame(Kind.PING, 0))
        self._ticker = self._loop.call_later(self._settings.ping_s, self._tick)

    def _shut(self, reason: str) -> None:
        if not self._open:
            return
        self._open = False
        self._ticker.cancel()
        self._outbox.shut()
        self._asking.lost(reason)
        for call in self._on_shut:
            call(self)
        self._ending = self._loop.create_task(self._end(), name=f"end {self._key.hex()[:16]}")

    async def _end(self) -> None:
        await self._serving.stop()
        if self._tell:
            try:
                await self._handler.on_closed(self)
            except Exception:
                logger.exception("a handler failed in on_closed")
        await asyncio.wait([self._gone], timeout=self._settings.closing_s)
        if not self._gone.done():
            self._channel.abort()
            await self._gone
        for call in self._on_ended:
            call(self)
