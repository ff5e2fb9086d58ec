"""Anvil's command line; the conformance suite runs on it where it is installed."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from mfdb.chain.anvil import anvil_command, find_anvil, require_anvil
from mfdb.kernel.errors import NotSupportedError, WrongChain


def _options(command: list[str]) -> dict[str, str]:
    return dict(pairwise(command[1:]))


def test_the_command_serves_this_machine_only_and_keeps_its_state(tmp_path: Path) -> None:
    command = anvil_command(Path("/opt/anvil"), directory=tmp_path, port=4321)
    options = _options(command)
    assert command[0] == "/opt/anvil"
    assert options["--host"] == "127.0.0.1"
    assert options["--port"] == "4321"
    assert options["--chain-id"] == "31337"
    assert options["--state"] == str(tmp_path / "anvil-state.json")
    assert int(options["--state-interval"]) > 0
    assert options["--mnemonic"].startswith("test test ")
    assert "--block-time" not in options


def test_blocks_can_have_a_rhythm(tmp_path: Path) -> None:
    command = anvil_command(Path("anvil"), directory=tmp_path, port=1, block_time_s=2)
    assert _options(command)["--block-time"] == "2"


def test_its_public_keys_stay_on_development_chains(tmp_path: Path) -> None:
    with pytest.raises(WrongChain):
        anvil_command(Path("anvil"), directory=tmp_path, port=1, chain_id=1)


def test_the_binary_is_found_by_variable_and_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("MFDB_ANVIL", raising=False)
    assert find_anvil() is None
    with pytest.raises(NotSupportedError) as caught:
        require_anvil()
    assert "MFDB_ANVIL" in caught.value.hint
    binary = tmp_path / "anvil"
    binary.write_text("#!/bin/sh\n")
    binary.chmod(0o755)
    assert find_anvil() == binary
    other = tmp_path / "mine"
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    monkeypatch.setenv("MFDB_ANVIL", str(other))
    assert require_anvil() == other
    monkeypatch.setenv("MFDB_ANVIL", str(tmp_path / "gone"))
    assert find_anvil() is None
