"""What was acknowledged stays: after SIGKILL, on a full disk, in a copy, beside another writer."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

import mfdb
from mfdb.kernel.errors import StoreFull, StoreLocked

BATCH = 50
LOADER = f"""
import sys, mfdb
connection = mfdb.connect(sys.argv[1])
first = connection.execute("SELECT count(*) FROM t").fetchone()[0]
cursor = connection.cursor()
for start in range(first, first + 100_000, {BATCH}):
    rows = [(key, "x" * 100) for key in range(start, start + {BATCH})]
    cursor.executemany("INSERT INTO t VALUES (?, ?)", rows)
    connection.commit()
    print(start + {BATCH}, flush=True)
"""
WRITER = """
import sys, mfdb
mfdb.connect(sys.argv[1])
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    with closing(mfdb.connect(tmp_path / "data")) as connection:
        connection.execute("CREATE DATASET t (id INTEGER PRIMARY KEY, body TEXT)")
    return tmp_path / "data"


def rows_in(directory: Path) -> list[tuple[object, ...]]:
    with closing(mfdb.connect(directory)) as connection:
        assert connection._session.state.replica.check().problems == []
        return connection.execute("SELECT id FROM t ORDER BY id").fetchall()


def kill_a_load(directory: Path, after: int, delay_s: float) -> int:
    """Kill a load at some moment after `after` acknowledgements; return what it acknowledged."""
    process = subprocess.Popen(
        [sys.executable, "-c", LOADER, str(directory)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(mfdb.__file__).parents[1])},
    )
    assert process.stdout is not None
    with process, process.stdout as told:
        for _ in range(after):
            assert told.readline(), "the load ended by itself"
        try:
            process.wait(delay_s)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        acknowledged = [line for line in told if line.endswith("\n")]
        process.wait(30)
    assert process.returncode == -signal.SIGKILL
    return int(acknowledged[-1]) if acknowledged else 0


def kill_often(directory: Path, times: int) -> None:
    chance = random.Random(11)
    for _ in range(times):
        before = len(rows_in(directory))
        delay_s = chance.random() * 0.05
        acknowledged = kill_a_load(directory, chance.randrange(1, 4), delay_s)
        keys = [key for (key,) in rows_in(directory)]
        assert keys == list(range(len(keys))), "a batch is there whole or not at all"
        assert len(keys) % BATCH == 0
        assert len(keys) >= max(acknowledged, before + BATCH)
        assert len(keys) <= max(acknowledged, before) + 4 * BATCH


def test_nothing_acknowledged_is_lost_when_a_load_is_killed(directory: Path) -> None:
    kill_often(directory, 5)


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_when_a_load_is_killed_fifty_times(directory: Path) -> None:
    kill_often(directory, 50)


def test_a_second_writer_is_refused_and_harms_nothing(directory: Path) -> None:
    with closing(mfdb.connect(directory)) as connection:
        connection.execute("INSERT INTO t VALUES (1, 'one')")
        with pytest.raises(StoreLocked):
            mfdb.connect(directory)
        second = subprocess.run(
            [sys.executable, "-c", WRITER, str(directory)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "PYTHONPATH": str(Path(mfdb.__file__).parents[1])},
        )
        assert second.returncode == 1
        assert "StoreLocked" in second.stderr
        connection.execute("INSERT INTO t VALUES (2, 'two')")
        connection.commit()
    assert rows_in(directory) == [(1,), (2,)]


def test_a_copy_made_while_the_store_is_open_is_whole(directory: Path, tmp_path: Path) -> None:
    with closing(mfdb.connect(directory)) as connection:
        for start in range(0, 500, 100):
            rows = [(key, "body") for key in range(start, start + 100)]
            connection.cursor().executemany("INSERT INTO t VALUES (?, ?)", rows)
            connection.commit()
        copy = tmp_path / "copy"
        shutil.copytree(directory, copy)
        connection.execute("INSERT INTO t VALUES (1000, 'later')")
        connection.commit()
    assert [key for (key,) in rows_in(copy)] == list(range(500))
    assert len(rows_in(directory)) == 501


def test_a_full_disk_refuses_a_write_and_keeps_the_rest(directory: Path) -> None:
    with closing(mfdb.connect(directory)) as connection:
        connection.execute("INSERT INTO t VALUES (1, 'kept')")
        connection.commit()
        (data,) = directory.rglob("replica/data.mdb")
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (data.stat().st_size + 2**16, before[1]))
            many = [(key, "x" * 2_000) for key in range(10, 2_000)]
            connection.cursor().executemany("INSERT INTO t VALUES (?, ?)", many)
            with pytest.raises(StoreFull):
                connection.commit()
            assert connection.execute("SELECT id FROM t").fetchall() == [(1,)]
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, ignored)
        connection.cursor().executemany("INSERT INTO t VALUES (?, ?)", many)
        connection.commit()
    assert len(rows_in(directory)) == 1 + len(many)
