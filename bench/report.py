"""What every benchmark prints: one JSON object, or a table of the same results.

    {"bench": name, "results": [{"name", "value", "unit", "rival", "ratio", "goal", "ok"}]}

A missed goal is no failure of the program: it says so in the report, and only `--check` turns it
into exit code 1.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


_FIELDS = ("name", "value", "unit", "rival", "ratio", "goal", "ok")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One figure: `rival` is the same work by the yardstick.

    `goal` is a bound on `ratio`, or on the value itself (`bounded`). `ok` is None for what could
    not be measured; `note` says why, or what limits the figure.
    """

    name: str
    value: float | None
    unit: str
    rival: float | None = None
    ratio: float | None = None
    goal: float | None = None
    ok: bool | None = None
    note: str = ""


def rate(name: str, unit: str, own: float, rival: float, *, goal: float | None) -> Result:
    """Return a figure of which more is better, beside its rival's."""
    ratio = own / rival
    met = None if goal is None else ratio >= goal
    return Result(
        name=name,
        value=_rounded(own),
        unit=unit,
        rival=_rounded(rival),
        ratio=round(ratio, 3),
        goal=goal,
        ok=met,
    )


def cost(name: str, unit: str, own: float, rival: float, *, goal: float | None) -> Result:
    """Return a figure of which less is better, beside its rival's."""
    ratio = own / rival
    met = None if goal is None else ratio <= goal
    return Result(
        name=name,
        value=_rounded(own),
        unit=unit,
        rival=_rounded(rival),
        ratio=round(ratio, 3),
        goal=goal,
        ok=met,
    )


def bounded(
    name: str,
    unit: str,
    value: float,
    limit: float,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    note: str = "",
) -> Result:
    """Return a figure whose goal is on the value itself, beside what the machine allows."""
    met = (at_least is None or value >= at_least) and (at_most is None or value <= at_most)
    return Result(
        name=name,
        value=_rounded(value),
        unit=unit,
        rival=_rounded(limit),
        ratio=round(value / limit, 3),
        goal=at_most if at_least is None else at_least,
        ok=met,
        note=note,
    )


def skipped(name: str, unit: str, why: str, *, goal: float | None = None) -> Result:
    """Return the row of something that could not be measured."""
    return Result(name=name, value=None, unit=unit, goal=goal, note=why)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Let a benchmark say what all of them understand."""
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--check", action="store_true", help="exit 1 if a goal was missed")


def finish(bench: str, results: Sequence[Result], given: argparse.Namespace) -> None:
    """Print the results as the options of `add_options` want them.

    Raises:
        SystemExit: a goal was missed, or could not be measured, and `--check` asks.
    """
    show(bench, results, as_json=given.json)
    if given.check and any(one.goal is not None and not one.ok for one in results):
        raise SystemExit(1)


def show(bench: str, results: Sequence[Result], *, as_json: bool) -> None:
    """Print the results."""
    if as_json:
        listed = [{name: getattr(result, name) for name in _FIELDS} for result in results]
        print(json.dumps({"bench": bench, "results": listed}))
        return
    head = ("", "value", "unit", "rival", "ratio", "goal", "")
    rows = [head, *(_cells(result) for result in results)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(head))]
    for row in rows:
        left, *numbers = row
        cells = [left.ljust(widths[0])]
        cells += [text.rjust(width) for text, width in zip(numbers, widths[1:], strict=True)]
        print("  ".join(cells).rstrip())
    for result in results:
        if result.note:
            print(f"{result.name}: {result.note}")


def _cells(result: Result) -> tuple[str, ...]:
    said = {True: "ok", False: "MISSED", None: "" if result.value is not None else "skipped"}
    figures = (result.value, result.rival, result.ratio, result.goal)
    value, rival, ratio, goal = ("" if one is None else f"{one:,g}" for one in figures)
    return result.name, value, result.unit, rival, ratio, goal, said[result.ok]


def _rounded(number: float) -> float:
    return float(f"{number:.6g}")
