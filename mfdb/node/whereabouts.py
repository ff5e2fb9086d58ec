"""The rules and whereabouts of a dataset, as its providers tell and its signatures prove."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mfdb.kernel.errors import BadProof
from mfdb.rules.manifest import check_manifest, check_successor
from mfdb.rules.placement import Placement, fold

if TYPE_CHECKING:
    from mfdb.kernel.ids import DatasetId
    from mfdb.node.messages import DatasetState
    from mfdb.rules.evidence import Network
    from mfdb.rules.manifest import Manifest, SignedManifest
    from mfdb.rules.placement import SignedPlacement
    from replication.segment import SealedSegment


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
