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
            self._context.tasks.spawn("put", self._send(self._next()))

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

    async def _send(self, many: list[Sent]) -> None:
        try:
            correspondent = await self._context.directory.reach(self._provider)
            answers = await _ask(correspondent, many)
        except MfdbError as error:
            self.has_failed = isinstance(error, NetworkError)
            for sent in many:
                sent.on_failure(error, self._provider)
        else:
            self.has_failed = False
            self._tell(many, answers, correspondent.record.signer)
        finally:
            self._under_way -= 1
        if self._waiting and self._timer is None:
            self.hurry()

    def close(self) -> None:
        """Send nothing more."""
        self._waiting.clear()
        self.hurry()

    def _tell(
        self, many: list[Sent], answers: list[WriteReceipt | MfdbError], signer: Address
    ) -> None:
        for sent, answer in zip(many, answers, strict=True):
            if isinstance(answer, MfdbError):
                sent.on_failure(answer, self._provider)
            else:
                sent.on_receipt(answer, self._provider, signer)


async def _ask(correspondent: Correspondent, many: list[Sent]) -> list[WriteReceipt | MfdbError]:
    """Return a provider's answers to writes, in their order.

    Raises:
        MfdbError: it answered none of them.
    """
    if len(many) == 1:
        return [(await correspondent.ask(many[0].request, Acknowledged)).receipt]
    request = PutChangesets(puts=tuple(sent.request for sent in many))
    answers = (await correspondent.ask(request, AllAnswered)).answers
    if len(answers) != len(many):
        raise MalformedMessage("a provider answered another number of writes than it was sent")
    return [one.receipt or decode_refusal(one.refusal) for one in answers]
