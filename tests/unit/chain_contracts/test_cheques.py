"""Chequebooks: cumulative cheques, bounces, replays; and the records of identities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from mfdb.chain.port import (
    CashCheque,
    ChequebookState,
    ChequeCashed,
    CreateChequebook,
    RecordKind,
    RecordPublished,
    SetRecord,
    TransferMft,
)
from mfdb.kernel.ids import MFT, ZERO_ADDRESS, Address, Wei
from tests.fixtures.court_scene import ALICE, BOB, STRANGER, Scene, run

if TYPE_CHECKING:
    from mfdb.kernel.account import Account
    from mfdb.rules.evidence import Cheque

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def signed(scene: Scene, cheque: Cheque, by: Account = ALICE) -> CashCheque:
    chain_id = scene.chain.network.chain_id
    return CashCheque(cheque=cheque, signature=by.sign(cheque.digest(chain_id)))


def twin_of(signature: bytes) -> bytes:
    """Return the other signature that recovers to the same key: s and v turned over."""
    s = ORDER - int.from_bytes(signature[32:64], "big")
    return signature[:32] + s.to_bytes(32, "big") + bytes([55 - signature[64]])


def test_a_cheque_pays_what_is_not_yet_paid(scene: Scene) -> None:
    book = scene.chequebook()
    before = scene.balance(BOB)
    mined = scene.do(STRANGER, signed(scene, scene.cheque(book)))
    assert scene.balance(BOB) == before + 4 * MFT
    events = [seen.event for seen in run(scene.chain.events(since_block=mined.block))]
    cashed = ChequeCashed(chequebook=book, beneficiary=BOB.address, amount=Wei(4 * MFT))
    assert events[0] == cashed
    scene.refused(BOB, signed(scene, scene.cheque(book)), "nothing due")
    more = scene.cheque(book, cumulative_payout=Wei(7 * MFT), serial=2)
    scene.do(BOB, signed(scene, more))
    assert scene.balance(BOB) == before + 7 * MFT
    old = scene.cheque(book, cumulative_payout=Wei(9 * MFT), serial=1)
    scene.refused(BOB, signed(scene, old), "newer cheque cashed")
    assert run(scene.chain.chequebook(book, BOB.address)) == ChequebookState(
        issuer=ALICE.address, balance=Wei(3 * MFT), paid_out=Wei(7 * MFT), bounced=False
    )


def test_a_shortfall_bounces_until_it_is_made_good(scene: Scene) -> None:
    book = scene.chequebook(3 * MFT)
    call = signed(scene, scene.cheque(book))
    scene.do(BOB, call)
    state = run(scene.chain.chequebook(book, BOB.address))
    assert state is not None
    assert (state.bounced, state.paid_out, state.balance) == (True, 3 * MFT, 0)
    scene.do(BOB, call)
    state = run(scene.chain.chequebook(book, BOB.address))
    assert state is not None
    assert (state.bounced, state.paid_out) == (True, 3 * MFT)
    scene.do(STRANGER, TransferMft(to=book, amount=Wei(5 * MFT)))
    scene.do(BOB, call)
    state = run(scene.chain.chequebook(book, BOB.address))
    assert state is not None
    assert (state.bounced, state.paid_out, state.balance) == (False, 4 * MFT, 4 * MFT)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"valid_from": 2**33}, "cheque not yet valid"),
        ({"valid_until": 1_700_000_001}, "cheque expired"),
        ({"cumulative_payout": 0}, "nothing due"),
    ],
)
def test_cheques_have_bounds(scene: Scene, changes: dict[str, Any], reason: str) -> None:
    book = scene.chequebook()
    scene.refused(BOB, signed(scene, scene.cheque(book, **changes)), reason)


def test_nobody_can_forge_change_or_move_a_cheque(scene: Scene) -> None:
    book, other = scene.chequebook(), scene.chequebook()
    assert book != other
    cheque = scene.cheque(book)
    good = signed(scene, cheque)
    bad = "bad cheque signature"
    scene.refused(BOB, signed(scene, cheque, STRANGER), bad)
    scene.refused(BOB, CashCheque(cheque=cheque, signature=twin_of(good.signature)), bad)
    scene.refused(BOB, CashCheque(cheque=cheque, signature=good.signature[:64]), bad)
    zeroes = bytes(64) + b"\x1b"
    scene.refused(BOB, CashCheque(cheque=cheque, signature=zeroes), bad)
    moved = scene.cheque(other)
    scene.refused(BOB, CashCheque(cheque=moved, signature=good.signature), bad)
    elsewhere = ALICE.sign(cheque.digest(scene.chain.network.chain_id + 1))
    scene.refused(BOB, CashCheque(cheque=cheque, signature=elsewhere), bad)
    for change in ({"cumulative_payout": Wei(5 * MFT)}, {"beneficiary": STRANGER.address},
                   {"serial": 2}, {"valid_until": cheque.valid_until + 1}):  # fmt: skip
        changed = CashCheque(cheque=scene.cheque(book, **change), signature=good.signature)
        scene.refused(BOB, changed, bad)
    scene.do(BOB, good)


def test_the_newest_chequebook_of_an_issuer_is_known(scene: Scene) -> None:
    assert run(scene.chain.chequebook_of(ALICE.address)) is None
    for _ in range(2):
        book = scene.chequebook()
        assert run(scene.chain.chequebook_of(ALICE.address)) == book
    assert run(scene.chain.chequebook_of(BOB.address)) is None


def test_a_chequebook_of_another_factory_is_none(scene: Scene) -> None:
    assert run(scene.chain.chequebook(Address(b"c" * 20), BOB.address)) is None
    stray = scene.cheque(Address(b"c" * 20))
    scene.refused(BOB, signed(scene, stray), "no such chequebook")


def test_a_chequebook_cannot_be_funded_with_what_one_has_not(scene: Scene) -> None:
    scene.refused(ALICE, CreateChequebook(amount=Wei(10**6 * MFT)), "balance too small")


def test_transfers_have_bounds(scene: Scene) -> None:
    scene.refused(ALICE, TransferMft(to=BOB.address, amount=Wei(1001 * MFT)), "balance too small")
    scene.refused(ALICE, TransferMft(to=ZERO_ADDRESS, amount=Wei(1)), "bad recipient")
    scene.refused(ALICE, TransferMft(to=scene.contract("mft"), amount=Wei(1)), "bad recipient")


def test_records_are_published_and_replaced(scene: Scene) -> None:
    chain = scene.chain
    assert run(chain.record(ALICE.address, RecordKind.NODE)) is None
    scene.do(ALICE, SetRecord(kind=RecordKind.NODE, record=b"first"))
    mined = scene.do(ALICE, SetRecord(kind=RecordKind.NODE, record=b"second"))
    scene.do(ALICE, SetRecord(kind=RecordKind.HOME, record=b"x" * 4096))
    scene.do(BOB, SetRecord(kind=RecordKind.NODE, record=b""))
    assert run(chain.record(ALICE.address, RecordKind.NODE)) == b"second"
    assert run(chain.record(ALICE.address, RecordKind.HOME)) == b"x" * 4096
    assert run(chain.records(RecordKind.NODE)) == {ALICE.address: b"second", BOB.address: b""}
    first = run(chain.events(since_block=mined.block))[0]
    assert first.event == RecordPublished(
        identity=ALICE.address, kind=RecordKind.NODE, record=b"second"
    )
    long = SetRecord(kind=RecordKind.NODE, record=b"x" * 4097)
    scene.refused(ALICE, long, "record too long")
