"""SWAP accounting with one peer: reserve, then apply or release; pay before the limit is reached.

Four cumulative counters say everything: what we consumed of the peer and what we paid for it,
what we served the peer and what it paid. They only grow, are kept across reconnects and restarts,
and mirror the peer's: its `served` is our `consumed`, its `received` is our `paid`. So the sum of
both sides' balances is zero whenever nothing is under way.

What was reserved when a side crashed or lost the connection has an unknown fate: at the consumer
it becomes `doubt`, at the server `ghost`; both count as debt until the two compare counters
(`compare`). A payment beyond the debt is a surplus set against later service; it never makes the
receiver the debtor, so a cheque that bounces cannot have bought an honest one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from mfdb.kernel.errors import BadProof, DebtLimitExceeded
from mfdb.kernel.ids import Wei, show_mft

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mfdb.pay.price import Thresholds


# ---- effects


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueCheque:
    """Pay the peer so much: issue a cheque and call `paid` with its cumulative payout."""

    amount: Wei


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestPayment:
    """The peer owes more than its payment threshold: send an invoice."""

    amount: Wei


@dataclass(frozen=True, slots=True, kw_only=True)
class CutOff:
    """The peer has reached the disconnect limit: serve nothing until it pays."""

    owed: Wei


@dataclass(frozen=True, slots=True, kw_only=True)
class Disputed:
    """The peer claims to have served more than we can have consumed; the excess is not booked."""

    excess: Wei


Effect = IssueCheque | RequestPayment | CutOff | Disputed


# ---- the state


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """What stands between us and one peer, in wei. `consuming` and `serving` are reservations.

    `bounced` is what the peer's chequebook did not pay of a cheque we cashed.
    """

    consumed: int = 0
    paid: int = 0
    served: int = 0
    received: int = 0
    bounced: int = 0
    doubt: int = 0
    ghost: int = 0
    next_id: int = 0
    consuming: Mapping[int, int] = msgspec.field(default_factory=dict)
    serving: Mapping[int, int] = msgspec.field(default_factory=dict)

    @property
    def balance(self) -> int:
        """What the peer owes us (positive) or we owe it, certain amounts only, surplus included."""
        return self.credit - self.debit

    @property
    def credit(self) -> int:
        """What we served and the peer has not paid; negative where it paid ahead."""
        return self.served - self.received + self.bounced

    @property
    def debit(self) -> int:
        """What we consumed and have not paid; negative where we paid ahead."""
        return self.consumed - self.paid

    @property
    def surplus(self) -> Wei:
        """What the peer paid beyond what it consumed."""
        return Wei(max(0, -self.credit))

    @property
    def owed_by_us(self) -> Wei:
        """Our debt: consumed and not paid, less what the peer owes us. Surplus is no debt."""
        return Wei(max(0, self.exposure_to_us))

    @property
    def owed_by_peer(self) -> Wei:
        """The peer's debt by the same rule."""
        return Wei(max(0, self.exposure_to_peer))

    @property
    def exposure_to_us(self) -> int:
        """Our debt, negative where we paid ahead."""
        # `debit - max(0, credit)`, written out: asked for every request, as the next one.
        credit = self.served - self.received + self.bounced
        debit = self.consumed - self.paid
        return debit - credit if credit > 0 else debit

    @property
    def exposure_to_peer(self) -> int:
        """The peer's debt, negative where it paid ahead."""
        credit = self.served - self.received + self.bounced
        debit = self.consumed - self.paid
        return credit - debit if debit > 0 else credit


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """Accounting with one peer.

    `ours` is how much we let the peer owe us, `theirs` how much it lets us owe it (as announced).
    Every method returns the new ledger; persist it before carrying out its `effects`.
    """

    ours: Thresholds
    theirs: Thresholds
    account: Account = msgspec.field(default_factory=Account)

    # ---- we consume

    def prepare_consume(self, price: Wei) -> tuple[Ledger, int]:
        """Return the ledger with the price (at most) of a request reserved, and the reservation.

        Raises:
            DebtLimitExceeded: the peer would refuse; pay `payment_needed(price)` first.
        """
        needed = self.payment_needed(price)
        if needed:
            raise DebtLimitExceeded(
                f"the request would leave us owing {show_mft(needed)} MFT over the peer's limit",
                hint=f"pay {show_mft(needed)} MFT by cheque first",
            )
        account, number = _reserved(self.account, "consuming", price)
        return replace(self, account=account), number

    def payment_needed(self, price: Wei) -> Wei:
        """Return what must be paid before a request of this price fits under the peer's limit.

        What goes beyond our debt is paid ahead, at our risk: it is the peer's surplus.
        """
        account = self.account
        open_debt = account.exposure_to_us + account.doubt
        if account.consuming:
            open_debt += sum(account.consuming.values())
        over = open_debt + price - self.theirs.limit
        return Wei(max(over, self.theirs.min_cheque)) if over > 0 else Wei(0)

    def apply_consume(self, reservation: int, price: Wei) -> Ledger:
        """Book a request that was answered, at its real price (at most the reserved one).

        An unknown reservation (applied or released before, or lost in a restart) changes nothing.
        """
        reserved = self.account.consuming.get(reservation)
        if reserved is None:
            return self
        account = replace(
            self.account,
            consumed=self.account.consumed + min(price, reserved),
            consuming=_without(self.account.consuming, reservation),
        )
        return replace(self, account=account)

    def release_consume(self, reservation: int, *, is_unsure: bool) -> Ledger:
        """Give back what an unanswered request reserved.

        `is_unsure` says that the peer may have served it (sent, but no answer and no refusal).
        """
        reserved = self.account.consuming.get(reservation, 0)
        account = replace(
            self.account,
            doubt=self.account.doubt + (reserved if is_unsure else 0),
            consuming=_without(self.account.consuming, reservation),
        )
        return replace(self, account=account)

    def paid(self, total: Wei) -> Ledger:
        """Book what we ever paid: our newest cheque's cumulative payout plus our waivers.

        Repeating it, or an older total, changes nothing: after a crash just say it again.
        """
        account = replace(self.account, paid=max(self.account.paid, total))
        return replace(self, account=account)

    # ---- we serve

    def prepare_serve(self, price: Wei) -> tuple[Ledger, int]:
        """Return the ledger with the price (at most) of serving a request reserved.

        Raises:
            DebtLimitExceeded: the peer would owe more than the disconnect limit.
        """
        account = self.account
        open_debt = account.exposure_to_peer + account.ghost
        if account.serving:
            open_debt += sum(account.serving.values())
        over = open_debt + price - self.ours.limit
        if over > 0:
            raise DebtLimitExceeded(
                f"the debt limit of {show_mft(self.ours.limit)} MFT would be passed",
                hint=f"send a cheque over at least {show_mft(over)} MFT and ask again",
            )
        account, number = _reserved(account, "serving", price)
        return replace(self, account=account), number

    def apply_serve(self, reservation: int, price: Wei) -> Ledger:
        """Book a request whose answer was handed to the peer, at its real price."""
        reserved = self.account.serving.get(reservation)
        if reserved is None:
            return self
        account = replace(
            self.account,
            served=self.account.served + min(price, reserved),
            serving=_without(self.account.serving, reservation),
        )
        return replace(self, account=account)

    def release_serve(self, reservation: int, *, is_unsure: bool) -> Ledger:
        """Give back the reservation of a request not served.

        `is_unsure` says that the work was done but its answer may not have arrived: it counts as
        ghost debt, so that nobody gets work for nothing by hanging up.
        """
        reserved = self.account.serving.get(reservation, 0)
        account = replace(
            self.account,
            ghost=self.account.ghost + (reserved if is_unsure else 0),
            serving=_without(self.account.serving, reservation),
        )
        return replace(self, account=account)

    def received(self, total: Wei) -> Ledger:
        """Book what the peer ever paid: its newest accepted cheque plus its waivers."""
        account = replace(self.account, received=max(self.account.received, total))
        return replace(self, account=account)

    def bounced(self, unpaid: Wei) -> tuple[Ledger, tuple[Effect, ...]]:
        """Book how much of the peer's cheques its chequebook still owes us, as the chain says."""
        return self._with(replace(self.account, bounced=unpaid))

    # ---- after a restart, and when both compare

    def resume(self) -> Ledger:
        """Return the ledger after a restart or reconnect: the fate of reservations is unknown."""
        account = replace(
            self.account,
            doubt=self.account.doubt + sum(self.account.consuming.values()),
            ghost=self.account.ghost + sum(self.account.serving.values()),
            consuming={},
            serving={},
        )
        return replace(self, account=account)

    def compare(self, their_consumed: Wei, their_served: Wei) -> tuple[Ledger, tuple[Effect, ...]]:
        """Settle doubt and ghost by the peer's counters, when no request is under way.

        We believe the peer about what it consumed (it is to its cost) as far as our ghost debt
        goes, and about what it served as far as our doubt goes. Ghost debt it denies stays.

        Raises:
            BadProof: reservations are open, so the counters cannot be compared yet.
        """
        account = self.account
        if account.consuming or account.serving:
            raise BadProof("counters are compared when no request is under way")
        admitted = min(max(0, their_consumed - account.served), account.ghost)
        claimed = max(0, their_served - account.consumed)
        booked = min(claimed, account.doubt)
        ledger, effects = self._with(
            replace(
                account,
                served=account.served + admitted,
                ghost=account.ghost - admitted,
                consumed=account.consumed + booked,
                doubt=0,
            )
        )
        if claimed > booked:
            effects = (*effects, Disputed(excess=Wei(claimed - booked)))
        return ledger, effects

    def effects(self) -> tuple[Effect, ...]:
        """Return what is due as things stand (also asked after a restart)."""
        due: list[Effect] = []
        account = self.account
        if account.owed_by_us >= self.theirs.early:
            due.append(IssueCheque(amount=account.owed_by_us))
        open_debt = Wei(max(0, account.exposure_to_peer + account.ghost))
        if open_debt >= self.ours.limit:
            due.append(CutOff(owed=open_debt))
        elif account.owed_by_peer > self.ours.payment:
            due.append(RequestPayment(amount=account.owed_by_peer))
        return tuple(due)

    def _with(self, account: Account) -> tuple[Ledger, tuple[Effect, ...]]:
        ledger = replace(self, account=account)
        return ledger, ledger.effects()


def _reserved(account: Account, side: str, price: Wei) -> tuple[Account, int]:
    if price < 0:
        raise ValueError("a price is not negative")
    number = account.next_id
    if side == "consuming":
        consuming = {**account.consuming, number: price}
        return replace(account, consuming=consuming, next_id=number + 1), number
    serving = {**account.serving, number: price}
    return replace(account, serving=serving, next_id=number + 1), number


def _without(reservations: Mapping[int, int], number: int) -> dict[int, int]:
    return {other: price for other, price in reservations.items() if other != number}
