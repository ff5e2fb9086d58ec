"""SELECT ... VERIFY on a network: what replicas are asked, what is fetched and checked here."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from mfdb.kernel.errors import CorruptRecord, QuorumNotReached
from tests.fixtures.users import User

if TYPE_CHECKING:
    from tests.fixtures.fake_network import FakeNetwork


def test_verify_answers_only_what_a_read_quorum_signs(world: FakeNetwork, bob: User) -> None:
    async def main() -> None:
        await bob.run("CREATE DATASET notes (id INTEGER PRIMARY KEY, body TEXT)")
        await bob.run("INSERT INTO notes VALUES (1, 'one'), (2, 'two')")
        await bob.run("SET freshness = 'cached'")
        syncs = world.syncs
        assert await bob.rows("SELECT body FROM notes WHERE id = 2 VERIFY") == [("two",)]
        # One row is shown by its key, and nothing else has to be brought here for that.
        assert (world.attested, len(world.attested_spans), world.syncs) == (1, 1, syncs)
        joined = "SELECT count(*) FROM notes a JOIN notes b ON a.id < b.id VERIFY"
        assert await bob.rows(joined) == [(1,)]
        assert await bob.rows("SELECT body FROM notes WHERE id = 3") == []
        assert world.attested == 2
        world.reachable = 1
        with pytest.raises(QuorumNotReached, match="held against"):
            await bob.run("SELECT body FROM notes VERIFY")
        assert await bob.rows("SELECT body FROM notes WHERE id = 2") == [("two",)]

    asyncio.run(main())


def test_verify_names_rows_by_keys_where_it_can(world: FakeNetwork, bob: User) -> None:
    async def main() -> None:
        await bob.run("CREATE DATASET notes (id INTEGER PRIMARY KEY, body TEXT)")
        await bob.run("INSERT INTO notes VALUES (1, 'one')")
        laptop = User("bob", world)
        await laptop.session.restore()
        await laptop.rows("SELECT * FROM notes")
        await bob.run("INSERT INTO notes VALUES (2, 'two')")
        await laptop.run("SET freshness = 'cached'")
        asked = (
            ("id = 2", 1),
            ("id IN (1, 2, 9)", 3),
            ("id = 9", 1),
            ("id BETWEEN 1 AND 4", 4),
            ("id > 1 AND id < 1000", 0),
            ("id < 3", 0),
        )
        for where, count in asked:
            world.attested_spans = ()
            done = world.syncs, world.fetches
            await laptop.rows(f"SELECT body FROM notes WHERE {where} VERIFY")
            assert len(set(world.attested_spans)) == count
            # What is shown and not here is fetched alone; what is not there is not.
            assert world.fetches - done[1] == (where == "id = 2"), where
            assert world.syncs - done[0] == (count == 0), where
        assert await laptop.rows("SELECT body FROM notes WHERE id = $1 VERIFY", 2) == [("two",)]

    asyncio.run(main())


def test_a_range_of_clear_keys_is_shown_alone(world: FakeNetwork, bob: User) -> None:
    async def main() -> None:
        await bob.run(
            "CREATE DATASET log (day DATE CLEAR, id INT CLEAR, body TEXT, PRIMARY KEY (day, id))"
        )
        laptop = User("bob", world)
        await laptop.session.restore()
        await laptop.run("SET freshness = 'cached'")
        for day in (1, 2, 3):
            await bob.run(
                f"INSERT INTO log VALUES ('2026-01-0{day}', 1, 'a'), ('2026-01-0{day}', 2, 'b')"
            )
        await bob.run("UPDATE log SET id = 7 WHERE day = '2026-01-02' AND id = 2")
        syncs = world.syncs
        ask = "SELECT id, body FROM log WHERE {} ORDER BY day, id VERIFY"
        assert await laptop.rows(ask.format("day = '2026-01-02'")) == [(1, "a"), (7, "b")]
        assert (world.fetches, world.syncs) == (1, syncs)
        assert await laptop.rows("SELECT count(*) FROM log") == [(2,)]  # nothing else came
        assert await laptop.rows(ask.format("day > '2026-01-02'")) == [(1, "a"), (2, "b")]
        assert await laptop.rows(ask.format("day = '2026-01-02' AND id = 2")) == []
        assert await laptop.rows(ask.format("day < '2026-01-01'")) == []
        assert world.syncs == syncs
        assert len(world.attested_spans) == 6
        shown = await laptop.rows("SELECT covers, rows, proof_bytes FROM mf.proofs")
        assert shown == [("rows of the keys asked for", 0, 100)] * 3
        await laptop.rows("SELECT count(*) FROM log VERIFY")
        assert (await laptop.rows("SHOW PROOFS"))[0][2:4] == ("all rows", 7)

    asyncio.run(main())


def test_keys_that_an_alter_changed_do_not_name_rows(world: FakeNetwork, bob: User) -> None:
    async def main() -> None:
        await bob.run("CREATE DATASET notes (id INTEGER PRIMARY KEY, body TEXT)")
        laptop = User("bob", world)
        await laptop.session.restore()
        await laptop.run("SET freshness = 'cached'")
        await bob.run("INSERT INTO notes VALUES (1, 'one')")
        await bob.run("ALTER DATASET notes DROP CONSTRAINT notes_pkey")
        await bob.run("ALTER DATASET notes ADD PRIMARY KEY (body)")
        world.attested_spans = ()
        # The row's id came from another key: proven absent under this one, it would be denied.
        assert await bob.rows("SELECT id FROM notes WHERE body = 'one' VERIFY") == [(1,)]
        assert world.attested_spans == ()
        await bob.run("INSERT INTO notes VALUES (2, 'two')")
        # Who has not heard of the ALTER yet learns of it before it believes in an absence.
        assert await laptop.rows("SELECT body FROM notes WHERE id = 2 VERIFY") == [("two",)]
        assert len(world.attested_spans) == 1

    asyncio.run(main())


def test_of_a_scope_only_its_rows_are_held_against_signatures(
    world: FakeNetwork, bob: User
) -> None:
    async def main() -> None:
        await bob.run("CREATE DATASET notes (id INTEGER CLEAR PRIMARY KEY, body TEXT)")
        await bob.run("INSERT INTO notes VALUES (1, 'one'), (2, 'two'), (3, 'three')")
        await bob.run("INSERT INTO notes VALUES (4, 'four')")
        await bob.run("UPDATE notes SET body = 'ONE' WHERE id = 1")
        with bob.store.snapshot() as snapshot:
            visible = {value: key for key, value in snapshot.scan(b"d")}
        (two,) = (value for value in visible if b"two" in value)
        (three,) = (value for value in visible if b"three" in value)
        bob.store.write([(visible[two], two.replace(b"two", b"TWO"))])
        assert await bob.rows("SELECT id FROM notes WHERE id > 2 VERIFY") == [(3,), (4,)]
        for where in ("id = 2", "id < 3", "id BETWEEN 1 AND 3", "body = 'TWO'"):
            with pytest.raises(CorruptRecord, match="shows other values than were signed"):
                await bob.run(f"SELECT id FROM notes WHERE {where} VERIFY")
        # A row that stands under a key besides its own, and one that is gone from where it was.
        forged = visible[three][:-33] + b"\x01" + visible[three][-32:]
        bob.store.write([(visible[two], two), (forged, three)])
        with pytest.raises(CorruptRecord):
            await bob.run("SELECT count(*) FROM notes WHERE id < 2 VERIFY")
        bob.store.write([(forged, None), (visible[three], None)])
        with pytest.raises(CorruptRecord, match="not visible where it should be"):
            await bob.run("SELECT count(*) FROM notes WHERE id > 2 VERIFY")
        assert await bob.rows("SELECT body FROM notes WHERE id = 1 VERIFY") == [("ONE",)]

    asyncio.run(main())
