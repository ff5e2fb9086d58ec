"""What only the twin has: blocks by the clock, determinism, being out of reach."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest

from mfdb.chain.port import ChainCall, RecordBeacon, Stake, TransferMft, Transferred
from mfdb.kernel.errors import ChainUnavailable, DeadlineExceeded, TransactionReverted
from mfdb.kernel.ids import MFT, ZERO_ADDRESS, Hash, Wei
from mfdb.testing.sim_chain import GAS, SimChainWorld
from tests.fixtures.court_scene import (
    ALICE,
    BOB,
    FAUCET,
    TERMS,
    Scene,
    SteppedClock,
    run,
)


def world(seed: int = 1, clock: SteppedClock | None = None) -> SimChainWorld:
    return SimChainWorld(clock or SteppedClock(1_700_000_000.0), seed, TERMS, FAUCET.address)


def test_blocks_come_with_time_and_with_transactions() -> None:
    clock = SteppedClock(1_700_000_000.5)
    chain = world(clock=clock).chain()
    first = run(chain.head())
    assert first.time_s == 1_700_000_000
    clock.time_s += 10
    later = run(chain.head())
    assert (later.number, later.time_s) == (first.number + 10, first.time_s + 10)
    assert later.hash != first.hash
    mined = run(chain.send(TransferMft(to=BOB.address, amount=Wei(5)), FAUCET))
    assert mined.block == later.number + 1
    clock.time_s -= 100
    assert run(chain.head()).number == mined.block, "block time never goes back"


def test_all_nodes_share_one_chain() -> None:
    shared = world()
    one, other = shared.chain(), shared.chain()
    run(one.send(TransferMft(to=BOB.address, amount=Wei(5)), FAUCET))
    assert run(other.balance(BOB.address)) == 5
    assert one.network == other.network


def test_a_seed_fixes_everything_and_another_changes_it() -> None:
    first, again, other = world(1), world(1), world(2)
    for each in (first, again, other):
        run(each.chain().send(TransferMft(to=BOB.address, amount=Wei(5)), FAUCET))
        run(each.chain().send(RecordBeacon(epoch=0), FAUCET))
    assert first.seen(0) == again.seen(0)
    assert first.contracts == again.contracts
    assert first.head() == again.head()
    beacons = [run(each.chain().beacon(0)) for each in (first, again, other)]
    assert beacons[0] == beacons[1] != beacons[2]
    assert first.network != other.network


def test_the_supply_is_minted_to_the_faucet() -> None:
    chain = world().chain()
    (seen,) = run(chain.events())
    assert seen.event == Transferred(
        sender=ZERO_ADDRESS, to=FAUCET.address, amount=Wei(10**10 * MFT)
    )
    assert run(chain.balance(FAUCET.address)) == 10**28


def test_a_chain_out_of_reach_says_so_and_comes_back() -> None:
    shared = world()
    chain = shared.chain()
    shared.available = False
    with pytest.raises(ChainUnavailable):
        run(chain.head())
    with pytest.raises(ChainUnavailable):
        run(chain.send(Stake(amount=Wei(1)), FAUCET))
    shared.available = True
    run(chain.send(Stake(amount=Wei(1)), FAUCET))


def test_no_time_left_means_not_sent() -> None:
    shared = world()
    with pytest.raises(DeadlineExceeded):
        run(shared.chain().send(Stake(amount=Wei(1)), FAUCET, timeout_s=0))
    assert len(shared.seen(0)) == 1


def test_a_refused_transaction_leaves_no_trace() -> None:
    scene = Scene("twin")
    before = run(scene.chain.events())
    scene.refused(ALICE, Stake(amount=Wei(10**6 * MFT)), "balance too small")
    assert run(scene.chain.events()) == before
    assert run(scene.chain.deposit(ALICE.address)).total == 0


@pytest.mark.parametrize("amount", [-1, 2**256])
def test_numbers_that_no_contract_could_read_are_refused(amount: int) -> None:
    chain = world().chain()
    for call in (Stake(amount=Wei(amount)), TransferMft(to=BOB.address, amount=Wei(amount))):
        with pytest.raises(TransactionReverted, match="number out of range"):
            run(chain.send(call, FAUCET))


def test_every_kind_of_transaction_has_a_gas_figure() -> None:
    assert set(GAS) == set(get_args(ChainCall))
    scene = Scene("twin")
    mined = scene.do(ALICE, Stake(amount=Wei(MFT)))
    assert run(scene.chain.gas_used(mined.transaction)) == mined.gas_used == GAS[Stake]


def test_terms_and_contracts_are_told() -> None:
    terms = replace(TERMS, draws=5)
    chain = SimChainWorld(SteppedClock(1.0), 3, terms, FAUCET.address).chain()
    assert run(chain.terms()) == terms
    named = run(chain.named_contracts())
    assert len(set(named.values())) == 9
    assert named["deposits"] == chain.network.deposits
    assert run(chain.beacon(0)) is None
    assert isinstance(Hash(run(chain.head()).hash), bytes)
    run(chain.close())
