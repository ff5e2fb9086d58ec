"""What `mfdb devnet` and `mfdb demo` refuse: with a name, a hint and nothing half-done."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import pytest

from tests.fixtures.e2e_command import mfdb, processes_under

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fixtures.e2e_command import Done

pytestmark = pytest.mark.e2e


def refused(done: Done, code: str, *words: str) -> None:
    assert done.code != 0
    assert done.error["code"] == code
    assert done.error["hint"]
    for word in words:
        assert word in done.error["message"] + done.error["hint"]


def devnet(directory: Path, action: str, *argv: str) -> Done:
    return mfdb("devnet", action, "--directory", directory, "--json", *argv)


def test_a_port_that_is_taken_is_named_and_not_kept(tmp_path: Path) -> None:
    with socket.socket() as taker:
        taker.bind(("127.0.0.1", 0))
        taker.listen()
        port = taker.getsockname()[1]
        for base in (port, port - 2):  # the chain's, a provider's
            done = devnet(tmp_path / "net", "up", "--providers", "3", "--base-port", str(base))
            refused(done, "PortTaken", "--base-port")
        assert (
            f"port {port},"
            in devnet(tmp_path / "net", "up", "--base-port", str(port)).error["message"]
        )
    assert not (tmp_path / "net" / "devnet.json").exists(), "another port can be chosen"
    assert processes_under(tmp_path) == {}


def test_a_directory_of_another_version_is_left_alone(tmp_path: Path) -> None:
    kept = json.dumps({"format": 99, "chain": "devchain", "chain_port": 1, "provider_ports": []})
    for content in (kept, '{"format": 1, "shape": "unknown"}', "no json"):
        (tmp_path / "devnet.json").write_text(content)
        for action in ("up", "down", "status"):
            refused(devnet(tmp_path, action), "WrongVersion", "mfdb devnet reset")
        assert (tmp_path / "devnet.json").read_text() == content
    assert devnet(tmp_path, "reset", "--yes").code == 0
    assert not tmp_path.exists()


def test_a_network_file_of_another_version(tmp_path: Path) -> None:
    network = tmp_path / "network.json"
    command = ("--data", tmp_path / "data", "--network", network, "--json", "-c", "SELECT 1")
    refused(mfdb(*command), "DevnetFailed", "devnet up")
    network.write_text('{"format": 99}')
    refused(mfdb(*command), "WrongVersion", "devnet reset")
    network.write_text("{")
    refused(mfdb(*command), "CorruptRecord", "devnet reset")


def test_only_a_devnet_is_removed_and_only_if_it_is_meant(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("letters")
    refused(devnet(tmp_path, "reset", "--yes"), "DevnetFailed", "nothing was removed")
    (tmp_path / "devnet.json").write_text("{}")
    refused(devnet(tmp_path, "reset"), "DevnetFailed", "--yes")
    assert (tmp_path / "precious").exists()


def test_what_is_not_there(tmp_path: Path) -> None:
    refused(devnet(tmp_path / "none", "status"), "DevnetFailed", "devnet up")
    assert devnet(tmp_path / "none", "down").code == 0, "what does not run is down"
    (tmp_path / "file").write_text("")
    refused(devnet(tmp_path / "file" / "net", "up"), "DevnetFailed", "--directory")


def test_no_network_without_providers(tmp_path: Path) -> None:
    done = devnet(tmp_path / "net", "up", "--providers", "0")
    assert (done.code, done.error["code"]) == (1, "NoProviders")
    assert not (tmp_path / "net").exists()


def test_an_unknown_address_is_not_funded(tmp_path: Path) -> None:
    refused(devnet(tmp_path, "fund", "bob"), "BadType", "40 hex digits")


def test_fewer_than_seven_providers_cannot_tell_the_story(tmp_path: Path) -> None:
    done = mfdb("demo", "--providers", "6", "--json", environ={"TMPDIR": str(tmp_path)})
    refused(done, "NoProviders", "7 providers", "seventh")
    assert done.out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"Dear Bob,\n", b"\x00" * 512, b" From a@b\n\nhi\n"])
def test_an_mbox_that_is_none(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "letters.mbox"
    file.write_bytes(content)
    refused(mfdb("demo", "--mbox", file, "--json"), "NotAnMbox", "letters.mbox")


def test_an_mbox_that_cannot_be_read(tmp_path: Path) -> None:
    for file in (tmp_path / "missing.mbox", tmp_path):
        refused(mfdb("demo", "--mbox", file, "--json"), "NotAnMbox", str(file))
