"""A cursor over the chain that follows parent hashes, so that it survives reorganisations.

It remembers its newest blocks with what they told. When the chain's next block has another
parent, it takes back block after block (`removed=True`, newest first) until the parents match,
and then goes forward on the new branch. Logs are asked for by block hash: a query by number can
mix two forks. Only what lies deeper than it would ever go back is read by number.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from mfdb.kernel.errors import ChainError

if TYPE_CHECKING:
    from mfdb.chain.port import Seen
    from mfdb.kernel.ids import Hash

DEPTH = 256
"""Blocks that a reorganisation may take back."""
STEP_BLOCKS = 500
"""Blocks that one `advance` reads at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockRef:
    """A block's place. `empty` says that it certainly holds no logs."""

    number: int
    hash: Hash
    parent: Hash
    empty: bool = False


class Source(Protocol):
    """Where the cursor reads."""

    async def height(self) -> int:
        """Return the number of the newest block."""
        ...

    async def block(self, number: int) -> BlockRef | None:
        """Return the block at a height, or None if there is none now."""
        ...

    async def seen(self, *, first: int, last: int) -> list[Seen]:
        """Return the events of a range of blocks."""
        ...

    async def seen_in(self, block: Hash) -> list[Seen] | None:
        """Return the events of a block by its hash, or None if it is gone."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Applied:
    block: BlockRef
    told: tuple[Seen, ...]


class EventLog:
    """A cursor. Whoever applies what it tells, in order, holds what the chain holds."""

    def __init__(self, source: Source, *, since_block: int = 0, depth: int = DEPTH) -> None:
        self._source = source
        self._next = since_block
        self._depth = depth
        self._recent: deque[_Applied] = deque(maxlen=depth)
        # What was read but not handed out, because the endpoint failed half-way.
        self._untold: list[Seen] = []
        # Whether something was told of blocks that are no longer in `_recent`.
        self._forgot = False

    @property
    def next_block(self) -> int:
        """Number of the first block that was not told yet."""
        return self._next

    async def advance(self) -> list[Seen]:
        """Return what happened since the last call; nothing if nothing did.

        Raises:
            ChainUnavailable: the endpoint does not answer; nothing was lost.
            ChainError: the chain was rewritten deeper than the cursor remembers.
        """
        await self._catch_up()
        for _ in range(STEP_BLOCKS):
            if not await self._step():
                break
        told, self._untold = self._untold, []
        return told

    async def _step(self) -> bool:
        """Go one block forward or back; False at the top."""
        block = await self._source.block(self._next)
        if block is None:
            await self._check_top()
            return False
        if self._recent and block.parent != self._recent[-1].block.hash:
            self._take_back()
            return True
        found = [] if block.empty else await self._source.seen_in(block.hash)
        if found is not None:  # else replaced while we read it: look at the height again
            self._forgot = self._forgot or len(self._recent) == self._depth
            self._recent.append(_Applied(block=block, told=tuple(found)))
            self._next = block.number + 1
            self._untold += found
        return True

    async def _catch_up(self) -> None:
        deep = await self._source.height() - self._depth
        if self._recent or self._next > deep:
            return
        self._untold += await self._source.seen(first=self._next, last=deep)
        self._next = deep + 1
        self._forgot = True

    async def _check_top(self) -> None:
        """Take back blocks at the top that the chain, now shorter or equally long, replaced."""
        while self._recent:
            newest = self._recent[-1].block
            found = await self._source.block(newest.number)
            if found is not None and found.hash == newest.hash:
                return
            self._take_back()

    def _take_back(self) -> None:
        if len(self._recent) == 1 and self._forgot:
            raise ChainError(
                f"the chain was rewritten more than {self._depth} blocks deep",
                hint="start again from block 0",
            )
        gone = self._recent.pop()
        self._next = gone.block.number
        self._untold += [replace(seen, removed=True) for seen in reversed(gone.told)]
