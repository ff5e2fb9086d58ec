"""Who owes whom: every request is reserved, booked and, past a threshold, paid by cheque.

One `PeerAccount` per identity, kept across reconnects and restarts. Cheques are stored before they
are sent or counted; plain bookings are stored by `flush`, which the node calls every second, so a
crash forgets at most that much of a debt, in nobody's favour.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from msgspec.structs import replace

from mfdb.chain.port import CashCheque
from mfdb.kernel.account import recover
from mfdb.kernel.codec import decode, encode
from mfdb.kernel.errors import (
    BadSignature,
    CorruptRecord,
    DebtLimitExceeded,
    MalformedMessage,
    MfdbError,
    NetworkError,
    StaleCheque,
    ValueTooLarge,
)
from mfdb.kernel.ids import ZERO_ADDRESS, Address, Wei
from mfdb.kernel.limits import RECORD_BYTES
from mfdb.node.dues import PayCheque, Standing
from mfdb.pay.cheque import CASH_MARGIN_S, ChequeTerms, accept, is_resend, next_cheque, sign_cheque
from mfdb.pay.ledger import Account, Ledger
from mfdb.pay.ledger_state import load, save
from mfdb.pay.price import PriceTable, Thresholds

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from mfdb.chain.port import Chain
    from mfdb.kernel.clock import Clock
    from mfdb.kernel.seed import IdentityKeys
    from mfdb.node.commit import Committer, Transaction
    from mfdb.node.dues import Offer
    from mfdb.rules.evidence import Cheque
    from mfdb.rules.records import NodeRecord
    from mfdb.store.port import Store

log = logging.getLogger(__name__)

NO_CHARGE = PriceTable(per_request=Wei(0), per_kib_in=Wei(0), per_kib_out=Wei(0))
NO_THRESHOLDS = Thresholds(payment=Wei(2**128))
MIN_VALIDITY_S = 3600
HEARD_S = 60.0
"""For how long a peer is not believed again about what it served and we did not count."""


class Payee(Protocol):
    """Whom we ask and pay: a correspondent, as far as accounting knows it."""

    @property
    def identity(self) -> Address:
        """Who it is."""
        ...

    @property
    def offer(self) -> Offer | None:
        """What it asks; nothing if it offers nothing."""
        ...

    async def pay(self, body: bytes) -> None:
        """Deliver a payment."""
        ...

    async def standing(self) -> Standing:
        """Ask how it counts, free of charge."""
        ...


@dataclass(slots=True)
class PeerAccount:
    """What stands between us and one peer."""

    ledger: Ledger
    issued: PayCheque | None = None
    received: PayCheque | None = None
    paid_out: Wei = Wei(0)
    """What the chain last said that the peer's chequebook has paid us."""
    is_changed: bool = False
    is_unsettled: bool = False
    """Whether it may count otherwise: a cheque may not have arrived, or it refused us credit."""
    paying: asyncio.Lock = field(default_factory=asyncio.Lock)


class Bill:
    """What a request costs: reserved before it is served, booked once its answer is known."""

    __slots__ = (
        "_request_bytes",
        "_table",
        "account",
        "is_void",
        "price",
        "reservation",
        "reserve",
    )

    def __init__(
        self, account: PeerAccount, table: PriceTable, request_bytes: int, most_bytes: int
    ) -> None:
        """`most_bytes` is what the answer is reserved at before its size is known."""
        self.account = account
        self._table = table
        self._request_bytes = request_bytes
        self.price: Wei | None = None
        self.is_void = False
        """Whether nothing was served as long as there is no answer (a stream's next item)."""
        self.reserve = table.price(request_bytes, most_bytes)
        self.reservation = -1

    def answered(self, answer_bytes: int) -> None:
        """Fix the price by the size of the answer."""
        self.price = self._table.price(self._request_bytes, answer_bytes)


class Accounts:
    """The accounts of one node."""

    def __init__(
        self,
        keys: IdentityKeys,
        *,
        chain: Chain,
        clock: Clock,
        store: Store,
        committer: Committer,
        prices: PriceTable = NO_CHARGE,
        thresholds: Thresholds = NO_THRESHOLDS,
    ) -> None:
        self._keys = keys
        self._chain = chain
        self._clock = clock
        self._store = store
        self._committer = committer
        self._prices = prices
        self._thresholds = thresholds
        self._accounts: dict[Address, PeerAccount] = {}
        self._heard_s: dict[Address, float] = {}
        """When somebody told us last since the start what it counts as served."""
        self.chequebook: Address = ZERO_ADDRESS
        """Our chequebook; zero while we have none and live on credit."""

    def of(self, peer: Address) -> PeerAccount:
        """Return the account with a peer, read back after a restart."""
        if peer not in self._accounts:
            self._accounts[peer] = self._restored(peer)
        return self._accounts[peer]

    def known(self) -> dict[Address, PeerAccount]:
        """Return all accounts in memory, for reports."""
        return dict(self._accounts)

    # ---- what a peer remembers for us

    def standing(self, peer: Address) -> Standing:
        """Return what we know of a peer's account with us, should it have lost it."""
        account = self._accounts.get(peer) or self._restored(peer)  # a greeting costs no memory
        return Standing(served=Wei(account.ledger.account.served), cheque=account.received)

    def adopt(self, peer: Address, offer: Offer | None, standing: Standing) -> None:
        """Take up what a crash forgot of an account, or all of one lost with its directory.

        What was served is believed as far as the peer would have served on credit, and once in a
        while: else every crash would leave a debt that only the peer counts, and their sum would
        have it refuse us for ever. Our own signature proves a cheque; one that is known here is
        never overwritten.
        """
        account = self.of(peer)
        account.is_unsettled = account.is_unsettled or _lags(standing, account.issued)
        if offer is not None:
            self._hear(peer, offer, standing)
        if account.issued is not None or standing.cheque is None or offer is None:
            return
        cheque = standing.cheque.cheque
        if cheque.chequebook != self.chequebook or cheque.beneficiary != peer:
            return
        signer = recover(cheque.digest(self._chain.network.chain_id), standing.cheque.signature)
        if signer != self._keys.account.address:
            raise BadSignature("a peer shows a cheque of ours that we did not sign")
        _, ledger = _terms(offer, account.ledger)
        most = cheque.cumulative_payout + ledger.theirs.limit
        kept = replace(ledger.account, consumed=min(standing.served, most))
        account.issued = standing.cheque
        account.ledger = replace(ledger, account=kept).paid(cheque.cumulative_payout)
        account.is_changed = True

    def _hear(self, peer: Address, offer: Offer, standing: Standing) -> None:
        now_s = self._clock.monotonic_s()
        if now_s - self._heard_s.get(peer, -HEARD_S) >= HEARD_S:
            self._heard_s[peer] = now_s
            _recall(self.of(peer), offer, standing)

    def is_unsettled(self, peer: Address) -> bool:
        """Return whether the peer may count otherwise than we do; the next request asks it."""
        return self.of(peer).is_unsettled

    # ---- we consume

    @asynccontextmanager
    async def consuming(
        self, correspondent: Payee, request_bytes: int, most_bytes: int
    ) -> AsyncIterator[Bill]:
        """Reserve a request's price, paying first if the peer's limit asks for it, then book it."""
        bill = self._bill(correspondent, request_bytes, most_bytes)
        await self._pay_ahead(correspondent, bill.account, bill.reserve)
        self._reserve(bill)
        try:
            yield bill
        except BaseException as error:
            self.give_up(bill, error)
            raise
        if self.book(bill):
            await self.settle(correspondent)

    def begin(self, correspondent: Payee, request_bytes: int, most_bytes: int) -> Bill | None:
        """Reserve a request's price now; None: the peer has to be paid first (`consuming`).

        `book` or `give_up` has to follow.
        """
        bill = self._bill(correspondent, request_bytes, most_bytes)
        account = bill.account
        waits = account.paying.locked() or account.is_unsettled
        if waits or account.ledger.payment_needed(bill.reserve):
            return None
        self._reserve(bill)
        return bill

    def _bill(self, correspondent: Payee, request_bytes: int, most_bytes: int) -> Bill:
        account = self.of(correspondent.identity)
        table, account.ledger = _terms(correspondent.offer, account.ledger)
        return Bill(account, table, request_bytes, most_bytes)

    @staticmethod
    def _reserve(bill: Bill) -> None:
        account = bill.account
        account.ledger, bill.reservation = account.ledger.prepare_consume(bill.reserve)

    @staticmethod
    def void(bill: Bill) -> None:
        """Give back what was reserved for a request that was not sent."""
        account = bill.account
        account.ledger = account.ledger.release_consume(bill.reservation, is_unsure=False)

    @staticmethod
    def give_up(bill: Bill, error: BaseException) -> None:
        """Give back what was reserved for a request that has failed."""
        is_refused = isinstance(error, MfdbError) and not isinstance(error, NetworkError)
        is_unsure = not (is_refused or bill.is_void)
        account = bill.account
        account.is_unsettled = account.is_unsettled or isinstance(error, DebtLimitExceeded)
        account.ledger = account.ledger.release_consume(bill.reservation, is_unsure=is_unsure)

    def book(self, bill: Bill) -> bool:
        """Book a request that was answered; return whether it is time to `settle`."""
        account = bill.account
        account.ledger = account.ledger.apply_consume(bill.reservation, bill.price or Wei(0))
        account.is_changed = True
        return self._is_due(account)

    def _is_due(self, account: PeerAccount) -> bool:
        ledger = account.ledger
        if self.chequebook == ZERO_ADDRESS:
            return False
        return ledger.account.exposure_to_us >= ledger.theirs.early

    async def _pay_ahead(self, correspondent: Payee, account: PeerAccount, price: Wei) -> None:
        """Pay until a request of this price fits under the peer's limit, as the peer sees it.

        A cheque on its way counts only once it has arrived, hence the lock.
        """
        async with account.paying:
            if account.is_unsettled:
                await self._reckon(correspondent, account)
            # Again if the peer paid meanwhile: what it owes us no longer stands against our debt.
            while needed := account.ledger.payment_needed(price):
                if self.chequebook == ZERO_ADDRESS:
                    return
                await self._pay(correspondent, account, needed)

    async def _reckon(self, correspondent: Payee, account: PeerAccount) -> None:
        """Hear how the peer counts, and let it have the cheque that did not arrive.

        We counted it as paid when it was written, so nothing else would ever pay for it; the caller
        holds the account's lock.
        """
        standing = await correspondent.standing()
        if account.issued is not None and _lags(standing, account.issued):
            await self._keep(correspondent.identity, account)  # perhaps that failed before
            await correspondent.pay(encode(account.issued))
        if correspondent.offer is not None:
            self._hear(correspondent.identity, correspondent.offer, standing)
        account.is_unsettled = False

    async def settle(self, correspondent: Payee) -> None:
        """Pay what is due; a payment that fails is tried again with the next request."""
        account = self.of(correspondent.identity)
        async with account.paying:
            if not self._is_due(account):
                return
            try:
                await self._pay(correspondent, account, account.ledger.account.owed_by_us)
            except MfdbError as error:
                log.warning("cheque not delivered to=0x%s %s", correspondent.identity.hex(), error)

    async def _pay(self, correspondent: Payee, account: PeerAccount, amount: Wei) -> None:
        """Issue and deliver a cheque; the caller holds the account's lock."""
        cheque = next_cheque(
            account.issued.cheque if account.issued else None,
            amount,
            chequebook=self.chequebook,
            beneficiary=correspondent.identity,
            now=int(self._clock.now_s()),
        )
        signature = sign_cheque(cheque, self._keys.account, self._chain.network.chain_id)
        account.issued = PayCheque(cheque=cheque, signature=signature)
        account.ledger = account.ledger.paid(cheque.cumulative_payout)
        account.is_unsettled = True
        await self._keep(correspondent.identity, account)
        await correspondent.pay(encode(account.issued))
        account.is_unsettled = False

    # ---- we serve

    @contextmanager
    def serving(self, caller: NodeRecord, request_bytes: int, most_bytes: int) -> Iterator[Bill]:
        """Reserve a peer's debt before we work for it, and book it once it is answered.

        Raises:
            DebtLimitExceeded: it owes too much; it must pay first.
        """
        bill = self.begin_serving(caller, request_bytes, most_bytes)
        try:
            yield bill
        except BaseException:
            self.serve_nothing(bill)
            raise
        self.served(bill)

    def begin_serving(self, caller: NodeRecord, request_bytes: int, most_bytes: int) -> Bill:
        """Do the first half of `serving`; `served` or `serve_nothing` has to follow."""
        account = self.of(caller.identity)
        bill = Bill(account, self._prices, request_bytes, most_bytes)
        account.ledger, bill.reservation = account.ledger.prepare_serve(bill.reserve)
        return bill

    @staticmethod
    def serve_nothing(bill: Bill) -> None:
        """Give back what was reserved for a request that was not served."""
        account = bill.account
        account.ledger = account.ledger.release_serve(bill.reservation, is_unsure=False)

    @staticmethod
    def served(bill: Bill) -> None:
        """Book a request that is answered."""
        account = bill.account
        account.ledger = account.ledger.apply_serve(bill.reservation, bill.price or Wei(0))
        account.is_changed = True

    async def on_cheque(self, caller: NodeRecord, request: PayCheque) -> None:
        """Take a cheque; the very one taken last is taken again without effect.

        Raises:
            StaleCheque, BadSignature: it is not good.
        """
        account = self.of(caller.identity)
        await self._check_chequebook(caller, account)
        # Read after the chain has answered: another cheque may have come meanwhile.
        last = account.received.cheque if account.received else None
        if is_resend(last, request.cheque):
            return
        terms = ChequeTerms(
            chequebook=caller.chequebook,
            issuer=caller.identity,
            beneficiary=self._keys.account.address,
            chain_id=self._chain.network.chain_id,
            min_validity_s=MIN_VALIDITY_S,
        )
        accept(last, request.cheque, request.signature, terms, int(self._clock.now_s()))
        account.received = request
        account.ledger = account.ledger.received(request.cheque.cumulative_payout)
        await self._keep(caller.identity, account)

    async def _check_chequebook(self, caller: NodeRecord, account: PeerAccount) -> None:
        if account.received is not None:
            if account.received.cheque.chequebook != caller.chequebook:
                raise StaleCheque("the sender pays from another chequebook than before")
            return
        state = await self._chain.chequebook(caller.chequebook, self._keys.account.address)
        if state is None or state.issuer != caller.identity:
            raise StaleCheque(
                "the chequebook is not the sender's own, or our factory did not make it"
            )

    async def cash(self, above: Wei) -> list[Wei]:
        """Cash every cheque that pays more than `above`, or expires soon; return what they paid."""
        cashed = []
        for account in list(self._accounts.values()):
            if account.received is None:
                continue
            due = await self._cashable(account, account.received.cheque, above)
            if due == 0:
                continue
            call = CashCheque(cheque=account.received.cheque, signature=account.received.signature)
            try:
                await self._chain.send(call, self._keys.account)
            except MfdbError as error:
                log.warning("cheque not cashed %s", error)
                continue
            cashed.append(due)
        return cashed

    async def _cashable(self, account: PeerAccount, cheque: Cheque, above: Wei) -> Wei:
        """Return what a cheque would pay now, zero if that is not worth a transaction.

        What an empty chequebook does not cover is the peer's debt again.
        """
        left_s = cheque.valid_until - self._clock.now_s()
        worth = 0 if left_s < CASH_MARGIN_S else above
        if left_s <= 0 or cheque.cumulative_payout - account.paid_out <= worth:
            return Wei(0)
        state = await self._chain.chequebook(cheque.chequebook, cheque.beneficiary)
        if state is None:
            return Wei(0)
        account.paid_out = state.paid_out
        due = cheque.cumulative_payout - state.paid_out
        account.ledger, _ = account.ledger.bounced(Wei(max(0, due - state.balance)))
        account.is_changed = True
        payable = min(due, state.balance)
        return Wei(payable) if payable > worth else Wei(0)

    # ---- keeping

    async def flush(self) -> None:
        """Store every account that changed."""
        changed = {peer: a for peer, a in self._accounts.items() if a.is_changed}
        for peer, account in changed.items():
            await self._keep(peer, account)

    async def _keep(self, peer: Address, account: PeerAccount) -> None:
        account.is_changed = False

        def change(transaction: Transaction) -> None:
            transaction.put(b"W" + peer, save(account.ledger.account))
            if account.issued is not None:
                transaction.put(b"Q" + peer, encode(account.issued))
            if account.received is not None:
                transaction.put(b"q" + peer, encode(account.received))

        await self._committer.submit(change)

    def restore_all(self) -> None:
        """Read every account back, so that old cheques are cashed after a restart."""
        with self._store.snapshot() as view:
            peers = [Address(key[1:]) for key, _ in view.scan(b"W")]
        for peer in peers:
            self.of(peer)

    def _restored(self, peer: Address) -> PeerAccount:
        with self._store.snapshot() as view:
            kept = view.get(b"W" + peer)
            issued, received = view.get(b"Q" + peer), view.get(b"q" + peer)
        try:
            account, last = load(kept) if kept else Account(), _cheque(issued)
        except (CorruptRecord, MalformedMessage, ValueTooLarge) as error:
            # As one that is lost: the peer tells how it stands, and our last cheque (`adopt`).
            log.warning("the account with 0x%s is damaged: %s", peer.hex(), error)
            account, last = Account(), None
        ledger = Ledger(ours=self._thresholds, theirs=NO_THRESHOLDS, account=account)
        return PeerAccount(ledger.resume(), last, _received(peer, received))


def _received(peer: Address, kept: bytes | None) -> PayCheque | None:
    """Return the last cheque of a peer; its next one pays for a damaged one, too."""
    try:
        return _cheque(kept)
    except (MalformedMessage, ValueTooLarge) as error:
        log.warning("the last cheque of 0x%s is damaged: %s", peer.hex(), error)
        return None


def _cheque(data: bytes | None) -> PayCheque | None:
    return decode(PayCheque, data, limit_bytes=RECORD_BYTES) if data else None


def _lags(standing: Standing, issued: PayCheque | None) -> bool:
    """Return whether a peer has not got the last cheque that we wrote."""
    if issued is None:
        return False
    last = standing.cheque
    return last is None or last.cheque.cumulative_payout < issued.cheque.cumulative_payout


def _recall(account: PeerAccount, offer: Offer, standing: Standing) -> None:
    """Count what the peer served and a crash of ours forgot, within the credit that it gives."""
    kept = account.ledger.account
    _, ledger = _terms(offer, account.ledger)
    consumed = min(standing.served, kept.paid + ledger.theirs.limit)
    if consumed > kept.consumed:
        log.info("a debt was forgotten wei=%d", consumed - kept.consumed)
        account.ledger = replace(ledger, account=replace(kept, consumed=consumed))
        account.is_changed = True


def _terms(offer: Offer | None, ledger: Ledger) -> tuple[PriceTable, Ledger]:
    """Return a peer's prices, and the ledger with the limit that it grants us."""
    if offer is None:
        return NO_CHARGE, ledger
    table = price_table(offer.price_per_request, offer.price_per_kib)
    if ledger.theirs.payment != offer.payment_threshold:
        ledger = replace(ledger, theirs=Thresholds(payment=offer.payment_threshold))
    return table, ledger


@lru_cache(maxsize=256)
def price_table(per_request: Wei, per_kib: Wei) -> PriceTable:
    """Return a price table that charges both directions alike."""
    return PriceTable(per_request=per_request, per_kib_in=per_kib, per_kib_out=per_kib)
