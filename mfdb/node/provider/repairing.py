"""Leading the repair after a conviction, and seeing that the convicted one's victim is paid.

    conviction -> a surviving provider leads -> asks the best spare to take over
    spare: `mfdb.node.provider.taking_over`
    nobody took over within the repair window -> the escrow pays the owner everything (DESIGN 8)

Survivors lead in rendezvous order, each later one only if the placement has not changed by then.
A conviction is due until the escrow holds nothing for it, so that whatever fails is tried again;
after a restart the chain's events tell of it anew, from before the oldest case that is not settled.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mfdb.chain.port import ReleaseCompensation
from mfdb.kernel.errors import MfdbError, TransactionReverted
from mfdb.node.answers import DatasetState, Done
from mfdb.node.provider import sealed_shelf, shelf
from mfdb.node.requests import TakeOver
from mfdb.node.whereabouts import first_page
from mfdb.rules.records import DRAINING
from replication.placement import Candidate, rank

if TYPE_CHECKING:
    from mfdb.chain.port import CaseClosed, CaseOpened
    from mfdb.court.docket import Convicted
    from mfdb.kernel.ids import Address, CaseId, DatasetId
    from mfdb.node.provider.context import Context
    from mfdb.node.provider.court import Court
    from mfdb.rules.placement import Placement

log = logging.getLogger(__name__)
STEP_S = 10.0
"""How long the next survivor in line waits for the one before it."""
TAKE_OVER_TIMEOUT_S = 120


@dataclass(slots=True, kw_only=True)
class _Due:
    """A conviction that is not settled, and when (monotonic) this provider acts on it next."""

    opened: CaseOpened
    closed: CaseClosed
    dataset: DatasetId
    survivors: int
    noted_s: float
    at_s: float


class Repairing:
    """The service that leads repairs."""

    def __init__(self, context: Context, court: Court) -> None:
        self._context = context
        self._court = court
        self._due: dict[CaseId, _Due] = {}
        self.repaired = 0
        """Convictions that were settled since the start."""
        self.repair_s = 0.0
        """How long that took, in all."""

    @property
    def due(self) -> int:
        """How many convictions are not settled."""
        return len(self._due)

    def lag_s(self) -> float:
        """Return how long the oldest conviction that is not settled waits, in seconds."""
        noted = [due.noted_s for due in self._due.values()]
        return self._context.clock.monotonic_s() - min(noted) if noted else 0.0

    async def look(self) -> None:
        """Act on every conviction whose turn has come."""
        convicted, self._court.convicted = self._court.convicted, []
        for one in convicted:
            self._note(one)
        for case, due in list(self._due.items()):
            if due.at_s > self._context.clock.monotonic_s():
                continue
            due.at_s = self._context.clock.monotonic_s() + due.survivors * STEP_S
            state = await self._context.chain.case(case)
            if state is None or state.compensation == 0:
                del self._due[case]
                self.repaired += 1
                self.repair_s += self._context.clock.monotonic_s() - due.noted_s
                self._court.settled(case)
                continue
            with self._context.sparing(due.dataset):
                if self._still_placed(due.dataset, due.opened):
                    await self._lead(due.dataset, due.opened, due.closed)
            await self._release(due)

    def _note(self, convicted: Convicted) -> None:
        found = self._dataset_of(convicted.opened)
        case = convicted.closed.case
        if found is None:
            self._court.settled(case)
            return
        dataset, survivors = found
        ranked = rank((Candidate(provider=p) for p in survivors), case)
        place = [candidate.provider for candidate in ranked].index(self._context.me)
        self._due[case] = _Due(
            opened=convicted.opened,
            closed=convicted.closed,
            dataset=dataset,
            survivors=len(survivors),
            noted_s=self._context.clock.monotonic_s(),
            at_s=self._context.clock.monotonic_s() + place * STEP_S,
        )

    async def _release(self, due: _Due) -> None:
        """Have the owner paid in full if the window in which a repair comes first has passed."""
        terms = await self._context.chain.terms()
        head = await self._context.chain.head()
        if head.time_s <= due.opened.deadline + terms.repair_window_s:
            return
        call = ReleaseCompensation(case=due.closed.case)
        try:
            await self._context.chain.send(call, self._context.keys.account)
        except TransactionReverted as error:
            log.info("compensation not released case=0x%s %s", due.closed.case.hex(), error)

    def _dataset_of(self, opened: CaseOpened) -> tuple[DatasetId, list[Address]] | None:
        """Return the dataset that a case is about and its surviving providers, if we are one."""
        for dataset in self._context.kept():
            with self._context.sparing(dataset):
                placement = self._context.placement(dataset)
                if placement.agreement_of(opened.provider) == opened.agreement:
                    survivors = [p for p in placement.providers if p != opened.provider]
                    return (dataset, survivors) if self._context.me in survivors else None
        return None

    def _still_placed(self, dataset: DatasetId, opened: CaseOpened) -> bool:
        return opened.provider in self._context.placement(dataset).shards.values()

    async def _lead(self, dataset: DatasetId, opened: CaseOpened, closed: CaseClosed) -> None:
        placement = self._context.placement(dataset)
        mandate = placement.mandate
        if mandate is None:
            log.error("no mandate to repair under dataset=0x%s", dataset.hex())
            return
        candidates = rank(await self.spares(placement), closed.case)
        with self._context.store.snapshot() as view:
            # A page each, and the lost segment: the spare asks us for the rest of the history, and
            # what is left over of the segments, the leader completes.
            page = sealed_shelf.segments_after(view, dataset, b"")
            lost = sealed_shelf.segment(view, dataset, opened.receipt.segment)
            more = () if lost is None or lost in page else (lost,)
            state = DatasetState(
                manifests=first_page(shelf.manifests(view, dataset)),
                placements=first_page(shelf.placements(view, dataset)),
                segments=(*page, *more),
            )
        request = TakeOver(
            case=closed.case,
            agreement=opened.agreement,
            segment=opened.receipt.segment,
            state=state,
        )
        for candidate in candidates:
            invited = (dataset, candidate.provider)
            self._context.invited.add(invited)
            try:
                correspondent = await self._context.directory.reach(candidate.provider)
                await correspondent.ask(request, Done, timeout_s=TAKE_OVER_TIMEOUT_S)
            except MfdbError as error:
                log.warning("take-over failed by=0x%s %s", candidate.provider.hex(), error)
            else:
                return
            finally:
                self._context.invited.discard(invited)
        log.error("nobody takes over case=0x%s", closed.case.hex())

    async def spares(self, placement: Placement) -> list[Candidate]:
        """Return who could take over a part of a dataset under its owner's mandate."""
        if placement.mandate is None:
            return []
        found = []
        for provider, record in (await self._context.directory.providers()).items():
            if provider in placement.agreements or record.roles & DRAINING:
                continue
            deposit = await self._context.chain.deposit(provider)
            if deposit.total - deposit.earmarked >= placement.mandate.mandate.min_deposit:
                found.append(Candidate(provider=provider))
        return found
