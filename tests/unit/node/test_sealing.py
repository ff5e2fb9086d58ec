"""Sealing: one certificate per number, shards before release, receipts that were really signed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from mfdb.kernel.errors import AccessDenied, BadProof, BadSignature, QuorumNotReached
from mfdb.kernel.ids import ChangesetId, Hash
from mfdb.node.answers import HotList
from mfdb.node.provider import sealed_shelf, shelf
from mfdb.node.requests import ListHot, ProposeSeal, PutSealed, PutShard, SealNow
from replication.seal import HotEntry
from tests.fixtures.node_town import Person, Stand, Town, in_town, mailbox_town, sealed_town

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mfdb.kernel.ids import DatasetId
    from replication.segment import SealedSegment


def bundles(stand: Stand, dataset: DatasetId) -> tuple[SealedSegment, ...]:
    with stand.store.snapshot() as view:
        return sealed_shelf.segments(view, dataset)


def hot(stand: Stand, dataset: DatasetId) -> set[ChangesetId]:
    with stand.store.snapshot() as view:
        return set(shelf.unsealed(view, dataset))


async def write(town: Town, bob: Person, dataset: DatasetId, *at: int) -> ChangesetId:
    """Write a row to some of the replicas."""
    draft = bob.write(dataset, "x" * 2_000)
    for number in at or (0, 1, 2):
        await town.stands[number].take(draft)
    id_: ChangesetId = draft.changeset.id
    return id_


async def seal(town: Town, bob: Person, dataset: DatasetId, at: int = 0) -> int:
    answer = await town.stands[at].sealing.on_seal_now(SealNow(dataset=dataset), bob.address)
    return answer.report.changesets


@in_town
async def test_a_segment_holds_what_any_replica_has_and_all_let_go(town: Town) -> None:
    bob, dataset = await mailbox_town(town)
    ids = {
        await write(town, bob, dataset),
        await write(town, bob, dataset, 0, 1),
        await write(town, bob, dataset, 2, 1),
    }
    assert await seal(town, bob, dataset) == 3
    for stand in town.stands:
        (bundle,) = bundles(stand, dataset)
        assert set(bundle.changesets) == ids
        assert len(bundle.receipts) == 6
        assert hot(stand, dataset) == set()


@in_town
async def test_what_comes_later_goes_into_the_next_segment(town: Town) -> None:
    bob, dataset, _ = await sealed_town(town)
    late = await write(town, bob, dataset)
    assert hot(town.stands[0], dataset) == {late}
    assert await seal(town, bob, dataset) == 1
    first, second = bundles(town.stands[1], dataset)
    assert (first.certificate.number, second.certificate.number) == (0, 1)
    assert second.changesets == (late,)
    assert await seal(town, bob, dataset) == 0


@in_town
async def test_nothing_is_let_go_before_all_shards_are_promised(town: Town) -> None:
    bob, dataset = await mailbox_town(town)
    wrote = await write(town, bob, dataset)
    away = town.stands[5]
    away.vanish()
    await seal(town, bob, dataset)
    for stand in town.stands[:3]:
        assert hot(stand, dataset) == {wrote}
    await away.crash()
    for _ in range(2):
        for stand in town.stands:
            await stand.healing.look()
    for stand in town.stands[:3]:
        assert hot(stand, dataset) == set()
        assert len(bundles(stand, dataset)[0].receipts) == 6


@in_town
async def test_too_few_replicas_seal_nothing_and_a_later_try_succeeds(town: Town) -> None:
    bob, dataset = await mailbox_town(town)
    first = await write(town, bob, dataset)
    for stand in town.stands[1:3]:
        stand.vanish()
    with pytest.raises(QuorumNotReached):
        await seal(town, bob, dataset)
    assert bundles(town.stands[0], dataset) == ()
    assert hot(town.stands[0], dataset) == {first}
    for stand in list(town.stands[1:3]):
        await stand.crash()
    later = await write(town, bob, dataset)
    for _ in range(2):
        await seal(town, bob, dataset)
    sealed = [id_ for bundle in bundles(town.stands[0], dataset) for id_ in bundle.changesets]
    assert sorted(sealed) == sorted([first, later])


@in_town
async def test_a_replica_signs_one_certificate_per_number_over_restarts_too(town: Town) -> None:
    _, dataset, _ = await sealed_town(town)
    stand = await town.stands[1].crash()
    (bundle,) = bundles(stand, dataset)
    with stand.store.snapshot() as view:
        assert sealed_shelf.signed_segment(view, dataset, 0) == bundle.certificate.segment


# ---- lies


@in_town
async def test_a_shard_goes_to_its_holder_only_and_only_the_certified_one(town: Town) -> None:
    _, dataset, segment = await sealed_town(town)
    (bundle,) = bundles(town.stands[0], dataset)
    good = town.stands[1].shards.read(segment, 1)
    put = PutShard(dataset=dataset, bundle=bundle, shard=1, data=good)
    with pytest.raises(AccessDenied):
        await town.stands[2].sealing.on_put_shard(put)
    wrong = msgspec.structs.replace(put, data=good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(BadProof):
        await town.stands[1].sealing.on_put_shard(wrong)
    assert town.stands[1].shards.read(segment, 1) == good


@in_town
async def test_a_bundle_without_a_quorum_of_replicas_is_refused(town: Town) -> None:
    bob, dataset, _ = await sealed_town(town)
    (bundle,) = bundles(town.stands[0], dataset)
    mallory = town.person("mallory").keys.account
    digest = town.world.network.digest(bundle.certificate)
    forged = (mallory.sign(digest), bob.keys.account.sign(digest))
    for signatures in (bundle.signatures[:1], forged, bundle.signatures[:1] * 2):
        bad = msgspec.structs.replace(bundle, signatures=signatures)
        with pytest.raises(BadSignature):
            await town.stands[0].sealing.on_put_sealed(PutSealed(dataset=dataset, bundle=bad))


@in_town
async def test_a_receipt_that_nobody_signed_is_not_kept(town: Town) -> None:
    bob, dataset = await mailbox_town(town)
    await write(town, bob, dataset)
    away = town.stands[5]
    away.vanish()
    await seal(town, bob, dataset)
    stand = town.stands[0]
    (bundle,) = bundles(stand, dataset)
    assert {s.receipt.shard for s in bundle.receipts} == set(range(5))
    like = bundle.receipts[0]
    agreement = stand.context.placement(dataset).agreement_of(away.me)
    assert agreement is not None
    receipt = msgspec.structs.replace(
        like.receipt, shard=5, agreement=agreement, root=bundle.shard_roots[5]
    )
    forged = msgspec.structs.replace(like, receipt=receipt)
    lie = msgspec.structs.replace(bundle, receipts=(*bundle.receipts, forged))
    await stand.sealing.on_put_sealed(PutSealed(dataset=dataset, bundle=lie))
    (kept,) = bundles(stand, dataset)
    assert forged not in kept.receipts
    assert hot(stand, dataset) != set()


@in_town
async def test_a_mark_for_a_number_that_is_not_due_is_not_kept(town: Town) -> None:
    bob, dataset = await mailbox_town(town)
    await write(town, bob, dataset)
    stand, other = town.stands[0], town.stands[1].me
    for number in range(1, 50):
        await stand.sealing.on_list_hot(ListHot(dataset=dataset, number=number), other)
    with stand.store.snapshot() as view:
        assert [key for key, _ in view.scan(b"k" + dataset)] == []


@in_town
async def test_a_replica_that_signs_nothing_or_lists_what_nobody_has_stops_no_sealing(
    town: Town,
) -> None:
    bob, dataset = await mailbox_town(town)
    draft = bob.write(dataset, "message")
    for stand in town.stands[:3]:
        await stand.take(draft)
    liar = town.stands[1].sealing
    honest_hot = liar.hot

    async def hot(request: ListHot) -> HotList:
        listed = await honest_hot(request)
        phantom = HotEntry(changeset=ChangesetId(Hash(b"\x07" * 32)), hlc=1, length_bytes=1)
        return HotList(entries=(*listed.entries, phantom), signed=listed.signed)

    async def certify(request: ProposeSeal, held: Mapping[ChangesetId, bytes]) -> bytes:
        return bytes(65)

    liar.hot, liar.certify = hot, certify  # type: ignore[method-assign]  # it lies
    report = await town.stands[0].sealing.on_seal_now(SealNow(dataset=dataset), bob.address)
    assert (report.report.changesets, report.report.receipts) == (1, 6)
    with town.stands[2].store.snapshot() as view:
        (bundle,) = sealed_shelf.segments(view, dataset)
    assert bundle.changesets == (draft.changeset.id,)
    assert len(bundle.signatures) == 2
