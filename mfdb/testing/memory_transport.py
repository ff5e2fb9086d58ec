"""The transport's behaving twin: many nodes in one process, on a network that can fail.

Sessions, streams, limits and the rule of one connection per pair are the production code; only the
channel between two sessions is simulated. It is connection-oriented, as TCP is:

- bytes arrive in order after a random delay; during a partition they wait, and arrive after it if
  the connection still stands (a silent peer is dead after 15 to 20 s, as in production);
- a lost question or answer means that the asker times out; a loss that a connection could not
  hide (a stream's item, say) breaks the connection, and any loss may;
- a duplicated request reaches the handler twice, under two numbers; one answer counts;
- reordered questions and answers overtake each other.

Everything random is drawn from one seeded generator in the order in which the loop runs.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from mfdb.kernel.errors import InterfaceError, PeerUnreachable, PortTaken
from mfdb.net.address import parse_host_port, show_host_port
from mfdb.net.frames import Kind, frame_kind, frame_number, renumber
from mfdb.net.peers import PeerTable, Verdict
from mfdb.net.proof import transport_key
from mfdb.net.session import Session
from mfdb.net.settings import DEFAULTS, NetSettings

if TYPE_CHECKING:
    from mfdb.kernel.ids import TransportKey
    from mfdb.net.port import Handler

_BUFFER_BYTES = 2**20
_FIRST_PORT = 40_001
_SECOND_COPY = 1 << 62
_TIMER_SLACK_S = 1e-6
_LOSABLE = (Kind.REQUEST, Kind.ANSWER, Kind.REFUSAL, Kind.PING, Kind.PONG)
_MOVABLE = (Kind.REQUEST, Kind.ANSWER, Kind.REFUSAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkFaults:
    """How a link treats what is sent over it; chances are per message."""

    min_delay_s: float = 0.0005
    max_delay_s: float = 0.002
    loss: float = 0.0
    breaks: float = 0.2
    """Chance that a loss which could be hidden breaks the connection all the same."""
    duplicate: float = 0.0
    reorder: float = 0.0

    @property
    def is_harmless(self) -> bool:
        """Whether messages need no look one by one."""
        return not (self.loss or self.duplicate or self.reorder)


class MemoryNetwork:
    """The links between all transports made here, and what is wrong with them."""

    def __init__(self, seed: int | str = 0, faults: LinkFaults | None = None) -> None:
        self.random = random.Random(seed)
        self._faults = faults or LinkFaults()
        self._link_faults: dict[tuple[TransportKey, TransportKey], LinkFaults] = {}
        self._cut: dict[tuple[TransportKey, TransportKey], None] = {}
        self._ends: dict[MemoryChannel, None] = {}
        self._transports: dict[MemoryTransport, None] = {}
        self._ports = count(_FIRST_PORT)
        self.listeners: dict[str, MemoryTransport] = {}

    def transport(
        self, seed: bytes, handler: Handler, *, settings: NetSettings = DEFAULTS
    ) -> MemoryTransport:
        """Return a transport on this network for the node with this Ed25519 seed."""
        transport = MemoryTransport(self, seed, handler, settings)
        self._transports[transport] = None
        return transport

    # ---- faults

    def set_faults(
        self,
        faults: LinkFaults,
        a: TransportKey | None = None,
        b: TransportKey | None = None,
    ) -> None:
        """Let the link between two nodes (both ways), or every other link, behave like this."""
        if a is None or b is None:
            self._faults = faults
        else:
            self._link_faults[a, b] = self._link_faults[b, a] = faults

    def partition(self, a: TransportKey, b: TransportKey, *, one_way: bool = False) -> None:
        """Let nothing through from `a` to `b`, nor back unless `one_way`."""
        self._cut[a, b] = None
        if not one_way:
            self._cut[b, a] = None

    def heal(self, a: TransportKey | None = None, b: TransportKey | None = None) -> None:
        """End the partition between two nodes, or every partition; what waited goes on."""
        if a is None or b is None:
            self._cut.clear()
        else:
            self._cut.pop((a, b), None)
            self._cut.pop((b, a), None)
        for end in list(self._ends):
            end.release()

    def kill(self, key: TransportKey, *, power_loss: bool = False) -> None:
        """End a node's process: its connections and listeners are gone, its handler not told.

        Its peers notice at once (the system closes a dead process's connections) or, after a loss
        of power, by its silence.
        """
        for transport in [it for it in self._transports if it.key == key]:
            if power_loss:
                for end in [it for it in self._ends if it.own == key]:
                    end.vanish()
            transport.drop()

    def forget(self, transport: MemoryTransport) -> None:
        """Take note that a transport is closed (called by it)."""
        self._transports.pop(transport, None)
        for address in [it for it, owner in self.listeners.items() if owner is transport]:
            del self.listeners[address]

    # ---- for the transports and channels of this network

    def faults_between(self, a: TransportKey, b: TransportKey) -> LinkFaults:
        """Return how the link between two nodes behaves now."""
        return self._link_faults.get((a, b), self._faults)

    def is_cut(self, a: TransportKey, b: TransportKey) -> bool:
        """Whether nothing gets through from `a` to `b`."""
        return (a, b) in self._cut

    def delay_s(self, a: TransportKey, b: TransportKey) -> float:
        """Draw the time that the next message takes."""
        faults = self.faults_between(a, b)
        return self.random.uniform(faults.min_delay_s, faults.max_delay_s)

    def chance(self, probability: float) -> bool:
        """Draw whether something of this probability happens."""
        return probability > 0 and self.random.random() < probability

    def listener(self, address: str) -> MemoryTransport | None:
        """Return who listens on an address.

        Raises:
            PeerUnreachable: that is no address.
        """
        try:
            return self.listeners.get(show_host_port(*parse_host_port(address)))
        except InterfaceError as error:
            raise PeerUnreachable(f"no node answers at {address!r}") from error

    def free_address(self, host: str) -> str:
        """Return an address on this host that nobody has used."""
        return show_host_port(host, next(self._ports))

    def pair(self, a: TransportKey, b: TransportKey) -> tuple[MemoryChannel, MemoryChannel]:
        """Return the two ends of a new connection."""
        first, second = MemoryChannel(self, a, b), MemoryChannel(self, b, a)
        first.other, second.other = second, first
        self._ends[first] = self._ends[second] = None
        return first, second

    def remove(self, end: MemoryChannel) -> None:
        """Take note that an end is gone (called by it)."""
        self._ends.pop(end, None)

    async def pass_over(self, a: TransportKey, b: TransportKey) -> None:
        """Wait while one message of a handshake travels; for ever if it is lost."""
        lost = self.chance(self.faults_between(a, b).loss)
        await asyncio.sleep(self.delay_s(a, b))
        if lost or self.is_cut(a, b):
            await asyncio.get_running_loop().create_future()


_Parcel = bytes | None
"""Bytes of whole frames, or None for the end of the connection."""


class MemoryChannel:
    """`mfdb.net.session.Channel`: one end of a simulated connection."""

    other: MemoryChannel

    def __init__(self, network: MemoryNetwork, own: TransportKey, peer: TransportKey) -> None:
        self.own = own
        self._peer = peer
        self._network = network
        self._loop = asyncio.get_running_loop()
        self._session: Session | None = None
        self._early: list[_Parcel] = []
        self._alive = True
        self._queue: deque[tuple[float, _Parcel]] = deque()
        self._queued_bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def attach(self, session: Session) -> None:
        """Pass everything from here on, also what came early, to a session."""
        self._session = session
        early, self._early = self._early, []
        if not self._alive:
            session.lost("the connection broke")
        for parcel in early:
            self.arrive(parcel)

    # ---- mfdb.net.session.Channel

    def send(self, frames: list[bytes]) -> None:
        """Deliver frames, each exposed to the faults of the link."""
        if not self._alive:
            return
        if self._network.faults_between(self.own, self._peer).is_harmless:
            self._carry(b"".join(frames))
        else:
            for frame in frames:
                self._expose(frame)
        if self._queued_bytes > _BUFFER_BYTES and self._session is not None:
            self._session.hold()

    def close(self) -> None:
        """End the connection after what was sent."""
        if self._alive:
            self._carry(None)
            self._die("the connection was closed here")

    def abort(self) -> None:
        """End the connection at once."""
        self.close()

    # ---- faults

    def vanish(self) -> None:
        """End without a word to the other side, as when the power goes."""
        self._die("the power went")

    def release(self) -> None:
        """Send on what waited for the end of a partition."""
        self._pump()

    def _expose(self, frame: bytes) -> None:
        faults = self._network.faults_between(self.own, self._peer)
        kind = frame_kind(frame)
        if self._network.chance(faults.loss):
            if kind not in _LOSABLE or self._network.chance(faults.breaks):
                self._break()
            return
        if kind is Kind.REQUEST and self._network.chance(faults.duplicate):
            self._overtake(renumber(frame, frame_number(frame) | _SECOND_COPY))
        if kind in _MOVABLE and self._network.chance(faults.reorder):
            self._overtake(frame)
        else:
            self._carry(frame)

    def _break(self) -> None:
        """The connection breaks; both sides learn it, each after its own delay."""
        self._carry(None)
        self._loop.call_later(
            self._network.delay_s(self._peer, self.own), self._die, "the connection broke"
        )

    def _overtake(self, frame: bytes) -> None:
        faults = self._network.faults_between(self.own, self._peer)
        delay_s = self._network.random.uniform(faults.min_delay_s, 4 * faults.max_delay_s)
        self._loop.call_later(delay_s, self._overtook, frame)

    def _overtook(self, frame: bytes) -> None:
        if self._network.is_cut(self.own, self._peer):
            self._carry(frame)
        else:
            self.other.arrive(frame)

    # ---- in order, later: what is due waits for what stands before it

    def _carry(self, parcel: _Parcel) -> None:
        due = self._loop.time() + self._network.delay_s(self.own, self._peer)
        self._queue.append((due, parcel))
        self._queued_bytes += len(parcel or b"")
        if self._timer is None:
            self._timer = self._loop.call_at(due, self._due)

    def _due(self) -> None:
        self._timer = None
        self._pump()

    def _pump(self) -> None:
        """Deliver what is due; during a partition nothing is, and `release` comes back here."""
        while self._queue and not self._network.is_cut(self.own, self._peer):
            due, parcel = self._queue[0]
            if due > self._loop.time() + _TIMER_SLACK_S:
                if self._timer is None:
                    self._timer = self._loop.call_at(due, self._due)
                return
            self._queue.popleft()
            self._queued_bytes -= len(parcel or b"")
            self.other.arrive(parcel)
        if self._alive and self._session is not None and self._queued_bytes <= _BUFFER_BYTES:
            self._session.resume()

    def arrive(self, parcel: _Parcel) -> None:
        """Take what the other end sent (called by it)."""
        if not self._alive:
            return
        if self._session is None:
            self._early.append(parcel)
        elif parcel is None:
            self._die("the peer closed the connection")
        else:
            self._session.receive(parcel)

    def _die(self, reason: str) -> None:
        if not self._alive:
            return
        self._alive = False
        if self._session is not None:
            self._loop.call_soon(self._session.lost, reason)
        if not self.other._alive:  # noqa: SLF001,RUF100 - the other end of the same connection
            self._network.remove(self)
            self._network.remove(self.other)


class MemoryTransport:
    """`mfdb.net.port.Transport` on a `MemoryNetwork`."""

    def __init__(
        self, network: MemoryNetwork, seed: bytes, handler: Handler, settings: NetSettings
    ) -> None:
        self.key = transport_key(seed)
        self._network = network
        self._handler = handler
        self._settings = settings
        self._table = PeerTable(self.key, settings)

    async def listen(self, address: str) -> str:
        """Serve the handler on "host:port" (port 0 picks one) and return the address bound."""
        if self._table.closing:
            raise InterfaceError("the transport is closed")
        host, port = parse_host_port(address)
        bound = show_host_port(host, port) if port else self._network.free_address(host)
        if bound in self._network.listeners:
            raise PortTaken(f"another process listens on {bound}")
        self._network.listeners[bound] = self
        return bound

    async def dial(self, key: TransportKey, address: str, *, timeout_s: float) -> Session:
        """Return a connection to the node that proves `key`, an existing one if it is open."""
        return await self._table.connect(key, address, self._dial, timeout_s=timeout_s)

    async def close(self) -> None:
        """Close every connection and stop listening; returns when nothing is left running."""
        self._table.closing = True
        self._network.forget(self)
        await self._table.close()

    def drop(self) -> None:
        """End as a killed process does: no word to the handler (called by the network)."""
        self._network.forget(self)
        self._table.drop()

    def judge(self, key: TransportKey) -> Verdict:
        """Return what this node says to a dial (called by the dialler's transport)."""
        return self._table.judge(key)

    def enter(self, key: TransportKey, end: MemoryChannel, *, dialled_here: bool) -> Session:
        """Take a connection in (called on both sides when the handshake is over)."""
        session = Session(key, end, self._handler, self._settings, dialled_here=dialled_here)
        self._table.add(session)
        end.attach(session)
        return session

    async def _dial(self, key: TransportKey, address: str) -> Session:
        await self._network.pass_over(self.key, key)
        server = self._network.listener(address)
        if server is None or server.key != key:
            await self._network.pass_over(key, self.key)
            who = "no node" if server is None else "another node"
            raise PeerUnreachable(f"{who} answers at {address}")
        verdict = server.judge(self.key)
        if verdict is not Verdict.WELCOME:
            await self._network.pass_over(key, self.key)
            return await self._table.turned_away(key, address, verdict)
        near, far = self._network.pair(self.key, key)
        server.enter(self.key, far, dialled_here=False)
        try:
            await self._network.pass_over(key, self.key)
        except BaseException:
            near.abort()
            raise
        return self.enter(key, near, dialled_here=True)
