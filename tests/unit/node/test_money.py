"""Statements about money, from their text to what the chain and the providers know of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from mfdb.chain.port import CaseOpened
from mfdb.kernel.errors import (
    BalanceTooSmall,
    ChainUnavailable,
    DeadlineExceeded,
    DepositTooSmall,
    InvalidDefinition,
    InvalidParameter,
    InvalidText,
    NotSupportedError,
    UnknownDataset,
    UnknownIdentity,
    UnknownObject,
)
from mfdb.kernel.ids import MFT, Hash, Wei, show
from tests.fixtures.customers import customer
from tests.fixtures.datasets import keys_of
from tests.fixtures.node_town import PROVIDER_SETTINGS, Town, in_town

BOB = keys_of("bob").address
DAY_S = 86_400


@in_town
async def test_mft_goes_to_an_identity_by_petname_or_address(town: Town) -> None:
    alice = await customer(town)
    told = await alice.run("TRANSFER 3 MFT TO bob")
    assert told.tag == "TRANSFER"
    assert [column.name for column in told.columns] == ["step", "amount", "transaction", "block"]
    ((step, amount, transaction, block),) = told.rows
    assert (step, amount) == (f"to {show(BOB)}", Decimal(3))
    mined = await alice.chain.block_of(Hash(bytes.fromhex(str(transaction)[2:])))
    assert mined == block
    await alice.run("TRANSFER ? MFT TO ?", Decimal("0.000000000000000001"), show(BOB))
    assert await alice.chain.balance(BOB) == 3 * MFT + 1
    error = await alice.refused("TRANSFER 90 MFT TO bob", BalanceTooSmall)
    assert "has 86.999999999999999999 MFT, 90 MFT are needed" in error.message
    error = await alice.refused("TRANSFER 1 MFT TO nobody", UnknownIdentity)
    assert error.position == 18
    town.world.available = False
    with pytest.raises(ChainUnavailable):
        await alice.run("TRANSFER 1 MFT TO bob")
    town.world.available = True


@in_town
async def test_a_deposit_is_staked_and_taken_back(town: Town) -> None:
    alice = await customer(town)
    await alice.run("STAKE 40 MFT ON storage")
    await alice.run("STAKE 10 MFT ON storage")
    assert (await alice.chain.deposit(alice.person.address)).total == 50 * MFT
    await alice.run("UNSTAKE 20 MFT ON storage")
    error = await alice.refused("UNSTAKE 31 MFT", DepositTooSmall)
    assert "30 MFT of a deposit of 30 MFT back no agreement, 31 MFT was asked" in error.message
    told = await alice.run("UNSTAKE ALL")
    assert told.rows[0][:2] == ("out of the deposit", Decimal(30))
    await alice.refused("UNSTAKE ALL", DepositTooSmall, "all was asked for")
    assert await alice.balance() == 90
    await alice.refused("STAKE 1000 MFT ON storage", BalanceTooSmall)
    error = await alice.refused("STAKE 1 MFT ON routing", UnknownObject, "no service routing")
    assert error.position == 15


@in_town
async def test_what_backs_agreements_is_not_taken_back(town: Town) -> None:
    await town.open(6)
    alice = await customer(town)
    await alice.run("CREATE MAILBOX inbox")
    provider = await customer(town, "provider 0")
    deposit = await alice.chain.deposit(provider.person.address)
    assert deposit.earmarked > 0
    await provider.refused("UNSTAKE 1000 MFT", DepositTooSmall, "999 MFT of a deposit of 1000 MFT")
    told = await provider.run("UNSTAKE ALL")
    assert told.rows[0][1] == Decimal(999)


@in_town
async def test_a_chequebook_is_filled_and_emptied_but_for_what_it_promised(town: Town) -> None:
    await town.open(6, replace(PROVIDER_SETTINGS, payment_threshold=Wei(10**11)))
    alice = await customer(town)
    book = alice.remote._reports._accounts.chequebook
    await alice.run("FUND chequebook WITH 5 MFT")
    assert await alice.balance(book) == 15
    before = await alice.balance(BOB)
    told = await alice.run("WITHDRAW 5 MFT FROM chequebook TO bob")
    assert [row[0] for row in told.rows] == ["out of the chequebook", f"to {show(BOB)}"]
    assert await alice.balance(book) == 10
    assert await alice.balance(BOB) == before + 5
    await alice.run("WITHDRAW 1 MFT FROM chequebook")
    assert await alice.balance() == 90 - 5 + 1
    error = await alice.refused("WITHDRAW 9.1 MFT FROM chequebook", BalanceTooSmall)
    assert "holds 9 MFT, 0 MFT of it are promised by cheques, 9.1 MFT are" in error.message
    await alice.run("CREATE MAILBOX inbox")
    await alice.run("INSERT INTO inbox (body) VALUES ('ff')")
    await alice.refused("WITHDRAW 9 MFT FROM chequebook", BalanceTooSmall, "promised by cheques")


@in_town
async def test_a_dataset_is_funded_where_its_providers_lack_most(town: Town) -> None:
    await town.open(6)
    alice = await customer(town)
    await alice.run("CREATE MAILBOX inbox")
    told = await alice.run("FUND DATASET inbox WITH 6 MFT")
    assert told.tag == "FUND"
    assert [row[1] for row in told.rows] == [Decimal(1)] * 6
    assert len({row[2] for row in told.rows}) == 6
    known = alice.session.datasets()
    inbox = next(one.manifest.dataset for one in known if one.manifest.name == "inbox")
    remote = alice.remote
    placement = (await remote._lookup.look(inbox)).placement
    for made in placement.agreements.values():
        fees = await alice.chain.fees(made.agreement.id)
        assert fees.held == 90 * made.agreement.fee_per_epoch + MFT
    await alice.refused("FUND DATASET inbox WITH 1000 MFT", BalanceTooSmall)
    await alice.refused("FUND DATASET nothing WITH 1 MFT", UnknownDataset)
    await alice.run("CREATE TABLE here (x INTEGER) WITH (local)")
    await alice.refused("FUND DATASET here WITH 1 MFT", NotSupportedError, "this machine only")


@in_town
async def test_a_provider_asks_what_it_offered_from_wherever_that_was_said(town: Town) -> None:
    stands = await town.open(7)
    provider = await customer(town, "provider 0")
    told = await provider.run(
        "OFFER SERVICE storage WITH (capacity = '50 GB', deposit = 2 MFT) "
        "PRICE 0.864 MFT PER gib day FOR INTERVAL '10 minutes'"
    )
    assert told.tag == "OFFER SERVICE"
    stand = stands[0]
    assert stand.duties.offer().free_bytes == 2**30, "it goes by its settings until it looks"
    await stand.node.looks["court"]()
    await stand.node.looks["offering"]()
    offer = stand.duties.offer()
    assert offer.free_bytes == 50 * 10**9
    assert offer.fee_per_mib_epoch == -(-864 * MFT // 1000 // 1024)
    assert offer.deposit_per_mib == -(-2 * MFT // 1024)
    alice = await customer(town)
    shown = await alice.run("SHOW OFFERS")
    until = datetime.fromtimestamp(int(town.clock.now_s()) + 600, UTC)
    asked = (50 * 10**9, Decimal("0.864"), 2**30, DAY_S, until)
    assert list(shown.rows) == [(show(stand.me), *asked)]
    again = await stand.crash()
    assert again.duties.offer() == offer, "it is asked again after a restart"
    await asyncio.sleep(600)
    assert again.duties.offer().free_bytes == 0, "its time is over"


@in_town
async def test_a_revoked_offer_takes_nothing_new_and_keeps_what_is_agreed(town: Town) -> None:
    stands = await town.open(7)
    alice = await customer(town)
    await alice.run("CREATE MAILBOX inbox")
    provider = await customer(town, "provider 0")
    was = len(stands[0].node.kept)
    await provider.run("REVOKE OFFER SERVICE storage")
    await stands[0].node.looks["court"]()
    await stands[0].node.looks["offering"]()
    assert stands[0].duties.offer().free_bytes == 0
    await alice.run("CREATE TABLE more (x INTEGER)")
    known = {one.manifest.name: one.manifest.dataset for one in alice.session.datasets()}
    remote = alice.remote
    assert stands[0].me not in (await remote._lookup.get(known["more"])).placement.providers
    assert len(stands[0].node.kept) == was
    await provider.refused("REVOKE OFFER SERVICE storage", UnknownObject, "offers no storage")
    await provider.run("OFFER SERVICE storage WITH (capacity = '1 GiB') PRICE 1 MFT PER tb year")
    await stands[0].node.looks["court"]()
    await stands[0].node.looks["offering"]()
    assert stands[0].duties.offer().free_bytes > 0


@in_town
async def test_offers_that_say_too_little_or_what_is_not_there(town: Town) -> None:
    alice = await customer(town)
    price = "PRICE 1 MFT PER gb month"
    whole = f"OFFER SERVICE storage WITH (capacity = '1 GB') {price}"
    await alice.refused(whole, DepositTooSmall, "an offer stands on a deposit")
    await alice.refused("REVOKE OFFER SERVICE storage", UnknownObject)
    for text, kind, position in (
        (f"OFFER SERVICE storage {price}", InvalidDefinition, 0),
        (f"OFFER SERVICE storage WITH (capacity = 50) {price}", InvalidText, 28),
        (f"OFFER SERVICE storage WITH (capacity = '0 GB') {price}", InvalidText, 28),
        (f"OFFER SERVICE storage WITH (capacity = '5 miles') {price}", InvalidText, 28),
        (f"OFFER SERVICE storage WITH (size = '5 GB') {price}", InvalidDefinition, 28),
        (f"OFFER SERVICE naming WITH (capacity = '1 GB') {price}", UnknownObject, 14),
        (f"{whole} FOR INTERVAL 'ever'", InvalidText, 85),
        (whole.replace("gb", "gram"), UnknownObject, 63),
        (whole.replace("month", "moment"), UnknownObject, 66),
    ):
        error = await alice.refused(text, kind)
        assert error.position == position, text


@in_town
async def test_who_signed_a_receipt_is_challenged(town: Town) -> None:
    await town.open(7)
    alice = await customer(town)
    await alice.run("CREATE MAILBOX inbox")
    await alice.run("INSERT INTO inbox (body) VALUES ('ff')")
    await alice.run("ALTER MAILBOX inbox SEAL")
    shown = await alice.run("SHOW RECEIPTS FOR inbox")
    kept = [row for row in shown.rows if row[6] is not None]
    assert len(kept) == 6
    receipt = kept[0][4]
    await alice.refused(
        f"CHALLENGE RECEIPT '{receipt}' WITH (stake = 0.5 MFT)", InvalidParameter, "bond of 1 MFT"
    )
    await alice.refused(f"CHALLENGE RECEIPT '0x{'00' * 32}'", UnknownObject, "no store receipt")
    error = await alice.refused("CHALLENGE RECEIPT 'id' WITH (stake = 5)", InvalidText)
    assert error.position == 18
    await alice.refused(f"CHALLENGE RECEIPT '{receipt}' WITH (bond = 5)", InvalidDefinition)
    told = await alice.run(f"CHALLENGE RECEIPT '{receipt}' WITH (stake = 5)")
    assert told.tag == "CHALLENGE"
    ((case, _transaction, _block),) = told.rows
    opened = [one.event for one in await alice.chain.events()]
    (accused,) = [event for event in opened if isinstance(event, CaseOpened)]
    assert (show(accused.case), accused.accuser) == (case, alice.person.address)
    assert show(accused.receipt.struct_hash()) == receipt
    assert await alice.balance() < 90 - 1


@in_town
async def test_wait_counts_the_blocks_that_hold_a_transaction(town: Town) -> None:
    alice = await customer(town)
    await alice.run("SET wait = 5")
    started = town.clock.monotonic_s()
    told = await alice.run("TRANSFER 1 MFT TO bob")
    assert 3 <= town.clock.monotonic_s() - started <= 6, "a block a second"
    assert (await alice.chain.head()).number >= int(str(told.rows[0][3])) + 4
    await alice.run("SET wait = 700")
    with pytest.raises(DeadlineExceeded, match="of 700 confirmations"):
        await alice.run("TRANSFER 1 MFT TO bob")


@in_town
async def test_a_transaction_that_another_branch_moved_is_still_waited_for(town: Town) -> None:
    alice = await customer(town)
    await alice.run("SET wait = 4")
    sent = asyncio.ensure_future(alice.run("TRANSFER 1 MFT TO bob"))
    await asyncio.sleep(0.1)
    assert town.world.reorganise(1) == 1
    told = await sent
    transaction = Hash(bytes.fromhex(str(told.rows[0][2])[2:]))
    assert await alice.chain.block_of(transaction) == told.rows[0][3]
    assert await alice.chain.balance(BOB) == MFT


@in_town
async def test_money_is_no_part_of_a_batch(town: Town) -> None:
    alice = await customer(town)
    await alice.run("BEGIN")
    error = await alice.refused("TRANSFER 1 MFT TO bob", NotSupportedError, "part of a batch")
    assert error.hint == "COMMIT or ROLLBACK first"
    await alice.run("ROLLBACK")
    await alice.run("TRANSFER 1 MFT TO bob")
