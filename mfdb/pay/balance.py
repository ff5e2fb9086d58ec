"""Balances both sides sign, invoices that name them, and waivers.

Each time the part not yet co-signed passes an eighth of the payment threshold both sign their
counters, so nobody can lose more than that to a peer that denies. Amounts are 32-byte words
(MessagePack integers end at 64 bits).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from mfdb.kernel.codec import Record
from mfdb.kernel.errors import BadProof
from mfdb.kernel.ids import Address, Hash, Wei
from mfdb.kernel.typed_data import word
from mfdb.rules.signing import check_network, check_signature

if TYPE_CHECKING:
    from mfdb.pay.ledger import Account
    from mfdb.pay.price import Thresholds

UNSIGNED_SHARE = 8
INVOICE_DUE_S = 600


class BalanceState(Record, frozen=True):
    """The counters of a pair; `first` is the lower address. Counters only grow with `number`."""

    network: Hash
    first: Address
    second: Address
    number: int
    first_served: bytes
    second_served: bytes
    first_paid: bytes
    second_paid: bytes
    hlc: int

    DOMAIN: ClassVar[str] = "mfdb.balance.v1"


class SignedBalance(Record, frozen=True):
    """A balance with the signatures of both sides."""

    state: BalanceState
    first_signature: bytes
    second_signature: bytes


class Invoice(Record, frozen=True):
    """The creditor's demand for what balance `balance_number` shows, due at `due_by` (s)."""

    network: Hash
    creditor: Address
    debtor: Address
    number: int
    balance_number: int
    amount: bytes
    due_by: int

    DOMAIN: ClassVar[str] = "mfdb.invoice.v1"


class Waiver(Record, frozen=True):
    """The beneficiary gives up `amount` of what the cheque `serial` of a chequebook pays it.

    It counts as a payment by the beneficiary (W47). The chequebook contract does not know of
    waivers, so between the two it is a debt settled, and proof of that, not a smaller cheque.
    """

    network: Hash
    chequebook: Address
    beneficiary: Address
    serial: int
    amount: bytes

    DOMAIN: ClassVar[str] = "mfdb.waiver.v1"


def balance_state(
    account: Account, *, network: Hash, us: Address, peer: Address, place: tuple[int, int]
) -> BalanceState:
    """Return the state to sign for an account; `place` is its number and HLC."""
    ours = (word(account.served), word(account.paid))
    theirs = (word(account.consumed), word(account.received))
    (first, first_side), (second, second_side) = sorted([(us, ours), (peer, theirs)])
    return BalanceState(
        network=network,
        first=first,
        second=second,
        number=place[0],
        first_served=first_side[0],
        second_served=second_side[0],
        first_paid=first_side[1],
        second_paid=second_side[1],
        hlc=place[1],
    )


def check_balance(signed: SignedBalance, *, network: Hash) -> None:
    """Return quietly if both sides signed a well-formed balance of this network.

    Raises:
        WrongNetwork, BadProof, BadSignature: it is not.
    """
    state = signed.state
    check_network(state.network, network)
    if any(len(amount) != 32 for amount in _amounts(state)) or not state.first < state.second:
        raise BadProof("a balance has 32-byte amounts and names the lower address first")
    check_signature(state, signed.first_signature, state.first)
    check_signature(state, signed.second_signature, state.second)


def check_follows(state: BalanceState, last: BalanceState) -> None:
    """Return quietly if a balance may follow another one: same pair, higher number, none less.

    Raises:
        BadProof: it may not.
    """
    if (state.network, state.first, state.second) != (last.network, last.first, last.second):
        raise BadProof("the balance is of another pair")
    if state.number <= last.number or state.hlc < last.hlc:
        raise BadProof("the balance is not newer")
    shrunk = any(now < then for now, then in zip(_amounts(state), _amounts(last), strict=True))
    if shrunk:
        raise BadProof("a counter of the balance went back")


def must_sign(unsigned: Wei, thresholds: Thresholds) -> bool:
    """Return whether so much beyond the last co-signed balance calls for a new one."""
    return unsigned * UNSIGNED_SHARE >= thresholds.payment


def amount_of(raw: bytes) -> Wei:
    """Return the amount that a 32-byte word of an invoice, waiver or balance holds.

    Raises:
        BadProof: it has not 32 bytes.
    """
    if len(raw) != 32:
        raise BadProof("an amount is a 32-byte word")
    return Wei(int.from_bytes(raw, "big"))


def check_invoice(invoice: Invoice, signature: bytes, *, network: Hash, debtor: Address) -> Wei:
    """Return what an invoice demands of `debtor`, in wei.

    Raises:
        WrongNetwork, BadProof, BadSignature: it is not a good invoice for that debtor.
    """
    check_network(invoice.network, network)
    if invoice.debtor != debtor:
        raise BadProof("the invoice is for somebody else")
    check_signature(invoice, signature, invoice.creditor)
    return amount_of(invoice.amount)


def check_waiver(waiver: Waiver, signature: bytes, *, network: Hash, chequebook: Address) -> Wei:
    """Return what a waiver gives up of our chequebook's cheques, in wei.

    Raises:
        WrongNetwork, BadProof, BadSignature: it is not a good waiver for that chequebook.
    """
    check_network(waiver.network, network)
    if waiver.chequebook != chequebook:
        raise BadProof("the waiver is for another chequebook")
    check_signature(waiver, signature, waiver.beneficiary)
    return amount_of(waiver.amount)


def _amounts(state: BalanceState) -> tuple[bytes, ...]:
    return (state.first_served, state.second_served, state.first_paid, state.second_paid)
