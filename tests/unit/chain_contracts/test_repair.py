"""Replacing a convicted agreement by mandate, and who is paid from the compensation."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from mfdb.chain.port import (
    AgreementRegistered,
    CompensationPaid,
    PushVerdict,
    RegisterByMandate,
    ReleaseCompensation,
    SettleRepair,
)
from mfdb.kernel.ids import MFT, ZERO_ADDRESS, CaseId, Hash, SegmentId, Wei
from tests.fixtures.court_scene import (
    ALICE,
    BOB,
    DAY,
    PROVIDER,
    REPAIRER,
    STRANGER,
    Scene,
    replace_record,
    run,
)

if TYPE_CHECKING:
    from mfdb.kernel.account import Account


def convict(scene: Scene) -> CaseId:
    case = scene.accuse(scene.receipt(scene.register()))
    scene.travel(901)
    scene.do(STRANGER, PushVerdict(case=case))
    return case


def replacement(
    scene: Scene,
    case: CaseId,
    order_changes: dict[str, Any] | None = None,
    by: Account = REPAIRER,
    **changes: Any,
) -> RegisterByMandate:
    """Return the transaction that puts `by` in the convicted provider's place."""
    order = scene.mandate(**(order_changes or {}))
    plain = {"provider": by.address, "mandate": order.struct_hash(), "nonce": Hash(b"r" * 32)}
    agreement = scene.terms_of(**{**plain, **changes})
    return RegisterByMandate(
        agreement=agreement,
        provider_signature=scene.sign(agreement, by),
        mandate=order,
        owner_signature=scene.sign(order, BOB),
        case=case,
    )


def settlement(scene: Scene, call: RegisterByMandate, **changes: Any) -> SettleRepair:
    receipt = scene.receipt(call.agreement.id, **changes)
    return SettleRepair(case=call.case, receipt=receipt, signature=scene.sign(receipt, REPAIRER))


def test_a_repair_is_paid_first_and_the_owner_gets_the_rest(scene: Scene) -> None:
    case = convict(scene)
    found = run(scene.chain.case(case))
    assert found is not None
    call = replacement(scene, case)
    mined = scene.do(REPAIRER, call)
    events = [seen.event for seen in run(scene.chain.events(since_block=mined.block))]
    assert events == [
        AgreementRegistered(
            agreement=call.agreement.id,
            client=BOB.address,
            provider=REPAIRER.address,
            case=case,
        )
    ]
    assert run(scene.chain.deposit(REPAIRER.address)).earmarked == 40 * MFT
    bob, repairer = scene.balance(BOB), scene.balance(REPAIRER)
    paid = scene.do(STRANGER, settlement(scene, call))
    rest = Wei(found.compensation - 3 * MFT)
    assert scene.balance(REPAIRER) == repairer + 3 * MFT
    assert scene.balance(BOB) == bob + rest
    events = [seen.event for seen in run(scene.chain.events(since_block=paid.block))]
    assert events[0] == CompensationPaid(
        case=case,
        owner=BOB.address,
        to_owner=rest,
        repairer=REPAIRER.address,
        to_repairer=Wei(3 * MFT),
    )
    after = run(scene.chain.case(case))
    assert after is not None
    assert after.compensation == 0
    scene.refused(STRANGER, settlement(scene, call), "no compensation")
    scene.travel(4000)
    scene.refused(STRANGER, ReleaseCompensation(case=case), "no compensation")


def test_a_repair_never_costs_more_than_the_compensation(scene: Scene) -> None:
    case = convict(scene)
    call = replacement(scene, case, {"repair_fee": 100 * MFT, "budget": 1000 * MFT})
    scene.do(REPAIRER, call)
    bob, repairer = scene.balance(BOB), scene.balance(REPAIRER)
    found = run(scene.chain.case(case))
    assert found is not None
    scene.do(REPAIRER, settlement(scene, call))
    assert scene.balance(REPAIRER) == repairer + found.compensation
    assert scene.balance(BOB) == bob


def test_without_a_repair_the_owner_gets_everything(scene: Scene) -> None:
    case = convict(scene)
    found = run(scene.chain.case(case))
    assert found is not None
    release = ReleaseCompensation(case=case)
    scene.refused(BOB, release, "repair window open")
    scene.travel(3601)
    bob = scene.balance(BOB)
    scene.refused(REPAIRER, replacement(scene, case), "repair window passed")
    paid = scene.do(STRANGER, release)
    assert scene.balance(BOB) == bob + found.compensation
    events = [seen.event for seen in run(scene.chain.events(since_block=paid.block))]
    assert events[0] == CompensationPaid(
        case=case,
        owner=BOB.address,
        to_owner=found.compensation,
        repairer=ZERO_ADDRESS,
        to_repairer=Wei(0),
    )
    scene.refused(BOB, release, "no compensation")
    scene.refused(REPAIRER, replacement(scene, case), "no compensation")


@pytest.mark.parametrize(
    ("mandate", "changes", "reason"),
    [
        ({}, {"mandate": b"x" * 32}, "other mandate"),
        ({}, {"client": ALICE.address}, "other client"),
        ({}, {"subject": b"x" * 32}, "other subject"),
        ({"subject": b"x" * 32}, {}, "other subject"),
        ({"expiry": 1_600_000_000}, {}, "mandate expired"),
        ({"fee_cap_per_epoch": 2 * MFT - 1}, {}, "fee over mandate"),
        ({"min_deposit": 40 * MFT + 1}, {}, "deposit under mandate"),
        ({"capacity_bytes": 1}, {}, "capacity over mandate"),
        ({}, {"epoch_s": 599}, "epoch too short"),
        ({}, {"end": 1_700_000_100, "start": 1_700_000_000}, "ends too early"),
        ({}, {"answer_window_s": 901}, "window too long"),
        ({"budget": 10 * MFT}, {}, "mandate used up"),
        ({"repair_fee": 2**128}, {}, "fee too large"),
        ({}, {"deposit": 101 * MFT}, "deposit too small"),
    ],
)
def test_a_mandate_has_bounds(
    scene: Scene, mandate: dict[str, Any], changes: dict[str, Any], reason: str
) -> None:
    case = convict(scene)
    scene.refused(REPAIRER, replacement(scene, case, mandate, **changes), reason)
    assert run(scene.chain.deposit(REPAIRER.address)).earmarked == 0


def test_only_the_owner_mandates_and_only_after_a_conviction(scene: Scene) -> None:
    case = convict(scene)
    call = replacement(scene, case)
    forged = replace(call, owner_signature=scene.sign(call.mandate, REPAIRER))
    scene.refused(REPAIRER, forged, "bad owner signature")
    unsigned = replace(call, provider_signature=scene.sign(call.agreement, ALICE))
    scene.refused(REPAIRER, unsigned, "bad provider signature")
    nowhere = replace(call, case=CaseId(b"?" * 32))
    scene.refused(REPAIRER, nowhere, "no conviction")
    convicted = replacement(scene, case, by=PROVIDER)
    scene.refused(PROVIDER, convicted, "convicted provider")
    strangers = scene.mandate(owner=ALICE.address)
    call = replacement(scene, case, {"owner": ALICE.address})
    stolen = replace(call, owner_signature=scene.sign(strangers, ALICE))
    scene.refused(REPAIRER, stolen, "other client")


def test_an_open_or_lost_case_allows_no_replacement(scene: Scene) -> None:
    case = scene.accuse(scene.receipt(scene.register()))
    scene.refused(REPAIRER, replacement(scene, case), "no conviction")
    scene.do(PROVIDER, scene.answer(case))
    scene.refused(REPAIRER, replacement(scene, case), "no conviction")


def test_a_case_is_replaced_once(scene: Scene) -> None:
    case = convict(scene)
    scene.do(REPAIRER, replacement(scene, case, {"expiry": scene.now + DAY}))
    again = replacement(scene, case, {"nonce": b"2" * 32}, nonce=Hash(b"2" * 32))
    scene.refused(REPAIRER, again, "already replaced")


def test_the_budget_counts_over_all_agreements_of_a_mandate(scene: Scene) -> None:
    fixed = {"budget": 30 * MFT, "expiry": scene.now + DAY}
    first = convict(scene)
    agreement = scene.register(nonce=Hash(b"b" * 32))
    second = scene.accuse(scene.receipt(agreement))
    scene.travel(901)
    scene.do(STRANGER, PushVerdict(case=second))
    scene.do(REPAIRER, replacement(scene, first, fixed))
    call = replacement(scene, second, fixed, nonce=Hash(b"2" * 32))
    scene.refused(REPAIRER, call, "mandate used up")


def test_only_the_same_shard_settles(scene: Scene) -> None:
    case = convict(scene)
    call = replacement(scene, case)
    early = settlement(scene, call)
    scene.refused(REPAIRER, early, "not replaced")
    scene.do(REPAIRER, call)
    good = settlement(scene, call)
    for changes in (
        {"segment": SegmentId(b"x" * 32)},
        {"shard": 4},
        {"root": Hash(b"x" * 32)},
        {"units": 5},
    ):
        scene.refused(REPAIRER, settlement(scene, call, **changes), "other shard")
    short = settlement(scene, call, expiry=call.agreement.end - 1)
    scene.refused(REPAIRER, short, "receipt too short")
    elsewhere = replace_record(good.receipt, agreement=scene.register(nonce=Hash(b"e" * 32)))
    scene.refused(REPAIRER, replace(good, receipt=elsewhere), "other agreement")
    forged = replace(good, signature=scene.sign(good.receipt, PROVIDER))
    scene.refused(PROVIDER, forged, "bad receipt signature")
    scene.refused(REPAIRER, replace(good, case=CaseId(b"?" * 32)), "no compensation")
    scene.do(REPAIRER, good)
