from __future__ import annotations

import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from mfdb.kernel.errors import InterfaceError, StoreFull
from mfdb.store.commit_queue import CommitQueue

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfdb.store.port import Write


class Disk:
    """Commits into a list, holding the first commit until it is let go."""

    def __init__(self) -> None:
        self.groups: list[list[bytes]] = []
        self.entered = threading.Event()
        self.go = threading.Event()

    def commit(self, group: Sequence[Sequence[Write]], _size_bytes: int) -> None:
        self.entered.set()
        assert self.go.wait(30)
        names = [batch[0][0] for batch in group]
        self.groups.append(names)
        if b"poison" in names:
            raise StoreFull("full")
        if b"ctrl-c" in names:
            raise KeyboardInterrupt


def queued(queue: CommitQueue, count: int) -> None:
    """Wait until so many batches stand behind the one being committed."""
    done = threading.Event()
    for _ in range(3000):
        if len(queue._queue) == 1 + count:
            return
        done.wait(0.01)
    raise AssertionError("the writers never arrived")


def test_batches_that_wait_share_the_next_commit_and_each_gets_its_own_error() -> None:
    disk = Disk()
    queue = CommitQueue(disk.commit)
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(queue.write, [(b"first", b"")], 5)
        assert disk.entered.wait(30)
        futures = {}
        for name in (b"a", b"poison", b"b"):
            futures[name] = pool.submit(queue.write, [(name, b"")], 5)
            queued(queue, len(futures))
        disk.go.set()
        first.result(30)
        futures[b"a"].result(30)
        futures[b"b"].result(30)
        with pytest.raises(StoreFull):
            futures[b"poison"].result(30)
    assert disk.groups == [[b"first"], [b"a", b"poison", b"b"], [b"a"], [b"poison"], [b"b"]]


def test_an_interrupted_leader_leaves_nobody_waiting_and_nothing_undone() -> None:
    disk = Disk()
    queue = CommitQueue(disk.commit)
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(queue.write, [(b"first", b"")], 5)
        assert disk.entered.wait(30)
        leader = pool.submit(queue.write, [(b"ctrl-c", b"")], 5)
        queued(queue, 1)
        follower = pool.submit(queue.write, [(b"a", b"")], 5)
        queued(queue, 2)
        disk.go.set()
        first.result(30)
        with pytest.raises(KeyboardInterrupt):
            leader.result(30)
        follower.result(30)
    assert disk.groups == [[b"first"], [b"ctrl-c", b"a"], [b"a"]]
    queue.write([(b"later", b"")], 5)
    assert disk.groups[-1] == [b"later"]
    queue.close()


def ctrl_c(*_: object) -> None:
    raise KeyboardInterrupt


def test_ctrl_c_anywhere_in_a_write_leaves_the_queue_in_order() -> None:
    """Wherever it strikes: before, inside and after the commit, and while it is left."""
    queue = CommitQueue(lambda *_: None)
    before = signal.signal(signal.SIGALRM, ctrl_c)
    struck = 0
    try:
        for attempt in range(1_000):
            try:
                signal.setitimer(signal.ITIMER_REAL, 1e-6 * (1 + attempt % 50))
                queue.write([(b"k", b"")], 5)
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                struck += 1
            assert not queue._queue
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert struck
    queue.close()


def test_groups_are_bounded_in_bytes() -> None:
    disk = Disk()
    queue = CommitQueue(disk.commit)
    large = bytes(40 * 2**20)
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(queue.write, [(b"first", b"")], 5)]
        assert disk.entered.wait(30)
        for name in (b"a", b"b"):
            futures.append(pool.submit(queue.write, [(name, large)], len(large)))
            queued(queue, len(futures) - 1)
        disk.go.set()
        for future in futures:
            future.result(30)
    assert disk.groups == [[b"first"], [b"a"], [b"b"]]


def test_close_waits_for_the_commit_under_way_and_refuses_the_next() -> None:
    disk = Disk()
    queue = CommitQueue(disk.commit)
    with ThreadPoolExecutor(2) as pool:
        writing = pool.submit(queue.write, [(b"first", b"")], 5)
        assert disk.entered.wait(30)
        closing = pool.submit(queue.close)
        assert not closing.done()
        disk.go.set()
        writing.result(30)
        closing.result(30)
    with pytest.raises(InterfaceError):
        queue.write([(b"late", b"")], 5)
