"""Asking a dataset's providers where it stands."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from mfdb.kernel.codec import decode_own, encode
from mfdb.kernel.digest import sha256
from mfdb.kernel.errors import MfdbError, PeerUnreachable, ProtocolViolation, UnknownDataset
from mfdb.kernel.ids import DatasetId, Hash
from mfdb.node.answers import DatasetState
from mfdb.node.whereabouts import Whereabouts, check_on_chain, verify_state, whole_state
from mfdb.rules.manifest import certifying_quorum
from mfdb.rules.placement import Placement
from replication.segment import verify_sealed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfdb.kernel.ids import Address, SegmentId
    from mfdb.node.client.context import ClientContext
    from replication.segment import SealedSegment

log = logging.getLogger(__name__)
_PREFIX = b"P"
_KEY_BYTES = 33


class Lookup:
    """Asks providers where a dataset stands and remembers the newest answer."""

    def __init__(self, context: ClientContext) -> None:
        self._context = context
        self._known: dict[DatasetId, Whereabouts] = {}
        self._verified: set[Hash] = set()
        """Heads of placement logs that the chain bears out, digests of good bundles."""

    def known(self, dataset: DatasetId) -> Whereabouts | None:
        """Return what was found last, by this process or one before it, or None."""
        if dataset not in self._known:
            with self._context.store.snapshot() as view:
                kept = view.get(_PREFIX + dataset)
            if kept is not None:
                state = decode_own(DatasetState, kept)
                self._known[dataset] = verify_state(state, dataset, self._context.network)
        return self._known.get(dataset)

    def kept(self) -> dict[DatasetId, Whereabouts]:
        """Return what was found last of every dataset that is known here."""
        with self._context.store.snapshot() as view:
            keys = [key for key, _ in view.scan(_PREFIX) if len(key) == _KEY_BYTES]
        known = {DatasetId(Hash(key[1:])): self.known(DatasetId(Hash(key[1:]))) for key in keys}
        return {dataset: found for dataset, found in known.items() if found is not None}

    def own(self) -> list[DatasetId]:
        """Return the datasets of this identity that are known here."""
        me = self._context.me
        return [one for one, found in self.kept().items() if found.manifest.owner == me]

    async def remember(self, dataset: DatasetId, found: Whereabouts) -> None:
        """Keep what was found or published, so that a later process knows whom to ask."""
        self._known[dataset] = found
        state = DatasetState(
            manifests=found.manifests, placements=found.placements, segments=found.segments
        )
        data = encode(state)
        await self._context.committer.submit(
            lambda transaction: transaction.put(_PREFIX + dataset, data)
        )

    async def get(self, dataset: DatasetId) -> Whereabouts:
        """Return what is known of a dataset, looking it up if nothing is.

        Raises:
            UnknownDataset: nobody has told us who keeps it.
        """
        return self.known(dataset) or await self.look(dataset)

    async def look(self, dataset: DatasetId, providers: Sequence[Address] = ()) -> Whereabouts:
        """Return the newest that the providers of a dataset tell; older ones are outvoted.

        All are asked at once, so that one that hides the newest manifest or a segment is seen
        through by any honest one.

        Raises:
            PeerUnreachable: none of them answered with something that verifies.
            UnknownDataset: nobody has told us who keeps it.
        """
        known = self.known(dataset)
        asked = tuple(providers) or (known.placement.providers if known else ())
        if not asked:
            raise UnknownDataset("nobody is known to keep that dataset")
        answers = await asyncio.gather(
            *(self._ask(provider, dataset) for provider in asked), return_exceptions=True
        )
        found = [answer for answer in answers if isinstance(answer, Whereabouts)]
        if not found:
            raise _reason(answers)
        best = _merged(found)
        if known is None or _newness(best) >= _newness(known):
            best = best if known is None else _carried_on(best, known)
            if best != known:
                await self.remember(dataset, best)
        return self._known[dataset]

    async def _ask(self, provider: Address, dataset: DatasetId) -> Whereabouts:
        correspondent = await self._context.directory.reach(provider)
        state = await whole_state(correspondent, dataset)
        found = verify_state(state, dataset, self._context.network)
        if found.placement.head not in self._verified:
            chain = self._context.chain
            await check_on_chain(chain, found.placements, found.manifest, Placement())
            self._verified.add(found.placement.head)
        good = [bundle for bundle in found.segments if await self._is_good(found, bundle)]
        return replace(found, segments=tuple(good))

    async def _is_good(self, found: Whereabouts, bundle: SealedSegment) -> bool:
        """Return whether a write quorum certified a bundle; an invented one is only left out."""
        digest = sha256(encode(bundle))
        if digest in self._verified:
            return True
        certifiers = sorted(found.placement.certifiers)
        records = [await self._context.directory.record(r) for r in certifiers]
        signers = {record.signer for record in records}
        quorum = certifying_quorum(signed.manifest for signed in found.manifests)
        try:
            verify_sealed(bundle, self._context.network, signers, quorum)
        except ProtocolViolation as error:
            log.warning("left out a segment that is not certified: %s", error)
            return False
        self._verified.add(digest)
        return True


def _merged(found: Sequence[Whereabouts]) -> Whereabouts:
    """Return the newest rules and placement with every segment that anybody told of."""
    newest = max(found, key=_newness)
    segments: dict[SegmentId, SealedSegment] = {}
    for one in sorted(found, key=_newness):
        for bundle in one.segments:
            known = segments.get(bundle.certificate.segment)
            if known is None or _promised(newest, bundle) >= _promised(newest, known):
                segments[bundle.certificate.segment] = bundle
    ordered = sorted(segments.values(), key=lambda bundle: bundle.certificate.number)
    return replace(newest, segments=tuple(ordered))


def _carried_on(best: Whereabouts, known: Whereabouts) -> Whereabouts:
    """Return what was told last, with what it hides of what was known.

    A segment that other ones took over is hidden rightly: its holders were released from it.
    """
    told = {bundle.certificate.segment: bundle for bundle in best.segments}
    covered = {id_ for bundle in best.segments for id_ in bundle.changesets}
    for bundle in known.segments:
        segment = bundle.certificate.segment
        if segment in told:
            if _promised(best, bundle) > _promised(best, told[segment]):
                told[segment] = bundle
        elif not covered.issuperset(bundle.changesets):
            told[segment] = bundle
    ordered = sorted(told.values(), key=lambda bundle: bundle.certificate.number)
    return replace(best, segments=tuple(ordered))


def _promised(found: Whereabouts, bundle: SealedSegment) -> tuple[int, int]:
    """Return how many shards of a segment their present holders have promised, and any holders."""
    due = {
        (slot, found.placement.agreement_of(who)) for slot, who in found.placement.shards.items()
    }
    given = {(signed.receipt.shard, signed.receipt.agreement) for signed in bundle.receipts}
    return len(due & given), len(given)


def _newness(found: Whereabouts) -> tuple[int, int]:
    return (len(found.manifests), len(found.placements))


def _reason(answers: Sequence[object]) -> MfdbError:
    """Return the refusal that tells most: one that will not change outranks silence."""
    errors = [answer for answer in answers if isinstance(answer, MfdbError)]
    others = [answer for answer in answers if isinstance(answer, BaseException)]
    final = [error for error in errors if not error.retryable]
    if final:
        return final[0]
    if errors:
        return errors[0]
    if others:
        raise others[0]
    return PeerUnreachable("no provider of the dataset answered")
