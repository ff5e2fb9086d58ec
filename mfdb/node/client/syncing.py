"""Bringing what we may read into the local replica: sealed segments, then the hot logs.

    look up rules and whereabouts -> segments not yet here: any k shards, keys from a replica
    -> the log of every replica that answers, from our cursor on

A log entry whose bytes were released is in a segment; if it is not here yet, the segments are
looked up again, so that a gap never goes unnoticed.
"""

from __future__ import annotations

import asyncio
import logging
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from mfdb.dataset.outcome import Incoming
from mfdb.kernel.clock import hlc_seconds
from mfdb.kernel.errors import (
    AccessDenied,
    BadProof,
    MfdbError,
    ProtocolViolation,
    QuorumNotReached,
    StripeLost,
)
from mfdb.node.answers import Keys, LogPage
from mfdb.node.client.mending import Mending
from mfdb.node.client.shards import get_shards
from mfdb.node.requests import Follow, GetChanges, GetKeys, ReadLog
from mfdb.rules.changeset import open_changeset
from mfdb.rules.manifest import certifying_quorum
from replication.segment import read_segment, verify_sealed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterable, Sequence

    from mfdb.dataset.replica import Replica
    from mfdb.kernel.ids import Address, ChangesetId, DatasetId
    from mfdb.node.answers import LogItem
    from mfdb.node.client.context import ClientContext
    from mfdb.node.client.lookup import Lookup
    from mfdb.node.whereabouts import Whereabouts
    from mfdb.rules.key_log import KeyLogEntry
    from mfdb.rules.row_tree import Span
    from replication.segment import SealedSegment

log = logging.getLogger(__name__)
PAGE_BYTES = 2**20
KEYS_AT_ONCE = 1000
ATTEMPTS = 3
RIPEN_S = 10.0
"""How often a follower looks whether what came from the future is from the past by now."""


class _Read(NamedTuple):
    """What reading one replica's log came to; `behind` as in `LogPage`."""

    provider: Address
    applied: int
    is_complete: bool
    behind: int | None


class Syncing:
    """The service that fills a replica and keeps it filled."""

    def __init__(self, context: ClientContext, lookup: Lookup) -> None:
        self._context = context
        self._lookup = lookup
        self.mending = Mending(context)
        """What was seen, and who has not got it."""

    async def sync(self, dataset: DatasetId, replica: Replica) -> int:
        """Pull everything that is not here yet; return how many changesets were applied.

        Raises:
            AccessDenied: the providers do not let us read it.
            QuorumNotReached: no replica answered.
            StripeLost: a sealed segment cannot be had at present.
        """
        applied = 0
        for _ in range(ATTEMPTS):
            found = await self._lookup.look(dataset)
            replica.add_manifests(found.manifests)
            # What came from the future, and waited here, may be from the past by now.
            applied += len(replica.apply(dataset, ()).applied)
            applied_here, lost = await self._segments(found, dataset, replica)
            applied += applied_here
            applied_here, is_complete = await self._logs(found, dataset, replica)
            applied += applied_here
            if lost is not None and not _is_here(found, dataset, replica):
                raise lost
            self.mending.keep(dataset, replica)
            if is_complete:
                return applied
        raise QuorumNotReached(
            "the replicas' logs name changesets that no segment holds yet",
            hint="a sealing is under way; try again",
        )

    async def fetch(self, dataset: DatasetId, replica: Replica, spans: Sequence[Span]) -> int:
        """Pull what made the rows in some spans of places; return how many changesets were applied.

        One replica is enough, since `attest` tells whether it left anything out. Nothing else comes
        with it but what shares a changeset or a sealed segment.

        Raises:
            AccessDenied: the providers do not let us read it.
            QuorumNotReached: no replica answered.
            StripeLost: a sealed segment cannot be had at present.
        """
        found = await self._lookup.look(dataset)
        replica.add_manifests(found.manifests)
        reasons: list[MfdbError] = []
        for provider in found.placement.replica_set:
            try:
                applied, lacking = await self._changes(provider, dataset, replica, tuple(spans))
            except MfdbError as error:
                reasons.append(error)
                continue
            within, lost = await self._segments(found, dataset, replica, lacking)
            if lost is not None:
                raise lost
            return applied + within
        raise QuorumNotReached("no replica shows the rows: " + "; ".join(map(str, reasons)))

    async def _changes(
        self, provider: Address, dataset: DatasetId, replica: Replica, spans: tuple[Span, ...]
    ) -> tuple[int, set[ChangesetId]]:
        """Return how many changesets of some rows were applied, and which ones are sealed."""
        correspondent = await self._context.directory.reach(provider)
        after, applied = -1, 0
        sealed: set[ChangesetId] = set()
        while True:
            request = GetChanges(dataset=dataset, spans=spans, after=after)
            page = await correspondent.read(request, LogPage)
            _check_order(page, after)
            applied += len(self._take(replica, dataset, page.items))
            sealed |= {
                item.changeset
                for item in page.items
                if not item.data and not replica.has(dataset, item.changeset)
            }
            if not page.more or not page.items:
                return applied, sealed
            after = page.items[-1].number

    # ---- sealed segments

    async def _segments(
        self,
        found: Whereabouts,
        dataset: DatasetId,
        replica: Replica,
        wanted: Collection[ChangesetId] | None = None,
    ) -> tuple[int, StripeLost | None]:
        """Read the segments, or those with `wanted` changesets.

        One that lacks shards may still be whole in the replicas' logs.
        """
        applied = 0
        lost = None
        for bundle in found.segments:
            if wanted is not None and not any(id_ in wanted for id_ in bundle.changesets):
                continue
            if all(replica.has(dataset, id_) for id_ in bundle.changesets):
                continue
            await self._verify(found, bundle)
            try:
                shards = await get_shards(self._context, found, dataset, bundle)
            except StripeLost as error:
                lost = error
                continue
            keys = await self._keys(found, dataset, bundle.changesets)
            items = [
                Incoming(changeset=open_changeset(data), entry=entry)
                for id_, data in read_segment(bundle, shards)
                for entry in keys.get(id_) or (None,)
            ]
            applied += len(self._apply(replica, dataset, items))
        return applied, lost

    async def _verify(self, found: Whereabouts, bundle: SealedSegment) -> None:
        certifiers = sorted(found.placement.certifiers)
        records = [await self._context.directory.record(r) for r in certifiers]
        signers = {record.signer for record in records}
        quorum = certifying_quorum(signed.manifest for signed in found.manifests)
        verify_sealed(bundle, self._context.network, signers, quorum)

    async def _keys(
        self, found: Whereabouts, dataset: DatasetId, ids: tuple[ChangesetId, ...]
    ) -> dict[ChangesetId, tuple[KeyLogEntry, ...]]:
        """Return what every replica says opens each changeset; the reader takes what does."""
        told = await asyncio.gather(
            *(self._keys_at(replica, dataset, ids) for replica in found.placement.replica_set)
        )
        keys: dict[ChangesetId, tuple[KeyLogEntry, ...]] = {}
        for entry in dict.fromkeys(entry for entries in told for entry in entries):
            keys[entry.changeset] = (*keys.get(entry.changeset, ()), entry)
        return keys

    async def _keys_at(
        self, replica: Address, dataset: DatasetId, ids: tuple[ChangesetId, ...]
    ) -> list[KeyLogEntry]:
        entries: list[KeyLogEntry] = []
        try:
            correspondent = await self._context.directory.reach(replica)
            while ids:
                asked = ids[:KEYS_AT_ONCE]
                request = GetKeys(dataset=dataset, changesets=asked)
                told = (await correspondent.read(request, Keys)).entries
                entries += told
                # An answer holds as much as fits; what follows its last entry is asked again.
                last = told[-1].changeset if told else asked[-1]
                ids = ids[asked.index(last) + 1 :] if last in asked else ()
        except MfdbError as error:
            log.info("keys not had from=0x%s %s", replica.hex(), error)
        return entries

    # ---- hot logs

    async def _logs(
        self, found: Whereabouts, dataset: DatasetId, replica: Replica
    ) -> tuple[int, bool]:
        """Read every replica's log from our cursor; whether nothing released was missing.

        A replica that has not what was seen already counts for no quorum, and is handed it.
        """
        answers = await asyncio.gather(
            *(self._log(provider, dataset, replica) for provider in found.placement.replica_set),
            return_exceptions=True,
        )
        done = [answer for answer in answers if isinstance(answer, _Read)]
        for answer in answers:
            if not isinstance(answer, MfdbError | _Read):
                raise answer
        denied = [answer for answer in answers if isinstance(answer, AccessDenied)]
        if denied and not done:
            raise denied[0]
        if not done:
            raise QuorumNotReached("no replica answered", hint="wait until one is reachable")
        current = [read for read in done if read.behind is None]
        for read in done:
            if read.behind is not None:
                self.mending.lags(found, read.provider, read.behind, replica)
        if len(current) < found.manifest.profile.read_quorum:
            # What was acknowledged is still here as long as one replica that has it is; but a
            # replica that hides rows is outvoted only by a quorum of others.
            log.warning("read below quorum answered=%d dataset=0x%s", len(current), dataset.hex())
        # One that names what never was must not stop us: a read quorum of whole logs is enough.
        counted = current or done
        whole = sum(read.is_complete for read in counted)
        needed = min(found.manifest.profile.read_quorum, len(counted))
        return sum(read.applied for read in done), whole >= needed

    async def _log(self, provider: Address, dataset: DatasetId, replica: Replica) -> _Read:
        after, applied, is_complete = _cursor(replica, dataset, provider), 0, True
        seen = self.mending.seen(dataset, replica)
        correspondent = await self._context.directory.reach(provider)
        while True:
            request = ReadLog(dataset=dataset, after=after, limit_bytes=PAGE_BYTES, min_hlc=seen)
            page = await correspondent.read(request, LogPage)
            _check_order(page, after)
            applied += len(self._take(replica, dataset, page.items))
            is_complete &= all(
                item.data or replica.has(dataset, item.changeset) for item in page.items
            )
            if page.items:
                after = page.items[-1].number
            if page.items and is_complete:
                _set_cursor(replica, dataset, provider, after)
            if not page.more or not page.items:
                return _Read(provider, applied, is_complete, page.behind)

    async def lag_s(self, dataset: DatasetId, replica: Replica) -> float:
        """Return how old the oldest changeset is that a provider has and the replica has not.

        Raises:
            NetworkError: no replica answers.
        """
        found = await self._lookup.get(dataset)
        stamps: list[float] = []
        reasons: list[MfdbError] = []
        for provider in found.placement.replica_set:
            after = _cursor(replica, dataset, provider)
            try:
                correspondent = await self._context.directory.reach(provider)
                request = ReadLog(dataset=dataset, after=after, limit_bytes=PAGE_BYTES)
                page = await correspondent.read(request, LogPage)
            except MfdbError as error:
                reasons.append(error)
                continue
            stamps += [
                hlc_seconds(open_changeset(item.data).header.stamp)
                for item in page.items
                if item.data and not replica.has(dataset, item.changeset)
            ]
        if len(reasons) == len(found.placement.replica_set):
            raise reasons[0]
        return max(0.0, self._context.clock.now_s() - min(stamps)) if stamps else 0.0

    # ---- following

    async def follow(self, dataset: DatasetId, replica: Replica) -> AsyncIterator[None]:
        """Yield after every batch that reached the replica, from all replicas' logs at once.

        Following every replica, the loss of one is not noticed; what several bring is applied once.
        """
        arrived = asyncio.Event()
        found = await self._lookup.get(dataset)
        tasks = [
            self._context.tasks.spawn(
                f"follow 0x{provider.hex()[:8]}",
                self._follow(provider, dataset, replica, arrived),
            )
            for provider in found.placement.replica_set
        ]
        try:
            await self.sync(dataset, replica)
            yield
            for task in tasks:
                task.add_done_callback(lambda _: arrived.set())
            while True:
                if not await _comes(arrived) and not replica.apply(dataset, ()).applied:
                    continue
                arrived.clear()
                if all(task.done() for task in tasks):
                    await asyncio.gather(*tasks)  # raises why the last feed ended
                yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(
        self, provider: Address, dataset: DatasetId, replica: Replica, arrived: asyncio.Event
    ) -> None:
        while True:
            try:
                correspondent = await self._context.directory.reach(provider)
                after = _cursor(replica, dataset, provider)
                async for page in correspondent.follow(Follow(dataset=dataset, after=after)):
                    await self._on_page(page, provider, dataset, replica)
                    arrived.set()
            except MfdbError as error:
                log.info("feed lost provider=0x%s %s", provider.hex(), error)
                if isinstance(error, AccessDenied):
                    raise
            await asyncio.sleep(self._context.settings.refollow_s)

    async def _on_page(
        self, page: LogPage, provider: Address, dataset: DatasetId, replica: Replica
    ) -> None:
        self._take(replica, dataset, page.items)
        if all(item.data or replica.has(dataset, item.changeset) for item in page.items):
            _set_cursor(replica, dataset, provider, page.items[-1].number)
        else:
            await self.sync(dataset, replica)

    # ---- taking in

    def _take(
        self, replica: Replica, dataset: DatasetId, items: Iterable[LogItem]
    ) -> tuple[ChangesetId, ...]:
        """Apply the log entries that are not here yet."""
        incoming = [
            Incoming(changeset=open_changeset(item.data), entry=item.entry, receipts=item.receipts)
            for item in items
            if item.data and not replica.has(dataset, item.changeset)
        ]
        return self._apply(replica, dataset, incoming)

    def _apply(
        self, replica: Replica, dataset: DatasetId, items: list[Incoming]
    ) -> tuple[ChangesetId, ...]:
        if not items:
            return ()
        done = replica.apply(dataset, items)
        for changeset, error in done.refused:
            if isinstance(error, ProtocolViolation):
                log.warning("a provider sent an invalid changeset=0x%s %s", changeset.hex(), error)
        applied = set(done.applied)
        stamps = [one.changeset.header.hlc for one in items if one.changeset.id in applied]
        if stamps:
            self.mending.saw(dataset, max(stamps))
        return done.applied


async def _comes(arrived: asyncio.Event) -> bool:
    """Return whether something arrives within `RIPEN_S`."""
    try:
        async with asyncio.timeout(RIPEN_S):
            return await arrived.wait()
    except TimeoutError:
        return False


def _is_here(found: Whereabouts, dataset: DatasetId, replica: Replica) -> bool:
    """Return whether everything sealed is in the replica."""
    return all(replica.has(dataset, id_) for b in found.segments for id_ in b.changesets)


def _check_order(page: LogPage, after: int) -> None:
    """A log that runs in circles would be read for ever.

    Raises:
        BadProof: the numbers of a page do not ascend from where it was asked for.
    """
    numbers = [after, *(item.number for item in page.items)]
    if any(one >= next_ for one, next_ in pairwise(numbers)):
        raise BadProof("the numbers of a provider's log do not ascend")


def _cursor(replica: Replica, dataset: DatasetId, provider: Address) -> int:
    """Return up to which number of a provider's log everything is here; -1 before the first."""
    kept = replica.mark(dataset, f"log/{provider.hex()}")
    return int.from_bytes(kept, "big") if kept else -1


def _set_cursor(replica: Replica, dataset: DatasetId, provider: Address, number: int) -> None:
    replica.set_mark(dataset, f"log/{provider.hex()}", number.to_bytes(8, "big"))
