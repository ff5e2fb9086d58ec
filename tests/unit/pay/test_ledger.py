from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from mfdb.kernel.codec import decode, encode
from mfdb.kernel.errors import BadProof, CorruptRecord, DebtLimitExceeded
from mfdb.kernel.ids import Wei
from mfdb.pay.ledger import Account, CutOff, Disputed, IssueCheque, Ledger, RequestPayment
from mfdb.pay.ledger_state import STATE_LIMIT_BYTES, LedgerState, load, save
from mfdb.pay.price import Thresholds

THRESHOLDS = Thresholds(payment=Wei(1_000), min_cheque=Wei(10))
NEW = Ledger(ours=THRESHOLDS, theirs=THRESHOLDS)


def consumed(ledger: Ledger, amount: int) -> Ledger:
    ledger, number = ledger.prepare_consume(Wei(amount))
    return ledger.apply_consume(number, Wei(amount))


def served(ledger: Ledger, amount: int) -> Ledger:
    ledger, number = ledger.prepare_serve(Wei(amount))
    return ledger.apply_serve(number, Wei(amount))


def test_a_reservation_is_applied_at_the_real_price_once() -> None:
    ledger, number = NEW.prepare_consume(Wei(300))
    assert ledger.account.balance == 0
    ledger = ledger.apply_consume(number, Wei(200))
    effects = ledger.effects()
    assert (ledger.account.owed_by_us, ledger.account.balance, effects) == (200, -200, ())
    again = ledger.apply_consume(number, Wei(200))
    assert again == ledger


def test_the_peer_can_not_charge_more_than_was_reserved() -> None:
    ledger, number = NEW.prepare_consume(Wei(300))
    assert ledger.apply_consume(number, Wei(10**9)).account.owed_by_us == 300
    ledger, number = NEW.prepare_serve(Wei(300))
    assert ledger.apply_serve(number, Wei(10**9)).account.owed_by_peer == 300


def test_half_a_threshold_asks_for_a_cheque_over_the_whole_debt() -> None:
    ledger = consumed(NEW, 499)
    assert ledger.effects() == ()
    ledger = consumed(ledger, 1)
    assert ledger.effects() == (IssueCheque(amount=Wei(500)),)
    paid = ledger.paid(Wei(500))
    assert (paid.effects(), paid.account.owed_by_us) == ((), 0)
    assert paid.paid(Wei(400)) == paid


def test_the_consumer_refuses_to_ask_for_what_would_be_refused() -> None:
    ledger = consumed(NEW, 1_000)
    assert ledger.payment_needed(Wei(250)) == 0
    assert ledger.payment_needed(Wei(251)) == 10
    assert ledger.payment_needed(Wei(400)) == 150
    with pytest.raises(DebtLimitExceeded) as caught:
        ledger.prepare_consume(Wei(400))
    assert "pay 0.00000000000000015 MFT" in caught.value.hint
    ledger.paid(Wei(150)).prepare_consume(Wei(400))


def test_a_request_beyond_the_limit_is_paid_ahead() -> None:
    needed = NEW.payment_needed(Wei(5_000))
    assert needed == 3_750
    payer, receiver = NEW.paid(needed), NEW.received(needed)
    payer, number = payer.prepare_consume(Wei(5_000))
    receiver, other = receiver.prepare_serve(Wei(5_000))
    payer = payer.apply_consume(number, Wei(5_000))
    receiver = receiver.apply_serve(other, Wei(5_000))
    assert payer.account.owed_by_us == receiver.account.owed_by_peer == 1_250


def test_the_server_serves_up_to_the_limit_with_all_that_is_under_way() -> None:
    ledger = served(NEW, 1_000)
    ledger, first = ledger.prepare_serve(Wei(200))
    with pytest.raises(DebtLimitExceeded, match="debt limit"):
        ledger.prepare_serve(Wei(51))
    ledger = ledger.release_serve(first, is_unsure=False)
    effects = ledger.effects()
    assert effects == ()
    ledger, second = ledger.prepare_serve(Wei(250))
    ledger = ledger.apply_serve(second, Wei(250))
    effects = ledger.effects()
    assert effects == (CutOff(owed=Wei(1_250)),)
    with pytest.raises(DebtLimitExceeded):
        ledger.prepare_serve(Wei(1))


def test_beyond_the_threshold_an_invoice_is_due() -> None:
    assert served(NEW, 1_000).effects() == ()
    assert served(NEW, 1_001).effects() == (RequestPayment(amount=Wei(1_001)),)


def test_debts_are_netted() -> None:
    ledger = consumed(served(NEW, 400), 700)
    assert (ledger.account.owed_by_us, ledger.account.owed_by_peer) == (300, 0)
    assert ledger.account.balance == -300


def test_paying_too_much_never_makes_the_receiver_a_debtor() -> None:
    ledger = served(NEW, 100).received(Wei(900))
    assert (ledger.account.surplus, ledger.account.owed_by_us) == (800, 0)
    assert ledger.effects() == ()
    ledger = served(ledger, 1_500)
    assert (ledger.account.surplus, ledger.account.owed_by_peer) == (0, 700)


def test_work_lost_on_the_way_is_ghost_debt_until_admitted() -> None:
    ledger, number = served(NEW, 500).prepare_serve(Wei(700))
    ledger = ledger.release_serve(number, is_unsure=True)
    effects = ledger.effects()
    assert (ledger.account.ghost, ledger.account.owed_by_peer, effects) == (700, 500, ())
    with pytest.raises(DebtLimitExceeded):
        ledger.prepare_serve(Wei(51))
    denied, effects = ledger.compare(Wei(500), Wei(0))
    assert denied.account.ghost == 700
    admitted, effects = ledger.compare(Wei(1_200), Wei(0))
    assert (admitted.account.ghost, admitted.account.owed_by_peer) == (0, 1_200)
    assert effects == (RequestPayment(amount=Wei(1_200)),)


def test_nobody_can_grow_his_own_ghost_debt_by_hanging_up() -> None:
    ledger, number = NEW.prepare_serve(Wei(1_250))
    ledger = ledger.release_serve(number, is_unsure=True)
    effects = ledger.effects()
    assert effects == (CutOff(owed=Wei(1_250)),)


def test_doubt_is_settled_by_what_the_server_booked() -> None:
    ledger, number = NEW.prepare_consume(Wei(300))
    ledger = ledger.release_consume(number, is_unsure=True)
    assert (ledger.account.doubt, ledger.account.owed_by_us) == (300, 0)
    booked, effects = ledger.compare(Wei(0), Wei(200))
    assert (booked.account.doubt, booked.account.owed_by_us, effects) == (0, 200, ())
    _, effects = ledger.compare(Wei(0), Wei(1_000))
    assert effects == (Disputed(excess=Wei(700)),)


def test_counters_are_not_compared_while_requests_are_open() -> None:
    ledger, _ = NEW.prepare_consume(Wei(1))
    with pytest.raises(BadProof):
        ledger.compare(Wei(0), Wei(0))
    assert ledger.resume().compare(Wei(0), Wei(0))[0].account.doubt == 0


def test_a_clean_release_leaves_nothing() -> None:
    ledger, number = NEW.prepare_consume(Wei(300))
    ledger = ledger.release_consume(number, is_unsure=False)
    assert ledger.account == replace(Account(), next_id=1)
    assert ledger.release_consume(number, is_unsure=True) == ledger


def test_a_bounced_cheque_is_debt_again() -> None:
    ledger = served(NEW, 1_000).received(Wei(1_000))
    ledger, effects = ledger.bounced(Wei(1_000))
    assert (ledger.account.owed_by_peer, effects) == (1_000, ())
    ledger, effects = ledger.bounced(Wei(0))
    assert ledger.account.owed_by_peer == 0


def test_negative_prices_are_our_own_bug() -> None:
    with pytest.raises(ValueError, match="negative"):
        NEW.prepare_serve(Wei(-1))


def test_an_account_survives_its_storage_beyond_64_bits() -> None:
    account = Account(
        consumed=2**200,
        paid=2**64,
        served=3,
        received=4,
        bounced=5,
        doubt=6,
        ghost=7,
        next_id=8,
        consuming={2: 2**70, 1: 5},
        serving={7: 9},
    )
    assert load(save(account)) == account
    assert save(load(save(account))) == save(account)
    resumed = replace(NEW, account=account).resume().account
    assert (resumed.doubt, resumed.ghost) == (6 + 2**70 + 5, 16)
    assert (dict(resumed.consuming), dict(resumed.serving)) == ({}, {})


@pytest.mark.parametrize("cut", [0, 1, 40, -1])
def test_damaged_storage_is_noticed(cut: int) -> None:
    with pytest.raises(CorruptRecord):
        load(save(Account())[:cut])
    with pytest.raises(CorruptRecord):
        load(save(Account()) + b"\x00")


def test_unknown_formats_and_short_amounts_are_noticed() -> None:
    state = decode(LedgerState, save(Account()), limit_bytes=STATE_LIMIT_BYTES)
    with pytest.raises(CorruptRecord, match="format 2"):
        load(encode(msgspec.structs.replace(state, format=2)))
    with pytest.raises(CorruptRecord, match="32-byte word"):
        load(encode(msgspec.structs.replace(state, ghost=b"\x01")))
