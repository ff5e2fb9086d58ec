"""From a lost shard to a paid victim: audits, cases, answers, verdicts, take-overs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import pytest

from mfdb.chain.port import (
    AgreementRegistered,
    CaseClosed,
    CaseOpened,
    CaseStatus,
    CompensationPaid,
    OpenCase,
    RecordBeacon,
)
from mfdb.kernel.errors import (
    AccessDenied,
    BadProof,
    DebtLimitExceeded,
    MfdbError,
    StripeLost,
    UnknownIdentity,
)
from mfdb.node.answers import DatasetState, Proofs
from mfdb.node.provider import shelf
from mfdb.node.requests import Audit, SealNow, TakeOver
from tests.fixtures.node_town import TERMS, Person, Stand, Town, in_town, sealed_town

if TYPE_CHECKING:
    from mfdb.kernel.ids import CaseId, DatasetId, Hash, SegmentId
    from replication.segment import SealedSegment, SignedStoreReceipt

LOST = 5


def bundle_at(stand: Stand, dataset: DatasetId) -> SealedSegment:
    with stand.store.snapshot() as view:
        (bundle,) = shelf.segments(view, dataset)
    return bundle


def shard_receipt(stand: Stand, dataset: DatasetId, shard: int) -> SignedStoreReceipt:
    return next(s for s in bundle_at(stand, dataset).receipts if s.receipt.shard == shard)


def receipt_of(town: Town, dataset: DatasetId, shard: int) -> SignedStoreReceipt:
    return shard_receipt(town.stands[0], dataset, shard)


def holder(town: Town, dataset: DatasetId, shard: int) -> Stand:
    return town.stand(town.stands[0].context.placement(dataset).shards[shard])


def lose(stand: Stand, segment: SegmentId, shard: int = LOST) -> None:
    stand.store.write([(shelf.shard_key(segment, shard), None)])


def events(town: Town, kind: type) -> list[object]:
    return [seen.event for seen in town.world.seen(0) if isinstance(seen.event, kind)]


async def everybody(town: Town, *looks: str) -> None:
    for stand in town.stands:
        for name in looks:
            await stand.node.looks[name]()


async def epoch_with_beacon(town: Town) -> tuple[int, Hash]:
    await asyncio.sleep(TERMS.epoch_s)
    chain = town.world.chain()
    epoch = (await chain.head()).time_s // TERMS.epoch_s
    if await chain.beacon(epoch) is None:
        await asyncio.sleep(10)
        await chain.send(RecordBeacon(epoch=epoch), town.stands[0].keys.account)
    beacon = await chain.beacon(epoch)
    assert beacon is not None
    return epoch, beacon


async def accuse(town: Town, dataset: DatasetId, accuser: Stand, shard: int = LOST) -> CaseId:
    return await charge(town, receipt_of(town, dataset, shard), accuser)


async def charge(town: Town, signed: SignedStoreReceipt, accuser: Stand) -> CaseId:
    epoch, _ = await epoch_with_beacon(town)
    call = OpenCase(receipt=signed.receipt, signature=signed.signature, epoch=epoch, draw=0)
    mined = await town.world.chain().send(call, accuser.keys.account)
    assert mined.case is not None
    return mined.case


async def convict(town: Town, dataset: DatasetId, segment: SegmentId, shard: int = LOST) -> CaseId:
    """Return the case in which the holder of the lost shard was convicted."""
    lose(holder(town, dataset, shard), segment, shard)
    return await sentence(town, await accuse(town, dataset, town.stands[0], shard))


async def sentence(town: Town, case: CaseId) -> CaseId:
    """Let the window pass in which the accused could have answered."""
    await everybody(town, "court")
    await asyncio.sleep(1_001)
    await everybody(town, "court")
    assert (await town.world.chain().case(case)).status is CaseStatus.GUILTY  # type: ignore[union-attr]  # it was opened
    return case


def asked(
    town: Town, dataset: DatasetId, segment: SegmentId, case: CaseId, shard: int = LOST
) -> TakeOver:
    with town.stands[0].store.snapshot() as view:
        state = DatasetState(
            manifests=shelf.manifests(view, dataset),
            placements=shelf.placements(view, dataset),
            segments=shelf.segments(view, dataset),
        )
    agreement = receipt_of(town, dataset, shard).receipt.agreement
    return TakeOver(case=case, agreement=agreement, segment=segment, state=state)


# ---- audits


@in_town
async def test_a_shard_that_is_there_is_proven_and_accuses_nobody(town: Town) -> None:
    await sealed_town(town)
    await epoch_with_beacon(town)
    await everybody(town, "auditing")
    assert events(town, CaseOpened) == []


@in_town
async def test_a_lost_shard_is_a_case_and_one_only(town: Town) -> None:
    _, dataset, segment = await sealed_town(town)
    guilty = holder(town, dataset, LOST)
    lose(guilty, segment)
    for _ in range(3):
        await epoch_with_beacon(town)
        await everybody(town, "auditing", "court")
    (case,) = events(town, CaseOpened)
    assert isinstance(case, CaseOpened)
    assert (case.provider, case.receipt.shard) == (guilty.me, LOST)


@in_town
async def test_an_altered_shard_is_a_case(town: Town) -> None:
    _, dataset, segment = await sealed_town(town)
    guilty = holder(town, dataset, LOST)
    shard = bytearray(guilty.shards.read(segment, LOST))
    shard[7] ^= 1
    guilty.store.write([(shelf.shard_key(segment, LOST), bytes(shard))])
    await epoch_with_beacon(town)
    await everybody(town, "auditing")
    assert len(events(town, CaseOpened)) == 1


@in_town
async def test_a_provider_that_is_away_is_not_accused(town: Town) -> None:
    _, dataset, _ = await sealed_town(town)
    away = holder(town, dataset, LOST)
    away.vanish()
    await epoch_with_beacon(town)
    for stand in town.stands:
        if stand is not away:
            await stand.auditing.look()
    assert events(town, CaseOpened) == []


@in_town
async def test_who_leaves_audit_after_audit_unanswered_is_asked_in_court(town: Town) -> None:
    _, dataset, segment = await sealed_town(town)
    away = holder(town, dataset, LOST)
    away.vanish()
    looked = 0
    for _ in range(40):
        await epoch_with_beacon(town)
        looked += 1
        for stand in town.stands:
            if stand is not away:
                await stand.auditing.look()
        if events(town, CaseOpened):
            break
    assert looked > 1, "one silence is no offence"
    (case,) = events(town, CaseOpened)
    assert isinstance(case, CaseOpened)
    assert (case.provider, case.receipt.segment) == (away.me, segment)


@pytest.mark.parametrize("error", [DebtLimitExceeded("pay first"), UnknownIdentity("who?")])
@in_town
async def test_a_quarrel_over_money_or_names_is_no_lost_shard(town: Town, error: MfdbError) -> None:
    await sealed_town(town)
    await epoch_with_beacon(town)

    def refuse(*_: object) -> Proofs:
        raise error

    for stand in town.stands:
        stand.node._server._answering = {**stand.node._server._answering, Audit: refuse}
    await everybody(town, "auditing")
    assert events(town, CaseOpened) == []


# ---- cases


@in_town
async def test_an_accused_that_has_its_shard_answers_and_is_acquitted(town: Town) -> None:
    _, dataset, _ = await sealed_town(town)
    case = await accuse(town, dataset, town.stands[0])
    await everybody(town, "court")
    state = await town.world.chain().case(case)
    assert state is not None
    assert state.status is CaseStatus.NOT_GUILTY
    await asyncio.sleep(1_001)
    await everybody(town, "court", "repairing")
    assert events(town, AgreementRegistered)[6:] == []


@in_town
async def test_an_accused_answers_after_a_restart_too(town: Town) -> None:
    _, dataset, _ = await sealed_town(town)
    case = await accuse(town, dataset, town.stands[0])
    accused = await holder(town, dataset, LOST).crash()
    await accused.court.look()
    state = await town.world.chain().case(case)
    assert state is not None
    assert state.status is CaseStatus.NOT_GUILTY


@in_town
async def test_silence_is_convicted_after_the_window_and_not_before(town: Town) -> None:
    _, dataset, segment = await sealed_town(town)
    lose(holder(town, dataset, LOST), segment)
    case = await accuse(town, dataset, town.stands[0])
    await everybody(town, "court")
    await asyncio.sleep(900)
    await everybody(town, "court")
    assert events(town, CaseClosed) == []
    await asyncio.sleep(102)
    await everybody(town, "court")
    (closed,) = events(town, CaseClosed)
    assert isinstance(closed, CaseClosed)
    assert (closed.case, closed.status) == (case, CaseStatus.GUILTY)


# ---- repair


async def repaired(town: Town) -> None:
    for _ in range(8):
        await asyncio.sleep(10)
        await everybody(town, "court", "repairing", "taking over")


def check_repaired(town: Town, bob: Person, dataset: DatasetId, segment: SegmentId) -> None:
    spare = town.stands[6]
    assert spare.shards.read(segment, LOST)
    for stand in town.stands[:5]:
        assert stand.context.placement(dataset).shards[LOST] == spare.me
        assert stand.context.placement(dataset).number == 1
        agreement = stand.context.placement(dataset).agreement_of(spare.me)
        receipt = next(
            s.receipt for s in bundle_at(stand, dataset).receipts if s.receipt.shard == LOST
        )
        assert receipt.agreement == agreement
    (paid,) = events(town, CompensationPaid)
    assert isinstance(paid, CompensationPaid)
    assert (paid.owner, paid.repairer) == (bob.address, spare.me)
    assert paid.to_owner > 0


@in_town
async def test_the_spare_rebuilds_what_was_lost_and_the_owner_is_paid(town: Town) -> None:
    bob, dataset, segment = await sealed_town(town)
    await convict(town, dataset, segment)
    await repaired(town)
    check_repaired(town, bob, dataset, segment)


@in_town
async def test_the_second_in_line_leads_when_the_first_is_gone(town: Town) -> None:
    bob, dataset, segment = await sealed_town(town)
    await convict(town, dataset, segment)
    for stand in town.stands[:5]:
        stand.node.looks["repairing"] = idle
    town.stands[3].node.looks["repairing"] = town.stands[3].repairing.look
    await repaired(town)
    check_repaired(town, bob, dataset, segment)


async def idle() -> None:
    """Do nothing, as a dead provider does."""


@in_town
async def test_a_repair_that_failed_is_tried_again(town: Town) -> None:
    bob, dataset, segment = await sealed_town(town)
    await convict(town, dataset, segment)
    spare = town.stands[6]
    spare.node._server._answering = {
        kind: answering
        for kind, answering in spare.node._server._answering.items()
        if kind is not TakeOver
    }
    await repaired(town)
    assert events(town, CompensationPaid) == []
    spare.node._server._answering = {
        **spare.node._server._answering,
        TakeOver: spare.taking_over.on_take_over,
    }
    await repaired(town)
    check_repaired(town, bob, dataset, segment)


@in_town
async def test_what_the_court_was_about_is_repaired_though_another_segment_cannot_be(
    town: Town,
) -> None:
    """The escrow's window is short; a chaos of half an hour saw it pass over other segments."""
    bob, dataset, _ = await sealed_town(town)
    draft = bob.write(dataset, "one more " + "x" * 3_000)
    for stand in town.stands[:3]:
        await stand.take(draft)
    await town.stands[0].sealing.on_seal_now(SealNow(dataset=dataset), bob.address)
    with town.stands[0].store.snapshot() as view:
        hopeless, cited = shelf.segments_after(view, dataset, b"")
    for shard in range(3):  # k - 1 are left
        lose(holder(town, dataset, shard), hopeless.certificate.segment, shard)
    lose(holder(town, dataset, LOST), cited.certificate.segment)
    signed = next(signed for signed in cited.receipts if signed.receipt.shard == LOST)
    await sentence(town, await charge(town, signed, town.stands[0]))
    await repaired(town)
    (paid,) = events(town, CompensationPaid)
    assert isinstance(paid, CompensationPaid)
    assert (paid.owner, paid.repairer) == (bob.address, town.stands[6].me)
    assert town.stands[6].shards.read(cited.certificate.segment, LOST)


@in_town
async def test_a_take_over_survives_a_crash_after_the_chain_knows_of_it(town: Town) -> None:
    bob, dataset, segment = await sealed_town(town)
    case = await convict(town, dataset, segment)
    spare = town.stands[6]
    for stand in town.stands[:3]:  # three shards cannot be had: k - 1 are left
        stand.vanish()
    request = asked(town, dataset, segment, case)
    with pytest.raises(StripeLost):
        await spare.taking_over.on_take_over(request, town.stands[3].me)
    assert len(events(town, AgreementRegistered)) == 7
    spare = await spare.crash()
    for stand in list(town.stands[:3]):
        await stand.crash()
    await repaired(town)
    assert len(events(town, AgreementRegistered)) == 7
    await everybody(town, "healing")
    check_repaired(town, bob, dataset, segment)
    with spare.store.snapshot() as view:
        assert shelf.take_overs(view) == ()


@in_town
async def test_two_who_ask_at_once_make_one_agreement(town: Town) -> None:
    bob, dataset, segment = await sealed_town(town)
    case = await convict(town, dataset, segment)
    request = asked(town, dataset, segment, case)
    spare = town.stands[6]
    await asyncio.gather(
        *(spare.taking_over.on_take_over(request, stand.me) for stand in town.stands[:3])
    )
    assert len(events(town, AgreementRegistered)) == 7
    check_repaired(town, bob, dataset, segment)


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
        assert shelf.outranked(view) == ()


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


@in_town
async def test_without_a_spare_the_owner_gets_everything_in_the_end(town: Town) -> None:
    bob, dataset, segment = await sealed_town(town, 6)
    await convict(town, dataset, segment)
    await repaired(town)
    assert events(town, CompensationPaid) == []
    await asyncio.sleep(TERMS.repair_window_s)
    await repaired(town)
    (paid,) = events(town, CompensationPaid)
    (closed,) = events(town, CaseClosed)
    assert isinstance(paid, CompensationPaid)
    assert isinstance(closed, CaseClosed)
    assert (paid.owner, paid.to_owner) == (bob.address, closed.compensation)


@in_town
async def test_nobody_takes_over_without_a_conviction_or_for_a_stranger(town: Town) -> None:
    _, dataset, segment = await sealed_town(town)
    spare, survivor = town.stands[6], town.stands[0]
    open_case = await accuse(town, dataset, survivor)
    request = asked(town, dataset, segment, open_case)
    with pytest.raises(AccessDenied, match="conviction"):
        await spare.taking_over.on_take_over(request, survivor.me)
    await everybody(town, "court")
    case = await convict(town, dataset, segment)
    request = asked(town, dataset, segment, case)
    with pytest.raises(AccessDenied, match="provider"):
        await spare.taking_over.on_take_over(request, town.person("mallory").address)
    bare = msgspec.structs.replace(
        request, state=msgspec.structs.replace(request.state, segments=())
    )
    with pytest.raises(BadProof):
        await spare.taking_over.on_take_over(bare, survivor.me)
    assert len(events(town, AgreementRegistered)) == 6


@in_town
async def test_a_convicted_replica_still_serves_its_log_and_holds_no_shard(town: Town) -> None:
    bob, dataset, segment = await sealed_town(town)
    lose(town.stands[2], segment, 2)
    case = await accuse(town, dataset, town.stands[0], shard=2)
    await everybody(town, "court")
    await asyncio.sleep(1_001)
    await everybody(town, "court")
    assert (await town.world.chain().case(case)).status is CaseStatus.GUILTY  # type: ignore[union-attr]  # it was opened
    await repaired(town)
    placement = town.stands[0].context.placement(dataset)
    assert placement.shards[2] == town.stands[6].me
    assert placement.replicas[2] == town.stands[2].me
    receipt = await town.stands[2].take(bob.write(dataset, "after the verdict"))
    assert receipt.ack.agreement == placement.agreement_of(town.stands[2].me)
