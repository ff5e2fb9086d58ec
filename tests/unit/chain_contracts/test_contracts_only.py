"""What only the contracts have: the token's allowances, hard deposits, key rotation, wiring."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from eth.vm.forks.paris import ParisVM

from mfdb.chain.contracts.deployment import plan
from mfdb.kernel.digest import keccak256
from mfdb.kernel.ids import MFT, Address, Wei
from mfdb.kernel.typed_data import word
from mfdb.rules.evidence import Cheque
from tests.fixtures.court_scene import (
    ACCUSER,
    ALICE,
    BOB,
    DAY,
    FAUCET,
    PROVIDER,
    STRANGER,
    TERMS,
    EvmGround,
    Scene,
)
from tests.fixtures.evm import Evm, Reverted

NOBODY = bytes(20)


def refused(reason: str) -> Any:
    return pytest.raises(Reverted, match=f"^mfdb: {reason}$")


# ---- token


def test_the_token_is_an_erc20(evm: Evm) -> None:
    assert evm.call("mft", "name") == "Mainframe Token"
    assert (evm.call("mft", "symbol"), evm.call("mft", "decimals")) == ("MFT", 18)
    assert evm.call("mft", "totalSupply") == evm.mft(FAUCET) == 10**28
    evm.send(FAUCET, "mft", "approve", STRANGER.address, 5)
    sent = evm.send(STRANGER, "mft", "transferFrom", FAUCET.address, BOB.address, 3)
    assert sent.log("Transfer") == {
        "sender": FAUCET.address,
        "receiver": BOB.address,
        "amount": 3,
    }
    assert evm.call("mft", "allowance", FAUCET.address, STRANGER.address) == 2
    with refused("allowance too small"):
        evm.send(STRANGER, "mft", "transferFrom", FAUCET.address, BOB.address, 3)
    assert evm.mft(BOB) == 3


def test_burning_lowers_the_supply(evm: Evm) -> None:
    sent = evm.send(FAUCET, "mft", "burn", 7)
    assert sent.log("Transfer") == {"sender": FAUCET.address, "receiver": NOBODY, "amount": 7}
    assert evm.call("mft", "totalSupply") == evm.mft(FAUCET) == 10**28 - 7
    with refused("balance too small"):
        evm.send(BOB, "mft", "burn", 1)


# ---- chequebooks


@pytest.fixture
def book(evm: Evm) -> bytes:
    evm.give(ALICE)
    made = evm.send(ALICE, "chequebook_factory", "create", bytes(32), 10 * MFT)
    created = made.log("ChequebookCreated")
    assert created["issuer"] == ALICE.address
    address = bytes(created["chequebook"])
    assert evm.call("chequebook_factory", "deployed", address)
    return address


def cash(evm: Evm, book: bytes, amount: int) -> None:
    cheque = Cheque(
        chequebook=Address(book),
        beneficiary=BOB.address,
        cumulative_payout=Wei(amount),
        serial=1,
        valid_from=0,
        valid_until=2**40,
    )
    signature = ALICE.sign(cheque.digest(evm.chain_id))
    evm.send(BOB, book, "cash", BOB.address, amount, 1, 0, 2**40, signature)


def test_a_salt_is_the_senders_own(evm: Evm, book: bytes) -> None:
    evm.give(BOB)
    other = evm.send(BOB, "chequebook_factory", "create", bytes(32), 0)
    assert other.log("ChequebookCreated")["chequebook"] != book
    with pytest.raises(Reverted):
        evm.send(ALICE, "chequebook_factory", "create", bytes(32), 0)


def test_neither_clone_nor_master_can_be_initialised_again(evm: Evm, book: bytes) -> None:
    for address in (book, evm.at["chequebook"]):
        with refused("already initialised"):
            evm.send(STRANGER, address, "initialise", STRANGER.address)


def test_only_the_issuer_withdraws_what_is_liquid(evm: Evm, book: bytes) -> None:
    evm.send(ALICE, book, "increase_hard_deposit", BOB.address, 6 * MFT)
    assert evm.call(book, "liquid") == 4 * MFT
    with refused("not the issuer"):
        evm.send(STRANGER, book, "withdraw", 1)
    with refused("not liquid"):
        evm.send(ALICE, book, "withdraw", 4 * MFT + 1)
    with refused("not liquid"):
        evm.send(ALICE, book, "increase_hard_deposit", BOB.address, 4 * MFT + 1)
    evm.send(ALICE, book, "withdraw", 4 * MFT)
    assert evm.call(book, "total") == 6 * MFT


def test_a_hard_deposit_pays_its_beneficiary_and_nobody_else(evm: Evm, book: bytes) -> None:
    evm.send(ALICE, book, "increase_hard_deposit", STRANGER.address, 7 * MFT)
    cash(evm, book, 5 * MFT)
    assert evm.mft(BOB) == 3 * MFT
    assert evm.call(book, "bounced")
    assert evm.call(book, "shortfall", BOB.address) == 2 * MFT
    evm.send(ALICE, "mft", "transfer", book, 1 * MFT)
    evm.send(ALICE, book, "increase_hard_deposit", BOB.address, 1 * MFT)
    cash(evm, book, 5 * MFT)
    assert evm.mft(BOB) == 4 * MFT
    assert evm.call(book, "hardDeposit", BOB.address)[0] == 0
    assert evm.call(book, "totalHardDeposit") == 7 * MFT


def test_a_decrease_waits_a_day_and_survives_a_cash_out(evm: Evm, book: bytes) -> None:
    evm.send(ALICE, book, "increase_hard_deposit", BOB.address, 10 * MFT)
    with refused("hard deposit too small"):
        evm.send(ALICE, book, "prepare_decrease", BOB.address, 11 * MFT)
    with refused("no decrease prepared"):
        evm.send(ALICE, book, "decrease", BOB.address)
    with refused("not the issuer"):
        evm.send(BOB, book, "prepare_decrease", BOB.address, 1)
    evm.send(ALICE, book, "prepare_decrease", BOB.address, 8 * MFT)
    with refused("decrease too early"):
        evm.send(ALICE, book, "decrease", BOB.address)
    cash(evm, book, 7 * MFT)
    evm.travel(DAY)
    changed = evm.send(ALICE, book, "decrease", BOB.address).log("HardDepositChanged")
    assert changed["amount"] == 0
    assert evm.call(book, "totalHardDeposit") == 0
    assert evm.call(book, "liquid") == 3 * MFT


# ---- registry


def commitment(address: bytes) -> bytes:
    return keccak256(word(address))


def test_a_key_changes_only_by_its_recovery_key(evm: Evm) -> None:
    here = ALICE.address
    assert evm.call("registry", "signing_key", here) == here
    evm.send(ALICE, "registry", "register", BOB.address, commitment(STRANGER.address))
    assert evm.call("registry", "signing_key", here) == BOB.address
    with refused("already registered"):
        evm.send(ALICE, "registry", "register", BOB.address, commitment(STRANGER.address))
    fresh = commitment(ACCUSER.address)
    for thief in (ALICE, BOB, PROVIDER):
        with refused("not the recovery key"):
            evm.send(thief, "registry", "rotate", here, thief.address, fresh)
    with refused("recovery key used"):
        reused = commitment(STRANGER.address)
        evm.send(STRANGER, "registry", "rotate", here, PROVIDER.address, reused)
    rotated = evm.send(STRANGER, "registry", "rotate", here, PROVIDER.address, fresh)
    assert rotated.log("KeyChanged") == {"identity": here, "key": PROVIDER.address, "epoch": 2}
    with refused("not the recovery key"):
        evm.send(STRANGER, "registry", "rotate", here, BOB.address, fresh)
    history = [evm.call("registry", "key_at", here, epoch) for epoch in range(4)]
    assert history == [here, BOB.address, PROVIDER.address, NOBODY]
    with refused("not registered"):
        evm.send(STRANGER, "registry", "rotate", BOB.address, BOB.address, fresh)


def test_registration_needs_a_key_and_a_way_back(evm: Evm) -> None:
    with refused("no key"):
        evm.send(ALICE, "registry", "register", NOBODY, commitment(STRANGER.address))
    with refused("no recovery commitment"):
        evm.send(ALICE, "registry", "register", BOB.address, bytes(32))


def test_only_the_signing_key_publishes(evm: Evm) -> None:
    here = ALICE.address
    sent = evm.send(ALICE, "registry", "set_record", here, 0, b"mine")
    assert sent.log("RecordPublished") == {"identity": here, "kind": 0, "record": b"mine"}
    assert evm.call("registry", "record_at", here, 0) == (keccak256(b"mine"), evm.block)
    assert evm.call("registry", "record_at", here, 1) == (bytes(32), 0)
    with refused("not the signing key"):
        evm.send(BOB, "registry", "set_record", here, 0, b"not mine")
    evm.send(ALICE, "registry", "register", BOB.address, commitment(STRANGER.address))
    with refused("not the signing key"):
        evm.send(ALICE, "registry", "set_record", here, 0, b"old key")
    evm.send(BOB, "registry", "set_record", here, 0, b"new key")
    with refused("unknown kind"):
        evm.send(BOB, "registry", "set_record", here, 256, b"")


# ---- beacon


def test_a_beacon_is_the_hash_of_a_block_nobody_knew(evm: Evm) -> None:
    epoch = evm.next_time // 600
    fixed = evm.send(STRANGER, "beacon", "record", epoch).log("BeaconFixed")
    assert fixed["target"] == evm.block
    recorded = evm.send(BOB, "beacon", "record", epoch).log("BeaconRecorded")
    assert recorded["beacon"] == evm.block_hash(fixed["target"])
    assert evm.send(STRANGER, "beacon", "record", epoch).logs == []


def test_a_beacon_forgotten_for_256_blocks_is_fixed_anew(evm: Evm) -> None:
    epoch = evm.next_time // 600
    evm.send(STRANGER, "beacon", "record", epoch)
    first = evm.block
    late = evm.fork()
    evm.mine(255)
    recorded = evm.send(STRANGER, "beacon", "record", epoch).log("BeaconRecorded")
    assert recorded["beacon"] == evm.block_hash(first)
    late.mine(256)
    again = late.send(STRANGER, "beacon", "record", epoch).log("BeaconFixed")
    assert again["target"] == late.block == first + 257
    assert late.call("beacon", "beacon", epoch) == bytes(32)
    late.send(STRANGER, "beacon", "record", epoch)
    assert late.call("beacon", "beacon", epoch) == late.block_hash(first + 257)


# ---- fees that only contracts offer


def test_anyone_may_fund_an_agreement_until_its_end_and_its_rest_returns() -> None:
    scene = Scene("contracts")
    assert isinstance(scene.ground, EvmGround)
    evm = scene.ground.evm
    agreement = scene.register(fee_per_epoch=Wei(3 * MFT))
    with refused("no such agreement"):
        evm.send(ALICE, "escrow", "fund", bytes(32), 1)
    with refused("no amount"):
        evm.send(ALICE, "escrow", "fund", agreement, 0)
    evm.send(ALICE, "escrow", "fund", agreement, 4 * MFT)
    with refused("agreement still runs"):
        evm.send(BOB, "escrow", "refund", agreement)
    with refused("no such agreement"):
        evm.send(BOB, "escrow", "refund", bytes(32))
    assert evm.call("escrow", "due", agreement) == 0
    scene.travel(6100)
    assert evm.call("escrow", "due", agreement) == 24 * MFT
    with refused("agreement over"):
        evm.send(ALICE, "escrow", "fund", agreement, 1)
    sent = evm.send(BOB, "escrow", "refund", agreement)
    assert sent.log("FeesPaid")["amount"] == 24 * MFT
    assert evm.mft("escrow") == 0


# ---- who may do what


@pytest.mark.parametrize(
    ("contract", "function", "arguments", "reason"),
    [
        ("deposits", "wire", (b"a" * 20, b"b" * 20), "not the deployer"),
        ("escrow", "wire", (b"a" * 20,), "not the deployer"),
        ("court", "add_kind", (2, b"a" * 20), "not the deployer"),
        ("court", "freeze", (), "not the deployer"),
        ("deposits", "case_opened", (bytes(32), b"a" * 20), "not the court"),
        ("deposits", "case_closed", (bytes(32),), "not the court"),
        ("deposits", "slash", (bytes(32), 1, bytes(32), b"a" * 20, bytes(32)), "not the court"),
        ("escrow", "open_fees", (bytes(32), 1, 1), "not the deposits"),
        ("escrow", "settle_fees", (bytes(32), 1), "not the deposits"),
        ("escrow", "compensate", (bytes(32), b"a" * 20, 1, bytes(32)), "not the deposits"),
        ("escrow", "assign_repair", (bytes(32), bytes(32), 1), "not the deposits"),
        ("court", "open_case", (2, b"", 0, 0), "unknown kind"),
    ],
)
def test_strangers_are_refused(
    evm: Evm, contract: str, function: str, arguments: tuple[Any, ...], reason: str
) -> None:
    with refused(reason):
        evm.send(STRANGER, contract, function, *arguments)


def test_the_wiring_is_frozen(evm: Evm) -> None:
    with refused("already wired"):
        evm.send(FAUCET, "deposits", "wire", b"a" * 20, b"b" * 20)
    with refused("already wired"):
        evm.send(FAUCET, "escrow", "wire", b"a" * 20)
    with refused("frozen"):
        evm.send(FAUCET, "court", "add_kind", 2, b"a" * 20)
    assert evm.call("deposits", "court") == evm.at["court"]
    assert evm.call("deposits", "escrow") == evm.at["escrow"]
    assert evm.call("escrow", "deposits") == evm.at["deposits"]
    assert evm.call("court", "witness", 1) == evm.at["storage_witness"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"bond": 0}, "no bond"),
        ({"draws": 0}, "bad draws"),
        ({"draws": 1001}, "bad draws"),
        ({"epoch_s": 0}, "no epoch"),
        ({"repair_window_s": 0}, "bad repair window"),
        ({"repair_window_s": 365 * DAY + 1}, "bad repair window"),
        ({"accuser_bp": 1001}, "bad split"),
        ({"compensation_bp": 9001}, "bad split"),
        ({"compensation_bp": 8600}, "bad split"),
    ],
)
def test_terms_out_of_bounds_cannot_be_deployed(changes: dict[str, Any], reason: str) -> None:
    with refused(reason):
        Evm(replace(TERMS, **changes))


def test_the_terms_can_be_read_back(evm: Evm) -> None:
    assert evm.call("court", "terms") == (MFT, 30, 600, 3600, 7500, 500)


def test_the_plan_deploys_what_it_refers_to_first() -> None:
    from mfdb.chain.contracts.artefacts import CONTRACTS
    from mfdb.chain.contracts.deployment import Ref

    steps = plan(TERMS)
    done: set[str] = set()
    for step in steps.deployments:
        wanted = {part.contract for part in step.arguments if isinstance(part, Ref)}
        assert wanted <= done
        done.add(step.contract)
    assert tuple(step.contract for step in steps.deployments) == CONTRACTS


def test_the_same_bytecode_runs_on_the_rules_of_paris() -> None:
    old = Evm(TERMS, vm=ParisVM)
    old.give(ALICE)
    old.allow(ALICE, "chequebook_factory", "deposits")
    old.send(ALICE, "deposits", "deposit", MFT)
    made = old.send(ALICE, "chequebook_factory", "create", bytes(32), 10 * MFT)
    cash(old, made.log("ChequebookCreated")["chequebook"], 4 * MFT)
    assert old.mft(BOB) == 4 * MFT
