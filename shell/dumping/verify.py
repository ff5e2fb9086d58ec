"""`mfdb verify FILE...`: every signature, hash and count of a dump, or of a chain of dumps."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mfdb.client.dumps import verify
from mfdb.kernel.ids import show
from shell import exit_codes
from shell.dumping.told import progressing, told_size, write_json
from shell.values import safe

if TYPE_CHECKING:
    import argparse

    from mfdb.dataset.dump.judging import DumpReport, FileReport
    from mfdb.dataset.dump.judging_dataset import DatasetReport


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "files", type=Path, nargs="+", metavar="FILE", help="a full dump and those --since it"
    )


def run(args: argparse.Namespace) -> int:
    """Verify and return the exit code: 1 if anything is wrong.

    Raises:
        MfdbError: a file is no whole dump, or they are no chain.
    """
    with progressing(args) as tell:
        report = verify(args.files, tell)
    if args.json:
        write_json(_as_json(report))
    else:
        sys.stdout.write(_as_text(report))
    return exit_codes.OK if report.is_good else exit_codes.FAILED


def _as_json(report: DumpReport) -> dict[str, object]:
    return {
        "good": report.is_good,
        "identity": None if report.identity is None else show(report.identity),
        "files": [
            {
                "file": one.name,
                "dump": "0x" + one.id.hex(),
                "number": one.number,
                "taken": _when(one),
                "bytes": one.length_bytes,
            }
            for one in report.files
        ],
        "datasets": [_dataset_json(one) for one in report.datasets],
        "dropped": report.dropped,
        "wrong": report.wrong,
        "problems": report.problems,
    }


def _dataset_json(one: DatasetReport) -> dict[str, object]:
    return {
        "name": one.name,
        "dataset": "0x" + one.dataset.hex(),
        "owner": "0x" + one.owner.hex(),
        "kind": one.kind,
        "local": one.local,
        "manifests": one.manifests,
        "changesets": one.changesets,
        "operations": one.operations,
        "receipts": one.receipts,
        "segments": one.segments,
        "unsent": one.unsent,
        "notes": one.notes,
    }


def _as_text(report: DumpReport) -> str:
    lines = [
        f"{safe(one.name)}: dump {one.number} of 0x{(report.identity or b'').hex()}, taken "
        f"{_when(one)}, {told_size(one.length_bytes)}"
        for one in report.files
    ]
    for one in report.datasets:
        evidence = f", {one.receipts} receipts, {one.segments} segments" if not one.local else ""
        lines.append(
            f"  {one.kind} {safe(one.name)}: {one.manifests} manifests, {one.changesets} "
            f"changesets, {one.operations} operations{evidence}"
        )
        lines += [f"    note: {note}" for note in one.notes]
    lines += [f"wrong: {safe(problem)}" for problem in report.problems]
    lines.append("good: everything verifies" if report.is_good else f"{report.wrong} are wrong")
    return "\n".join(lines) + "\n"


def _when(one: FileReport) -> str:
    return datetime.fromtimestamp(one.time_s, UTC).strftime("%Y-%m-%d %H:%M:%S+00")
