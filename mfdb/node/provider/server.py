"""Dispatch: one request of a peer to the service that answers it, accounted and paid."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from mfdb.kernel.codec import Record, encode
from mfdb.kernel.errors import MalformedMessage, MfdbError, PeerBusy
from mfdb.kernel.ids import Address
from mfdb.node.answers import Done, Welcome
from mfdb.node.dues import PayCheque
from mfdb.node.requests import VERSION, Follow, Hello, answer_bytes, open_request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mfdb.net.port import Peer
    from mfdb.node.accounts import Accounts, Bill
    from mfdb.node.answers import LogPage
    from mfdb.node.dues import Offer
    from mfdb.node.requests import Request
    from mfdb.node.sessions import Sessions
    from mfdb.rules.records import NodeRecord, SignedNodeRecord

Answering = Callable[[Any, Address], Record | Awaitable[Record]]
"""How a service answers one kind of request of an identity."""


class Server:
    """The transport's handler at a provider."""

    def __init__(self, sessions: Sessions, accounts: Accounts) -> None:
        self._sessions = sessions
        self._accounts = accounts
        self._me: SignedNodeRecord | None = None
        self._offer: Callable[[], Offer] | None = None
        self._answering: Mapping[type[Record], Answering] = {}
        self.answered: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self._following: Callable[[Follow, Address], AsyncIterator[LogPage]] | None = None
        self.on_arrival: Callable[[Address], None] = lambda _: None
        """Told who has introduced itself on a new connection."""
        self.on_refusal: Callable[[MfdbError], None] = lambda _: None
        """Told why a request was refused."""

    def serve(
        self,
        me: SignedNodeRecord,
        offer: Callable[[], Offer],
        answering: Mapping[type[Record], Answering],
        following: Callable[[Follow, Address], AsyncIterator[LogPage]],
    ) -> None:
        """Begin to answer; before that every request is refused."""
        self._me = me
        self._offer = offer
        self._answering = answering
        self._following = following

    def introduce(self, me: SignedNodeRecord) -> None:
        """Answer to Hello with another record from now on."""
        self._me = me

    def on_request(self, peer: Peer, body: bytes) -> Awaitable[bytes]:
        """Return the answer to one request; a future where a service gives one."""
        request = open_request(body)
        try:
            return self._answer(peer, body, request)
        except MfdbError as error:
            self._note_refusal(type(request), error)
            raise

    def _answer(self, peer: Peer, body: bytes, request: Request) -> Awaitable[bytes]:
        kind = type(request)
        if isinstance(request, Hello):
            return self._at_once(kind, self._on_hello(peer, request))
        caller = self._sessions.of(peer)
        if isinstance(request, PayCheque):
            return self._paid(caller, request)
        answering = self._answering.get(kind)
        if answering is None:
            raise MalformedMessage(f"{kind.__name__} is not answered here")
        bill = self._accounts.begin_serving(caller, len(body), answer_bytes(kind))
        try:
            found = answering(request, caller.identity)
        except BaseException:
            self._accounts.serve_nothing(bill)
            raise
        if isinstance(found, asyncio.Future):
            return self._when_done(kind, bill, found)
        return self._awaited(kind, bill, found)

    def _at_once(self, kind: type[Record], record: Record) -> asyncio.Future[bytes]:
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        answer.set_result(encode(record))
        self.answered[kind.__name__] += 1
        return answer

    async def _paid(self, caller: NodeRecord, request: PayCheque) -> bytes:
        try:
            await self._accounts.on_cheque(caller, request)
        except MfdbError as error:
            self._note_refusal(PayCheque, error)
            raise
        self.answered[PayCheque.__name__] += 1
        return encode(Done())

    def _when_done(
        self, kind: type[Record], bill: Bill, found: asyncio.Future[Record]
    ) -> asyncio.Future[bytes]:
        """Return the answer to come, for which no task waits."""
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        found.add_done_callback(lambda found: self._settle(kind, bill, found, answer))
        return answer

    def _settle(
        self,
        kind: type[Record],
        bill: Bill,
        found: asyncio.Future[Record],
        answer: asyncio.Future[bytes],
    ) -> None:
        error = None if found.cancelled() else found.exception()
        if answer.cancelled() or found.cancelled() or error is not None:
            self._accounts.serve_nothing(bill)
            self._note_refusal(kind, error)
            if answer.cancelled():
                return
            if error is None:
                answer.cancel()
            else:
                answer.set_exception(error)
            return
        answer.set_result(self._billed(kind, bill, found.result()))

    async def _awaited(
        self, kind: type[Record], bill: Bill, found: Record | Awaitable[Record]
    ) -> bytes:
        try:
            record = await found if isawaitable(found) else found
        except BaseException as error:
            self._accounts.serve_nothing(bill)
            self._note_refusal(kind, error)
            raise
        return self._billed(kind, bill, record)

    def _note_refusal(self, kind: type[Record], error: BaseException | None) -> None:
        if isinstance(error, MfdbError):
            self.refused[kind.__name__] += 1
            self.on_refusal(error)

    def _billed(self, kind: type[Record], bill: Bill, record: Record) -> bytes:
        data = encode(record)
        bill.answered(len(data))
        self._accounts.served(bill)
        self.answered[kind.__name__] += 1
        return data

    async def on_stream(self, peer: Peer, body: bytes) -> AsyncIterator[bytes]:
        """Yield the pages of a followed log."""
        request = open_request(body)
        if not isinstance(request, Follow) or self._following is None:
            raise MalformedMessage("only a log can be followed")
        caller = self._sessions.of(peer)
        try:
            async for page in self._following(request, caller.identity):
                data = encode(page)
                with self._accounts.serving(caller, 0, answer_bytes(Follow)) as bill:
                    bill.answered(len(data))
                yield data
        except MfdbError as error:
            self.on_refusal(error)
            raise

    async def on_closed(self, peer: Peer) -> None:
        """Forget a peer whose connection is gone."""
        self._sessions.forget(peer)

    def _on_hello(self, peer: Peer, request: Hello) -> Welcome:
        if self._me is None or self._offer is None:
            raise PeerBusy("this node does not serve yet", hint="try again in a moment")
        caller = self._sessions.admit(peer, request.version, request.record)
        self.on_arrival(caller.identity)
        standing = self._accounts.standing(caller.identity)
        return Welcome(version=VERSION, record=self._me, offer=self._offer(), standing=standing)
