"""Giving notice: leaving datasets whose owners are not there to let this provider go.

    drains, was asked to give notice, and the owner has not moved the dataset for `PATIENCE_S`
    -> what is unsealed is sealed -> a case against itself over its smallest shard, left unanswered
    -> convicted of that one -> a spare takes all its shards over under the owner's mandate

The contracts know no other way by which an agreement is replaced without its client, and none that
a provider could use to get out of a promise that it has broken. What the smallest shard is worth
of the deposit pays for the repair and its owner. Everything else stays earmarked, and this provider
serves what it promised, until the owner releases it or the agreement ends.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from mfdb.kernel.errors import MfdbError
from mfdb.node.provider import releases, sealed_shelf

if TYPE_CHECKING:
    from mfdb.kernel.ids import DatasetId
    from mfdb.node.provider.context import Context
    from mfdb.node.provider.court import Court
    from mfdb.node.provider.repairing import Repairing
    from mfdb.node.provider.sealing import Sealing
    from mfdb.rules.evidence import Agreement
    from mfdb.rules.placement import Placement
    from replication.segment import SignedStoreReceipt

log = logging.getLogger(__name__)
PATIENCE_S = 600.0
"""How long an owner's node, which looks every minute, has to move a dataset without any loss."""


class Notice:
    """The service that leaves without the owner."""

    def __init__(
        self, context: Context, court: Court, repairing: Repairing, sealing: Sealing
    ) -> None:
        self._context = context
        self._court = court
        self._repairing = repairing
        self._sealing = sealing
        self._since_s: dict[DatasetId, float] = {}

    async def look(self) -> None:
        """Give notice to every dataset whose owner has had its time."""
        with self._context.store.snapshot() as view:
            gives_notice = releases.gives_notice(view)
        if not gives_notice:
            self._since_s.clear()
            return
        now_s = self._context.clock.monotonic_s()
        for dataset in self._context.kept():
            with self._context.sparing(dataset):
                placement = self._context.placement(dataset)
                if self._context.me not in placement.shards.values():
                    self._since_s.pop(dataset, None)
                elif now_s - self._since_s.setdefault(dataset, now_s) >= PATIENCE_S:
                    await self._give(dataset, placement)

    async def _give(self, dataset: DatasetId, placement: Placement) -> None:
        made = placement.agreements[self._context.me].agreement
        state = await self._context.chain.agreement(made.id)
        if state is None or state.open_cases or state.earmarked < made.deposit:
            return  # it is over, or notice was given
        obstacle = await self._obstacle(placement, made)
        if not obstacle:
            await self._seal(dataset, placement)
            obstacle = await self._plead(dataset, made)
        if obstacle:
            log.warning("cannot give notice dataset=0x%s %s", dataset.hex(), obstacle)

    async def _obstacle(self, placement: Placement, made: Agreement) -> str:
        """Return why a case would lead to no repair, or nothing."""
        if placement.mandate is None:
            return "its owner gave no mandate to repair"
        now_s = (await self._context.chain.head()).time_s
        if placement.mandate.mandate.expiry <= now_s + made.answer_window_s:
            return "the mandate to repair ends before"
        return "" if await self._repairing.spares(placement) else "there is no spare provider"

    async def _plead(self, dataset: DatasetId, made: Agreement) -> str:
        """Open the case, or return why that cannot be done yet."""
        signed = self._smallest(dataset, made)
        if signed is None:
            return "nothing of it is sealed here"
        terms = await self._context.chain.terms()
        epoch = (await self._context.chain.head()).time_s // terms.epoch_s
        if await self._court.beacon(epoch) is None:
            return "the beacon of this epoch is not recorded yet"
        log.warning("gives notice dataset=0x%s", dataset.hex())
        await self._court.accuse(signed, epoch, 0)
        return ""

    async def _seal(self, dataset: DatasetId, placement: Placement) -> None:
        """Let shards stand for what is acknowledged here, if this is a replica."""
        if self._context.me not in placement.replica_set:
            return
        try:
            await self._sealing.lead(dataset)
        except MfdbError as error:
            log.info("not sealed before leaving dataset=0x%s %s", dataset.hex(), error)

    def _smallest(self, dataset: DatasetId, made: Agreement) -> SignedStoreReceipt | None:
        """Return what this provider promised of its smallest shard, or None if it holds none."""
        with self._context.store.snapshot() as view:
            bundles = sealed_shelf.segments(view, dataset)
        mine = (
            signed
            for bundle in bundles
            for signed in bundle.receipts
            if signed.receipt.agreement == made.id
        )
        return min(mine, key=lambda signed: signed.receipt.units, default=None)
