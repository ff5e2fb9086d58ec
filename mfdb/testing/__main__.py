"""`python -m mfdb.testing`: run simulations by seed, or one again.

python -m mfdb.testing --seeds 2000 --regressions tests/sim/regressions.txt   (every night)
python -m mfdb.testing --seeds 1 --first 17 --trace 100
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import signal
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mfdb.testing.simulator import Options, run_seed
from mfdb.testing.simulator_plants import PLANTS

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from mfdb.testing.simulator import Report

INTERRUPTED = 130
"""The exit code after Ctrl-C, as shells have it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the seeds asked for; return 0 only if every checker held in all of them.

    Ctrl-C ends the run after the seeds that run just then; what is known by then is told, with the
    seed to go on from, and 130 returned.
    """
    asked = _parser().parse_args(arguments)
    options = Options(steps=asked.steps, plant=asked.plant, wide=asked.wide)
    reports: list[Report] = []
    is_over = False
    with contextlib.suppress(KeyboardInterrupt):
        with contextlib.closing(_reports(asked, options)) as running:
            for report in running:
                reports.append(report)
                _tell(report, len(reports), asked, options)
        is_over = True
    _conclude(reports, asked, options, is_over=is_over)
    if not is_over:
        return INTERRUPTED
    return 0 if all(report.failure is None for report in reports) else 1


def _conclude(
    reports: Sequence[Report], asked: argparse.Namespace, options: Options, *, is_over: bool
) -> None:
    """Tell how it went: how many seeds held, and how to run those again that did not."""
    if asked.json:
        sys.stdout.write(json.dumps(_summary(reports, options, is_over=is_over)) + "\n")
        return
    failed = [report for report in reports if report.failure is not None]
    sys.stdout.write(f"{len(reports) - len(failed)} of {len(reports)} seeds held\n")
    sys.stdout.writelines(f"failed: {replay(report, options)}\n" for report in failed)
    if not is_over:
        rest, first = asked.seeds - len(reports), asked.first + len(reports)
        sys.stdout.write(f"stopped; go on with --seeds {rest} --first {first}\n")


def _tell(report: Report, count: int, asked: argparse.Namespace, options: Options) -> None:
    """Tell of a seed as soon as it has run, and note it if it failed."""
    if not asked.json:
        sys.stdout.write(f"[{count}/{asked.seeds}] {_shown(report, options, asked.trace)}")
        sys.stdout.flush()
    if report.failure is not None and asked.regressions is not None:
        _note(asked.regressions, report.seed, options)


def _reports(asked: argparse.Namespace, options: Options) -> Generator[Report, None, None]:
    """Yield the reports in the order of their seeds, as soon as each is known."""
    seeds = range(asked.first, asked.first + asked.seeds)
    jobs = min(asked.jobs, len(seeds))
    if jobs <= 1:
        yield from (run_seed(seed, options) for seed in seeds)
        return
    context = multiprocessing.get_context("spawn")
    # A terminal sends Ctrl-C to all processes; it is for the one that tells the results.
    deaf: dict[str, Any] = {
        "initializer": signal.signal,
        "initargs": (signal.SIGINT, signal.SIG_IGN),
    }
    with ProcessPoolExecutor(jobs, mp_context=context, **deaf) as pool:
        try:
            yield from pool.map(partial(run_seed, options=options), seeds)
        finally:
            pool.shutdown(cancel_futures=True)


def _note(regressions: Path, seed: int, options: Options) -> None:
    """Let a seed that failed be run with every test from now on."""
    steps = "" if options.steps == Options().steps else f" {options.steps}"
    wide = " wide" if options.wide else ""
    with regressions.open("a", encoding="utf-8") as file:
        file.write(f"{seed}{steps}{wide}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m mfdb.testing", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="how many seeds")
    parser.add_argument("--first", type=int, default=0, metavar="S", help="the first seed")
    parser.add_argument("--steps", type=int, default=Options().steps, help="length of a schedule")
    parser.add_argument("--wide", action="store_true",
                        help="let people's disks, rules or places change in all seeds")  # fmt: skip
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N",
                        help="how many processes (default: one for each core)")  # fmt: skip
    parser.add_argument("--regressions", type=Path, metavar="FILE",
                        help="append every seed that fails")  # fmt: skip
    parser.add_argument("--trace", type=int, default=40, metavar="N",
                        help="how many lines of the trace a failure shows")  # fmt: skip
    parser.add_argument("--plant", choices=sorted(PLANTS), help="plant this bug in the nodes")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def replay(report: Report, options: Options) -> str:
    """Return the command that runs a seed again."""
    command = f"python -m mfdb.testing --seeds 1 --first {report.seed}"
    if options.steps != Options().steps:
        command += f" --steps {options.steps}"
    command += " --wide" if options.wide else ""
    return command + (f" --plant {options.plant}" if options.plant else "")


def _shown(report: Report, options: Options, lines: int) -> str:
    if report.failure is None:
        return (
            f"seed {report.seed}: held, {report.writes} writes, {report.virtual_s:.0f} s, "
            f"{report.digest[:16]}\n"
        )
    trace = "".join(f"  {line}\n" for line in report.lines[len(report.lines) - lines :])
    return (
        f"seed {report.seed}: FAILED: {report.failure}\n{trace}replay: {replay(report, options)}\n"
    )


def _summary(reports: Sequence[Report], options: Options, *, is_over: bool) -> dict[str, object]:
    return {
        "ok": is_over and all(report.failure is None for report in reports),
        "interrupted": not is_over,
        "seeds": [
            {
                "seed": report.seed,
                "failure": report.failure,
                "digest": report.digest,
                "writes": report.writes,
                "virtual_s": round(report.virtual_s, 3),
                "replay": replay(report, options),
            }
            for report in reports
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
