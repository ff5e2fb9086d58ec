"""The JSON-RPC surface, over HTTP and WebSocket, and whatever else comes in on the port."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from typing import Any

import aiohttp
import pytest

from mfdb.chain.abi import encode_call, encode_deployment, topic
from mfdb.chain.devchain.methods import GAS_PRICE, LOG_RANGE
from mfdb.chain.devchain.server import BATCH, BODY_BYTES
from mfdb.chain.transaction import Legacy, sign
from mfdb.kernel.ids import show
from tests.fixtures.devchain import ACCOUNTS, CHAIN_ID, DevchainProcess, RpcError

OWNER = ACCOUNTS[10]
NOWHERE = "0x" + "00" * 32
TRANSFER = show(topic("mft", "Transfer"))


def _send(chain: DevchainProcess, to: bytes, data: bytes) -> Any:
    """Send a transaction of OWNER and return its receipt."""
    nonce = int(chain.rpc("eth_getTransactionCount", show(OWNER.address), "pending"), 16)
    transaction = Legacy(
        chain_id=CHAIN_ID, nonce=nonce, gas_price=1_000, gas=3_000_000, to=to, data=data
    )
    sent = chain.rpc("eth_sendRawTransaction", show(sign(transaction, OWNER)[0]))
    return chain.rpc("eth_getTransactionReceipt", sent)


@pytest.fixture(scope="module")
def token(devchain: DevchainProcess) -> bytes:
    """A token of OWNER's."""
    receipt = _send(devchain, b"", encode_deployment("mft", ()))
    return bytes.fromhex(receipt["contractAddress"][2:])


def _transfer(chain: DevchainProcess, token: bytes, to: bytes) -> Any:
    return _send(chain, token, encode_call("mft", "transfer", (to, 5)))


# ---- what is no request


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", -32700),
        (b"{", -32700),
        (b"\xff\xfe", -32700),
        (b"[" * 100_000, -32700),
        (b"[]", -32600),
        (b"3", -32600),
        (b"null", -32600),
        (b'{"jsonrpc":"2.0","method":"eth_chainId"}', -32600),
        (b'{"jsonrpc":"2.0","id":1}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":{"a":1}}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_nonsense"}', -32601),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_getBalance"}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":["0x12"]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_getBlockByNumber","params":["0xzz"]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[7]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_getLogs","params":[{"topics":7}]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_subscribe","params":["newHeads"]}', -32601),
    ],
)
def test_what_is_wrong_is_said_and_the_chain_serves_on(
    devchain: DevchainProcess, body: bytes, code: int
) -> None:
    answer = devchain.post(body)
    assert answer["error"]["code"] == code
    assert "result" not in answer
    assert devchain.rpc("eth_chainId") == hex(CHAIN_ID)


def test_a_body_over_the_limit_is_refused(devchain: DevchainProcess) -> None:
    answer = devchain.post(b" " * (BODY_BYTES + 1))
    assert answer["error"]["code"] == -32600
    assert devchain.rpc("net_version") == str(CHAIN_ID)


def test_a_batch_is_answered_in_order_and_has_a_limit(devchain: DevchainProcess) -> None:
    one = {"jsonrpc": "2.0", "method": "eth_chainId", "params": []}
    batch = [one | {"id": number} for number in range(BATCH)]
    batch[3] = batch[3] | {"method": "nonsense"}
    answers = devchain.post(json.dumps(batch).encode())
    assert [answer["id"] for answer in answers] == list(range(BATCH))
    assert [index for index, answer in enumerate(answers) if "error" in answer] == [3]
    answer = devchain.post(json.dumps([*batch, one]).encode())
    assert answer["error"]["code"] == -32600


def test_a_browsers_page_is_refused(devchain: DevchainProcess) -> None:
    body = b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}'
    request = urllib.request.Request(devchain.url, body, {"Origin": "https://evil.example"})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=10)
    assert caught.value.code == 403
    caught.value.close()


# ---- blocks, accounts, fees


def test_blocks_are_found_by_number_tag_and_hash(devchain: DevchainProcess) -> None:
    first = devchain.block("earliest")
    assert first["number"] == "0x0"
    assert devchain.block(first["hash"]) == first
    assert devchain.block("0xffffff") is None
    assert devchain.block("0x" + "ab" * 32) is None
    head = devchain.rpc("evm_mine")
    found = devchain.block(head)
    parent = devchain.block(hex(int(head, 16) - 1))
    assert found["parentHash"] == parent["hash"]


def test_gas_is_trivially_cheap(devchain: DevchainProcess) -> None:
    assert int(devchain.rpc("eth_gasPrice"), 16) == GAS_PRICE
    history = devchain.rpc("eth_feeHistory", "0x4", "latest", [10, 90])
    assert len(history["baseFeePerGas"]) == len(history["gasUsedRatio"]) + 1
    assert all(int(fee, 16) < GAS_PRICE for fee in history["baseFeePerGas"])
    assert all(len(row) == 2 for row in history["reward"])


def test_a_receipt_and_its_transaction_agree(devchain: DevchainProcess, token: bytes) -> None:
    receipt = _transfer(devchain, token, ACCOUNTS[11].address)
    sent = devchain.rpc("eth_getTransactionByHash", receipt["transactionHash"])
    assert sent["from"] == receipt["from"] == show(OWNER.address)
    assert sent["to"] == receipt["to"] == show(token)
    assert sent["blockHash"] == receipt["blockHash"]
    assert receipt["contractAddress"] is None
    block = devchain.block(receipt["blockHash"], full=True)
    assert block["transactions"] == [sent]
    assert block["gasUsed"] == receipt["gasUsed"]
    assert block["logsBloom"] == receipt["logsBloom"] != "0x" + "00" * 256
    assert devchain.rpc("eth_getTransactionReceipt", "0x" + "cd" * 32) is None


def test_a_revert_carries_its_data(devchain: DevchainProcess, token: bytes) -> None:
    data = encode_call("mft", "transfer", (OWNER.address, 5))
    asked = {"from": show(ACCOUNTS[12].address), "to": show(token), "data": show(data)}
    for method in ("eth_call", "eth_estimateGas"):
        with pytest.raises(RpcError, match="mfdb: balance too small") as caught:
            devchain.rpc(method, asked)
        assert caught.value.code == 3
        assert str(caught.value.data).startswith("0x08c379a0")


# ---- logs


def test_logs_are_filtered(devchain: DevchainProcess, token: bytes) -> None:
    one, two = (show(bytes(12) + ACCOUNTS[n].address) for n in (13, 14))
    first = _transfer(devchain, token, ACCOUNTS[13].address)
    second = _transfer(devchain, token, ACCOUNTS[14].address)
    at, last = first["blockNumber"], second["blockNumber"]

    def found(**wanted: Any) -> list[str]:
        asked = {"fromBlock": at, "toBlock": last, "address": show(token)} | wanted
        return [log["topics"][2] for log in devchain.rpc("eth_getLogs", asked)]

    assert found() == [one, two]
    assert found(topics=[TRANSFER]) == [one, two]
    assert found(topics=[TRANSFER, None, two]) == [two]
    assert found(topics=[None, None, [two, one]]) == [one, two]
    assert found(topics=["0x" + "00" * 32]) == []
    assert found(topics=[None, None, None, one]) == []
    assert found(address=show(ACCOUNTS[1].address)) == []
    assert found(address=[show(ACCOUNTS[1].address), show(token)]) == [one, two]
    assert found(toBlock=at) == [one]
    assert found(fromBlock=last) == [two]
    by_hash = devchain.rpc("eth_getLogs", {"blockHash": first["blockHash"]})
    assert by_hash == first["logs"]


def test_log_queries_have_bounds(devchain: DevchainProcess) -> None:
    with pytest.raises(RpcError, match="not both"):
        devchain.rpc("eth_getLogs", {"blockHash": NOWHERE, "fromBlock": "0x0"})
    with pytest.raises(RpcError, match="unknown block"):
        devchain.rpc("eth_getLogs", {"blockHash": NOWHERE})
    head = int(devchain.rpc("eth_blockNumber"), 16)
    assert head < LOG_RANGE
    assert devchain.rpc("eth_getLogs", {"fromBlock": hex(head + 5)}) == []
    assert devchain.rpc("eth_getLogs", {"fromBlock": "0x0", "toBlock": "0xffffff"})


# ---- WebSocket


def test_a_socket_hears_heads_and_logs_also_removed_ones(
    devchain: DevchainProcess, token: bytes
) -> None:
    async def scenario() -> None:
        url = devchain.url.replace("http", "ws")
        async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
            heads = await _asked(socket, 1, "eth_subscribe", "newHeads")
            logs = await _asked(socket, 2, "eth_subscribe", "logs", {"address": show(token)})
            # Room for the blocks that come by themselves while the depth is on its way.
            await asyncio.to_thread(devchain.rpc, "evm_mine", 6)
            receipt = await asyncio.to_thread(_transfer, devchain, token, ACCOUNTS[15].address)
            told = await _heard(socket, logs)
            assert told == receipt["logs"][0]
            above = int(devchain.rpc("eth_blockNumber"), 16) - int(receipt["blockNumber"], 16)
            depth = above + 5
            await asyncio.to_thread(devchain.rpc, "mfdb_reorg", depth)
            assert await _heard(socket, logs) == told | {"removed": True}
            number = None
            while number != receipt["blockNumber"]:
                head = await _heard(socket, heads)
                number = head["number"] if head["hash"] != receipt["blockHash"] else None
            assert await _asked(socket, 3, "eth_unsubscribe", heads) is True
            assert await _asked(socket, 4, "eth_unsubscribe", heads) is False
            assert await _asked(socket, 5, "eth_chainId") == hex(CHAIN_ID)

    asyncio.run(asyncio.wait_for(scenario(), 60))


async def _asked(
    socket: aiohttp.ClientWebSocketResponse, number: int, method: str, *params: Any
) -> Any:
    await socket.send_json(
        {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}
    )
    while True:
        answer = await socket.receive_json()
        if answer.get("id") == number:
            return answer["result"]


async def _heard(socket: aiohttp.ClientWebSocketResponse, subscription: str) -> Any:
    while True:
        message = await socket.receive_json()
        if message.get("params", {}).get("subscription") == subscription:
            return message["params"]["result"]


# ---- web3.py as others use it


def test_web3_sends_reads_and_understands_reverts(devchain: DevchainProcess, token: bytes) -> None:
    from web3 import HTTPProvider, Web3
    from web3.exceptions import ContractLogicError

    from mfdb.chain.contracts.artefacts import load

    w3 = Web3(HTTPProvider(devchain.url))
    sender = w3.eth.account.from_key(ACCOUNTS[16].secret())
    contract = w3.eth.contract(address=Web3.to_checksum_address(token), abi=load("mft").abi)
    assert contract.functions.balanceOf(sender.address).call() == 0
    with pytest.raises(ContractLogicError, match="mfdb: balance too small"):
        contract.functions.transfer(sender.address, 5).call({"from": sender.address})
    plain = {"to": sender.address, "value": 3, "nonce": 0, "chainId": CHAIN_ID, "gas": 21_000}
    fees = {"maxFeePerGas": 2_000, "maxPriorityFeePerGas": 1_000, "type": 2}
    signed = sender.sign_transaction(plain | fees)
    receipt = w3.eth.wait_for_transaction_receipt(
        w3.eth.send_raw_transaction(signed.raw_transaction)
    )
    assert receipt["status"] == 1
    assert receipt["effectiveGasPrice"] == 1_007
    assert w3.eth.get_transaction(receipt["transactionHash"])["type"] == 2
    assert w3.eth.get_block("latest")["number"] >= receipt["blockNumber"]
    assert w3.eth.fee_history(2, "latest")["baseFeePerGas"]
