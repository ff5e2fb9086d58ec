"""Results as Arrow tables and data frames: every type arrives, and NULL stays NULL."""

from __future__ import annotations

import datetime
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import arro3.core as arrow
import pytest

import mfdb
from mfdb.client import frames

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOMENT = datetime.datetime(2024, 2, 29, 12, 30, 0, 5)
UUID = uuid.UUID(int=7)
ROW = (
    1, 2, 3, 0.5, 1.5, Decimal("12.50"), "text", True, b"\x00", datetime.date(1969, 12, 31),
    MOMENT, MOMENT.replace(tzinfo=datetime.UTC), '{"a": 1}', UUID,
)  # fmt: skip
TYPES = (
    "SMALLINT", "INTEGER", "BIGINT", "REAL", "DOUBLE PRECISION", "DECIMAL(10,2)", "TEXT",
    "BOOLEAN", "BYTEA", "DATE", "TIMESTAMP", "TIMESTAMPTZ", "JSON", "UUID",
)  # fmt: skip


@pytest.fixture
def db(tmp_path: Path) -> Iterator[mfdb.Connection]:
    with mfdb.connect(tmp_path) as connection:
        columns = ", ".join(f"c{place} {kind}" for place, kind in enumerate(TYPES))
        connection.execute(f"CREATE TABLE t (id INTEGER PRIMARY KEY, {columns})")
        marks = ", ".join("?" * (len(TYPES) + 1))
        connection.execute(f"INSERT INTO t VALUES ({marks})", [0, *ROW])
        connection.execute("INSERT INTO t (id) VALUES (1)")
        yield connection


def _columns(table: Any) -> list[list[Any]]:
    table = arrow.Table(table)
    return [table.column(place).combine_chunks().to_pylist() for place in range(table.num_columns)]


def test_every_type_becomes_arrow(db: mfdb.Connection) -> None:
    table = db.execute("SELECT * FROM t ORDER BY id").to_arrow()
    ids, *columns = _columns(table)
    assert ids == [0, 1]
    due = [*ROW[:-1], str(UUID)]
    for found, value in zip(columns, due, strict=True):
        assert found == [value, None]


def test_names_are_kept_apart_and_no_rows_are_no_trouble(db: mfdb.Connection) -> None:
    table = arrow.Table(
        db.execute("SELECT 1 AS a, 2 AS a, 'x' AS b FROM t WHERE id > 5").to_arrow()
    )
    assert table.column_names == ["a", "a_2", "b"]
    assert table.num_rows == 0


def test_only_what_is_left_is_turned(db: mfdb.Connection) -> None:
    cursor = db.execute("SELECT id FROM t ORDER BY id")
    cursor.fetchone()
    assert _columns(cursor.to_arrow()) == [[1]]
    assert cursor.fetchall() == []
    stream = db.cursor(stream=True).execute("SELECT id FROM t ORDER BY id")
    assert _columns(stream.to_arrow()) == [[0, 1]]


def test_decimals_stay_exact_at_any_size(db: mfdb.Connection) -> None:
    for text in ("1" * 38, "1" * 60 + ".5", "1" * 90, "0.000000000001"):
        (column,) = _columns(db.execute(f"SELECT CAST('{text}' AS DECIMAL)").to_arrow())
        assert Decimal(column[0]).compare_total(Decimal(text)) == 0


def test_what_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, db: mfdb.Connection
) -> None:
    monkeypatch.setattr(frames, "find_spec", lambda _name: None)
    for give in ("to_pandas", "to_polars"):
        with pytest.raises(mfdb.NotSupportedError) as caught:
            getattr(db.execute("SELECT 1"), give)()
        assert caught.value.hint == f"pip install 'mfdb[{give[3:]}]'"


def test_polars(db: mfdb.Connection) -> None:
    pytest.importorskip("polars")
    frame = db.execute("SELECT id, c5, c9 FROM t ORDER BY id").to_polars()
    assert frame.rows() == [(0, Decimal("12.50"), datetime.date(1969, 12, 31)), (1, None, None)]


def test_pandas(db: mfdb.Connection) -> None:
    pytest.importorskip("pandas")
    frame = db.execute("SELECT id, c6 FROM t ORDER BY id").to_pandas()
    assert frame["id"].tolist() == [0, 1]
    assert frame["c6"].tolist() == ["text", None]


def test_pyarrow(db: mfdb.Connection) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    assert isinstance(db.execute("SELECT id FROM t").to_arrow(), pyarrow.Table)
