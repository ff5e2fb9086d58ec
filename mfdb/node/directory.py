"""Finding nodes by identity and talking to them: records from the registry, one connection each."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from mfdb.chain.port import RecordKind
from mfdb.kernel.codec import Record, encode
from mfdb.kernel.errors import (
    BadProof,
    DebtLimitExceeded,
    MfdbError,
    PeerUnreachable,
    UnknownIdentity,
)
from mfdb.node.answers import LogPage, Welcome, open_answer
from mfdb.node.requests import VERSION, Follow, Hello, answer_bytes
from mfdb.rules.records import (
    PROVIDER,
    HomeRecord,
    NodeRecord,
    SignedHomeRecord,
    SignedNodeRecord,
    open_record,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from mfdb.chain.port import Chain
    from mfdb.kernel.ids import Address
    from mfdb.net.port import Peer, Transport
    from mfdb.node.accounts import Accounts, Bill
    from mfdb.node.dues import Offer, Standing
    from mfdb.node.requests import Request
    from mfdb.node.sessions import Sessions
    from mfdb.node.settings import NodeSettings

A = TypeVar("A", bound=Record)

log = logging.getLogger(__name__)


class Correspondent:
    """A node that we know by identity and talk to; every request is accounted and paid."""

    def __init__(
        self,
        peer: Peer,
        record: NodeRecord,
        offer: Offer | None,
        *,
        accounts: Accounts,
        timeout_s: float,
        greet: Callable[[], Awaitable[Welcome]],
        redial: Callable[[], Awaitable[Correspondent]],
    ) -> None:
        self.peer = peer
        self.record = record
        self.offer = offer
        self._accounts = accounts
        self._timeout_s = timeout_s
        self._greet = greet
        self._redial = redial
        self.is_due = False
        """Whether it is time to `settle`, after an answer to what was posted."""

    @property
    def identity(self) -> Address:
        """Who it is."""
        return self.record.identity

    @property
    def is_open(self) -> bool:
        """Whether the connection still stands."""
        return self.peer.is_open

    async def ask(self, request: Request, answer: type[A], *, timeout_s: float | None = None) -> A:
        """Return the answer to a request.

        Raises:
            PeerUnreachable, DeadlineExceeded: there is none.
            MalformedMessage: it is not of the kind asked for.
            MfdbError: the peer refused.
        """
        body, most_bytes = encode(request), answer_bytes(type(request))
        try:
            reply = await self._bought(body, most_bytes, timeout_s)
        except DebtLimitExceeded:
            if not self._accounts.is_unsettled(self.identity):
                raise
            # It counts otherwise than we do: what it lacks is settled before we ask again.
            reply = await self._bought(body, most_bytes, timeout_s)
        return open_answer(answer, reply)

    async def _bought(self, body: bytes, most_bytes: int, timeout_s: float | None) -> bytes:
        async with self._accounts.consuming(self, len(body), most_bytes) as bill:
            reply = await self.peer.request(body, timeout_s=timeout_s or self._timeout_s)
            bill.answered(len(reply))
        return reply

    def post(
        self,
        kind: type[Record],
        body: bytes,
        answer: type[A],
        told: Callable[[A | MfdbError], None],
    ) -> bool:
        """Send an encoded request of a kind now and have its answer, or what `ask` raises, told.

        No task waits for it. Return False if it has to wait for room, or for a payment: then ask.
        Whoever is told looks whether something `is_due`.
        """
        bill = self._accounts.begin(self, len(body), answer_bytes(kind))
        if bill is None:
            return False
        try:
            reply = self.peer.post(body, timeout_s=self._timeout_s)
        except MfdbError as error:
            self._accounts.give_up(bill, error)
            return False
        if reply is None:
            self._accounts.void(bill)
            return False
        reply.add_done_callback(lambda reply: told(self._accounted(bill, answer, reply)))
        return True

    def _accounted(
        self, bill: Bill, answer: type[A], reply: asyncio.Future[bytes]
    ) -> A | MfdbError:
        error = _error_of(reply)
        if error is not None:
            self._accounts.give_up(bill, error)
            return error
        body = reply.result()
        bill.answered(len(body))
        self.is_due = self._accounts.book(bill)
        try:
            return open_answer(answer, body)
        except MfdbError as malformed:
            return malformed

    async def settle(self) -> None:
        """Pay what is due."""
        await self._accounts.settle(self)

    async def read(self, request: Request, answer: type[A], *, timeout_s: float | None = None) -> A:
        """Return the answer to a request that may as well be asked twice; see `ask`.

        If the connection ends meanwhile it is asked once more over a new one: the peer was started
        again, or another process of this identity connected to it.
        """
        try:
            return await self.ask(request, answer, timeout_s=timeout_s)
        except PeerUnreachable:
            if self.is_open:
                raise
        return await (await self._redial()).ask(request, answer, timeout_s=timeout_s)

    async def pay(self, body: bytes) -> None:
        """Send a payment, which is itself free of charge."""
        await self.peer.request(body, timeout_s=self._timeout_s)

    async def standing(self) -> Standing:
        """Ask how it counts, free of charge; its offer is its newest after that."""
        welcome = await self._greet()
        self.offer = welcome.offer
        return welcome.standing

    async def follow(self, request: Follow) -> AsyncIterator[LogPage]:
        """Yield the pages of a provider's log as they come.

        Raises:
            PeerUnreachable: the connection was lost.
        """
        pages = self.peer.stream(encode(request))
        while True:
            # Reserved, and if need be paid, before the page comes: the provider reserves it too.
            async with self._accounts.consuming(self, 0, answer_bytes(Follow)) as bill:
                bill.is_void = True
                try:
                    body = await anext(pages)
                except StopAsyncIteration:
                    return
                bill.answered(len(body))
            yield open_answer(LogPage, body)


def _error_of(reply: asyncio.Future[bytes]) -> MfdbError | None:
    if reply.cancelled():
        return PeerUnreachable("the request was given up")
    error = reply.exception()
    if error is not None and not isinstance(error, MfdbError):
        raise error
    return error


class Directory:
    """The nodes that we can reach."""

    def __init__(
        self,
        me: SignedNodeRecord,
        *,
        transport: Transport,
        chain: Chain,
        sessions: Sessions,
        accounts: Accounts,
        settings: NodeSettings,
    ) -> None:
        self.me = me
        self._transport = transport
        self._chain = chain
        self._sessions = sessions
        self._accounts = accounts
        self._settings = settings
        self._records: dict[Address, NodeRecord] = {}
        self._open: dict[Address, Correspondent] = {}
        self._delegated: set[tuple[Address, Address]] = set()
        """Pairs of provider and hot key that the chain vouches for."""
        self._dialling: dict[Address, asyncio.Lock] = {}

    async def record(self, identity: Address, *, fresh: bool = False) -> NodeRecord:
        """Return an identity's node record; the registry's newest if `fresh` or not yet known.

        Raises:
            UnknownIdentity: it never published one.
            ChainUnavailable: the registry cannot be read.
        """
        if fresh or identity not in self._records:
            data = await self._chain.record(identity, RecordKind.NODE)
            if data is None:
                raise UnknownIdentity(f"0x{identity.hex()} has published no node record")
            self._records[identity] = self._open_node(identity, data)
        return self._records[identity]

    async def home(self, identity: Address) -> HomeRecord:
        """Return an identity's home record from the registry.

        Raises:
            UnknownIdentity: it never published one.
        """
        data = await self._chain.record(identity, RecordKind.HOME)
        if data is None:
            raise UnknownIdentity(
                f"0x{identity.hex()} has published no home record",
                hint="its owner runs CREATE MAILBOX first",
            )
        home = open_record(SignedHomeRecord, data, network=self._chain.network.id).record
        if home.identity != identity:
            raise BadProof(f"0x{identity.hex()} has published the home record of somebody else")
        return home

    async def providers(self) -> dict[Address, NodeRecord]:
        """Return every node that offers storage, by identity; damaged records are left out."""
        found = {}
        for identity, data in sorted((await self._chain.records(RecordKind.NODE)).items()):
            try:
                record = self._open_node(identity, data)
            except MfdbError as error:
                log.warning("left out a node record identity=0x%s %s", identity.hex(), error)
                continue
            self._records[identity] = record
            if record.roles & PROVIDER:
                found[identity] = record
        return found

    def met(self) -> list[Correspondent]:
        """Return whom we have talked to since the start, also over connections that ended."""
        return list(self._open.values())

    def reached(self, identity: Address) -> Correspondent | None:
        """Return a correspondent whose connection is open already, or None."""
        known = self._open.get(identity)
        return known if known is not None and known.is_open else None

    async def reach(self, identity: Address) -> Correspondent:
        """Return a correspondent with an open connection.

        Raises:
            PeerUnreachable, DeadlineExceeded, UnknownIdentity: there is none to be had.
        """
        known = self.reached(identity)
        if known is not None:
            return known
        lock = self._dialling.setdefault(identity, asyncio.Lock())
        async with lock:
            known = self.reached(identity)
            if known is not None:
                return known
            correspondent = await self._dial(identity)
            self._open[identity] = correspondent
            return correspondent

    async def quote(self, identity: Address) -> Correspondent:
        """Return a correspondent whose offer was asked for just now.

        Raises:
            PeerUnreachable, DeadlineExceeded, UnknownIdentity: there is none to be had.
        """
        known = self._open.get(identity)
        if known is None or not known.is_open:
            return await self.reach(identity)
        await known.standing()
        return known

    async def reach_any(self, identities: Iterable[Address]) -> Correspondent:
        """Return the first of these identities that can be reached.

        Raises:
            PeerUnreachable: none can.
        """
        reasons = []
        for identity in identities:
            try:
                return await self.reach(identity)
            except MfdbError as error:
                reasons.append(str(error))
        raise PeerUnreachable("no provider can be reached: " + "; ".join(reasons[:3]))

    async def _dial(self, identity: Address) -> Correspondent:
        record = await self.record(identity)
        try:
            return await self._greet(record)
        except PeerUnreachable:
            fresh = await self.record(identity, fresh=True)
            if fresh == record:
                raise
            return await self._greet(fresh)

    async def _greet(self, record: NodeRecord) -> Correspondent:
        if not record.underlays:
            raise PeerUnreachable(f"0x{record.identity.hex()} gives no address to dial")
        timeout_s = self._settings.dial_timeout_s
        peer = await self._transport.dial(
            record.transport_key, record.underlays[0], timeout_s=timeout_s
        )
        welcome = await self._hello(peer)
        found = self._sessions.admit(peer, welcome.version, welcome.record)
        if found.identity != record.identity:
            raise BadProof("another node answers than was called")
        await self._check_signer(found)
        self._records[found.identity] = found
        self._accounts.adopt(found.identity, welcome.offer, welcome.standing)
        return Correspondent(
            peer,
            found,
            welcome.offer,
            accounts=self._accounts,
            timeout_s=self._settings.request_timeout_s,
            greet=partial(self._hello, peer),
            redial=partial(self.reach, found.identity),
        )

    async def _hello(self, peer: Peer) -> Welcome:
        hello = encode(Hello(version=VERSION, record=self.me))
        timeout_s = self._settings.dial_timeout_s
        return open_answer(Welcome, await peer.request(hello, timeout_s=timeout_s))

    def _open_node(self, identity: Address, data: bytes) -> NodeRecord:
        record = open_record(SignedNodeRecord, data, network=self._chain.network.id).record
        if record.identity != identity:
            raise BadProof(f"0x{identity.hex()} has published the node record of somebody else")
        return record

    async def _check_signer(self, record: NodeRecord) -> None:
        """What a hot key signs binds its provider in court only if the chain knows of the key."""
        pair = (record.identity, record.signer)
        if not record.roles & PROVIDER or pair in self._delegated:
            return
        if not await self._chain.may_sign(*pair):
            raise BadProof("the provider's hot key is not delegated on chain")
        self._delegated.add(pair)
