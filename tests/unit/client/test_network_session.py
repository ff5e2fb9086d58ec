"""Two identities and a network: the mailbox story, freshness, the outbox, rights and races."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING

import pytest

from mfdb.kernel.errors import (
    AccessDenied,
    MfdbError,
    NetworkError,
    NoProviders,
    NotSupportedError,
    QuorumNotReached,
    StaleWrite,
    UnknownDataset,
    UnknownIdentity,
)
from mfdb.kernel.ids import show
from mfdb.testing.memory_store import MemoryDisk
from tests.fixtures.users import User

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mfdb.client.results import Change
    from tests.fixtures.fake_network import FakeNetwork

MAIL = "INSERT INTO bob.mailbox (subject, body) VALUES (?, ?)"


async def mailbox(bob: User) -> None:
    await bob.run("CREATE MAILBOX mailbox")


def test_alice_inserts_and_only_bob_reads_changes_and_deletes(alice: User, bob: User) -> None:
    async def main() -> None:
        await mailbox(bob)
        target = f'"{bob.address}".mailbox'
        result = await alice.run(
            f"INSERT INTO {target} (subject, body) VALUES ('hi', X'00ff') RETURNING subject"
        )
        assert (result.tag, result.rows) == ("INSERT 1", [("hi",)])
        for text in (
            f"SELECT * FROM {target}",
            f"UPDATE {target} SET subject = 'x'",
            f"DELETE FROM {target}",
        ):
            with pytest.raises(AccessDenied, match="no grant allows"):
                await alice.run(text)
        with pytest.raises(AccessDenied, match="SUBSCRIBE"):
            await anext(alice.session.subscribe(f"SUBSCRIBE TO {target}"))
        for text in (f"GRANT SELECT ON {target} TO alice", f"DROP MAILBOX {target}"):
            with pytest.raises(AccessDenied, match="owner"):
                await alice.run(text)
        assert await bob.rows("SELECT subject, body FROM mailbox") == [("hi", b"\x00\xff")]
        await bob.run("UPDATE mailbox SET subject = 'read' WHERE subject = 'hi'")
        assert await bob.rows("SELECT subject FROM mailbox") == [("read",)]
        await bob.run("DELETE FROM mailbox")
        assert await bob.rows("SELECT count(*) FROM mailbox") == [(0,)]

    asyncio.run(main())


def test_a_subscriber_sees_each_message_once_in_the_order_of_its_cursor(
    alice: User, bob: User
) -> None:
    async def main() -> None:
        await mailbox(bob)
        for number in range(5):
            await alice.run(MAIL, f"before {number}", b"")
        seen: list[Change] = []

        async def consume() -> None:
            async for change in bob.session.subscribe("SUBSCRIBE TO mailbox"):
                seen.append(change)
                if len(seen) == 20:
                    return

        consumer = asyncio.create_task(consume())
        for number in range(15):
            await alice.run(MAIL, f"after {number}", b"")
        await asyncio.wait_for(consumer, 10)
        subjects = [str(change.new["subject"]) for change in seen if change.new]
        assert sorted(subjects) == sorted(
            [f"before {n}" for n in range(5)] + [f"after {n}" for n in range(15)]
        )
        assert {change.op for change in seen} == {"insert"}
        assert {change.author for change in seen} == {alice.address}
        assert len({change.key for change in seen}) == 20
        async for change in bob.session.subscribe("SUBSCRIBE TO mailbox", since=seen[9].cursor):
            assert change.key == seen[10].key
            break

    asyncio.run(main())


def test_a_fresh_directory_restores_everything_from_the_keys(
    alice: User, bob: User, world: FakeNetwork
) -> None:
    async def main() -> None:
        await mailbox(bob)
        for number in range(3):
            await alice.run(MAIL, f"m{number}", bytes([number]))
        seen = [change async for change in _first(bob.session.subscribe("SUBSCRIBE TO mailbox"), 3)]
        other = User("bob", world, MemoryDisk())
        assert await other.session.restore() == ["mailbox"]
        assert other.now("SHOW DATASETS").rows[0][0] == "mailbox"
        found = await other.rows("SELECT subject, body FROM mailbox ORDER BY subject")
        assert found == [("m0", b"\x00"), ("m1", b"\x01"), ("m2", b"\x02")]
        again = [
            change
            async for change in _first(
                other.session.subscribe("SUBSCRIBE TO mailbox", since=seen[1].cursor), 3
            )
        ]
        assert {change.key for change in again} == {change.key for change in seen}, "no gap"

    asyncio.run(main())


async def _first(stream: AsyncIterator[Change], count: int) -> AsyncIterator[Change]:
    async for change in stream:
        yield change
        count -= 1
        if not count:
            break


def test_freshness_decides_how_often_the_network_is_asked(
    alice: User, bob: User, world: FakeNetwork
) -> None:
    async def main() -> None:
        await mailbox(bob)
        await alice.run(MAIL, "one", b"")
        count = "SELECT count(*) FROM mailbox"
        bob.now("SET freshness = cached")
        assert bob.now(count).rows == [(0,)]
        bob.now("SET freshness = latest")
        assert await bob.rows(count) == [(1,)]
        await alice.run(MAIL, "two", b"")
        assert await bob.rows(count) == [(2,)]
        await alice.run(MAIL, "three", b"")
        bob.now("SET freshness = '10 seconds'")
        assert bob.now(count).rows == [(2,)]
        bob.world.seconds += 11
        assert await bob.rows(count) == [(3,)]
        world.reachable = 0
        bob.world.seconds += 11
        with pytest.raises(NetworkError) as caught:
            await bob.run(count)
        assert "cached" in caught.value.hint
        bob.now("SET freshness = cached")
        assert bob.now(count).rows == [(3,)]

    asyncio.run(main())


def test_a_write_without_quorum_says_so_waits_in_the_outbox_and_is_not_doubled(
    alice: User, bob: User, world: FakeNetwork
) -> None:
    async def main() -> None:
        await mailbox(bob)
        await alice.run(MAIL, "zero", b"")
        world.reachable = 1
        with pytest.raises(QuorumNotReached) as caught:
            await alice.run(MAIL, "first", b"")
        assert "outbox" in caught.value.hint
        with pytest.raises(QuorumNotReached):
            await alice.run(MAIL, "second", b"")
        world.reachable, world.lose_answers = 3, 1
        with pytest.raises(QuorumNotReached):  # it arrived, but nobody said so
            await alice.run(MAIL, "third", b"")
        await alice.run(MAIL, "fourth", b"")
        subjects = [row[0] for row in await bob.rows("SELECT subject FROM mailbox")]
        assert sorted(map(str, subjects)) == ["first", "fourth", "zero"]

    asyncio.run(main())


def test_deleting_destroys_the_salts_at_the_providers_too(
    alice: User, bob: User, world: FakeNetwork
) -> None:
    async def main() -> None:
        await mailbox(bob)
        await alice.run(MAIL, "secret", b"")
        await alice.run(MAIL, "other", b"")
        (shelf,) = world.shelves.values()
        await bob.run("DELETE FROM mailbox WHERE subject = 'secret'")
        gone, kept = (shelf.entries[one.id].salts for one in shelf.log[:2])
        assert gone == (b"",)
        assert kept != (b"",)
        user = bob.remote
        assert user is not None
        shred, user.shred = user.shred, _unreachable  # type: ignore[method-assign]
        await bob.run("DELETE FROM mailbox WHERE subject = 'other'")
        assert shelf.entries[shelf.log[1].id].salts != (b"",)
        user.shred = shred  # type: ignore[method-assign]
        await bob.run("INSERT INTO mailbox (subject) VALUES ('next')")
        assert shelf.entries[shelf.log[1].id].salts == (b"",), "what failed is tried again"

    asyncio.run(main())


async def _unreachable(dataset: object, salts: object) -> None:
    raise QuorumNotReached("too few replicas")


def test_a_sealed_sender_is_nobody_to_the_providers_and_alice_to_bob(
    alice: User, bob: User, world: FakeNetwork
) -> None:
    async def main() -> None:
        await mailbox(bob)
        alice.now("SET sealed_sender = on")
        await alice.run(MAIL, "psst", b"")
        (shelf,) = world.shelves.values()
        header = shelf.log[0].header
        assert header.identity == b""
        assert header.signer != alice.keys.address
        (change,) = [c async for c in _first(bob.session.subscribe("SUBSCRIBE TO mailbox"), 1)]
        assert change.author == alice.address

    asyncio.run(main())


def test_a_batch_is_one_changeset_and_not_over_two_datasets(
    alice: User, bob: User, world: FakeNetwork
) -> None:
    async def main() -> None:
        await mailbox(bob)
        await alice.run("BEGIN")
        for number in range(4):
            await alice.run(MAIL, f"m{number}", b"")
        assert world.writes == 0
        assert (await alice.run("COMMIT")).tag == "COMMIT"
        assert world.writes == 1
        assert await bob.rows("SELECT count(*) FROM mailbox") == [(4,)]
        await bob.run("CREATE TABLE notes (id INTEGER PRIMARY KEY)")
        await bob.run("BEGIN")
        await bob.run("INSERT INTO notes VALUES (1)")
        await bob.run("DELETE FROM mailbox")
        with pytest.raises(NotSupportedError, match="atomic"):
            await bob.run("COMMIT")
        assert await bob.rows("SELECT count(*) FROM mailbox") == [(4,)]
        many = alice.session.start_many(MAIL, [(f"n{n}", b"") for n in range(5)])
        assert inspect.isawaitable(many)
        before = world.writes
        assert (await many).tag == "INSERT 5"
        assert world.writes == before + 1

    asyncio.run(main())


def test_the_home_dataset_finds_what_the_registry_does_not_name(
    bob: User, world: FakeNetwork
) -> None:
    async def main() -> None:
        await mailbox(bob)
        await bob.run("CREATE DATASET notes (id INTEGER PRIMARY KEY, body TEXT)")
        await bob.run("CREATE DATASET home (id INTEGER PRIMARY KEY)")
        await bob.run("INSERT INTO notes VALUES (1, 'kept')")
        phone = User("bob", world, MemoryDisk())
        assert sorted(await phone.session.restore()) == ["home", "mailbox", "notes"]
        assert await phone.rows("SELECT id, body FROM notes") == [(1, "kept")]
        listed = await phone.rows("SELECT name FROM mf_home ORDER BY name")
        assert listed == [("home",), ("notes",)]
        await phone.run("CREATE DATASET more (id INTEGER)")
        tablet = User("bob", world, MemoryDisk())
        assert "more" in await tablet.session.restore()

    asyncio.run(main())


def test_two_machines_of_one_owner_do_not_overwrite_each_other(
    bob: User, world: FakeNetwork
) -> None:
    async def main() -> None:
        await bob.run("CREATE DATASET notes (id INTEGER PRIMARY KEY, n INTEGER)")
        await bob.run("INSERT INTO notes VALUES (1, 0)")
        phone = User("bob", world, MemoryDisk())
        await phone.session.restore()
        for _ in range(3):
            await bob.run("UPDATE notes SET n = n + 1")
            await phone.run("UPDATE notes SET n = n + 1")
        assert await bob.rows("SELECT n FROM notes") == [(6,)]
        bob.now("SET freshness = cached")
        await phone.run("UPDATE notes SET n = n + 1")
        await bob.run("UPDATE notes SET n = n + 1")  # stale at first: synced and planned again
        assert await phone.rows("SELECT n FROM notes") == [(8,)]

    asyncio.run(main())


def test_local_datasets_stay_local_and_quick(bob: User, world: FakeNetwork) -> None:
    bob.now("CREATE TABLE notes (id INTEGER PRIMARY KEY) WITH (local = true)")
    bob.now("INSERT INTO notes VALUES (1)")
    assert bob.now("SELECT * FROM notes").rows == [(1,)]
    assert world.shelves == {}
    assert bob.now("SHOW DATASETS").rows[0][4] == "local"


def test_a_network_dataset_without_a_network_is_read_and_not_written(
    bob: User, world: FakeNetwork
) -> None:
    asyncio.run(mailbox(bob))
    disk = bob.store.disk
    bob.store.close()
    offline = User("bob", None, disk)
    assert offline.now("SELECT * FROM mailbox").rows == []
    for text in ("INSERT INTO mailbox (subject) VALUES ('x')", "DROP MAILBOX mailbox"):
        with pytest.raises(NetworkError, match="none is open"):
            offline.now(text)


def test_a_reader_gets_the_key_with_the_grant_and_none_after_it(
    alice: User, bob: User, world: FakeNetwork
) -> None:
    async def main() -> None:
        await bob.run("CREATE DATASET news (body TEXT)")
        await bob.run("INSERT INTO news VALUES ('one')")
        with pytest.raises(NotSupportedError, match="no key"):
            await bob.run("GRANT SELECT, SUBSCRIBE ON news TO alice")
        await mailbox(alice)
        await bob.run("GRANT SELECT, SUBSCRIBE ON news TO alice")
        news = bob.replica.find(bob.keys.address, "news")
        assert news is not None
        alice.replica.add_manifests(news.chain)
        assert await alice.rows("SELECT * FROM bob.news") == [("one",)]
        await bob.run("REVOKE SELECT ON news FROM alice")
        await bob.run("INSERT INTO news VALUES ('two')")
        with pytest.raises(AccessDenied):
            await alice.run("SELECT * FROM bob.news")
        await bob.run("GRANT SELECT ON news TO PUBLIC")
        carol = User("carol", world)
        news = bob.replica.find(bob.keys.address, "news")
        assert news is not None
        carol.replica.add_manifests(news.chain)
        assert sorted(await carol.rows("SELECT * FROM bob.news")) == [("one",), ("two",)]

    asyncio.run(main())


def test_revoking_public_insert_stops_writers_with_old_rules(alice: User, bob: User) -> None:
    async def main() -> None:
        await mailbox(bob)
        await alice.run(MAIL, "kept", b"")
        await bob.run("REVOKE INSERT ON mailbox FROM PUBLIC")
        with pytest.raises((AccessDenied, StaleWrite)):
            await alice.run(MAIL, "late", b"")
        assert await bob.rows("SELECT subject FROM mailbox") == [("kept",)]

    asyncio.run(main())


def test_a_dropped_mailbox_takes_nothing_any_more(alice: User, bob: User) -> None:
    async def main() -> None:
        await mailbox(bob)
        await alice.run(MAIL, "one", b"")
        await bob.run("DROP MAILBOX mailbox")
        with pytest.raises(UnknownDataset):
            await bob.run("SELECT * FROM mailbox")
        with pytest.raises((AccessDenied, UnknownDataset)):
            await alice.run(MAIL, "two", b"")

    asyncio.run(main())


def test_health_tells_of_the_outbox_the_feed_and_the_network(
    alice: User, bob: User, world: FakeNetwork
) -> None:
    def later(seconds: float) -> None:
        for clock in (alice.world, bob.world):
            clock.seconds += seconds
        world.now_s += seconds

    async def health(user: User) -> dict[str, str]:
        return {str(row[1]): str(row[2]) for row in (await user.run("SHOW HEALTH")).rows}

    async def main() -> None:
        await mailbox(bob)
        bob.now("CREATE DATASET here (id INT PRIMARY KEY) WITH (local = true)")
        fine = {"outbox age": "ok", "feed lag": "ok", "replicas reachable": "ok"}
        assert await health(bob) == fine
        world.reachable = 1
        with pytest.raises(QuorumNotReached):
            await alice.run(MAIL, "waits", b"")
        assert (await health(alice))["outbox age"] == "ok"
        later(100)
        told = await health(alice)
        assert (told["outbox age"], told["replicas reachable"]) == ("ALARM", "ALARM")
        world.reachable = 3
        await alice.run(MAIL, "now", b"")
        assert (await health(alice))["outbox age"] == "ok"
        later(100)
        assert (await health(bob))["feed lag"] == "ALARM"
        await bob.run("SELECT * FROM mailbox")
        assert await health(bob) == fine

    asyncio.run(main())


def test_what_only_the_network_knows_is_asked_there(bob: User) -> None:
    async def main() -> None:
        await mailbox(bob)
        result = await bob.run("SHOW PROVIDERS FOR mailbox")
        (row,) = result.rows
        assert [column.name for column in result.columns] == ["what", "of"]
        found = bob.replica.find(bob.keys.address, "mailbox")
        assert found is not None
        assert row == ("providers", found.manifest.dataset.hex())
        assert (await bob.run("SHOW PEERS")).rows == [("peers", None)]
        of_each = await bob.run("SHOW SEGMENTS WHERE dataset = 'mailbox' LIMIT 1")
        assert [column.name for column in of_each.columns] == ["dataset", "owner", "what", "of"]
        assert of_each.tag == "SHOW 1"
        assert (await bob.run("SHOW SEGMENTS")).rows == (
            await bob.run("SELECT * FROM mf.segments")
        ).rows
        refined = "SHOW PEERS WHERE what IN (SELECT d.kind FROM mf.datasets AS d)"
        assert (await bob.run(refined)).rows == []
        assert (await bob.run("SHOW CHEQUES FROM '0x" + "11" * 20 + "'")).rows == []
        with pytest.raises(UnknownIdentity) as nobody:
            await bob.run("SHOW CHEQUES FROM nobody")
        assert nobody.value.position == 18
        sealed = await bob.run("ALTER DATASET mailbox SEAL")
        assert sealed.tag == "ALTER DATASET"
        assert sealed.rows == [(1, 0, 6, 0.5)]
        plan = [row[0] for row in bob.now("EXPLAIN SELECT * FROM mailbox").rows]
        assert plan[-1] == "place: 3 providers, a write waits for 2, sealed 4 of 6"
        with pytest.raises(UnknownDataset) as caught:
            await bob.run("SELECT * FROM mailbux")
        assert "mailbox" in caught.value.hint

    asyncio.run(main())


def test_addresses_and_petnames_both_name_an_owner(alice: User, bob: User) -> None:
    async def main() -> None:
        await mailbox(bob)
        await alice.run(
            f'INSERT INTO "{show(bob.keys.address)}".mailbox (subject) VALUES (1::TEXT)'
        )
        await alice.run("INSERT INTO bob.mailbox (subject) VALUES ('2')")
        found = await bob.rows("SELECT subject FROM mailbox ORDER BY subject")
        assert found == [("1",), ("2",)]

    asyncio.run(main())


def test_other_providers_or_another_code_move_a_dataset(world: FakeNetwork, bob: User) -> None:
    async def main() -> None:
        await bob.run("CREATE DATASET notes (body TEXT)")
        named = ", ".join("0x" + bytes([number] * 20).hex() for number in range(1, 9))
        moved = await bob.run(
            "ALTER DATASET notes SET (erasure = '3/5', replicas = 4, write_quorum = 3)"
        )
        assert (moved.tag, moved.rows) == ("ALTER DATASET", [(1, 1, 0, 0)])
        await bob.run(f"ALTER DATASET notes SET (providers = '{named}')")
        await bob.run("ALTER DATASET notes SET (retention = '90 days')")
        profiles = [(c.profile.k, c.profile.n, c.profile.replicas) for _, c in world.moves]
        assert profiles == [(3, 5, 4), (3, 5, 4)]
        assert [len(change.among or ()) for _, change in world.moves] == [0, 8]
        with bob.replica.reading() as reading:
            (manifest,) = (k.manifest for k in reading.datasets() if k.manifest.name == "notes")
        assert manifest.number == 3
        assert manifest.retention_s == 90 * 86_400
        with pytest.raises(NoProviders, match="7 providers are needed"):
            await bob.run("ALTER DATASET notes SET (erasure = '3/7')")
        for wrong, said in {
            "providers = '0x12'": "option providers is not",
            f"providers = '{named[:42]}'": "5 providers are needed, 1 are named",
            "erasure = '3'": "option erasure is not",
        }.items():
            with pytest.raises(MfdbError, match=said):
                await bob.run(f"ALTER DATASET notes SET ({wrong})")
        assert bob.replica.known(manifest.dataset).manifest.profile.n == 5

    asyncio.run(main())


def test_the_home_dataset_tells_who_keeps_a_dataset_after_it_moved(
    world: FakeNetwork, bob: User
) -> None:
    async def main() -> None:
        await bob.run("CREATE DATASET notes (body TEXT)")
        await bob.run("ALTER DATASET notes SET (erasure = '3/5')")
        rows = await bob.rows("SELECT name, providers FROM mf_home")
        assert rows == [("notes", b"".join(bytes([number] * 20) for number in range(1, 4)))]
        again = User("bob", world)
        assert "notes" in await again.session.restore()

    asyncio.run(main())
