from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from mfdb.kernel.account import Account
from mfdb.kernel.errors import BadSignature, ChequeBounced, StaleCheque
from mfdb.kernel.ids import Address, Wei
from mfdb.pay.cheque import (
    CASH_MARGIN_S,
    VALIDITY_S,
    CashPolicy,
    ChequebookBalance,
    ChequeTerms,
    Uncashed,
    accept,
    is_resend,
    next_cheque,
    should_cash,
    sign_cheque,
)

if TYPE_CHECKING:
    from mfdb.rules.evidence import Cheque

ISSUER = Account(b"\x01" * 32)
BOOK = Address(b"\xc0" * 20)
ME = Address(b"\xbe" * 20)
CHAIN = 31
NOW = 1_760_000_000
TERMS = ChequeTerms(chequebook=BOOK, issuer=ISSUER.address, beneficiary=ME, chain_id=CHAIN)


def issue(last: Cheque | None, amount: int, now: int = NOW) -> Cheque:
    return next_cheque(last, Wei(amount), chequebook=BOOK, beneficiary=ME, now=now)


def take(last: Cheque | None, cheque: Cheque, now: int = NOW) -> Wei:
    return accept(last, cheque, sign_cheque(cheque, ISSUER, CHAIN), TERMS, now)


FIRST = issue(None, 500)


def test_cheques_add_up() -> None:
    second = issue(FIRST, 200)
    assert take(None, FIRST) == 500
    assert take(FIRST, second) == 200
    assert (second.cumulative_payout, second.serial) == (700, 2)
    assert take(None, second) == 700


def test_amounts_beyond_64_bits_are_signed_and_accepted() -> None:
    assert take(None, issue(None, 10**24)) == 10**24


def test_replays_and_steps_back_are_stale() -> None:
    second = issue(FIRST, 200)
    lower = msgspec.structs.replace(second, serial=9, cumulative_payout=Wei(699))
    same = msgspec.structs.replace(second, serial=9)
    forked = msgspec.structs.replace(second, cumulative_payout=Wei(701))
    for cheque in (second, FIRST, lower, same, forked):
        with pytest.raises(StaleCheque):
            take(second, cheque)
    assert is_resend(second, second)
    assert not is_resend(second, same)
    assert not is_resend(None, second)


def test_an_expiring_cheque_is_renewed_without_paying_more() -> None:
    later = NOW + VALIDITY_S - 100
    with pytest.raises(StaleCheque, match="not long enough"):
        take(None, FIRST, later)
    renewed = issue(FIRST, 0, later)
    assert take(FIRST, renewed, later) == 0
    assert renewed.valid_until > FIRST.valid_until


@pytest.mark.parametrize(
    "changed",
    [
        {"chequebook": Address(b"\xc1" * 20)},
        {"beneficiary": Address(b"\xbf" * 20)},
        {"serial": -1},
        {"serial": 2**63},
        {"cumulative_payout": -1},
        {"cumulative_payout": 2**256},
        {"valid_from": -1},
        {"valid_from": NOW + 31},
        {"valid_until": NOW + CASH_MARGIN_S - 1},
    ],
)
def test_cheques_not_for_us_or_not_now_are_refused(changed: dict[str, Any]) -> None:
    cheque: Cheque = msgspec.structs.replace(FIRST, **changed)
    with pytest.raises(StaleCheque):
        accept(None, cheque, sign_cheque(FIRST, ISSUER, CHAIN), TERMS, NOW)


def test_signatures_of_others_or_for_other_chains_are_refused() -> None:
    stranger = Account(b"\x02" * 32)
    raised = msgspec.structs.replace(FIRST, cumulative_payout=Wei(501))
    for cheque, signature in (
        (FIRST, sign_cheque(FIRST, stranger, CHAIN)),
        (FIRST, sign_cheque(FIRST, ISSUER, CHAIN + 1)),
        (FIRST, b""),
        (raised, sign_cheque(FIRST, ISSUER, CHAIN)),
    ):
        with pytest.raises(BadSignature):
            accept(None, cheque, signature, TERMS, NOW)


def test_a_first_cheque_pays_something() -> None:
    for last, amount in ((None, 0), (FIRST, -1)):
        with pytest.raises(ValueError, match="pays something"):
            issue(last, amount)


def test_the_issuer_promises_no_more_than_it_deposited() -> None:
    other = msgspec.structs.replace(FIRST, beneficiary=Address(b"\xbf" * 20))
    balance = ChequebookBalance(deposited=Wei(1_199)).promise(FIRST).promise(other)
    assert balance.promised == 1_000
    with pytest.raises(ChequeBounced, match=r"0\.000000000000000001 MFT short"):
        balance.promise(issue(FIRST, 200))
    assert balance.promise(issue(FIRST, 199)).promised == 1_199
    assert balance.promise(FIRST) == balance


def test_the_issuer_never_promises_less() -> None:
    balance = ChequebookBalance(deposited=Wei(1_000)).promise(issue(FIRST, 1))
    with pytest.raises(StaleCheque):
        balance.promise(FIRST)


@pytest.mark.parametrize(
    ("amount", "cover", "age_s", "left_s", "due"),
    [
        (2_001, 10**6, 0, 10**6, True),
        (2_000, 10**6, 0, 10**6, False),
        (1_001, 10**6, 86_400, 10**6, True),
        (1_001, 10**6, 86_399, 10**6, False),
        (1_000, 10**6, 86_400, 10**6, False),
        (500, 999, 0, 10**6, True),
        (500, 1_000, 0, 10**6, False),
        (101, 10**6, 0, CASH_MARGIN_S - 1, True),
        (100, 0, 10**9, 0, False),
    ],
)
def test_when_to_cash(amount: int, cover: int, age_s: float, left_s: float, due: bool) -> None:  # noqa: FBT001  a table's column
    hand = Uncashed(amount=Wei(amount), cover=Wei(cover), age_s=age_s, left_s=left_s)
    assert should_cash(hand, Wei(100)) is due


def test_the_policy_can_be_set() -> None:
    hand = Uncashed(amount=Wei(300), cover=Wei(10**6), age_s=0, left_s=10**6)
    assert should_cash(hand, Wei(100), CashPolicy(gas_factor=2))
