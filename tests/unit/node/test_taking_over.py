"""Spares that take over: several at once, several losses, an owner who moves meanwhile."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import pytest

from mfdb.chain.port import (
    AgreementRegistered,
    CaseClosed,
)
from mfdb.kernel.errors import (
    AccessDenied,
    BadProof,
    StripeLost,
)
from mfdb.node.provider import agreements, sealed_shelf, shelf, take_overs
from mfdb.node.provider.duties import PROPOSAL_S
from mfdb.node.requests import GetShard, PutPlacement, SealNow, TakeOver
from mfdb.rules.placement import Assignment, Role, SignedPlacement
from mfdb.rules.signing import digest_of, sign
from tests.fixtures.node_town import Town, in_town, sealed_town
from tests.fixtures.repairs import (
    LOST,
    asked,
    charge,
    convict,
    events,
    everybody,
    holder,
    lose,
    repaired,
    shard_receipt,
    state_at,
)

if TYPE_CHECKING:
    from mfdb.kernel.ids import DatasetId, SegmentId


async def convicted_twice(town: Town) -> tuple[DatasetId, list[TakeOver]]:
    """Return what to ask for where one provider lost two shards, the case that stands first."""
    bob, dataset, segment = await sealed_town(town, 9)
    draft = bob.write(dataset, "one more")
    for stand in town.stands[:3]:
        await stand.take(draft)
    await town.stands[0].sealing.on_seal_now(SealNow(dataset=dataset), bob.address)
    guilty = holder(town, dataset, LOST)
    with town.stands[0].store.snapshot() as view:
        bundles = sealed_shelf.segments(view, dataset)
    cases = {}
    for bundle in bundles:
        lose(guilty, bundle.certificate.segment)
        (receipt,) = (s for s in bundle.receipts if s.receipt.shard == LOST)
        cases[await charge(town, receipt, town.stands[0])] = bundle.certificate.segment
    await asyncio.sleep(1_001)
    await everybody(town, "court")
    assert segment in cases.values()
    assert len(events(town, CaseClosed)) == len(cases) == 2
    state = state_at(town.stands[0], dataset)
    agreement = receipt.receipt.agreement
    return dataset, [
        TakeOver(case=case, agreement=agreement, segment=cases[case], state=state)
        for case in sorted(cases)
    ]


async def lost_too(town: Town, dataset: DatasetId, segment: SegmentId, shard: int) -> TakeOver:
    """Return what to ask for once the holder of another shard is convicted."""
    state = state_at(town.stands[0], dataset)
    (bundle,) = (one for one in state.segments if one.certificate.segment == segment)
    (receipt,) = (s for s in bundle.receipts if s.receipt.shard == shard)
    lose(holder(town, dataset, shard), segment, shard)
    case = await charge(town, receipt, town.stands[0])
    await asyncio.sleep(1_001)
    await everybody(town, "court")
    return TakeOver(case=case, agreement=receipt.receipt.agreement, segment=segment, state=state)


@in_town
async def test_whose_take_over_has_nothing_left_to_take_is_free_for_the_next_loss(
    town: Town,
) -> None:
    dataset, (stands, outranked) = await convicted_twice(town)
    survivor = town.stands[0].me
    first, second = town.stands[6], town.stands[7]
    answering = {stand: stand.node._server._answering for stand in town.stands[:6]}
    for stand, known in answering.items():  # neither can finish before the other begins
        stand.node._server._answering = {k: v for k, v in known.items() if k is not GetShard}
    for spare, request in ((first, outranked), (second, stands)):
        with pytest.raises(StripeLost):
            await spare.taking_over.on_take_over(request, survivor)
    for stand, known in answering.items():
        stand.node._server._answering = known
    await repaired(town)
    placement = town.stands[0].context.placement(dataset)
    assert placement.shards[LOST] == second.me
    with first.store.snapshot() as view:
        assert take_overs.all_begun(view) == take_overs.all_finished(view) == ()
        assert shelf.datasets(view) == ()
        assert list(agreements.proposed_agreements(view, first.context.damage.note)) == []
        assert list(agreements.placed_agreements(view, first.context.damage.note)) == []
    with town.stands[0].store.snapshot() as view:
        assert take_overs.outranked(view) == ()
    registered = len(events(town, AgreementRegistered))
    town.stands[8].vanish()
    await first.taking_over.on_take_over(await lost_too(town, dataset, stands.segment, 4), survivor)
    assert len(events(town, AgreementRegistered)) == registered + 1
    assert town.stands[0].context.placement(dataset).shards == {
        **placement.shards,
        4: first.me,
    }


@in_town
async def test_what_was_promised_in_an_outranked_take_over_is_kept(town: Town) -> None:
    dataset, (stands, outranked) = await convicted_twice(town)
    first, second = town.stands[6], town.stands[7]
    await first.taking_over.on_take_over(outranked, town.stands[0].me)
    await second.taking_over.on_take_over(stands, town.stands[0].me)
    await repaired(town)
    for stand in town.stands[:5]:
        assert stand.context.placement(dataset).shards[LOST] == second.me
    with first.store.snapshot() as view:
        assert take_overs.all_begun(view) == take_overs.all_finished(view) == ()
        segments = [bundle.certificate.segment for bundle in sealed_shelf.segments(view, dataset)]
        assert [sealed_shelf.my_shards(view, segment) for segment in segments] == [(LOST,), (LOST,)]


@in_town
async def test_nothing_is_begun_for_shards_that_another_holds_by_now(town: Town) -> None:
    dataset, (stands, outranked) = await convicted_twice(town)
    first, second = town.stands[6], town.stands[7]
    await second.taking_over.on_take_over(stands, town.stands[0].me)
    newer = msgspec.structs.replace(outranked, state=state_at(town.stands[0], dataset))
    with pytest.raises(AccessDenied, match="nothing is left"):
        await first.taking_over.on_take_over(newer, town.stands[0].me)
    assert len(events(town, AgreementRegistered)) == 7


@in_town
async def test_a_spare_that_takes_over_signs_nothing_for_the_owner_and_the_other_way_round(
    town: Town,
) -> None:
    bob, dataset, segment = await sealed_town(town, 9)
    manifest = bob.replica.known(dataset).manifest
    case = await convict(town, dataset, segment)
    request = asked(town, dataset, segment, case)
    await town.agreement(manifest, bob, town.stands[7])
    with pytest.raises(AccessDenied, match="owner"):
        await town.stands[7].taking_over.on_take_over(request, town.stands[0].me)
    await town.stands[6].taking_over.on_take_over(request, town.stands[0].me)
    with pytest.raises(AccessDenied, match="taking over"):
        await town.agreement(manifest, bob, town.stands[6])
    await asyncio.sleep(PROPOSAL_S + 1)
    case = await convict(town, dataset, segment, 4)
    request = asked(town, dataset, segment, case, 4)
    await town.stands[7].taking_over.on_take_over(request, town.stands[0].me)
    shards = town.stands[0].context.placement(dataset).shards
    assert (shards[4], shards[LOST]) == (town.stands[7].me, town.stands[6].me)


@in_town
async def test_a_spare_that_was_given_a_shard_meanwhile_takes_no_second_one(town: Town) -> None:
    """The owner's entry outranks its take-over; its first promise to the owner was an old one."""
    bob, dataset, segment = await sealed_town(town, 9)
    spare = town.stands[6]
    manifest = bob.replica.known(dataset).manifest
    promised = await town.agreement(manifest, bob, spare)
    await asyncio.sleep(PROPOSAL_S + 1)
    case = await convict(town, dataset, segment)
    request = asked(town, dataset, segment, case)
    await spare.taking_over.on_take_over(request, town.stands[0].me)
    (first,) = request.state.placements
    with spare.store.snapshot() as view:
        taken = shelf.placements(view, dataset)[1].entry
    moved = msgspec.structs.replace(
        taken,
        assignments=(Assignment(Role.SHARD, 3, spare.me),),
        agreements=(promised,),
        case=b"",
    )
    by_bob = SignedPlacement(entry=moved, signature=sign(moved, bob.keys.account))
    for stand in town.stands[:7]:
        put = PutPlacement(dataset=dataset, entries=(first, by_bob))
        await stand.duties.on_put_placement(put)
    await repaired(town)
    shards = town.stands[0].context.placement(dataset).shards
    assert [slot for slot, who in shards.items() if who == spare.me] == [3]
    again = msgspec.structs.replace(taken, number=2, previous=digest_of(moved))
    second = SignedPlacement(entry=again, signature=sign(again, spare.keys.account))
    with pytest.raises(BadProof, match="holds a part"):
        await town.stands[0].duties.on_put_placement(
            PutPlacement(dataset=dataset, entries=(first, by_bob, second))
        )


@in_town
async def test_two_take_overs_at_once_follow_each_other(town: Town) -> None:
    _, dataset, segment = await sealed_town(town, 8)
    slots = {4: town.stands[6], LOST: town.stands[7]}
    cases = {slot: await convict(town, dataset, segment, slot) for slot in slots}
    requests = {slot: asked(town, dataset, segment, cases[slot], slot) for slot in slots}
    done = await asyncio.gather(
        *(
            spare.taking_over.on_take_over(requests[slot], town.stands[0].me)
            for slot, spare in slots.items()
        ),
        return_exceptions=True,
    )
    # Whose entry is outranked is refused the shards; once it has written another it goes on.
    failed = [one for one in done if isinstance(one, BaseException)]
    assert all(isinstance(error, StripeLost) for error in failed)
    await repaired(town)
    await everybody(town, "healing")
    for stand in (*town.stands[:4], *slots.values()):
        placement = stand.context.placement(dataset)
        assert placement.number == 2
        for slot, spare in slots.items():
            assert placement.shards[slot] == spare.me
            agreement = shard_receipt(stand, dataset, slot).receipt.agreement
            assert agreement == placement.agreement_of(spare.me)


@in_town
async def test_who_was_outranked_is_told_though_the_teller_was_started_again(town: Town) -> None:
    _, dataset, segment = await sealed_town(town, 8)
    cases = {slot: await convict(town, dataset, segment, slot) for slot in (4, LOST)}
    requests = {slot: asked(town, dataset, segment, cases[slot], slot) for slot in cases}
    outranking, outranked = sorted(cases, key=lambda slot: cases[slot])
    first, second = town.stands[6], town.stands[7]
    await first.taking_over.on_take_over(requests[outranked], town.stands[0].me)
    await second.taking_over.on_take_over(requests[outranking], town.stands[0].me)
    assert first.context.placement(dataset).shards[outranked] == first.me
    teller = await town.stands[0].crash()
    await teller.taking_over.look()
    told = first.context.placement(dataset).shards
    assert told == teller.context.placement(dataset).shards
    assert told[outranking] == second.me
    with teller.store.snapshot() as view:
        assert take_overs.outranked(view) == ()


@in_town
async def test_a_spare_takes_over_once_and_leaves_the_second_loss_to_another(town: Town) -> None:
    _, dataset, segment = await sealed_town(town, 8)
    cases = {slot: await convict(town, dataset, segment, slot) for slot in (4, LOST)}
    first, second = (asked(town, dataset, segment, case, slot) for slot, case in cases.items())
    spare, survivor = town.stands[6].taking_over, town.stands[0].me
    done = await asyncio.gather(
        *(spare.on_take_over(request, survivor) for request in (first, second)),
        return_exceptions=True,
    )
    assert sum(isinstance(one, AccessDenied) for one in done) == 1
    with pytest.raises(AccessDenied, match="already"):
        await spare.on_take_over(second, survivor)
    await spare.on_take_over(first, survivor)
    assert len(events(town, AgreementRegistered)) == 7
    await repaired(town)
    shards = town.stands[0].context.placement(dataset).shards
    assert len(set(shards.values())) == len(shards) == 6
