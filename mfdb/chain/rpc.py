"""A JSON-RPC endpoint over web3.py: requests go out pre-encoded, one round trip each.

Going through web3's contract layer costs three requests a call and a third of the speed
(reference/on-chain 5), so only its provider is used. web3 takes 1.3 s to import, which is why the
import waits for the first endpoint.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from mfdb.kernel.errors import ChainError, ChainUnavailable
from mfdb.kernel.ids import Hash

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from aiohttp import ClientSession
    from web3 import AsyncHTTPProvider

REQUEST_S = 10.0
KEPT_S = 15.0
"""How long an unused connection is kept; aiohttp's server keeps it for 75 s, anvil for ever."""
ADDRESS_BYTES = 20


class RpcRefused(ChainError):
    """The endpoint answered with an error object."""

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        position: int | None = None,
        number: int = 0,
        data: str = "",
    ) -> None:
        super().__init__(message, hint=hint, position=position)
        self.number = number
        """The JSON-RPC error code."""
        self.data = data
        """The error's data if it is a text: of a revert, what the contract gave."""


class Endpoint:
    """One JSON-RPC URL. Survives restarts of what serves it; connections are kept and reused."""

    def __init__(self, provider: AsyncHTTPProvider, url: str) -> None:
        self._provider = provider
        self._running: set[asyncio.Task[Any]] = set()
        self.url = url

    @classmethod
    async def open(cls, url: str, *, request_s: float = REQUEST_S) -> Endpoint:
        """Return an endpoint; nothing is sent yet. Loads web3 without blocking the loop."""
        provider = await asyncio.to_thread(_provider, url, request_s)
        await provider.cache_async_session(_session())
        return cls(provider, url)

    async def request(self, method: str, *params: Any) -> Any:
        """Return the result of a method.

        Raises:
            RpcRefused: the endpoint answered with an error.
            ChainUnavailable: it did not answer, or not with JSON-RPC.
        """
        from aiohttp import ClientError

        try:
            answer = await self._answer(method, list(params))
        except (ClientError, OSError, TimeoutError) as error:
            raise self._unavailable(type(error).__name__) from error
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise self._unavailable("the answer is not JSON") from error
        if not isinstance(answer, dict):
            raise self._unavailable("the answer is not JSON-RPC")
        if answer.get("error") is not None:
            raise _refusal(method, answer["error"])
        return answer.get("result")

    async def call(
        self, to: bytes, data: bytes, *, sender: bytes | None = None, block: int | str = "latest"
    ) -> bytes:
        """Return what a contract answers after a block.

        Raises:
            RpcRefused: it reverted, or the endpoint cannot tell.
        """
        asked = {"to": _hex(to), "data": _hex(data)}
        if sender is not None:
            asked["from"] = _hex(sender)
        tag = block if isinstance(block, str) else hex(block)
        return read_bytes(await self.request("eth_call", asked, tag))

    async def height(self) -> int:
        """Return the number of the newest block."""
        return read_int(await self.request("eth_blockNumber"))

    async def header(self, tag: str) -> Any:
        """Return a block without its transactions, or None if there is none."""
        with_transactions = False
        return await self.request("eth_getBlockByNumber", tag, with_transactions)

    async def close(self) -> None:
        """Close the connections, once the requests that nobody waits for any more have ended."""
        if self._running:
            await asyncio.wait(self._running)
        await self._provider.disconnect()

    async def _answer(self, method: str, params: list[Any]) -> Any:
        """Return an endpoint's answer; asks again if it had closed the connection we kept.

        No request of ours does something twice: a transaction that is known is taken once.
        """
        from aiohttp import ServerDisconnectedError
        from web3.types import RPCEndpoint

        try:
            return await self._finished(self._provider.make_request(RPCEndpoint(method), params))
        except (ServerDisconnectedError, ConnectionResetError):
            return await self._finished(self._provider.make_request(RPCEndpoint(method), params))

    async def _finished(self, request: Coroutine[Any, Any, Any]) -> Any:
        """Return what a request returns; it ends by itself even if its caller is cancelled.

        web3 takes a lock in a thread for every request. A request that is cancelled while it waits
        for that leaves the lock taken, and every later one would wait for ever.
        """
        task = asyncio.ensure_future(request)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # whoever still waits hears of it; nobody else has to

    def _unavailable(self, reason: str) -> ChainUnavailable:
        return ChainUnavailable(
            f"the chain at {self.url} does not answer: {reason}",
            hint="is it running? `mfdb devnet status` tells of a local one",
        )


def _session() -> ClientSession:
    """Return a session that keeps connections; web3's own opens one for every request."""
    from aiohttp import ClientSession, TCPConnector

    return ClientSession(raise_for_status=True, connector=TCPConnector(keepalive_timeout=KEPT_S))


def _provider(url: str, request_s: float) -> AsyncHTTPProvider:
    from aiohttp import ClientTimeout
    from web3 import AsyncHTTPProvider

    options = {"timeout": ClientTimeout(total=request_s)}
    return AsyncHTTPProvider(url, request_kwargs=options, exception_retry_configuration=None)


def _refusal(method: str, error: Any) -> RpcRefused:
    found = error if isinstance(error, dict) else {}
    number, data = found.get("code"), found.get("data")
    return RpcRefused(
        f"{method}: {str(found.get('message', 'refused'))[:500]}",
        number=number if isinstance(number, int) else 0,
        data=data if isinstance(data, str) else "",
    )


def _hex(raw: bytes) -> str:
    return "0x" + raw.hex()


def read_bytes(value: Any) -> bytes:
    """Return the bytes of a hex text that the endpoint sent.

    Raises:
        ChainUnavailable: it is none: whatever answers there is no chain.
    """
    if not isinstance(value, str) or not value.startswith("0x"):
        raise ChainUnavailable(f"the endpoint sent no data but {str(value)[:60]!r}")
    try:
        return bytes.fromhex(value[2:])
    except ValueError as error:
        raise ChainUnavailable("the endpoint sent no data but other text") from error


def read_int(value: Any) -> int:
    """Return the number of a hex text that the endpoint sent.

    Raises:
        ChainUnavailable: it is none.
    """
    if not isinstance(value, str) or not value.startswith("0x"):
        raise ChainUnavailable(f"the endpoint sent no number but {str(value)[:60]!r}")
    try:
        return int(value, 16)
    except ValueError as error:
        raise ChainUnavailable("the endpoint sent no number but other text") from error


def read_hash(value: Any) -> Hash:
    """Return a 32-byte hash that the endpoint sent.

    Raises:
        ChainUnavailable: it is none.
    """
    raw = read_bytes(value)
    if len(raw) != 32:
        raise ChainUnavailable(f"the endpoint sent a hash of {len(raw)} bytes")
    return Hash(raw)


def read_object(value: Any) -> dict[str, Any]:
    """Return a JSON object that the endpoint sent.

    Raises:
        ChainUnavailable: it is none.
    """
    if not isinstance(value, dict):
        raise ChainUnavailable(f"the endpoint sent no object but {str(value)[:60]!r}")
    return value
