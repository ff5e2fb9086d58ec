"""A provider's start does not depend on what lies on its disk or how long the chain is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from mfdb.chain.port import CaseOpened, OpenCase, RecordBeacon
from mfdb.kernel.errors import NetworkError
from mfdb.node.provider import sealed_shelf, shelf
from mfdb.node.provider.court import REORG_BLOCKS
from mfdb.node.provider.fellows import Fellows
from mfdb.node.provider.server import Server
from mfdb.node.requests import PutManifest, SealNow
from mfdb.node.sessions import Sessions
from mfdb.testing.memory_store import MemorySnapshot
from tests.fixtures.node_town import TERMS, Stand, Town, in_town, mailbox_town, run, sealed_town

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mfdb.chain.port import Seen
    from mfdb.kernel.ids import DatasetId
    from mfdb.rules.evidence import Network
    from mfdb.rules.placement import Placement


class Reads:
    """How many pairs were read from any store."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.count = 0
        get, scan = MemorySnapshot.get, MemorySnapshot.scan

        def counted_get(snapshot: MemorySnapshot, key: bytes) -> bytes | None:
            self.count += 1
            return get(snapshot, key)

        def counted_scan(
            snapshot: MemorySnapshot, *bounds: Any, **how: Any
        ) -> Iterator[tuple[bytes, bytes]]:
            for pair in scan(snapshot, *bounds, **how):
                self.count += 1
                yield pair

        patch.setattr(MemorySnapshot, "get", counted_get)
        patch.setattr(MemorySnapshot, "scan", counted_scan)


async def reads_of_a_start(reads: Reads, rows: int, segments: int) -> int:
    town = Town(asyncio.get_running_loop())
    try:
        bob, dataset = await mailbox_town(town)
        for _ in range(segments):
            for at in range(rows):
                draft = bob.write(dataset, f"message {at}")
                for stand in town.stands[:3]:
                    await stand.take(draft)
            await town.stands[0].sealing.on_seal_now(SealNow(dataset=dataset), bob.address)
        for at in range(rows):
            await town.stands[0].take(bob.write(dataset, f"unsealed {at}"))
        before = reads.count
        await town.stands[0].crash()
        return reads.count - before
    finally:
        await town.close()


def test_a_start_reads_as_much_whatever_lies_on_the_disk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reads = Reads(monkeypatch)
    little = run(reads_of_a_start(reads, rows=1, segments=1))
    much = run(reads_of_a_start(reads, rows=12, segments=4))
    assert little == much > 0


async def asked_since(stand: Stand) -> int:
    """Return the block since which a provider's court asks for events."""
    asked = []
    events = stand.chain.events

    async def noted(*, since_block: int = 0) -> list[Seen]:
        asked.append(since_block)
        return await events(since_block=since_block)

    stand.chain.events = noted  # type: ignore[method-assign]  # to hear the question
    await stand.court.look()
    return asked[0]


@in_town
async def test_events_that_settle_nothing_are_read_once_ever(town: Town) -> None:
    (stand,) = await town.open(1)
    for _ in range(REORG_BLOCKS + 50):
        await town.fund(stand.me, 1)
    await stand.court.look()
    again = await stand.crash()
    newest = town.world.head().number
    assert newest - REORG_BLOCKS - 60 < await asked_since(again) <= newest - REORG_BLOCKS


async def accuse(town: Town, dataset: DatasetId) -> None:
    """Open a case against the holder of a shard."""
    stand = town.stands[0]
    epoch = (await stand.chain.head()).time_s // TERMS.epoch_s
    await stand.chain.send(RecordBeacon(epoch=epoch), stand.keys.account)
    with stand.store.snapshot() as view:
        (bundle,) = sealed_shelf.segments(view, dataset)
    signed = bundle.receipts[-1]
    call = OpenCase(receipt=signed.receipt, signature=signed.signature, epoch=epoch, draw=0)
    await stand.chain.send(call, stand.keys.account)


@in_town
async def test_a_provider_that_does_not_serve_yet_is_asked_again(town: Town) -> None:
    """Whoever writes pushes on, and whoever audits does not accuse."""
    bob, _ = await mailbox_town(town)
    server = town.stands[0].node._server
    starting = Server(Sessions(town.world.network.id), town.stands[0].accounts)
    remote = await bob.remote()
    server.on_request = starting.on_request  # type: ignore[method-assign]  # as at its start
    with pytest.raises(NetworkError, match="does not serve yet") as told:
        await remote.context.directory.reach(town.stands[0].me)
    assert told.value.retryable


@in_town
async def test_events_are_read_since_the_oldest_case_that_is_open(town: Town) -> None:
    _, dataset, _ = await sealed_town(town)
    await accuse(town, dataset)
    (opened,) = [seen for seen in town.world.seen(0) if isinstance(seen.event, CaseOpened)]
    for _ in range(REORG_BLOCKS + 50):
        await town.fund(town.stands[0].me, 1)
    stand = town.stands[0]
    await stand.court.look()
    again = await stand.crash()
    assert await asked_since(again) == opened.block


@in_town
async def test_a_replica_learns_what_was_sealed_while_it_was_away(town: Town) -> None:
    bob, dataset = await mailbox_town(town)
    away = town.stands[2]
    away.vanish()
    drafts = [bob.write(dataset, f"message {at}") for at in range(3)]
    for draft in drafts:
        for stand in town.stands[:2]:
            await stand.take(draft)
    await town.stands[0].sealing.on_seal_now(SealNow(dataset=dataset), bob.address)
    back = await away.crash()
    await back.healing.look()
    with back.store.snapshot() as view:
        for draft in drafts:
            id_ = draft.changeset.id
            assert shelf.log_number(view, dataset, id_) is not None
            assert shelf.key_entry(view, dataset, id_) == draft.entry
        (bundle,) = sealed_shelf.segments(view, dataset)
        assert sealed_shelf.is_learnt(view, dataset, bundle.certificate.segment)


@pytest.mark.parametrize("place", [0, 1])
@in_town
async def test_a_bit_that_turned_in_a_changeset_is_mended_before_sealing(
    town: Town, place: int
) -> None:
    bob, dataset = await mailbox_town(town)
    draft = bob.write(dataset, "message")
    for stand in town.stands[:3]:
        await stand.take(draft)
    key = b"X" + dataset + draft.changeset.id
    town.stands[place].disk.flip_bit(key, 8 * 40)
    report = await town.stands[0].sealing.on_seal_now(SealNow(dataset=dataset), bob.address)
    assert report.report.receipts == 6
    with town.stands[place].store.snapshot() as view:
        assert shelf.unsealed(view, dataset) == ()


@in_town
async def test_a_replica_that_comes_back_is_met_at_once(town: Town) -> None:
    """It draws level with the others, and they with it, without waiting for the next round."""
    bob, dataset = await mailbox_town(town)
    early = bob.write(dataset, "only at the one that goes away")
    away = town.stands[2]
    await away.take(early)
    away.vanish()
    late = bob.write(dataset, "written meanwhile")
    for stand in town.stands[:2]:
        await stand.take(late)
    back = await away.crash()
    met = [asyncio.ensure_future(stand.node.looks["meeting"]()) for stand in town.stands[:3]]
    await asyncio.wait(met)
    for stand in (*town.stands[:2], back):
        with stand.store.snapshot() as view:
            held = set(shelf.unsealed(view, dataset))
        assert held == {early.changeset.id, late.changeset.id}
    waiting = asyncio.ensure_future(town.stands[0].node.looks["meeting"]())
    done, _ = await asyncio.wait([waiting], timeout=600)
    assert not done  # nobody else came
    waiting.cancel()


@in_town
async def test_a_greeting_costs_what_concerns_the_peer_and_nothing_of_other_datasets(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob, dataset = await mailbox_town(town, 7)
    alice = town.person("alice")
    hers = town.mailbox(alice)
    await town.place(hers, alice)
    stand, stranger = town.stands[0], town.person("eve").address
    stand.healing.arrived(town.stands[1].me)
    await stand.healing.meet()
    read: list[bytes] = []
    honest = shelf.placement

    def counted(view: shelf.View, dataset: DatasetId, network: Network) -> Placement:
        read.append(dataset)
        return honest(view, dataset, network)

    monkeypatch.setattr(shelf, "placement", counted)
    for peer in (stranger, town.stands[6].me, town.stands[5].me, stand.me):
        stand.healing.arrived(peer)
    meeting = asyncio.ensure_future(stand.healing.meet())
    done, _ = await asyncio.wait([meeting], timeout=600)
    assert (done, read) == (set(), [])
    after = town.mailbox(bob, number=1, previous=town.mailbox(bob).manifest.hash)
    await stand.duties.on_put_manifest(PutManifest(signed=after))
    read.clear()
    stand.healing.arrived(stranger)
    assert read == [dataset], "what was redefined is read once more, nothing else"
    town.stands[1].vanish()
    stand.healing.arrived(town.stands[1].me)
    await meeting
    assert {dataset, hers.manifest.dataset} == set(read)


@in_town
async def test_a_dataset_that_was_left_concerns_nobody(town: Town) -> None:
    _, dataset = await mailbox_town(town)
    stand, peer = town.stands[0], town.stands[1].me
    fellows = Fellows(stand.context)
    assert fellows.shared_with(peer) == {dataset}
    await stand.committer.submit(lambda transaction: sealed_shelf.forget(transaction, dataset))
    assert fellows.shared_with(peer) == frozenset()
    assert fellows.everybody() == ()
