"""Blocks change nothing that can be asked: whatever comes in which order, both routes agree."""

from __future__ import annotations

import math
import tempfile
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mfdb
from mfdb.dataset.blocks import building

CREATE = (
    "CREATE DATASET t (k INTEGER PRIMARY KEY, v TEXT, x DOUBLE PRECISION, d DECIMAL(6, 2), "
    "n BIGINT, b BYTEA)"
)
QUESTIONS = (
    "SELECT k, v, x, d, n, b FROM t",
    "SELECT k FROM t WHERE v = 'a'",
    "SELECT k, d FROM t WHERE x > 0 AND v <> 'b'",
    "SELECT k FROM t WHERE n IS NULL",
    "SELECT k FROM t WHERE x >= 'NaN' OR k = 3",
    "SELECT count(*), sum(n), min(v), max(d) FROM t",
    "SELECT count(*) FROM t WHERE k >= 0 AND n IN (1, 2)",
)
GROUPED = "SELECT v, count(*), sum(n), sum(d), max(x) FROM t GROUP BY v"

texts = st.sampled_from(["a", "b", "c", "", "ä\N{GRINNING FACE}", None])
rows = st.tuples(
    texts,
    st.sampled_from([0.0, -0.0, 1.5, -2.0, math.inf, math.nan, None]),
    st.sampled_from([Decimal("1.50"), Decimal("-20.00"), Decimal("0.01"), None]),
    st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.integers(0, 3)),
    st.sampled_from([b"", b"\x00", b"a", None]),
)
keys = st.integers(0, 40)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("insert"), keys, rows),
        st.tuples(st.just("update"), keys, rows),
        st.tuples(st.just("delete"), keys),
        st.tuples(st.just("fill"), keys, rows),
        st.tuples(
            st.sampled_from(["compact", "step", "vacuum", "reopen", "commit", "ask", "rebuild"])
        ),
    ),
    min_size=5,
    max_size=40,
)


class Story:
    """A dataset, and the dictionary that it must be equal to."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.connection = mfdb.connect(directory)
        self.connection.execute(CREATE)
        self.expected: dict[int, tuple[Any, ...]] = {}

    @property
    def replica(self) -> Any:
        return self.connection._session.state.replica

    def play(self, step: tuple[Any, ...]) -> None:
        match step:
            case ("insert", key, row) if key not in self.expected:
                self.connection.execute("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?)", (key, *row))
                self.expected[key] = row
            case ("update", key, row) if key in self.expected:
                self.connection.execute(
                    "UPDATE t SET v = ?, x = ?, d = ?, n = ?, b = ? WHERE k = ?", (*row, key)
                )
                self.expected[key] = row
            case ("delete", key) if key in self.expected:
                self.connection.execute("DELETE FROM t WHERE k = ?", (key,))
                del self.expected[key]
            case ("fill", key, row):
                fresh = [at for at in range(key, key + 12) if at not in self.expected]
                self.connection.cursor().executemany(
                    "INSERT INTO t VALUES (?, ?, ?, ?, ?, ?)", [(at, *row) for at in fresh]
                )
                self.expected.update(dict.fromkeys(fresh, row))
            case ("ask",):
                self.ask()
            case (word,):
                self._keep_house(word)

    def _keep_house(self, word: str) -> None:
        self.connection.commit()
        (known,) = self.connection._session.datasets()
        match word:
            case "compact":
                self.replica.blocks.compact(known.manifest.dataset)
            case "step":
                self.replica.blocks.step(known.manifest.dataset)
            case "vacuum":
                self.replica.vacuum()
            case "rebuild":
                self.replica.rebuild(known.manifest.dataset)
            case "reopen":
                self.connection.close()
                self.connection = mfdb.connect(self.directory)

    def ask(self) -> None:
        found = {}
        for route in ("row", "relational"):
            self.connection.execute(f"SET route = {route}")
            found[route] = [answer(self.connection, question) for question in QUESTIONS]
        assert found["row"] == found["relational"]
        whole = {repr(_plain((key, *row))) for key, row in self.expected.items()}
        assert set(found["row"][0]) == whole
        self.connection.execute("SET route = auto")
        groups = {row[0] for row in self.expected.values()}
        assert len(answer(self.connection, GROUPED)) == len(groups)


def answer(connection: Any, question: str) -> list[str]:
    return sorted(repr(_plain(row)) for row in connection.execute(question).fetchall())


def _plain(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(0.0 if value == 0 and isinstance(value, float) else value for value in row)


@given(steps)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_blocks_change_no_answer(script: list[tuple[Any, ...]]) -> None:
    with (
        tempfile.TemporaryDirectory() as name,
        patch.object(building, "BLOCK_ROWS", 8),
        patch.object(building, "LEAST_ROWS", 3),
    ):
        story = Story(Path(name) / "data")
        for step in script:
            story.play(step)
        story.ask()
        story.connection.commit()
        (known,) = story.connection._session.datasets()
        story.replica.blocks.compact(known.manifest.dataset)
        story.ask()
        assert story.replica.check().problems == []
        with closing(story.connection):
            story.connection.commit()
