"""How fast a network keeps rows: `python -m bench.replicated`, providers as processes on loopback.

Three replicas, two receipts needed, fsync before every receipt, every row signed and sealed. After
each run a provider is killed and every acknowledged row looked for: in the dead one's store as far
as its receipts go, and at the others with nothing but the seed words; one missing ends the bench.

The rival of a rate is what this machine would allow on the same disk, at the same moment, if
signing, sealing and judging cost nothing: bare commits of the same bytes to as many stores, and
echoes over the same transport. Processor time per row tells more than the clock on a busy machine.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import signal
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.replicated_limits import commit_s, echo_s
from bench.replicated_town import Town, open_town
from bench.report import Result, add_options, bounded, finish
from mfdb.net import loops
from mfdb.node.requests import Follow
from mfdb.store.lmdb_store import LmdbStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from mfdb.kernel.ids import Address, DatasetId

INSERT = "INSERT INTO {} VALUES (?, ?, ?, ?, ?)"
BODY = "x" * 200
ROW_BYTES = 300
BATCH = 1_000
WORKERS = 64
LOADERS = 2
"""Writers of batches: while providers judge the one's, the other's is sealed."""
PROVIDERS = 3
SEALING_PROVIDERS = 6
THREE, SIX = "three", "six"
"""Four of six shards lie on six providers."""
REPLICATED = "replicas = 3, write_quorum = 2, erasure = '2/3'"
CODED = "replicas = 3, write_quorum = 2, erasure = '4/6'"
OUTAGE_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is measured."""

    single: int = 2_000
    per_worker: int = 100
    batches: int = 15
    visible: int = 100
    sealed_batches: int = 100


QUICK = Plan(single=200, per_worker=10, batches=6, visible=20, sealed_batches=6)


class Rows:
    """New rows with ascending ids, and which ids were acknowledged."""

    def __init__(self, body: str = BODY) -> None:
        self._body = body
        self._next = 0
        self.acknowledged: set[int] = set()

    def take(self, count: int = 1) -> list[tuple[object, ...]]:
        """Return new rows."""
        first, self._next = self._next, self._next + count
        return [
            (at, "alice@example.org", "2026-11-28 00:00:00", f"subject {at}", self._body)
            for at in range(first, first + count)
        ]

    def kept(self, rows: list[tuple[object, ...]]) -> None:
        """Take note that rows were acknowledged."""
        self.acknowledged.update(int(str(row[0])) for row in rows)


class Run:
    """One dataset that is written to, with what it took."""

    def __init__(self, town: Town, name: str, body: str = BODY) -> None:
        self.town = town
        self.name = name
        self.rows = Rows(body)
        self.laps_s: list[float] = []

    async def one(self) -> None:
        """Insert one row and wait for its acknowledgement."""
        rows = self.rows.take()
        start = time.perf_counter()
        await self.town.db.execute(INSERT.format(self.name), rows[0])
        self.laps_s.append(time.perf_counter() - start)
        self.rows.kept(rows)

    async def batch(self) -> None:
        """Insert `BATCH` rows as one changeset."""
        rows = self.rows.take(BATCH)
        await self.town.db.executemany(INSERT.format(self.name), rows)
        self.rows.kept(rows)

    async def measured(self, work: Callable[[], Awaitable[object]], rows: int) -> Rate:
        """Return what `work`, which inserts so many rows, took."""
        cpu, own, start = self.town.cpu_s(), time.process_time(), time.perf_counter()
        await work()
        took = time.perf_counter() - start
        return Rate(
            rows_s=rows / took,
            client_us=(time.process_time() - own) / rows * 1e6,
            providers_us=(self.town.cpu_s() - cpu) / rows * 1e6,
        )

    async def check(self) -> None:
        """See that everything acknowledged is still there without one provider."""
        await self.town.check(self.name, self.rows.acknowledged)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Rows per second, and the processor time per row of both sides."""

    rows_s: float
    client_us: float
    providers_us: float

    def result(self, name: str, limit_rows_s: float, goal: float) -> Result:
        """Return the line of the report."""
        note = f"CPU per row: client {self.client_us:.0f} us, providers {self.providers_us:.0f} us"
        return bounded(name, "rows/s", self.rows_s, limit_rows_s, at_least=goal, note=note)


async def writes(town: Town, plan: Plan) -> AsyncIterator[Result]:
    """Yield the three rates."""
    echo = await echo_s(ROW_BYTES)
    await town.create("single", REPLICATED)
    run = Run(town, "single")
    for _ in range(20):
        await run.one()
    run.laps_s.clear()

    async def one_by_one() -> None:
        for _ in range(plan.single):
            await run.one()

    rate = await run.measured(one_by_one, plan.single)
    # A row waits for the writer's outbox, one echo and the slower of two providers' commits.
    limit_s = echo + 2 * commit_s(town.directory, ROW_BYTES, 1)
    yield rate.result("one by one", 1 / limit_s, 800)
    p50 = statistics.median(run.laps_s) * 1e3
    yield bounded("one by one, p50", "ms", p50, limit_s * 1e3, at_most=1.3)
    await run.check()

    await town.create("flight", REPLICATED)
    flying = Run(town, "flight")

    async def worker() -> None:
        for _ in range(plan.per_worker):
            await flying.one()

    async def in_flight() -> None:
        await asyncio.gather(*(worker() for _ in range(WORKERS)))

    rate = await flying.measured(in_flight, WORKERS * plan.per_worker)
    limit_s = echo + 2 * commit_s(town.directory, ROW_BYTES, WORKERS)
    yield rate.result("64 in flight", WORKERS / limit_s, 5_000)
    await flying.check()

    await town.create("batches", REPLICATED)
    loading = Run(town, "batches")

    async def loader() -> None:
        for _ in range(plan.batches):
            await loading.batch()

    async def load() -> None:
        await asyncio.gather(*(loader() for _ in range(LOADERS)))

    await loading.batch()  # which learns what the statement needs
    rate = await loading.measured(load, LOADERS * plan.batches * BATCH)
    limit_s = await echo_s(ROW_BYTES * BATCH) + 2 * commit_s(town.directory, ROW_BYTES, BATCH)
    yield rate.result("batches of 1,000", BATCH / limit_s, 40_000)
    await loading.check()


# ---- all three, and one less


async def visibility(town: Town, plan: Plan) -> AsyncIterator[Result]:
    """Yield how long after its acknowledgement a row can be read at all three replicas."""
    dataset = await town.create("visible", REPLICATED)
    run = Run(town, "visible")
    await run.one()
    replicas = list(await town.remote.providers(dataset))[:3]
    seen = [_Seen(town, dataset, replica) for replica in replicas]
    following = [asyncio.create_task(one.follow()) for one in seen]
    waits_s = []
    try:
        for _ in range(plan.visible):
            await run.one()
            start = time.perf_counter()
            await asyncio.gather(*(one.wait(len(run.rows.acknowledged)) for one in seen))
            waits_s.append(time.perf_counter() - start)
    finally:
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)
    echo = await echo_s(ROW_BYTES)
    median = statistics.median(waits_s)
    yield bounded("last row visible on all three", "ms", median * 1e3, echo * 1e3, at_most=10)
    await run.check()


class _Seen:
    """How many rows a replica has shown to one who follows its log."""

    def __init__(self, town: Town, dataset: DatasetId, replica: Address) -> None:
        self._town = town
        self._dataset = dataset
        self._replica = replica
        self._count = 0
        self._more = asyncio.Condition()

    async def follow(self) -> None:
        directory = self._town.remote.context.directory
        correspondent = await directory.reach(self._replica)
        request = Follow(dataset=self._dataset, after=-1)
        async for page in correspondent.follow(request):
            async with self._more:
                self._count += len(page.items)
                self._more.notify_all()

    async def wait(self, count: int) -> None:
        async with self._more:
            await self._more.wait_for(lambda: self._count >= count)


async def outage(town: Town) -> AsyncIterator[Result]:
    """Yield the longest pause between acknowledgements when one of three is killed."""
    dataset = await town.create("outage", REPLICATED)
    run = Run(town, "outage")
    for _ in range(20):
        await run.one()
    victim = town.index_of((await town.remote.providers(dataset))[0])
    before_s = await _longest_gap(run)
    asyncio.get_running_loop().call_later(OUTAGE_S / 4, town.kill, victim)
    after_s = await _longest_gap(run)
    await town.restart(victim)
    name = "one of three killed: writes stop for"
    yield bounded(name, "ms", after_s * 1e3, before_s * 1e3, at_most=50)
    await run.check()


async def _longest_gap(run: Run) -> float:
    end = time.perf_counter() + OUTAGE_S
    last, longest = time.perf_counter(), 0.0
    while last < end:
        await run.one()
        now = time.perf_counter()
        last, longest = now, max(longest, now - last)
    return longest


# ---- sealed


async def sealing(town: Town, plan: Plan) -> AsyncIterator[Result]:
    """Yield how fast rows of 1 KiB are sealed, 4 of 6, and what they then take up on all disks.

    One batch is sealed before, by which providers that have just started come to know each other.
    """
    await town.devnet.down_providers()
    empty = _packed_bytes(town)
    await town.devnet.up(providers=SEALING_PROVIDERS)
    await town.create("sealed", CODED)
    run = Run(town, "sealed", "x" * 970)
    await run.batch()
    await _seal(town)
    for _ in range(plan.sealed_batches):
        await run.batch()
    cpu_s = town.cpu_s()
    took_s = await _seal(town)
    cpu_s = town.cpu_s() - cpu_s
    batch_bytes = sum(_size(row) for row in Rows("x" * 970).take(BATCH))
    megabytes = plan.sealed_batches * batch_bytes / 1e6
    note = f"CPU per MB: providers {cpu_s / megabytes * 1e3:.0f} ms"
    limit = _tree_rate()
    rate = megabytes / took_s
    yield bounded("sealing", "MB/s of user data", rate, limit, at_least=60, note=note)
    await run.check()
    await town.devnet.down_providers()
    used = _packed_bytes(town) - empty
    name = "disk blocks per byte of user data, sealed 4 of 6"
    user_bytes = (1 + plan.sealed_batches) * batch_bytes
    yield bounded(name, "bytes", used / user_bytes, 6 / 4, at_most=2.2)


async def _seal(town: Town) -> float:
    """Seal all there is, and return how many seconds it took."""
    took_s = 0.0
    while True:
        start = time.perf_counter()
        done = await town.db.fetchrow("ALTER DATASET sealed SEAL")
        if done is None or done[0] == 0:
            return took_s
        took_s += time.perf_counter() - start


def _size(row: tuple[object, ...]) -> int:
    return 8 + 8 + sum(len(str(value)) for value in (row[1], row[3], row[4]))


def _packed_bytes(town: Town) -> int:
    """Return the disk blocks that the stores of all providers, which are stopped, take up."""
    total = 0
    for at in range(1, SEALING_PROVIDERS + 1):
        directory = town.devnet.provider_directory(at) / "store"
        store = LmdbStore(directory)
        store.compact()
        store.close()
        total += sum(path.stat().st_blocks * 512 for path in directory.iterdir())
    return total


def _tree_rate() -> float:
    """Return the MB/s of the tree over the units of a shard in one process, at its best."""
    from mfdb.rules.units import UnitTree

    data, times = bytes(4 * 2**20), []
    for _ in range(5):
        start = time.perf_counter()
        UnitTree(data)
        times.append(time.perf_counter() - start)
    return len(data) / 1e6 / min(times)


# ---- the report


async def _outage(town: Town, _plan: Plan) -> AsyncIterator[Result]:
    async for result in outage(town):
        yield result


PARTS: dict[str, tuple[str, int, Callable[[Town, Plan], AsyncIterator[Result]]]] = {
    "writes": (THREE, PROVIDERS, writes),
    "visibility": (THREE, PROVIDERS, visibility),
    "outage": (THREE, PROVIDERS, _outage),
    "sealing": (SIX, SEALING_PROVIDERS, sealing),
}
"""What is measured, in which town of how many providers."""


async def run_all(directory: Path, plan: Plan, names: Sequence[str]) -> list[Result]:
    """Return the results of the parts of these names; SIGTERM ends it as Ctrl-C does.

    Raises:
        CancelledError: SIGTERM came, and every process is stopped.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None, "this runs in one"
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    results = []
    for place, count in {PARTS[name][:2]: None for name in names}:
        (directory / place).mkdir()
        async with open_town(directory / place, count) as town:
            for name in names:
                if PARTS[name][:2] == (place, count):
                    results += [result async for result in PARTS[name][2](town, plan)]
    return results


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(prog="python -m bench.replicated", description=__doc__)
    add_options(parser)
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows, for CI")
    parser.add_argument("--only", choices=PARTS, action="append", help="these parts (default: all)")
    parser.add_argument("--directory", type=Path, help="on which disk (default: the temporary one)")
    given = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="mfdb-bench-", dir=given.directory))
    plan = QUICK if given.quick else Plan()
    try:
        results = loops.run(run_all(directory, plan, given.only or list(PARTS)))
    except asyncio.CancelledError:
        raise SystemExit(128 + signal.SIGTERM) from None
    finally:
        shutil.rmtree(directory)
    finish("replicated", results, given)


if __name__ == "__main__":
    main()
