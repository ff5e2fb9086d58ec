"""The transport over TCP and TLS 1.3: dials, listens, proves keys, owns the connections.

1. `listen` binds a socket; `_accept` takes connections from it, at most `strangers` unproven;
2. `dial` connects, compares the server's certified key with the one wanted and proves its own;
3. both end in a `Session` (see there) that the `PeerTable` keeps, one per pair of nodes.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from typing import TYPE_CHECKING

from mfdb.kernel.errors import (
    InterfaceError,
    MalformedMessage,
    MfdbError,
    OperationalError,
    PeerUnreachable,
    PortTaken,
)
from mfdb.net.address import HostPort, parse_host_port, show_host_port
from mfdb.net.certificate import PROTOCOL, certified_key, client_context, server_context
from mfdb.net.peers import PeerTable, Verdict
from mfdb.net.proof import (
    HELLO_BYTES,
    PROOF_BYTES,
    check_proof,
    make_hello,
    make_proof,
    read_hello,
    transport_key,
)
from mfdb.net.session import Session
from mfdb.net.settings import DEFAULTS, NetSettings
from mfdb.net.tls_channel import TlsChannel

if TYPE_CHECKING:
    from mfdb.kernel.entropy import Entropy
    from mfdb.kernel.ids import TransportKey
    from mfdb.net.port import Handler

logger = logging.getLogger(__name__)

_BACKLOG = 128
_ACCEPT_PAUSE_S = 0.2


class TlsTransport:
    """`mfdb.net.port.Transport` of the node with this Ed25519 seed (32 bytes).

    Make it, use it and close it in one event loop. `key` is its public transport key.
    """

    def __init__(
        self,
        seed: bytes,
        handler: Handler,
        *,
        entropy: Entropy,
        settings: NetSettings = DEFAULTS,
    ) -> None:
        self.key = transport_key(seed)
        self._seed = seed
        self._handler = handler
        self._entropy = entropy
        self._settings = settings
        self._accepting = server_context(seed, entropy)
        self._dialling = client_context()
        self._table = PeerTable(self.key, settings)
        self._listeners: list[asyncio.Task[None]] = []
        self._strangers: dict[asyncio.Task[None], None] = {}

    # ---- mfdb.net.port.Transport

    async def listen(self, address: str) -> str:
        """Serve the handler on "host:port" (port 0 picks one) and return the address bound."""
        if self._table.closing:
            raise InterfaceError("the transport is closed")
        listener = await _bind(parse_host_port(address))
        host, port = listener.getsockname()[:2]
        loop = asyncio.get_running_loop()
        self._listeners.append(loop.create_task(self._accept(listener), name=f"accept {port}"))
        return show_host_port(host, port)

    async def dial(self, key: TransportKey, address: str, *, timeout_s: float) -> Session:
        """Return a connection to the node that proves `key`, an existing one if it is open."""
        return await self._table.connect(key, address, self._dial, timeout_s=timeout_s)

    async def close(self) -> None:
        """Close every connection and stop listening; returns when nothing is left running."""
        self._table.closing = True
        await _end(self._listeners)
        # A greeting that never ran could not close its socket: let each take its first step.
        await asyncio.sleep(0)
        await _end(list(self._strangers))
        await self._table.close()

    # ---- dialling

    async def _dial(self, key: TransportKey, address: str) -> Session:
        channel = await self._connect(address)
        try:
            _compare(certified_key(channel.peer_certificate()), key, address)
            verdict = await self._introduce(channel, key)
        except BaseException as error:
            channel.abort()
            if isinstance(error, MfdbError) and not isinstance(error, PeerUnreachable):
                raise PeerUnreachable(f"{address} speaks another protocol: {error}") from error
            raise
        if verdict is Verdict.WELCOME:
            return self._enter(key, channel, dialled_here=True)
        channel.abort()
        return await self._table.turned_away(key, address, verdict)

    async def _connect(self, address: str) -> TlsChannel:
        loop = asyncio.get_running_loop()
        try:
            host, port = parse_host_port(address)
            _, channel = await loop.create_connection(
                TlsChannel,
                host,
                port,
                ssl=self._dialling,
                server_hostname="",
                ssl_shutdown_timeout=self._settings.closing_s,
            )
        except (OSError, InterfaceError) as error:
            raise PeerUnreachable(f"no node answers at {address}: {error}") from error
        return channel

    async def _introduce(self, channel: TlsChannel, server: TransportKey) -> Verdict:
        if channel.protocol_name() != PROTOCOL:
            raise MalformedMessage("no common protocol")
        nonce = read_hello(await channel.exactly(HELLO_BYTES))
        channel.send([make_proof(self._seed, server, nonce)])
        try:
            return Verdict((await channel.exactly(1))[0])
        except ValueError as error:
            raise MalformedMessage("an unknown verdict") from error

    def _enter(self, key: TransportKey, channel: TlsChannel, *, dialled_here: bool) -> Session:
        session = Session(key, channel, self._handler, self._settings, dialled_here=dialled_here)
        self._table.add(session)
        channel.attach(session)
        return session

    # ---- accepting

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                try:
                    connection, _ = await loop.sock_accept(listener)
                except OSError as error:
                    # Out of descriptors or the like: the listener stays readable, so that asking
                    # again at once would burn the processor; nothing announces its end either.
                    logger.warning("cannot accept connections error=%s", error)
                    await asyncio.sleep(_ACCEPT_PAUSE_S)
                    continue
                if len(self._strangers) >= self._settings.strangers:
                    connection.close()
                    continue
                task = loop.create_task(self._greet(connection), name="greet")
                self._strangers[task] = None
                task.add_done_callback(self._greeted)
        finally:
            listener.close()

    def _greeted(self, task: asyncio.Task[None]) -> None:
        del self._strangers[task]
        if not task.cancelled() and task.exception() is not None:
            logger.error("a greeting failed", exc_info=task.exception())

    async def _greet(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        channel = TlsChannel()
        try:
            async with asyncio.timeout(self._settings.handshake_s):
                await loop.connect_accepted_socket(
                    lambda: channel,
                    connection,
                    ssl=self._accepting,
                    ssl_shutdown_timeout=self._settings.closing_s,
                )
                await self._admit(channel)
        except (OSError, MfdbError) as error:  # also TimeoutError: a stranger's fault, not ours
            logger.debug("a stranger did not become a peer reason=%s", error)
            channel.abort()
            await channel.wait_lost()
        except asyncio.CancelledError:
            channel.abort()
            raise

    async def _admit(self, channel: TlsChannel) -> None:
        if channel.protocol_name() != PROTOCOL:
            raise MalformedMessage("no common protocol")
        hello, nonce = make_hello(self._entropy)
        channel.send([hello])
        key = check_proof(await channel.exactly(PROOF_BYTES), self.key, nonce)
        verdict = self._table.judge(key)
        channel.send([bytes([verdict])])
        if verdict is Verdict.WELCOME:
            self._enter(key, channel, dialled_here=False)
        else:
            channel.close()
            await channel.wait_lost()


def _compare(found: TransportKey, wanted: TransportKey, address: str) -> None:
    if found != wanted:
        raise PeerUnreachable(
            f"another node answers at {address}", hint="its key is not the one wanted"
        )


async def _bind(where: HostPort) -> socket.socket:
    loop = asyncio.get_running_loop()
    text = show_host_port(where.host, where.port)
    try:
        found = await loop.getaddrinfo(
            where.host, where.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, _, _, _, address = found[0]
        listener = socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(
                f"another process listens on {text}", hint="stop it, or name another port"
            ) from error
        raise OperationalError(f"cannot listen on {text}: {error.strerror}") from error
    listener.setblocking(False)  # noqa: FBT003 - the socket module's own signature
    return listener


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
