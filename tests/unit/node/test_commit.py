"""Group commit: one writer, one sync per group, and nothing told before it is durable."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakKeyDictionary

from mfdb.kernel.errors import AccessDenied, StoreFull
from mfdb.node.commit import GROUP_LIMIT, Committer, Transaction
from mfdb.testing.memory_store import MemoryStore
from tests.fixtures.node_town import inline, run

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
RUNNING: WeakKeyDictionary[Committer, asyncio.Future[None]] = WeakKeyDictionary()


def put(key: bytes, value: bytes) -> Callable[[Transaction], bytes]:
    def change(transaction: Transaction) -> bytes:
        transaction.put(key, value)
        return value

    return change


def refuse(transaction: Transaction) -> None:
    transaction.put(b"half", b"written")
    raise AccessDenied("no")


async def grouped(committer: Committer, *changes: Callable[[Transaction], object]) -> list[object]:
    """Submit changes before the committer gets its turn, so that they share one commit."""
    waiting = [asyncio.ensure_future(committer.submit(change)) for change in changes]
    await asyncio.sleep(0)
    if committer not in RUNNING:
        RUNNING[committer] = asyncio.ensure_future(committer.run())
    done = await asyncio.gather(*waiting, return_exceptions=True)
    return list(done)


def kept(store: MemoryStore) -> dict[bytes, bytes]:
    with store.snapshot() as view:
        return dict(view.scan(b""))


class Counting(MemoryStore):
    """A store that counts its syncs."""

    batches = 0

    def write(self, batch: object) -> None:
        self.batches += 1
        super().write(batch)  # type: ignore[arg-type]  # passed through unchanged


def test_one_that_raises_leaves_nothing_and_fails_alone() -> None:
    store = Counting()
    found = run(grouped(Committer(store, inline), put(b"a", b"1"), refuse, put(b"b", b"2")))
    assert found[0] == b"1"
    assert isinstance(found[1], AccessDenied)
    assert found[2] == b"2"
    assert kept(store) == {b"a": b"1", b"b": b"2"}
    assert store.batches == 1


def test_later_changes_of_a_group_see_what_earlier_ones_wrote() -> None:
    store = MemoryStore()

    def count(transaction: Transaction) -> int:
        number = int(transaction.get(b"n") or b"0") + 1
        transaction.put(b"n", str(number).encode())
        return number

    assert run(grouped(Committer(store, inline), count, count, count)) == [1, 2, 3]


def test_a_full_disk_fails_the_whole_group_and_later_ones_work() -> None:
    store = MemoryStore()

    async def main() -> list[object]:
        committer = Committer(store, inline)
        store.disk.full = True
        failed = await grouped(committer, put(b"a", b"1"), put(b"b", b"2"))
        store.disk.full = False
        return [*failed, *await grouped(committer, put(b"c", b"3"))]

    found = run(main())
    assert [type(one) for one in found] == [StoreFull, StoreFull, bytes]
    assert kept(store) == {b"c": b"3"}


def test_nothing_is_told_before_the_write_has_returned() -> None:
    store, told = MemoryStore(), list[bytes]()

    async def slow(work: Callable[[], T]) -> T:
        await asyncio.sleep(5)
        assert not told
        return work()

    async def main() -> None:
        committer = Committer(store, slow)
        running = asyncio.ensure_future(committer.run())
        told.append(await committer.submit(put(b"a", b"1")))
        assert kept(store) == {b"a": b"1"}
        running.cancel()

    run(main())
    assert told == [b"1"]


def test_what_belongs_to_the_group_is_in_its_very_transaction() -> None:
    store = Counting()

    def sign(transaction: Transaction) -> None:
        transaction.put(b"signed", b",".join(value for _, value in transaction.scan(b"x")))

    committer = Committer(store, inline, before_commit=sign)
    run(grouped(committer, put(b"x1", b"a"), refuse, put(b"x2", b"b")))
    assert kept(store)[b"signed"] == b"a,b"
    assert store.batches == 1


def test_a_signature_that_fails_fails_the_group_and_keeps_nothing() -> None:
    store = MemoryStore()

    def fail(_: Transaction) -> None:
        raise ValueError("no key")

    found = run(grouped(Committer(store, inline, before_commit=fail), put(b"a", b"1")))
    assert isinstance(found[0], ValueError)
    assert kept(store) == {}


def test_a_change_that_only_reads_costs_no_sync() -> None:
    store = Counting()
    assert run(grouped(Committer(store, inline), lambda view: view.get(b"a"))) == [None]
    assert store.batches == 0


def test_a_burst_is_committed_in_bounded_groups() -> None:
    store = Counting()
    changes = [put(b"k%d" % at, b"v") for at in range(GROUP_LIMIT + 1)]
    run(grouped(Committer(store, inline), *changes))
    assert store.batches == 2
    assert len(kept(store)) == GROUP_LIMIT + 1


def test_nobody_waits_for_ever_on_a_committer_that_has_ended() -> None:
    async def main() -> None:
        committer = Committer(MemoryStore(), inline)
        running = asyncio.ensure_future(committer.run())
        await asyncio.sleep(0)
        waiting = asyncio.ensure_future(committer.submit(put(b"a", b"1")))
        running.cancel()
        await asyncio.wait([running, waiting], timeout=60)
        assert waiting.cancelled()
        late = asyncio.ensure_future(committer.submit(put(b"a", b"1")))
        await asyncio.wait([late], timeout=60)
        assert late.cancelled()

    run(main())


def test_a_transaction_shows_its_own_writes_in_key_order() -> None:
    store = MemoryStore()
    store.write([(b"p1", b"1"), (b"p3", b"3"), (b"q", b"other")])
    with store.snapshot() as view:
        outer = Transaction(view)
        outer.delete(b"p1")
        inner = Transaction(outer)
        inner.put(b"p2", b"2")
        inner.put(b"p3", b"new")
        assert list(inner.scan(b"p")) == [(b"p2", b"2"), (b"p3", b"new")]
        assert list(outer.scan(b"p")) == [(b"p3", b"3")]
        assert inner.get(b"p1") is None
        outer.absorb(inner)
        assert dict(outer.writes()) == {b"p1": None, b"p2": b"2", b"p3": b"new"}
