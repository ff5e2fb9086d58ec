"""Sends transactions: one lock per key, nonces that never race, each written down first.

A nonce is the chain's count plus our own outgoing ones; nothing is cached, because a cached nonce
that went out of step blocks its key for ever (reference/on-chain 5).
"""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from mfdb.chain.outbox import Outbox, Outgoing
from mfdb.chain.reverts import is_revert, reverted
from mfdb.chain.rpc import RpcRefused, read_int, read_object
from mfdb.chain.transaction import Legacy, sign
from mfdb.kernel.errors import (
    ChainError,
    ChainUnavailable,
    DeadlineExceeded,
    TransactionReverted,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mfdb.chain.rpc import Endpoint
    from mfdb.kernel.account import Account
    from mfdb.kernel.ids import Address, Hash

_LOG = logging.getLogger(__name__)

GAS_FLOOR = 150_000
"""Least gas limit: what a call needs can grow between the estimate and its block (beacon)."""
FIRST_POLL_S = 0.01
LAST_POLL_S = 1.0
REBROADCAST_S = 5.0
NONCE_TRIES = 8

_KNOWN = ("already known", "already imported", "known transaction", "alreadyknown")
# The last says that another transaction with this nonce waits to be mined.
_STALE = ("nonce too low", "nonce is too low", "nonce too small", "replacement transaction")
_EARLY = ("nonce too high", "nonce gap")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to send: `data` gives the calldata for a nonce. No `to` deploys a contract.

    `value` is an amount of the chain's own coin.
    """

    to: bytes
    data: Callable[[int], bytes]
    purpose: Hash
    value: int = 0


class Sender:
    """Signs, sends and awaits transactions on one endpoint."""

    def __init__(
        self, endpoint: Endpoint, *, chain_id: int, outbox: Outbox, confirmations: int = 0
    ) -> None:
        self._endpoint = endpoint
        self._chain_id = chain_id
        self._outbox = outbox
        self._confirmations = confirmations
        self._locks: dict[Address, asyncio.Lock] = {}
        # Two processes with one key could make the very same transaction for two equal calls, and
        # both take the one that gets in for theirs. So each asks for a little gas of its own.
        self._own_gas = int.from_bytes(sha256(f"{os.getpid()}/{id(self)}".encode()).digest()) % 4096

    def lock(self, address: Address) -> asyncio.Lock:
        """Return the lock of a key; hold it from the first look at the nonce to the broadcast."""
        return self._locks.setdefault(address, asyncio.Lock())

    @contextmanager
    def waiting(self, entry: Outgoing) -> Iterator[None]:
        """Mark a transaction as waited for."""
        self._outbox.own(entry)
        try:
            yield
        finally:
            self._outbox.disown(entry)

    async def adopt(self, sender: Address, purpose: Hash) -> Outgoing | None:
        """Return a transaction of an earlier try that can still be, or is, mined.

        One whose nonce another transaction took is struck.
        """
        while (entry := self._outbox.orphan(sender, purpose)) is not None:
            if await self._receipt(entry.hash) is not None:
                return entry
            if entry.nonce >= await self._count(sender):
                await self._broadcast(entry)
                return entry
            self._outbox.forget(entry)
        return None

    async def submit(self, job: Job, account: Account) -> Outgoing:
        """Sign a transaction, write it down and send it. The caller holds the key's lock.

        Raises:
            TransactionReverted: the contract would refuse; nothing was sent.
            ChainError: the endpoint does not take it; nothing was sent.
            ChainUnavailable: the endpoint is down; nothing was sent.
        """
        pause = FIRST_POLL_S
        for _ in range(NONCE_TRIES):
            entry = await self._signed(job, account)
            self._outbox.save(entry)
            if await self._broadcast(entry):
                return entry
            self._outbox.forget(entry)
            await asyncio.sleep(pause)
            pause *= 3
        raise ChainError(
            "the nonce was taken again and again",
            hint="does another process send with the same key?",
        )

    def left_over(self, sender: Address, purpose: Hash) -> bool:
        """Return whether `adopt` may find a transaction of an earlier try."""
        return self._outbox.orphan(sender, purpose) is not None

    async def receipt(self, entry: Outgoing, deadline: float) -> dict[str, Any]:
        """Return the receipt of a transaction once it is mined, and strike it.

        Raises:
            TransactionReverted: the contract refused it after all.
            DeadlineExceeded: it is in no block by the loop's time `deadline`; it may still get in.
            ChainUnavailable: the endpoint was down when time ran out.
        """
        receipt = await self._wait(entry, deadline)
        await self._finish(entry, receipt)
        return receipt

    async def _wait(self, entry: Outgoing, deadline: float) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        again = loop.time() + REBROADCAST_S
        pause, down = FIRST_POLL_S, None
        while True:
            try:
                receipt = await self._settled(entry)
                if receipt is not None:
                    return receipt
                if loop.time() > again or down is not None:
                    await self._send_again(entry)
                    again = loop.time() + REBROADCAST_S
                down = None
            except ChainUnavailable as error:
                down = error
            left = deadline - loop.time()
            if left <= 0:
                raise down or DeadlineExceeded(
                    f"transaction 0x{entry.hash.hex()} is in no block yet",
                    hint="the same call again goes on waiting for it",
                )
            await asyncio.sleep(min(pause, left))
            pause = min(pause * 1.5, LAST_POLL_S)

    async def _finish(self, entry: Outgoing, receipt: dict[str, Any]) -> None:
        if read_int(receipt.get("status", "0x1")) == 1:
            self._outbox.forget(entry)
            return
        reason = await self._reason(entry, receipt)
        self._outbox.forget(entry)
        raise reason

    # ---- steps

    async def _signed(self, job: Job, account: Account) -> Outgoing:
        nonce, price = await asyncio.gather(self._next_nonce(account.address), self._price())
        data = job.data(nonce)
        raw, digest = sign(
            Legacy(
                chain_id=self._chain_id,
                nonce=nonce,
                gas_price=price,
                gas=await self._gas(job, data, account.address),
                to=job.to,
                data=data,
                value=job.value,
            ),
            account,
        )
        return Outgoing(
            sender=account.address, nonce=nonce, hash=digest, purpose=job.purpose, raw=raw
        )

    async def _gas(self, job: Job, data: bytes, sender: Address) -> int:
        asked = {"from": "0x" + sender.hex(), "data": "0x" + data.hex(), "value": hex(job.value)}
        if job.to:
            asked["to"] = "0x" + job.to.hex()
        try:
            needed = read_int(await self._endpoint.request("eth_estimateGas", asked))
        except RpcRefused as refusal:
            if is_revert(refusal):
                raise reverted(refusal) from refusal
            raise
        return max(needed * 5 // 4, GAS_FLOOR) + self._own_gas

    async def _price(self) -> int:
        """Return what the endpoint suggests, and enough for a base fee that doubles.

        Never a multiple of the suggestion: endpoints derive it from what was paid lately, so that
        whoever pays a little more each time drives it up without bound (seen on anvil).
        """
        suggested, head = await asyncio.gather(
            self._endpoint.request("eth_gasPrice"), self._endpoint.header("latest")
        )
        base = read_object(head).get("baseFeePerGas")
        return max(read_int(suggested), 2 * read_int(base) if base is not None else 0)

    async def _next_nonce(self, sender: Address) -> int:
        nonce = await self._count(sender)
        taken = {entry.nonce for entry in self._outbox.of(sender)}
        while nonce in taken:
            nonce += 1
        return nonce

    async def _count(self, sender: Address) -> int:
        found = await self._endpoint.request(
            "eth_getTransactionCount", "0x" + sender.hex(), "latest"
        )
        return read_int(found)

    async def _broadcast(self, entry: Outgoing) -> bool:
        """Return whether the transaction is or may be on its way; False if its nonce is gone."""
        try:
            await self._endpoint.request("eth_sendRawTransaction", "0x" + entry.raw.hex())
        except ChainUnavailable as error:
            _LOG.warning("broadcast unanswered transaction=0x%s: %s", entry.hash.hex(), error)
        except RpcRefused as refusal:
            return await self._after_refusal(entry, refusal)
        return True

    async def _after_refusal(self, entry: Outgoing, refusal: RpcRefused) -> bool:
        said = refusal.message.lower()
        if any(words in said for words in (*_KNOWN, *_EARLY)):
            return True
        if any(words in said for words in _STALE):
            return await self._receipt(entry.hash) is not None
        self._outbox.forget(entry)
        raise ChainError(
            f"the chain does not take the transaction: {refusal.message}",
            hint="the account pays gas in the chain's own coin: has it any?"
            if "funds" in said or "balance" in said
            else "",
        ) from refusal

    async def _send_again(self, awaited: Outgoing) -> None:
        """Send a transaction again, after those of the same key that must come before it.

        Raises:
            ChainError: the endpoint does not take it any more, or another took its nonce.
        """
        for entry in self._outbox.of(awaited.sender):
            if entry.nonce > awaited.nonce or await self._receipt(entry.hash) is not None:
                continue
            if not await self._broadcast(entry) and entry.hash == awaited.hash:
                self._outbox.forget(entry)
                raise ChainError(
                    f"another transaction took nonce {entry.nonce} of 0x{entry.sender.hex()}",
                    hint="does another process send with the same key?",
                )

    async def _receipt(self, transaction: Hash) -> dict[str, Any] | None:
        found = await self._endpoint.request("eth_getTransactionReceipt", "0x" + transaction.hex())
        return None if found is None else read_object(found)

    async def _settled(self, entry: Outgoing) -> dict[str, Any] | None:
        receipt = await self._receipt(entry.hash)
        if receipt is None or receipt.get("blockNumber") is None:
            return None
        if self._confirmations == 0:
            return receipt
        deep = read_int(receipt["blockNumber"]) + self._confirmations
        return receipt if await self._endpoint.height() >= deep else None

    async def _reason(self, entry: Outgoing, receipt: dict[str, Any]) -> TransactionReverted:
        """Run a failed transaction again where it was, to hear the reason."""
        found = await self._endpoint.request("eth_getTransactionByHash", "0x" + entry.hash.hex())
        sent = read_object(found)
        asked = {key: sent[key] for key in ("from", "to", "gas") if sent.get(key)}
        asked["data"] = sent.get("input", "0x")
        try:
            await self._endpoint.request("eth_call", asked, receipt["blockNumber"])
        except RpcRefused as refusal:
            return reverted(refusal)
        return TransactionReverted("no reason given", hint="it may have run out of gas")
