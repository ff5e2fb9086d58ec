"""A record that rots on a provider's disk is noticed, told, mended - and stops nothing else."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from mfdb.dataset.row_changes import RowUpdate
from mfdb.kernel.codec import encode
from mfdb.kernel.errors import CorruptRecord
from mfdb.node.answers import Keys
from mfdb.node.provider import records, sealed_shelf, shelf, take_overs
from mfdb.node.provider.damage import AGAIN_S
from mfdb.node.requests import (
    GetDataset,
    GetKeys,
    ListHot,
    PutReceipts,
    PutSealed,
    ReadLog,
    SealNow,
)
from mfdb.rules.changeset import version_ids
from mfdb.rules.placement import SignedAgreement
from mfdb.rules.receipt import check_write_receipt
from tests.fixtures.node_town import Person, Stand, Town, in_town, mailbox_town, sealed_town
from tests.unit.node.test_rows import _incoming, staged

if TYPE_CHECKING:
    from collections.abc import Callable

    from mfdb.dataset.writer import Draft
    from mfdb.kernel.ids import DatasetId
    from mfdb.node.commit import Transaction
    from mfdb.node.provider.shelf import View
    from mfdb.rules.evidence import Agreement


@dataclass(frozen=True)
class Scene:
    """Bob's mailbox with a sealed segment and two letters that all replicas hold and receipted."""

    bob: Person
    dataset: DatasetId
    drafts: tuple[Draft, ...]


async def scene(town: Town, count: int = 6) -> Scene:
    bob, dataset, _ = await sealed_town(town, count)
    drafts = tuple(bob.write(dataset, f"unsealed {at}") for at in range(2))
    for draft in drafts:
        receipts = [await stand.take(draft) for stand in town.stands[:3]]
        put = PutReceipts(dataset=dataset, receipts=tuple(receipts))
        for stand in town.stands[:3]:
            await stand.intake.keep_receipts(put)
    return Scene(bob, dataset, drafts)


def value(stand: Stand, key: bytes) -> bytes | None:
    with stand.store.snapshot() as view:
        return view.get(key)


def rot(stand: Stand, table: bytes, dataset: DatasetId, part: bytes = b"") -> tuple[bytes, bytes]:
    """Turn a bit in the middle of the last record of a table; return its key and good value."""
    with stand.store.snapshot() as view:
        key, good = [*view.scan(table + dataset + part)][-1]
    stand.disk.flip_bit(key, 8 * (len(good) // 2))
    return key, good


def signed_by(agreement: Agreement) -> SignedAgreement:
    return SignedAgreement(agreement=agreement, client_signature=b"", provider_signature=b"")


async def use(stand: Stand, dataset: DatasetId) -> None:
    """Do what a provider does all day, so that it meets whatever is damaged."""
    stand.duties.offer()
    await stand.healing.look()
    request = ReadLog(dataset=dataset, after=-1, limit_bytes=2**20)
    with stand.context.sparing(dataset):
        stand.serving.on_read_log(request, stand.me)


async def mend(stand: Stand) -> None:
    await stand.node.looks["restoring"]()


@pytest.mark.parametrize("table", [*"MPShKRrHaAXLOu"])
@in_town
async def test_a_turned_bit_is_noticed_told_and_mended(town: Town, table: str) -> None:
    made = await scene(town)
    stand, dataset = town.stands[0], made.dataset
    if table in "aA":
        manifest = town.mailbox(made.bob).manifest
        draft = town.draft(manifest, stand)
        await stand.duties.remember(signed_by(draft))
        key = table.encode() + manifest.subject + manifest.owner
        good = value(stand, key) or b""
        stand.disk.flip_bit(key, 8 * 40)
    else:
        part = made.drafts[0].changeset.id if table in "hKRrX" else b""
        key, good = rot(stand, table.encode(), dataset, part)
    assert stand.node.figures().damaged == (table == "u")  # these ask for it themselves
    await use(stand, dataset)
    assert stand.node.figures().damaged == (table != "S")  # catching up has brought a bundle
    await mend(stand)
    assert stand.node.figures().damaged == 0
    assert value(stand, key) == (good if table != "A" else None)
    await use(stand, dataset)
    assert stand.node.figures().damaged == 0
    report = await stand.sealing.on_seal_now(SealNow(dataset=dataset), made.bob.address)
    assert report.report.receipts == 6


@pytest.mark.parametrize("table", [*"Nkci"])
@in_town
async def test_what_a_sealing_and_the_log_rest_on_is_written_down_again(
    town: Town, table: str
) -> None:
    made = await scene(town)
    stand, dataset, id_ = town.stands[0], made.dataset, made.drafts[0].changeset.id
    await stand.sealing.hot(ListHot(dataset=dataset, number=1))
    key, good = rot(stand, table.encode(), dataset, id_ if table == "N" else b"")
    number = int.from_bytes(key[33:], "big")
    reading: dict[str, Callable[[View], object]] = {
        "N": lambda view: shelf.log_number(view, dataset, id_),
        "k": lambda view: sealed_shelf.mark(view, dataset, number),
        "c": lambda view: sealed_shelf.signed_segment(view, dataset, number),
        "i": lambda view: sealed_shelf.signed_changesets(view, dataset, number),
    }
    with stand.context.sparing(dataset), stand.store.snapshot() as view:
        reading[table](view)
    assert stand.node.figures().damaged == 1
    await mend(stand)
    assert stand.node.figures().damaged == 0
    assert value(stand, key) == good


@pytest.mark.parametrize("tables", ["c", "i", "ci"])
@in_town
async def test_what_was_signed_and_is_not_sealed_yet_is_found_again_or_refused(
    town: Town, tables: str
) -> None:
    made = await scene(town)
    stand, dataset = town.stands[0], made.dataset
    ids = tuple(sorted(draft.changeset.id for draft in made.drafts))
    held = stand.sealing.copies.held(dataset, ids)
    named = (await stand.sealing._make(dataset, 1, held))[0].segment
    for signer in town.stands[:2]:
        await signer.committer.submit(
            lambda transaction: sealed_shelf.put_signed_segment(transaction, dataset, 1, named, ids)
        )
    for table in tables:
        stand.disk.flip_bit(table.encode() + dataset + (1).to_bytes(8, "big"), 77)
    with stand.context.sparing(dataset), stand.store.snapshot() as view:
        sealed_shelf.signed_changesets(view, dataset, 1)
        sealed_shelf.signed_segment(view, dataset, 1)
    assert stand.node.figures().damaged == 1
    await mend(stand)
    is_lost = len(tables) == 2
    assert stand.node.figures().damaged == is_lost
    with stand.store.snapshot() as view:
        if is_lost:
            with pytest.raises(CorruptRecord):
                sealed_shelf.signed_segment(view, dataset, 1)
        else:
            assert sealed_shelf.signed_segment(view, dataset, 1) == named
            assert sealed_shelf.signed_changesets(view, dataset, 1) == ids


@in_town
async def test_plain_values_of_an_older_release_are_read_on(town: Town) -> None:
    made = await scene(town)
    stand, dataset = town.stands[0], made.dataset
    with stand.store.snapshot() as view:
        tables = [b"L", b"N", b"k", b"c", b"i", b"u", b"O"]
        kept = [pair for table in tables for pair in view.scan(table + dataset)]
        used, head = shelf.used_bytes(view, dataset), shelf.log_entry(view, dataset, 6)
    stand.store.write([(key, data[:-4]) for key, data in kept])
    with stand.store.snapshot() as view:
        assert shelf.used_bytes(view, dataset) == used
        assert shelf.log_entry(view, dataset, 6) == head
        assert shelf.log_number(view, dataset, head) == 6
        assert len(sealed_shelf.signed_changesets(view, dataset, 0)) == 5
    report = await stand.sealing.on_seal_now(SealNow(dataset=dataset), made.bob.address)
    assert (report.report.changesets, report.report.receipts) == (2, 6)
    assert stand.node.figures().damaged == 0


@in_town
async def test_one_damaged_header_stops_no_other_dataset(town: Town) -> None:
    """Whatever comes first in the order of ids, both are healed."""
    bob, dataset = await mailbox_town(town)
    alice = town.person("alice")
    hers = town.mailbox(alice)
    await town.place(hers, alice)
    alice.replica.add_manifests([hers])
    stand = town.stands[0]
    for person, id_ in ((bob, dataset), (alice, hers.manifest.dataset)):
        await stand.take(person.write(id_, "here"))
        await town.stands[1].take(person.write(id_, "lacking"))
    for one, other in ((dataset, hers.manifest.dataset), (hers.manifest.dataset, dataset)):
        rot(stand, b"h", one)
        await stand.healing.look()
        with stand.store.snapshot() as view:
            assert len(shelf.unsealed(view, other)) == 2
        assert stand.healing.age_s() == 0
        await mend(stand)
        assert len(stand.context.damage) == 0


@in_town
async def test_whoever_asks_finds_the_damage_and_what_is_sealed_is_mended_from_shards(
    town: Town,
) -> None:
    made = await scene(town)
    stand, asker = town.stands[0], town.stands[3]
    with stand.store.snapshot() as view:
        (bundle,) = sealed_shelf.segments(view, made.dataset)
    id_ = bundle.changesets[0]
    entry, good = rot(stand, b"K", made.dataset, id_)
    header, whole = rot(stand, b"h", made.dataset, id_)
    correspondent = await asker.directory.reach(stand.me)
    with pytest.raises(CorruptRecord):
        await correspondent.ask(GetKeys(dataset=made.dataset, changesets=(id_,)), Keys)
    assert stand.context.damage.due() == [entry]
    with stand.store.snapshot() as view, pytest.raises(records.DamagedRecord) as found:
        shelf.header(view, made.dataset, id_)
    stand.context.damage.note(found.value)
    await mend(stand)
    assert (value(stand, entry), value(stand, header)) == (good, whole)
    told = await correspondent.ask(GetKeys(dataset=made.dataset, changesets=(id_,)), Keys)
    assert [one.changeset for one in told.entries] == [id_]


@in_town
async def test_what_nobody_can_give_yet_is_tried_again(town: Town) -> None:
    made = await scene(town)
    stand = town.stands[0]
    key, good = rot(stand, b"S", made.dataset)
    for other in town.stands[1:]:
        other.vanish()
    await use(stand, made.dataset)
    await mend(stand)
    assert stand.context.damage.due() == []
    assert stand.node.figures().damaged == 1
    for other in list(town.stands[1:]):
        await other.crash()
    await mend(stand)
    assert value(stand, key) != good
    await asyncio.sleep(AGAIN_S)
    await mend(stand)
    assert value(stand, key) == good


@in_town
async def test_rules_that_others_tell_are_believed_only_if_they_verify(town: Town) -> None:
    made = await scene(town)
    stand = town.stands[0]
    key, good = rot(stand, b"P", made.dataset)
    for other in town.stands[1:]:
        state = other.duties.on_get_dataset(GetDataset(dataset=made.dataset), stand.me)
        first = replace(state.placements[0], signature=bytes(65))
        lie = replace(state, placements=(first,))
        answering = other.node._server._answering
        other.node._server._answering = {**answering, GetDataset: lambda *_, lie=lie: lie}
    await use(stand, made.dataset)
    await mend(stand)
    assert value(stand, key) != good
    assert stand.node.figures().damaged == 1


@in_town
async def test_a_receipt_that_nobody_else_has_is_signed_again_for_the_same_place(
    town: Town,
) -> None:
    bob, dataset = await mailbox_town(town)
    stand = town.stands[0]
    drafts = [bob.write(dataset, f"message {at}") for at in range(3)]
    before = [await stand.take(draft) for draft in drafts][1]
    rot(stand, b"R", dataset, drafts[1].changeset.id)
    await use(stand, dataset)
    await mend(stand)
    after = await stand.take(drafts[1])
    assert after.ack == before.ack
    assert after.batch.number > before.batch.number
    check_write_receipt(
        after,
        encode(drafts[1].changeset),
        network=town.world.network,
        signer=stand.keys.signer.address,
    )
    with stand.store.snapshot() as view:
        assert shelf.tip(view, dataset).number == 2


@in_town
async def test_a_log_entry_that_is_gone_is_written_again(town: Town) -> None:
    made = await scene(town)
    stand = town.stands[0]
    with stand.store.snapshot() as view:
        (key, good), tip = [*view.scan(b"L" + made.dataset)][2], shelf.tip(view, made.dataset)
    stand.disk.lose(key)
    await use(stand, made.dataset)
    await mend(stand)
    assert value(stand, key) == good
    with stand.store.snapshot() as view:
        assert shelf.tip(view, made.dataset) == tip


@in_town
async def test_versions_of_rows_are_read_again_from_their_changeset(town: Town) -> None:
    bob, dataset = await mailbox_town(town)
    stand = town.stands[0]
    first = bob.write(dataset, "a")
    bob.replica.apply(dataset, [_incoming(first)])
    await stand.take(first)
    row, (one,) = first.changeset.operations[0].row, version_ids(first.changeset.id, 1)
    second = staged(bob, dataset, RowUpdate(row=row, parent=one, values={"body": "b"}))
    await stand.take(second)
    bob.replica.apply(dataset, [_incoming(second)])
    key, good = rot(stand, b"V", dataset)
    (two,) = version_ids(second.changeset.id, 1)
    third = staged(bob, dataset, RowUpdate(row=row, parent=two, values={"body": "c"}))
    with pytest.raises(records.DamagedRecord) as found:
        await stand.take(third)
    stand.context.damage.note(found.value)
    await mend(stand)
    assert value(stand, key) == good
    await stand.take(third)


@in_town
async def test_a_damaged_bundle_makes_way_when_others_hand_it_round(town: Town) -> None:
    made = await scene(town)
    stand = town.stands[0]
    with stand.store.snapshot() as view:
        (bundle,) = sealed_shelf.segments(view, made.dataset)
    key, good = rot(stand, b"S", made.dataset)
    await stand.sealing.on_put_sealed(PutSealed(dataset=made.dataset, bundle=bundle))
    assert value(stand, key) == good


@in_town
async def test_a_provider_starts_with_a_damaged_account_and_damaged_rules(town: Town) -> None:
    made = await scene(town)
    stand, peer = town.stands[0], town.stands[3]
    correspondent = await peer.directory.reach(stand.me)
    await correspondent.ask(GetKeys(dataset=made.dataset, changesets=()), Keys)
    await stand.accounts.flush()
    stand.disk.flip_bit(b"W" + peer.me, 3)
    key, good = rot(stand, b"P", made.dataset)
    again = await stand.crash()
    assert again.node.figures().damaged == 1
    await mend(again)
    assert value(again, key) == good
    again.healing.arrived(town.stands[1].me)
    await again.healing.meet()
    await (await peer.directory.reach(stand.me)).ask(
        GetKeys(dataset=made.dataset, changesets=()), Keys
    )


def test_an_older_release_wrote_records_without_a_checksum() -> None:
    tip = shelf.LogTip(number=3, head=b"\x01" * 32, newest=7)  # type: ignore[arg-type]  # a hash
    old = encode(tip)
    assert records.opened(shelf.LogTip, b"H", old) == tip
    new = records.checked(old)
    assert records.opened(shelf.LogTip, b"H", new) == tip
    for at in range(8 * len(new)):
        rotten = bytearray(new)
        rotten[at // 8] ^= 1 << (at % 8)
        with pytest.raises(records.DamagedRecord):
            records.opened(shelf.LogTip, b"H", bytes(rotten))


@in_town
async def test_what_is_to_be_told_of_one_dataset_does_not_wait_for_another(town: Town) -> None:
    _, dataset = await mailbox_town(town)
    alice = town.person("alice")
    hers = town.mailbox(alice)
    await town.place(hers, alice)
    stand, other = town.stands[0], town.stands[1].me
    both = sorted([dataset, hers.manifest.dataset])

    def change(transaction: Transaction) -> None:
        for one in both:
            take_overs.put_outranked(transaction, one, other)

    await stand.committer.submit(change)
    rot(stand, b"P", both[0])
    await stand.taking_over.look()
    with stand.store.snapshot() as view:
        assert take_overs.outranked(view) == ((both[0], other),)
    await mend(stand)
    await stand.taking_over.look()
    with stand.store.snapshot() as view:
        assert take_overs.outranked(view) == ()
