"""Who is shown what: every request asks the dataset's rules first."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest

from mfdb.chain.port import RecordKind, SetRecord
from mfdb.kernel.codec import encode
from mfdb.kernel.errors import (
    AccessDenied,
    BadProof,
    MalformedMessage,
    ShardMissing,
    UnknownDataset,
)
from mfdb.kernel.ids import Address, DatasetId
from mfdb.node.answers import Done, LogPage
from mfdb.node.provider import sealed_shelf
from mfdb.node.requests import (
    Audit,
    Follow,
    GetCopies,
    GetDataset,
    GetKeys,
    GetReceipts,
    GetShard,
    ListHot,
    ProposeSeal,
    PutManifest,
    ReadLog,
    Reconcile,
    SealNow,
)
from mfdb.rules.manifest import Action, Grantee
from replication.reconcile import ItemSet, open_message
from tests.fixtures.datasets import OWNER_ALL, grant
from tests.fixtures.node_town import (
    Stand,
    Town,
    in_town,
    mailbox_town,
    node_record,
    sealed_town,
)

if TYPE_CHECKING:
    from mfdb.kernel.codec import Record

NOBODY = Address(b"\xee" * 20)


async def ask(stand: Stand, request: Record, caller: Address) -> Any:
    """Return what the provider answers, as its dispatcher would."""
    found: Any = stand.node._server._answering[type(request)](request, caller)
    return await found if isinstance(found, Awaitable) else found


def readings(dataset: DatasetId, changeset: Any, segment: Any) -> list[Record]:
    return [
        ReadLog(dataset=dataset, after=-1, limit_bytes=2**20),
        GetKeys(dataset=dataset, changesets=(changeset,)),
        GetReceipts(dataset=dataset, changeset=changeset),
        GetCopies(dataset=dataset, changesets=(changeset,)),
        GetShard(dataset=dataset, segment=segment, shard=0),
    ]


def between_providers(dataset: DatasetId, stand: Stand) -> list[Record]:
    with stand.store.snapshot() as view:
        (bundle,) = sealed_shelf.segments(view, dataset)
    return [
        Reconcile(dataset=dataset, message=encode(open_message(ItemSet([])))),
        ListHot(dataset=dataset, number=1),
        ProposeSeal(
            dataset=dataset,
            certificate=bundle.certificate,
            changesets=bundle.changesets,
            shard_roots=bundle.shard_roots,
            begun=b"",
        ),
    ]


@in_town
async def test_the_owner_and_the_providers_read_everything_others_nothing(town: Town) -> None:
    bob, dataset, segment = await sealed_town(town)
    stand = town.stands[0]
    with stand.store.snapshot() as view:
        (bundle,) = sealed_shelf.segments(view, dataset)
    for request in readings(dataset, bundle.changesets[0], segment):
        await ask(stand, request, bob.address)
        await ask(stand, request, town.stands[5].me)
        for stranger in (NOBODY, town.stands[6].me):
            with pytest.raises(AccessDenied):
                await ask(stand, request, stranger)


@in_town
async def test_what_replicas_ask_each_other_nobody_else_may(town: Town) -> None:
    bob, dataset, _ = await sealed_town(town)
    stand = town.stands[0]
    for request in between_providers(dataset, stand):
        for stranger in (NOBODY, bob.address, town.stands[6].me):
            with pytest.raises(AccessDenied):
                await ask(stand, request, stranger)
    for stranger in (NOBODY, town.stands[1].me):
        with pytest.raises(AccessDenied):
            await ask(stand, SealNow(dataset=dataset), stranger)


@in_town
async def test_a_dataset_that_is_not_here_is_unknown_whoever_asks(town: Town) -> None:
    bob, dataset, segment = await sealed_town(town)
    elsewhere = DatasetId(b"\x01" * 32)
    with town.stands[0].store.snapshot() as view:
        (bundle,) = sealed_shelf.segments(view, dataset)
    for request in readings(elsewhere, bundle.changesets[0], segment):
        with pytest.raises(UnknownDataset):
            await ask(town.stands[0], request, bob.address)


@in_town
async def test_an_audit_is_anybodys_and_shows_units_of_the_promised_shard_only(
    town: Town,
) -> None:
    _, dataset, segment = await sealed_town(town)
    stand = town.stands[0]
    with stand.store.snapshot() as view:
        (bundle,) = sealed_shelf.segments(view, dataset)
    mine = next(s for s in bundle.receipts if s.receipt.shard == 0)
    proofs = await ask(stand, Audit(receipt=mine.receipt, beacon=b"\x05" * 32), NOBODY)  # type: ignore[arg-type]  # any 32 bytes
    assert len(proofs.answer.proofs) == 30
    other = next(s for s in bundle.receipts if s.receipt.shard == 1)
    with pytest.raises(ShardMissing):
        await ask(stand, Audit(receipt=other.receipt, beacon=b"\x05" * 32), NOBODY)  # type: ignore[arg-type]  # any 32 bytes
    assert segment == bundle.certificate.segment


@pytest.mark.parametrize("after", [-2, 2**64, -(2**63)])
@in_town
async def test_a_number_out_of_range_is_malformed_or_past_the_end(town: Town, after: int) -> None:
    bob, dataset = await mailbox_town(town)
    await town.stands[0].take(bob.write(dataset, "one"))
    request = ReadLog(dataset=dataset, after=after, limit_bytes=2**20)
    if after > 0:
        assert (await ask(town.stands[0], request, bob.address)).items == ()
        return
    with pytest.raises(MalformedMessage):
        await ask(town.stands[0], request, bob.address)


@in_town
async def test_a_log_is_read_in_pages_of_bounded_size(town: Town) -> None:
    bob, dataset = await mailbox_town(town)
    stand = town.stands[0]
    for at in range(4):
        await stand.take(bob.write(dataset, f"{at} " + "x" * 1_000))
    first = await ask(stand, ReadLog(dataset=dataset, after=-1, limit_bytes=2_500), bob.address)
    assert ([item.number for item in first.items], first.more) == ([0, 1], True)
    rest = await ask(stand, ReadLog(dataset=dataset, after=1, limit_bytes=2**40), bob.address)
    assert ([item.number for item in rest.items], rest.more) == ([2, 3], False)


# ---- streams


async def follow(stand: Stand, dataset: DatasetId, caller: Address) -> Callable[[], Any]:
    pages = stand.serving.on_follow(Follow(dataset=dataset, after=-1), caller)

    async def page() -> LogPage:
        return await asyncio.wait_for(anext(pages), timeout=10)

    return page


@in_town
async def test_a_follower_gets_what_is_there_then_what_comes(town: Town) -> None:
    bob, dataset = await mailbox_town(town)
    stand = town.stands[0]
    await stand.take(bob.write(dataset, "before"))
    page = await follow(stand, dataset, bob.address)
    assert [item.number for item in (await page()).items] == [0]
    waiting = asyncio.ensure_future(page())
    await asyncio.sleep(1)
    assert not waiting.done()
    await stand.take(bob.write(dataset, "after"))
    assert [item.number for item in (await waiting).items] == [1]


@in_town
async def test_a_stream_ends_with_the_right_to_it(town: Town) -> None:
    await town.open(6)
    bob, alice = town.person("bob"), town.person("alice")
    rights = int(Action.SELECT | Action.SUBSCRIBE)
    lets = grant(Grantee.IDENTITY, rights, alice.address)
    first = town.mailbox(bob, grants=(OWNER_ALL, lets))
    await town.place(first, bob)
    bob.replica.add_manifests([first])
    stand, dataset = town.stands[0], first.manifest.dataset
    await stand.take(bob.write(dataset, "for Alice"))
    page = await follow(stand, dataset, alice.address)
    assert len((await page()).items) == 1
    second = town.mailbox(
        bob, grants=(OWNER_ALL,), number=1, previous=first.manifest.hash, acl_epoch=1
    )
    await stand.duties.on_put_manifest(PutManifest(signed=second))
    bob.replica.add_manifests([second])
    await stand.take(bob.write(dataset, "not for Alice"))
    with pytest.raises(AccessDenied):
        await page()


# ---- the door


@in_town
async def test_nobody_is_answered_before_it_has_said_who_it_is(town: Town) -> None:
    await town.open(1)
    stand = town.stands[0]

    class Mute:
        async def on_request(self, *_: object) -> bytes:
            raise AssertionError

        async def on_closed(self, *_: object) -> None:
            pass

    transport = town.network.transport(b"\x11" * 32, Mute())  # type: ignore[arg-type]  # it only asks
    peer = await transport.dial(stand.keys.transport_key, stand.bound, timeout_s=5)
    with pytest.raises(AccessDenied, match="hello"):
        await peer.request(encode(GetDataset(dataset=DatasetId(bytes(32)))), timeout_s=5)
    for junk in (b"", b"\xc1", encode(Done()), b"\x00" * 1000):
        with pytest.raises(MalformedMessage):
            await peer.request(junk, timeout_s=5)
    await transport.close()


@in_town
async def test_a_name_in_the_registry_that_is_anothers_is_not_believed(town: Town) -> None:
    await town.open(2)
    mallory = town.person("mallory")
    await town.fund(mallory.address, 1)
    theirs = await town.world.chain().record(town.stands[1].me, RecordKind.NODE)
    assert theirs is not None
    call = SetRecord(kind=RecordKind.NODE, record=theirs)
    await town.world.chain().send(call, mallory.keys.account)
    directory = town.stands[0].directory
    with pytest.raises(BadProof):
        await directory.record(mallory.address)
    assert set(await directory.providers()) == {stand.me for stand in town.stands}


@in_town
async def test_a_hot_key_that_the_chain_does_not_know_signs_for_nobody(town: Town) -> None:
    await town.open(2)
    cheat = town.stands[1]
    undelegated = town.person("mallory").keys.signer.address
    chequebook = cheat.accounts.chequebook
    record = node_record(
        town,
        cheat.keys,
        signer=undelegated,
        underlays=(cheat.bound,),
        chequebook=chequebook,
        roles=1,
    )
    cheat.node._server._me = record
    with pytest.raises(BadProof):
        await town.stands[0].directory.reach(cheat.me)
