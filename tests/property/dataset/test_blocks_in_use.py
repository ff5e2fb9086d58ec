"""Blocks at work: who may read them, what they survive, when they are made, what EXPLAIN says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import msgspec
import pytest

import mfdb
from mfdb.dataset.blocks import building, keeper
from mfdb.dataset.blocks.records import column_key
from mfdb.dataset.blocks.tail import drop_blocks, drop_misfits
from mfdb.dataset.keyring import Keyring
from mfdb.dataset.reading import CatalogueCache, Reading
from mfdb.kernel.errors import CorruptRecord
from tests.fixtures.datasets import keys_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mfdb.dataset.catalogue import Known
    from mfdb.dataset.replica import Replica

KILLED = """
import sys, mfdb
from mfdb.dataset.blocks import building
building.BLOCK_ROWS, building.LEAST_ROWS = 64, 16
connection = mfdb.connect(sys.argv[1])
(known,) = connection._session.datasets()
replica = connection._session.state.replica
print("ready", flush=True)
while True:
    connection.execute("UPDATE t SET v = v + 1 WHERE k % 7 = 0")
    connection.commit()
    replica.blocks.compact(known.manifest.dataset)
    print("step", flush=True)
"""


@pytest.fixture(autouse=True)
def _small_blocks() -> Iterator[None]:
    with (
        patch.object(building, "BLOCK_ROWS", 64),
        patch.object(building, "LEAST_ROWS", 16),
        patch.object(keeper, "COLD_ROWS", 128),
    ):
        yield


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Any]:
    with closing(mfdb.connect(tmp_path / "data")) as opened:
        opened.execute("CREATE DATASET t (k INTEGER PRIMARY KEY, v BIGINT, w TEXT)")
        fill(opened, 0, 300)
        settle(opened)
        yield opened


def fill(connection: Any, start: int, stop: int) -> None:
    rows = [(key, key * 10, f"w{key % 5}") for key in range(start, stop)]
    connection.cursor().executemany("INSERT INTO t VALUES (?, ?, ?)", rows)
    connection.commit()


def settle(connection: Any) -> None:
    """Return when the background work has ended."""
    connection._home.compaction.settle()
    assert connection._home.compaction.failure is None


def parts(connection: Any) -> tuple[Replica, Known]:
    (known,) = connection._session.datasets()
    return connection._session.state.replica, known


def in_blocks(connection: Any) -> int:
    replica, known = parts(connection)
    with replica.reading() as reading:
        scan = reading.columns(known)
        return 0 if scan is None else scan.rows


def test_rows_that_were_written_get_blocks_by_themselves(connection: Any) -> None:
    assert in_blocks(connection) == 256
    fill(connection, 300, 500)
    settle(connection)
    assert in_blocks(connection) == 448


def test_a_scan_of_rows_without_blocks_asks_for_them(connection: Any, tmp_path: Path) -> None:
    replica, known = parts(connection)
    with replica._writing() as working:
        drop_blocks(working, known.manifest.dataset)
    assert in_blocks(connection) == 0
    connection.execute("SET route = row")
    assert connection.execute("SELECT sum(v) FROM t").fetchone() == (sum(range(300)) * 10,)
    settle(connection)
    assert in_blocks(connection) == 256


def test_a_snapshot_keeps_the_blocks_it_saw(connection: Any) -> None:
    replica, known = parts(connection)
    with replica.reading() as before:
        scan = before.columns(known)
        assert scan is not None
        connection.execute("DELETE FROM t WHERE k < 200")
        connection.commit()
        replica.blocks.compact(known.manifest.dataset)
        held = [value for block in scan.blocks for value in scan.column(block, 0).values()]
        assert held + [row.values[0] for row in scan.fresh()] == list(range(300))
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (100,)


def test_what_is_written_while_a_block_is_made_is_not_lost(connection: Any) -> None:
    replica, known = parts(connection)
    connection.execute("UPDATE t SET w = 'old' WHERE k < 60")
    connection.commit()
    real = building.build

    def build(source: Any, manifest: Any, job: Any) -> Any:
        made = real(source, manifest, job)
        connection.execute("UPDATE t SET w = 'new' WHERE k = 5")
        connection.execute("DELETE FROM t WHERE k = 6")
        connection.commit()
        return made

    with patch.object(building, "build", build):
        assert replica.blocks.step(known.manifest.dataset, thorough=True)
    for route in ("row", "relational"):
        connection.execute(f"SET route = {route}")
        found = connection.execute("SELECT k, w FROM t WHERE k < 8 AND w <> ''").fetchall()
        assert sorted(found) == [(k, "new" if k == 5 else "old") for k in range(8) if k != 6]
    assert replica.check().problems == []


def test_an_open_batch_sees_its_own_rows(connection: Any) -> None:
    connection.execute("UPDATE t SET w = 'mine' WHERE k = 3")
    connection.execute("INSERT INTO t VALUES (1000, 0, 'mine')")
    connection.execute("DELETE FROM t WHERE k = 4")
    for route in ("row", "relational", "auto"):
        connection.execute(f"SET route = {route}")
        found = connection.execute("SELECT k FROM t WHERE w = 'mine'").fetchall()
        assert sorted(found) == [(3,), (1000,)]
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (300,)
    connection.rollback()
    connection.execute("SET route = auto")
    assert connection.execute("SELECT k FROM t WHERE w = 'mine'").fetchall() == []


def test_damage_is_found_and_healed(connection: Any) -> None:
    replica, known = parts(connection)
    with replica._writing() as working:
        working.put(column_key(known.manifest.dataset, 0, 1), b"\0\0\0\0damaged")
    with pytest.raises(CorruptRecord):
        connection.execute("SELECT k FROM t WHERE v >= 0").fetchall()
    (problem,) = replica.check().problems
    assert "block 0" in problem
    connection._session.state.replica.vacuum()
    assert replica.check().problems == []
    assert len(connection.execute("SELECT k FROM t WHERE v >= 0").fetchall()) == 300


def test_wrong_values_in_a_block_are_found(connection: Any) -> None:
    replica, known = parts(connection)
    with replica._writing() as working:
        other = working.get(column_key(known.manifest.dataset, 1, 1))
        assert other is not None
        working.put(column_key(known.manifest.dataset, 0, 1), other)
    assert any("other values" in problem for problem in replica.check().problems)


def test_blocks_go_with_their_dataset(connection: Any) -> None:
    replica, known = parts(connection)
    connection.execute("DROP DATASET t")
    with replica._store.snapshot() as snapshot:
        for table in (b"a", b"b", b"e", b"y"):
            assert list(snapshot.scan(table + known.manifest.dataset)) == []


def test_columns_that_change_take_their_blocks_with_them(connection: Any) -> None:
    replica, known = parts(connection)
    before = known.manifest
    column = msgspec.structs.replace(before.columns[1], type="TEXT")
    changed = msgspec.structs.replace(before, columns=(before.columns[0], column))
    with replica._writing() as working:
        drop_misfits(working, before)
        assert next(working.scan(b"b" + before.dataset), None) is not None
        drop_misfits(working, changed)
    assert in_blocks(connection) == 0
    replica.blocks.compact(before.dataset)
    assert in_blocks(connection) == 300
    assert replica.check().problems == []


def test_who_may_not_see_every_row_reads_no_block(connection: Any) -> None:
    replica, known = parts(connection)
    with replica.reading() as mine, replica._store.snapshot() as snapshot:
        assert mine.columns(known) is not None
        theirs = Reading(
            snapshot,
            Keyring(keys_of("alice")),
            recent={},
            cache=CatalogueCache(),
            blocks=replica.blocks,
            state=None,
        )
        assert theirs.columns(known) is None
        connection.execute("GRANT SELECT ON t TO PUBLIC")
    (known,) = connection._session.datasets()
    with replica._store.snapshot() as snapshot:
        theirs = Reading(
            snapshot,
            Keyring(keys_of("alice")),
            recent={},
            cache=CatalogueCache(),
            blocks=replica.blocks,
            state=None,
        )
        assert theirs.columns(known) is not None


def test_explain_names_the_blocks(connection: Any) -> None:
    lines = [line for (line,) in connection.execute("EXPLAIN SELECT k FROM t WHERE w = 'a'")]
    assert "blocks: 256 rows by column" in " | ".join(lines)


def test_rebuilding_makes_no_use_of_old_blocks(connection: Any) -> None:
    replica, known = parts(connection)
    replica.rebuild(known.manifest.dataset)
    assert in_blocks(connection) == 0
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (300,)


@pytest.mark.parametrize("steps", [1, 3])
def test_a_kill_while_blocks_are_made_loses_nothing(connection: Any, steps: int) -> None:
    directory = connection._home.directory.parents[1]
    connection.close()
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(directory)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(mfdb.__file__).parents[1])},
    )
    assert process.stdout is not None
    with process, process.stdout as told:
        for _ in range(steps + 1):
            assert told.readline()
        process.send_signal(signal.SIGKILL)
    with closing(mfdb.connect(directory)) as again:
        found: list[Any] = again.execute("SELECT k, v FROM t WHERE v >= 0").fetchall()
        rounds = dict(found)[7] - 70
        assert rounds >= steps
        assert sorted(found) == [(k, k * 10 + (rounds if k % 7 == 0 else 0)) for k in range(300)]
        assert again._session.state.replica.check().problems == []
