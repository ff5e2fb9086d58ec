"""The compiled contracts that the wheel ships: ABI and bytecode, one JSON file per contract."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

CONTRACTS = (
    "mft",
    "chequebook",
    "chequebook_factory",
    "registry",
    "beacon",
    "deposits",
    "escrow",
    "storage_witness",
    "court",
)
"""Names of the contracts in the order in which they are deployed."""
COMPILER = "vyper 0.4.3"
EVM_VERSION = "paris"


@dataclass(frozen=True, slots=True, kw_only=True)
class Artefact:
    """A compiled contract. `source_sha256` is over its source and the modules it imports."""

    name: str
    abi: tuple[dict[str, Any], ...]
    bytecode: bytes
    source_sha256: str
    compiler: str
    evm_version: str


@cache
def load(name: str) -> Artefact:
    """Return a contract by its name in `CONTRACTS`.

    Raises:
        KeyError: there is no such contract.
    """
    if name not in CONTRACTS:
        raise KeyError(f"no contract {name!r}; there are {', '.join(CONTRACTS)}")
    file = resources.files("mfdb.chain.contracts") / "artefacts" / f"{name}.json"
    read = json.loads(file.read_text("utf-8"))
    return Artefact(
        name=read["name"],
        abi=tuple(read["abi"]),
        bytecode=bytes.fromhex(read["bytecode"][2:]),
        source_sha256=read["source_sha256"],
        compiler=read["compiler"],
        evm_version=read["evm_version"],
    )
