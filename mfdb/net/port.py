"""The transport port: authenticated, encrypted connections that carry requests and streams.

A connection belongs to a pair of transport keys (Ed25519). Either side may ask: `request` gets one
answer, `stream` gets many until it is closed. What arrives is hostile bytes; the transport only
bounds their size (`limits.FRAME_BYTES`) and their number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Awaitable

    from mfdb.kernel.ids import TransportKey


class Handler(Protocol):
    """What a node does with what its peers ask. One instance serves all connections."""

    def on_request(self, peer: Peer, body: bytes) -> Awaitable[bytes]:
        """Return the answer to one request, as a coroutine or (cheaper) as a future.

        An `MfdbError` raised here reaches the asker as the same class with message and hint; any
        other exception is logged and reaches it as `InternalError`.
        """
        ...

    def on_stream(self, peer: Peer, body: bytes) -> AsyncIterator[bytes]:
        """Return the items of a stream that the peer opened; closed when the peer goes."""
        ...

    async def on_closed(self, peer: Peer) -> None:
        """Take note that the connection to a peer is gone."""
        ...


class Peer(Protocol):
    """One live connection. Requests may run concurrently."""

    @property
    def key(self) -> TransportKey:
        """The other side's proven transport key."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether the connection still stands."""
        ...

    async def request(self, body: bytes, *, timeout_s: float) -> bytes:
        """Return the peer's answer.

        Raises:
            PeerUnreachable: the connection is or gets closed.
            DeadlineExceeded: no answer within `timeout_s`.
            ValueTooLarge: the body is over the frame limit.
            MfdbError: the peer refused; the class it raised, if it is a known one.
        """
        ...

    def post(self, body: bytes, *, timeout_s: float) -> asyncio.Future[bytes] | None:
        """Send a request now and return the future of its answer, or None if it had to wait.

        The future ends as `request` does; to cancel it gives the request up.

        Raises:
            PeerUnreachable: the connection is closed.
            ValueTooLarge: the body is over the frame limit.
        """
        ...

    def stream(self, body: bytes) -> AsyncIterator[bytes]:
        """Yield what the peer sends on a stream until either side closes it.

        Flow control: the peer is held back once about 1 MiB lies unread here.

        Raises:
            PeerUnreachable: the connection was lost (an orderly end just stops).
            MfdbError: the peer refused or ended the stream with an error.
        """
        ...

    async def close(self) -> None:
        """Close the connection and wait until it is closed."""
        ...


class Transport(Protocol):
    """A node's way to reach others. One per node and key."""

    async def listen(self, address: str) -> str:
        """Serve the handler on "host:port" (port 0 picks one) and return the address bound.

        Raises:
            PortTaken: another process listens there.
        """
        ...

    async def dial(self, key: TransportKey, address: str, *, timeout_s: float) -> Peer:
        """Return a connection to the node that proves `key`, an existing one if it is open.

        Raises:
            PeerUnreachable: nobody answers there, or somebody with another key.
            DeadlineExceeded: the handshake took longer than `timeout_s`.
        """
        ...

    async def close(self) -> None:
        """Close every connection and stop listening; returns when nothing is left running."""
        ...
