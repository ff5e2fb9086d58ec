"""Cheques: cumulative promises from a chequebook, each newer one replacing all before it.

The issuer never promises more than its chequebook holds; the receiver takes a cheque only from the
chequebook and issuer it knows, for itself, on this chain, and only if it pays more than the last.
An expired cheque does not erase the debt: the issuer issues the same total anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from mfdb.kernel.account import recover
from mfdb.kernel.errors import BadSignature, ChequeBounced, StaleCheque
from mfdb.kernel.ids import Wei, show_mft
from mfdb.rules.evidence import Cheque

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mfdb.kernel.account import Account
    from mfdb.kernel.ids import Address

VALIDITY_S = 30 * 86_400
CLOCK_SKEW_S = 30
CASH_MARGIN_S = 3 * 86_400
"""A cheque is refused, or cashed at last, when it is valid for less than this."""


# ---- the issuer


@dataclass(frozen=True, slots=True, kw_only=True)
class ChequebookBalance:
    """What the issuer has put into its chequebook, ever, and promised to whom, ever."""

    deposited: Wei
    issued: Mapping[Address, Wei] = field(default_factory=dict)

    @property
    def promised(self) -> Wei:
        """Sum over all beneficiaries of what they may have cashed or may still cash."""
        return Wei(sum(self.issued.values()))

    def promise(self, cheque: Cheque) -> ChequebookBalance:
        """Return the balance after issuing a cheque; persist it before the cheque is sent.

        Raises:
            ChequeBounced: the chequebook does not cover it; nothing was issued.
            StaleCheque: it promises less than an earlier cheque to that beneficiary.
        """
        before = self.issued.get(cheque.beneficiary, Wei(0))
        if cheque.cumulative_payout < before:
            raise StaleCheque("a cheque never promises less than the one before")
        after = replace(self, issued={**self.issued, cheque.beneficiary: cheque.cumulative_payout})
        short = after.promised - self.deposited
        if short > 0:
            raise ChequeBounced(
                f"the chequebook is {show_mft(short)} MFT short of this cheque",
                hint="deposit more MFT into the chequebook",
            )
        return after


def next_cheque(
    last: Cheque | None,
    amount: Wei,
    *,
    chequebook: Address,
    beneficiary: Address,
    now: int,
    validity_s: int = VALIDITY_S,
) -> Cheque:
    """Return the cheque that pays `amount` more than the last one; times are seconds.

    An amount of zero renews a cheque about to expire.
    """
    if amount < 0 or (last is None and amount == 0):
        raise ValueError("a cheque pays something")
    return Cheque(
        chequebook=chequebook,
        beneficiary=beneficiary,
        cumulative_payout=Wei((last.cumulative_payout if last else 0) + amount),
        serial=last.serial + 1 if last else 1,
        valid_from=now - CLOCK_SKEW_S,
        valid_until=now + validity_s,
    )


def sign_cheque(cheque: Cheque, issuer: Account, chain_id: int) -> bytes:
    """Return the issuer's signature over a cheque."""
    return issuer.sign(cheque.digest(chain_id))


# ---- the receiver


@dataclass(frozen=True, slots=True, kw_only=True)
class ChequeTerms:
    """What a receiver takes: from this chequebook and issuer, for itself, on this chain."""

    chequebook: Address
    issuer: Address
    beneficiary: Address
    chain_id: int
    min_validity_s: int = CASH_MARGIN_S


def accept(
    last: Cheque | None, cheque: Cheque, signature: bytes, terms: ChequeTerms, now: int
) -> Wei:
    """Return what a cheque pays beyond the last accepted one, in wei; `now` is block time in s.

    Whether the chequebook covers it the chain says; that is advice, not acceptance.

    Raises:
        StaleCheque: for another chequebook or beneficiary, not newer, paying no more, not valid
            long enough; also one we have already (`is_resend` tells that from cheating).
        BadSignature: not signed by the issuer for this chain.
    """
    if (cheque.chequebook, cheque.beneficiary) != (terms.chequebook, terms.beneficiary):
        raise StaleCheque("the cheque is from another chequebook or for somebody else")
    _check_ranges(cheque)
    if last is not None and cheque.serial <= last.serial:
        raise StaleCheque(f"the cheque's serial {cheque.serial} is not after {last.serial}")
    before = last.cumulative_payout if last else 0
    is_renewal = last is not None and cheque.valid_until > last.valid_until
    if cheque.cumulative_payout < before or (cheque.cumulative_payout == before and not is_renewal):
        raise StaleCheque("the cheque pays no more than the last one")
    if cheque.valid_from > now + CLOCK_SKEW_S or cheque.valid_until < now + terms.min_validity_s:
        raise StaleCheque("the cheque is not valid yet, or not long enough to cash it")
    if recover(cheque.digest(terms.chain_id), signature) != terms.issuer:
        raise BadSignature("the cheque is not signed by the chequebook's issuer for this chain")
    return Wei(cheque.cumulative_payout - before)


def is_resend(last: Cheque | None, cheque: Cheque) -> bool:
    """Return whether a cheque is the very one accepted last, sent again after a lost answer."""
    return last is not None and cheque == last


def _check_ranges(cheque: Cheque) -> None:
    times = (cheque.serial, cheque.valid_from, cheque.valid_until)
    if not 0 <= cheque.cumulative_payout < 2**256 or any(not 0 <= t < 2**63 for t in times):
        raise StaleCheque("a number in the cheque is out of range")


# ---- going to the chain


@dataclass(frozen=True, slots=True, kw_only=True)
class CashPolicy:
    """When a cheque is worth a transaction."""

    gas_factor: int = 20
    cover_factor: int = 2
    settle_after_s: float = 86_400.0
    settle_gas_factor: int = 10
    margin_s: float = CASH_MARGIN_S


_DEFAULT_POLICY = CashPolicy()


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncashed:
    """A cheque in hand: `amount` not yet cashed, `cover` in the chequebook, both in wei.

    `age_s` since it was first worth anything, `left_s` until it expires.
    """

    amount: Wei
    cover: Wei
    age_s: float
    left_s: float


def should_cash(cheque: Uncashed, gas_cost: Wei, policy: CashPolicy = _DEFAULT_POLICY) -> bool:
    """Return whether to cash now: never at a loss; else when large, old, thin or expiring."""
    if cheque.amount <= gas_cost:
        return False
    is_large = cheque.amount > policy.gas_factor * gas_cost
    is_thin = cheque.cover < policy.cover_factor * cheque.amount
    is_old = (
        cheque.age_s >= policy.settle_after_s
        and cheque.amount > policy.settle_gas_factor * gas_cost
    )
    return is_large or is_thin or is_old or cheque.left_s < policy.margin_s
