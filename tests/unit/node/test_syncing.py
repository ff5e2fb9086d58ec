"""Reading from providers of whom some lie: an honest quorum is enough, no lie an obstacle."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from mfdb.kernel.clock import HlcClock
from mfdb.kernel.errors import AccessDenied, BadProof, MfdbError
from mfdb.kernel.ids import ChangesetId, Hash, SegmentId
from mfdb.kernel.limits import HLC_AHEAD_S
from mfdb.node import answers, whereabouts
from mfdb.node.answers import DatasetState, History, Keys, LogItem, LogPage, Shard
from mfdb.node.provider import sealed_shelf, serving
from mfdb.node.requests import (
    Follow,
    GetDataset,
    GetHistory,
    GetKeys,
    GetSegments,
    GetShard,
    PutManifest,
    ReadLog,
    SealNow,
)
from mfdb.rules.manifest import Action, Grantee
from mfdb.rules.placement import PlacementEntry, SignedPlacement
from mfdb.rules.signing import digest_of, sign
from mfdb.testing.sim_clock import SimClock
from tests.fixtures.datasets import OWNER_ALL, PUBLIC_INSERT, grant, signed
from tests.fixtures.node_town import Person, Stand, Town, in_town, mailbox_town, sealed_town

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mfdb.kernel.ids import Address, DatasetId
    from mfdb.node.client.remote import NodeRemote


def answer(stand: Stand, kind: type, lie: Any) -> None:
    """Let a provider answer one kind of request by a lie."""
    stand.node._server._answering = {**stand.node._server._answering, kind: lie}


async def reader(town: Town) -> tuple[Person, NodeRemote]:
    """Return Bob on a fresh machine, who knows from his seed words whom to ask."""
    bob = town.person("bob")
    return bob, await bob.remote()


async def read(
    town: Town, bob: Person, remote: NodeRemote, dataset: DatasetId, *, asked: int = 3
) -> set[str]:
    providers = [stand.me for stand in town.stands[:asked]]
    found = await remote._lookup.look(dataset, providers)
    bob.replica.add_manifests(found.manifests)
    await remote.sync(dataset, bob.replica)
    with bob.replica.reading() as reading:
        known = reading.known(dataset)
        return {str(row.values[0]).split("x")[0].strip() for row in reading.rows(known)}


MESSAGES = {f"message {at}" for at in range(5)}


@in_town
async def test_everything_sealed_is_read_by_whoever_may(town: Town) -> None:
    _, dataset, _ = await sealed_town(town)
    assert await read(town, *await reader(town), dataset) == MESSAGES


@in_town
async def test_a_shard_that_is_not_the_certified_one_is_left_out(town: Town) -> None:
    _, dataset, _ = await sealed_town(town)
    for stand in town.stands[:2]:
        answer(stand, GetShard, lambda *_: Shard(data=b"\x00" * 4_000))
    assert await read(town, *await reader(town), dataset) == MESSAGES


@in_town
async def test_an_invented_segment_hides_nothing(town: Town) -> None:
    _, dataset, _ = await sealed_town(town)
    liar = town.stands[0]
    tell = liar.duties.on_get_dataset

    def lie(request: GetDataset, caller: Any) -> DatasetState:
        state = tell(request, caller)
        (bundle,) = state.segments
        certificate = msgspec.structs.replace(bundle.certificate, number=1)
        invented = msgspec.structs.replace(bundle, certificate=certificate)
        return msgspec.structs.replace(state, segments=(bundle, invented))

    answer(liar, GetDataset, lie)
    assert await read(town, *await reader(town), dataset) == MESSAGES


@in_town
async def test_a_provider_that_hides_the_segments_is_seen_through(town: Town) -> None:
    _, dataset, _ = await sealed_town(town)
    bob = town.person("bob")
    first = town.mailbox(bob)
    second = town.mailbox(bob, number=1, previous=first.manifest.hash)
    liar = town.stands[0]
    await liar.duties.on_put_manifest(PutManifest(signed=second))
    tell = liar.duties.on_get_dataset

    def lie(request: GetDataset, caller: Any) -> DatasetState:
        return msgspec.structs.replace(tell(request, caller), segments=())

    answer(liar, GetDataset, lie)
    answer(liar, ReadLog, lambda *_: LogPage(items=(), more=False))
    assert await read(town, *await reader(town), dataset) == MESSAGES


@in_town
async def test_a_placement_that_nobody_was_convicted_for_is_not_believed(town: Town) -> None:
    _, dataset, _ = await sealed_town(town)
    liar = town.stands[0]
    tell = liar.duties.on_get_dataset

    def lie(request: GetDataset, caller: Any) -> DatasetState:
        state = tell(request, caller)
        entry = PlacementEntry(
            network=town.world.network.id,
            dataset=dataset,
            number=1,
            previous=digest_of(state.placements[0].entry),
            assignments=(),
            agreements=(),
            mandate=None,
            case=b"\x09" * 32,
        )
        forged = SignedPlacement(entry=entry, signature=sign(entry, liar.keys.account))
        return msgspec.structs.replace(state, placements=(*state.placements, forged))

    answer(liar, GetDataset, lie)
    bob, remote = await reader(town)
    assert await read(town, bob, remote, dataset) == MESSAGES
    known = remote._lookup.known(dataset)
    assert known is not None
    assert known.placement.number == 0


@pytest.mark.parametrize("how", ["shredded", "sealed to another"])
@in_town
async def test_one_replica_cannot_spoil_the_keys(town: Town, how: str) -> None:
    _, dataset, _ = await sealed_town(town)
    liar = town.stands[0]
    tell = liar.serving.on_get_keys

    def lie(request: GetKeys, caller: Any) -> Keys:
        entries = []
        for entry in tell(request, caller).entries:
            spoilt = (
                entry.without(set(range(len(entry.salts))))
                if how == "shredded"
                else msgspec.structs.replace(entry, envelope=bytes(80))
            )
            entries.append(spoilt)
        return Keys(entries=tuple(entries))

    answer(liar, GetKeys, lie)
    assert await read(town, *await reader(town), dataset) == MESSAGES


# ---- hot logs


async def written(town: Town, bob: Person, dataset: DatasetId, *bodies: str) -> None:
    for body in bodies:
        draft = bob.write(dataset, body)
        for stand in town.stands[:3]:
            await stand.take(draft)


@in_town
async def test_what_one_replica_hides_the_others_tell(town: Town) -> None:
    bob, dataset = await mailbox_town(town)
    await written(town, bob, dataset, "one", "two")
    answer(town.stands[0], ReadLog, lambda *_: LogPage(items=(), more=False))
    assert await read(town, *await reader(town), dataset) == {"one", "two"}


@in_town
async def test_what_came_from_the_future_is_read_once_it_is_past(town: Town) -> None:
    ahead, dataset = await mailbox_town(town)
    ahead.replica._hlc = HlcClock(SimClock(town.loop, skew_s=20))
    await written(town, ahead, dataset, "tomorrow")
    bob, remote = await reader(town)
    bob.replica._clock = SimClock(town.loop, skew_s=-20)
    assert await read(town, bob, remote, dataset) == set()
    await asyncio.sleep(HLC_AHEAD_S)
    assert await read(town, bob, remote, dataset) == {"tomorrow"}


@in_town
async def test_another_process_of_the_reader_takes_no_answer_away(town: Town) -> None:
    """Its connection replaces ours, at all replicas at once, while they are asked."""
    bob, dataset = await mailbox_town(town)
    await written(town, bob, dataset, "one")
    (reading, one), (_, other) = await reader(town), await reader(town)
    for stand in town.stands[:3]:
        tell = stand.duties.on_get_dataset
        answer(stand, GetDataset, interrupted_once(other, stand, tell))
    assert await read(town, reading, one, dataset) == {"one"}


def interrupted_once(other: NodeRemote, stand: Stand, tell: Any) -> Any:
    left = [stand.me]

    async def interrupted(request: GetDataset, caller: Any) -> DatasetState:
        if left:
            await other.context.directory.reach(left.pop())
        return tell(request, caller)  # type: ignore[no-any-return]  # what the stand tells

    return interrupted


@in_town
async def test_log_entries_that_never_were_do_not_stop_the_reader(town: Town) -> None:
    bob, dataset = await mailbox_town(town)
    await written(town, bob, dataset, "one", "two")
    invented = LogItem(
        number=7, changeset=ChangesetId(Hash(b"\x07" * 32)), data=b"", entry=None, receipts=()
    )
    answer(town.stands[0], ReadLog, lambda *_: LogPage(items=(invented,), more=False))
    assert await read(town, *await reader(town), dataset) == {"one", "two"}


@in_town
async def test_a_log_that_never_ends_does_not_hold_the_reader(town: Town) -> None:
    bob, dataset = await mailbox_town(town)
    await written(town, bob, dataset, "one", "two")
    again = LogItem(
        number=0, changeset=ChangesetId(Hash(b"\x07" * 32)), data=b"", entry=None, receipts=()
    )
    answer(town.stands[0], ReadLog, lambda *_: LogPage(items=(again,), more=True))
    found = await asyncio.wait_for(read(town, *await reader(town), dataset), timeout=30)
    assert found == {"one", "two"}


@in_town
async def test_a_log_of_many_pages_is_read_past_what_was_released(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "PAGE_ITEMS", 2)
    bob, dataset, _ = await sealed_town(town)
    await written(town, bob, dataset, "later", "latest")

    def hidden(request: GetDataset, caller: Any, stand: Stand) -> DatasetState:
        state = stand.duties.on_get_dataset(request, caller)
        return msgspec.structs.replace(state, segments=())

    for stand in town.stands:
        answer(stand, GetDataset, lambda r, c, stand=stand: hidden(r, c, stand))
    bob, remote = await reader(town)
    with pytest.raises(MfdbError):
        await asyncio.wait_for(read(town, bob, remote, dataset), timeout=30)
    for stand in town.stands:
        answer(stand, GetDataset, stand.duties.on_get_dataset)
    assert await read(town, bob, remote, dataset) == MESSAGES | {"later", "latest"}


@in_town
async def test_garbage_in_one_log_is_no_reason_to_read_nothing(town: Town) -> None:
    bob, dataset = await mailbox_town(town)
    await written(town, bob, dataset, "one")
    garbage = LogItem(
        number=0, changeset=ChangesetId(Hash(b"\x07" * 32)), data=b"junk", entry=None, receipts=()
    )
    answer(town.stands[0], ReadLog, lambda *_: LogPage(items=(garbage,), more=False))
    assert await read(town, *await reader(town), dataset) == {"one"}


@in_town
async def test_whoever_may_not_read_is_told_so(town: Town) -> None:
    bob, dataset = await mailbox_town(town)
    alice = town.person("alice")
    remote = await alice.remote()
    await remote._lookup.look(dataset, [stand.me for stand in town.stands[:3]])
    alice.replica.add_manifests([town.mailbox(bob)])
    with pytest.raises(AccessDenied):
        await remote.sync(dataset, alice.replica)


# ---- following


@in_town
async def test_a_follower_hears_of_a_write_though_one_replica_is_gone(town: Town) -> None:
    bob, dataset = await mailbox_town(town)
    again, remote = await reader(town)
    await read(town, again, remote, dataset)
    feed = remote.follow(dataset, again.replica)
    await anext(feed)
    town.stands[0].vanish()
    draft = bob.write(dataset, "news")
    await town.stands[1].take(draft)
    await asyncio.wait_for(anext(feed), timeout=60)
    assert again.replica.has(dataset, draft.changeset.id)
    await feed.aclose()  # type: ignore[attr-defined]  # it is a generator


async def _drain(feed: AsyncIterator[None]) -> None:
    async for _ in feed:
        pass


@in_town
async def test_a_follower_that_loses_its_right_is_told(town: Town) -> None:
    await town.open(6)
    bob, alice = town.person("bob"), town.person("alice")
    rights = int(Action.SELECT | Action.SUBSCRIBE)
    lets = grant(Grantee.IDENTITY, rights, alice.address)
    first = town.mailbox(bob, grants=(OWNER_ALL, PUBLIC_INSERT, lets))
    await town.place(first, bob)
    bob.replica.add_manifests([first])
    dataset = first.manifest.dataset
    remote = await alice.remote()
    alice.replica.add_manifests([first])
    await remote._lookup.look(dataset, [stand.me for stand in town.stands[:3]])
    feed = remote.follow(dataset, alice.replica)
    await anext(feed)
    second = town.mailbox(bob, number=1, previous=first.manifest.hash)
    for stand in town.stands:
        await stand.duties.on_put_manifest(PutManifest(signed=second))
    bob.replica.add_manifests([second])
    await written(town, bob, dataset, "not for Alice")
    with pytest.raises(AccessDenied):
        await asyncio.wait_for(_drain(feed), timeout=30)


@in_town
async def test_a_stream_ends_when_the_right_does(town: Town) -> None:
    bob, dataset = await mailbox_town(town)
    await written(town, bob, dataset, "one")
    stand = town.stands[0]
    pages = stand.serving.on_follow(Follow(dataset=dataset, after=-1), town.person("eve").address)
    with pytest.raises(AccessDenied):
        await anext(pages)


@in_town
async def test_keys_that_do_not_fit_one_answer_come_in_several(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, dataset, _ = await sealed_town(town)
    monkeypatch.setattr(serving, "PAGE_BYTES", 100)
    bob, remote = await reader(town)
    with town.stands[0].store.snapshot() as view:
        (bundle,) = sealed_shelf.segments(view, dataset)
    request = GetKeys(dataset=dataset, changesets=bundle.changesets)
    told = town.stands[0].serving.on_get_keys(request, bob.address)
    assert len(told.entries) == 1
    assert await read(town, bob, remote, dataset) == MESSAGES


@in_town
async def test_segments_come_page_by_page(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (answers, sealed_shelf, whereabouts):
        monkeypatch.setattr(module, "SEGMENTS_BYTES", 3_000)
    owner, dataset, _ = await sealed_town(town)
    for at in range(7):
        draft = owner.write(dataset, f"later {at}")
        for stand in town.stands[:3]:
            await stand.take(draft)
        await town.stands[0].sealing.on_seal_now(SealNow(dataset=dataset), owner.address)
    with town.stands[0].store.snapshot() as view:
        assert len(sealed_shelf.segments_after(view, dataset, b"")) < len(
            sealed_shelf.segments(view, dataset)
        )
    bob, remote = await reader(town)
    found = await remote._lookup.look(dataset, [town.stands[1].me])
    assert [bundle.certificate.number for bundle in found.segments] == list(range(8))
    assert len(await read(town, bob, remote, dataset)) == 12
    liar = town.stands[1]
    answer(
        liar,
        GetSegments,
        lambda request, caller: liar.duties.on_get_segments(
            msgspec.structs.replace(request, after=SegmentId(Hash(bytes(32)))), caller
        ),
    )
    with pytest.raises(BadProof, match="do not ascend"):
        await remote._lookup.look(dataset, [liar.me])
    monkeypatch.setattr(whereabouts, "STATE_BYTES", 4_000)
    with pytest.raises(BadProof, match="more of a dataset"):
        await remote._lookup.look(dataset, [town.stands[2].me])


@in_town
async def test_a_long_history_of_rules_and_moves_comes_page_by_page(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, dataset, _ = await sealed_town(town)
    manifest = owner.replica.known(dataset).manifest
    for number in range(1, 6):
        manifest = msgspec.structs.replace(manifest, number=number, previous=manifest.hash)
        for stand in town.stands[:3]:
            await stand.duties.on_put_manifest(PutManifest(signed=signed(manifest, owner.keys)))
    monkeypatch.setattr(whereabouts, "SEGMENTS_BYTES", 1_000)
    first = town.stands[0].duties.on_get_dataset(GetDataset(dataset=dataset), owner.address)
    assert len(first.manifests) < 6
    bob, remote = await reader(town)
    found = await remote._lookup.look(dataset, [town.stands[1].me])
    assert [one.manifest.number for one in found.manifests] == list(range(6))
    assert await read(town, bob, remote, dataset) == MESSAGES
    with monkeypatch.context() as patch:
        patch.setattr(whereabouts, "STATE_BYTES", 2_000)
        with pytest.raises(BadProof, match="more of a dataset"):
            await remote._lookup.look(dataset, [town.stands[2].me])

    def circling(request: GetHistory, caller: Address) -> History:
        again = msgspec.structs.replace(request, manifests=0)
        return town.stands[1].duties.on_get_history(again, caller)

    answer(town.stands[1], GetHistory, circling)
    late = town.person("bob")
    fresh = await late.remote()
    with pytest.raises(BadProof, match="do not ascend"):
        await fresh._lookup.look(dataset, [town.stands[1].me])
