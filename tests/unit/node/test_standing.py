"""What is remembered of rules and placement is as new as the commit that is open."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from mfdb.kernel.errors import OperationalError, StaleWrite, UnknownDataset
from mfdb.node.provider import sealed_shelf
from mfdb.node.requests import PutManifest
from mfdb.node.wiring import BRIEF_S, Briefly
from mfdb.testing.memory_store import MemoryStore
from tests.fixtures.node_town import Town, in_town, mailbox_town

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfdb.store.port import Write


@in_town
async def test_new_rules_count_for_the_next_write(town: Town) -> None:
    bob, dataset = await mailbox_town(town)
    stand, first = town.stands[0], town.mailbox(bob)
    await stand.take(bob.write(dataset, "one"))
    late = bob.write(dataset, "two")
    second = town.mailbox(bob, number=1, previous=first.manifest.hash, acl_epoch=1)
    await stand.duties.on_put_manifest(PutManifest(signed=second))
    with pytest.raises(StaleWrite):
        await stand.take(late)


@in_town
async def test_a_dataset_that_was_forgotten_takes_no_write(town: Town) -> None:
    bob, dataset = await mailbox_town(town)
    stand = town.stands[0]
    await stand.take(bob.write(dataset, "one"))
    await stand.committer.submit(lambda transaction: sealed_shelf.forget(transaction, dataset))
    with pytest.raises(UnknownDataset):
        await stand.take(bob.write(dataset, "two"))


@in_town
async def test_new_rules_count_also_when_the_store_told_a_failure_that_was_none(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob, dataset = await mailbox_town(town)
    stand, first = town.stands[0], town.mailbox(bob)
    await stand.take(bob.write(dataset, "one"))
    late = bob.write(dataset, "two")
    second = town.mailbox(bob, number=1, previous=first.manifest.hash, acl_epoch=1)

    def write(batch: Sequence[Write]) -> None:
        MemoryStore.write(stand.store, batch)  # type: ignore[arg-type]  # the twin
        raise OperationalError("the disk has it, but the answer was lost")

    with monkeypatch.context() as patched:
        patched.setattr(stand.store, "write", write)
        with pytest.raises(OperationalError):
            await stand.duties.on_put_manifest(PutManifest(signed=second))
    with pytest.raises(StaleWrite):
        await stand.take(late)


class Watch:
    """A clock that a test moves by hand."""

    def __init__(self) -> None:
        self.at_s = 0.0

    def now_s(self) -> float:
        return self.at_s

    def monotonic_s(self) -> float:
        return self.at_s


def test_a_quick_disk_needs_no_thread_and_a_slow_one_does() -> None:
    watch = Watch()
    briefly = Briefly(watch)
    here = threading.get_ident()

    async def place(took_s: float) -> bool:
        def work() -> int:
            watch.at_s += took_s
            return threading.get_ident()

        return await briefly(work) == here

    async def places() -> list[bool]:
        quick = [await place(BRIEF_S / 10) for _ in range(3)]
        slow = [await place(BRIEF_S * 10) for _ in range(3)]
        again = [await place(BRIEF_S / 10) for _ in range(40)]
        return [*quick, *slow, again[0], again[-1]]

    assert asyncio.run(places()) == [False, True, True, True, False, False, False, True]
