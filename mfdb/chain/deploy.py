"""Deploys the contracts on any endpoint, and the record of where they are."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mfdb.chain.abi import encode_call, encode_deployment
from mfdb.chain.contracts.artefacts import CONTRACTS
from mfdb.chain.contracts.deployment import MAX_CASES, Argument, Ref, plan
from mfdb.chain.devchain.accounts import DEV_CHAIN_IDS, is_dev_account
from mfdb.chain.networks import profile_of
from mfdb.chain.outbox import Outbox
from mfdb.chain.rpc import Endpoint, read_bytes, read_int
from mfdb.chain.sender import Job, Sender
from mfdb.kernel.digest import keccak256
from mfdb.kernel.errors import ChainError, CorruptRecord, WrongChain, WrongVersion
from mfdb.kernel.ids import Address, Hash, parse_address, show

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mfdb.chain.port import CourtTerms
    from mfdb.kernel.account import Account

FORMAT = 2
"""Of the contracts too: since 2 the court asks for units of BLAKE2b trees."""
FILE_BYTES = 64 * 2**10
DEPLOY_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """Where a network's contracts are, and the hash of the code that they must have there."""

    chain_id: int
    rpc_url: str
    contracts: dict[str, Address]
    code_hashes: dict[str, Hash]
    deploy_block: int

    def to_json(self) -> str:
        """Return the record as JSON text."""
        return json.dumps(
            {
                "format": FORMAT,
                "chain_id": self.chain_id,
                "rpc_url": self.rpc_url,
                "deploy_block": self.deploy_block,
                "contracts": {name: show(at) for name, at in self.contracts.items()},
                "code_hashes": {name: show(code) for name, code in self.code_hashes.items()},
            },
            indent=2,
        )

    @classmethod
    def from_json(cls, text: str) -> Deployment:
        """Return the record that a JSON text holds.

        Raises:
            WrongVersion: it is of another format.
            CorruptRecord: it is no such record, or a contract is missing.
        """
        try:
            read = json.loads(text)
            if read["format"] != FORMAT:
                raise WrongVersion(
                    f"a deployment of format {str(read['format'])[:20]}, not {FORMAT}",
                    hint="another release made it; `mfdb devnet reset` starts anew",
                )
            return cls(
                chain_id=_number(read["chain_id"]),
                rpc_url=str(read["rpc_url"]),
                deploy_block=_number(read["deploy_block"]),
                contracts={name: parse_address(read["contracts"][name]) for name in CONTRACTS},
                code_hashes={name: _hash(read["code_hashes"][name]) for name in CONTRACTS},
            )
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise CorruptRecord(f"not the record of a deployment: {str(error)[:100]}") from error

    def save(self, file: Path) -> None:
        """Write the record to a file, whole or not at all."""
        fresh = file.with_suffix(".new")
        fresh.write_text(self.to_json() + "\n", "utf-8")
        fresh.replace(file)

    @classmethod
    def load(cls, file: Path) -> Deployment:
        """Return the record in a file.

        Raises:
            WrongVersion: it is of another format.
            CorruptRecord: it holds something else.
        """
        if file.stat().st_size > FILE_BYTES:
            raise CorruptRecord(f"{file} is too large for the record of a deployment")
        return cls.from_json(file.read_text("utf-8"))


def _number(value: Any) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"not a number: {str(value)[:40]!r}")
    return value


def _hash(value: Any) -> Hash:
    raw = bytes.fromhex(str(value).removeprefix("0x"))
    if len(raw) != 32:
        raise ValueError("a code hash has 32 bytes")
    return Hash(raw)


def check_key(chain_id: int, address: Address) -> None:
    """Return quietly unless a key that everybody knows is used where money is real.

    Raises:
        WrongChain: it is.
    """
    if chain_id not in DEV_CHAIN_IDS and is_dev_account(address):
        raise WrongChain(
            f"0x{address.hex()} is a development account: everybody has its key",
            hint=f"use a key of your own on chain {chain_id}",
        )


async def deploy(
    rpc_url: str,
    faucet: Account,
    terms: CourtTerms,
    *,
    max_cases: int = MAX_CASES,
    timeout_s: float = DEPLOY_S,
) -> Deployment:
    """Deploy and wire all contracts; the faucet pays, and holds the whole MFT supply afterwards.

    Raises:
        ChainUnavailable: the endpoint does not answer.
        TransactionReverted: the terms are out of bounds.
        WrongChain: the faucet is a development account and the chain is real.
    """
    endpoint = await Endpoint.open(rpc_url)
    try:
        return await _Deployer(endpoint, faucet, timeout_s).run(terms, max_cases)
    finally:
        await endpoint.close()


class _Deployer:
    def __init__(self, endpoint: Endpoint, faucet: Account, timeout_s: float) -> None:
        self._endpoint = endpoint
        self._faucet = faucet
        self._timeout_s = timeout_s
        self._contracts: dict[str, Address] = {}

    async def run(self, terms: CourtTerms, max_cases: int) -> Deployment:
        chain_id = read_int(await self._endpoint.request("eth_chainId"))
        check_key(chain_id, self._faucet.address)
        first = await self._endpoint.height()
        sender = Sender(
            self._endpoint,
            chain_id=chain_id,
            outbox=Outbox(None, b""),
            confirmations=profile_of(chain_id).confirmations,
        )
        steps = plan(terms, max_cases=max_cases)
        for step in steps.deployments:
            code = encode_deployment(step.contract, self._resolve(step.arguments))
            receipt = await self._send(sender, b"", code)
            self._contracts[step.contract] = Address(read_bytes(receipt.get("contractAddress")))
        for wire in steps.wiring:
            arguments = self._resolve(wire.arguments)
            data = encode_call(wire.contract, wire.function, arguments)
            await self._send(sender, self._contracts[wire.contract], data)
        return Deployment(
            chain_id=chain_id,
            rpc_url=self._endpoint.url,
            contracts=dict(self._contracts),
            code_hashes=await code_hashes(self._endpoint, self._contracts),
            deploy_block=first,
        )

    def _resolve(self, arguments: Sequence[Argument]) -> list[int | bytes]:
        return [self._contracts[a.contract] if isinstance(a, Ref) else a for a in arguments]

    async def _send(self, sender: Sender, to: bytes, data: bytes) -> dict[str, Any]:
        job = Job(to=to, data=lambda _nonce: data, purpose=keccak256(to + data))
        async with sender.lock(self._faucet.address):
            entry = await sender.submit(job, self._faucet)
        deadline = asyncio.get_running_loop().time() + self._timeout_s
        return await sender.receipt(entry, deadline)


async def code_hashes(endpoint: Endpoint, contracts: dict[str, Address]) -> dict[str, Hash]:
    """Return the hash of the code at each address.

    Raises:
        ChainError: there is none at one of them.
    """
    found: dict[str, Hash] = {}
    for name, at in contracts.items():
        code = read_bytes(await endpoint.request("eth_getCode", show(at), "latest"))
        if not code:
            raise ChainError(f"no {name} at {show(at)} on this chain")
        found[name] = keccak256(code)
    return found


async def check_deployment(endpoint: Endpoint, deployment: Deployment) -> None:
    """Return quietly if an endpoint serves the chain that a deployment is on.

    Raises:
        WrongChain: its chain id differs, or other code stands where our contracts should.
    """
    chain_id = read_int(await endpoint.request("eth_chainId"))
    if chain_id != deployment.chain_id:
        raise WrongChain(
            f"{endpoint.url} serves chain {chain_id}, not {deployment.chain_id}",
            hint="is the URL the one that the network was deployed on?",
        )
    for name, at in deployment.contracts.items():
        code = read_bytes(await endpoint.request("eth_getCode", show(at), "latest"))
        if keccak256(code) != deployment.code_hashes[name]:
            raise WrongChain(
                f"{name} is not at {show(at)} on {endpoint.url}",
                hint="the chain was made anew since, or it is another one: deploy again",
            )
