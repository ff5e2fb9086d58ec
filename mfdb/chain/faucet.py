"""Gives accounts the chain's own coin, without which they cannot pay gas."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mfdb.chain.deploy import check_key
from mfdb.chain.networks import profile_of
from mfdb.chain.outbox import Outbox
from mfdb.chain.rpc import Endpoint, read_int
from mfdb.chain.sender import Job, Sender
from mfdb.kernel.digest import keccak256

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfdb.kernel.account import Account
    from mfdb.kernel.ids import Address

ETHER = 10**18


async def give_coin(
    rpc_url: str,
    faucet: Account,
    recipients: Sequence[Address],
    *,
    amount: int = ETHER,
    timeout_s: float = 60.0,
) -> None:
    """Send each recipient this much of the chain's own coin, in its smallest unit.

    Raises:
        ChainUnavailable: the endpoint does not answer.
        ChainError: the faucet has too little.
        WrongChain: the faucet is a development account and the chain is real.
    """
    endpoint = await Endpoint.open(rpc_url)
    try:
        chain_id = read_int(await endpoint.request("eth_chainId"))
        check_key(chain_id, faucet.address)
        confirmations = profile_of(chain_id).confirmations
        sender = Sender(
            endpoint, chain_id=chain_id, outbox=Outbox(None, b""), confirmations=confirmations
        )
        given = [_give(sender, faucet, to, amount, timeout_s) for to in recipients]
        await asyncio.gather(*given)
    finally:
        await endpoint.close()


async def _give(
    sender: Sender, faucet: Account, to: Address, amount: int, timeout_s: float
) -> None:
    job = Job(to=to, data=lambda _nonce: b"", purpose=keccak256(b"coin" + to), value=amount)
    async with sender.lock(faucet.address):
        entry = await sender.submit(job, faucet)
    await sender.receipt(entry, asyncio.get_running_loop().time() + timeout_s)
