"""One asyncio connection and many tasks: turns, transactions, cancellation, rows page by page."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

import mfdb
import mfdb.aio
from mfdb.kernel.errors import StatementCancelled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

ROWS = 2_000
ENDLESS = "SELECT count(*) FROM t a, t b, t c WHERE a.id * b.id + c.id < 0"


def with_rows(
    directory: Path, work: Callable[[mfdb.aio.Connection], Awaitable[None]], url: str = ""
) -> None:
    async def run() -> None:
        async with await mfdb.aio.connect(url or directory) as db:
            await db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT)")
            rows = [(n, f"b{n}") for n in range(ROWS)]
            await db.executemany("INSERT INTO t VALUES (?, ?)", rows)
            await asyncio.wait_for(work(db), 120)

    asyncio.run(run())


def test_tasks_take_turns_and_transactions_stand_apart(tmp_path: Path) -> None:
    async def work(db: mfdb.aio.Connection) -> None:
        begun = asyncio.Event()
        order: list[str] = []

        async def one() -> None:
            async with db.transaction():
                begun.set()
                await db.execute("UPDATE t SET body = 'mine' WHERE id = 1")
                await asyncio.gather(*(db.fetchval("SELECT body FROM t") for _ in range(3)))
                order.append("transaction")

        async def other() -> None:
            await begun.wait()
            await db.execute("UPDATE t SET body = 'other' WHERE id = 1")
            order.append("other")

        await asyncio.gather(one(), other())
        assert order == ["transaction", "other"]
        assert await db.fetchval("SELECT body FROM t WHERE id = 1") == "other"

    with_rows(tmp_path, work)


def test_many_tasks_at_once(tmp_path: Path) -> None:
    async def work(db: mfdb.aio.Connection) -> None:
        async def add(number: int) -> object:
            await db.execute("INSERT INTO t VALUES (?, 'new')", [ROWS + number])
            return await db.fetchval("SELECT body FROM t WHERE id = ?", [ROWS + number])

        assert await asyncio.gather(*(add(number) for number in range(20))) == ["new"] * 20

    with_rows(tmp_path, work)


def test_the_loop_goes_on_while_a_query_is_computed(tmp_path: Path) -> None:
    async def work(db: mfdb.aio.Connection) -> None:
        task = asyncio.create_task(db.execute(ENDLESS))
        for _ in range(100):
            await asyncio.sleep(0)
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await db.fetchval("SELECT count(*) FROM t") == ROWS

    with_rows(tmp_path, work)


def test_a_cancelled_transaction_is_given_up(tmp_path: Path) -> None:
    async def work(db: mfdb.aio.Connection) -> None:
        async def change() -> None:
            async with db.transaction():
                await db.execute("DELETE FROM t WHERE id < 100")
                await db.execute(ENDLESS)

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(change(), 0.5)
        assert not db.in_batch
        assert await db.fetchval("SELECT count(*) FROM t") == ROWS

    with_rows(tmp_path, work)


def test_a_time_limit(tmp_path: Path) -> None:
    async def work(db: mfdb.aio.Connection) -> None:
        db.timeout_s = 0.2
        with pytest.raises(StatementCancelled, match="longer than"):
            await db.execute(ENDLESS)
        assert await db.fetchval("SELECT 1") == 1

    with_rows(tmp_path, work, f"mfdb:///{tmp_path}/box?timeout=100")


def test_a_cursor_gives_rows_page_by_page(tmp_path: Path) -> None:
    async def work(db: mfdb.aio.Connection) -> None:
        seen = []
        async for (number,) in db.cursor("SELECT id FROM t ORDER BY id", prefetch=64):
            seen.append(number)
            if number == 70:
                await db.execute("DELETE FROM t WHERE id > 1000")
        assert seen == list(range(ROWS))
        assert await db.fetchval("SELECT count(*) FROM t") == 1001
        db.row_factory = mfdb.dict_row
        assert [row async for row in db.cursor("SELECT id FROM t WHERE id = ?", [5])] == [{"id": 5}]
        assert await db.fetchrow("SELECT id FROM t WHERE id = 5") == {"id": 5}
        assert await db.fetchrow("SELECT id FROM t WHERE id = -5") is None
        assert await db.fetch("SELECT 1 AS a") == [{"a": 1}]
        assert await db.fetchval("SELECT 7 AS a") == 7

    with_rows(tmp_path, work)
