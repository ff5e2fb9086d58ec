"""Mending damaged records: from what else lies here, or from whoever has the same.

    rules, placement   -> other providers, verified by signatures and chain
    bundle of a segment -> other providers, verified by its replicas' signatures
    agreement          -> the placement that names it
    what is of one changeset, and the log -> `mfdb.node.provider.restoring_log`

Nothing that others say is believed without proof. What nobody has stays noted and is tried again;
it stops what needs that very record, and nothing else.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from mfdb.kernel.errors import MfdbError
from mfdb.kernel.ids import DatasetId, Hash, SegmentId
from mfdb.node.answers import Segments
from mfdb.node.provider import agreements, records, shelf, take_overs
from mfdb.node.provider.records import DamagedRecord
from mfdb.node.provider.restoring_log import RestoringLog
from mfdb.node.provider.sources import answers, correspondents
from mfdb.node.requests import GetSegments, PutSealed
from mfdb.node.whereabouts import check_on_chain, verify_state, whole_rules
from mfdb.rules.evidence import SignedRelease
from mfdb.rules.manifest import SignedManifest
from mfdb.rules.placement import Placement, SignedAgreement, SignedPlacement
from replication.segment import SealedSegment

if TYPE_CHECKING:
    from mfdb.kernel.codec import Record
    from mfdb.node.commit import Transaction
    from mfdb.node.provider.context import Context
    from mfdb.node.provider.intake import Intake
    from mfdb.node.provider.sealing import Sealing
    from mfdb.node.provider.shelf import View
    from mfdb.node.whereabouts import Whereabouts

log = logging.getLogger(__name__)
_KINDS: dict[bytes, type[Record]] = {
    b"M": SignedManifest,
    b"P": SignedPlacement,
    b"S": SealedSegment,
    b"A": SignedAgreement,
    b"a": SignedAgreement,
    b"l": SignedRelease,
    b"t": take_overs.TakeOverJob,
    b"w": take_overs.TakeOverJob,
}
_DATASET_KEY_BYTES = 33


class Restoring:
    """The service that mends what was found damaged."""

    def __init__(self, context: Context, intake: Intake, sealing: Sealing) -> None:
        self._context = context
        self._sealing = sealing
        self._log = RestoringLog(context, intake, sealing)

    async def look(self) -> None:
        """Mend what is due."""
        damage = self._context.damage
        for key in damage.due():
            try:
                await self._restore(key)
                is_whole = self._is_whole(key)
            except MfdbError as error:
                damage.note(error)
                log.warning("not mended key=0x%s %s", key.hex(), error)
                is_whole = False
            if is_whole:
                damage.mended(key)
            else:
                damage.put_off(key)

    async def _restore(self, key: bytes) -> None:
        dataset = DatasetId(Hash(key[1:_DATASET_KEY_BYTES]))
        match key[:1]:
            case b"M" | b"P":
                await self._rules(dataset)
            case b"S":
                await self._bundle(dataset, SegmentId(Hash(key[_DATASET_KEY_BYTES:])))
            case b"a":
                await self._placed(key)
            case b"A":
                await self._give_up(key, "its client proposes it again")
            case b"t" | b"w":
                await self._give_up(key, "a survivor asks for the take-over again")
            case b"l":
                log.error("a release is damaged, its owner alone can give it again")
            case _:
                await self._log.restore(key, dataset)

    def _is_whole(self, key: bytes) -> bool:
        with self._context.store.snapshot() as view:
            if key[:1] not in _KINDS:
                return self._log.is_whole(view, key)
            if len(key) == _DATASET_KEY_BYTES and key.startswith(b"P"):
                return self._stands(view, DatasetId(Hash(key[1:])))
            return not _is_damaged(view, key)

    def _stands(self, view: View, dataset: DatasetId) -> bool:
        try:
            shelf.placement(view, dataset, self._context.network)
        except DamagedRecord:
            return False  # the answer asked for
        return True

    async def _give_up(self, key: bytes, what_then: str) -> None:
        log.error("nobody else has key=0x%s: %s", key.hex(), what_then)
        await self._context.committer.submit(lambda transaction: transaction.delete(key))

    # ---- rules and placement

    async def _rules(self, dataset: DatasetId) -> None:
        """Fill the gaps with what others tell of them, as far as it verifies."""
        network, chain = self._context.network, self._context.chain
        async for correspondent in correspondents(self._context, dataset):
            try:
                told = await whole_rules(correspondent, dataset)
                found = verify_state(told, dataset, network)
                await check_on_chain(chain, found.placements, found.manifest, Placement())
            except MfdbError as error:
                log.info("no rules had from=0x%s %s", correspondent.identity.hex(), error)
                continue
            fill = partial(self._fill, dataset=dataset, found=found)
            if await self._context.committer.submit(fill):
                return

    def _fill(self, transaction: Transaction, dataset: DatasetId, found: Whereabouts) -> bool:
        """Put verified records in the place of damaged ones; return whether none is left."""
        for signed in found.manifests:
            if _is_damaged(transaction, shelf.manifest_key(dataset, signed.manifest.number)):
                shelf.put_manifest(transaction, signed)
        for entry in found.placements:
            if _is_damaged(transaction, shelf.placement_key(dataset, entry.entry.number)):
                shelf.put_placement(transaction, entry)
        keys = [key for table in (b"M", b"P") for key, _ in transaction.scan(table + dataset)]
        if any(_is_damaged(transaction, key) for key in keys):
            return False
        if not self._stands(transaction, dataset):
            self._replace(transaction, dataset, found)
        return True

    def _replace(self, transaction: Transaction, dataset: DatasetId, found: Whereabouts) -> None:
        """Take over a whole log: what is here was another branch, or turned without being seen."""
        for key, _ in list(transaction.scan(b"P" + dataset)):
            transaction.delete(key)
        for entry in found.placements:
            shelf.put_placement(transaction, entry)

    # ---- segments and agreements

    async def _bundle(self, dataset: DatasetId, segment: SegmentId) -> None:
        before = SegmentId(Hash((int.from_bytes(segment, "big") - 1).to_bytes(32, "big")))
        request = GetSegments(dataset=dataset, after=before)
        async for told in answers(self._context, dataset, request, Segments):
            for bundle in told.bundles[:1]:
                if bundle.certificate.segment == segment:
                    await self._sealing.on_put_sealed(PutSealed(dataset=dataset, bundle=bundle))
                    return

    async def _placed(self, key: bytes) -> None:
        """Keep the agreement again that a placement names; without one there is none."""
        for dataset in self._context.kept():
            with self._context.store.snapshot() as view:
                manifest = shelf.manifest(view, dataset)
            made = self._context.placement(dataset).agreements.get(self._context.me)
            if made is not None and key[1:] == manifest.subject + manifest.owner:
                keep = partial(agreements.put_placed_agreement, signed=made)
                await self._context.committer.submit(keep)
                return
        await self._give_up(key, "no placement here names it")


def _is_damaged(view: View, key: bytes) -> bool:
    data = view.get(key)
    if data is None:
        return False
    try:
        records.opened(_KINDS[key[:1]], key, data)
    except DamagedRecord:
        return True  # the answer asked for
    return False
