"""How long a text takes to become a statement: `python -m bench.parse`.

Per kind of statement, microseconds for a text seen before (exact text), for one that differs in its
literals only (fingerprint), and for one never seen (a whole parse). Beside them: the whole way of a
point read with a literal, with and without the fingerprint.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import TYPE_CHECKING

import mfdb
from bench.report import Result, add_options, finish
from mfdb.sql import parse as parsing
from mfdb.sql.fingerprint import Lifter

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 7
TEXTS = 300
CASES = {
    "point read": "SELECT a, b FROM t WHERE id = {n}",
    "insert of 4": "INSERT INTO t (id, a, b, c) VALUES ({n}, 'name {n}', {n}.25, '2026-01-31')",
    "update by key": "UPDATE t SET a = 'name {n}' WHERE id = {n}",
    "range and order": "SELECT id FROM t WHERE b BETWEEN {n} AND {n}.5 ORDER BY id DESC LIMIT 9",
}


def median_us(work: Callable[[list[str]], object], texts: Callable[[int], list[str]]) -> float:
    """Return the median microseconds a text, over rounds of texts that `texts` makes."""
    found = []
    for number in range(ROUNDS):
        given = texts(number)
        start = time.perf_counter()
        work(given)
        found.append((time.perf_counter() - start) / len(given) * 1e6)
    return statistics.median(found)


def _parsed(texts: list[str]) -> object:
    return [parsing.parse(text) for text in texts]


def cases() -> list[Result]:
    """Return three figures for each kind of statement; ratios are to a whole parse."""
    results = []
    for name, pattern in CASES.items():
        lifter = Lifter()
        lifter.lift(pattern.format(n=123))

        def fresh(number: int, pattern: str = pattern) -> list[str]:
            return [pattern.format(n=1_000 + number * TEXTS + at) for at in range(TEXTS)]

        def lift(texts: list[str], lifter: Lifter = lifter) -> object:
            return [lifter.lift(text) for text in texts]

        miss = median_us(lambda texts: [parsing._parse(text) for text in texts], fresh)
        same = [pattern.format(n=1)] * TEXTS
        hit = median_us(_parsed, lambda _, same=same: same)  # type: ignore[misc] # bound at once
        lifted = median_us(lift, fresh)
        for what, value in (("miss", miss), ("fingerprint hit", lifted), ("text hit", hit)):
            results.append(
                Result(
                    name=f"{name}, {what}",
                    value=round(value, 2),
                    unit="us",
                    rival=round(miss, 2),
                    ratio=round(value / miss, 4),
                )
            )
    return results


def whole() -> list[Result]:
    """Return the whole way of point reads with a literal, and without lifting it."""
    with mfdb.connect(":memory:", autocommit=True) as database:
        database.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)")
        rows = [(number, f"name {number}") for number in range(ROUNDS * TEXTS)]
        database.cursor().executemany("INSERT INTO t VALUES (?, ?)", rows)

        def fresh(number: int) -> list[str]:
            return [f"SELECT a FROM t WHERE id = {number * TEXTS + at}" for at in range(TEXTS)]

        def read(texts: list[str]) -> None:
            for text in texts:
                assert len(database.execute(text).fetchall()) == 1

        lifted = median_us(read, fresh)
        database._session._lifted = lambda _text, _params: None  # type: ignore[method-assign,assignment] # off
        plain = median_us(read, fresh)
    return [
        Result(
            name="point read with a literal, whole",
            value=round(lifted, 1),
            unit="us",
            rival=round(plain, 1),
            ratio=round(lifted / plain, 3),
            goal=0.5,
            ok=lifted / plain <= 0.5,
            note="rival: the same without lifting literals",
        )
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench.parse", description=__doc__)
    add_options(parser)
    finish("parse", [*cases(), *whole()], parser.parse_args())


if __name__ == "__main__":
    main()
