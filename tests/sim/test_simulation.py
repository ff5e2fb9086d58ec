"""Production nodes under faults: every seed holds, a planted bug does not, and a seed is a run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mfdb.testing import __main__ as command
from mfdb.testing.simulator import Options, Simulation
from mfdb.testing.simulator_plants import PLANTS

HERE = Path(__file__).parent
SEEDS = 50
CHUNK = 10


def held(seed: int, options: Options) -> None:
    report = Simulation(seed, options).run()
    trace = "\n".join(report.lines[-40:])
    again = command.replay(report, options)
    assert report.failure is None, f"{trace}\n{report.failure}\nreplay: {again}"


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_every_checker_holds_in_every_seed(first: int) -> None:
    for seed in range(first, first + CHUNK):
        held(seed, Options())


def regressions() -> list[tuple[int, int]]:
    lines = (HERE / "regressions.txt").read_text("utf-8").splitlines()
    fields = [line.split() for line in lines if line and not line.startswith("#")]
    return [(int(one[0]), int(one[1]) if len(one) > 1 else Options().steps) for one in fields]


@pytest.mark.parametrize(("seed", "steps"), regressions())
def test_a_seed_that_once_failed_holds(seed: int, steps: int) -> None:
    if steps != Options().steps or seed >= SEEDS:  # the others have just been run
        held(seed, Options(steps=steps))


RULES = {
    "acknowledge-before-quorum": "rule 6",
    "release-without-all-shards": "rule 1",
    "never-reconcile": "rule 7",
    "never-audit": "rule 7",
}


@pytest.mark.parametrize("plant", sorted(PLANTS))
def test_a_planted_bug_is_caught(plant: str) -> None:
    for seed in range(SEEDS):
        failure = Simulation(seed, Options(plant=plant)).run().failure
        if failure is not None:
            assert RULES[plant] in failure
            return
    pytest.fail(f"no seed of {SEEDS} caught {plant}")


def test_a_seed_is_the_same_run_whatever_the_hash_seed() -> None:
    processes = [started(hash_seed) for hash_seed in ("1", "4711")]
    printed = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    digests = [[run["digest"] for run in json.loads(text)["seeds"]] for text in printed]
    assert digests[0] == digests[1] == [Simulation(seed).run().digest for seed in (13, 14)]
    assert digests[0][0] != digests[0][1]


def started(hash_seed: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "mfdb.testing", "--seeds", "2", "--first", "13", "--json"],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        cwd=HERE.parent.parent,
        stdout=subprocess.PIPE,
    )


def test_a_failure_prints_its_trace_and_the_command_that_replays_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = ["--seeds", "1", "--first", "1", "--plant", "acknowledge-before-quorum"]
    assert command.main(asked) == 1
    printed = capsys.readouterr().out
    assert "the mailbox stands" in printed or "receipts for" in printed
    replay = "replay: python -m mfdb.testing --seeds 1 --first 1 --plant acknowledge-before-quorum"
    assert replay in printed


def test_success_is_said_in_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--seeds", "1", "--first", "0", "--steps", "5", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["ok"] is True
    assert [run["failure"] for run in said["seeds"]] == [None]
