"""`python -m mfdb.testing`: run simulations by seed, or one again.

python -m mfdb.testing --seeds 50 --first 0
python -m mfdb.testing --seeds 1 --first 17 --trace 100
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from mfdb.testing.simulator import Options, Simulation
from mfdb.testing.simulator_plants import PLANTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfdb.testing.simulator import Report


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the seeds asked for; return 0 only if every checker held in all of them."""
    asked = _parser().parse_args(arguments)
    options = Options(steps=asked.steps, plant=asked.plant)
    reports = []
    for seed in range(asked.first, asked.first + asked.seeds):
        report = Simulation(seed, options).run()
        reports.append(report)
        if not asked.json:
            sys.stdout.write(_shown(report, options, asked.trace))
            sys.stdout.flush()
    failed = [report for report in reports if report.failure is not None]
    if asked.json:
        sys.stdout.write(json.dumps(_summary(reports, options)) + "\n")
    else:
        sys.stdout.write(f"{len(reports) - len(failed)} of {len(reports)} seeds held\n")
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m mfdb.testing", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="how many seeds")
    parser.add_argument("--first", type=int, default=0, metavar="S", help="the first seed")
    parser.add_argument("--steps", type=int, default=Options().steps, help="length of a schedule")
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
    return command + (f" --plant {options.plant}" if options.plant else "")


def _shown(report: Report, options: Options, lines: int) -> str:
    if report.failure is None:
        return (
            f"seed {report.seed}: held, {report.writes} writes, {report.virtual_s:.0f} s, "
            f"{report.digest[:16]}\n"
        )
    trace = "".join(f"  {line}\n" for line in report.lines[-lines:])
    return (
        f"{trace}seed {report.seed}: FAILED: {report.failure}\nreplay: {replay(report, options)}\n"
    )


def _summary(reports: Sequence[Report], options: Options) -> dict[str, object]:
    return {
        "ok": all(report.failure is None for report in reports),
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
