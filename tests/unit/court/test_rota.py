"""The rota: one auditor per promise and epoch, never the holder, the same in everybody's eyes."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from mfdb.court.rota import audits_of
from mfdb.rules.placement import Placement, SignedAgreement, fold
from replication.segment import SealedSegment, SignedStoreReceipt
from tests.factories import (
    NETWORK,
    OWNER,
    PROVIDERS,
    certificate,
    hash_of,
    manifest,
    placement,
    store_receipt,
    token,
)

if TYPE_CHECKING:
    from mfdb.kernel.ids import Hash

SHARE_ALL = 10_000


@pytest.fixture(scope="module")
def placed() -> Placement:
    return fold([placement()], owner=OWNER.address, subject=manifest().subject, network=NETWORK)


def bundle_of(placed: Placement) -> SealedSegment:
    receipts = tuple(
        SignedStoreReceipt(
            receipt=store_receipt(agreement=made.agreement.id, shard=shard), signature=b""
        )
        for shard, made in enumerate(placed.agreements.values())
    )
    return SealedSegment(certificate(), (), (), (), receipts)


def rota(
    placed: Placement, beacon: Hash, share_bp: int = SHARE_ALL
) -> dict[SignedStoreReceipt, list[bytes]]:
    """Return the auditors of every receipt."""
    found: dict[SignedStoreReceipt, list[bytes]] = {}
    for provider in placed.providers:
        for _, signed in audits_of(
            provider, placed, [bundle_of(placed)], beacon, share_bp=share_bp
        ):
            found.setdefault(signed, []).append(provider)
    return found


def holder_of(placed: Placement, signed: SignedStoreReceipt) -> bytes:
    made: SignedAgreement
    for provider, made in placed.agreements.items():
        if made.agreement.id == signed.receipt.agreement:
            return provider
    raise AssertionError


def test_every_promise_has_one_auditor_who_is_not_its_giver(placed: Placement) -> None:
    for at in range(20):
        found = rota(placed, hash_of(f"beacon {at}"))
        assert len(found) == 6
        for signed, auditors in found.items():
            assert len(auditors) == 1
            assert auditors[0] != holder_of(placed, signed)


def test_the_beacon_changes_the_auditors(placed: Placement) -> None:
    seen = Counter(
        auditor
        for at in range(60)
        for auditors in rota(placed, hash_of(f"beacon {at}")).values()
        for auditor in auditors
    )
    assert set(seen) == set(placed.providers)
    assert max(seen.values()) < 3 * min(seen.values())


def test_about_the_share_asked_for_is_audited(placed: Placement) -> None:
    count = sum(len(rota(placed, hash_of(f"beacon {at}"), 1_000)) for at in range(100))
    assert 30 < count < 90
    assert rota(placed, hash_of("beacon"), 0) == {}


def test_a_promise_of_nobody_placed_here_is_not_audited(placed: Placement) -> None:
    stranger = store_receipt(agreement=token("nobody"))
    bundle = SealedSegment(
        certificate(), (), (), (), (SignedStoreReceipt(receipt=stranger, signature=b""),)
    )
    for provider in PROVIDERS:
        assert not list(
            audits_of(provider.address, placed, [bundle], hash_of("b"), share_bp=SHARE_ALL)
        )


def test_a_stranger_audits_nothing(placed: Placement) -> None:
    spare = PROVIDERS[6].address
    assert not list(audits_of(spare, placed, [bundle_of(placed)], hash_of("b"), share_bp=SHARE_ALL))
