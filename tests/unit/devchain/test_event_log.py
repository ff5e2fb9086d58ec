"""The cursor on a chain that a test writes: forks of any shape, and an endpoint that fails."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfdb.chain.event_log import BlockRef, EventLog
from mfdb.chain.port import Seen, Transferred
from mfdb.kernel.errors import ChainError, ChainUnavailable
from mfdb.kernel.ids import Address, Hash, Wei

DEPTH = 8
NOBODY = Address(bytes(20))


class Paper:
    """A chain as a list of block names; a name is unique, every block tells one event."""

    def __init__(self) -> None:
        self.names: list[int] = [0]
        self._made = 0
        self.failing = 0

    def grow(self, blocks: int) -> None:
        for _ in range(blocks):
            self._made += 1
            self.names.append(self._made)

    def fork(self, depth: int, blocks: int) -> None:
        """Replace the newest blocks by others."""
        keep = max(1, len(self.names) - depth)
        del self.names[keep:]
        self.grow(blocks)

    def truth(self) -> list[int]:
        return self.names[1:]

    async def height(self) -> int:
        return len(self.names) - 1

    async def block(self, number: int) -> BlockRef | None:
        self._maybe_fail()
        if number >= len(self.names):
            return None
        parent = _hash(self.names[number - 1]) if number else Hash(bytes(32))
        return BlockRef(number=number, hash=_hash(self.names[number]), parent=parent)

    async def seen(self, *, first: int, last: int) -> list[Seen]:
        self._maybe_fail()
        return [self._event(number) for number in range(max(1, first), last + 1)]

    async def seen_in(self, block: Hash) -> list[Seen] | None:
        self._maybe_fail()
        for number, name in enumerate(self.names):
            if _hash(name) == block:
                return [self._event(number)] if number else []
        return None

    def _event(self, number: int) -> Seen:
        name = self.names[number]
        event = Transferred(sender=NOBODY, to=NOBODY, amount=Wei(name))
        return Seen(event=event, block=number, transaction=_hash(name))

    def _maybe_fail(self) -> None:
        if self.failing > 0:
            self.failing -= 1
            if self.failing == 0:
                raise ChainUnavailable("the paper is wet")


def _hash(name: int) -> Hash:
    return Hash(sha256(str(name).encode()).digest())


class Reader:
    """Applies what the cursor tells, and insists that it can."""

    def __init__(self, paper: Paper) -> None:
        self.log = EventLog(paper, depth=DEPTH)
        self.held: list[int] = []

    def read(self) -> None:
        while told := asyncio.run(self.log.advance()):
            for seen in told:
                assert isinstance(seen.event, Transferred)
                if seen.removed:
                    assert self.held.pop() == seen.event.amount
                else:
                    self.held.append(seen.event.amount)


@given(
    st.lists(
        st.tuples(st.integers(0, DEPTH - 1), st.integers(0, 6), st.integers(0, 12), st.booleans()),
        max_size=12,
    )
)
@settings(max_examples=100, deadline=None)
def test_whoever_applies_what_is_told_holds_what_the_chain_holds(
    steps: list[tuple[int, int, int, bool]],
) -> None:
    paper = Paper()
    paper.grow(DEPTH * 2)
    reader = Reader(paper)
    reader.read()
    for depth, more, failing, shorter in steps:
        paper.fork(depth, 0 if shorter else depth + more)
        paper.failing = failing
        _read_through(reader)
        assert reader.held == paper.truth()
        if shorter:
            paper.grow(depth + more)
            _read_through(reader)
            assert reader.held == paper.truth()


def _read_through(reader: Reader) -> None:
    """Read, and once more if the endpoint fails half-way: nothing may be lost by it."""
    try:
        reader.read()
    except ChainUnavailable:
        reader.read()


def test_a_rewrite_deeper_than_remembered_is_an_error() -> None:
    paper = Paper()
    paper.grow(DEPTH * 3)
    reader = Reader(paper)
    reader.read()
    paper.fork(DEPTH + 1, DEPTH + 5)
    with pytest.raises(ChainError, match="rewritten"):
        reader.read()


def test_a_young_chain_may_be_rewritten_whole() -> None:
    paper = Paper()
    paper.grow(3)
    reader = Reader(paper)
    reader.read()
    paper.fork(3, 5)
    reader.read()
    assert reader.held == paper.truth()


def test_a_block_known_to_be_empty_is_not_asked_for() -> None:
    class Quiet(Paper):
        async def block(self, number: int) -> BlockRef | None:
            found = await super().block(number)
            return None if found is None else replace(found, empty=True)

        async def seen_in(self, block: Hash) -> list[Seen] | None:
            raise AssertionError(f"asked for the empty block {block.hex()}")

    paper = Quiet()
    paper.grow(3)
    assert asyncio.run(EventLog(paper, depth=DEPTH).advance()) == []
