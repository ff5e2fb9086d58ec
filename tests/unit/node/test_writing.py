"""Placing a dataset and writing to a quorum of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from mfdb.kernel.codec import encode
from mfdb.kernel.errors import (
    AccessDenied,
    BadProof,
    MalformedMessage,
    NoProviders,
    QuorumNotReached,
)
from mfdb.kernel.ids import Wei
from mfdb.net.refusal import decode_refusal
from mfdb.node.answers import Acknowledged
from mfdb.node.provider import shelf
from mfdb.node.requests import GetDataset, PutChangeset, PutChangesets
from tests.fixtures.node_town import (
    CLIENT_SETTINGS,
    PROVIDER_SETTINGS,
    Person,
    Stand,
    Town,
    in_town,
    mailbox_town,
)

if TYPE_CHECKING:
    from mfdb.kernel.ids import DatasetId
    from mfdb.node.client.remote import NodeRemote


async def published(
    town: Town, count: int = 6, **settings: Any
) -> tuple[Person, NodeRemote, DatasetId]:
    await town.open(count)
    bob = town.person("bob")
    remote = await bob.remote(settings=replace(CLIENT_SETTINGS, **settings))
    made = town.mailbox(bob)
    await remote.publish(made)
    bob.replica.add_manifests([made])
    return bob, remote, made.manifest.dataset


def replicas(town: Town, remote: NodeRemote, dataset: DatasetId) -> list[Stand]:
    known = remote._lookup.known(dataset)
    assert known is not None
    return [town.stand(who) for who in known.placement.replica_set]


def holds(stand: Stand, dataset: DatasetId, draft: Any) -> bool:
    with stand.store.snapshot() as view:
        return shelf.changeset_data(view, dataset, draft.changeset.id) is not None


async def write(remote: NodeRemote, dataset: DatasetId, draft: Any) -> set[bytes]:
    outcome = await remote.write(dataset, draft.changeset, draft.entry)
    return {receipt.batch.provider for receipt in outcome.receipts}


# ---- placing


@in_town
async def test_a_dataset_is_placed_on_n_providers_that_all_know_their_duty(town: Town) -> None:
    bob, remote, dataset = await published(town, 8)
    known = remote._lookup.known(dataset)
    assert known is not None
    assert len(set(known.placement.shards.values())) == 6
    assert len(set(known.placement.replica_set)) == 3
    for who in known.placement.providers:
        state = town.stand(who).duties.on_get_dataset(GetDataset(dataset=dataset), bob.address)
        assert state.placements == known.placements
        agreement = known.placement.agreement_of(who)
        assert agreement is not None
        kept = await town.world.chain().agreement(agreement)
        assert kept is not None
        assert kept.earmarked > 0


@in_town
async def test_too_few_providers_is_said_with_the_reason_and_binds_nobody(town: Town) -> None:
    await town.open(5)
    bob = town.person("bob")
    remote = await bob.remote()
    with pytest.raises(NoProviders):
        await remote.publish(town.mailbox(bob))
    for stand in town.stands:
        deposit = await town.world.chain().deposit(stand.me)
        assert deposit.earmarked == 0


@in_town
async def test_who_is_full_poor_or_too_dear_is_not_chosen(town: Town) -> None:
    await town.open(6)
    full = replace(PROVIDER_SETTINGS, capacity_bytes=2**19)
    poor = replace(PROVIDER_SETTINGS, stake=Wei(1))
    dear = replace(PROVIDER_SETTINGS, fee_per_mib_epoch=Wei(10**15))
    unfit = [(await town.open(1, settings))[0].me for settings in (full, poor, dear)]
    bob = town.person("bob")
    remote = await bob.remote()
    made = town.mailbox(bob, price_ceiling=Wei(10**12))
    await remote.publish(made)
    known = remote._lookup.known(made.manifest.dataset)
    assert known is not None
    assert not set(unfit) & set(known.placement.providers)


@in_town
async def test_where_a_dataset_stands_is_known_to_the_next_process(town: Town) -> None:
    bob, remote, dataset = await published(town)
    before = remote._lookup.known(dataset)
    await remote.close()
    town.remotes.remove(remote)
    again = await bob.remote(settings=CLIENT_SETTINGS)
    assert again._lookup.known(dataset) == before


# ---- writing


@in_town
async def test_a_write_is_acknowledged_by_w_and_pushed_to_all(town: Town) -> None:
    bob, remote, dataset = await published(town)
    draft = bob.write(dataset, "hello")
    assert len(await write(remote, dataset, draft)) >= 2
    await asyncio.sleep(5)
    for stand in replicas(town, remote, dataset):
        assert holds(stand, dataset, draft)
        with stand.store.snapshot() as view:
            found = shelf.receipts(view, dataset, draft.changeset.id, town.world.network)
            assert len(found) == 3


@in_town
async def test_one_replica_less_is_not_noticed_and_it_gets_the_write_when_back(town: Town) -> None:
    bob, remote, dataset = await published(town)
    away = replicas(town, remote, dataset)[0]
    away.vanish()
    draft = bob.write(dataset, "hello")
    assert away.me not in await write(remote, dataset, draft)
    back = await away.crash()
    await asyncio.sleep(120)
    assert holds(back, dataset, draft)


@in_town
async def test_fewer_than_w_is_indeterminate_and_goes_on(town: Town) -> None:
    bob, remote, dataset = await published(town)
    gone = replicas(town, remote, dataset)[:2]
    for stand in gone:
        stand.vanish()
    draft = bob.write(dataset, "hello")
    with pytest.raises(QuorumNotReached):
        await write(remote, dataset, draft)
    for stand in gone:
        await stand.crash()
    await asyncio.sleep(120)
    assert all(holds(stand, dataset, draft) for stand in replicas(town, remote, dataset))


@in_town
async def test_a_write_that_all_refuse_fails_at_once_with_the_reason(town: Town) -> None:
    bob, remote, dataset = await published(town)
    for stand in replicas(town, remote, dataset):

        def refuse(*_: object) -> Acknowledged:
            raise AccessDenied("not you")

        server = stand.node._server
        server._answering = {**server._answering, PutChangeset: refuse}
    with pytest.raises(AccessDenied, match="not you"):
        await write(remote, dataset, bob.write(dataset, "hello"))


@pytest.mark.parametrize("forgery", ["agreement", "changeset", "signature", "provider"])
@in_town
async def test_a_receipt_that_proves_nothing_does_not_count(town: Town, forgery: str) -> None:
    bob, remote, dataset = await published(town)
    cheats = replicas(town, remote, dataset)[:2]
    for cheat in cheats:
        server, take = cheat.node._server, cheat.intake.on_put_changeset

        async def lie(request: PutChangeset, _: object, take: Any = take) -> Acknowledged:
            receipt = (await take(request)).receipt
            ack, batch, signature = receipt.ack, receipt.batch, receipt.signature
            if forgery in ("agreement", "changeset"):
                ack = msgspec.structs.replace(ack, **{forgery: b"\x01" * 32})
            elif forgery == "provider":
                batch = msgspec.structs.replace(batch, provider=bob.address)
            else:
                signature = bob.keys.account.sign(batch.root)
            return Acknowledged(
                receipt=msgspec.structs.replace(receipt, ack=ack, batch=batch, signature=signature)
            )

        server._answering = {**server._answering, PutChangeset: lie}
    draft = bob.write(dataset, "hello")
    with pytest.raises((QuorumNotReached, AccessDenied)):
        await write(remote, dataset, draft)


@in_town
async def test_a_replica_beyond_the_quorum_gets_many_writes_at_once(town: Town) -> None:
    bob, remote, dataset = await published(town, trailing_s=0.5)
    leading, _, trailing = replicas(town, remote, dataset)
    drafts = [bob.write(dataset, f"message {at}") for at in range(5)]
    for draft in drafts:
        assert trailing.me not in await write(remote, dataset, draft)
    await asyncio.sleep(5)
    answered = [stand.node._server.answered for stand in (leading, trailing)]
    assert [one["PutChangeset"] + one["PutChangesets"] for one in answered] == [5, 1]
    for draft in drafts:
        assert holds(trailing, dataset, draft)
        with trailing.store.snapshot() as view:
            found = shelf.receipts(view, dataset, draft.changeset.id, town.world.network)
        assert len(found) == 3
    with trailing.store.snapshot() as view:
        batches = {
            shelf.receipt_of(view, dataset, draft.changeset.id, trailing.me).batch.number  # type: ignore[union-attr] # it holds them all
            for draft in drafts
        }
    assert len(batches) == 1


@in_town
async def test_of_many_writes_at_once_each_is_answered_for_itself(town: Town) -> None:
    bob, dataset = await mailbox_town(town)
    good, bad, other = (bob.write(dataset, text) for text in ("good", "bad", "other"))
    entry = msgspec.structs.replace(bad.entry, envelope=b"")
    puts = (
        PutChangeset(data=encode(good.changeset), entry=good.entry),
        PutChangeset(data=encode(bad.changeset), entry=entry),
        PutChangeset(data=b"no changeset", entry=other.entry),
        PutChangeset(data=encode(other.changeset), entry=other.entry),
    )
    stand = town.stands[0]
    answers = (await stand.intake.on_put_changesets(PutChangesets(puts=puts))).answers
    first, second, third, last = answers
    assert first.receipt is not None
    assert last.receipt is not None
    assert first.receipt.signature == last.receipt.signature
    assert (second.receipt, third.receipt) == (None, None)
    assert isinstance(decode_refusal(second.refusal), BadProof)
    assert isinstance(decode_refusal(third.refusal), MalformedMessage)


@in_town
async def test_who_failed_last_is_not_waited_for(town: Town) -> None:
    bob, remote, dataset = await published(town)
    leading, second, trailing = replicas(town, remote, dataset)
    leading.vanish()
    for at in range(2):
        draft = bob.write(dataset, f"message {at}")
        assert await write(remote, dataset, draft) == {second.me, trailing.me}
    order = remote._pipes.in_order((leading.me, second.me, trailing.me))
    assert order == [second.me, trailing.me, leading.me]
