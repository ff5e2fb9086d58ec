"""A provider that drains gives notice where the owner is away: spares take its shards over."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mfdb.chain.port import CaseClosed, CaseOpened
from mfdb.node.provider import sealed_shelf
from mfdb.node.provider.notice import PATIENCE_S
from tests.fixtures.node_town import TERMS, Stand, Town, in_town, sealed_town
from tests.fixtures.repairs import events, everybody
from tests.unit.node.test_moving import letters

if TYPE_CHECKING:
    import pytest

    from mfdb.kernel.ids import DatasetId


async def days(town: Town, until: int) -> None:
    """Let everybody do their duties until so many cases are closed, or no time is left."""
    for _ in range(40):
        if len(events(town, CaseClosed)) >= until:
            return
        await everybody(town, "court", "notice")
        await asyncio.sleep(TERMS.epoch_s // 2)


async def repair(town: Town) -> None:
    for _ in range(10):
        await everybody(town, "court", "repairing", "taking over")
        await asyncio.sleep(10)


def placed(stand: Stand, dataset: DatasetId) -> set[bytes]:
    return set(stand.context.placement(dataset).shards.values())


@in_town
async def test_a_spare_takes_over_from_whoever_gives_notice_while_the_owner_is_away(
    town: Town,
) -> None:
    _, dataset, _ = await sealed_town(town, 8)
    leaver = town.stands[5]
    before = await leaver.chain.deposit(leaver.me)
    await leaver.node.drain(gives_notice=True)
    await everybody(town, "court", "notice")
    assert events(town, CaseOpened) == [], "the owner has time to move the dataset first"
    await asyncio.sleep(PATIENCE_S)
    await days(town, until=1)
    await repair(town)
    assert leaver.me not in placed(town.stands[0], dataset)
    assert len(placed(town.stands[0], dataset)) == 6
    await leaver.healing.look()
    assert leaver.node.kept == [], "it hears that it was replaced"
    after = await leaver.chain.deposit(leaver.me)
    lost = before.total - after.total
    assert 0 < lost < before.earmarked // 50, "a small shard's part of what backs its promises"
    assert after.earmarked == before.earmarked - lost
    leaver.vanish()
    for stand in (town.stands[3], town.stands[4]):  # two more may go: 4 of 6 are left
        stand.vanish()
    assert len(await letters(town, dataset, [stand.me for stand in town.stands[:3]])) == 5


@in_town
async def test_notice_is_given_once_and_taken_back_with_the_draining(town: Town) -> None:
    await sealed_town(town, 7)
    leaver = town.stands[5]
    await leaver.node.drain(gives_notice=True)
    assert leaver.node.gives_notice
    await leaver.node.looks["notice"]()
    await leaver.node.drain(drains=False)
    assert [leaver.node.gives_notice] == [False]
    await asyncio.sleep(PATIENCE_S)
    await everybody(town, "court", "notice")
    assert events(town, CaseOpened) == []
    leaver = await leaver.crash()
    await leaver.node.drain(gives_notice=True)
    leaver = await leaver.crash()
    assert leaver.node.gives_notice, "it is remembered"
    await leaver.node.looks["notice"]()
    await asyncio.sleep(PATIENCE_S)
    await days(town, until=1)
    for _ in range(4):  # nobody has taken over yet: it costs nothing more
        await everybody(town, "court", "notice")
        await asyncio.sleep(TERMS.epoch_s)
    assert len(events(town, CaseOpened)) == 1


@in_town
async def test_without_a_spare_nothing_is_given_up(
    town: Town, caplog: pytest.LogCaptureFixture
) -> None:
    _, dataset, _ = await sealed_town(town, 7)
    await town.stands[6].node.drain()
    leaver = town.stands[5]
    await leaver.node.drain(gives_notice=True)
    await leaver.node.looks["notice"]()
    await asyncio.sleep(PATIENCE_S)
    await everybody(town, "court", "notice")
    assert events(town, CaseOpened) == []
    assert "there is no spare provider" in caplog.text
    assert leaver.me in placed(leaver, dataset)


@in_town
async def test_a_replica_seals_what_it_acknowledged_before_it_gives_notice(town: Town) -> None:
    bob, dataset, _ = await sealed_town(town, 7)
    leaver = town.stands[1]
    draft = bob.write(dataset, "acknowledged by two")
    for stand in town.stands[:2]:
        await stand.take(draft)
    await leaver.node.drain(gives_notice=True)
    await leaver.node.looks["notice"]()
    await asyncio.sleep(PATIENCE_S)
    await days(town, until=1)
    with town.stands[2].store.snapshot() as view:
        sealed = [
            id_ for bundle in sealed_shelf.segments(view, dataset) for id_ in bundle.changesets
        ]
    assert draft.changeset.id in sealed
