"""The rules and whereabouts of a dataset, as its providers tell and its signatures prove."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from mfdb.chain.port import CaseStatus
from mfdb.kernel.codec import Record, encode
from mfdb.kernel.errors import BadProof
from mfdb.kernel.ids import CaseId, Hash
from mfdb.node.answers import SEGMENTS_BYTES, DatasetState, History, Segments
from mfdb.node.requests import GetDataset, GetHistory, GetSegments
from mfdb.rules.manifest import check_manifest, check_successor
from mfdb.rules.placement import Placement, Role, extend, fold

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mfdb.chain.port import Chain
    from mfdb.kernel.ids import DatasetId
    from mfdb.node.directory import Correspondent
    from mfdb.rules.evidence import Network
    from mfdb.rules.manifest import Manifest, SignedManifest
    from mfdb.rules.placement import SignedPlacement
    from replication.segment import SealedSegment

R = TypeVar("R", bound=Record)

STATE_BYTES = 2**28
"""What a provider may tell of manifests and placements, or of segments, before it is verified."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Whereabouts:
    """What is known of a dataset: verified chains, and segments as far as we may read."""

    manifests: tuple[SignedManifest, ...]
    placements: tuple[SignedPlacement, ...]
    placement: Placement
    segments: tuple[SealedSegment, ...]

    @property
    def manifest(self) -> Manifest:
        """The manifest in force."""
        return self.manifests[-1].manifest


async def whole_state(correspondent: Correspondent, dataset: DatasetId) -> DatasetState:
    """Return all that a provider tells of a dataset, page by page; nothing of it is verified.

    Raises:
        NetworkError: it does not answer.
        BadProof: its pages run in circles, or come to more than `STATE_BYTES`.
        MfdbError: it refuses.
    """
    state = await correspondent.read(GetDataset(dataset=dataset), DatasetState)
    history = await whole_history(correspondent, dataset, state)
    segments, page, size = list(state.segments), state.segments, 0
    while is_full(page):
        size = _grown(size, page)
        last = page[-1].certificate.segment
        request = GetSegments(dataset=dataset, after=last)
        page = (await correspondent.read(request, Segments)).bundles
        if page and page[0].certificate.segment <= last:
            raise BadProof("the pages of a provider's segments do not ascend")
        segments += page
    return DatasetState(
        manifests=history.manifests, placements=history.placements, segments=tuple(segments)
    )


async def whole_rules(correspondent: Correspondent, dataset: DatasetId) -> DatasetState:
    """Return the manifests and placement that a provider tells of a dataset, as `whole_state`."""
    state = await correspondent.read(GetDataset(dataset=dataset), DatasetState)
    history = await whole_history(correspondent, dataset, state)
    return DatasetState(manifests=history.manifests, placements=history.placements, segments=())


async def whole_history(
    correspondent: Correspondent, dataset: DatasetId, state: DatasetState
) -> History:
    """Return all manifests and placement entries, of which a provider told the first pages.

    Raises:
        NetworkError: it does not answer.
        BadProof: its pages run in circles, or come to more than `STATE_BYTES`.
        MfdbError: it refuses.
    """
    manifests, placements = list(state.manifests), list(state.placements)
    page: DatasetState | History = state
    size = 0
    while is_full(page.manifests) or is_full(page.placements):
        size = _grown(size, (*page.manifests, *page.placements))
        request = GetHistory(dataset=dataset, manifests=len(manifests), placements=len(placements))
        page = await correspondent.read(request, History)
        numbers = [signed.manifest.number for signed in page.manifests]
        entries = [signed.entry.number for signed in page.placements]
        if numbers != _from(len(manifests), numbers) or entries != _from(len(placements), entries):
            raise BadProof("the pages of a provider's manifests or placements do not ascend")
        manifests += page.manifests
        placements += page.placements
    return History(manifests=tuple(manifests), placements=tuple(placements))


def _from(first: int, like: Sequence[int]) -> list[int]:
    return list(range(first, first + len(like)))


def first_page(records: Iterable[R]) -> tuple[R, ...]:
    """Return records up to the one that brings their bytes to `SEGMENTS_BYTES`."""
    page: list[R] = []
    size = 0
    for record in records:
        page.append(record)
        size += len(encode(record))
        if size >= SEGMENTS_BYTES:
            break
    return tuple(page)


def is_full(page: Sequence[Record]) -> bool:
    """Return whether records fill a page, so that others may follow."""
    return _size(page) >= SEGMENTS_BYTES


def _size(page: Sequence[Record]) -> int:
    return sum(len(encode(record)) for record in page)


def _grown(size: int, page: Sequence[Record]) -> int:
    size += _size(page)
    if size > STATE_BYTES:
        raise BadProof("a provider tells more of a dataset than could be verified")
    return size


def verify_state(state: DatasetState, dataset: DatasetId, network: Network) -> Whereabouts:
    """Return what a provider told, once every signature and chain in it is verified.

    Raises:
        BadProof, BadSignature, WrongNetwork, SchemaViolation: it does not hold.
    """
    if not state.manifests:
        raise BadProof("a provider told of a dataset without a manifest")
    previous = None
    for signed in state.manifests:
        check_manifest(signed, network.id)
        if signed.manifest.dataset != dataset:
            raise BadProof("a provider told of another dataset than was asked for")
        if previous is not None:
            check_successor(previous, signed.manifest)
        elif signed.manifest.number != 0:
            raise BadProof("the first manifests are missing")
        previous = signed.manifest
    manifest = state.manifests[-1].manifest
    placement = fold(
        state.placements, owner=manifest.owner, subject=manifest.subject, network=network
    )
    return Whereabouts(
        manifests=state.manifests,
        placements=state.placements,
        placement=placement,
        segments=state.segments,
    )


async def check_on_chain(
    chain: Chain, entries: Iterable[SignedPlacement], manifest: Manifest, placement: Placement
) -> None:
    """Return quietly if the chain bears out the entries that follow a placement.

    Every agreement is registered, so that a deposit is earmarked for it; and whoever takes shards
    over without the owner does so after a conviction, and takes no more than the convicted held.

    Raises:
        WrongNetwork, BadProof, BadSignature: an entry may not stand.
        ChainUnavailable: the chain does not answer.
    """
    for signed in entries:
        if signed.entry.number <= placement.number:
            continue
        for made in signed.entry.agreements:
            if await chain.agreement(made.agreement.id) is None:
                raise BadProof(
                    "an agreement of the placement entry is not registered on chain",
                    hint="register it first, the deposit must be earmarked",
                )
        if signed.entry.case:
            await _check_conviction(chain, signed, placement)
        placement = extend(
            placement,
            signed,
            owner=manifest.owner,
            subject=manifest.subject,
            network=chain.network,
        )


async def _check_conviction(chain: Chain, signed: SignedPlacement, placement: Placement) -> None:
    entry = signed.entry
    case = await chain.case(CaseId(Hash(entry.case)))
    if case is None or case.status is not CaseStatus.GUILTY:
        raise BadProof("a placement entry names a case in which nobody was convicted")
    known = {made.agreement.id: provider for provider, made in placement.agreements.items()}
    convicted = known.get(case.agreement)
    held = {slot for slot, holder in placement.shards.items() if holder == convicted}
    taken = {a.slot for a in entry.assignments if a.role is Role.SHARD}
    if not taken or not taken <= held or len(taken) != len(entry.assignments):
        raise BadProof("a take-over is of shards that the convicted provider held")
    if any(a.provider in placement.providers for a in entry.assignments):
        raise BadProof("whoever takes over holds a part of the dataset already")
    if len(entry.agreements) != 1 or entry.agreements[0].agreement.id in known:
        raise BadProof("a take-over comes with one agreement, made for it")
