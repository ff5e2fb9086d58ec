"""A placement log that is longer than a frame: everybody still hears of it, heals and moves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from mfdb.kernel.codec import encode
from mfdb.kernel.errors import BadProof, ValueTooLarge
from mfdb.node import answers, placement_log, requests, whereabouts
from mfdb.node.client.moving import Change
from mfdb.node.placement_log import hand_over
from mfdb.node.provider import sealed_shelf, shelf
from mfdb.node.requests import PutPlacement
from mfdb.rules.manifest import Profile
from mfdb.rules.placement import Assignment, PlacementEntry, Role, SignedPlacement
from mfdb.rules.signing import digest_of, sign
from tests.fixtures.node_town import Person, Stand, Town, in_town, mailbox_town, sealed_town
from tests.fixtures.repairs import convict, everybody
from tests.unit.node.test_moving import ALL, letters, moving_town

if TYPE_CHECKING:
    from mfdb.kernel.ids import DatasetId

FRAME_BYTES = 2**16
PAGE_BYTES = 2**13


@pytest.fixture(autouse=True)
def small_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let frames and pages be small, so that a long log is quickly made."""
    for room in (requests, answers):
        monkeypatch.setattr(room, "FRAME_BYTES", FRAME_BYTES)
    for room in (answers, whereabouts, placement_log, sealed_shelf):
        monkeypatch.setattr(room, "SEGMENTS_BYTES", PAGE_BYTES)


def log_of(stand: Stand, dataset: DatasetId) -> tuple[SignedPlacement, ...]:
    with stand.store.snapshot() as view:
        return shelf.placements(view, dataset)


def lengthened(
    log: tuple[SignedPlacement, ...], bob: Person, count: int, case: int = 0
) -> tuple[SignedPlacement, ...]:
    """Return a log with entries more, of a kilobyte each, that change nothing."""
    dataset, network = log[0].entry.dataset, log[0].entry.network
    first = next(one for one in log[0].entry.assignments if one.role is Role.SHARD)
    same = (Assignment(Role.SHARD, first.slot, first.provider),) * (40 + case)
    for _ in range(count):
        entry = PlacementEntry(
            network=network,
            dataset=dataset,
            number=len(log),
            previous=digest_of(log[-1].entry),
            assignments=same,
            agreements=(),
            mandate=None,
            case=b"",
        )
        log = (*log, SignedPlacement(entry=entry, signature=sign(entry, bob.keys.account)))
    return log


async def have_long(town: Town, bob: Person, dataset: DatasetId, stands: list[Stand]) -> None:
    log = lengthened(log_of(town.stands[0], dataset), bob, 80)
    assert len(encode(PutPlacement(dataset=dataset, entries=log))) > FRAME_BYTES
    for stand in stands:
        put = PutPlacement(dataset=dataset, entries=log[1:])
        await stand.duties.on_put_placement(put)


@in_town
async def test_a_long_log_does_not_fit_a_frame_and_is_handed_over_all_the_same(
    town: Town,
) -> None:
    bob, dataset = await mailbox_town(town)
    await have_long(town, bob, dataset, town.stands[:1])
    log = log_of(town.stands[0], dataset)
    far = await town.stands[0].directory.reach(town.stands[1].me)
    with pytest.raises(ValueTooLarge):
        requests.open_request(encode(PutPlacement(dataset=dataset, entries=log)))
    assert await hand_over(far, dataset, log) == log
    assert log_of(town.stands[1], dataset) == log
    longer = lengthened(log, bob, 1)
    assert await hand_over(far, dataset, longer) == longer
    assert await hand_over(far, dataset, log) == longer, "who knows more says so"
    assert log_of(town.stands[1], dataset) == longer


@in_town
async def test_of_two_long_logs_that_parted_everybody_keeps_the_same(town: Town) -> None:
    bob, dataset = await mailbox_town(town)
    await have_long(town, bob, dataset, town.stands[:2])
    shared = log_of(town.stands[0], dataset)
    ends = [lengthened(shared, bob, count, case=at) for at, count in enumerate((9, 12))]
    for stand, log in zip(town.stands[:2], ends, strict=True):
        await stand.duties.on_put_placement(PutPlacement(dataset=dataset, entries=log[-20:]))
    there = await town.stands[0].directory.reach(town.stands[1].me)
    stands = await hand_over(there, dataset, ends[0])
    assert stands in ends
    assert log_of(town.stands[1], dataset) == stands
    forged = (*shared[:-1], *lengthened(ends[0], bob, 1)[-1:])
    with pytest.raises(BadProof):
        await hand_over(there, dataset, forged)


@in_town
async def test_a_dataset_with_a_long_log_is_repaired(town: Town) -> None:
    bob, dataset, segment = await sealed_town(town)
    await have_long(town, bob, dataset, town.stands[:6])
    await convict(town, dataset, segment)
    for _ in range(12):  # each survivor's turn to lead
        await everybody(town, "court", "repairing", "taking over")
        if town.stands[6].me in town.stands[0].context.placement(dataset).providers:
            break
        await asyncio.sleep(10)
    log = log_of(town.stands[6], dataset)
    assert len(log) == 82
    for stand in town.stands[:5]:
        assert log_of(stand, dataset) == log
    assert town.stands[6].me in town.stands[0].context.placement(dataset).shards.values()


@in_town
async def test_a_dataset_with_a_long_log_is_moved_and_read(town: Town) -> None:
    bob, dataset, remote = await moving_town(town, 8)
    await have_long(town, bob, dataset, town.stands[:6])
    leaving = frozenset({town.stands[0].me})
    moved = await remote.move(dataset, Change(profile=Profile(), leaving=leaving))
    assert (moved.joined, moved.left) == (1, 1)
    found = await remote._lookup.look(dataset)
    assert len(found.placements) == 83
    assert await letters(town, dataset, list(found.placement.replica_set)) == ALL
