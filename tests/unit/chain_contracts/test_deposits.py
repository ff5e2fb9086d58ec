"""Deposits, hot keys, and what it takes to register and release an agreement."""

from __future__ import annotations

from typing import Any

import pytest

from mfdb.chain.port import (
    AgreementRegistered,
    Delegate,
    DepositState,
    ReleaseAgreement,
    Stake,
    Transferred,
    Unstake,
)
from mfdb.kernel.ids import MFT, ZERO_ADDRESS, AgreementId, Hash, Wei
from tests.fixtures.court_scene import (
    ALICE,
    BOB,
    DAY,
    HOT_KEY,
    PROVIDER,
    REPAIRER,
    STRANGER,
    Scene,
    run,
)


def state(scene: Scene) -> DepositState:
    return run(scene.chain.deposit(PROVIDER.address))


def test_stake_is_locked_and_comes_back(scene: Scene) -> None:
    before = scene.balance(PROVIDER)
    scene.do(PROVIDER, Stake(amount=Wei(5 * MFT)))
    assert state(scene) == DepositState(total=Wei(105 * MFT), earmarked=Wei(0))
    assert scene.balance(scene.contract("deposits")) == 205 * MFT
    scene.do(PROVIDER, Unstake(amount=Wei(105 * MFT)))
    assert scene.balance(PROVIDER) == before + 100 * MFT
    scene.refused(PROVIDER, Unstake(amount=Wei(1)), "deposit earmarked")
    scene.refused(PROVIDER, Stake(amount=Wei(0)), "no amount")
    scene.refused(PROVIDER, Unstake(amount=Wei(0)), "no amount")
    scene.refused(PROVIDER, Stake(amount=Wei(10**6 * MFT)), "balance too small")


def test_an_agreement_earmarks(scene: Scene) -> None:
    agreement = scene.terms_of()
    mined = scene.do(BOB, scene.registration(agreement))
    kept = run(scene.chain.agreement(agreement.id))
    assert kept is not None
    assert (kept.client, kept.provider) == (BOB.address, PROVIDER.address)
    assert (kept.earmarked, kept.capacity_bytes) == (40 * MFT, agreement.capacity_bytes)
    assert (kept.end, kept.tail_s, kept.open_cases) == (agreement.end, 1200, 0)
    assert state(scene) == DepositState(total=Wei(100 * MFT), earmarked=Wei(40 * MFT))
    assert scene.balance(scene.contract("escrow")) == 20 * MFT
    events = [seen.event for seen in run(scene.chain.events(since_block=mined.block))]
    assert events == [
        AgreementRegistered(
            agreement=agreement.id, client=BOB.address, provider=PROVIDER.address, case=None
        ),
        Transferred(sender=BOB.address, to=scene.contract("escrow"), amount=Wei(20 * MFT)),
    ]
    scene.refused(BOB, scene.registration(agreement), "agreement exists")


def test_unknown_agreement_is_none(scene: Scene) -> None:
    assert run(scene.chain.agreement(AgreementId(b"?" * 32))) is None


def test_one_token_never_backs_two_promises(scene: Scene) -> None:
    scene.register(deposit=Wei(60 * MFT))
    second = scene.terms_of(deposit=Wei(40 * MFT + 1), nonce=Hash(b"2" * 32))
    scene.refused(BOB, scene.registration(second), "deposit too small")
    scene.refused(PROVIDER, Unstake(amount=Wei(40 * MFT + 1)), "deposit earmarked")
    scene.register(deposit=Wei(40 * MFT), nonce=Hash(b"3" * 32))
    scene.refused(PROVIDER, Unstake(amount=Wei(1)), "deposit earmarked")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"capacity_bytes": 0}, "no capacity"),
        ({"deposit": 0}, "no deposit"),
        ({"epoch_s": 0}, "no epoch"),
        ({"fee_per_epoch": 2**128}, "fee too large"),
        ({"end": 1_600_000_000, "start": 1_599_000_000}, "agreement over"),
        ({"end": 5, "start": 6}, "agreement over"),
        ({"start": 1_600_000_000}, "term too long"),
        ({"answer_window_s": 0}, "bad answer window"),
        ({"answer_window_s": 30 * DAY + 1, "tail_s": 60 * DAY}, "bad answer window"),
        ({"tail_s": 899}, "tail too short"),
        ({"tail_s": 365 * DAY + 1}, "tail too long"),
        ({"mandate": b"m" * 32}, "mandate given"),
    ],
)
def test_bad_terms_are_refused(scene: Scene, changes: dict[str, Any], reason: str) -> None:
    scene.refused(BOB, scene.registration(scene.terms_of(**changes)), reason)


def test_an_agreement_must_not_start_too_late(scene: Scene) -> None:
    late = scene.now + DAY
    scene.refused(
        BOB,
        scene.registration(scene.terms_of(start=late + 60, end=late + 90)),
        "starts too late",
    )
    scene.register(start=late - 10, end=late + 90)


def test_only_the_parties_can_agree(scene: Scene) -> None:
    agreement = scene.terms_of()
    good = scene.registration(agreement)
    by = {who: scene.sign(agreement, who) for who in (BOB, PROVIDER, ALICE)}
    scene.refused(ALICE, good, "not the client")
    bad_client = scene.registration(agreement, client_signature=by[ALICE])
    scene.refused(BOB, bad_client, "bad client signature")
    bad_provider = scene.registration(agreement, provider_signature=by[BOB])
    scene.refused(BOB, bad_provider, "bad provider signature")
    short = scene.registration(agreement, provider_signature=by[PROVIDER][:64])
    scene.refused(BOB, short, "bad provider signature")
    other = scene.terms_of(nonce=Hash(b"o" * 32))
    moved = scene.registration(other, provider_signature=by[PROVIDER])
    scene.refused(BOB, moved, "bad provider signature")
    poor = scene.registration(agreement, funding=Wei(2000 * MFT))
    scene.refused(BOB, poor, "balance too small")
    assert state(scene).earmarked == 0, "a refused registration leaves nothing behind"
    scene.do(BOB, good)


def test_a_hot_key_signs_while_it_is_delegated(scene: Scene) -> None:
    agreement = scene.terms_of()
    by_hot_key = scene.registration(agreement, provider_signature=scene.sign(agreement, HOT_KEY))
    scene.refused(BOB, by_hot_key, "bad provider signature")
    scene.do(PROVIDER, Delegate(signer=HOT_KEY.address, until=scene.now + 100))
    assert run(scene.chain.may_sign(PROVIDER.address, HOT_KEY.address))
    assert run(scene.chain.may_sign(PROVIDER.address, PROVIDER.address))
    assert not run(scene.chain.may_sign(PROVIDER.address, STRANGER.address))
    assert not run(scene.chain.may_sign(REPAIRER.address, HOT_KEY.address))
    scene.travel(200)
    assert not run(scene.chain.may_sign(PROVIDER.address, HOT_KEY.address))
    scene.refused(BOB, by_hot_key, "bad provider signature")
    scene.do(PROVIDER, Delegate(signer=HOT_KEY.address, until=scene.now + 100))
    scene.do(BOB, by_hot_key)
    scene.do(PROVIDER, Delegate(signer=HOT_KEY.address, until=0))
    assert not run(scene.chain.may_sign(PROVIDER.address, HOT_KEY.address))


def test_the_zero_address_is_no_hot_key(scene: Scene) -> None:
    scene.refused(PROVIDER, Delegate(signer=ZERO_ADDRESS, until=scene.now + 9), "no signer")


def test_release_frees_what_is_left_after_the_tail(scene: Scene) -> None:
    terms = scene.terms_of()
    scene.do(BOB, scene.registration(terms))
    agreement = terms.id
    release = ReleaseAgreement(agreement=agreement)
    kept = run(scene.chain.agreement(agreement))
    assert kept is not None
    scene.refused(STRANGER, ReleaseAgreement(agreement=AgreementId(bytes(32))), "no such agreement")
    scene.travel(kept.end + kept.tail_s - scene.now - 5)
    scene.refused(STRANGER, release, "agreement still binds")
    scene.travel(10)
    bob, provider = scene.balance(BOB), scene.balance(PROVIDER)
    scene.do(STRANGER, release)
    assert state(scene) == DepositState(total=Wei(100 * MFT), earmarked=Wei(0))
    earned = scene.balance(PROVIDER) - provider
    assert earned in (18 * MFT, 20 * MFT), "nine or ten whole epochs since the registration"
    assert earned + scene.balance(BOB) - bob == 20 * MFT
    assert scene.balance(scene.contract("escrow")) == 0
    scene.refused(STRANGER, release, "already released")
    scene.refused(BOB, scene.registration(terms), "agreement exists")
    scene.do(PROVIDER, Unstake(amount=Wei(100 * MFT)))
