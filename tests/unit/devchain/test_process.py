"""The process: starting, ending, dying, and what is left afterwards."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mfdb.chain.abi import encode_deployment, topic
from mfdb.chain.transaction import Legacy, sign
from mfdb.kernel.ids import show
from tests.fixtures.devchain import ACCOUNTS, CHAIN_ID, DevchainProcess

if TYPE_CHECKING:
    from mfdb.kernel.account import Account

ROOT = Path(__file__).parents[3]


def _start(*arguments: str) -> tuple[int, str]:
    """Run the process until it ends by itself."""
    command = [sys.executable, "-m", "mfdb.chain.devchain", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


def _raw(nonce: int, *, by: Account, to: bytes, data: bytes = b"") -> str:
    transaction = Legacy(
        chain_id=CHAIN_ID, nonce=nonce, gas_price=1_000, gas=3_000_000, to=to, data=data
    )
    return show(sign(transaction, by)[0])


def test_a_chain_that_was_ended_goes_on_where_it_was(tmp_path: Path) -> None:
    chain = DevchainProcess(tmp_path, block_time_s=0)
    deployed = chain.rpc(
        "eth_sendRawTransaction", _raw(0, by=ACCOUNTS[0], to=b"", data=encode_deployment("mft", ()))
    )
    receipt = chain.rpc("eth_getTransactionReceipt", deployed)
    wanted = {"fromBlock": "0x0", "topics": [show(topic("mft", "Transfer"))]}
    logs = chain.rpc("eth_getLogs", wanted)
    assert len(logs) == 1
    head = chain.head()
    chain.process.send_signal(signal.SIGINT)
    assert chain.process.wait(30) == 0
    chain.stop()
    again = DevchainProcess(tmp_path, block_time_s=0)
    assert again.head() == head
    assert again.rpc("eth_getTransactionReceipt", deployed) == receipt
    assert again.rpc("eth_getLogs", wanted) == logs
    assert again.rpc("eth_getCode", receipt["contractAddress"], "latest") != "0x"
    assert again.stop() == 0


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    chain = DevchainProcess(tmp_path)
    acknowledged: list[str] = []
    enough = threading.Event()

    def load() -> None:
        for nonce in range(10_000):
            try:
                sent = chain.rpc(
                    "eth_sendRawTransaction", _raw(nonce, by=ACCOUNTS[1], to=ACCOUNTS[2].address)
                )
            except OSError:
                return
            acknowledged.append(sent)
            if len(acknowledged) == 25:
                enough.set()

    sender = threading.Thread(target=load)
    sender.start()
    assert enough.wait(30)
    chain.kill()
    sender.join(30)
    again = DevchainProcess(tmp_path)
    numbers = []
    for sent in acknowledged:
        receipt = again.rpc("eth_getTransactionReceipt", sent)
        assert receipt["status"] == "0x1"
        numbers.append(int(receipt["blockNumber"], 16))
    assert numbers == sorted(set(numbers))
    count = int(again.rpc("eth_getTransactionCount", show(ACCOUNTS[1].address), "latest"), 16)
    # The last one may have been mined without its answer having got out.
    assert len(acknowledged) <= count <= len(acknowledged) + 1
    again.rpc("eth_sendRawTransaction", _raw(count, by=ACCOUNTS[1], to=ACCOUNTS[2].address))
    again.stop()


def test_block_time_moves_by_itself(tmp_path: Path) -> None:
    chain = DevchainProcess(tmp_path, block_time_s=0.2)
    first = chain.head()
    moved = threading.Event()
    for _ in range(100):
        if chain.head()["timestamp"] != first["timestamp"]:
            moved.set()
            break
        moved.wait(0.05)
    assert moved.is_set()
    chain.stop()


def test_an_open_socket_does_not_keep_the_chain_from_ending(tmp_path: Path) -> None:
    chain = DevchainProcess(tmp_path)
    with socket.create_connection(("127.0.0.1", chain.port)) as idle:
        idle.sendall(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        assert idle.recv(12) == b"HTTP/1.1 101"
        chain.process.terminate()
        assert chain.process.wait(8) == 0
    chain.stop()


def test_a_taken_port_is_said_so(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        code, errors = _start("--dir", str(tmp_path), "--port", str(port))
    assert code == 2
    assert errors.startswith("PortTaken: ")
    assert "--port" in errors


def test_a_directory_in_use_is_said_so(tmp_path: Path) -> None:
    chain = DevchainProcess(tmp_path)
    code, errors = _start("--dir", str(tmp_path), "--port", "0")
    assert code == 2
    assert errors.startswith("StoreLocked: ")
    assert chain.stop() == 0


@pytest.mark.parametrize("chain_id", ["1", "30"])
def test_a_real_chains_id_is_refused(tmp_path: Path, chain_id: str) -> None:
    code, errors = _start("--dir", str(tmp_path), "--port", "0", "--chain-id", chain_id)
    assert code == 2
    assert errors.startswith("WrongChain: ")
