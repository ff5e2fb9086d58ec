"""Moving a dataset to other providers or into another code, by its owner, while it is in use.

    offers -> agreements with newcomers -> they join -> caught up, shards receipted
    -> (another profile: its manifest, every segment sealed once more) -> those who leave go
    -> released from what others hold now

Every step looks where things stand and does what is left, so that a run that was cut off is gone on
with by the next one. Nobody is released before others have promised what it holds.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mfdb.kernel.errors import AccessDenied, DeadlineExceeded, MfdbError, QuorumNotReached
from mfdb.kernel.ids import ZERO_HASH, ChangesetId, SegmentId
from mfdb.node.answers import Done, Keys, LogPage, SealedReport
from mfdb.node.placement_log import hand_over
from mfdb.node.requests import (
    GetKeys,
    Heal,
    PutManifest,
    PutReleases,
    ReadLog,
    Recode,
)
from mfdb.rules.evidence import Release, SignedRelease
from mfdb.rules.placement import PlacementEntry, SignedPlacement
from mfdb.rules.signing import sign
from replication.moving import is_other_code, joining, leaving, target_of, to_recode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from mfdb.kernel.codec import Record
    from mfdb.kernel.ids import Address, DatasetId
    from mfdb.node.answers import A
    from mfdb.node.client.context import ClientContext
    from mfdb.node.client.lookup import Lookup
    from mfdb.node.client.placing import Placer
    from mfdb.node.requests import Request
    from mfdb.node.whereabouts import Whereabouts
    from mfdb.rules.manifest import Profile
    from mfdb.rules.placement import Assignment, SignedAgreement
    from replication.moving import Target
    from replication.segment import SealedSegment

log = logging.getLogger(__name__)
PAGE_BYTES = 2**20
HEAL_TIMEOUT_S = 120
RECODE_AT_ONCE = 8
"""Segments that are coded once more by one request."""
_KEYS = 1_000


async def _nothing() -> None:
    """Change no rules."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is to be different: who must go, who alone may hold it, and how it is kept.

    `publish` brings the manifest with the new profile to the providers, once they can fulfil it.
    """

    profile: Profile
    leaving: frozenset[Address] = frozenset()
    among: frozenset[Address] | None = None
    publish: Callable[[], Awaitable[None]] = _nothing
    tell: Callable[[str], object] = field(default=lambda _: None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What a move came to."""

    joined: int
    left: int
    recoded: int
    released: int

    def and_then(self, other: Moved) -> Moved:
        """Return what two moves came to."""
        return Moved(
            joined=self.joined + other.joined,
            left=self.left + other.left,
            recoded=self.recoded + other.recoded,
            released=self.released + other.released,
        )


class Mover:
    """The service that moves datasets of this identity."""

    def __init__(self, context: ClientContext, lookup: Lookup, placer: Placer) -> None:
        self._context = context
        self._lookup = lookup
        self._placer = placer
        self._moving: dict[DatasetId, asyncio.Lock] = {}

    async def move(self, dataset: DatasetId, change: Change) -> Moved:
        """Return what was moved, once everything is where it should be.

        Raises:
            NoProviders: too few offers satisfy it; nothing has changed.
            DeadlineExceeded: newcomers are not caught up yet; repeated, it goes on.
            AccessDenied: the dataset is somebody else's.
        """
        async with self._moving.setdefault(dataset, asyncio.Lock()):
            moved, is_whole = await self._move(dataset, change)
            if not is_whole:  # some had to let go of a shard before they could take another
                again, _ = await self._move(dataset, change)
                moved = moved.and_then(again)
            return moved

    async def _move(self, dataset: DatasetId, change: Change) -> tuple[Moved, bool]:
        """Return what was moved, and whether nobody is left who is to leave."""
        found = await self._lookup.look(dataset)
        if found.manifest.owner != self._context.me:
            raise AccessDenied("only its owner moves a dataset")
        before = found.placement.providers
        target, agreements = await self.bind(found, change)
        assignments = joining(found.placement, target)
        if assignments or agreements:
            change.tell(f"{len(agreements)} providers join")
            await self.place(found, assignments, agreements)
        await self._complete(dataset, target, change)
        await change.publish()
        recoded = await self._recode(dataset, target, change)
        found = await self._lookup.look(dataset)
        gone = leaving(found.placement, target)
        if gone:
            change.tell("those who leave go")
            await self.place(found, gone, ())
        released = await self._release(await self._lookup.look(dataset), change)
        left = sum(one not in target.holders for one in before)
        moved = Moved(joined=len(agreements), left=left, recoded=recoded, released=released)
        return moved, target.holders.isdisjoint(change.leaving)

    # ---- who

    async def bind(
        self, found: Whereabouts, change: Change
    ) -> tuple[Target, tuple[SignedAgreement, ...]]:
        """Return the target, and registered agreements with those who join.

        Raises:
            NoProviders: too few offers satisfy it.
        """
        placement, count = found.placement, change.profile.n
        stay = [
            one
            for one in placement.providers
            if one not in change.leaving and (change.among is None or one in change.among)
        ][:count]
        agreements = await self._placer.engage(
            found.manifest,
            count - len(stay),
            exclude=frozenset(placement.providers) | change.leaving,
            among=change.among,
        )
        holders = stay + [made.agreement.provider for made in agreements]
        target = target_of(placement, holders, replicas=change.profile.replicas, shards=count)
        return target, tuple(agreements)

    async def place(
        self,
        found: Whereabouts,
        assignments: tuple[Assignment, ...],
        agreements: tuple[SignedAgreement, ...],
    ) -> Whereabouts:
        """Sign an entry of the placement log, bring it to everybody; return where it stands then.

        Raises:
            QuorumNotReached: too few replicas have taken it.
        """
        entry = PlacementEntry(
            network=self._context.network.id,
            dataset=found.manifest.dataset,
            number=found.placement.number + 1,
            previous=found.placement.head,
            assignments=assignments,
            agreements=agreements,
            mandate=None,
            case=b"",
        )
        signed = SignedPlacement(entry=entry, signature=sign(entry, self._context.keys.account))
        entries = (*found.placements, signed)
        newcomers = [made.agreement.provider for made in agreements]
        for provider in newcomers:
            for manifest in found.manifests:
                await self._ask(provider, PutManifest(signed=manifest), Done)
        dataset = found.manifest.dataset
        for provider in newcomers:
            await self._hand_over(provider, dataset, entries)
        told = await self._each(
            found.placement.providers, lambda one: self._hand_over(one, dataset, entries)
        )
        replicas = set(found.placement.replica_set) & told
        if len(replicas) < found.manifest.profile.write_quorum and not newcomers:
            raise QuorumNotReached("too few replicas have taken the new placement")
        everybody = (*newcomers, *found.placement.providers)
        return await self._lookup.look(found.manifest.dataset, everybody)

    # ---- until all is there

    async def _complete(self, dataset: DatasetId, target: Target, change: Change) -> None:
        """Wait until every replica has everything and every shard is promised."""
        clock = self._context.clock
        deadline_s = clock.monotonic_s() + self._context.settings.move_deadline_s
        while True:
            await self._heal(dataset)
            found = await self._lookup.look(dataset)
            lacking = await self._lacking(found, target)
            if not lacking:
                return
            change.tell(lacking)
            if clock.monotonic_s() > deadline_s:
                raise DeadlineExceeded(f"{lacking} yet", hint="repeat it to go on")
            await asyncio.sleep(self._context.node.poll_s)

    async def _heal(self, dataset: DatasetId) -> None:
        """Have newcomers catch up, then the first replica hand shards to who lacks them."""
        found = await self._lookup.get(dataset)
        replicas = found.placement.replica_set
        await self._tell((*replicas[1:], *replicas[:1]), Heal(dataset=dataset))

    async def _lacking(self, found: Whereabouts, target: Target) -> str:
        owed = sum(len(unpromised(found, bundle)) for bundle in found.segments)
        if owed:
            return f"{owed} shards are not promised"
        logs = {}
        for provider in target.replicas:
            try:
                logs[provider] = await self.log_of(found.manifest.dataset, provider)
            except MfdbError as error:
                return f"0x{provider.hex()[:8]} does not answer: {error.message}"
        everything = frozenset().union(
            *logs.values(), *(bundle.changesets for bundle in found.segments)
        )
        for provider, log_ids in logs.items():
            missing = len(everything - log_ids)
            if missing:
                return f"{missing} changesets are missing at 0x{provider.hex()[:8]}"
            unopened = await self._unopened(found.manifest.dataset, provider, log_ids)
            if unopened:
                return f"{unopened} keys are missing at 0x{provider.hex()[:8]}"
        return ""

    async def log_of(self, dataset: DatasetId, provider: Address) -> frozenset[ChangesetId]:
        """Return all changesets that ever came to a replica.

        Raises:
            NetworkError, MfdbError: it does not tell.
        """
        after, ids = -1, set[ChangesetId]()
        while True:
            request = ReadLog(dataset=dataset, after=after, limit_bytes=PAGE_BYTES)
            page = await self._ask(provider, request, LogPage)
            ids.update(item.changeset for item in page.items)
            if not page.more or not page.items or page.items[-1].number <= after:
                return frozenset(ids)
            after = page.items[-1].number

    async def _unopened(
        self, dataset: DatasetId, provider: Address, ids: Iterable[ChangesetId]
    ) -> int:
        """Return of how many changesets a replica has no keys."""
        left = sorted(ids)
        while left:
            request = GetKeys(dataset=dataset, changesets=tuple(left[:_KEYS]))
            told = {one.changeset for one in (await self._ask(provider, request, Keys)).entries}
            if not told & set(left[:_KEYS]):
                return len(left)
            left = [one for one in left if one not in told]
        return 0

    # ---- another code

    async def _recode(self, dataset: DatasetId, target: Target, change: Change) -> int:
        """Have every segment of another code sealed once more; return how many were."""
        left = await self._to_recode(dataset, change)
        recoded = 0
        while left:
            change.tell(f"{recoded} of {recoded + left} segments are coded once more")
            leader = (await self._lookup.get(dataset)).placement.replica_set[0]
            request = Recode(dataset=dataset, at_most=RECODE_AT_ONCE)
            answer = await self._ask(leader, request, SealedReport, timeout_s=HEAL_TIMEOUT_S)
            recoded += answer.report.segments
            before, left = left, await self._to_recode(dataset, change)
            if left >= before:
                raise DeadlineExceeded(
                    f"{left} segments are of another code yet", hint="repeat it to go on"
                )
        if recoded:
            await self._complete(dataset, target, change)
        return recoded

    async def _to_recode(self, dataset: DatasetId, change: Change) -> int:
        found = await self._lookup.look(dataset)
        return len(to_recode(found.segments, change.profile.k, change.profile.n))

    # ---- letting go

    async def _release(self, found: Whereabouts, change: Change) -> int:
        """Release providers from segments that others cover, and those who left from all."""
        placement = found.placement
        k, n = change.profile.k, change.profile.n
        uncovered = to_recode(found.segments, k, n)
        covered = [] if uncovered else [b for b in found.segments if is_other_code(b, k, n)]
        releases = [
            self._signed(Release(signed.receipt.agreement, bundle.certificate.segment))
            for bundle in covered
            for signed in bundle.receipts
        ]
        dataset = found.manifest.dataset
        if releases:
            request = PutReleases(dataset=dataset, releases=tuple(releases))
            await self._tell(tuple(placement.agreements), request)
        for provider, made in placement.agreements.items():
            if provider in placement.providers:
                continue
            state = await self._context.chain.agreement(made.agreement.id)
            if state is not None and state.earmarked:
                whole = self._signed(Release(made.agreement.id, SegmentId(ZERO_HASH)))
                await self._tell((provider,), PutReleases(dataset=dataset, releases=(whole,)))
        if releases:
            await self._lookup.look(dataset)
        return len(covered)

    def _signed(self, release: Release) -> SignedRelease:
        signature = self._context.keys.account.sign(self._context.network.digest(release))
        return SignedRelease(release, signature)

    # ---- asking

    async def _ask(
        self, provider: Address, request: Request, kind: type[A], *, timeout_s: float | None = None
    ) -> A:
        correspondent = await self._context.directory.reach(provider)
        return await correspondent.read(request, kind, timeout_s=timeout_s)

    async def _tell(
        self, providers: Iterable[Address], request: Request, kind: type[Record] = Done
    ) -> set[Address]:
        """Ask providers to do something; return who did."""
        return await self._each(
            providers, lambda one: self._ask(one, request, kind, timeout_s=HEAL_TIMEOUT_S)
        )

    async def _hand_over(
        self, provider: Address, dataset: DatasetId, log: tuple[SignedPlacement, ...]
    ) -> None:
        await hand_over(await self._context.directory.reach(provider), dataset, log)

    async def _each(
        self, providers: Iterable[Address], what: Callable[[Address], Awaitable[object]]
    ) -> set[Address]:
        """Do something with each provider; return of whom it could be done."""
        done = set()
        for provider in providers:
            try:
                await what(provider)
            except MfdbError as error:
                log.warning("not done by=0x%s %s", provider.hex(), error)
            else:
                done.add(provider)
        return done


def unpromised(found: Whereabouts, bundle: SealedSegment) -> list[int]:
    """Return the slots of a segment whose present holder has not promised its shard."""
    promised = {(signed.receipt.shard, signed.receipt.agreement) for signed in bundle.receipts}
    return [
        slot
        for slot, who in found.placement.shards.items()
        if slot < bundle.certificate.n and (slot, found.placement.agreement_of(who)) not in promised
    ]
