"""One TCP connection under TLS as asyncio sees it: the handshake's bytes, then a session's."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from mfdb.kernel.errors import PeerUnreachable

if TYPE_CHECKING:
    from mfdb.net.session import Session

_WRITE_BUFFER_BYTES = 2**20
EARLY_BYTES = 2**20
"""What a peer may send ahead of the session that reads it; more cuts it off."""


class TlsChannel(asyncio.Protocol):
    """`mfdb.net.session.Channel` over a TLS transport of asyncio."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._session: Session | None = None
        self._early = bytearray()
        self._news: asyncio.Future[None] | None = None
        self._lost: str | None = None

    # ---- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (called by asyncio after the TLS handshake)."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_WRITE_BUFFER_BYTES)

    def data_received(self, data: bytes) -> None:
        """Pass bytes to the session, or keep them for the handshake."""
        if self._session is not None:
            self._session.receive(data)
            return
        self._early += data
        if len(self._early) > EARLY_BYTES:
            self.abort()
        self._wake()

    def pause_writing(self) -> None:
        """Hold the session back."""
        if self._session is not None:
            self._session.hold()

    def resume_writing(self) -> None:
        """Let the session go on."""
        if self._session is not None:
            self._session.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever uses the channel."""
        self._lost = "the peer closed the connection" if exc is None else f"connection lost: {exc}"
        if self._session is not None:
            self._session.lost(self._lost)
        self._wake()

    # ---- handshake

    async def exactly(self, size_bytes: int) -> bytes:
        """Return the next bytes of the handshake.

        Raises:
            PeerUnreachable: the connection ended first.
        """
        while len(self._early) < size_bytes:
            if self._lost is not None:
                raise PeerUnreachable(self._lost)
            self._news = self._loop.create_future()
            await self._news
        data = bytes(self._early[:size_bytes])
        del self._early[:size_bytes]
        return data

    def attach(self, session: Session) -> None:
        """Pass everything from here on, also what came early, to a session."""
        self._session = session
        early, self._early = bytes(self._early), bytearray()
        if early:
            session.receive(early)
        if self._lost is not None:
            session.lost(self._lost)

    def peer_certificate(self) -> bytes | None:
        """Return the certificate that the other side showed, in DER."""
        tls = None if self._transport is None else self._transport.get_extra_info("ssl_object")
        return None if tls is None else cast("bytes | None", tls.getpeercert(binary_form=True))

    def protocol_name(self) -> str | None:
        """Return the ALPN name that both sides agreed on."""
        tls = None if self._transport is None else self._transport.get_extra_info("ssl_object")
        return None if tls is None else cast("str | None", tls.selected_alpn_protocol())

    # ---- mfdb.net.session.Channel

    def send(self, frames: list[bytes]) -> None:
        """Write frames as few, large pieces."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frames[0] if len(frames) == 1 else b"".join(frames))

    def close(self) -> None:
        """End the connection after what was sent."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    async def wait_lost(self) -> None:
        """Wait until the connection of a failed handshake is gone."""
        while self._transport is not None and self._lost is None:
            self._news = self._loop.create_future()
            await self._news

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)
