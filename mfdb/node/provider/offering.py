"""What this provider offers: as its settings say, or as its identity has published on chain."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from mfdb.chain.port import RecordKind, RecordPublished
from mfdb.kernel.errors import DataError, ProtocolViolation
from mfdb.rules.records import MIB, OfferRecord, open_offer

if TYPE_CHECKING:
    from mfdb.chain.port import ChainEvent
    from mfdb.node.provider.context import Context

log = logging.getLogger(__name__)


class Offering:
    """The service that follows the offer of its provider (OFFER SERVICE, REVOKE OFFER)."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.record = self._by_settings()
        """The offer in force; a quote made of it is binding."""
        self._told, self._taken_up = 1, 0
        """How often it was, or may have been, published; and up to which time that was read."""

    def on_event(self, event: ChainEvent) -> None:
        """Look again next time, if the chain tells, or takes back, that we published an offer."""
        if isinstance(event, RecordPublished) and event.kind is RecordKind.OFFER:
            self._told += event.identity == self._context.me

    async def look(self) -> None:
        """Take up what was published last, if anything was since the last look.

        Raises:
            ChainUnavailable: the registry cannot be read; the offer stays as it is.
        """
        told = self._told
        if told != self._taken_up:
            await self._take_up()
            self._taken_up = told

    async def _take_up(self) -> None:
        me = self._context.me
        data = await self._context.chain.record(me, RecordKind.OFFER)
        if data is None:
            return
        try:
            record = open_offer(data, network=self._context.network.id, identity=me)
        except (DataError, ProtocolViolation) as error:
            log.warning("the published offer is no good and not followed: %s", error)
            return
        if record != self.record:
            log.info("offers %d bytes for %d wei", record.capacity_bytes, record.price)
            self.record = record

    def _by_settings(self) -> OfferRecord:
        settings = self._context.settings
        return OfferRecord(
            network=self._context.network.id,
            identity=self._context.me,
            capacity_bytes=settings.capacity_bytes,
            price=settings.fee_per_mib_epoch,
            per_bytes=MIB,
            per_s=settings.epoch_s,
            deposit_per_mib=settings.deposit_per_mib,
            valid_until=0,
            time_s=0,
        )
