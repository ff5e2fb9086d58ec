"""Taking the signer of a store receipt to court, unasked by any audit."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mfdb.chain.port import OpenCase, RecordBeacon
from mfdb.kernel.errors import BalanceTooSmall, InvalidParameter, UnknownDataset, UnknownObject
from mfdb.kernel.ids import show, show_mft

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mfdb.chain.port import Mined
    from mfdb.kernel.ids import DatasetId, Hash, Wei
    from mfdb.node.client.context import ClientContext
    from mfdb.node.client.lookup import Lookup
    from mfdb.node.whereabouts import Whereabouts
    from replication.segment import SignedStoreReceipt


class Accusing:
    """Opens cases; whoever holds a store receipt may, and posts the court's bond."""

    def __init__(self, context: ClientContext, lookup: Lookup) -> None:
        self._context = context
        self._lookup = lookup

    async def accuse_shard(self, dataset: DatasetId, shard: int) -> Mined:
        """Accuse the holder of a shard of the first sealed segment.

        Raises:
            UnknownDataset: no sealed segment of the dataset is known.
            TransactionReverted: the court refuses the case.
        """
        found = await self._lookup.look(dataset)
        signed = next((one for one in _receipts(found) if one.receipt.shard == shard), None)
        if signed is None:
            raise UnknownDataset(f"no receipt for shard {shard} is known", hint="seal it first")
        return await self._open(signed)

    async def accuse(self, receipt: Hash, most: Wei | None) -> Mined:
        """Accuse the signer of a store receipt; `most` bounds the bond.

        Raises:
            UnknownObject: no such receipt is known here.
            InvalidParameter: the court asks for a higher bond.
            BalanceTooSmall: this identity has not as much as the bond.
            TransactionReverted: the court refuses the case.
        """
        signed = await self._find(receipt)
        bond = (await self._context.chain.terms()).bond
        if most is not None and most < bond:
            raise InvalidParameter(
                f"the court asks for a bond of {show_mft(bond)} MFT, "
                f"at most {show_mft(most)} MFT are staked",
                hint=f"WITH (stake = {show_mft(bond)} MFT)",
            )
        there = await self._context.chain.balance(self._context.me)
        if there < bond:
            raise BalanceTooSmall(
                f"{show(self._context.me)} has {show_mft(there)} MFT, "
                f"the bond takes {show_mft(bond)} MFT"
            )
        return await self._open(signed)

    async def _find(self, receipt: Hash) -> SignedStoreReceipt:
        for found in self._lookup.kept().values():
            for signed in _receipts(found):
                if signed.receipt.struct_hash() == receipt:
                    return signed
        raise UnknownObject(
            f"no store receipt {show(receipt)} is known here",
            hint="SHOW RECEIPTS FOR a dataset tells those of its sealed segments",
        )

    async def _open(self, signed: SignedStoreReceipt) -> Mined:
        epoch = await self._next_beacon()
        call = OpenCase(receipt=signed.receipt, signature=signed.signature, epoch=epoch, draw=0)
        mined = await self._context.chain.send(call, self._context.keys.account)
        assert mined.case is not None, "the court names the case that it opened"
        return mined

    async def _next_beacon(self) -> int:
        """Return the present epoch once its beacon is on chain; we record it if nobody does."""
        chain = self._context.chain
        terms = await chain.terms()
        epoch = (await chain.head()).time_s // terms.epoch_s
        while await chain.beacon(epoch) is None:
            await chain.send(RecordBeacon(epoch=epoch), self._context.keys.account)
            await asyncio.sleep(self._context.node.poll_s)
        return epoch


def _receipts(found: Whereabouts) -> Iterator[SignedStoreReceipt]:
    return (signed for bundle in found.segments for signed in bundle.receipts)
