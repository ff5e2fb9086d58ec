"""The form in which benchmarks report."""

from __future__ import annotations

import argparse
import json

import pytest

from bench.report import Result, add_options, cost, finish, rate, skipped

FIGURES = [
    rate("reads", "rows/s", 90.0, 100.0, goal=0.7),
    cost("memory", "MiB", 30.0, 10.0, goal=None),
]
MISSED = rate("writes", "rows/s", 1.0, 100.0, goal=0.4)
UNMEASURED = skipped("joins", "rows/s", "no joins yet", goal=15)


def _finish(results: list[Result], *options: str) -> None:
    parser = argparse.ArgumentParser()
    add_options(parser)
    finish("any", results, parser.parse_args(options))


def test_json_is_one_object_of_these_fields(capsys: pytest.CaptureFixture[str]) -> None:
    _finish([*FIGURES, MISSED, UNMEASURED], "--json")
    found = json.loads(capsys.readouterr().out)
    assert found["bench"] == "any"
    assert [set(one) for one in found["results"]] == [
        {"name", "value", "unit", "rival", "ratio", "goal", "ok"}
    ] * 4
    assert [one["ok"] for one in found["results"]] == [True, None, False, None]


def test_the_table_says_what_was_missed_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    _finish([*FIGURES, MISSED, UNMEASURED])
    shown = capsys.readouterr().out
    assert "MISSED" in shown
    assert "joins: no joins yet" in shown


@pytest.mark.parametrize("figure", [MISSED, UNMEASURED])
def test_only_check_makes_a_missed_goal_a_failure(figure: Result) -> None:
    _finish([figure])
    with pytest.raises(SystemExit) as left:
        _finish([figure], "--check")
    assert left.value.code == 1
    _finish(FIGURES, "--check")
