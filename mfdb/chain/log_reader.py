"""Fetches logs: of a range in pieces the endpoint takes, or of one block by its hash."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from mfdb.chain.abi import decode_result, encode_call
from mfdb.chain.events import CASHED, SOURCES, event_of, read_log
from mfdb.chain.port import Seen
from mfdb.chain.rpc import RpcRefused
from mfdb.kernel.errors import ChainUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfdb.chain.events import Log
    from mfdb.chain.rpc import Endpoint
    from mfdb.kernel.ids import Address, Hash

MAX_CHEQUEBOOKS = 100_000


class LogReader:
    """Reads the events of one deployment."""

    def __init__(
        self, endpoint: Endpoint, contracts: dict[str, Address], *, log_range: int
    ) -> None:
        self._endpoint = endpoint
        self._factory = contracts["chequebook_factory"]
        self._names = {contracts[name]: name for name in SOURCES}
        self._range = log_range
        # Whether an address is a chequebook of our factory; what has logged never changes that.
        self._ours: dict[Address, bool] = {}

    async def seen(self, *, first: int, last: int) -> list[Seen]:
        """Return the events of a block range, in chain order."""
        own, cashed = await asyncio.gather(
            self.range({"address": [_hex(a) for a in self._names]}, first=first, last=last),
            self.range({"topics": [_hex(CASHED)]}, first=first, last=last),
        )
        return await self._told([*own, *cashed])

    async def seen_in(self, block: Hash) -> list[Seen]:
        """Return the events of one block, by its hash, so that forks never mix (EIP-234).

        Raises:
            RpcRefused: the endpoint does not know the block any more.
        """
        own, cashed = await asyncio.gather(
            self._logs({"address": [_hex(a) for a in self._names], "blockHash": _hex(block)}),
            self._logs({"topics": [_hex(CASHED)], "blockHash": _hex(block)}),
        )
        return await self._told([*own, *cashed])

    async def range(self, wanted: dict[str, Any], *, first: int, last: int) -> list[Log]:
        """Return the logs of a block range that pass a filter, in chain order.

        A piece that the endpoint refuses is halved until it takes it.
        """
        found: list[Log] = []
        piece = self._range
        while first <= last:
            until = min(first + piece - 1, last)
            try:
                found += await self._logs(wanted | {"fromBlock": hex(first), "toBlock": hex(until)})
            except RpcRefused:
                if piece == 1:
                    raise
                piece = max(1, min(piece, until - first + 1) // 2)
                continue
            first = until + 1
        return sorted(found, key=lambda log: (log.block, log.index))

    async def _logs(self, wanted: dict[str, Any]) -> list[Log]:
        found = await self._endpoint.request("eth_getLogs", wanted)
        if not isinstance(found, list):
            raise ChainUnavailable("the endpoint sent no list of logs")
        return [read_log(item) for item in found if not item.get("removed")]

    async def _told(self, logs: Sequence[Log]) -> list[Seen]:
        told: list[Seen] = []
        for log in sorted(logs, key=lambda log: (log.block, log.index)):
            contract = self._names.get(log.address)
            if contract is None:
                contract = "chequebook" if await self._is_ours(log.address) else None
            event = None if contract is None else event_of(contract, log)
            if event is not None:
                told.append(Seen(event=event, block=log.block, transaction=log.transaction))
        return told

    async def _is_ours(self, chequebook: Address) -> bool:
        known = self._ours.get(chequebook)
        if known is None:
            known = await self.is_chequebook(chequebook)
            if len(self._ours) >= MAX_CHEQUEBOOKS:
                self._ours.clear()
            self._ours[chequebook] = known
        return known

    async def is_chequebook(self, address: Address) -> bool:
        """Return whether our factory made what is at an address."""
        data = encode_call("chequebook_factory", "deployed", [address])
        answer = await self._endpoint.call(self._factory, data)
        (found,) = decode_result("chequebook_factory", "deployed", answer)
        return bool(found)


def _hex(raw: bytes) -> str:
    return "0x" + raw.hex()
