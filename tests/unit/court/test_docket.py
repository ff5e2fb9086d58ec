"""The docket: what the cases on chain ask of one party."""

from __future__ import annotations

from dataclasses import replace

from mfdb.chain.port import CaseClosed, CaseOpened, CaseStatus, Transferred
from mfdb.court.docket import (
    GRACE_S,
    Answer,
    Convicted,
    DemandVerdict,
    Docket,
    on_chain_saw,
    on_taken_back,
    on_ticked,
)
from mfdb.kernel.ids import Address, AgreementId, CaseId, Wei
from tests.factories import store_receipt

ME, OTHER, THIRD = (Address(bytes([at]) * 20) for at in (1, 2, 3))
CASE = CaseId(b"\x07" * 32)
AGREEMENT = AgreementId(b"\x05" * 32)
DEADLINE = 1_000


def opened(provider: Address, accuser: Address, case: CaseId = CASE) -> CaseOpened:
    return CaseOpened(
        case=case,
        agreement=AGREEMENT,
        provider=provider,
        accuser=accuser,
        receipt=store_receipt(),
        unit=5,
        deadline=DEADLINE,
    )


def closed(status: CaseStatus, case: CaseId = CASE) -> CaseClosed:
    return CaseClosed(
        case=case, agreement=AGREEMENT, status=status, slashed=Wei(4), compensation=Wei(3)
    )


def with_open(*cases: CaseOpened) -> Docket:
    docket = Docket(me=ME)
    for case in cases:
        docket, effects = on_chain_saw(docket, case)
        assert effects == ()
    return docket


def test_the_accused_answers_until_the_deadline_and_not_after() -> None:
    case = opened(ME, OTHER)
    docket = with_open(case)
    assert on_ticked(docket, 0) == on_ticked(docket, DEADLINE) == (Answer(opened=case),)
    assert on_ticked(docket, DEADLINE + 1) == ()


def test_the_accuser_demands_the_verdict_after_the_deadline_and_not_before() -> None:
    docket = with_open(opened(OTHER, ME))
    assert on_ticked(docket, DEADLINE) == ()
    assert on_ticked(docket, DEADLINE + 1) == (DemandVerdict(case=CASE),)


def test_a_strangers_case_asks_nothing_of_us() -> None:
    docket = with_open(opened(OTHER, THIRD))
    assert on_ticked(docket, 0) == on_ticked(docket, DEADLINE + 1) == ()


def test_a_verdict_that_its_accuser_never_asks_for_is_asked_for_by_others() -> None:
    docket = with_open(opened(OTHER, THIRD))
    assert on_ticked(docket, DEADLINE + GRACE_S) == ()
    assert on_ticked(docket, DEADLINE + GRACE_S + 1) == (DemandVerdict(case=CASE),)
    assert on_ticked(with_open(opened(ME, THIRD)), DEADLINE + GRACE_S + 1) == ()


def test_whoever_accuses_itself_has_both_duties_one_after_the_other() -> None:
    docket = with_open(opened(ME, ME))
    assert [type(e) for e in on_ticked(docket, DEADLINE)] == [Answer]
    assert [type(e) for e in on_ticked(docket, DEADLINE + 1)] == [DemandVerdict]


def test_a_conviction_is_told_once_and_the_case_is_off_the_docket() -> None:
    case, verdict = opened(OTHER, ME), closed(CaseStatus.GUILTY)
    docket, effects = on_chain_saw(with_open(case), verdict)
    assert effects == (Convicted(opened=case, closed=verdict),)
    assert on_ticked(docket, DEADLINE + 1) == ()
    assert on_chain_saw(docket, verdict) == (docket, ())


def test_an_acquittal_ends_a_case_quietly() -> None:
    docket, effects = on_chain_saw(with_open(opened(ME, OTHER)), closed(CaseStatus.NOT_GUILTY))
    assert effects == ()
    assert on_ticked(docket, 0) == ()


def test_a_case_that_a_reorganisation_took_back_asks_nothing_of_anybody() -> None:
    case = opened(ME, OTHER)
    docket = on_taken_back(with_open(case), case)
    assert on_ticked(docket, 0) == ()
    again, _ = on_chain_saw(docket, case)
    assert on_ticked(again, 0) == (Answer(opened=case),)
    assert on_taken_back(again, closed(CaseStatus.GUILTY)) == again


def test_cases_are_kept_apart() -> None:
    other = CaseId(b"\x08" * 32)
    first, second = opened(ME, OTHER), opened(ME, OTHER, other)
    docket, _ = on_chain_saw(with_open(first, second), closed(CaseStatus.GUILTY))
    assert on_ticked(docket, 0) == (Answer(opened=second),)


def test_other_events_change_nothing() -> None:
    docket = with_open(opened(ME, OTHER))
    moved = Transferred(sender=ME, to=OTHER, amount=Wei(1))
    assert on_chain_saw(docket, moved) == (docket, ())


def test_a_docket_is_a_value() -> None:
    docket = with_open(opened(ME, OTHER))
    assert docket == with_open(opened(ME, OTHER))
    assert replace(docket, me=THIRD) != docket
