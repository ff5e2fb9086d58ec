"""Dispatch: one request of a peer to the service that answers it, accounted and paid."""

from __future__ import annotations

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
    from mfdb.node.accounts import Accounts
    from mfdb.node.answers import LogPage
    from mfdb.node.dues import Offer
    from mfdb.node.requests import Request
    from mfdb.node.sessions import Sessions
    from mfdb.rules.records import SignedNodeRecord

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

    async def on_request(self, peer: Peer, body: bytes) -> bytes:
        """Return the answer to one request."""
        request = open_request(body)
        kind = type(request).__name__
        try:
            answer = await self._answer(peer, body, request)
        except MfdbError as error:
            self.refused[kind] += 1
            self.on_refusal(error)
            raise
        self.answered[kind] += 1
        return answer

    async def _answer(self, peer: Peer, body: bytes, request: Request) -> bytes:
        if isinstance(request, Hello):
            return encode(self._on_hello(peer, request))
        caller = self._sessions.of(peer)
        if isinstance(request, PayCheque):
            await self._accounts.on_cheque(caller, request)
            return encode(Done())
        answering = self._answering.get(type(request))
        if answering is None:
            raise MalformedMessage(f"{type(request).__name__} is not answered here")
        async with self._accounts.serving(caller, len(body), answer_bytes(request)) as bill:
            found = answering(request, caller.identity)
            answer = encode(await found if isawaitable(found) else found)
            bill.answered(len(answer))
        return answer

    async def on_stream(self, peer: Peer, body: bytes) -> AsyncIterator[bytes]:
        """Yield the pages of a followed log."""
        request = open_request(body)
        if not isinstance(request, Follow) or self._following is None:
            raise MalformedMessage("only a log can be followed")
        caller = self._sessions.of(peer)
        try:
            async for page in self._following(request, caller.identity):
                data = encode(page)
                async with self._accounts.serving(caller, 0, answer_bytes(request)) as bill:
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
