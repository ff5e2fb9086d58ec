"""How fast shards are made, read and hashed, and what anti-entropy costs: `python -m bench.codec`.

Every figure is the median of several runs whose
results were compared with what is due; MB/s are 10^6 bytes of segment data a second.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import time
from typing import TYPE_CHECKING

import numpy as np

from bench.report import Result, add_options, finish
from mfdb.kernel.codec import encode
from mfdb.kernel.ids import ChangesetId, Hash
from replication.backend import Backend, backends
from replication.codec import Codec
from replication.reconcile import Item, ItemSet, Message, open_message, read_message, respond
from replication.segment import build_segment, certify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RUNS = 21
MIB = 2**20
CASES = ((4, 6, MIB), (10, 14, MIB), (10, 14, 4 * MIB))
GOAL_CASE = (10, 14, MIB)
GOALS_MB_S = {("isal", "parity"): 6_000.0, ("isal", "decode"): 4_000.0}
NUMPY_GOAL_MB_S = 250.0
GAP_GOAL_BYTES = 6 * 1024


def median_s(work: Callable[[], object], due: object) -> float:
    """Return the median seconds of `work`, which must return `due` each time."""
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        found = work()
        times.append(time.perf_counter() - start)
        if found != due:
            raise SystemExit("bench.codec: a run gave wrong bytes")
    return statistics.median(times)


def speed(
    name: str, size: int, work: Callable[[], object], due: object, *, goal: float | None = None
) -> Result:
    """Return the MB/s of some work over `size` bytes; the rival is copying them once."""
    data, target = bytes(size), bytearray(size)

    def copy() -> None:
        target[:] = data

    rival = size / 1e6 / median_s(copy, None)
    value = size / 1e6 / median_s(work, due)
    return Result(
        name=name,
        value=round(value, 1),
        unit="MB/s",
        rival=round(rival, 1),
        ratio=round(value / rival, 3),
        goal=goal,
        ok=None if goal is None else value >= goal,
    )


def codec_results(backend: Backend, k: int, n: int, size: int) -> Iterator[Result]:
    """Yield the speeds of a back end for one code and segment size.

    `parity` computes parity shards out of the data into memory that is used again, as ISA-L's own
    figures do; `encode` also cuts the data into shards and makes new bytes of all of them.
    """
    data = hashlib.shake_128(b"bench").digest(size)
    codec = Codec(k, n, backend=backend)
    # The last back end is numpy, the definition that the others must agree with.
    shards = Codec(k, n, backend=backends()[-1]).encode(data)
    last = {at: shards[at] for at in range(n - k, n)}
    made = np.empty((n - k, len(shards[0])), np.uint8)
    case = f"{backend.name} {k} of {n}, {size // MIB} MiB"

    def goal(work: str) -> float | None:
        if (k, n, size) != GOAL_CASE:
            return None
        return NUMPY_GOAL_MB_S if backend.name == "numpy" else GOALS_MB_S.get(("isal", work))

    works: tuple[tuple[str, Callable[[], object], object], ...] = (
        ("parity", lambda: codec.parity(data, made) is made, True),
        ("encode", lambda: codec.encode(data), shards),
        ("decode", lambda: codec.decode(last, size), data),
        ("rebuild one", lambda: codec.rebuild(last, 0), shards[0]),
    )
    for name, work, due in works:
        yield speed(f"{case}: {name}", size, work, due, goal=goal(name))
    if tuple(row.tobytes() for row in made) != shards[k:]:
        raise SystemExit("bench.codec: the parity is wrong")


def seal_results() -> Iterator[Result]:
    """Yield how long a full segment takes from its changesets to certificate and shard roots."""
    entries = [
        (ChangesetId(hashlib.sha256(bytes([at])).digest()), bytes(8_100)) for at in range(128)
    ]
    ids = sorted(changeset for changeset, _ in entries)
    segment = build_segment(0, entries)
    subject = Hash(bytes(32))
    due = certify(subject, 0, ids, segment, k=4, n=6)

    def seal() -> object:
        return certify(subject, 0, ids, build_segment(0, entries), k=4, n=6)

    yield speed("seal 1 MiB 4 of 6, hashes included", len(segment), seal, due)


def gap_result() -> Result:
    """Return the bytes that two replicas exchange when one lacks 1,000 of 100,000 in a row."""
    stream = hashlib.shake_128(b"items").digest(32 * 100_000)
    items: list[Item] = [
        (1_000 * at << 16, ChangesetId(stream[at * 32 : at * 32 + 32])) for at in range(100_000)
    ]
    worst = max(_exchanged(items, start) for start in (0, 12_345, 50_000, 98_999))
    return Result(
        name="reconcile 100,000 items, one gap of 1,000 (worst of four)",
        value=worst,
        unit="bytes",
        rival=3_200_000,
        ratio=round(worst / 3_200_000, 5),
        goal=GAP_GOAL_BYTES,
        ok=worst <= GAP_GOAL_BYTES,
    )


def _exchanged(items: list[Item], start: int) -> int:
    sides = (ItemSet(items[:start] + items[start + 1_000 :]), ItemSet(items))
    message: Message | None = open_message(sides[1])
    size, turn, found = 0, 0, set[bytes]()
    while message is not None:
        data = encode(message)
        step = respond(sides[turn % 2], read_message(data))
        found.update((*step.have, *step.need))
        message, size, turn = step.reply, size + len(data), turn + 1
    if found != {changeset for _, changeset in items[start : start + 1_000]}:
        raise SystemExit("bench.codec: reconciliation missed something")
    return size


def run() -> list[Result]:
    """Return all results."""
    results = [
        result
        for backend in backends()
        for k, n, size in CASES
        for result in codec_results(backend, k, n, size)
    ]
    return [*results, *seal_results(), gap_result()]


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(prog="python -m bench.codec", description=__doc__)
    add_options(parser)
    given = parser.parse_args()
    finish("codec", run(), given)


if __name__ == "__main__":
    main()
