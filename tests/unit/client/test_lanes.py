"""Writes that are under way at once share changesets, and each keeps a result of its own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest

from mfdb.client import lane
from mfdb.client.aio import Connection
from mfdb.client.lane import GROUPS, MANY_CHANGES, SHOW_CHANGESETS
from mfdb.dataset import row_changes
from mfdb.kernel.errors import DuplicateRow, QuorumNotReached, SchemaViolation, StoreFull
from mfdb.testing.memory_store import MemoryDisk
from tests.fixtures.users import User

if TYPE_CHECKING:
    from mfdb.client.opening import Home
    from mfdb.kernel.ids import DatasetId
    from mfdb.rules.changeset import Changeset
    from mfdb.rules.key_log import KeyLogEntry
    from tests.fixtures.fake_network import FakeNetwork

INSERT = "INSERT INTO notes VALUES (?, ?)"


async def notes(bob: User, ordering: str = "owner") -> DatasetId:
    key = " PRIMARY KEY" if ordering == "owner" else ""
    await bob.run(f"CREATE DATASET notes (id INT{key}, body TEXT) WITH (ordering = '{ordering}')")
    known = bob.replica.find(bob.keys.address, "notes")
    assert known is not None
    return known.manifest.dataset


async def at_once(bob: User, count: int) -> list[Any]:
    writes = (bob.run(INSERT, at, f"body {at}") for at in range(count))
    return list(await asyncio.gather(*writes, return_exceptions=True))


def test_writes_under_way_at_once_share_changesets(bob: User, world: FakeNetwork) -> None:
    async def main() -> None:
        dataset = await notes(bob, "free")
        before = world.writes
        done = await at_once(bob, 64)
        assert [result.tag for result in done] == ["INSERT 1"] * 64
        assert world.writes - before <= GROUPS
        assert await bob.rows("SELECT count(*), count(DISTINCT id) FROM notes") == [(64, 64)]
        assert bob.replica.outgoing(dataset) == []

    asyncio.run(main())


def test_one_that_is_refused_does_not_take_the_others_with_it(
    bob: User, world: FakeNetwork
) -> None:
    async def main() -> None:
        await notes(bob)
        await bob.run(INSERT, 5, "there already")
        done = await at_once(bob, 10)
        refused = [result for result in done if isinstance(result, Exception)]
        assert len(refused) == 1
        assert isinstance(refused[0], DuplicateRow)
        assert await bob.rows("SELECT body FROM notes WHERE id = 5") == [("there already",)]
        assert await bob.rows("SELECT count(*) FROM notes") == [(10,)]

    asyncio.run(main())


def test_of_two_writes_of_one_row_the_second_sees_the_first(bob: User) -> None:
    async def main() -> None:
        await notes(bob)
        twice = await asyncio.gather(
            bob.run(INSERT, 1, "first"), bob.run(INSERT, 1, "second"), return_exceptions=True
        )
        assert [type(result).__name__ for result in twice] == ["Result", "DuplicateRow"]
        await asyncio.gather(
            *(bob.run("UPDATE notes SET body = body || '+' WHERE id = 1") for _ in range(3))
        )
        assert await bob.rows("SELECT body FROM notes") == [("first+++",)]

    asyncio.run(main())


def test_a_group_that_providers_refuse_is_sent_one_by_one(
    bob: User, world: FakeNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        dataset = await notes(bob, "free")
        assert bob.remote is not None
        write = bob.remote.write

        async def picky(dataset: DatasetId, changeset: Changeset, entry: KeyLogEntry) -> Any:
            if len(changeset.operations) > 1:
                raise SchemaViolation("one of them is not good")
            return await write(dataset, changeset, entry)

        monkeypatch.setattr(bob.remote, "write", picky)
        done = await at_once(bob, 8)
        assert [result.tag for result in done] == ["INSERT 1"] * 8
        assert await bob.rows("SELECT count(*) FROM notes") == [(8,)]
        assert bob.replica.outgoing(dataset) == []

    asyncio.run(main())


def test_nothing_is_sent_later_of_a_statement_that_was_refused(
    bob: User, world: FakeNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        dataset = await notes(bob, "free")
        assert bob.remote is not None
        write = bob.remote.write
        sent: list[int] = []

        async def picky(dataset: DatasetId, changeset: Changeset, entry: KeyLogEntry) -> Any:
            for _ in range(8):  # all of them are in the outbox by then
                await asyncio.sleep(0)
            sent.append(len(changeset.operations))
            if len(sent) == 2:
                raise SchemaViolation("the second is not good")
            return await write(dataset, changeset, entry)

        monkeypatch.setattr(bob.remote, "write", picky)
        monkeypatch.setattr(row_changes, "OPERATIONS", 4)
        rows = ", ".join(f"({at}, 'body')" for at in range(12))
        with pytest.raises(SchemaViolation):
            await bob.run(f"INSERT INTO notes (id, body) VALUES {rows}")
        assert sent == [4, 4]
        assert bob.replica.outgoing(dataset) == []
        assert await bob.rows("SELECT count(*) FROM notes") == [(4,)]

    asyncio.run(main())


def test_too_few_receipts_are_told_to_all_and_nothing_is_lost(
    bob: User, world: FakeNetwork
) -> None:
    async def main() -> None:
        dataset = await notes(bob, "free")
        world.reachable = 1
        done = await at_once(bob, 8)
        assert [type(result) for result in done] == [QuorumNotReached] * 8
        assert await bob.rows("SELECT count(*) FROM notes") == [(0,)]
        kept = bob.replica.outgoing(dataset)
        assert sum(len(outgoing.changeset.operations) for outgoing in kept) == 8
        world.reachable = 3
        await bob.run(INSERT, 99, "the next write")
        assert await bob.rows("SELECT count(*) FROM notes") == [(9,)]
        assert bob.replica.outgoing(dataset) == []

    asyncio.run(main())


def test_a_write_given_up_before_it_is_signed_is_never_made(bob: User) -> None:
    async def main() -> None:
        await notes(bob, "free")
        writes = [asyncio.ensure_future(bob.run(INSERT, at, "")) for at in range(3)]
        await asyncio.sleep(0)
        writes[1].cancel()
        await asyncio.wait(writes)
        assert await bob.rows("SELECT id FROM notes ORDER BY id") == [(0,), (2,)]

    asyncio.run(main())


def test_sealed_senders_rows_are_not_linked(alice: User, bob: User, world: FakeNetwork) -> None:
    async def main() -> None:
        await bob.run("CREATE MAILBOX mailbox")
        await alice.run("SET sealed_sender = true")
        before = world.writes
        mail = "INSERT INTO bob.mailbox (subject, body) VALUES (?, ?)"
        await asyncio.gather(*(alice.run(mail, f"{at}", b"") for at in range(5)))
        assert world.writes - before == 5
        assert await bob.rows("SELECT count(*) FROM mailbox") == [(5,)]

    asyncio.run(main())


def test_who_leaves_in_the_middle_finds_its_writes_in_the_outbox(
    world: FakeNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        disk = MemoryDisk()
        bob = User("bob", world, disk)
        dataset = await notes(bob, "free")
        assert bob.remote is not None
        sent, answer = asyncio.Event(), asyncio.Event()

        async def stuck(*_: object) -> None:
            assert bob.replica.outgoing(dataset) == []
            sent.set()
            await answer.wait()

        monkeypatch.setattr(bob.remote, "write", stuck)
        writes = [asyncio.ensure_future(bob.run(INSERT, at, "")) for at in range(4)]
        await sent.wait()
        await bob.session.close()
        assert bob.replica.outgoing(dataset)
        results = await asyncio.gather(*writes, return_exceptions=True)
        assert all(isinstance(result, asyncio.CancelledError) for result in results)
        bob.store.close()
        again = User("bob", world, disk)
        await again.run(INSERT, 4, "")
        assert await again.rows("SELECT count(*) FROM notes") == [(5,)]

    asyncio.run(main())


def test_a_write_that_takes_long_is_in_the_outbox_meanwhile(
    bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        dataset = await notes(bob, "free")
        assert bob.remote is not None
        kept, answer = asyncio.Event(), asyncio.Event()
        write, keep = bob.remote.write, bob.replica.keep

        async def slow(*given: Any) -> Any:
            await answer.wait()
            return await write(*given)

        def noted(*given: Any) -> None:
            keep(*given)
            kept.set()

        monkeypatch.setattr(bob.remote, "write", slow)
        monkeypatch.setattr(bob.replica, "keep", noted)
        writing = asyncio.ensure_future(bob.run(INSERT, 1, ""))
        await kept.wait()
        (waiting,) = bob.replica.outgoing(dataset)
        assert len(waiting.changeset.operations) == 1
        answer.set()
        await writing
        assert bob.replica.outgoing(dataset) == []

    asyncio.run(main())


def slowly(bob: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the network take some turns of the loop for every write, as a real one does."""
    assert bob.remote is not None
    write = bob.remote.write

    async def slow(*given: Any) -> Any:
        for _ in range(8):
            await asyncio.sleep(0)
        return await write(*given)

    monkeypatch.setattr(bob.remote, "write", slow)


def test_what_was_acknowledged_while_the_disk_was_full_is_sent_again(
    bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        dataset = await notes(bob)
        await bob.run(INSERT, 1, "one")
        assert bob.remote is not None
        kept = asyncio.Event()
        write, keep = bob.remote.write, bob.replica.keep

        async def filling(*given: Any) -> Any:
            outcome = await write(*given)
            await kept.wait()
            bob.store.disk.full = True
            return outcome

        def noted(*given: Any) -> None:
            keep(*given)
            kept.set()

        with monkeypatch.context() as patched:
            patched.setattr(bob.remote, "write", filling)
            patched.setattr(bob.replica, "keep", noted)
            with pytest.raises(StoreFull):
                await bob.run("UPDATE notes SET body = 'more' WHERE id = 1")
        bob.store.disk.full = False
        await bob.run(INSERT, 2, "two")
        assert bob.replica.outgoing(dataset) == []
        assert await bob.rows("SELECT body FROM notes WHERE id = 1") == [("more",)]

    asyncio.run(main())


def test_acknowledged_rows_are_shown_many_at_once_or_when_somebody_reads(
    bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        dataset = await notes(bob, "free")
        slowly(bob, monkeypatch)
        shown = []
        acknowledge = bob.replica.acknowledge

        def counted(dataset: DatasetId, written: Any) -> Any:
            shown.append(len(written))
            return acknowledge(dataset, written)

        monkeypatch.setattr(bob.replica, "acknowledge", counted)
        for at in range(SHOW_CHANGESETS // 2):
            await bob.run(INSERT, at, "")
        assert sum(shown) < SHOW_CHANGESETS // 2
        assert await bob.rows("SELECT count(*) FROM notes") == [(SHOW_CHANGESETS // 2,)]
        assert sum(shown) == SHOW_CHANGESETS // 2
        assert bob.replica.outgoing(dataset) == []
        for at in range(3 * SHOW_CHANGESETS):
            await bob.run(INSERT, at, "")
        assert max(shown) <= SHOW_CHANGESETS + GROUPS

    asyncio.run(main())


def test_a_killed_process_leaves_what_it_acknowledged_in_its_outbox(
    world: FakeNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        disk = MemoryDisk()
        bob = User("bob", world, disk)
        dataset = await notes(bob, "free")
        slowly(bob, monkeypatch)
        await bob.run(INSERT, 1, "acknowledged")
        bob.store.close()  # nothing is shown, nothing is put at rest
        again = User("bob", world, disk)
        assert len(again.replica.outgoing(dataset)) == 1
        await again.run(INSERT, 2, "the next write")
        assert again.replica.outgoing(dataset) == []
        assert await again.rows("SELECT count(*), count(DISTINCT id) FROM notes") == [(2, 2)]

    asyncio.run(main())


def test_a_killed_process_has_shown_many_rows_that_it_acknowledged_at_once(
    world: FakeNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        disk = MemoryDisk()
        bob = User("bob", world, disk)
        dataset = await notes(bob, "free")
        slowly(bob, monkeypatch)
        monkeypatch.setattr(lane, "KEEP_S", 60.0)
        db = Connection(bob.session, cast("Home", None))
        for _ in range(2):
            await db.executemany(INSERT, [(at, "") for at in range(MANY_CHANGES)])
        bob.store.close()  # nothing more is shown
        again = User("bob", world, disk)
        assert again.replica.outgoing(dataset) == []
        found = await again.rows("SELECT count(*), count(DISTINCT id) FROM notes")
        assert found == [(2 * MANY_CHANGES, MANY_CHANGES)]

    asyncio.run(main())


def test_a_process_goes_on_with_the_run_of_one_that_ended_but_not_of_one_that_was_killed(
    world: FakeNetwork,
) -> None:
    disk = MemoryDisk()

    async def main(at: int, *, orderly: bool) -> DatasetId:
        bob = User("bob", world, disk)
        if at == 0:
            await notes(bob, "free")
        await bob.run(INSERT, at, "")
        known = bob.replica.find(bob.keys.address, "notes")
        assert known is not None
        if orderly:
            await bob.session.close()
        bob.store.close()
        return known.manifest.dataset

    for at, orderly in enumerate((True, False, False)):
        dataset = asyncio.run(main(at, orderly=orderly))
    first, second, third = (changeset.header for changeset in world.shelf(dataset).log)
    assert (second.run, first.number, second.number) == (first.run, 0, 1)
    assert third.run != first.run
    assert third.number == 0


def test_tasks_that_share_a_connection_share_changesets_but_no_transaction(
    bob: User, world: FakeNetwork
) -> None:
    async def main() -> None:
        await notes(bob, "free")
        connection = Connection(bob.session, cast("Home", None))
        before = world.writes

        async def insert(at: int) -> None:
            await connection.execute(INSERT, (at, ""))

        async def atomic() -> None:
            async with connection.transaction():
                await insert(100)
                await asyncio.sleep(0)
                await insert(101)

        await asyncio.gather(*(insert(at) for at in range(32)), atomic(), insert(32))
        assert world.writes - before <= 2 * GROUPS
        assert await connection.fetchval("SELECT count(*) FROM notes") == 35

    asyncio.run(main())
