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
)
from mfdb.kernel.errors import (
    AccessDenied,
    BadProof,
    DebtLimitExceeded,
    MfdbError,
    StripeLost,
    UnknownIdentity,
)
from mfdb.node.provider import sealed_shelf, take_overs
from mfdb.node.requests import Audit, SealNow, TakeOver
from tests.fixtures.node_town import TERMS, Person, Town, in_town, sealed_town
from tests.fixtures.repairs import (
    LOST,
    accuse,
    asked,
    bundle_at,
    charge,
    convict,
    epoch_with_beacon,
    events,
    everybody,
    holder,
    lose,
    repaired,
    sentence,
)

if TYPE_CHECKING:
    from mfdb.kernel.ids import DatasetId, SegmentId
    from mfdb.node.answers import Proofs

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
    guilty.store.write([(sealed_shelf.shard_key(segment, LOST), bytes(shard))])
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
        hopeless, cited = sealed_shelf.segments_after(view, dataset, b"")
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
        assert take_overs.all_begun(view) == ()


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
