"""Providers that lie: what a machine answers is dropped, altered, hidden, contradicted or late.

The node behind is the production node and honest; its answers are changed on the way out, so that
the others meet everything that a dishonest provider could say without the keys of anybody else.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from mfdb.kernel.codec import Record, decode, encode
from mfdb.kernel.ids import ZERO_HASH
from mfdb.kernel.limits import FRAME_BYTES
from mfdb.node.answers import (
    Acknowledged,
    AllAnswered,
    Answered,
    Copies,
    DatasetState,
    HotList,
    Keys,
    LogPage,
    Receipts,
    Reconciled,
    Signed,
    Stored,
)
from mfdb.node.dues import PayCheque
from mfdb.node.requests import (
    GetCopies,
    GetDataset,
    GetKeys,
    GetReceipts,
    Hello,
    ListHot,
    ProposeSeal,
    PutChangeset,
    PutChangesets,
    PutShard,
    ReadLog,
    Reconcile,
    open_request,
)
from mfdb.rules.receipt import sign_batch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from random import Random

    from mfdb.node.requests import Request
    from mfdb.rules.evidence import Network
    from mfdb.rules.receipt import WriteReceipt
    from mfdb.testing.simulator_machine import ProviderMachine

LATE_S = (5.0, 30.0)
"""Around the patience of those who ask (15 s)."""
SHARE = 0.6
"""Of how many answers a liar changes: one that always lies is left out soon."""
NO_SIGNATURE = bytes(65)


KINDS = ("drops", "alters", "hides", "equivocates", "is late", "signs nothing")


class Liar:
    """One way to lie, as a machine does it until it is honest again."""

    def __init__(
        self, kind: str, machine: ProviderMachine, network: Network, random: Random
    ) -> None:
        self._machine = machine
        self._network = network
        self._random = random
        self._lie: Callable[[Request, bytes], Awaitable[bytes]] = {
            "drops": self._drop,
            "alters": self._alter,
            "hides": self._hide,
            "equivocates": self._equivocate,
            "is late": self._late,
            "signs nothing": self._sign_nothing,
        }[kind]
        self._is_silent = kind in ("drops", "hides")

    async def answer(self, body: bytes, honest: Awaitable[bytes]) -> bytes:
        """Return what is answered to a request instead of the honest answer."""
        request, answer = open_request(body), await honest
        if isinstance(request, Hello | PayCheque) or self._random.random() > SHARE:
            return answer
        return await self._lie(request, answer)

    async def item(self, item: bytes) -> bytes:
        """Return what is sent of a followed log instead of a page."""
        if self._is_silent:
            await asyncio.get_running_loop().create_future()
        return item

    async def _drop(self, _: Request, _answer: bytes) -> bytes:
        """Never answer."""
        never: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        return await never

    async def _late(self, _: Request, answer: bytes) -> bytes:
        await asyncio.sleep(self._random.uniform(*LATE_S))
        return answer

    async def _alter(self, _: Request, answer: bytes) -> bytes:
        changed = bytearray(answer)
        changed[self._random.randrange(len(changed))] ^= 1 << self._random.randrange(8)
        return bytes(changed)

    async def _hide(self, request: Request, answer: bytes) -> bytes:
        """Pretend to know of nothing that others wrote."""
        hidden = _nothing(request, answer)
        return answer if hidden is None else encode(hidden)

    async def _equivocate(self, request: Request, answer: bytes) -> bytes:
        """Sign a second place in the log under the number of the same batch."""
        return _with_receipts(request, answer, self._other) or answer

    def _other(self, receipt: WriteReceipt) -> WriteReceipt:
        ack = msgspec.structs.replace(
            receipt.ack, log_number=receipt.ack.log_number + 1, log_head=ZERO_HASH
        )
        (other,) = sign_batch(
            [ack],
            provider=receipt.batch.provider,
            number=receipt.batch.number,
            signer=self._machine.keys.signer,
            network=self._network,
        )
        return other

    async def _sign_nothing(self, request: Request, answer: bytes) -> bytes:
        """Promise without a signature."""
        made: Record
        unsigned = _with_receipts(request, answer, _unsigned)
        if unsigned is not None:
            return unsigned
        if isinstance(request, PutShard):
            stored = decode(Stored, answer, limit_bytes=FRAME_BYTES)
            made = msgspec.structs.replace(stored, signature=NO_SIGNATURE)
        elif isinstance(request, ProposeSeal):
            made = Signed(signature=NO_SIGNATURE)
        else:
            return answer
        return encode(made)


def _unsigned(receipt: WriteReceipt) -> WriteReceipt:
    return msgspec.structs.replace(receipt, signature=NO_SIGNATURE)


def _with_receipts(
    request: Request, answer: bytes, change: Callable[[WriteReceipt], WriteReceipt]
) -> bytes | None:
    """Return the answer to a write with changed receipts, None if it is none."""
    if isinstance(request, PutChangeset):
        receipt = decode(Acknowledged, answer, limit_bytes=FRAME_BYTES).receipt
        return encode(Acknowledged(receipt=change(receipt)))
    if isinstance(request, PutChangesets):
        answers = decode(AllAnswered, answer, limit_bytes=FRAME_BYTES).answers
        changed = [Answered(one.receipt and change(one.receipt), one.refusal) for one in answers]
        return encode(AllAnswered(answers=tuple(changed)))
    return None


def _nothing(request: Request, answer: bytes) -> Record | None:
    """Return the emptiest answer of the right form, or None if there is none."""
    if isinstance(request, GetDataset):
        state = decode(DatasetState, answer, limit_bytes=FRAME_BYTES)
        return msgspec.structs.replace(state, segments=())
    empty: dict[type[Record], Record] = {
        ReadLog: LogPage(items=(), more=False),
        GetCopies: Copies(items=()),
        GetKeys: Keys(entries=()),
        GetReceipts: Receipts(receipts=()),
        Reconcile: Reconciled(message=b"", have=()),
        ListHot: HotList(entries=(), signed=()),
    }
    return empty.get(type(request))
