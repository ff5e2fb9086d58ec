"""Anvil, where it is installed, instead of our own development chain: several times as fast.

It speaks the same JSON-RPC; only starting it and keeping its state differ. It saves its state when
ended politely, and every few seconds in case it is not.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from mfdb.chain.devchain.accounts import DEV_ACCOUNTS, DEV_CHAIN_IDS, DEV_WORDS
from mfdb.kernel.errors import NotSupportedError, WrongChain

VARIABLE = "MFDB_ANVIL"
"""Environment variable that names the binary."""
STATE_FILE = "anvil-state.json"
SAVE_S = 5


def find_anvil() -> Path | None:
    """Return the anvil binary that `MFDB_ANVIL` names or that is on the path, or None."""
    named = os.environ.get(VARIABLE)
    found = shutil.which(named or "anvil")
    return None if found is None else Path(found)


def require_anvil() -> Path:
    """Return the anvil binary.

    Raises:
        NotSupportedError: there is none.
    """
    found = find_anvil()
    if found is None:
        raise NotSupportedError(
            "anvil is not installed",
            hint=f"install it, set {VARIABLE} to the binary, or use --chain devchain",
        )
    return found


def anvil_command(
    binary: Path, *, directory: Path, port: int, chain_id: int = 31337, block_time_s: int = 0
) -> list[str]:
    """Return the command line that serves a persistent chain on 127.0.0.1.

    Each transaction is mined at once, unless `block_time_s` says otherwise.

    Raises:
        WrongChain: the chain id is not a development chain's, and its keys are public.
    """
    if chain_id not in DEV_CHAIN_IDS:
        raise WrongChain(
            f"anvil's accounts are public and may not be used on chain {chain_id}",
            hint=f"development chains have the id {' or '.join(map(str, sorted(DEV_CHAIN_IDS)))}",
        )
    command = [str(binary), "--host", "127.0.0.1", "--port", str(port)]
    command += ["--chain-id", str(chain_id), "--mnemonic", DEV_WORDS]
    command += ["--accounts", str(DEV_ACCOUNTS), "--balance", str(10**9)]
    command += ["--state", str(directory / STATE_FILE), "--state-interval", str(SAVE_S)]
    command += ["--gas-limit", "60000000", "--gas-price", "1000", "--base-fee", "0"]
    command += ["--disable-min-priority-fee", "--silent"]
    if block_time_s:
        command += ["--block-time", str(block_time_s)]
    return command
