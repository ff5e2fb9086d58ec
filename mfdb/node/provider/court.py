"""The chain side of a provider: beacons, accusations, answers, verdicts (DESIGN 11)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, assert_never

from mfdb.chain.port import AnswerCase, OpenCase, PushVerdict, RecordBeacon
from mfdb.court.docket import Answer, Convicted, DemandVerdict, Docket, on_chain_saw, on_ticked
from mfdb.kernel.errors import MfdbError, ShardMissing, TransactionReverted
from replication.repair import elect
from replication.shard import ShardTree

if TYPE_CHECKING:
    from mfdb.chain.port import CaseOpened
    from mfdb.court.docket import Effect
    from mfdb.kernel.ids import Hash
    from mfdb.node.provider.context import Context
    from mfdb.node.provider.shards import Shards
    from replication.segment import SignedStoreReceipt

log = logging.getLogger(__name__)


class Court:
    """The service that watches the chain for cases and moves them on."""

    def __init__(self, context: Context, shards: Shards) -> None:
        self._context = context
        self._shards = shards
        self._since_block = 0
        self._docket = Docket(me=context.me)
        self.convicted: list[Convicted] = []
        """Convictions that the repairer has not yet taken."""

    # ---- beacons

    async def beacon(self, epoch: int) -> Hash | None:
        """Return an epoch's beacon; the provider elected for it asks the chain to record it."""
        known = await self._context.chain.beacon(epoch)
        if known is not None:
            return known
        providers = sorted(await self._context.directory.providers())
        if providers and elect(providers, epoch.to_bytes(8, "big")) == self._context.me:
            await self._send(RecordBeacon(epoch=epoch))
        return await self._context.chain.beacon(epoch)

    # ---- accusing

    async def accuse(self, signed: SignedStoreReceipt, epoch: int, draw: int) -> None:
        """Open a case for one draw that a provider failed off chain, unless one is open."""
        if any(opened.receipt == signed.receipt for opened in self._docket.open.values()):
            return
        call = OpenCase(receipt=signed.receipt, signature=signed.signature, epoch=epoch, draw=draw)
        await self._send(call)

    # ---- following

    async def look(self) -> None:
        """Take in new events, answer what accuses us, push verdicts that are due."""
        for seen in await self._context.chain.events(since_block=self._since_block):
            self._since_block = max(self._since_block, seen.block + 1)
            self._docket, effects = on_chain_saw(self._docket, seen.event)
            for effect in effects:
                await self._carry_out(effect)
        if self._docket.open:
            head = await self._context.chain.head()
            for effect in on_ticked(self._docket, head.time_s):
                await self._carry_out(effect)

    async def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Answer(opened=opened):
                await self._answer(opened)
            case DemandVerdict(case=case):
                await self._send(PushVerdict(case=case))
            case Convicted():
                self.convicted.append(effect)
            case _:
                assert_never(effect)

    async def _answer(self, opened: CaseOpened) -> None:
        try:
            shard = self._shards.read(opened.receipt.segment, opened.receipt.shard)
        except ShardMissing as error:
            log.warning("cannot answer a case case=0x%s %s", opened.case.hex(), error)
            return
        unit, path = ShardTree(shard).prove(opened.unit)
        await self._send(AnswerCase(case=opened.case, receipt=opened.receipt, unit=unit, path=path))

    async def _send(self, call: AnswerCase | OpenCase | PushVerdict | RecordBeacon) -> None:
        """Send a transaction; one that another party made needless reverts and is only noted."""
        try:
            await self._context.chain.send(call, self._context.keys.account)
        except TransactionReverted as error:
            log.info("transaction refused call=%s %s", type(call).__name__, error)
        except MfdbError as error:
            log.warning("transaction failed call=%s %s", type(call).__name__, error)
