"""A database that behaves, for testing the shell: SQLite in memory behind the client's API.

It knows SHOW DATASETS, DESCRIBE, SUBSCRIBE, LISTEN and NOTIFY besides.
"""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mfdb.kernel.errors import AccessDenied, SqlSyntax, UnknownDataset

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from shell.settings import Target


@dataclass(frozen=True)
class FakeColumn:
    name: str


@dataclass(frozen=True)
class FakeResult:
    columns: tuple[FakeColumn, ...] = ()
    rows: Sequence[tuple[object, ...]] = ()
    tag: str = "OK"


@dataclass(frozen=True)
class FakeChange:
    op: str
    new: Mapping[str, object] | None
    cursor: str
    old: Mapping[str, object] | None = None
    author: str = "alice"
    key: str = "k"
    subscription: str | None = None


@dataclass(frozen=True)
class FakeNotification:
    channel: str
    payload: str
    sender: int = 1


@dataclass
class FakeConnection:
    identity: str = "0x" + "ab" * 20
    owner: str = ""
    notices: list[str] = field(default_factory=list)
    executed: list[str] = field(default_factory=list)
    closed: bool = False
    failed: bool = False
    interrupted: int = 0

    def __post_init__(self) -> None:
        self._sqlite = sqlite3.connect(":memory:", isolation_level=None)
        self._queues: list[asyncio.Queue[FakeChange | None]] = []
        self._cursor = 0
        self.slow = asyncio.Event()
        """Set while a `SELECT slow` runs."""
        self.subscribed = asyncio.Event()
        self.heard: asyncio.Queue[FakeNotification] = asyncio.Queue()

    @property
    def doing(self) -> str:
        return "3 of 12 segments are coded once more"

    @property
    def in_batch(self) -> bool:
        return self._sqlite.in_transaction

    @property
    def batch_failed(self) -> bool:
        return self.in_batch and self.failed

    def interrupt(self) -> None:
        self.interrupted += 1

    async def execute(self, text: str, params: Sequence[object] = ()) -> FakeResult:
        assert not self.closed
        self.executed.append(text)
        words = text.split()
        if words[0] == "SHOW":
            told = self._show(words)
            if isinstance(told, FakeResult):
                return told
            text = told
        elif "mf.definitions" in words:
            text = "SELECT name, sql FROM sqlite_master WHERE sql LIKE '%REFERENCES%'"
        elif words[0] == "DESCRIBE":
            return self._describe(words[1].strip('"'))
        elif words == ["SELECT", "slow"]:
            self.slow.set()
            await asyncio.Event().wait()
        elif words[0] == "LISTEN":
            return FakeResult(tag="LISTEN")
        elif words[0] == "NOTIFY":
            self.heard.put_nowait(FakeNotification(words[1].rstrip(","), " ".join(words[2:])))
            return FakeResult(tag="NOTIFY")
        elif words[0] == "GRANT":
            raise AccessDenied("only the owner grants", hint="ask the owner")
        return self._run(text, params)

    def _show(self, words: list[str]) -> FakeResult | str:
        """Return what SHOW tells, or the query that tells it."""
        match words[1:]:
            case ["DATASETS", *like]:
                where = f"WHERE name {' '.join(like)}" if like else ""
                return f"SELECT name, type AS kind FROM sqlite_master {where} ORDER BY name"
            case ["IDENTITIES"]:
                row = ("alice", self.identity, False, True)
                names = ("name", "address", "protected", "current")
                return FakeResult(tuple(map(FakeColumn, names)), [row], "SHOW 1")
            case ["INDEXES", *_]:
                return FakeResult((FakeColumn("index"),), [], "SHOW 0")
            case ["CREATE", "DATASET", name]:
                return f"SELECT sql FROM sqlite_master WHERE name = '{name}'"
            case ["owner"]:
                return FakeResult((FakeColumn("owner"),), [("",)], "SHOW 1")
            case _:
                return " ".join(words)

    def _describe(self, name: str) -> FakeResult:
        rows = self._sqlite.execute("SELECT name, type FROM pragma_table_info(?)", (name,))
        found = rows.fetchall()
        if not found:
            raise UnknownDataset(f"no dataset {name}")
        return FakeResult((FakeColumn("name"), FakeColumn("type")), found)

    def _run(self, text: str, params: Sequence[object]) -> FakeResult:
        try:
            cursor = self._sqlite.execute(text, params)
        except sqlite3.Error as error:
            near = str(error).partition('near "')[2].partition('"')[0]
            raise SqlSyntax(str(error), position=text.find(near) if near else None) from error
        if cursor.description:
            rows = cursor.fetchall()
            columns = tuple(FakeColumn(item[0]) for item in cursor.description)
            return FakeResult(columns, rows, f"SELECT {len(rows)}")
        word = text.split(maxsplit=1)[0].upper()
        if word == "INSERT":
            self.publish({"body": text})
        return FakeResult(tag=f"{word} {max(cursor.rowcount, 0)}")

    async def copy(
        self,
        text: str,
        stream: Any = None,
        params: Sequence[object] = (),
        *,
        progress: Callable[[int, int], object] | None = None,
    ) -> FakeResult:
        """Copy csv rows: `COPY t FROM STDIN`, `COPY t FROM 'f'`, `COPY t TO STDOUT`."""
        assert params == ()
        self.executed.append(text)
        words = text.split()
        if words[2].upper() == "TO":
            rows = self._sqlite.execute(f"SELECT * FROM {words[1]}").fetchall()
            stream.write("".join(",".join(map(str, row)) + "\n" for row in rows).encode())
            return FakeResult(tag=f"COPY {len(rows)}")
        path = words[3].strip("'")
        data = stream.read() if stream is not None else _read(path)
        lines = data.decode().splitlines()[1 if "HEADER" in text else 0 :]
        for line in lines:
            cells = line.split(",")
            marks = ", ".join("?" * len(cells))
            self._sqlite.execute(f"INSERT INTO {words[1]} VALUES ({marks})", cells)
        if progress is not None:
            progress(len(lines), len(data))
        return FakeResult(tag=f"COPY {len(lines)}")

    def publish(self, row: Mapping[str, object]) -> None:
        """Deliver an insert to every subscriber."""
        self._cursor += 1
        for queue in self._queues:
            queue.put_nowait(FakeChange("insert", row, f"c{self._cursor}", key=f"k{self._cursor}"))

    def end_subscriptions(self) -> None:
        for queue in self._queues:
            queue.put_nowait(None)

    async def subscribe(self, text: str) -> AsyncIterator[FakeChange]:
        if "nowhere" in text:
            raise UnknownDataset("no dataset nowhere")
        _, name, word, *_ = text.split()
        queue: asyncio.Queue[FakeChange | None] = asyncio.Queue()
        self._queues.append(queue)
        self.subscribed.set()
        while (change := await queue.get()) is not None:
            yield replace(change, subscription=name) if word == "AS" else change

    async def notifies(self, *, timeout_s: float | None = None) -> AsyncIterator[FakeNotification]:
        while timeout_s is None or not self.heard.empty():
            yield await self.heard.get()

    async def close(self) -> None:
        self.closed = True
        self._sqlite.close()


def _read(path: str) -> bytes:
    return Path(path).read_bytes()


@dataclass
class FakeOpener:
    """Opens one `FakeConnection` and remembers what was asked for."""

    connection: FakeConnection | None = None
    target: Target | None = None
    notices: list[str] = field(default_factory=list)
    ends: bool = False

    async def __call__(self, target: Target, passphrase: Callable[[], str]) -> FakeConnection:
        del passphrase
        self.target = target
        self.connection = FakeConnection(notices=list(self.notices))
        return self.connection
