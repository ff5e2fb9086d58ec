"""The embedded database beside Python's sqlite3, same rows, same run: `python -m bench.embedded`.

sqlite3 runs with journal_mode=WAL and synchronous=FULL, as durable as we are; our rows are signed
besides (sealed they are only on a network). Every figure is the median of several rounds in which
the two take turns, and each round compares the answers. `--quick` is for CI: fewer rows, fewer
rounds, no subprocesses.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mfdb
from bench.memory import peak_memory
from bench.report import Result, add_options, cost, finish, rate, skipped
from mfdb.kernel.errors import MfdbError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

CREATE = (
    "CREATE {kind} t (id INTEGER PRIMARY KEY, city TEXT, score DOUBLE PRECISION, name TEXT, "
    "age INTEGER, balance BIGINT, active BOOLEAN, note TEXT)"
)
INDEX = "CREATE INDEX t_score ON t (score)"
INSERT = "INSERT INTO t VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
UPDATE = "UPDATE t SET balance = ?, score = ? WHERE id = ?"
DELETE = "DELETE FROM t WHERE id = ?"
POINT = "SELECT * FROM t WHERE id = ?"
RANGE = "SELECT id, name, balance FROM t WHERE score >= ? AND score < ?"
FILTER = "SELECT id FROM t WHERE city = ? AND age >= 0"
GROUP = "SELECT city, sum(balance), count(*) FROM t GROUP BY city ORDER BY city"
JOIN = (
    "SELECT g.region, sum(t.balance), count(*) FROM t JOIN g ON t.city = g.city "
    "GROUP BY g.region ORDER BY g.region"
)
BATCH = 1_000
RANGES = 10
"""How many ranges one round asks for."""
START_RIVAL = "import sqlite3, asyncio, lark, lmdb, msgspec, nacl.public"

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    rows: int
    rounds: int
    processes: bool

    @property
    def batches(self) -> int:
        """Batches of `BATCH` rows in one round."""
        return max(1, min(5, self.rows // BATCH // 4))


class Pair:
    """The same dataset in mfdb and in sqlite3."""

    def __init__(self, directory: Path, plan: Plan) -> None:
        self.plan = plan
        self.directory = directory
        self.random = random.Random(7)
        self.own = mfdb.connect(directory / "own")
        self.rival = sqlite3.connect(directory / "rival.db")
        self.rival.execute("PRAGMA journal_mode = WAL")
        self.rival.execute("PRAGMA synchronous = FULL")
        self.next_id = 0
        self.indexed = self._create()

    def _create(self) -> bool:
        for statement in (CREATE.format(kind="TABLE"), INDEX):
            self.rival.execute(statement)
        self.own.execute(CREATE.format(kind="DATASET"))
        try:
            self.own.execute(INDEX)
        except MfdbError:
            _make_index(self.own)
            return False
        return True

    def rows(self, count: int) -> list[Row]:
        """Return new rows: ascending keys, everything else by chance but reproducible."""
        found = []
        for at in range(self.next_id, self.next_id + count):
            draw = self.random.random()
            town = f"city {int(draw * 1e6) % 100}"
            money = int(draw * 1e12)
            note = f"note {money % 9973} of a row"
            found.append((at, town, draw * 1e4, f"name {at}", at % 90, money, at % 2 == 0, note))
        self.next_id += count
        return found

    def keys(self, count: int) -> list[int]:
        """Return distinct keys of rows that are never deleted here, in no order."""
        return self.random.sample(range(self.plan.rows // 2), count)

    def both(self, work: Callable[[Any], object]) -> tuple[float, float]:
        """Return the seconds that the same work takes in each, which must answer the same."""
        times, answers = [], []
        sides = (self.own, self.rival) if self.random.random() < 0.5 else (self.rival, self.own)
        for side in sides:
            gc.collect()
            start = time.perf_counter()
            answers.append(work(side))
            times.append(time.perf_counter() - start)
        if answers[0] != answers[1]:
            raise SystemExit(f"bench.embedded: the answers differ: {str(answers)[:300]}")
        return (times[0], times[1]) if sides[0] is self.own else (times[1], times[0])

    def medians(self, prepare: Callable[[], Callable[[Any], object]]) -> tuple[float, float]:
        """Return the median seconds of each over the rounds; `prepare` makes a round's work."""
        rounds = [self.both(prepare()) for _ in range(self.plan.rounds)]
        return statistics.median(own for own, _ in rounds), statistics.median(
            rival for _, rival in rounds
        )

    def close(self) -> None:
        """Close both."""
        self.own.close()
        self.rival.close()


def _make_index(connection: mfdb.Connection) -> None:
    """CREATE INDEX by the storage engine's own call, while the grammar has no word for it."""
    session = connection._session
    (known,) = session.datasets()
    session.state.replica.create_index(known.manifest.dataset, "t_score", [("score", False)])


def _many(statement: str, groups: Sequence[Sequence[Row]]) -> Callable[[Any], int]:
    def work(side: Any) -> int:
        cursor = side.cursor()
        count = 0
        for group in groups:
            cursor.executemany(statement, group)
            side.commit()
            count += cursor.rowcount
        return count

    return work


def _queries(statement: str, given: Sequence[Row]) -> Callable[[Any], list[Any]]:
    def work(side: Any) -> list[Any]:
        cursor = side.cursor()
        found = []
        for params in given:
            found += cursor.execute(statement, params).fetchall()
        return found

    return work


def _sorted_queries(statement: str, given: Sequence[Row]) -> Callable[[Any], list[Any]]:
    plain = _queries(statement, given)
    return lambda side: sorted(plain(side))


def _points(keys: Sequence[int]) -> Callable[[Any], list[Any]]:
    def work(side: Any) -> list[Any]:
        cursor = side.cursor()
        return [cursor.execute(POINT, (key,)).fetchone() for key in keys]

    return work


def _singles(rows: Sequence[Row]) -> Callable[[Any], int]:
    def work(side: Any) -> int:
        cursor = side.cursor()
        for row in rows:
            cursor.execute(INSERT, row)
            side.commit()
        return len(rows)

    return work


# ---- the figures


def load(pair: Pair) -> Iterator[Result]:
    """Yield the speed of filling both, batch by batch in turns, and the bytes on disk."""
    own: list[float] = []
    rival: list[float] = []
    while pair.next_id < pair.plan.rows:
        mine, theirs = pair.both(_many(INSERT, [pair.rows(BATCH)]))
        own.append(mine)
        rival.append(theirs)
    yield rate(
        f"executemany INSERT, {BATCH} a batch, over the whole load",
        "rows/s",
        BATCH / statistics.median(own),
        BATCH / statistics.median(rival),
        goal=0.4,
    )
    pair.rival.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    yield cost(
        "bytes on disk (ours: row, index, signed log, column blocks)",
        "B/row",
        _size(pair.directory / "own") / pair.next_id,
        (pair.directory / "rival.db").stat().st_size / pair.next_id,
        goal=None,
    )


def compaction(pair: Pair) -> Iterator[Result]:
    """Yield how fast column blocks are made; otherwise that happens in quiet moments."""
    session = pair.own._session
    (known,) = session.datasets()
    start = time.perf_counter()
    session.state.replica.blocks.compact(known.manifest.dataset)
    passed = time.perf_counter() - start
    name = "compaction of what was loaded into column blocks"
    yield Result(name=name, value=round(pair.next_id / passed), unit="rows/s")


def _size(directory: Path) -> int:
    return sum(file.stat().st_blocks * 512 for file in directory.rglob("*") if file.is_file())


def reads(pair: Pair) -> Iterator[Result]:
    """Yield point reads and ranges."""
    count = 2_000
    own, rival = pair.medians(lambda: _points(pair.keys(count)))
    yield rate(
        "point read by key, cached statement", "reads/s", count / own, count / rival, goal=0.7
    )
    # Several in each round: one takes less than the scheduler may take away from either side.
    name = "1 % index range" if pair.indexed else "1 % index range (index made by engine call)"
    size = pair.plan.rows // 100

    total = size * RANGES

    def ranges() -> Callable[[Any], list[Any]]:
        lows = [pair.random.random() * 9_900 for _ in range(RANGES)]
        return _sorted_queries(RANGE, [(low, low + 100) for low in lows])

    own, rival = pair.medians(ranges)
    yield rate(name, "rows/s", total / own, total / rival, goal=0.8)
    key_range = "SELECT * FROM t WHERE id >= ? AND id < ?"

    def by_key() -> Callable[[Any], list[Any]]:
        lows = [pair.random.randrange(pair.plan.rows - size) for _ in range(RANGES)]
        return _queries(key_range, [(low, low + size) for low in lows])

    own, rival = pair.medians(by_key)
    yield rate("1 % range of the primary key", "rows/s", total / own, total / rival, goal=None)


def writes(pair: Pair) -> Iterator[Result]:
    """Yield durable single inserts and batched changes by key in random order."""
    count = 100 if pair.plan.processes else 20
    own, rival = pair.medians(lambda: _singles(pair.rows(count)))
    yield rate("single-row durable INSERT", "rows/s", count / own, count / rival, goal=0.4)
    size, groups = BATCH, range(pair.plan.batches)
    own, rival = pair.medians(lambda: _many(INSERT, [pair.rows(size) for _ in groups]))
    total = size * len(groups)
    name = f"executemany INSERT, {BATCH} a batch"
    yield rate(name, "rows/s", total / own, total / rival, goal=0.4)

    def updates() -> Callable[[Any], int]:
        money, score = pair.random.randrange(10**12), pair.random.random() * 1e4
        drawn = [pair.keys(size) for _ in groups]
        return _many(UPDATE, [[(money, score, key) for key in keys] for keys in drawn])

    own, rival = pair.medians(updates)
    name = f"UPDATE by random key, {BATCH} a batch"
    yield rate(name, "rows/s", total / own, total / rival, goal=0.4)
    doomed = list(range(pair.plan.rows // 2, pair.plan.rows))
    pair.random.shuffle(doomed)
    per_round = min(total, len(doomed) // pair.plan.rounds // size * size) or len(doomed) // 8

    def deletes() -> Callable[[Any], int]:
        drawn = [doomed.pop() for _ in range(per_round)]
        parts = [drawn[at : at + size] for at in range(0, per_round, size)]
        return _many(DELETE, [[(key,) for key in part] for part in parts])

    own, rival = pair.medians(deletes)
    name = f"DELETE by random key, {BATCH} a batch"
    yield rate(name, "rows/s", per_round / own, per_round / rival, goal=0.4)


def scans(pair: Pair) -> Iterator[Result]:
    """Yield what looks at every row."""
    rows = pair.plan.rows
    own, rival = pair.medians(
        lambda: _sorted_queries(FILTER, [(f"city {pair.random.randrange(100)}",)])
    )
    name = "1 % filter on an unindexed column"
    yield rate(name, "rows/s", rows / own, rows / rival, goal=3)
    yield _relational(pair, "GROUP BY with sum and count", GROUP, 20)
    yield _relational(pair, "join of two datasets + GROUP BY", JOIN, 15)


def _relational(pair: Pair, name: str, statement: str, goal: float) -> Result:
    try:
        _regions(pair)
        pair.own.execute(statement).fetchall()
    except MfdbError as error:
        pair.own.rollback()
        return skipped(name, "rows/s", f"not answered yet: {error.message}", goal=goal)
    own, rival = pair.medians(lambda: _rounded_queries(statement))
    return rate(name, "rows/s", pair.plan.rows / own, pair.plan.rows / rival, goal=goal)


def _rounded_queries(statement: str) -> Callable[[Any], list[Any]]:
    """Sums are Decimal here and int there."""
    plain = _queries(statement, [()])
    return lambda side: [tuple(x if isinstance(x, str) else int(x) for x in r) for r in plain(side)]


def _regions(pair: Pair) -> None:
    if pair.rival.execute("SELECT 1 FROM sqlite_master WHERE name = 'g'").fetchone():
        return
    rows = [(f"city {at}", f"region {at % 7}") for at in range(100)]
    for side, kind in ((pair.own, "DATASET"), (pair.rival, "TABLE")):
        side.execute(f"CREATE {kind} g (city TEXT PRIMARY KEY, region TEXT)")
        side.cursor().executemany("INSERT INTO g VALUES (?, ?)", rows)
        side.commit()


# ---- whole processes


def _compiled(directory: Path) -> dict[str, str]:
    """Return an environment in which both sides load compiled modules, as an installation has them.

    A checkout has none, nor does anybody whose PYTHONDONTWRITEBYTECODE is set: there each process
    compiles all of its sources, which measures the compiler.
    """
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPYCACHEPREFIX": str(directory / "compiled")}


_OPEN = "import sys, mfdb\nc = mfdb.connect(sys.argv[1])\nassert c.execute(sys.argv[2]).fetchone()"


def processes(directory: Path, plan: Plan) -> Iterator[Result]:
    """Yield what opening and starting cost."""
    big_rows = max(plan.rows, 1_000_000) if plan.rows >= 400_000 else plan.rows
    small, big = directory / "small", directory / "big"
    for path, rows in ((small, 1_000), (big, big_rows)):
        _fill(path, rows)
    first, environment = "SELECT * FROM t LIMIT 1", _compiled(directory)

    def timed(*arguments: str) -> float:
        return _run([sys.executable, *arguments], environment)

    def opening(path: Path) -> float:
        return timed("-c", _OPEN, str(path), first)

    opening(small)  # compiles
    pairs = [(opening(big), opening(small)) for _ in range(max(5, plan.rounds))]
    yield cost(
        f"opening a store of {big_rows:,} rows to first row, against 1,000 rows",
        "ms",
        *_milliseconds(pairs),
        goal=1.5,
    )
    one = ("-m", "shell", "--data", str(small), "-c", "SELECT 1")
    rival = ("-c", START_RIVAL)
    pairs = [(timed(*one), timed(*rival)) for _ in range(1 + max(7, plan.rounds))][1:]
    name = "mfdb -c 'SELECT 1', against a Python that imports its parts"
    yield cost(name, "ms", *_milliseconds(pairs), goal=1.6)


def _milliseconds(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    own, rival = zip(*pairs, strict=True)
    return statistics.median(own) * 1e3, statistics.median(rival) * 1e3


def _run(command: list[str], environment: dict[str, str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=120, env=environment)
    return time.perf_counter() - start


def _fill(path: Path, count: int) -> None:
    with closing(mfdb.connect(path)) as connection:
        connection.execute(CREATE.format(kind="DATASET"))
        for at in range(0, count, 10_000):
            rows = [
                (key, "city", 0.5, "name", 1, key, True, "note")
                for key in range(at, min(at + 10_000, count))
            ]
            connection.cursor().executemany(INSERT, rows)
            connection.commit()


def run(plan: Plan) -> Iterator[Result]:
    """Yield all results."""
    with tempfile.TemporaryDirectory(prefix="mfdb-bench-") as name:
        pair = Pair(Path(name), plan)
        try:
            for figures in (load, compaction, reads, scans, writes):
                yield from figures(pair)
        finally:
            pair.close()
        yield peak_memory(plan.rows)
        if plan.processes:
            yield from processes(Path(name), plan)


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(prog="python -m bench.embedded", description=__doc__)
    add_options(parser)
    parser.add_argument("--rows", type=int, default=400_000, help="rows in each database")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of which the median counts")
    parser.add_argument("--quick", action="store_true", help="20,000 rows, in-process figures only")
    given = parser.parse_args()
    rows = max(8 * BATCH, 20_000 if given.quick else given.rows) // BATCH * BATCH
    plan = Plan(
        rows=rows, rounds=max(3 if given.quick else 5, given.rounds), processes=not given.quick
    )
    finish("embedded", list(run(plan)), given)


if __name__ == "__main__":
    main()
