"""The engine: blocks, time, snapshots, reorganisations, refusals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from eth_account import Account as EthAccount

from mfdb.chain.abi import encode_call, topic
from mfdb.chain.devchain.accounts import DEV_BALANCE, DEV_WORDS, dev_accounts
from mfdb.chain.devchain.execution import GAS_LIMIT, call_request
from mfdb.chain.devchain.faults import ExecutionReverted, InvalidParams, Refused
from mfdb.chain.transaction import Legacy, sign
from mfdb.kernel.errors import StoreLocked, WrongChain, WrongVersion
from tests.fixtures.dev_engine import START_S, DevEngine, HandClock
from tests.fixtures.devchain import ACCOUNTS, CHAIN_ID

if TYPE_CHECKING:
    from pathlib import Path

    from mfdb.chain.devchain.engine import Change


def test_the_accounts_are_those_that_every_tool_knows() -> None:
    assert ACCOUNTS[0].address.hex() == "f39fd6e51aad88f6f4ce6ab8827279cfffb92266"
    assert ACCOUNTS[1].address.hex() == "70997970c51812dc3a010c7d01b50e0d17dc79c8"
    assert DEV_WORDS.split()[-1] == "junk"


@pytest.mark.parametrize("chain_id", [1, 30, 42793])
def test_the_accounts_are_refused_where_money_is_real(chain_id: int) -> None:
    with pytest.raises(WrongChain):
        dev_accounts(chain_id)


def test_our_signatures_are_eth_accounts() -> None:
    plain = {"nonce": 7, "gasPrice": 1000, "gas": 21000, "value": 5, "chainId": CHAIN_ID}
    to, data = ACCOUNTS[3].address, bytes(range(60))
    raw, digest = sign(
        Legacy(chain_id=CHAIN_ID, nonce=7, gas_price=1000, gas=21000, to=to, data=data, value=5),
        ACCOUNTS[2],
    )
    other = EthAccount.sign_transaction(plain | {"to": to, "data": data}, ACCOUNTS[2].secret())
    assert raw == bytes(other.raw_transaction)
    assert digest == bytes(other.hash)


# ---- transactions


def test_a_transaction_is_mined_at_once(dev: DevEngine) -> None:
    before = dev.engine.head.number
    sent = dev.transfer(5)
    assert dev.engine.head.number == before + 1
    block = dev.engine.transaction(sent)
    assert block is not None
    assert block.hash == dev.engine.head.hash
    assert dev.tokens() == 5
    assert block.transaction is not None
    assert block.transaction.succeeded
    assert [entry.topics[0] for entry in block.logs] == [topic("mft", "Transfer")]


def test_gas_is_paid(dev: DevEngine) -> None:
    balance, _, _ = dev.engine.account(dev.engine.head, ACCOUNTS[5].address)
    assert balance == DEV_BALANCE
    sent = dev.engine.submit(dev.raw(by=ACCOUNTS[5], value=11))
    block = dev.engine.transaction(sent)
    assert block is not None
    assert block.transaction is not None
    assert block.transaction.gas_used == 21_000
    after, nonce, _ = dev.engine.account(block, ACCOUNTS[5].address)
    assert after == balance - 11 - 21_000 * 1_000
    assert nonce == 1


def test_a_transaction_that_reverts_is_mined_as_failed(dev: DevEngine) -> None:
    sent = dev.transfer(5, by=ACCOUNTS[4])
    block = dev.engine.transaction(sent)
    assert block is not None
    assert block.transaction is not None
    assert not block.transaction.succeeded
    assert block.logs == ()
    assert dev.engine.account(dev.engine.head, ACCOUNTS[4].address)[1] == 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"nonce": 0}, "nonce too low"),
        ({"nonce": 9}, "nonce too high"),
        ({"chain_id": 1}, "invalid chain id"),
        ({"gas": 20_000}, "gas"),
        ({"gas": GAS_LIMIT + 1}, "gas"),
        ({"gas_price": 1}, "base fee"),
        ({"value": 2 * DEV_BALANCE}, "funds"),
    ],
)
def test_what_cannot_be_mined_is_refused_and_changes_nothing(
    dev: DevEngine, changes: dict[str, Any], reason: str
) -> None:
    head = dev.engine.head.hash
    with pytest.raises(Refused) as caught:
        dev.engine.submit(dev.raw(**changes))
    assert reason in caught.value.message
    assert dev.engine.head.hash == head
    dev.transfer(1)
    assert dev.tokens() == 1


@pytest.mark.parametrize("raw", [b"", b"\x00", b"\x02\xc0", b"\x03\xc0", b"\xf8\xff", b"\xc1\x80"])
def test_bytes_that_are_no_transaction_are_refused(dev: DevEngine, raw: bytes) -> None:
    with pytest.raises(Refused):
        dev.engine.submit(raw)


def test_a_transaction_is_taken_once(dev: DevEngine) -> None:
    raw = dev.raw()
    dev.engine.submit(raw)
    with pytest.raises(Refused, match="already known"):
        dev.engine.submit(raw)


# ---- calls


def test_a_call_changes_nothing(dev: DevEngine) -> None:
    data = encode_call("mft", "transfer", (ACCOUNTS[1].address, 5))
    request = call_request(sender=ACCOUNTS[0].address, to=dev.token, data=data)
    assert int.from_bytes(dev.engine.call(dev.engine.head, request), "big") == 1
    assert dev.tokens() == 0


def test_a_call_that_reverts_gives_its_reason(dev: DevEngine) -> None:
    data = encode_call("mft", "transfer", (ACCOUNTS[1].address, 5))
    request = call_request(sender=ACCOUNTS[4].address, to=dev.token, data=data)
    with pytest.raises(ExecutionReverted) as caught:
        dev.engine.call(dev.engine.head, request)
    assert caught.value.message == "execution reverted: mfdb: balance too small"
    assert caught.value.data is not None
    assert caught.value.data.startswith("0x08c379a0")
    with pytest.raises(ExecutionReverted):
        dev.engine.estimate(dev.engine.head, request)


def test_a_call_sees_the_state_of_its_block(dev: DevEngine) -> None:
    past = dev.engine.head
    dev.transfer(5)
    data = encode_call("mft", "balanceOf", (ACCOUNTS[1].address,))
    request = call_request(to=dev.token, data=data)
    assert int.from_bytes(dev.engine.call(past, request), "big") == 0
    assert int.from_bytes(dev.engine.call(dev.engine.head, request), "big") == 5


def test_an_estimate_is_enough_and_not_much_more(dev: DevEngine) -> None:
    data = encode_call("mft", "transfer", (ACCOUNTS[1].address, 5))
    request = call_request(sender=ACCOUNTS[0].address, to=dev.token, data=data)
    gas = dev.engine.estimate(dev.engine.head, request)
    block = dev.engine.transaction(dev.transfer(5, gas=gas))
    assert block is not None
    assert block.transaction is not None
    assert block.transaction.succeeded
    assert block.transaction.gas_used <= gas < block.transaction.gas_used * 1.15


def test_a_plain_transfer_needs_what_it_always_needs(dev: DevEngine) -> None:
    request = call_request(sender=ACCOUNTS[0].address, to=ACCOUNTS[1].address, value=1)
    assert 21_000 <= dev.engine.estimate(dev.engine.head, request) <= 24_000


# ---- time


def test_block_time_follows_the_clock_and_never_goes_back(dev: DevEngine) -> None:
    dev.clock.time_s = START_S + 50
    assert dev.engine.mine().time_s == START_S + 50
    dev.clock.time_s = START_S + 20
    assert dev.engine.mine().time_s == START_S + 50
    dev.clock.time_s = START_S + 51
    assert dev.engine.mine().time_s == START_S + 51


def test_many_blocks_in_a_second_do_not_run_ahead_of_it(dev: DevEngine) -> None:
    for _ in range(5):
        dev.transfer(1)
    assert dev.engine.head.time_s == START_S


def test_a_tick_mines_only_when_time_has_passed(dev: DevEngine) -> None:
    before = dev.engine.head.number
    dev.engine.tick()
    assert dev.engine.head.number == before
    dev.clock.time_s += 1
    dev.engine.tick()
    assert dev.engine.head.number == before + 1


def test_time_can_be_moved_and_stays_moved(tmp_path: Path) -> None:
    first = DevEngine(tmp_path)
    first.engine.increase_time(1_000)
    assert first.engine.mine().time_s == START_S + 1_000
    first.engine.set_next_time(START_S + 5_000)
    assert first.engine.mine().time_s == START_S + 5_000
    first.close()
    again = DevEngine(tmp_path, HandClock(START_S + 10))
    assert again.engine.head.time_s == START_S + 5_000
    assert again.engine.mine().time_s == START_S + 5_010
    with pytest.raises(InvalidParams):
        again.engine.set_next_time(START_S)
    again.close()


def test_a_call_at_the_head_sees_the_time_of_the_next_block(dev: DevEngine) -> None:
    # NUMBER and TIMESTAMP, as code that runs in a call without an address.
    code = bytes.fromhex("436000524260205260406000f3")
    dev.engine.increase_time(500)
    found = dev.engine.call(dev.engine.head, call_request(data=code))
    assert int.from_bytes(found[:32], "big") == dev.engine.head.number + 1
    assert int.from_bytes(found[32:64], "big") == START_S + 500


# ---- going back


def test_a_snapshot_is_returned_to(dev: DevEngine) -> None:
    dev.transfer(1)
    head, number = dev.engine.head.hash, dev.engine.snapshot()
    sent = dev.transfer(2)
    dev.engine.increase_time(900)
    later = dev.engine.snapshot()
    assert dev.tokens() == 3
    assert dev.engine.revert(number)
    assert dev.engine.head.hash == head
    assert dev.tokens() == 1
    assert dev.engine.transaction(sent) is None
    assert dev.engine.now_s() == START_S
    assert not dev.engine.revert(number)
    assert not dev.engine.revert(later)
    dev.transfer(4)
    assert dev.tokens() == 5


def test_a_reorganisation_takes_back_newest_first_and_goes_on(dev: DevEngine) -> None:
    changes: list[Change] = []
    kept = dev.transfer(1)
    gone = [dev.transfer(10), dev.transfer(100)]
    old = [dev.engine.head.hash]
    dev.engine.listen(changes.append)
    removed = dev.engine.reorganise(2, resend=False)
    assert [block.transaction.hash for block in removed if block.transaction] == gone
    assert [change.removed for change in changes] == [True, True, False, False, False]
    assert [c.block.hash for c in changes[:2]] == [block.hash for block in reversed(removed)]
    assert dev.tokens() == 1
    assert dev.engine.transaction(kept) is not None
    assert dev.engine.transaction(gone[0]) is None
    assert dev.engine.block_by_hash(old[0]) is None
    assert dev.engine.block(dev.engine.head.number - 1).hash != old[0]  # type: ignore[union-attr]  # None fails too
    logs = [block.number for block in dev.engine.blocks_with_logs(0, dev.engine.head.number)]
    assert len(logs) == 2


def test_a_reorganisation_can_mine_the_transactions_again(dev: DevEngine) -> None:
    sent = [dev.transfer(10), dev.transfer(100)]
    old = dev.engine.transaction(sent[1])
    dev.engine.reorganise(2, resend=True)
    assert dev.tokens() == 110
    new = dev.engine.transaction(sent[1])
    assert old is not None
    assert new is not None
    assert new.hash != old.hash


def test_empty_blocks_of_two_branches_differ(dev: DevEngine) -> None:
    first = dev.engine.mine().hash
    dev.engine.reorganise(1, resend=False)
    assert dev.engine.block(dev.engine.head.number - 1).hash != first  # type: ignore[union-attr]  # None fails too


@pytest.mark.parametrize("depth", [0, 257, 10_000])
def test_a_reorganisation_has_bounds(dev: DevEngine, depth: int) -> None:
    with pytest.raises(InvalidParams):
        dev.engine.reorganise(depth, resend=False)


# ---- the directory


def test_a_chain_goes_on_where_it_was(tmp_path: Path) -> None:
    first = DevEngine(tmp_path)
    token = first.deploy_token()
    sent = first.transfer(5)
    head = first.engine.head
    first.close()
    again = DevEngine(tmp_path)
    again.token = token
    assert again.engine.head.hash == head.hash
    assert again.tokens() == 5
    found = again.engine.transaction(sent)
    assert found is not None
    assert found.logs == head.logs
    again.transfer(6)
    assert again.tokens() == 11
    again.close()


def test_a_directory_has_one_process(tmp_path: Path) -> None:
    first = DevEngine(tmp_path)
    with pytest.raises(StoreLocked):
        DevEngine(tmp_path)
    first.close()
    DevEngine(tmp_path).close()


def test_another_format_is_refused(tmp_path: Path) -> None:
    first = DevEngine(tmp_path)
    first.storage.put(b"m/format", b"mfdb-devchain-9")
    first.storage.commit()
    first.close()
    with pytest.raises(WrongVersion, match="mfdb-devchain-9"):
        DevEngine(tmp_path)


def test_a_directory_with_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data.mdb").write_bytes(b"not a database" * 1000)
    with pytest.raises(WrongVersion):
        DevEngine(tmp_path)


def test_another_chain_id_is_refused(tmp_path: Path) -> None:
    from mfdb.chain.devchain.engine import Engine
    from mfdb.chain.devchain.storage import ChainStorage

    DevEngine(tmp_path).close()
    storage = ChainStorage(tmp_path)
    with pytest.raises(WrongChain, match="31337"):
        Engine(storage, chain_id=1337, clock=HandClock())
    storage.close()
