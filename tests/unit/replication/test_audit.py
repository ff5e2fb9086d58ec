from __future__ import annotations

from hashlib import sha256

import msgspec
import pytest

from mfdb.kernel.codec import encode
from mfdb.kernel.errors import BadProof
from mfdb.kernel.ids import AgreementId, Hash
from replication.audit import (
    DRAWS,
    PROOF_LIMIT_BYTES,
    AuditAnswer,
    answer,
    failed_draw,
    is_audited,
    unit_of_draw,
    units_of,
)
from replication.shard import store_receipt
from tests.fixtures.sealing import receipt_of

BEACON = Hash(b"\x0b" * 32)
SHARD = bytes(range(256)) * 200
RECEIPT = store_receipt(
    AgreementId(b"\x01" * 32), receipt_of(0).receipt.segment, SHARD, index=0, expiry=9
)


def test_the_draw_is_the_formula_of_the_court() -> None:
    agreement, segment = RECEIPT.agreement, RECEIPT.segment
    words = BEACON + agreement + segment + (5).to_bytes(32, "big")
    due = int.from_bytes(sha256(words).digest(), "big") % 100
    assert unit_of_draw(BEACON, agreement, segment, 5, 100) == due
    assert unit_of_draw(BEACON, agreement, segment, 5, 1) == 0


def test_draws_differ_by_beacon_agreement_and_segment() -> None:
    drawn = units_of(RECEIPT, BEACON)
    assert len(drawn) == DRAWS
    assert all(0 <= unit < RECEIPT.units for unit in drawn)
    others = [
        units_of(RECEIPT, Hash(b"\x0c" * 32)),
        units_of(msgspec.structs.replace(RECEIPT, agreement=AgreementId(b"\x02" * 32)), BEACON),
        units_of(msgspec.structs.replace(RECEIPT, segment=b"\x02" * 32), BEACON),
    ]
    assert drawn not in others


def test_an_honest_holder_passes_within_the_size_limit() -> None:
    shown = answer(RECEIPT, SHARD, BEACON)
    assert failed_draw(RECEIPT, BEACON, shown) is None
    assert len(encode(shown)) < PROOF_LIMIT_BYTES


def test_an_honest_holder_notices_damage_before_it_answers() -> None:
    with pytest.raises(BadProof):
        answer(RECEIPT, SHARD[:-1] + b"\x00", BEACON)


def test_the_failed_draw_is_named() -> None:
    proofs = list(answer(RECEIPT, SHARD, BEACON).proofs)
    proofs[7] = msgspec.structs.replace(proofs[7], unit=bytes(512))
    assert failed_draw(RECEIPT, BEACON, AuditAnswer(proofs=tuple(proofs))) == 7
    assert failed_draw(RECEIPT, BEACON, AuditAnswer(proofs=tuple(proofs[:4]))) == 4
    assert failed_draw(RECEIPT, BEACON, AuditAnswer(proofs=())) == 0


def test_an_answer_to_another_beacon_fails() -> None:
    shown = answer(RECEIPT, SHARD, Hash(b"\x0c" * 32))
    assert failed_draw(RECEIPT, BEACON, shown) is not None


def test_about_the_asked_share_of_agreements_is_audited() -> None:
    agreements = [AgreementId(at.to_bytes(32, "big")) for at in range(2_000)]
    hit = sum(is_audited(BEACON, agreement, 1_000) for agreement in agreements)
    assert 150 < hit < 250
    assert not any(is_audited(BEACON, agreement, 0) for agreement in agreements)
    assert all(is_audited(BEACON, agreement, 10_000) for agreement in agreements)
