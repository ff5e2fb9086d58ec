"""The asyncio face over a real directory."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

import mfdb
import mfdb.aio

if TYPE_CHECKING:
    from pathlib import Path


async def emptied_wrongly(db: mfdb.aio.Connection) -> None:
    async with db.transaction():
        await db.execute("DELETE FROM t")
        await db.executemany("INSERT INTO t VALUES (?, 'x')", [[1], [1]])


def test_statements_fetches_transactions_and_a_second_opening(tmp_path: Path) -> None:
    async def main() -> None:
        async with await mfdb.aio.connect(tmp_path) as db:
            assert len(db.notices) == 1
            assert db.identity.startswith("0x")
            await db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT)")
            result = await db.executemany(
                "INSERT INTO t VALUES (?, ?)", ((n, f"b{n}") for n in range(5))
            )
            assert result.tag == "INSERT 5"
            assert await db.fetch("SELECT id FROM t WHERE id < ? ORDER BY id", [2]) == [(0,), (1,)]
            assert await db.fetchrow("SELECT id, body FROM t WHERE id = 4") == (4, "b4")
            assert await db.fetchrow("SELECT id FROM t WHERE id = 40") is None
            assert await db.fetchval("SELECT count(*) FROM t") == 5
            assert await db.fetchval("SELECT id FROM t WHERE id = 40") is None
            async with db.transaction():
                await db.execute("DELETE FROM t WHERE id = 0")
            with pytest.raises(mfdb.IntegrityError):
                await emptied_wrongly(db)
            assert not db.in_batch
            assert await db.fetchval("SELECT count(*) FROM t") == 4
            with pytest.raises(mfdb.Error):
                await db.fetch("SELECT id FROM t WHERE id = ?", [])
        await db.close()
        with pytest.raises(mfdb.InterfaceError):
            await db.execute("SELECT 1")
        async with await mfdb.aio.connect(tmp_path) as again:
            assert again.notices == []
            assert await again.fetchval("SELECT count(*) FROM t") == 4

    asyncio.run(main())


def test_two_subscriptions_each_see_every_change_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with await mfdb.aio.connect(tmp_path) as db:
            await db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")

            async def consume(since: str | None = None) -> list[mfdb.Change]:
                found = []
                async for change in db.subscribe("SUBSCRIBE TO t", since=since):
                    found.append(change)
                    if len(found) == 30:
                        break
                return found

            tasks = [asyncio.create_task(consume()) for _ in range(2)]
            for number in range(30):
                await db.execute("INSERT INTO t VALUES (?)", [number])
                await asyncio.sleep(0)
            for found in await asyncio.wait_for(asyncio.gather(*tasks), 10):
                assert [change.new for change in found] == [{"id": n} for n in range(30)]

    asyncio.run(main())


def test_closing_the_connection_ends_its_subscriptions(tmp_path: Path) -> None:
    async def main() -> None:
        db = await mfdb.aio.connect(tmp_path)
        await db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        await db.execute("INSERT INTO t VALUES (1)")
        changes = db.subscribe("SUBSCRIBE TO t")
        assert (await anext(changes)).new == {"id": 1}
        waiting = asyncio.ensure_future(anext(changes, None))
        await asyncio.sleep(0)
        await db.close()
        assert await asyncio.wait_for(waiting, 5) is None

    asyncio.run(main())


def test_a_subscription_survives_a_restart_at_its_cursor(tmp_path: Path) -> None:
    async def main() -> None:
        async with await mfdb.aio.connect(tmp_path) as db:
            await db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
            await db.executemany("INSERT INTO t VALUES (?)", [[1], [2], [3]])
            async for change in db.subscribe("SUBSCRIBE TO t"):
                if change.new == {"id": 2}:
                    break
        async with await mfdb.aio.connect(tmp_path) as db:
            async for later in db.subscribe("SUBSCRIBE TO t", since=change.cursor):
                assert later.new == {"id": 3}
                break

    asyncio.run(main())
