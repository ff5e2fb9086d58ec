"""Handing receipts round: each replica is given the others' promises, so that readers hold them.

Receipts wait a moment for more of their dataset: one request then carries many, and one commit of
the provider keeps them. Until they are handed round the writer's own replica keeps them.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from mfdb.kernel.errors import MfdbError
from mfdb.node.answers import Done
from mfdb.node.requests import PutReceipts

if TYPE_CHECKING:
    from mfdb.kernel.ids import Address, DatasetId
    from mfdb.node.client.context import ClientContext
    from mfdb.rules.receipt import WriteReceipt

log = logging.getLogger(__name__)
ROUND_RECEIPTS = 300
"""Receipts in one request at most: well under a frame, and one commit at the provider."""


class Rounds:
    """The receipts of one client on their way to its datasets' replicas."""

    def __init__(self, context: ClientContext) -> None:
        self._context = context
        self._waiting: dict[DatasetId, dict[Address, list[WriteReceipt]]] = {}
        self._walking: dict[DatasetId, asyncio.Task[None]] = {}
        self._is_leaving = asyncio.Event()

    def add(self, dataset: DatasetId, receipts: dict[Address, WriteReceipt]) -> None:
        """Have every provider that gave one of these receipts be given the others."""
        waiting = self._waiting.setdefault(dataset, {})
        for provider in receipts:
            others = [one for giver, one in receipts.items() if giver != provider]
            waiting.setdefault(provider, []).extend(others)
        if dataset not in self._walking:
            task = self._context.tasks.spawn("receipts", self._walk(dataset))
            self._walking[dataset] = task

    async def leave(self, timeout_s: float) -> None:
        """Hand round what waits, without waiting for more."""
        self._is_leaving.set()
        if self._walking:
            await asyncio.wait(list(self._walking.values()), timeout=timeout_s)

    async def _walk(self, dataset: DatasetId) -> None:
        try:
            while self._waiting.get(dataset):
                await self._linger()
                due = self._waiting.pop(dataset)
                await asyncio.gather(
                    *(self._hand(provider, dataset, many) for provider, many in due.items())
                )
        finally:
            del self._walking[dataset]

    async def _linger(self) -> None:
        try:
            async with asyncio.timeout(self._context.settings.receipts_linger_s):
                await self._is_leaving.wait()
        except TimeoutError:
            return

    async def _hand(
        self, provider: Address, dataset: DatasetId, receipts: list[WriteReceipt]
    ) -> None:
        try:
            correspondent = await self._context.directory.reach(provider)
            for at in range(0, len(receipts), ROUND_RECEIPTS):
                part = tuple(receipts[at : at + ROUND_RECEIPTS])
                await correspondent.ask(PutReceipts(dataset=dataset, receipts=part), Done)
        except MfdbError as error:
            log.info("receipts not handed to provider=0x%s %s", provider.hex(), error)
