"""The adapter where the suite cannot look: endpoints that fail, lie, restart and reorganise."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
import rlp

from mfdb.chain.deploy import Deployment, deploy
from mfdb.chain.faucet import give_coin
from mfdb.chain.outbox import Outbox
from mfdb.chain.port import (
    CreateChequebook,
    RecordKind,
    Seen,
    SetRecord,
    Stake,
    TransferMft,
    Transferred,
)
from mfdb.chain.rpc import Endpoint
from mfdb.chain.web3_chain import Web3Chain
from mfdb.kernel.account import Account
from mfdb.kernel.errors import (
    ChainError,
    ChainUnavailable,
    CorruptRecord,
    DeadlineExceeded,
    TransactionReverted,
    WrongChain,
    WrongVersion,
)
from mfdb.kernel.ids import MFT, Address, Hash, Wei
from mfdb.store.lmdb_store import LmdbStore
from mfdb.testing.memory_store import MemoryStore
from tests.fixtures.chain_worlds import TERMS, RpcWorld
from tests.fixtures.devchain import ACCOUNTS, CHAIN_ID, DevchainProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine
    from pathlib import Path

FAUCET = ACCOUNTS[18]
TO = Address(b"\x11" * 20)


@pytest.fixture(scope="module")
def deployment(devchain: DevchainProcess) -> Deployment:
    """Contracts of this module's own."""
    return asyncio.run(deploy(devchain.url, FAUCET, TERMS))


def play(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 60))


@asynccontextmanager
async def connected(deployment: Deployment, **options: Any) -> AsyncIterator[Web3Chain]:
    chain = await Web3Chain.connect(deployment, **options)
    try:
        yield chain
    finally:
        await chain.close()


class FlakyEndpoint(Endpoint):
    """An endpoint that loses the answers to chosen methods, before or after they took effect."""

    def __init__(self, inner: Endpoint) -> None:
        super().__init__(inner._provider, inner.url)
        self.lost_before: set[str] = set()
        self.lost_after: set[str] = set()
        self.asked: list[str] = []
        self._awaited: tuple[str, asyncio.Event] | None = None

    async def until(self, method: str) -> None:
        """Wait for the next request of a method."""
        self._awaited = (method, asyncio.Event())
        await self._awaited[1].wait()

    async def request(self, method: str, *params: Any) -> Any:
        self.asked.append(method)
        if self._awaited is not None and method == self._awaited[0]:
            self._awaited[1].set()
        if method in self.lost_before:
            raise ChainUnavailable("lost")
        answer = await super().request(method, *params)
        if method in self.lost_after:
            raise ChainUnavailable("lost")
        return answer


async def flaky(deployment: Deployment, store: Any = None) -> tuple[Web3Chain, FlakyEndpoint]:
    endpoint = FlakyEndpoint(await Endpoint.open(deployment.rpc_url))
    return Web3Chain(endpoint, deployment, Outbox(store, b"net")), endpoint


# ---- the record of a deployment


def test_a_deployment_is_kept_in_a_file(deployment: Deployment, tmp_path: Path) -> None:
    file = tmp_path / "deployment.json"
    deployment.save(file)
    assert Deployment.load(file) == deployment
    read = json.loads(file.read_text())
    assert read["format"] == 2
    assert read["contracts"]["court"] == "0x" + deployment.contracts["court"].hex()
    read["format"] = 1
    with pytest.raises(WrongVersion):
        Deployment.from_json(json.dumps(read))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 2}', "[" * 5_000])
def test_what_is_no_deployment_is_refused(text: str) -> None:
    with pytest.raises(CorruptRecord):
        Deployment.from_json(text)


def test_another_chain_or_other_code_is_noticed(deployment: Deployment) -> None:
    async def scenario() -> None:
        with pytest.raises(WrongChain, match="serves chain 31337"):
            await Web3Chain.connect(replace(deployment, chain_id=1337))
        moved = deployment.contracts | {"court": deployment.contracts["escrow"]}
        with pytest.raises(WrongChain, match="court is not at"):
            await Web3Chain.connect(replace(deployment, contracts=moved))

    play(scenario())


def test_a_development_key_is_refused_where_money_is_real(deployment: Deployment) -> None:
    async def scenario() -> None:
        endpoint = await Endpoint.open(deployment.rpc_url)
        real = Web3Chain(endpoint, replace(deployment, chain_id=30), Outbox(None, b""))
        with pytest.raises(WrongChain, match="everybody has its key"):
            await real.send(TransferMft(to=TO, amount=Wei(1)), FAUCET)
        await real.close()

    play(scenario())


# ---- nonces and the outbox


def test_many_sends_of_one_key_from_two_processes_all_go_in(deployment: Deployment) -> None:
    async def scenario() -> None:
        async with connected(deployment) as one, connected(deployment) as two:
            before = await one.balance(TO)
            call = TransferMft(to=TO, amount=Wei(1))
            sent = [chain.send(call, FAUCET) for chain in (one, two) for _ in range(5)]
            mined = await asyncio.gather(*sent)
            assert len({found.transaction for found in mined}) == 10
            assert await one.balance(TO) == before + 10

    play(scenario())


def test_a_lost_answer_does_not_send_twice(deployment: Deployment) -> None:
    async def scenario() -> None:
        chain, endpoint = await flaky(deployment)
        before = await chain.balance(TO)
        endpoint.lost_after.add("eth_sendRawTransaction")
        await chain.send(TransferMft(to=TO, amount=Wei(5)), FAUCET)
        assert await chain.balance(TO) == before + 5
        await chain.close()

    play(scenario())


def test_a_send_that_never_arrived_is_sent_again(deployment: Deployment) -> None:
    async def scenario() -> None:
        chain, endpoint = await flaky(deployment)
        before = await chain.balance(TO)
        endpoint.lost_before.add("eth_sendRawTransaction")
        call = TransferMft(to=TO, amount=Wei(5))
        sending = asyncio.create_task(chain.send(call, FAUCET))
        await endpoint.until("eth_getTransactionReceipt")
        assert not sending.done()
        endpoint.lost_before.clear()
        endpoint.lost_before.add("eth_getTransactionReceipt")
        endpoint.asked.clear()
        await endpoint.until("eth_getTransactionReceipt")
        endpoint.lost_before.clear()
        await sending
        assert await chain.balance(TO) == before + 5
        await chain.close()

    play(scenario())


def test_a_call_repeated_after_a_crash_is_finished_not_sent_twice(
    deployment: Deployment, tmp_path: Path
) -> None:
    async def scenario() -> None:
        store = LmdbStore(tmp_path)
        first, endpoint = await flaky(deployment, store)
        before = await first.balance(TO)
        endpoint.lost_before.add("eth_getTransactionReceipt")
        call = TransferMft(to=TO, amount=Wei(9))
        with pytest.raises(ChainUnavailable):
            await first.send(call, FAUCET, timeout_s=0.2)
        await first.close()
        store.close()
        # Another process with the same store: the first transaction was mined unnoticed.
        store = LmdbStore(tmp_path)
        again, _ = await flaky(deployment, store)
        await again.send(call, FAUCET)
        assert await again.balance(TO) == before + 9
        await again.send(call, FAUCET)
        assert await again.balance(TO) == before + 18
        await again.close()
        store.close()

    play(scenario())


def test_a_transaction_written_down_but_never_sent_is_sent_after_a_crash(
    deployment: Deployment,
) -> None:
    async def scenario() -> None:
        store = MemoryStore()
        first, endpoint = await flaky(deployment, store)
        before = await first.balance(TO)
        endpoint.lost_before.update({"eth_sendRawTransaction"})
        call = TransferMft(to=TO, amount=Wei(9))
        with pytest.raises((DeadlineExceeded, ChainUnavailable)):
            await first.send(call, FAUCET, timeout_s=0.2)
        assert await first.balance(TO) == before
        await first.close()
        again, _ = await flaky(deployment, store)
        await again.send(call, FAUCET)
        assert await again.balance(TO) == before + 9
        await again.close()

    play(scenario())


def test_a_transaction_whose_nonce_was_taken_is_made_anew(deployment: Deployment) -> None:
    async def scenario() -> None:
        store = MemoryStore()
        first, endpoint = await flaky(deployment, store)
        before = await first.balance(TO)
        endpoint.lost_before.update({"eth_sendRawTransaction"})
        call = TransferMft(to=TO, amount=Wei(9))
        with pytest.raises((DeadlineExceeded, ChainUnavailable)):
            await first.send(call, FAUCET, timeout_s=0.2)
        await first.close()
        async with connected(deployment) as other:
            await other.send(TransferMft(to=TO, amount=Wei(1)), FAUCET)
        again, _ = await flaky(deployment, store)
        await again.send(call, FAUCET)
        assert await again.balance(TO) == before + 10
        await again.close()

    play(scenario())


def test_a_suggestion_made_from_what_we_paid_does_not_drive_the_price_up(
    deployment: Deployment,
) -> None:
    class Echo(FlakyEndpoint):
        """Suggests what was paid last, as anvil and light traffic do."""

        paid: ClassVar[list[int]] = [5_000]

        async def request(self, method: str, *params: Any) -> Any:
            if method == "eth_gasPrice":
                return hex(self.paid[-1])
            if method == "eth_sendRawTransaction":
                fields = rlp.decode(bytes.fromhex(params[0][2:]))
                self.paid.append(int.from_bytes(fields[1], "big"))
            return await super().request(method, *params)

    async def scenario() -> None:
        endpoint = Echo(await Endpoint.open(deployment.rpc_url))
        chain = Web3Chain(endpoint, deployment, Outbox(None, b""))
        for _ in range(6):
            await chain.send(TransferMft(to=TO, amount=Wei(1)), FAUCET)
        assert Echo.paid == [5_000] * 7
        await chain.close()

    play(scenario())


def test_without_coin_for_gas_the_sender_is_told(deployment: Deployment) -> None:
    async def scenario() -> None:
        async with connected(deployment) as chain:
            poor = Account(b"\x77" * 32)
            await chain.send(TransferMft(to=poor.address, amount=Wei(5)), FAUCET)
            with pytest.raises(ChainError, match="insufficient funds") as caught:
                await chain.send(TransferMft(to=TO, amount=Wei(1)), poor)
            assert "own coin" in caught.value.hint
            await give_coin(deployment.rpc_url, FAUCET, [poor.address])
            await chain.send(TransferMft(to=TO, amount=Wei(1)), poor)

    play(scenario())


def test_a_contract_approves_only_what_is_taken(deployment: Deployment) -> None:
    async def scenario() -> None:
        async with connected(deployment) as chain:
            await chain.send(Stake(amount=Wei(3 * MFT)), FAUCET)
            made = await chain.send(CreateChequebook(amount=Wei(MFT)), FAUCET)
            other = await chain.send(CreateChequebook(amount=Wei(MFT)), FAUCET)
            assert made.created is not None
            assert made.created != other.created
            for name in ("deposits", "chequebook_factory"):
                spender = deployment.contracts[name]
                left = await chain._view("mft", "allowance", FAUCET.address, spender)
                assert left == (0,)

    play(scenario())


def test_spending_at_the_same_moment_shares_no_allowance(deployment: Deployment) -> None:
    async def scenario() -> None:
        async with connected(deployment) as chain:
            before = await chain.deposit(FAUCET.address)
            staked = [chain.send(Stake(amount=Wei(n)), FAUCET) for n in (3, 3, 4, 5)]
            made = chain.send(CreateChequebook(amount=Wei(7)), FAUCET)
            *_, chequebook = await asyncio.gather(*staked, made)
            assert (await chain.deposit(FAUCET.address)).total == before.total + 15
            assert chequebook.created is not None
            state = await chain.chequebook(chequebook.created, TO)
            assert state is not None
            assert state.balance == 7

    play(scenario())


def test_an_endpoint_that_hangs_costs_no_more_than_the_time_allowed(
    deployment: Deployment,
) -> None:
    async def scenario() -> None:
        ended: list[asyncio.Future[None]] = []

        async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            over = asyncio.get_running_loop().create_future()
            ended.append(over)
            await reader.read()
            writer.close()
            await writer.wait_closed()
            over.set_result(None)

        server = await asyncio.start_server(hang, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        endpoint = await Endpoint.open(f"http://127.0.0.1:{port}", request_s=6)
        chain = Web3Chain(endpoint, deployment, Outbox(None, b""))
        began = asyncio.get_running_loop().time()
        with pytest.raises(DeadlineExceeded):
            await chain.send(TransferMft(to=TO, amount=Wei(1)), FAUCET, timeout_s=0.2)
        assert asyncio.get_running_loop().time() - began < 5
        await chain.close()
        quick = await Endpoint.open(f"http://127.0.0.1:{port}", request_s=0.2)
        with pytest.raises(ChainUnavailable):
            await quick.height()
        await quick.close()
        assert len(ended) >= 2
        await asyncio.gather(*ended)
        server.close()
        await server.wait_closed()

    play(scenario())


def test_a_refusal_has_its_reason_and_a_hint(deployment: Deployment) -> None:
    async def scenario() -> None:
        async with connected(deployment) as chain:
            owner = Account(b"\x78" * 32)
            await give_coin(deployment.rpc_url, FAUCET, [owner.address])
            with pytest.raises(TransactionReverted) as caught:
                await chain.send(TransferMft(to=TO, amount=Wei(1)), owner)
            assert caught.value.message == "mfdb: balance too small"
            assert "faucet" in caught.value.hint

    play(scenario())


# ---- reorganisations


def test_what_a_reorganisation_takes_back_is_told_as_removed(
    deployment: Deployment, devchain: DevchainProcess
) -> None:
    async def scenario() -> None:
        async with connected(deployment) as chain:
            since = (await chain.head()).number + 1
            following = chain.follow(since_block=since, poll_s=0.01)
            kept = await chain.send(TransferMft(to=TO, amount=Wei(21)), FAUCET)
            assert _amount(await anext(following)) == (21, False)
            # Room for the blocks that come by themselves while the depth is on its way.
            await asyncio.to_thread(devchain.rpc, "evm_mine", 6)
            lost = await chain.send(TransferMft(to=TO, amount=Wei(22)), FAUCET)
            assert _amount(await anext(following)) == (22, False)
            depth = (await chain.head()).number - kept.block - 1
            await asyncio.to_thread(devchain.rpc, "mfdb_reorg", depth)
            gone = await anext(following)
            assert _amount(gone) == (22, True)
            assert (gone.transaction, gone.block) == (lost.transaction, lost.block)
            await chain.send(TransferMft(to=TO, amount=Wei(23)), FAUCET)
            assert _amount(await anext(following)) == (23, False)
            told = [_amount(seen) for seen in await chain.events(since_block=since)]
            assert told == [(21, False), (23, False)]

    play(scenario())


def test_a_reorganisation_is_noticed_while_the_chain_is_not_longer(
    deployment: Deployment, devchain: DevchainProcess
) -> None:
    async def scenario() -> None:
        async with connected(deployment) as chain:
            snapshot = devchain.rpc("evm_snapshot")
            since = (await chain.head()).number + 1
            following = chain.follow(since_block=since, poll_s=0.01)
            await chain.send(TransferMft(to=TO, amount=Wei(31)), FAUCET)
            assert _amount(await anext(following)) == (31, False)
            await asyncio.to_thread(devchain.rpc, "evm_revert", snapshot)
            assert _amount(await anext(following)) == (31, True)

    play(scenario())


def test_records_follow_a_reorganisation(deployment: Deployment, devchain: DevchainProcess) -> None:
    async def scenario() -> None:
        async with connected(deployment) as chain:
            me = FAUCET.address
            await chain.send(SetRecord(kind=RecordKind.HOME, record=b"kept"), FAUCET)
            snapshot = devchain.rpc("evm_snapshot")
            await chain.send(SetRecord(kind=RecordKind.HOME, record=b"gone"), FAUCET)
            assert (await chain.records(RecordKind.HOME))[me] == b"gone"
            await asyncio.to_thread(devchain.rpc, "evm_revert", snapshot)
            assert (await chain.records(RecordKind.HOME))[me] == b"kept"
            assert await chain.record(me, RecordKind.HOME) == b"kept"

    play(scenario())


async def _next(following: AsyncIterator[Seen]) -> Seen:
    return await anext(following)


def _amount(seen: Seen) -> tuple[int, bool]:
    assert isinstance(seen.event, Transferred)
    return seen.event.amount, seen.removed


# ---- an endpoint that goes and comes


def test_an_endpoint_that_is_down_is_said_so_and_used_again_when_back(tmp_path: Path) -> None:
    first = DevchainProcess(tmp_path)

    async def scenario() -> None:
        made = await deploy(first.url, FAUCET, TERMS)
        chain = await Web3Chain.connect(made)
        following = chain.follow(poll_s=0.02)
        assert (await anext(following)).event is not None
        await asyncio.to_thread(first.kill)
        for ask in (chain.head(), chain.balance(TO), chain.events()):
            with pytest.raises(ChainUnavailable) as caught:
                await ask
            assert caught.value.retryable
        with pytest.raises(ChainUnavailable):
            await chain.send(TransferMft(to=TO, amount=Wei(1)), FAUCET)
        with pytest.raises(ChainUnavailable):
            await Web3Chain.connect(made)
        later = asyncio.create_task(_next(following))
        again = await asyncio.to_thread(DevchainProcess, tmp_path, port=first.port)
        await chain.send(TransferMft(to=TO, amount=Wei(7)), FAUCET)
        assert await chain.balance(TO) == 7
        assert _amount(await later) == (7, False)
        await chain.close()
        await asyncio.to_thread(again.stop)

    play(scenario())


def test_a_send_outlives_a_restart_of_the_endpoint(tmp_path: Path) -> None:
    first = DevchainProcess(tmp_path)

    async def scenario() -> None:
        made = await deploy(first.url, FAUCET, TERMS)
        chain, endpoint = await flaky(made)
        endpoint.lost_before.add("eth_sendRawTransaction")
        sending = asyncio.create_task(chain.send(TransferMft(to=TO, amount=Wei(7)), FAUCET))
        await endpoint.until("eth_sendRawTransaction")
        await asyncio.to_thread(first.kill)
        endpoint.lost_before.clear()
        again = await asyncio.to_thread(DevchainProcess, tmp_path, port=first.port)
        await sending
        assert await chain.balance(TO) == 7
        await chain.close()
        await asyncio.to_thread(again.stop)

    play(scenario())


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b"\xff", b"", b'{"result": 7}'])
def test_a_server_that_is_no_chain_is_not_believed(answer: bytes) -> None:
    async def scenario() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(100)
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(answer)}\r\nConnection: close\r\n\r\n"
            writer.write(head.encode() + answer)
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        endpoint = await Endpoint.open(f"http://127.0.0.1:{port}")
        with pytest.raises(ChainUnavailable):
            await endpoint.height()
        await endpoint.close()
        server.close()
        await server.wait_closed()

    play(scenario())


# ---- what a world costs


def test_a_view_is_one_request(deployment: Deployment) -> None:
    async def scenario() -> None:
        chain, endpoint = await flaky(deployment)
        endpoint.asked.clear()
        await chain.balance(TO)
        assert endpoint.asked == ["eth_call"]
        await chain.terms()
        await chain.terms()
        assert endpoint.asked == ["eth_call", "eth_call"]
        await chain.close()

    play(scenario())


def test_time_moves_as_the_worlds_say(deployment: Deployment) -> None:
    async def scenario() -> None:
        world = await RpcWorld.open(deployment, FAUCET)
        before = (await world.chain.head()).time_s
        await world.advance(5_000)
        assert (await world.chain.head()).time_s >= before + 5_000
        await world.close()

    play(scenario())


def test_the_chain_id_and_hashes_are_bytes(deployment: Deployment) -> None:
    assert deployment.chain_id == CHAIN_ID
    assert all(len(Hash(code)) == 32 for code in deployment.code_hashes.values())
