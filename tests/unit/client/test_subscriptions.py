"""SUBSCRIBE with a name, options and a cursor; UNSUBSCRIBE; what cannot be subscribed to."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

import mfdb
import mfdb.aio
from mfdb.client.cursor import Cursor, read_cursor, write_cursor
from mfdb.kernel.errors import (
    CursorLost,
    DuplicateObject,
    InterfaceError,
    InvalidDefinition,
    InvalidText,
    MfdbError,
    NotSupportedError,
    SqlSyntax,
    UnknownColumn,
    UnknownDataset,
    UnknownObject,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Test = Callable[[mfdb.aio.Connection], Awaitable[None]]

DEADLINE_S = 60


def run(test: Test) -> None:
    async def main() -> None:
        async with asyncio.timeout(DEADLINE_S), await mfdb.aio.connect(":memory:") as db:
            await db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT)")
            await db.execute("INSERT INTO t VALUES (1, 'one'), (2, 'two')")
            await test(db)

    asyncio.run(main())


async def some(changes: AsyncIterator[mfdb.Change], count: int) -> list[mfdb.Change]:
    """Return the next changes; the subscription goes on."""
    return [await anext(changes) for _ in range(count)]


def forms(changes: list[mfdb.Change]) -> list[tuple[str, object, object]]:
    return [(one.op, one.old, one.new) for one in changes]


def test_many_named_subscriptions_on_one_connection() -> None:
    async def test(db: mfdb.aio.Connection) -> None:
        every = db.subscribe("SUBSCRIBE every AS TO t")
        twos = db.subscribe("SUBSCRIBE twos AS TO SELECT body FROM t WHERE id = ?", [2])
        plain = db.subscribe("SUBSCRIBE TO t")
        assert [one.subscription for one in await some(every, 2)] == ["every", "every"]
        (two,) = await some(twos, 1)
        assert (two.subscription, two.new) == ("twos", {"body": "two"})
        assert (await some(plain, 1))[0].subscription is None
        shown = await db.fetch("SHOW SUBSCRIPTIONS")
        assert [row[:3] for row in shown] == [("every", "t", 2), ("twos", "t", 1), ("s1", "t", 1)]
        assert shown[1][3] == two.cursor
        assert shown[2][4] == "SUBSCRIBE TO t"
        named = "SELECT s.name FROM mf.subscriptions AS s WHERE s.delivered = 1 ORDER BY 1"
        assert await db.fetch(named) == [("s1",), ("twos",)]
        with pytest.raises(DuplicateObject) as taken:
            await some(db.subscribe("SUBSCRIBE twos AS TO t"), 1)
        assert taken.value.position == 10
        assert (await db.execute("UNSUBSCRIBE twos")).tag == "UNSUBSCRIBE 1"
        assert await some_more(twos) == []
        with pytest.raises(UnknownObject) as gone:
            await db.execute("UNSUBSCRIBE twos")
        assert gone.value.position == 12
        with pytest.raises(UnknownObject) as near:
            await db.execute("UNSUBSCRIBE evry")
        assert near.value.hint == "did you mean every?"
        again = db.subscribe("SUBSCRIBE twos AS TO t")
        await some(again, 1)
        assert (await db.execute("UNSUBSCRIBE ALL")).tag == "UNSUBSCRIBE 3"
        for ended in (every, plain, again):
            assert len(await some_more(ended)) == 0
        assert await db.fetch("SHOW SUBSCRIPTIONS") == []
        assert (await db.execute("UNSUBSCRIBE ALL")).tag == "UNSUBSCRIBE 0"

    run(test)


async def some_more(changes: AsyncIterator[mfdb.Change]) -> list[mfdb.Change]:
    return [one async for one in changes]


def test_unsubscribe_ends_one_that_waits() -> None:
    async def test(db: mfdb.aio.Connection) -> None:
        changes = db.subscribe("SUBSCRIBE waits AS TO t")
        await some(changes, 2)
        waiting = asyncio.create_task(some_more(changes))
        await db.execute("INSERT INTO t VALUES (3, 'three')")
        await db.execute("UNSUBSCRIBE waits")
        assert len(await waiting) <= 1

    run(test)


def test_without_a_snapshot_only_what_changes_is_told() -> None:
    async def test(db: mfdb.aio.Connection) -> None:
        changes = db.subscribe("SUBSCRIBE TO t WITH (SNAPSHOT = false)")
        await db.execute("INSERT INTO t VALUES (3, 'three')")
        assert forms(await some(changes, 1)) == [("insert", None, {"id": 3, "body": "three"})]
        with_it = db.subscribe("SUBSCRIBE TO t WITH (SNAPSHOT) SINCE ?", [None])
        assert len(await some(with_it, 3)) == 3

    run(test)


def test_progress_tells_when_everything_was_given() -> None:
    async def test(db: mfdb.aio.Connection) -> None:
        text = "SUBSCRIBE TO SELECT * FROM t WHERE id > 1 WITH (PROGRESS)"
        changes = db.subscribe(text)
        first = await some(changes, 2)
        assert [one.op for one in first] == ["insert", "progress"]
        await db.execute("UPDATE t SET body = 'uno' WHERE id = 1")
        (passed,) = await some(changes, 1)
        assert (passed.op, passed.old, passed.new) == ("progress", None, None)
        assert passed.cursor != first[1].cursor
        await db.execute("DELETE FROM t WHERE id = 2")
        assert [one.op for one in await some(changes, 2)] == ["delete", "progress"]
        later = db.subscribe("SUBSCRIBE TO t SINCE ?", [passed.cursor])
        assert [one.op for one in await some(later, 1)] == ["delete"]
        empty = db.subscribe("SUBSCRIBE TO SELECT * FROM t WHERE id > 100 WITH (PROGRESS)")
        assert [one.op for one in await some(empty, 1)] == ["progress"]
        fresh = db.subscribe("SUBSCRIBE TO t WITH (SNAPSHOT = false, PROGRESS)")
        assert [one.op for one in await some(fresh, 1)] == ["progress"]

    run(test)


def test_upserts_build_the_table_again() -> None:
    async def test(db: mfdb.aio.Connection) -> None:
        text = "SUBSCRIBE TO SELECT body, id AS n FROM t WITH (ENVELOPE = 'upsert', PROGRESS)"
        changes = db.subscribe(text)
        copy: dict[object, object] = {}
        statements = (
            "UPDATE t SET body = 'uno' WHERE id = 1",
            "UPDATE t SET id = 7 WHERE id = 2",
            "INSERT INTO t VALUES (2, 'another')",
            "DELETE FROM t WHERE id = 1",
        )
        for statement in (None, *statements):
            if statement is not None:
                await db.execute(statement)
            async for one in changes:
                if one.op == "progress":
                    break
                if one.op == "delete":
                    assert one.old is not None
                    assert set(one.old) == {"n"}
                    del copy[one.old["n"]]
                else:
                    assert (one.op, one.old) == ("upsert", None)
                    assert one.new is not None
                    copy[one.new["n"]] = one.new["body"]
            assert copy == dict(await db.fetch("SELECT id, body FROM t"))

    run(test)


def test_a_cursor_must_fit_what_is_here() -> None:
    async def test(db: mfdb.aio.Connection) -> None:
        (first,) = await some(db.subscribe("SUBSCRIBE TO t"), 1)
        dataset = db._session.datasets()[0].manifest.dataset
        cursor = read_cursor(first.cursor, dataset)
        ahead = write_cursor(Cursor(cursor.feed, cursor.dataset, cursor.sequence + 100))
        with pytest.raises(CursorLost) as lost:
            db.subscribe("SUBSCRIBE TO t SINCE ?", [ahead])
        assert lost.value.sqlstate == "24000"
        assert "SINCE" in lost.value.hint
        elsewhere = write_cursor(Cursor(b"another", cursor.dataset, 10**6))
        assert len(await some(db.subscribe("SUBSCRIBE TO t", since=elsewhere), 2)) == 2
        await db.execute("CREATE TABLE u (id INTEGER)")
        for text in ("SUBSCRIBE TO u SINCE ?", "SUBSCRIBE TO t SINCE '?'"):
            with pytest.raises(InvalidText):
                db.subscribe(text, [first.cursor] if text.endswith(" ?") else [])

    run(test)


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("SUBSCRIBE TO nix", UnknownDataset, "nix"),
        ("SUBSCRIBE TO SELECT nix FROM t", UnknownColumn, "nix"),
        ("SUBSCRIBE TO SELECT count(*) FROM t", NotSupportedError, "aggregate"),
        ("SUBSCRIBE TO (SELECT 1)", NotSupportedError, "FROM"),
        ("SUBSCRIBE TO SELECT * FROM t ORDER BY id", NotSupportedError, "order"),
        ("SUBSCRIBE TO SELECT * FROM t LIMIT 1", NotSupportedError, "LIMIT"),
        ("SUBSCRIBE TO SELECT DISTINCT id FROM t", NotSupportedError, "DISTINCT"),
        ("SUBSCRIBE TO SELECT id FROM t GROUP BY id", NotSupportedError, "GROUP BY"),
        (
            "SUBSCRIBE TO SELECT a.id FROM t AS a JOIN t AS b ON a.id = b.id",
            NotSupportedError,
            "join",
        ),
        ("SUBSCRIBE TO SELECT 1 FROM t UNION SELECT 2", NotSupportedError, "UNION"),
        ("SUBSCRIBE TO WITH a AS (SELECT 1) SELECT * FROM a", NotSupportedError, "WITH"),
        ("SUBSCRIBE TO VALUES (1)", NotSupportedError, "VALUES"),
        ("SUBSCRIBE TO SELECT (SELECT 1) FROM t", NotSupportedError, "one row"),
        ("SUBSCRIBE TO mf.datasets", NotSupportedError, "told"),
        ("SUBSCRIBE TO t WITH (SNAPSHOTS)", InvalidDefinition, "snapshots"),
        ("SUBSCRIBE TO t WITH (SNAPSHOT, SNAPSHOT)", InvalidDefinition, "twice"),
        ("SUBSCRIBE TO t WITH (PROGRESS = 3)", InvalidDefinition, "progress"),
        ("SUBSCRIBE TO t WITH (ENVELOPE = 'debezium')", InvalidDefinition, "envelope"),
        ("SUBSCRIBE TO SELECT body FROM t WITH (ENVELOPE = upsert)", InvalidDefinition, "key"),
        (
            "SUBSCRIBE TO SELECT id + 0 AS id FROM t WITH (ENVELOPE = upsert)",
            InvalidDefinition,
            "key",
        ),
        ("SUBSCRIBE TO t SINCE 'c1.nonsense'", InvalidText, "cursor"),
        ("SUBSCRIBE x TO t", SqlSyntax, "TO"),
        ("INSERT INTO t VALUES (9)", MfdbError, "SUBSCRIBE"),
    ],
)
def test_what_cannot_be_subscribed_to_says_why(text: str, kind: type[MfdbError], said: str) -> None:
    async def test(db: mfdb.aio.Connection) -> None:
        with pytest.raises(kind) as caught:
            await some(db.subscribe(text), 1)
        assert said in str(caught.value)
        assert caught.value.hint or kind in (UnknownDataset, UnknownColumn, MfdbError)
        assert await db.fetch("SHOW SUBSCRIPTIONS") == [], "nothing is left of it"

    run(test)


def test_a_view_of_one_dataset_can_be_subscribed_to() -> None:
    async def test(db: mfdb.aio.Connection) -> None:
        await db.execute("CREATE VIEW v AS SELECT id, upper(body) AS loud FROM t WHERE id > 1")
        changes = db.subscribe("SUBSCRIBE TO v")
        assert forms(await some(changes, 1)) == [("insert", None, {"id": 2, "loud": "TWO"})]

    run(test)


def test_execute_does_not_carry_out_subscribe() -> None:
    async def test(db: mfdb.aio.Connection) -> None:
        with pytest.raises(InterfaceError, match="subscribe"):
            await db.execute("SUBSCRIBE TO t")

    run(test)


def test_the_dbapi_connection_has_many_too() -> None:
    with mfdb.connect(":memory:", autocommit=True) as db:
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        db.execute("INSERT INTO t VALUES (1)")
        first, second = db.subscribe("SUBSCRIBE a AS TO t"), db.subscribe("SUBSCRIBE b AS TO t")
        assert [next(first).subscription, next(second).subscription] == ["a", "b"]
        db.execute("UNSUBSCRIBE a")
        assert list(first) == []
        db.execute("INSERT INTO t VALUES (2)")
        assert next(second).new == {"id": 2}
        assert db.execute("SHOW SUBSCRIPTIONS WHERE delivered = 2").fetchall()[0][0] == "b"
