"""A provider killed during group commits: what it gave a receipt for is there after the restart.

SIGKILL keeps the page cache, so a second test counts by strace that a sync stands before every
batch of receipts (lost syncs themselves are in the simulator).
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest

from mfdb.kernel.ids import ChangesetId, DatasetId
from mfdb.node.provider import shelf
from mfdb.store.lmdb_store import LmdbStore
from tests.fixtures.datasets import keys_of
from tests.fixtures.receipting import SAID, STORE

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
TOGETHER = 4
CALLS = "openat,fdatasync,pwrite64,write"
"""A write to a file that was opened with O_DSYNC returns once it is on the disk (open(2))."""
DEADLINE_S = 120


@dataclass
class Told:
    """What a provider said before it was killed."""

    dataset: DatasetId | None = None
    receipts: list[tuple[int, ChangesetId]] = field(default_factory=list)


@contextmanager
def forking(*before: str) -> Iterator[IO[str]]:
    """Yield what takes the directories of the providers to be forked."""
    with subprocess.Popen(
        [*before, sys.executable, "-m", "tests.fixtures.receipting"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdin is not None
        watchdog = threading.Timer(DEADLINE_S, parent.kill)
        watchdog.start()
        try:
            yield parent.stdin
        finally:
            watchdog.cancel()
            parent.stdin.close()
            parent.wait(DEADLINE_S)


def killed_after(directory: Path, receipts: int, forks: IO[str]) -> Told:
    """Have a provider started, kill it after so many receipts, and return all that it said."""
    told, pid = Told(), 0
    said = directory / SAID
    os.mkfifo(said)
    forks.write(f"{directory}\n")
    forks.flush()
    with said.open("rb") as pipe:
        for line in pipe:
            if not line.endswith(b"\n"):
                break
            word, first, *rest = line.decode().split()
            match word:
                case "pid":
                    pid = int(first)
                case "ready":
                    told.dataset = DatasetId(bytes.fromhex(first))
                case _:
                    told.receipts.append((int(first), ChangesetId(bytes.fromhex(rest[0]))))
            if len(told.receipts) == receipts:
                os.kill(pid, signal.SIGKILL)
    assert len(told.receipts) >= receipts, "the provider ended by itself"
    return told


def check(directory: Path, told: Told) -> None:
    """Every receipt that was said has its changeset and itself in the store, as it was left."""
    assert told.dataset is not None
    me = keys_of("provider 0").address
    store = LmdbStore(directory / STORE)
    try:
        with store.snapshot() as view:
            for number, changeset in told.receipts:
                kept = shelf.receipt_of(view, told.dataset, changeset, me)
                assert kept is not None, f"receipt in batch {number} was given and is gone"
                assert kept.batch.number == number, "a second root for a batch"
                assert shelf.changeset_data(view, told.dataset, changeset) is not None
                assert shelf.log_number(view, told.dataset, changeset) == kept.ack.log_number
    finally:
        store.close()


def kill_many(directory: Path, kills: int, seed: int) -> None:
    """Kill providers, a few at a time, at moments that a seed decides."""
    chance = random.Random(seed)
    places = [directory / str(number) for number in range(kills)]
    after = [chance.randint(1, 120) for _ in places]
    for place in places:
        place.mkdir()
    with forking() as forks, ThreadPoolExecutor(TOGETHER) as together:
        for place, told in zip(
            places, together.map(killed_after, places, after, repeat(forks)), strict=True
        ):
            check(place, told)


def test_no_receipt_for_what_a_sigkill_takes_away(tmp_path: Path) -> None:
    kill_many(tmp_path, 8, seed=1)


@pytest.mark.slow
def test_no_receipt_for_what_96_sigkills_take_away(tmp_path: Path) -> None:
    kill_many(tmp_path, 96, seed=2)


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace, a Debian package")
def test_a_sync_stands_before_every_batch_of_receipts(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    place = tmp_path / "provider"
    place.mkdir()
    with forking(
        *("strace", "-f", "-qq", "-e", f"trace={CALLS}", "-s", "80", "-o", str(trace))
    ) as forks:
        told = killed_after(place, 60, forks)
    syncs, before, batches = 0, -1, 0
    synced: set[str] = set()
    for line in trace.read_text().splitlines():
        if opened := re.search(r"openat.*O_DSYNC.* = (\d+)$", line):
            synced.add(opened[1])
        elif done := re.search(r"(fdatasync|pwrite64)\((\d+).* = (\d+)$", line):
            syncs += done[1] == "fdatasync" or done[2] in synced
        elif found := re.search(r'write\(1, "batch (\d+) ', line):
            number = int(found[1])
            if number != before:
                assert syncs > 0, f"batch {number} was receipted without a sync since the last one"
                before, syncs, batches = number, 0, batches + 1
    assert batches == len({number for number, _ in told.receipts}), "every batch was seen"
    assert batches > 1
