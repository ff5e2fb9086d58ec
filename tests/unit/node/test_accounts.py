"""Accounts: paid ahead where a limit asks for it, by good cheques only, and never forgotten."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from mfdb.chain.port import ChequeCashed, CreateChequebook
from mfdb.kernel.errors import BadSignature, DebtLimitExceeded, MfdbError, StaleCheque, StoreFull
from mfdb.kernel.ids import MFT, Address, ChangesetId, Hash, Wei
from mfdb.kernel.seed import MAILBOX_NONCE
from mfdb.node.answers import Receipts
from mfdb.node.dues import PayCheque, Standing
from mfdb.node.requests import GetDataset, GetReceipts
from mfdb.pay.cheque import next_cheque, sign_cheque
from mfdb.rules.manifest import Profile, dataset_id
from tests.fixtures.datasets import keys_of
from tests.fixtures.node_town import PROVIDER_SETTINGS, Person, Stand, Town, in_town, node_record

if TYPE_CHECKING:
    from mfdb.node.accounts import Accounts
    from mfdb.node.client.remote import NodeRemote
    from mfdb.node.directory import Correspondent
    from mfdb.node.settings import ProviderSettings
    from mfdb.rules.records import NodeRecord

PRICE = 10**10
SMALL = Profile(replicas=1, write_quorum=1, read_quorum=1, k=1, n=2)
ALICE = keys_of("alice").address
QUESTION = GetReceipts(
    dataset=dataset_id(ALICE, MAILBOX_NONCE),
    changeset=ChangesetId(Hash(b"\x01" * 32)),
)
"""Something small that Alice may ask about her mailbox."""


async def open_shop(town: Town, settings: ProviderSettings = PROVIDER_SETTINGS) -> Stand:
    """Return a provider that keeps Alice's mailbox."""
    await town.open(2, settings)
    alice = town.person("alice")
    await town.place(town.mailbox(alice, profile=SMALL), alice)
    return town.stands[0]


async def reach(remote: NodeRemote, stand: Stand) -> Correspondent:
    return await remote._context.directory.reach(stand.me)


async def chequebook(town: Town, person: Person, amount: int = MFT) -> Address:
    await town.fund(person.address, 10)
    call = CreateChequebook(amount=Wei(amount))
    made = await town.world.chain().send(call, person.keys.account)
    assert made.created is not None
    return made.created


def cheque(
    town: Town,
    by: Person,
    book: Address,
    to: Stand,
    *,
    amount: int,
    last: PayCheque | None = None,
    **changes: Any,
) -> PayCheque:
    now = int(town.clock.now_s())
    made = next_cheque(
        last.cheque if last else None,
        Wei(amount),
        chequebook=book,
        beneficiary=to.me,
        now=now,
        **changes,
    )
    signature = sign_cheque(made, by.keys.account, town.world.network.chain_id)
    return PayCheque(cheque=made, signature=signature)


def caller(town: Town, person: Person, book: Address) -> NodeRecord:
    return node_record(town, person.keys, chequebook=book).record


@in_town
async def test_both_sides_book_the_same(town: Town) -> None:
    stand = await open_shop(town)
    alice = town.person("alice")
    remote = await alice.remote()
    correspondent = await reach(remote, stand)
    for _ in range(3):
        await correspondent.ask(QUESTION, Receipts)
    ours = remote._reports._accounts.of(stand.me).ledger.account
    theirs = stand.accounts.of(alice.address).ledger.account
    assert ours.consumed == theirs.served > 3 * PRICE
    assert ours.consuming == theirs.serving == {}


@in_town
async def test_a_request_over_the_limit_is_paid_ahead_by_a_cheque(town: Town) -> None:
    settings = replace(PROVIDER_SETTINGS, payment_threshold=Wei(20 * PRICE))
    stand = await open_shop(town, settings)
    alice = town.person("alice")
    remote = await alice.remote()
    correspondent = await reach(remote, stand)
    for _ in range(30):
        await correspondent.ask(QUESTION, Receipts)
    account = stand.accounts.of(alice.address)
    assert account.received is not None
    assert account.ledger.account.owed_by_peer <= settings.payment_threshold * 125 // 100
    assert account.ledger.account.received == account.received.cheque.cumulative_payout


@in_town
async def test_who_cannot_pay_is_served_to_the_limit_and_no_further(town: Town) -> None:
    settings = replace(PROVIDER_SETTINGS, payment_threshold=Wei(40 * PRICE))
    (stand,) = await town.open(1, settings)
    alice = town.person("alice")
    record = caller(town, alice, Address(bytes(20)))
    served = 0

    async def ask() -> int:
        with stand.accounts.serving(record, 10, 10) as bill:
            bill.answered(10)
        return bill.price or 0

    with suppress(DebtLimitExceeded):
        for _ in range(1000):
            served += await ask()
    with pytest.raises(DebtLimitExceeded):
        await ask()
    assert 40 * PRICE < served <= 50 * PRICE


@in_town
async def test_what_is_refused_is_not_charged(town: Town) -> None:
    stand = await open_shop(town)
    alice = town.person("alice")
    remote = await alice.remote()
    correspondent = await reach(remote, stand)
    with pytest.raises(MfdbError):
        await correspondent.ask(GetDataset(dataset=b"\x01" * 32), Receipts)  # type: ignore[arg-type]  # no dataset
    assert remote._reports._accounts.of(stand.me).ledger.account.consumed == 0
    assert stand.accounts.of(alice.address).ledger.account.served == 0


# ---- cheques


@in_town
async def test_a_cheque_counts_once_and_its_resend_is_harmless(town: Town) -> None:
    (stand,) = await town.open(1)
    alice = town.person("alice")
    book = await chequebook(town, alice)
    record, paid = caller(town, alice, book), cheque(town, alice, book, stand, amount=500)
    await stand.accounts.on_cheque(record, paid)
    await stand.accounts.on_cheque(record, paid)
    assert stand.accounts.of(alice.address).ledger.account.received == 500


@in_town
async def test_cheques_that_come_at_once_leave_the_best_one(town: Town) -> None:
    (stand,) = await town.open(1)
    alice = town.person("alice")
    book = await chequebook(town, alice)
    record = caller(town, alice, book)
    first = cheque(town, alice, book, stand, amount=500)
    second = cheque(town, alice, book, stand, amount=500, last=first)
    slow = stand.accounts._chain.chequebook

    async def later(*given: Any) -> Any:
        await asyncio.sleep(1)
        return await slow(*given)

    stand.accounts._chain.chequebook = later  # type: ignore[method-assign,assignment]  # a chain that takes its time
    await asyncio.gather(
        stand.accounts.on_cheque(record, second),
        stand.accounts.on_cheque(record, first),
        return_exceptions=True,
    )
    account = stand.accounts.of(alice.address)
    assert account.received == second
    assert account.ledger.account.received == 1000


@in_town
async def test_no_cheque_counts_that_the_chain_would_not_pay(town: Town) -> None:
    (stand,) = await town.open(1)
    alice, mallory = town.person("alice"), town.person("mallory")
    book, others = await chequebook(town, alice), await chequebook(town, mallory)
    good = cheque(town, alice, book, stand, amount=500)
    invented = Address(b"\x0c" * 20)
    refused = [
        # of somebody else's chequebook, of one our factory did not make, signed by another,
        # for somebody else, and too short to be cashed
        (caller(town, alice, others), cheque(town, alice, others, stand, amount=500)),
        (caller(town, alice, invented), cheque(town, alice, invented, stand, amount=500)),
        (caller(town, alice, book), cheque(town, mallory, book, stand, amount=500)),
        (caller(town, alice, others), good),
        (caller(town, alice, book), cheque(town, alice, book, stand, amount=500, validity_s=10)),
    ]
    for record, paid in refused:
        with pytest.raises((StaleCheque, BadSignature)):
            await stand.accounts.on_cheque(record, paid)
    assert stand.accounts.of(alice.address).received is None
    await stand.accounts.on_cheque(caller(town, alice, book), good)


@in_town
async def test_a_good_first_cheque_opens_no_door_for_a_foreign_chequebook(town: Town) -> None:
    (stand,) = await town.open(1)
    alice = town.person("alice")
    book = await chequebook(town, alice)
    first = cheque(town, alice, book, stand, amount=1)
    await stand.accounts.on_cheque(caller(town, alice, book), first)
    invented = Address(b"\x0c" * 20)
    worthless = cheque(town, alice, invented, stand, amount=10**18, last=first)
    with pytest.raises(StaleCheque):
        await stand.accounts.on_cheque(caller(town, alice, invented), worthless)
    assert stand.accounts.of(alice.address).ledger.account.received == 1


@in_town
async def test_cheques_are_cashed_above_the_threshold_once(town: Town) -> None:
    (stand,) = await town.open(1)
    alice = town.person("alice")
    book = await chequebook(town, alice)
    paid = cheque(town, alice, book, stand, amount=500)
    await stand.accounts.on_cheque(caller(town, alice, book), paid)
    assert await stand.accounts.cash(Wei(500)) == []
    assert await stand.accounts.cash(Wei(499)) == [500]
    assert await stand.accounts.cash(Wei(0)) == []


@in_town
async def test_an_empty_chequebook_is_not_asked_again_and_again(town: Town) -> None:
    (stand,) = await town.open(1)
    alice = town.person("alice")
    book = await chequebook(town, alice, amount=300)
    paid = cheque(town, alice, book, stand, amount=500)
    await stand.accounts.on_cheque(caller(town, alice, book), paid)
    for _ in range(5):
        await stand.accounts.cash(Wei(0))
    events = [seen.event for seen in await town.world.chain().events()]
    assert [e.amount for e in events if isinstance(e, ChequeCashed)] == [300]
    # What it did not cover is owed again.
    assert stand.accounts.of(alice.address).ledger.account.owed_by_peer == 0
    record = caller(town, alice, book)
    with stand.accounts.serving(record, 10, 10) as bill:
        bill.answered(10)
    owed = stand.accounts.of(alice.address).ledger.account.owed_by_peer
    assert owed == (bill.price or 0) - 300


@in_town
async def test_a_small_cheque_is_cashed_before_it_expires(town: Town) -> None:
    (stand,) = await town.open(1)
    alice = town.person("alice")
    book = await chequebook(town, alice)
    paid = cheque(town, alice, book, stand, amount=500)
    await stand.accounts.on_cheque(caller(town, alice, book), paid)
    assert await stand.accounts.cash(Wei(10**6)) == []
    left = paid.cheque.valid_until - town.clock.now_s()
    await asyncio.sleep(left - 3600)
    assert await stand.accounts.cash(Wei(10**6)) == [500]


# ---- restarts and losses


@in_town
async def test_a_restart_forgets_no_booking_and_no_cheque(town: Town) -> None:
    (stand,) = await town.open(1)
    alice = town.person("alice")
    book = await chequebook(town, alice)
    record = caller(town, alice, book)
    with stand.accounts.serving(record, 10, 10) as bill:
        bill.answered(10)
    paid = cheque(town, alice, book, stand, amount=500)
    await stand.accounts.on_cheque(record, paid)
    before = stand.accounts.of(alice.address).ledger.account
    stand = await stand.crash()
    after = stand.accounts.of(alice.address)
    assert (after.ledger.account.served, after.ledger.account.received) == (
        before.served,
        before.received,
    )
    assert after.received == paid
    assert await stand.accounts.cash(Wei(0)) == [500]


@in_town
async def test_a_lost_directory_takes_its_account_up_again_from_its_own_signature(
    town: Town,
) -> None:
    settings = replace(PROVIDER_SETTINGS, payment_threshold=Wei(20 * PRICE))
    stand = await open_shop(town, settings)
    old = town.person("alice")
    first = await old.remote()
    correspondent = await reach(first, stand)
    for _ in range(20):
        await correspondent.ask(QUESTION, Receipts)
    issued = first._reports._accounts.of(stand.me).issued
    assert issued is not None
    await first.close()
    town.remotes.remove(first)
    again = await town.person("alice").remote()
    await (await reach(again, stand)).ask(QUESTION, Receipts)
    account = again._reports._accounts.of(stand.me)
    assert account.issued is not None
    assert account.issued.cheque.cumulative_payout >= issued.cheque.cumulative_payout
    for _ in range(20):
        await (await reach(again, stand)).ask(QUESTION, Receipts)
    assert stand.accounts.of(old.address).received == account.issued


@in_town
async def test_a_peer_cannot_invent_a_debt_or_a_cheque(town: Town) -> None:
    (stand,) = await town.open(1)
    alice, mallory = town.person("alice"), town.person("mallory")
    remote = await alice.remote()
    accounts: Accounts = remote._reports._accounts
    offer = stand.duties.offer()
    forged = cheque(town, mallory, accounts.chequebook, stand, amount=MFT)
    with pytest.raises(BadSignature):
        accounts.adopt(stand.me, offer, Standing(served=Wei(2 * MFT), cheque=forged))
    real = cheque(town, alice, accounts.chequebook, stand, amount=100)
    accounts.adopt(stand.me, offer, Standing(served=Wei(2**200), cheque=real))
    debt = accounts.of(stand.me).ledger.account
    assert debt.paid == 100
    assert debt.owed_by_us <= offer.payment_threshold * 125 // 100


@in_town
async def test_saying_hello_costs_us_no_memory(town: Town) -> None:
    (stand,) = await town.open(1)
    for at in range(20):
        assert stand.accounts.standing(Address(bytes([at]) * 20)).served == 0
    assert stand.accounts.known() == {}


@in_town
async def test_what_a_crash_forgot_of_a_debt_is_learnt_from_the_peer_once_and_within_its_credit(
    town: Town,
) -> None:
    (stand,) = await town.open(1)
    remote = await town.person("alice").remote()
    accounts = remote._reports._accounts
    offer = stand.duties.offer()
    limit = offer.payment_threshold * 125 // 100
    accounts.of(stand.me)
    accounts.adopt(stand.me, offer, Standing(served=Wei(1_000), cheque=None))
    assert accounts.of(stand.me).ledger.account.owed_by_us == 1_000
    accounts.adopt(stand.me, offer, Standing(served=Wei(5_000), cheque=None))
    assert accounts.of(stand.me).ledger.account.owed_by_us == 1_000
    await accounts.flush()
    again = await town.person("carol").remote()
    fresh = again._reports._accounts
    fresh.adopt(stand.me, offer, Standing(served=Wei(2**200), cheque=None))
    assert fresh.of(stand.me).ledger.account.owed_by_us == limit


# ---- both sides count otherwise


async def shopping(town: Town) -> tuple[Stand, NodeRemote, Correspondent]:
    """Return a provider that gives little credit, Alice's node, and the way to the provider."""
    settings = replace(PROVIDER_SETTINGS, payment_threshold=Wei(20 * PRICE))
    stand = await open_shop(town, settings)
    remote = await town.person("alice").remote()
    return stand, remote, await reach(remote, stand)


@in_town
async def test_a_cheque_that_did_not_arrive_is_sent_again_before_the_next_request(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand, remote, correspondent = await shopping(town)
    take, lost = stand.accounts.on_cheque, list[PayCheque]()

    async def fail(_caller: NodeRecord, request: PayCheque) -> None:
        lost.append(request)
        raise StoreFull("the disk is full")

    monkeypatch.setattr(stand.accounts, "on_cheque", fail)
    with suppress(MfdbError):
        for _ in range(30):
            await correspondent.ask(QUESTION, Receipts)
    assert lost, "it was time to pay"
    monkeypatch.setattr(stand.accounts, "on_cheque", take)
    for _ in range(60):
        await correspondent.ask(QUESTION, Receipts)
    account = stand.accounts.of(ALICE)
    assert account.received == remote._reports._accounts.of(stand.me).issued
    assert account.ledger.account.served > 60 * PRICE


@in_town
async def test_who_is_refused_for_a_debt_it_forgot_hears_of_it_and_pays(town: Town) -> None:
    stand, remote, correspondent = await shopping(town)
    await correspondent.ask(QUESTION, Receipts)
    theirs, ours = stand.accounts.of(ALICE), remote._reports._accounts.of(stand.me)
    served = theirs.ledger.account.served + 20 * PRICE
    theirs.ledger = msgspec.structs.replace(
        theirs.ledger, account=msgspec.structs.replace(theirs.ledger.account, served=served)
    )
    remote._reports._accounts._heard_s.clear()  # long ago
    await correspondent.ask(QUESTION, Receipts)
    assert ours.ledger.account.consumed == theirs.ledger.account.served
    assert theirs.received is not None
    assert theirs.received == ours.issued


@in_town
async def test_a_peer_that_invents_debts_is_paid_no_more_than_its_credit_in_a_while(
    town: Town,
) -> None:
    stand, remote, correspondent = await shopping(town)
    await correspondent.ask(QUESTION, Receipts)
    theirs, ours = stand.accounts.of(ALICE), remote._reports._accounts.of(stand.me)
    theirs.ledger = msgspec.structs.replace(
        theirs.ledger, account=msgspec.structs.replace(theirs.ledger.account, served=10**18)
    )
    for _ in range(20):
        with pytest.raises(DebtLimitExceeded):
            await correspondent.ask(QUESTION, Receipts)
    assert ours.ledger.account.paid <= 2 * 25 * PRICE


@in_town
async def test_a_peer_that_pays_while_it_is_paid_is_paid_the_rest_too(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand, remote, correspondent = await shopping(town)
    await correspondent.ask(QUESTION, Receipts)
    ours = remote._reports._accounts.of(stand.me)
    stood = ours.ledger.account
    # What the peer owes us stands against what we owe it, until it pays.
    mutual = msgspec.structs.replace(stood, consumed=stood.consumed + 40 * PRICE, served=20 * PRICE)
    ours.ledger = msgspec.structs.replace(ours.ledger, account=mutual)
    pay, paid = correspondent.pay, list[bytes]()

    async def meanwhile(body: bytes) -> None:
        await pay(body)
        paid.append(body)
        ours.ledger = ours.ledger.received(Wei(20 * PRICE))

    monkeypatch.setattr(correspondent, "pay", meanwhile)
    await correspondent.ask(QUESTION, Receipts)
    assert len(paid) > 1
