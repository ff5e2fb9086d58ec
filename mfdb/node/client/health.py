"""What is wrong with a dataset on the network, as its providers and the chain tell it.

A reading is (what was looked at, whether it alarms, its value, the limit, what to do). A fault that
repairs itself alarms too: an operator wants to see it begin.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mfdb.chain.port import CaseClosed, CaseOpened, CaseStatus, CompensationPaid
from mfdb.kernel.errors import MfdbError
from mfdb.kernel.ids import show
from replication.moving import is_other_code, to_recode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mfdb.kernel.ids import Address, AgreementId, CaseId, DatasetId, SegmentId
    from mfdb.node.client.context import ClientContext
    from mfdb.node.client.lookup import Lookup
    from mfdb.node.whereabouts import Whereabouts

Reading = tuple[str, bool, str, str, str]
REPAIR_LAG_S = 600
"""Suspicion begins a repair after ten minutes; one that waits longer needs a look."""


class Health:
    """Looks at a dataset's providers, segments and repairs."""

    def __init__(self, context: ClientContext, lookup: Lookup) -> None:
        self._context = context
        self._lookup = lookup

    async def readings(self, dataset: DatasetId) -> list[Reading]:
        """Return what the network tells of a dataset.

        Raises:
            NetworkError: no provider of it answers.
        """
        found = await self._lookup.look(dataset)
        return [
            await self._reachable(found),
            _spread(found, await self.stored(found)),
            _coded(found),
            await self._repairing(found),
        ]

    async def _reachable(self, found: Whereabouts) -> Reading:
        replicas = found.placement.replica_set
        answers = await asyncio.gather(*(self._answers(replica) for replica in replicas))
        silent = [show(who) for who, does in zip(replicas, answers, strict=True) if not does]
        value = f"{len(replicas) - len(silent)} of {len(replicas)}"
        hint = f"no answer from {', '.join(silent)}" if silent else ""
        return "replicas reachable", bool(silent), value, str(len(replicas)), hint

    async def _answers(self, provider: Address) -> bool:
        try:
            await self._context.directory.reach(provider)
        except MfdbError:
            return False  # the answer asked for
        return True

    async def _repairing(self, found: Whereabouts) -> Reading:
        repairs = await self.repairs(found)
        now_s = (await self._context.chain.head()).time_s
        waiting = [now_s - opened.deadline for opened, paid in repairs.values() if paid is None]
        lag_s = max(0, *waiting) if waiting else 0
        hint = "SHOW REPAIRS tells which" if waiting else ""
        return "repair lag", lag_s > REPAIR_LAG_S, f"{lag_s} s", f"{REPAIR_LAG_S} s", hint

    async def stored(self, found: Whereabouts) -> Mapping[SegmentId, int]:
        """Return of each segment how many shards are promised by whoever is to hold them now.

        A shard for which its holder was convicted is lost, whatever it promised.
        """
        lost = {
            (case.receipt.segment, case.receipt.shard, case.receipt.agreement)
            for case, _ in (await self.repairs(found)).values()
        }
        placement = found.placement
        due = {(slot, placement.agreement_of(who)) for slot, who in placement.shards.items()}
        stored: dict[SegmentId, int] = {}
        for bundle in found.segments:
            segment = bundle.certificate.segment
            given = {(one.receipt.shard, one.receipt.agreement) for one in bundle.receipts} & due
            stored[segment] = sum((segment, *one) not in lost for one in given)
        return stored

    async def repairs(
        self, found: Whereabouts
    ) -> Mapping[CaseId, tuple[CaseOpened, CompensationPaid | None]]:
        """Return the convictions of a dataset's providers, and what the escrow paid for each."""
        agreements = _ever_agreed(found)
        opened: dict[CaseId, CaseOpened] = {}
        repairs: dict[CaseId, tuple[CaseOpened, CompensationPaid | None]] = {}
        for seen in await self._context.chain.events():
            match seen.event:
                case CaseOpened() as one if one.agreement in agreements:
                    opened[one.case] = one
                case CaseClosed(case=case, status=CaseStatus.GUILTY) if case in opened:
                    repairs[case] = (opened[case], None)
                case CompensationPaid(case=case) as paid if case in repairs:
                    repairs[case] = (opened[case], paid)
        return repairs


def _ever_agreed(found: Whereabouts) -> frozenset[AgreementId]:
    return frozenset(
        made.agreement.id for signed in found.placements for made in signed.entry.agreements
    )


def _spread(found: Whereabouts, stored: Mapping[SegmentId, int]) -> Reading:
    """Count the segments of which somebody placed on a shard has not promised it, or lost it."""
    lacking = [
        bundle
        for bundle in found.segments
        if stored[bundle.certificate.segment] < bundle.certificate.n
    ]
    value = f"{len(lacking)} of {len(found.segments)} segments"
    hint = "SHOW SEGMENTS tells which; replicas complete them when they reconcile"
    return "under-replicated", bool(lacking), value, "0", hint if lacking else ""


def _coded(found: Whereabouts) -> Reading:
    """Tell how far a change of the code is; no alarm, for what is of another code is as safe."""
    profile = found.manifest.profile
    left = len(to_recode(found.segments, profile.k, profile.n))
    covered = [b for b in found.segments if not is_other_code(b, profile.k, profile.n)]
    code = f"{profile.k}/{profile.n}"
    value = f"{len(covered)} of {len(covered) + left} segments in {code}"
    hint = "ALTER DATASET ... SET (erasure) is under way, or goes on when it is repeated"
    return "coded", False, value, "all", hint if left else ""
