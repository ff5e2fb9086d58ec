"""The most memory that one database needs for one piece of work, each in a process of its own.

`python -m bench.memory mfdb 100000` loads so many rows, batch by batch, reads some by key, a range
and an aggregate, and prints the peak of its resident memory in KiB; `sqlite3` does the same work.
"""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import mfdb
from bench.report import Result, cost

CREATE = "CREATE TABLE t (id INTEGER PRIMARY KEY, city TEXT, score DOUBLE PRECISION, note TEXT)"
BATCH = 1_000
SIDES = ("mfdb", "sqlite3")


def peak_memory(rows: int) -> Result:
    """Return what each database takes at most, in MiB."""
    own, rival = (_measured(side, rows) / 1024 for side in SIDES)
    name = f"peak memory of a process that loads and queries {rows:,} rows"
    return cost(name, "MiB", own, rival, goal=None)


def _measured(side: str, rows: int) -> int:
    command = [sys.executable, "-m", "bench.memory", side, str(rows)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=1200)
    return int(done.stdout)


def _open(side: str, directory: Path) -> Any:
    if side == "mfdb":
        return mfdb.connect(directory)
    connection = sqlite3.connect(directory / "rival.db")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def _work(connection: Any, rows: int) -> None:
    cursor = connection.cursor()
    cursor.execute(CREATE)
    for start in range(0, rows, BATCH):
        batch = [
            (key, f"city {key % 100}", key / 7, f"note {key}")
            for key in range(start, start + BATCH)
        ]
        cursor.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", batch)
        connection.commit()
    for key in range(0, rows, max(1, rows // 1_000)):
        cursor.execute("SELECT * FROM t WHERE id = ?", (key,)).fetchone()
    cursor.execute("SELECT * FROM t WHERE id >= 0 AND id < ?", (rows // 100,)).fetchall()
    cursor.execute("SELECT city, sum(score), count(*) FROM t GROUP BY city").fetchall()


def _peak_kib() -> int:
    """The kernel's high-water mark; `ru_maxrss` starts at what the parent had when it forked."""
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise SystemExit("bench.memory: needs the /proc of Linux")


def main() -> None:
    """Do the work of one side and print the peak in KiB."""
    side, rows = sys.argv[1], int(sys.argv[2])
    with tempfile.TemporaryDirectory(prefix="mfdb-bench-") as name:
        connection = _open(side, Path(name))
        _work(connection, rows)
        connection.close()
    print(_peak_kib())


if __name__ == "__main__":
    main()
