"""How long completion takes a key: `python -m bench.completion [--json]`.

Every prefix of a few statements is completed over a catalogue of 200 datasets of ten columns each,
as somebody types them, letter by letter. The goal is 10 ms for the slowest key.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from statistics import median

from bench.report import Result, add_options, finish
from mfdb.sql import places
from shell.completion import Catalogue, Dataset, suggestions
from shell.completion.catalogue import built_in
from shell.completion.suggest import WORDS

GOAL_MS = 10.0
STATEMENTS = (
    "SELECT t7.column_3, upper(column_4) FROM dataset_7 t7 JOIN dataset_8 AS t8 ON t7.column_1 = "
    "t8.column_1 WHERE t8.column_2 IN (SELECT column_2 FROM dataset_9) ORDER BY 1;",
    "INSERT INTO dataset_12 (column_1, column_2, column_3) VALUES (1, 'a text', now());",
    "WITH recent (n, m) AS (SELECT column_1, column_2 FROM dataset_3) SELECT n FROM recent;",
    "UPDATE dataset_5 SET column_3 = column_4 + 1 WHERE column_1 = 7;",
    "CREATE TABLE fresh (id INTEGER PRIMARY KEY, body TEXT NOT NULL) WITH (replicas = 3);",
    "\\d dataset_1",
)
ROUNDS = 3


def catalogue() -> Catalogue:
    """Return a catalogue larger than most people have."""
    columns = {f"column_{number}": "INTEGER" for number in range(10)}
    datasets = {f"dataset_{number}": Dataset(columns=columns) for number in range(200)}
    return replace(built_in(), datasets=datasets)


def measured(text: str, names: Catalogue) -> list[float]:
    """Return how long each key of a statement took, in milliseconds: the best of a few rounds."""
    found = []
    for end in range(1, len(text) + 1):
        taken = []
        for _ in range(ROUNDS):
            started = time.perf_counter()
            suggestions(text[:end], names)
            taken.append(time.perf_counter() - started)
        found.append(min(taken) * 1000)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Completion, milliseconds a key.")
    add_options(parser)
    given = parser.parse_args()
    names = catalogue()
    suggestions("SELECT ", names)
    keys = [taken for text in STATEMENTS for taken in measured(text, names)]
    longest = "SELECT 1" + " + 1" * (WORDS // 2 - 2) + " + up"
    results = [
        _figure("median key", median(keys)),
        _figure("slowest key", max(keys)),
        _figure("first key of a word, slowest", max(first_keys(names))),
        _figure(f"key behind {WORDS} words", measured_at_end(longest, names)),
    ]
    finish("completion", results, given)


def first_keys(names: Catalogue) -> list[float]:
    """Return how long the keys take with which words begin: nothing is remembered of the place."""
    found = []
    for text in STATEMENTS:
        ends = [end for end in range(1, len(text)) if text[end - 1] == " "]
        for end in ends:
            taken = []
            for _ in range(ROUNDS):
                places.forget()
                started = time.perf_counter()
                suggestions(text[:end], names)
                taken.append(time.perf_counter() - started)
            found.append(min(taken) * 1000)
    return found


def measured_at_end(text: str, names: Catalogue) -> float:
    """Return how long the last key of a text takes, in milliseconds."""
    taken = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        suggestions(text, names)
        taken.append(time.perf_counter() - started)
    return min(taken) * 1000


def _figure(name: str, value_ms: float) -> Result:
    return Result(
        name=name, value=round(value_ms, 3), unit="ms", goal=GOAL_MS, ok=value_ms <= GOAL_MS
    )


if __name__ == "__main__":
    main()
