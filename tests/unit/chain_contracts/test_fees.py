"""Storage fees: in arrears, whole epochs, as far as they are funded."""

from __future__ import annotations

from mfdb.chain.port import ClaimFees, PushVerdict, ReleaseAgreement
from mfdb.kernel.ids import MFT, AgreementId, Wei
from tests.fixtures.court_scene import BOB, PROVIDER, STRANGER, Scene, run


def claimed(scene: Scene, agreement: AgreementId) -> int:
    before = scene.balance(PROVIDER)
    scene.do(STRANGER, ClaimFees(agreement=agreement))
    return scene.balance(PROVIDER) - before


def test_fees_come_for_whole_epochs_that_passed(scene: Scene) -> None:
    agreement = scene.register()
    claim = ClaimFees(agreement=agreement)
    scene.refused(PROVIDER, claim, "nothing due")
    scene.travel(590)
    scene.refused(PROVIDER, claim, "nothing due")
    scene.travel(20)
    assert claimed(scene, agreement) == 2 * MFT
    scene.refused(PROVIDER, claim, "nothing due")
    scene.travel(1800)
    assert claimed(scene, agreement) == 6 * MFT
    unknown = ClaimFees(agreement=AgreementId(bytes(32)))
    scene.refused(PROVIDER, unknown, "no such agreement")


def test_a_backdated_start_earns_nothing(scene: Scene) -> None:
    agreement = scene.register(start=scene.now - 5000)
    scene.refused(PROVIDER, ClaimFees(agreement=agreement), "nothing due")


def test_no_fee_is_earned_after_the_end(scene: Scene) -> None:
    agreement = scene.register(start=scene.now - 10, end=scene.now + 5990)
    scene.travel(10**6)
    assert claimed(scene, agreement) == 18 * MFT, "nine whole epochs since the registration"
    before = scene.balance(BOB)
    scene.do(STRANGER, ReleaseAgreement(agreement=agreement))
    assert scene.balance(BOB) == before + 2 * MFT


def test_an_agreement_without_funds_pays_nothing(scene: Scene) -> None:
    agreement = scene.terms_of()
    scene.do(BOB, scene.registration(agreement, funding=Wei(3 * MFT)))
    scene.travel(6100)
    assert claimed(scene, agreement.id) == 2 * MFT
    scene.refused(PROVIDER, ClaimFees(agreement=agreement.id), "nothing due")


def test_a_free_agreement_has_nothing_to_claim(scene: Scene) -> None:
    agreement = scene.register(fee_per_epoch=Wei(0))
    scene.travel(6100)
    scene.refused(PROVIDER, ClaimFees(agreement=agreement), "nothing due")


def test_a_convicted_segment_does_not_stop_the_fees_of_the_rest(scene: Scene) -> None:
    agreement = scene.register()
    case = scene.accuse(scene.receipt(agreement))
    scene.travel(901)
    scene.do(STRANGER, PushVerdict(case=case))
    assert claimed(scene, agreement) == 2 * MFT


def test_an_agreement_slashed_to_nothing_earns_no_more(scene: Scene) -> None:
    agreement = scene.register(capacity_bytes=512)
    case = scene.accuse(scene.receipt(agreement))
    scene.travel(901)
    scene.do(STRANGER, PushVerdict(case=case))
    assert run(scene.chain.deposit(PROVIDER.address)).earmarked == 0
    scene.refused(PROVIDER, ClaimFees(agreement=agreement), "nothing due")
    scene.travel(10**4)
    before = scene.balance(BOB)
    scene.do(STRANGER, ReleaseAgreement(agreement=agreement))
    assert scene.balance(BOB) == before + 20 * MFT
