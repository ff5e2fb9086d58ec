"""Read repair and hedged reads: what was seen stays seen, and slow holders are not waited for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from mfdb.kernel.codec import encode
from mfdb.kernel.errors import AccessDenied
from mfdb.node.answers import Done, LogItem, Shard
from mfdb.node.client.mending import MEND_AFTER_S
from mfdb.node.client.shards import HEDGE_S
from mfdb.node.provider import shelf
from mfdb.node.requests import GetShard, PutCopies, PutReceipts, ReadLog
from mfdb.rules.manifest import Action, Grantee
from tests.fixtures.datasets import OWNER_ALL, PUBLIC_INSERT, grant
from tests.fixtures.node_town import Person, Stand, Town, in_town, mailbox_town, sealed_town

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mfdb.dataset.writer import Draft
    from mfdb.kernel.ids import Address, DatasetId, SegmentId
    from mfdb.node.client.remote import NodeRemote
    from mfdb.rules.receipt import WriteReceipt

READABLE = (OWNER_ALL, PUBLIC_INSERT, grant(Grantee.PUBLIC, actions=int(Action.SELECT)))


def held(stand: Stand, dataset: DatasetId) -> set[bytes]:
    with stand.store.snapshot() as view:
        return set(shelf.unsealed(view, dataset))


async def acknowledged(town: Town, dataset: DatasetId, draft: Draft) -> tuple[WriteReceipt, ...]:
    """Have the first two replicas acknowledge a write, and tell each other."""
    receipts = tuple([await stand.take(draft) for stand in town.stands[:2]])
    for stand in town.stands[:2]:
        others = tuple(one for one in receipts if one.batch.provider != stand.me)
        await stand.intake.keep_receipts(PutReceipts(dataset=dataset, receipts=others))
    return receipts


async def read(town: Town, bob: Person, remote: NodeRemote, dataset: DatasetId) -> None:
    found = await remote._lookup.look(dataset, [stand.me for stand in town.stands[:2]])
    bob.replica.add_manifests(found.manifests)
    await remote.sync(dataset, bob.replica)


def answer(stand: Stand, kind: type, how: Any) -> None:
    """Let a provider answer one kind of request in another way."""
    stand.node._server._answering = {**stand.node._server._answering, kind: how}


def counted(stand: Stand, asked: list[int]) -> None:
    """Note from which HLC on a provider's log is asked for."""
    honest = stand.serving.on_read_log

    def noting(request: ReadLog, caller: Address) -> object:
        asked.append(request.min_hlc)
        return honest(request, caller)

    answer(stand, ReadLog, noting)


@in_town
async def test_a_replica_that_lags_says_so_and_is_handed_what_was_seen(town: Town) -> None:
    bob, dataset = await mailbox_town(town)
    lagging = town.stands[2]
    drafts = [bob.write(dataset, f"message {at}") for at in range(3)]
    for draft in drafts:
        await acknowledged(town, dataset, draft)
    reader = town.person("bob")
    remote = await reader.remote()
    await read(town, reader, remote, dataset)
    await remote.sync(dataset, reader.replica)
    assert held(lagging, dataset) == set()  # it may be on its way yet
    await asyncio.sleep(MEND_AFTER_S + 1)
    asked: list[int] = []
    counted(lagging, asked)
    await remote.sync(dataset, reader.replica)
    while len(held(lagging, dataset)) < 3:
        await lagging.serving._feed.growth(dataset).wait()
    assert asked == [max(draft.changeset.header.hlc for draft in drafts)]
    with lagging.store.snapshot() as view:
        kept = shelf.receipts(view, dataset, drafts[0].changeset.id, town.world.network)
    assert {one.batch.provider for one in kept} == {stand.me for stand in town.stands[:3]}


@in_town
async def test_what_was_seen_is_known_after_a_restart(town: Town) -> None:
    bob, dataset = await mailbox_town(town)
    draft = bob.write(dataset, "message")
    await acknowledged(town, dataset, draft)
    reader = town.person("bob")
    await read(town, reader, await reader.remote(), dataset)
    asked: list[int] = []
    counted(town.stands[0], asked)
    await read(town, reader, await reader.remote(), dataset)
    assert asked == [draft.changeset.header.hlc]


async def copies(town: Town) -> tuple[DatasetId, LogItem]:
    """Return a mailbox that anybody reads, and an acknowledged write that one replica lacks."""
    await town.open(6)
    bob = town.person("bob")
    made = town.mailbox(bob, grants=READABLE)
    await town.place(made, bob)
    bob.replica.add_manifests([made])
    draft = bob.write(made.manifest.dataset, "message")
    item = LogItem(
        number=0,
        changeset=draft.changeset.id,
        data=encode(draft.changeset),
        entry=draft.entry,
        receipts=(await acknowledged(town, made.manifest.dataset, draft)),
    )
    return made.manifest.dataset, item


@in_town
async def test_a_reader_hands_over_only_what_was_acknowledged(town: Town) -> None:
    dataset, item = await copies(town)
    eve, stand = town.person("eve").address, town.stands[2]
    put: Callable[[PutCopies, Address], Awaitable[Done]] = stand.node._server._answering[  # type: ignore[assignment]  # of its kind
        PutCopies
    ]
    (one, other) = item.receipts
    forged = msgspec.structs.replace(one, signature=bytes(65))
    elsewhere = msgspec.structs.replace(other, ack=msgspec.structs.replace(other.ack, units=99))
    for receipts in ((), (forged,), (elsewhere,)):
        bad = msgspec.structs.replace(item, receipts=receipts)
        await put(PutCopies(dataset=dataset, items=(bad,)), eve)
        assert held(stand, dataset) == set()
    await put(PutCopies(dataset=dataset, items=(item,)), eve)
    assert held(stand, dataset) == {item.changeset}


@in_town
async def test_a_stranger_hands_over_nothing(town: Town) -> None:
    _, dataset = await mailbox_town(town)
    put: Callable[[PutCopies, Address], Awaitable[Done]] = town.stands[2].node._server._answering[  # type: ignore[assignment]  # of its kind
        PutCopies
    ]
    with pytest.raises(AccessDenied):
        await put(PutCopies(dataset=dataset, items=()), town.person("eve").address)


@pytest.mark.parametrize("slow", [0, 1, 2])
@in_town
async def test_slow_holders_of_a_segment_are_hedged_and_quick_ones_asked_alone(
    town: Town, slow: int
) -> None:
    _, dataset, segment = await sealed_town(town)
    asked: list[int] = []
    for stand in town.stands[:6]:
        hold(stand, asked, slow, segment)
    bob = town.person("bob")
    remote = await bob.remote()
    started_s = town.clock.now_s()
    await read(town, bob, remote, dataset)
    assert sorted(asked) == list(range(4 + slow))
    assert town.clock.now_s() - started_s < 2 * HEDGE_S + 1
    with bob.replica.reading() as reading:
        assert len(list(reading.rows(reading.known(dataset)))) == 5


def hold(stand: Stand, asked: list[int], slow: int, segment: SegmentId) -> None:
    """Let a holder of one of the first shards take an hour."""
    honest = stand.shards.on_get_shard

    async def slowly(request: GetShard, caller: Address) -> Shard:
        assert request.segment == segment
        asked.append(request.shard)
        if request.shard < slow:
            await asyncio.sleep(3600)
        return honest(request, caller)

    answer(stand, GetShard, slowly)
