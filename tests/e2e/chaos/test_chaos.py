"""Real processes killed, stopped, cut off, filled and damaged under load: every row accounted for.

pytest -m slow tests/e2e/chaos                          a minute and a half
MFDB_CHAOS_S=1800 pytest -m slow -s tests/e2e/chaos     half an hour; the account is printed
"""

from __future__ import annotations

import asyncio
import os
import sys
from random import Random
from typing import TYPE_CHECKING

import pytest

from mfdb.kernel.errors import MfdbError
from mfdb.node.network_file import NetworkFile
from mfdb.node.provider import sealed_shelf, shelf
from mfdb.rules.evidence import Network
from replication.segment import is_shard
from tests.fixtures.chaos_monkey import Monkey
from tests.fixtures.chaos_town import PROVIDERS, WRITERS, Town, mount_small, unmount

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mfdb.kernel.ids import Address, ChangesetId

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    # Processes that are killed and started again are known by their pid files, not by `Popen`.
    pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

CHAOS_S = float(os.environ.get("MFDB_CHAOS_S", "75"))
SEED = int(os.environ.get("MFDB_CHAOS_SEED", "1"))
DISK_MIB = 64 + int(CHAOS_S)
CONVERGED_S = 300.0
LOOK_S = 2.0
DONE = "nothing is lacking"


@pytest.fixture
def small_disks(tmp_path: Path) -> Iterator[bool]:
    """Whether every provider has a small disk of its own, which needs the right to mount."""
    places = [tmp_path / "devnet" / f"p{index}" for index in range(1, PROVIDERS + 1)]
    mounted = []
    try:
        for place in places:
            if not mount_small(place, DISK_MIB):
                break
            mounted.append(place)
        yield len(mounted) == len(places)
    finally:
        for place in mounted:
            unmount(place)


def test_every_row_is_accounted_for_after_chaos(tmp_path: Path, small_disks: bool) -> None:  # noqa: FBT001 - a fixture
    asyncio.run(_chaos(tmp_path, can_fill=small_disks))


async def _chaos(directory: Path, *, can_fill: bool) -> None:
    async with Town(directory) as town:
        monkey = Monkey(town, Random(SEED), can_fill=can_fill)
        async with asyncio.TaskGroup() as group:
            for name in WRITERS:
                group.create_task(town.write(name))
            group.create_task(town.seal(every_s=max(8.0, CHAOS_S / 20)))
            group.create_task(monkey.run())
            await town.pause(CHAOS_S * 2 / 3)
            await monkey.damage()
            await town.pause(CHAOS_S / 3)
            town.stopping.set()
        await _converge(town)
        restored = await town.restored()
        assert town.account.acknowledged <= restored <= town.account.tried
        _tell(town, monkey, restored)
        await town.devnet.down()
        _check_disks(town)
        assert monkey.done["damage"] == 1
        assert town.account.acknowledged


async def _converge(town: Town) -> None:
    """Wait until every promise is readable and every segment has its shards."""
    loop = asyncio.get_running_loop()
    began, looks = loop.time(), list[str]()
    try:
        async with asyncio.timeout(CONVERGED_S):
            while not looks or not looks[-1].endswith(DONE):
                await asyncio.sleep(LOOK_S)
                at = loop.time() - began
                try:
                    lacking = await _lacking(town) or DONE
                except MfdbError as error:
                    lacking = str(error)
                looks.append(
                    f"looked at {at:.0f} s, known at {loop.time() - began:.0f} s: {lacking}"
                )
    except TimeoutError:
        pytest.fail("\n".join([f"after {CONVERGED_S:.0f} s without faults:", *looks]))


async def _lacking(town: Town) -> str:
    rows = await town.rows()
    missing = town.account.acknowledged - rows
    assert rows <= town.account.tried
    if missing:
        return f"{len(missing)} acknowledged rows cannot be read: {min(missing)}"
    if not await town.try_seal():
        return "the mailbox cannot be sealed"
    segments = await town.bob.fetch("SHOW SEGMENTS FOR inbox")
    for _, number, *_, code, stored in segments:
        if stored != int(str(code).partition("/")[2]):
            return f"segment {number} has {stored} shards of {code}"
    repairs = await town.bob.fetch("SHOW REPAIRS FOR inbox")
    # Who was stopped, cut off or full for longer than the answer window is convicted, too.
    states = [state for *_, state, _ in repairs]
    if not states or set(states) != {"repaired"}:
        return f"at least one shard was damaged, the repairs are {states}"
    return ""


def _check_disks(town: Town) -> None:
    """Replicas hold the same; every segment lies whole on n different disks."""
    hot: dict[Address, frozenset[ChangesetId]] = {}
    holders: dict[bytes, dict[int, list[Address]]] = {}
    newest: tuple[int, frozenset[Address]] = (-1, frozenset())
    bundles = {}
    for index in range(1, PROVIDERS + 1):
        with town.disk(index) as view:
            for bundle in sealed_shelf.segments(view, town.dataset):
                id_ = bundle.certificate.segment
                bundles[id_] = bundle
                for slot in sealed_shelf.my_shards(view, id_):
                    if is_shard(bundle, slot, sealed_shelf.shard(view, id_, slot) or b""):
                        found = holders.setdefault(id_, {}).setdefault(slot, [])
                        found.append(town.identity(index))
            if shelf.manifests(view, town.dataset):
                hot[town.identity(index)] = frozenset(shelf.unsealed(view, town.dataset))
                replicas = _replicas(view, town)
                newest = max(newest, replicas, key=lambda one: one[0])
    assert bundles
    assert len({hot[replica] for replica in newest[1]}) == 1
    for id_, bundle in bundles.items():
        assert sorted(holders[id_]) == list(range(bundle.certificate.n)), id_.hex()


def _replicas(view: shelf.View, town: Town) -> tuple[int, frozenset[Address]]:
    deployment = NetworkFile.load(town.devnet.network_file).deployment
    network = Network(chain_id=deployment.chain_id, deposits=deployment.contracts["deposits"])
    placement = shelf.placement(view, town.dataset, network)
    return placement.number, frozenset(placement.replica_set)


def _tell(town: Town, monkey: Monkey, restored: set[str]) -> None:
    account = town.account
    sys.stdout.write(
        f"chaos {CHAOS_S:.0f} s, seed {SEED}: {len(account.tried)} rows tried, "
        f"{len(account.acknowledged)} acknowledged, {account.unsure} without a word, "
        f"{len(restored)} read back on an empty machine; faults: {dict(monkey.done)}\n"
    )
