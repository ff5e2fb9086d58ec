from __future__ import annotations

from typing import Any

import msgspec
import pytest

from mfdb.kernel.account import Account as Key
from mfdb.kernel.codec import decode, encode
from mfdb.kernel.errors import BadProof, BadSignature, WrongNetwork
from mfdb.kernel.ids import Address, Hash, Wei
from mfdb.kernel.typed_data import word
from mfdb.pay.balance import (
    BalanceState,
    Invoice,
    SignedBalance,
    Waiver,
    balance_state,
    check_balance,
    check_follows,
    check_invoice,
    check_waiver,
    must_sign,
)
from mfdb.pay.ledger import Account
from mfdb.pay.price import Thresholds
from mfdb.rules.signing import sign

NETWORK = Hash(b"\x07" * 32)
LOW, HIGH = sorted((Key(b"\x01" * 32), Key(b"\x02" * 32)), key=lambda key: key.address)
LOWS = Account(consumed=2**70, paid=2, served=3, received=4)
HIGHS = Account(consumed=3, paid=4, served=2**70, received=2)


def signed(state: BalanceState) -> SignedBalance:
    return SignedBalance(
        state=state, first_signature=sign(state, LOW), second_signature=sign(state, HIGH)
    )


def state(account: Account = LOWS, place: tuple[int, int] = (5, 100)) -> BalanceState:
    return balance_state(account, network=NETWORK, us=LOW.address, peer=HIGH.address, place=place)


def test_both_sides_write_the_same_state() -> None:
    theirs = balance_state(
        HIGHS, network=NETWORK, us=HIGH.address, peer=LOW.address, place=(5, 100)
    )
    assert theirs == state()
    check_balance(signed(state()), network=NETWORK)
    assert decode(SignedBalance, encode(signed(state())), limit_bytes=8_192) == signed(state())


def test_balances_not_signed_by_both_or_malformed_are_refused() -> None:
    good = signed(state())
    swapped = SignedBalance(
        state=good.state,
        first_signature=good.second_signature,
        second_signature=good.first_signature,
    )
    with pytest.raises(BadSignature):
        check_balance(swapped, network=NETWORK)
    with pytest.raises(WrongNetwork):
        check_balance(good, network=Hash(bytes(32)))
    short = msgspec.structs.replace(state(), first_paid=b"\x01")
    upside = msgspec.structs.replace(state(), first=HIGH.address, second=LOW.address)
    for bad in (short, upside):
        with pytest.raises(BadProof):
            check_balance(signed(bad), network=NETWORK)


@pytest.mark.parametrize(
    "changed",
    [
        {"number": 4},
        {"number": 5},
        {"hlc": 99},
        {"first_paid": word(1)},
        {"second_served": word(2**70 - 1)},
        {"second": Address(b"\xff" * 20)},
        {"network": Hash(bytes(32))},
    ],
)
def test_counters_never_go_back(changed: dict[str, Any]) -> None:
    check_follows(state(place=(6, 100)), state())
    fields = {"number": 6, **changed}
    with pytest.raises(BadProof):
        check_follows(msgspec.structs.replace(state(), **fields), state())


def test_an_eighth_of_a_threshold_wants_signatures() -> None:
    thresholds = Thresholds(payment=Wei(800))
    assert not must_sign(Wei(99), thresholds)
    assert must_sign(Wei(100), thresholds)


def test_invoices_are_for_their_debtor_by_their_creditor() -> None:
    invoice = Invoice(
        network=NETWORK,
        creditor=LOW.address,
        debtor=HIGH.address,
        number=1,
        balance_number=5,
        amount=word(2**70),
        due_by=600,
    )
    good = sign(invoice, LOW)
    assert check_invoice(invoice, good, network=NETWORK, debtor=HIGH.address) == 2**70
    with pytest.raises(BadProof):
        check_invoice(invoice, good, network=NETWORK, debtor=LOW.address)
    with pytest.raises(BadSignature):
        check_invoice(invoice, sign(invoice, HIGH), network=NETWORK, debtor=HIGH.address)
    short = msgspec.structs.replace(invoice, amount=b"\x01")
    with pytest.raises(BadProof):
        check_invoice(short, sign(short, LOW), network=NETWORK, debtor=HIGH.address)


def test_waivers_are_for_our_chequebook_by_its_beneficiary() -> None:
    book = Address(b"\xc0" * 20)
    waiver = Waiver(
        network=NETWORK, chequebook=book, beneficiary=LOW.address, serial=3, amount=word(7)
    )
    assert check_waiver(waiver, sign(waiver, LOW), network=NETWORK, chequebook=book) == 7
    with pytest.raises(BadSignature):
        check_waiver(waiver, sign(waiver, HIGH), network=NETWORK, chequebook=book)
    with pytest.raises(BadProof):
        check_waiver(waiver, sign(waiver, LOW), network=NETWORK, chequebook=Address(bytes(20)))
