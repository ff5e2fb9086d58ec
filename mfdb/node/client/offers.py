"""Publishing what the provider of this identity asks for storage, wherever its process runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from mfdb.chain.port import RecordKind, SetRecord
from mfdb.kernel.codec import encode
from mfdb.kernel.errors import DepositTooSmall, UnknownObject
from mfdb.kernel.ids import Wei, show
from mfdb.rules.records import MIB, OfferRecord, SignedOfferRecord, open_offer
from mfdb.rules.signing import sign

if TYPE_CHECKING:
    from mfdb.node.client.context import ClientContext
    from mfdb.node.client.money import Money, Paid


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageTerms:
    """What is asked: `price` for `per_bytes` over `per_s` seconds, for `valid_s` from now.

    `deposit_per_mib` of zero is what the provider's settings say; without `valid_s` it stands for
    ever.
    """

    capacity_bytes: int
    price: Wei
    per_bytes: int
    per_s: int
    deposit_per_mib: Wei
    valid_s: int | None


class Offers:
    """The offer of this identity: one record on chain, which its provider's process follows."""

    def __init__(self, context: ClientContext, money: Money) -> None:
        self._context = context
        self._money = money

    async def publish(self, terms: StorageTerms, confirmations: int) -> Paid:
        """Offer storage on these terms; they take the place of those before.

        Raises:
            DepositTooSmall: this identity has staked nothing.
            TransactionReverted, ChainUnavailable: the chain is in the way.
        """
        me = self._context.me
        if (await self._context.chain.deposit(me)).total == 0:
            raise DepositTooSmall(
                f"an offer stands on a deposit, and {show(me)} has none",
                hint="STAKE 1000 MFT ON storage",
            )
        now_s = self._now_s()
        record = msgspec.structs.replace(
            self._nothing(),
            capacity_bytes=terms.capacity_bytes,
            price=terms.price,
            per_bytes=terms.per_bytes,
            per_s=terms.per_s,
            deposit_per_mib=terms.deposit_per_mib,
            valid_until=0 if terms.valid_s is None else now_s + terms.valid_s,
            time_s=now_s,
        )
        return await self._set("offer", record, confirmations)

    async def withdraw(self, confirmations: int) -> Paid:
        """Take nothing new from now on; what was agreed stays.

        Raises:
            UnknownObject: nothing is offered by this identity.
            TransactionReverted, ChainUnavailable: the chain is in the way.
        """
        me, chain = self._context.me, self._context.chain
        data = await chain.record(me, RecordKind.OFFER)
        if data is not None:
            last = open_offer(data, network=self._context.network.id, identity=me)
            is_there = last.capacity_bytes > 0
        else:  # it goes by its settings
            last = self._nothing()
            is_there = (await chain.deposit(me)).total > 0
        if not is_there:
            raise UnknownObject(f"{show(me)} offers no storage", hint="SHOW OFFERS tells who does")
        record = msgspec.structs.replace(last, capacity_bytes=0, time_s=self._now_s())
        return await self._set("offer withdrawn", record, confirmations)

    def _nothing(self) -> OfferRecord:
        return OfferRecord(
            network=self._context.network.id,
            identity=self._context.me,
            capacity_bytes=0,
            price=Wei(0),
            per_bytes=MIB,
            per_s=1,
            deposit_per_mib=Wei(0),
            valid_until=0,
            time_s=0,
        )

    def _now_s(self) -> int:
        return int(self._context.clock.now_s())

    async def _set(self, step: str, record: OfferRecord, confirmations: int) -> Paid:
        signed = SignedOfferRecord(record, sign(record, self._context.keys.account))
        call = SetRecord(kind=RecordKind.OFFER, record=encode(signed))
        return await self._money.send(step, record.price, call, confirmations)
