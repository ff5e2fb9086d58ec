"""What a provider tells of a dataset is believed as far as its signatures and chains go."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from mfdb.kernel.errors import BadProof, BadSignature, MfdbError, WrongNetwork
from mfdb.kernel.ids import ZERO_ADDRESS, ZERO_HASH, DatasetId
from mfdb.node.answers import DatasetState
from mfdb.node.whereabouts import verify_state
from mfdb.rules.evidence import Network
from mfdb.rules.signing import digest_of
from tests.factories import (
    DATASET,
    NETWORK,
    PROVIDERS,
    STRANGER,
    manifest,
    placement,
    signed_manifest,
    takeover,
)

FIRST = signed_manifest()
SECOND = signed_manifest(number=1, previous=manifest().hash)


def state(**changes: Any) -> DatasetState:
    values: dict[str, Any] = {"manifests": (FIRST,), "placements": (placement(),), "segments": ()}
    return DatasetState(**(values | changes))


def test_a_whole_state_tells_rules_and_whereabouts() -> None:
    found = verify_state(state(manifests=(FIRST, SECOND)), DATASET, NETWORK)
    assert found.manifest == SECOND.manifest
    assert found.placement.replica_set == tuple(p.address for p in PROVIDERS[:3])


def test_a_take_over_moves_the_shard_and_nothing_else() -> None:
    first = placement()
    found = verify_state(
        state(placements=(first, takeover(digest_of(first.entry)))), DATASET, NETWORK
    )
    assert found.placement.shards[2] == PROVIDERS[6].address
    assert found.placement.replicas[2] == PROVIDERS[2].address


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"manifests": ()}, BadProof),
        ({"manifests": (SECOND,)}, BadProof),
        ({"manifests": (FIRST, FIRST)}, BadProof),
        ({"manifests": (signed_manifest(STRANGER),)}, BadSignature),
        ({"placements": (placement(STRANGER),)}, BadSignature),
        ({"placements": (placement(), placement())}, BadProof),
        ({"placements": (placement(previous=SECOND.manifest.hash),)}, BadProof),
        ({"placements": (placement(agreements=()),)}, BadProof),
    ],
)
def test_what_does_not_hold_is_refused(changes: dict[str, Any], error: type[MfdbError]) -> None:
    with pytest.raises(error):
        verify_state(state(**changes), DATASET, NETWORK)


def test_another_dataset_or_network_is_refused() -> None:
    with pytest.raises(BadProof):
        verify_state(state(), DatasetId(ZERO_HASH), NETWORK)
    with pytest.raises(WrongNetwork):
        verify_state(state(), DATASET, Network(chain_id=1, deposits=ZERO_ADDRESS))


def test_a_changed_signature_is_seen() -> None:
    bad = msgspec.structs.replace(FIRST, signature=SECOND.signature)
    with pytest.raises(BadSignature):
        verify_state(state(manifests=(bad,)), DATASET, NETWORK)
