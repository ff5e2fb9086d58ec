"""Cases: who can be accused of what, who wins, and where the money goes."""

from __future__ import annotations

from typing import Any

import pytest

from mfdb.chain.port import (
    CaseClosed,
    CaseOpened,
    CaseStatus,
    Delegate,
    PushVerdict,
    RecordBeacon,
    ReleaseAgreement,
    Transferred,
)
from mfdb.kernel.ids import MFT, ZERO_ADDRESS, AgreementId, CaseId, Hash, SegmentId, Wei
from mfdb.rules.units import UnitTree, unit_of
from mfdb.testing.sim_chain_court import unit_drawn
from tests.fixtures.court_scene import (
    ACCUSER,
    ALICE,
    BOB,
    HOT_KEY,
    PROVIDER,
    SHARD,
    STRANGER,
    Scene,
    run,
)
from tests.fixtures.evm import account


def status(scene: Scene, case: CaseId) -> CaseStatus:
    found = run(scene.chain.case(case))
    assert found is not None
    return found.status


def two_draws(scene: Scene, agreement: AgreementId) -> tuple[int, int]:
    """Return two draws of the running epoch that ask for different units."""
    beacon = run(scene.chain.beacon(scene.beacon()))
    assert beacon is not None
    units = [unit_drawn(beacon, scene.receipt(agreement), draw) for draw in range(30)]
    return 0, next(draw for draw, unit in enumerate(units) if unit != units[0])


def test_an_honest_provider_answers_and_takes_the_bond(scene: Scene) -> None:
    agreement = scene.register()
    case = scene.accuse(scene.receipt(agreement))
    before = scene.balance(PROVIDER)
    accuser = scene.balance(ACCUSER)
    kept = run(scene.chain.agreement(agreement))
    assert kept is not None
    assert kept.open_cases == 1
    mined = scene.do(STRANGER, scene.answer(case))
    assert status(scene, case) is CaseStatus.NOT_GUILTY
    assert scene.balance(PROVIDER) == before + scene.terms.bond
    assert scene.balance(ACCUSER) == accuser
    court = scene.contract("court")
    assert [seen.event for seen in run(scene.chain.events(since_block=mined.block))] == [
        CaseClosed(
            case=case,
            agreement=agreement,
            status=CaseStatus.NOT_GUILTY,
            slashed=Wei(0),
            compensation=Wei(0),
        ),
        Transferred(sender=court, to=PROVIDER.address, amount=Wei(MFT)),
    ]
    scene.travel(5000)
    scene.refused(STRANGER, PushVerdict(case=case), "no open case")
    scene.refused(PROVIDER, scene.answer(case), "no open case")
    assert run(scene.chain.deposit(PROVIDER.address)).total == 100 * MFT


def test_silence_convicts_in_proportion_to_the_bytes_lost(scene: Scene) -> None:
    agreement = scene.register()
    receipt = scene.receipt(agreement)
    before = scene.balance(ACCUSER)
    case = scene.accuse(receipt)
    assert scene.balance(ACCUSER) == before - MFT
    verdict = PushVerdict(case=case)
    scene.travel(800)
    scene.refused(STRANGER, verdict, "answer window open")
    scene.travel(101)
    scene.refused(PROVIDER, scene.answer(case), "too late to answer")
    mined = scene.do(STRANGER, verdict)
    slashed = 40 * MFT * (6 * 512) // (len(SHARD) * 2)
    compensation, reward = slashed * 75 // 100, slashed * 5 // 100
    found = run(scene.chain.case(case))
    assert found is not None
    assert (found.status, found.compensation) == (CaseStatus.GUILTY, compensation)
    deposit = run(scene.chain.deposit(PROVIDER.address))
    assert (deposit.total, deposit.earmarked) == (100 * MFT - slashed, 40 * MFT - slashed)
    assert scene.balance(ACCUSER) == before + reward
    events = [seen.event for seen in run(scene.chain.events(since_block=mined.block))]
    burnt = Wei(slashed - compensation - reward)
    deposits = scene.contract("deposits")
    assert Transferred(sender=deposits, to=ZERO_ADDRESS, amount=burnt) in events
    assert [event for event in events if isinstance(event, CaseClosed)] == [
        CaseClosed(
            case=case,
            agreement=agreement,
            status=CaseStatus.GUILTY,
            slashed=Wei(slashed),
            compensation=Wei(compensation),
        )
    ]
    scene.refused(STRANGER, verdict, "no open case")
    epoch = scene.beacon()
    scene.refused(ACCUSER, scene.accusation(receipt, epoch), "already convicted")


def test_the_event_tells_the_provider_all_it_needs(scene: Scene) -> None:
    agreement = scene.register()
    receipt = scene.receipt(agreement)
    case = scene.accuse(receipt, draw=7)
    state = run(scene.chain.case(case))
    assert state is not None
    opened = [s.event for s in run(scene.chain.events()) if isinstance(s.event, CaseOpened)]
    assert opened == [
        CaseOpened(
            case=case,
            agreement=agreement,
            provider=PROVIDER.address,
            accuser=ACCUSER.address,
            receipt=receipt,
            unit=state.unit,
            deadline=state.deadline,
        )
    ]
    beacon = run(scene.chain.beacon(scene.now // 600))
    assert beacon is not None
    assert state.unit == unit_drawn(beacon, receipt, 7)


def test_wrong_answers_are_refused_and_the_right_one_still_counts(scene: Scene) -> None:
    agreement = scene.register()
    case = scene.accuse(scene.receipt(agreement))
    state = run(scene.chain.case(case))
    assert state is not None
    tree = UnitTree(SHARD)
    other = (state.unit + 1) % 6
    right = scene.answer(case)
    damaged = bytes([right.unit[0] ^ 1]) + right.unit[1:]
    swapped = [*right.path[1:], right.path[0]]
    elsewhere = {"unit": unit_of(SHARD, other), "path": tree.path(other)}
    cases: list[tuple[dict[str, Any], str]] = [
        ({"unit": damaged}, "wrong unit or path"),
        ({"path": swapped}, "wrong unit or path"),
        (elsewhere, "wrong unit or path"),
        ({"path": right.path[:-1]}, "wrong path length"),
        ({"path": [*right.path, bytes(32)]}, "wrong path length"),
        ({"unit": right.unit[:-1]}, "wrong unit length"),
        ({"receipt": scene.receipt(agreement, shard=4)}, "other claim"),
    ]
    for changes, reason in cases:
        scene.refused(PROVIDER, scene.answer(case, **changes), reason)
    scene.do(PROVIDER, right)
    assert status(scene, case) is CaseStatus.NOT_GUILTY


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"units": 0}, "bad unit count"),
        ({"units": 2**40 + 1}, "bad unit count"),
        ({"expiry": 1_600_000_000}, "receipt expired"),
        ({"agreement": b"?" * 32}, "no such agreement"),
    ],
)
def test_bad_receipts_are_no_evidence(scene: Scene, changes: dict[str, Any], reason: str) -> None:
    receipt = scene.receipt(scene.register(), **changes)
    scene.refused(ACCUSER, scene.accusation(receipt, scene.beacon()), reason)


def test_bad_accusations_are_refused(scene: Scene) -> None:
    agreement = scene.register()
    receipt = scene.receipt(agreement)
    epoch = scene.beacon()
    signed = scene.sign(receipt, PROVIDER)
    forged = scene.sign(receipt, BOB)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"signature": forged}, "bad receipt signature"),
        ({"signature": signed[:64]}, "bad receipt signature"),
        ({"signature": bytes(65)}, "bad receipt signature"),
        ({"draw": 30}, "no such draw"),
        ({"epoch": epoch + 1}, "no beacon"),
        ({"epoch": 2**256 - 1}, "no beacon"),
        ({"epoch": epoch - 2}, "epoch outside term"),
    ]
    for changes, reason in cases:
        scene.refused(ACCUSER, scene.accusation(receipt, epoch, **changes), reason)
    broke = scene.accusation(receipt, epoch)
    scene.refused(account(30), broke, "balance too small")


def test_an_unrecorded_epoch_cannot_be_used(scene: Scene) -> None:
    receipt = scene.receipt(scene.register())
    scene.travel(700)
    scene.refused(ACCUSER, scene.accusation(receipt, scene.now // 600), "no beacon")


def test_one_case_a_unit_and_three_an_epoch_for_one_accuser(scene: Scene) -> None:
    agreement = scene.register()
    receipt = scene.receipt(agreement)
    first, second = two_draws(scene, agreement)
    scene.accuse(receipt, draw=first)
    again = scene.accusation(receipt, scene.beacon(), draw=first)
    scene.refused(ALICE, again, "case already open")
    scene.accuse(receipt, draw=second)
    other = scene.receipt(agreement, shard=4)
    case = scene.accuse(other)
    third = scene.accusation(scene.receipt(agreement, shard=5), scene.beacon())
    scene.refused(ACCUSER, third, "too many cases")
    scene.do(ALICE, third)
    scene.do(PROVIDER, scene.answer(case))
    kept = run(scene.chain.agreement(agreement))
    assert kept is not None
    assert kept.open_cases == 3


def test_a_promise_is_slashed_once_however_many_cases(scene: Scene) -> None:
    agreement = scene.register()
    receipt = scene.receipt(agreement)
    first, second = two_draws(scene, agreement)
    cases = [scene.accuse(receipt, draw=draw) for draw in (first, second)]
    scene.travel(1000)
    scene.do(STRANGER, PushVerdict(case=cases[0]))
    left = run(scene.chain.deposit(PROVIDER.address)).total
    accuser = scene.balance(ACCUSER)
    scene.do(STRANGER, PushVerdict(case=cases[1]))
    assert run(scene.chain.deposit(PROVIDER.address)).total == left
    assert scene.balance(ACCUSER) == accuser + MFT, "the bond comes back, no reward"
    second_case = run(scene.chain.case(cases[1]))
    assert second_case is not None
    assert (second_case.status, second_case.compensation) == (CaseStatus.GUILTY, 0)


def test_slashes_stop_at_the_earmark(scene: Scene) -> None:
    agreement = scene.register(capacity_bytes=512 * 9)
    for shard in range(3):
        receipt = scene.receipt(agreement, shard=shard, segment=SegmentId(bytes([shard]) * 32))
        case = scene.accuse(receipt)
        scene.travel(901)
        scene.do(STRANGER, PushVerdict(case=case))
    deposit = run(scene.chain.deposit(PROVIDER.address))
    assert (deposit.total, deposit.earmarked) == (60 * MFT, 0)


def test_the_hot_key_of_the_agreement_binds_after_it_ended(scene: Scene) -> None:
    scene.do(PROVIDER, Delegate(signer=HOT_KEY.address, until=scene.now + 1000))
    agreement = scene.register()
    receipt = scene.receipt(agreement)
    signature = scene.sign(receipt, HOT_KEY)
    scene.do(PROVIDER, Delegate(signer=HOT_KEY.address, until=0))
    case = scene.accuse(receipt, signature=signature)
    assert status(scene, case) is CaseStatus.FILED
    later = scene.register(nonce=Hash(b"l" * 32))
    forged = scene.receipt(later)
    call = scene.accusation(forged, scene.beacon(), signature=scene.sign(forged, HOT_KEY))
    scene.refused(ACCUSER, call, "bad receipt signature")


def test_the_end_of_an_agreement_ends_its_duties(scene: Scene) -> None:
    agreement = scene.register()
    kept = run(scene.chain.agreement(agreement))
    assert kept is not None
    receipt = scene.receipt(agreement, expiry=kept.end + 10**6)
    scene.travel(kept.end - scene.now - 40)
    case = scene.accuse(receipt)
    scene.travel(60)
    scene.refused(ACCUSER, scene.accusation(receipt, scene.beacon(), draw=1), "agreement over")
    scene.travel(1300)
    release = ReleaseAgreement(agreement=agreement)
    scene.refused(PROVIDER, release, "case open")
    scene.do(STRANGER, PushVerdict(case=case))
    scene.do(PROVIDER, release)


def test_case_ids_never_repeat(scene: Scene) -> None:
    receipt = scene.receipt(scene.register())
    seen = set()
    for _ in range(3):
        case = scene.accuse(receipt)
        scene.do(PROVIDER, scene.answer(case))
        seen.add(case)
    assert len(seen) == 3


def test_an_unknown_case_is_none_and_has_no_verdict(scene: Scene) -> None:
    unknown = CaseId(b"?" * 32)
    assert run(scene.chain.case(unknown)) is None
    scene.refused(STRANGER, PushVerdict(case=unknown), "no open case")


def test_a_beacon_is_recorded_once_its_epoch_began(scene: Scene) -> None:
    epoch = scene.now // 600
    assert run(scene.chain.beacon(epoch)) is None
    scene.refused(STRANGER, RecordBeacon(epoch=epoch + 1), "epoch not begun")
    scene.beacon()
    fixed = run(scene.chain.beacon(epoch))
    assert fixed is not None
    scene.do(STRANGER, RecordBeacon(epoch=epoch))
    assert run(scene.chain.beacon(epoch)) == fixed
