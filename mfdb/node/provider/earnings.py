"""Collecting what agreements have earned, and freeing the deposits of those that are over."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from mfdb.chain.port import ClaimFees, ReleaseAgreement
from mfdb.kernel.errors import TransactionReverted
from mfdb.node.provider import agreements

if TYPE_CHECKING:
    from mfdb.kernel.ids import AgreementId
    from mfdb.node.provider.context import Context
    from mfdb.rules.evidence import Agreement

log = logging.getLogger(__name__)


class Earnings:
    """The service that brings storage fees and deposits home."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._claimed: dict[AgreementId, int] = {}
        """Whole epochs claimed by this process; claiming again after a restart costs gas only."""

    async def look(self) -> None:
        """Claim the epochs that have passed, and release what is over, once each."""
        now_s = (await self._context.chain.head()).time_s
        note = self._context.damage.note
        with self._context.store.snapshot() as view:
            placed = [signed.agreement for signed in agreements.placed_agreements(view, note)]
        for agreement in placed:
            if now_s > agreement.end + agreement.tail_s:
                await self._release(agreement)
            else:
                await self._claim(agreement, now_s)

    async def _claim(self, agreement: Agreement, now_s: int) -> None:
        epochs = (min(now_s, agreement.end) - agreement.start) // agreement.epoch_s
        if epochs <= self._claimed.get(agreement.id, 0):
            return
        self._claimed[agreement.id] = epochs
        await self._send(ClaimFees(agreement=agreement.id))

    async def _release(self, agreement: Agreement) -> None:
        state = await self._context.chain.agreement(agreement.id)
        if state is not None and state.earmarked > 0 and state.open_cases == 0:
            await self._send(ReleaseAgreement(agreement=agreement.id))

    async def _send(self, call: ClaimFees | ReleaseAgreement) -> None:
        try:
            await self._context.chain.send(call, self._context.keys.account)
        except TransactionReverted as error:
            log.info("nothing to collect call=%s %s", type(call).__name__, error)
