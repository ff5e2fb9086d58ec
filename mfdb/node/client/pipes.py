"""Changesets on their way to each provider: those that wait for it go out as one request.

    put -> waits a moment, if others answer first -> one request with all that waits
                                                  -> each is told its receipt, or why there is none

A provider that is not needed for the quorum is sent to a moment later: it commits and signs once
for many writes, and those that are needed have the processor and the line for themselves.
"""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from mfdb.kernel.codec import encode
from mfdb.kernel.errors import MalformedMessage, MfdbError, NetworkError
from mfdb.net.refusal import decode_refusal
from mfdb.node.answers import Acknowledged, AllAnswered
from mfdb.node.requests import PutChangeset, PutChangesets

if TYPE_CHECKING:
    from mfdb.kernel.ids import Address
    from mfdb.node.client.context import ClientContext
    from mfdb.node.directory import Correspondent
    from mfdb.rules.receipt import WriteReceipt

UNDER_WAY = 2
"""Requests to one provider at once: it takes the next one in while it syncs the first."""
REQUEST_CHANGESETS = 128
REQUEST_BYTES = 2**20


class Sent(Protocol):
    """A write, as far as pipes know it."""

    @property
    def request(self) -> PutChangeset:
        """What is sent."""
        ...

    @property
    def body(self) -> bytes:
        """The request's bytes, encoded once for all providers."""
        ...

    def on_receipt(self, receipt: WriteReceipt, provider: Address, signer: Address) -> None:
        """Take a provider's receipt, which is yet to be verified."""
        ...

    def on_failure(self, error: MfdbError, provider: Address) -> None:
        """Take note that a provider refused, or did not answer (NetworkError)."""
        ...


class Pipes:
    """The pipes of one client, by provider."""

    def __init__(self, context: ClientContext) -> None:
        self._context = context
        self._pipes: dict[Address, Pipe] = {}

    def to(self, provider: Address) -> Pipe:
        """Return the pipe to a provider."""
        if provider not in self._pipes:
            self._pipes[provider] = Pipe(self._context, provider)
        return self._pipes[provider]

    def in_order(self, providers: tuple[Address, ...]) -> list[Address]:
        """Return providers in their order, those that failed last time at the end."""
        return sorted(providers, key=lambda provider: self.to(provider).has_failed)

    def close(self) -> None:
        """Send nothing more."""
        for pipe in self._pipes.values():
            pipe.close()


class Pipe:
    """The writes on their way to one provider."""

    def __init__(self, context: ClientContext, provider: Address) -> None:
        self._context = context
        self._provider = provider
        self._waiting: dict[Sent, None] = {}
        self._under_way = 0
        self._timer: asyncio.TimerHandle | None = None
        self.has_failed = False
        """Whether the last request found nobody."""

    def put(self, sent: Sent, linger_s: float = 0.0) -> None:
        """Send a write soon, together with what comes within `linger_s`."""
        self._waiting[sent] = None
        if not linger_s:
            self.hurry()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(linger_s, self.hurry)

    def hurry(self) -> None:
        """Send what waits now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting and self._under_way < UNDER_WAY:
            self._under_way += 1
            many = self._next()
            if not self._post(many):
                self._context.tasks.spawn("put", self._send(many))

    def _next(self) -> list[Sent]:
        """Take what fits into one request; the first one always does."""
        size_bytes = 0
        taken: list[Sent] = []
        for sent in islice(self._waiting, REQUEST_CHANGESETS):
            size_bytes += len(sent.request.data)
            if taken and size_bytes > REQUEST_BYTES:
                break
            taken.append(sent)
        for sent in taken:
            del self._waiting[sent]
        return taken

    def _post(self, many: list[Sent]) -> bool:
        """Send writes without a task that waits, if the connection is open and has room."""
        correspondent = self._context.directory.reached(self._provider)
        if correspondent is None:
            return False
        if len(many) == 1:
            return correspondent.post(
                PutChangeset,
                many[0].body,
                Acknowledged,
                lambda answer: self._told_one(many[0], answer, correspondent),
            )
        return correspondent.post(
            PutChangesets,
            encode(PutChangesets(puts=tuple(sent.request for sent in many))),
            AllAnswered,
            lambda answer: self._told_all(many, answer, correspondent),
        )

    async def _send(self, many: list[Sent]) -> None:
        try:
            correspondent = await self._context.directory.reach(self._provider)
            if len(many) == 1:
                one = await correspondent.ask(many[0].request, Acknowledged)
                self._told_one(many[0], one, correspondent)
            else:
                request = PutChangesets(puts=tuple(sent.request for sent in many))
                answers = await correspondent.ask(request, AllAnswered)
                self._told_all(many, answers, correspondent)
        except MfdbError as error:
            self._failed(many, error)

    def _told_one(
        self, sent: Sent, answer: Acknowledged | MfdbError, correspondent: Correspondent
    ) -> None:
        if isinstance(answer, MfdbError):
            self._failed([sent], answer)
            return
        self._answered(correspondent)
        sent.on_receipt(answer.receipt, self._provider, correspondent.record.signer)

    def _told_all(
        self, many: list[Sent], answer: AllAnswered | MfdbError, correspondent: Correspondent
    ) -> None:
        if isinstance(answer, MfdbError):
            self._failed(many, answer)
            return
        if len(answer.answers) != len(many):
            self._failed(many, MalformedMessage("a provider answered another number of writes"))
            return
        self._answered(correspondent)
        for sent, one in zip(many, answer.answers, strict=True):
            if one.receipt is None:
                sent.on_failure(_refused(one.refusal), self._provider)
            else:
                sent.on_receipt(one.receipt, self._provider, correspondent.record.signer)

    def _answered(self, correspondent: Correspondent) -> None:
        self.has_failed = False
        if correspondent.is_due:
            correspondent.is_due = False
            self._context.tasks.spawn("pay", correspondent.settle())
        self._go_on()

    def _failed(self, many: list[Sent], error: MfdbError) -> None:
        self.has_failed = isinstance(error, NetworkError)
        self._go_on()
        for sent in many:
            sent.on_failure(error, self._provider)

    def _go_on(self) -> None:
        self._under_way -= 1
        if self._waiting and self._timer is None:
            self.hurry()

    def close(self) -> None:
        """Send nothing more."""
        self._waiting.clear()
        self.hurry()


def _refused(refusal: bytes) -> MfdbError:
    """Return the error in a refusal, or what is wrong with it."""
    try:
        return decode_refusal(refusal)
    except MfdbError as malformed:
        return malformed
