"""The chain side of a provider: beacons, accusations, answers, verdicts (DESIGN 11)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, assert_never

from mfdb.chain.port import (
    AnswerCase,
    CaseClosed,
    CaseOpened,
    ExcuseCase,
    OpenCase,
    PushVerdict,
    RecordBeacon,
)
from mfdb.court.docket import (
    Answer,
    Convicted,
    DemandVerdict,
    Docket,
    on_chain_saw,
    on_taken_back,
    on_ticked,
)
from mfdb.kernel.errors import MfdbError, ShardMissing, TransactionReverted
from mfdb.node.provider import releases, shelf
from mfdb.node.provider.records import DamagedRecord
from replication.repair import elect
from replication.shard import ShardTree

if TYPE_CHECKING:
    from collections.abc import Callable

    from mfdb.chain.port import ChainEvent, Seen
    from mfdb.court.docket import Effect
    from mfdb.kernel.ids import CaseId, Hash
    from mfdb.node.provider.context import Context
    from mfdb.node.provider.shards import Shards
    from replication.segment import SignedStoreReceipt

log = logging.getLogger(__name__)
REORG_BLOCKS = 256
"""How deep a branch may be that another one replaces; as deep as the chain's own cursor goes."""


class Court:
    """The service that watches the chain for cases and moves them on."""

    def __init__(
        self, context: Context, shards: Shards, tell: Callable[[ChainEvent], None]
    ) -> None:
        """Watch for a provider; `tell` hears of each event, and again when it is taken back."""
        self._context = context
        self._shards = shards
        self._tell = tell
        self._docket = Docket(me=context.me)
        self._recent: dict[Seen, None] = {}
        self._unsettled: dict[CaseId, int] = {}
        """In which block each case was opened about which something may still have to be done."""
        self.convicted: list[Convicted] = []
        """Convictions that the repairer has not yet taken; it says when they are settled."""
        with context.store.snapshot() as view:
            self._since_block = shelf.events_read(view)

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
        seen = await self._context.chain.events(since_block=self._since_block)
        if seen != list(self._recent):  # mostly nothing happened, and hashing each event costs
            await self._take_in(seen)
        await self._move_on()
        if self._docket.open:
            head = await self._context.chain.head()
            for effect in on_ticked(self._docket, head.time_s):
                await self._carry_out(effect)

    async def _take_in(self, seen: list[Seen]) -> None:
        """Take back what the chain has not any more, then take what is new."""
        now = frozenset(seen)
        for gone in [one for one in self._recent if one not in now]:
            del self._recent[gone]
            self._take_back(gone)
        for one in seen:
            if one not in self._recent:
                self._recent[one] = None
                await self._take(one)

    def settled(self, case: CaseId) -> None:
        """Take note that nothing has to be done about a case any more."""
        self._unsettled.pop(case, None)

    async def _take(self, seen: Seen) -> None:
        self._tell(seen.event)
        self._docket, effects = on_chain_saw(self._docket, seen.event)
        if isinstance(seen.event, CaseOpened):
            self._unsettled[seen.event.case] = seen.block
        if isinstance(seen.event, CaseClosed) and not effects:
            self.settled(seen.event.case)
        for effect in effects:
            await self._carry_out(effect)

    def _take_back(self, gone: Seen) -> None:
        """Forget what another branch of the chain does not hold."""
        self._tell(gone.event)
        self._docket = on_taken_back(self._docket, gone.event)
        if isinstance(gone.event, CaseOpened):
            self.settled(gone.event.case)

    async def _move_on(self) -> None:
        """Never again read events that no branch takes back and that say nothing of open cases.

        The place is kept, so that a start does not depend on how long the chain is.
        """
        newest = max((seen.block for seen in self._recent), default=0)
        since = min([newest - REORG_BLOCKS, *self._unsettled.values()])
        if since <= self._since_block:
            return
        self._since_block = since
        self._recent = {seen: None for seen in self._recent if seen.block >= since}
        await self._context.committer.submit(
            lambda transaction: shelf.put_events_read(transaction, since)
        )

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
        if opened.accuser == self._context.me and self._gives_notice():
            return  # the case is its notice (`mfdb.node.provider.notice`)
        try:
            shard = self._shards.read(opened.receipt.segment, opened.receipt.shard)
        except ShardMissing as error:
            await self._excuse(opened, error)
            return
        unit, path = ShardTree(shard).prove(opened.unit)
        await self._send(AnswerCase(case=opened.case, receipt=opened.receipt, unit=unit, path=path))

    def _gives_notice(self) -> bool:
        with self._context.store.snapshot() as view:
            return releases.gives_notice(view)

    async def _excuse(self, opened: CaseOpened, error: ShardMissing) -> None:
        """Show that the owner has released us from a segment that is not here any more."""
        receipt, signed = opened.receipt, None
        try:
            with self._context.store.snapshot() as view:
                signed = releases.release_of(view, receipt.agreement, receipt.segment)
        except DamagedRecord as damaged:
            self._context.damage.note(damaged)
        if signed is None:
            log.warning("cannot answer a case case=0x%s %s", opened.case.hex(), error)
            return
        call = ExcuseCase(case=opened.case, receipt=receipt, client_signature=signed.signature)
        await self._send(call)

    async def _send(
        self, call: AnswerCase | ExcuseCase | OpenCase | PushVerdict | RecordBeacon
    ) -> None:
        """Send a transaction; one that another party made needless reverts and is only noted."""
        try:
            await self._context.chain.send(call, self._context.keys.account)
        except TransactionReverted as error:
            log.info("transaction refused call=%s %s", type(call).__name__, error)
        except MfdbError as error:
            log.warning("transaction failed call=%s %s", type(call).__name__, error)
