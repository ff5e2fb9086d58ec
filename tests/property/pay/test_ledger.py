"""Two sides that trade, pay, lose messages and crash: what must always hold between them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from mfdb.kernel.account import Account as Key
from mfdb.kernel.errors import DebtLimitExceeded
from mfdb.kernel.ids import Address, Wei
from mfdb.pay.cheque import (
    ChequebookBalance,
    ChequeTerms,
    accept,
    is_resend,
    next_cheque,
    sign_cheque,
)
from mfdb.pay.ledger import IssueCheque, Ledger
from mfdb.pay.ledger_state import load, save
from mfdb.pay.price import Thresholds

if TYPE_CHECKING:
    from mfdb.rules.evidence import Cheque

CHAIN, NOW = 5, 1_760_000_000
KEYS = (Key(b"\x01" * 32), Key(b"\x02" * 32))
BOOKS = (Address(b"\xc1" * 20), Address(b"\xc2" * 20))
THRESHOLDS = (
    Thresholds(payment=Wei(1_000), min_cheque=Wei(10)),
    Thresholds(payment=Wei(400), min_cheque=Wei(1)),
)


class Side:
    """One side: what it has on disk, and its ledger in memory. Every change is stored at once."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.ledger = Ledger(ours=THRESHOLDS[number], theirs=THRESHOLDS[1 - number])
        self.book = ChequebookBalance(deposited=Wei(10**9))
        self.issued: Cheque | None = None
        self.accepted: Cheque | None = None
        self.disk = save(self.ledger.account)

    def keep(self, ledger: Ledger) -> None:
        before = self.ledger.account
        self.ledger, self.disk = ledger, save(ledger.account)
        after = ledger.account
        for name in ("consumed", "paid", "served", "received", "next_id"):
            assert getattr(after, name) >= getattr(before, name), f"{name} went back"
        open_debt = after.exposure_to_peer + after.ghost + sum(after.serving.values())
        assert open_debt <= self.ledger.ours.limit, "owed more than 1.25 thresholds"

    def crash(self) -> None:
        """Start again from the disk."""
        self.keep(msgspec.structs.replace(self.ledger, account=load(self.disk)).resume())

    def write_cheque(self) -> Cheque | None:
        amount = self.ledger.account.owed_by_us
        due = [effect for effect in self.ledger.effects() if isinstance(effect, IssueCheque)]
        assert [effect.amount for effect in due] == ([amount] if due else [])
        if not due:
            return None
        cheque = next_cheque(
            self.issued,
            amount,
            chequebook=BOOKS[self.number],
            beneficiary=KEYS[1 - self.number].address,
            now=NOW,
        )
        assert self.issued is None or cheque.cumulative_payout > self.issued.cumulative_payout
        self.book = self.book.promise(cheque)
        self.issued = cheque
        self.keep(self.ledger.paid(cheque.cumulative_payout))
        return cheque

    def take_cheque(self, cheque: Cheque) -> None:
        if is_resend(self.accepted, cheque):
            return
        peer = 1 - self.number
        terms = ChequeTerms(
            chequebook=BOOKS[peer],
            issuer=KEYS[peer].address,
            beneficiary=KEYS[self.number].address,
            chain_id=CHAIN,
        )
        accept(self.accepted, cheque, sign_cheque(cheque, KEYS[peer], CHAIN), terms, NOW)
        self.accepted = cheque
        self.keep(self.ledger.received(cheque.cumulative_payout))


@dataclass(frozen=True, slots=True, kw_only=True)
class Flight:
    """A request under way: who consumes, both reservations (None: applied), its real price."""

    consumer: int
    consuming: int | None
    serving: int | None
    price: Wei


class Pair:
    """Two sides and the requests between them."""

    def __init__(self) -> None:
        self.sides = (Side(0), Side(1))
        self.flights: list[Flight] = []

    def ask(self, consumer: int, reserved: int, price: int) -> None:
        asker, server = self.sides[consumer], self.sides[1 - consumer]
        try:
            ledger, consuming = asker.ledger.prepare_consume(Wei(reserved))
        except DebtLimitExceeded:
            return
        asker.keep(ledger)
        try:
            ledger, serving = server.ledger.prepare_serve(Wei(reserved))
        except DebtLimitExceeded:
            asker.keep(asker.ledger.release_consume(consuming, is_unsure=False))
            return
        server.keep(ledger)
        price = min(price, reserved)
        self.flights.append(
            Flight(consumer=consumer, consuming=consuming, serving=serving, price=Wei(price))
        )

    def finish(self, fate: str) -> None:
        if not self.flights:
            return
        flight = self.flights.pop(0)
        if fate in ("done", "served"):
            flight = self._apply_serve(flight)
        if fate in ("done", "heard"):
            flight = self._apply_consume(flight)
        if fate in ("served", "heard"):
            self.flights.append(flight)  # one side has booked it, the other has not yet
            return
        asker, server = self.sides[flight.consumer], self.sides[1 - flight.consumer]
        unsure = fate == "lost" or flight.serving is None or flight.consuming is None
        if flight.serving is not None:
            server.keep(server.ledger.release_serve(flight.serving, is_unsure=unsure))
        if flight.consuming is not None:
            asker.keep(asker.ledger.release_consume(flight.consuming, is_unsure=unsure))

    def _apply_serve(self, flight: Flight) -> Flight:
        server = self.sides[1 - flight.consumer]
        if flight.serving is not None:
            server.keep(server.ledger.apply_serve(flight.serving, flight.price))
        return replace(flight, serving=None)

    def _apply_consume(self, flight: Flight) -> Flight:
        asker = self.sides[flight.consumer]
        if flight.consuming is not None:
            asker.keep(asker.ledger.apply_consume(flight.consuming, flight.price))
        return replace(flight, consuming=None)

    def pay(self, payer: int, *, is_lost: bool) -> None:
        cheque = self.sides[payer].write_cheque()
        if cheque is not None and not is_lost:
            self.sides[1 - payer].take_cheque(cheque)

    def crash(self, number: int) -> None:
        """One side starts again; the other sees the connection go."""
        self.sides[number].crash()
        self.flights.clear()
        self.sides[1 - number].keep(self.sides[1 - number].ledger.resume())
        self.meet()

    def meet(self) -> None:
        """Reconnect: both resend their newest cheque and compare counters."""
        for side in self.sides:
            if side.issued is not None:
                self.sides[1 - side.number].take_cheque(side.issued)
        counters = [
            (Wei(side.ledger.account.consumed), Wei(side.ledger.account.served))
            for side in self.sides
        ]
        for side, theirs in zip(self.sides, reversed(counters), strict=True):
            side.keep(side.ledger.compare(*theirs)[0])


side = st.integers(0, 1)
operations = st.lists(
    st.tuples(st.just("ask"), side, st.integers(0, 700), st.integers(0, 700))
    | st.tuples(
        st.just("finish"),
        st.sampled_from(["done", "served", "heard", "refused", "lost"]),
    )
    | st.tuples(st.just("pay"), side, st.booleans())
    | st.tuples(st.just("crash"), side),
    max_size=60,
)


@given(operations=operations)
@settings(max_examples=200, deadline=None)
def test_both_sides_mirror_whatever_is_lost_and_whoever_crashes(
    operations: list[tuple[str, int, int, int]],
) -> None:
    pair = Pair()
    for name, *arguments in operations:
        if name == "pay":
            pair.pay(arguments[0], is_lost=bool(arguments[1]))
        else:
            getattr(pair, name)(*arguments)
    pair.crash(0)
    left, right = (side.ledger.account for side in pair.sides)
    assert left.balance + right.balance == 0
    assert (left.consumed, left.paid) == (right.served, right.received)
    assert (left.served, left.received) == (right.consumed, right.paid)
    assert left.owed_by_us == right.owed_by_peer
    assert right.owed_by_us == left.owed_by_peer


@given(prices=st.lists(st.integers(1, 200), min_size=1, max_size=60))
@settings(max_examples=60, deadline=None)
def test_honest_trade_is_never_refused(prices: list[int]) -> None:
    pair = Pair()
    for price in prices:
        pair.ask(0, price, price)
        assert pair.flights, "an honest payer was refused"
        pair.finish("done")
        pair.pay(0, is_lost=False)
    assert pair.sides[1].ledger.account.served == sum(prices)
    assert pair.sides[1].ledger.account.owed_by_peer < THRESHOLDS[1].early


@given(consumed=st.integers(0, 10**6), served=st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_a_liar_books_nothing_that_is_not_in_doubt(consumed: int, served: int) -> None:
    mine = Ledger(ours=THRESHOLDS[0], theirs=THRESHOLDS[1])
    mine, number = mine.prepare_consume(Wei(300))
    mine = mine.release_consume(number, is_unsure=True)
    after = mine.compare(Wei(consumed), Wei(served))[0].account
    assert after.consumed == min(served, 300)
    assert after.served == 0
