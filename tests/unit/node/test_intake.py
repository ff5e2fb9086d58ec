"""Taking writes: what is taken, once, durably, and what is refused."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from mfdb.dataset.outcome import Incoming
from mfdb.kernel.codec import encode
from mfdb.kernel.errors import (
    AccessDenied,
    BadProof,
    BadSignature,
    ReplicaBehind,
    StoreFull,
    ValueTooLarge,
)
from mfdb.kernel.ids import ZERO_HASH, AgreementId, Hash
from mfdb.node.provider import intake as room
from mfdb.node.provider import shelf
from mfdb.node.requests import PutChangeset, PutManifest, PutReceipts, Shred
from mfdb.rules import receipt as receipt_room
from mfdb.rules.evidence import check_signer
from mfdb.rules.manifest import Action, Grantee, Revocation
from mfdb.rules.receipt import (
    Promised,
    acknowledge,
    check_bytes,
    check_write_receipt,
    sign_batch,
)
from tests.fixtures.datasets import OWNER_ALL, grant, signed
from tests.fixtures.node_town import Town, in_town, mailbox_town, writer_of

if TYPE_CHECKING:
    from mfdb.dataset.writer import Draft
    from mfdb.node.provider.shelf import View
    from mfdb.rules.receipt import WriteReceipt


def kept_receipts(town: Town, view: View, draft: Draft) -> tuple[WriteReceipt, ...]:
    entry = draft.entry
    return shelf.receipts(view, entry.dataset, entry.changeset, town.world.network)


@in_town
async def test_a_write_is_receipted_once_however_often_it_comes(town: Town) -> None:
    bob, dataset = await mailbox_town(town)
    stand = town.stands[0]
    draft = bob.write(dataset, "hello")
    first = await stand.take(draft)
    check_write_receipt(
        first,
        encode(draft.changeset),
        network=town.world.network,
        signer=stand.keys.signer.address,
    )
    assert await stand.take(draft) == first
    with stand.store.snapshot() as view:
        assert shelf.tip(view, dataset).number == 0


@in_town
async def test_a_write_that_comes_twice_in_one_commit_has_one_log_entry(town: Town) -> None:
    bob, dataset = await mailbox_town(town)
    stand = town.stands[0]
    draft = bob.write(dataset, "hello")
    receipts = await asyncio.gather(*(stand.take(draft) for _ in range(3)))
    with stand.store.snapshot() as view:
        assert shelf.tip(view, dataset).number == 0
        kept = shelf.receipt_of(view, dataset, draft.changeset.id, stand.me)
    assert set(receipts) == {kept}


@in_town
async def test_a_restart_gives_the_same_receipt_and_never_the_same_batch(town: Town) -> None:
    bob, dataset = await mailbox_town(town)
    stand = town.stands[0]
    one, other = bob.write(dataset, "one"), bob.write(dataset, "other")
    first = await stand.take(one)
    stand = await stand.crash()
    assert await stand.take(one) == first
    assert (await stand.take(other)).batch.number == first.batch.number + 1


@in_town
async def test_a_full_disk_promises_nothing_and_serves_on(town: Town) -> None:
    bob, dataset = await mailbox_town(town)
    stand = town.stands[0]
    draft = bob.write(dataset, "hello")
    stand.disk.full = True
    with pytest.raises(StoreFull):
        await stand.take(draft)
    with stand.store.snapshot() as view:
        assert shelf.log_number(view, dataset, draft.changeset.id) is None
    stand.disk.full = False
    receipt = await stand.take(draft)
    assert (receipt.ack.log_number, receipt.batch.count) == (0, 1)


@in_town
async def test_a_write_signed_by_another_key_leaves_nothing(town: Town) -> None:
    bob, dataset = await mailbox_town(town)
    draft = writer_of(town, "alice", town.mailbox(bob)).write(dataset, "hello")
    stolen = town.person("mallory").keys.account.sign(ZERO_HASH)
    forged = msgspec.structs.replace(draft.changeset, signature=stolen)
    entry = msgspec.structs.replace(draft.entry, changeset=forged.id)
    stand = town.stands[0]
    with pytest.raises(BadSignature):
        await stand.intake.on_put_changeset(PutChangeset(data=encode(forged), entry=entry))
    with stand.store.snapshot() as view:
        assert shelf.tip(view, dataset).number == -1
        assert list(view.scan(b"X")) == list(view.scan(b"K" + dataset)) == []


@in_town
async def test_a_writer_without_the_right_is_refused(town: Town) -> None:
    await town.open(6)
    bob = town.person("bob")
    made = town.mailbox(bob, grants=(OWNER_ALL,))
    await town.place(made, bob)
    mallory = writer_of(town, "mallory", town.mailbox(bob))
    # The rules that Mallory's replica knows are not Bob's: nobody ever published them.
    draft = mallory.write(made.manifest.dataset, "spam")
    with pytest.raises(ReplicaBehind):
        await town.stands[0].take(draft)


@in_town
async def test_a_grant_that_has_expired_is_no_grant_for_a_new_write(town: Town) -> None:
    await town.open(6)
    bob = town.person("bob")
    until = int(town.clock.now_s()) + 100
    open_for_a_while = grant(Grantee.PUBLIC, int(Action.INSERT), until=until)
    made = town.mailbox(bob, grants=(OWNER_ALL, open_for_a_while))
    await town.place(made, bob)
    alice = writer_of(town, "alice", made)
    dataset = made.manifest.dataset
    in_time, late = alice.write(dataset, "in time"), alice.write(dataset, "late")
    await town.stands[0].take(in_time)
    await asyncio.sleep(200)
    with pytest.raises(AccessDenied):
        await town.stands[0].take(late)
    # What another replica took in time spreads for ever.
    stand = town.stands[1]
    data = encode(in_time.changeset)
    await stand.intake.take(in_time.changeset, data, in_time.entry, fresh=False)


@in_town
async def test_what_a_revocation_leaves_out_is_kept_by_all_and_acknowledged_by_none(
    town: Town,
) -> None:
    """It came to one replica in time and to no quorum: were it not kept by all, none were equal."""
    await town.open(6)
    bob, alice = town.person("bob"), town.person("alice")
    inserting = grant(Grantee.IDENTITY, int(Action.INSERT), alice.address)
    before = town.mailbox(bob, grants=(OWNER_ALL, inserting))
    await town.place(before, bob)
    dataset = before.manifest.dataset
    alice.replica.add_manifests([before])
    told, late = alice.write(dataset, "in time"), alice.write(dataset, "too late for most")
    first, other = town.stands[0], town.stands[1]
    for stand in (first, other):
        await stand.take(told)
    receipt = await first.take(late)
    after = signed(
        msgspec.structs.replace(
            before.manifest,
            number=1,
            previous=before.manifest.hash,
            acl_epoch=1,
            grants=(OWNER_ALL,),
            revocations=(Revocation(alice.address, (Hash(told.changeset.id),)),),
        ),
        bob.keys,
    )
    for stand in town.stands:
        await stand.duties.on_put_manifest(PutManifest(signed=after))
    for stand in (first, other):
        with pytest.raises(AccessDenied, match="revoked"):
            await stand.take(late)
        await stand.take(told)  # inside the frontier, it is acknowledged again
    await other.healing.look()
    with other.store.snapshot() as view:
        assert shelf.changeset_data(view, dataset, late.changeset.id) is not None
        assert kept_receipts(town, view, late)[-1].batch.provider in (first.me, other.me)
    for stand in (first, other):
        with pytest.raises(AccessDenied, match="revoked"):
            await stand.take(late)
    assert receipt.ack.changeset == late.changeset.id
    bob.replica.add_manifests([before, after])
    items = [Incoming(changeset=one.changeset, entry=one.entry) for one in (told, late)]
    bob.replica.apply(dataset, items)
    with bob.replica.reading() as reading:
        rows = [row.values for row in reading.rows(reading.known(dataset))]
    assert len(rows) == 1
    assert "in time" in rows[0]


@in_town
async def test_a_provider_that_is_no_replica_takes_no_write(town: Town) -> None:
    bob, dataset = await mailbox_town(town)
    with pytest.raises(AccessDenied, match="not a replica"):
        await town.stands[5].take(bob.write(dataset, "hello"))
    with town.stands[5].store.snapshot() as view:
        assert shelf.unsealed(view, dataset) == ()


@in_town
async def test_a_write_under_rules_not_known_here_is_early_not_denied(town: Town) -> None:
    bob, dataset = await mailbox_town(town)
    first = town.mailbox(bob)
    second = town.mailbox(bob, number=1, previous=first.manifest.hash)
    alice = writer_of(town, "alice", first, second)
    with pytest.raises(ReplicaBehind):
        await town.stands[0].take(alice.write(dataset, "too early"))


@in_town
async def test_a_key_entry_that_does_not_open_the_write_is_refused(town: Town) -> None:
    bob, dataset = await mailbox_town(town)
    one, other = bob.write(dataset, "one"), bob.write(dataset, "other")
    with pytest.raises(BadProof):
        await town.stands[0].intake.take(
            one.changeset, encode(one.changeset), other.entry, fresh=True
        )


# ---- the receipts of others


@in_town
async def test_receipts_of_other_replicas_are_kept_and_those_of_strangers_refused(
    town: Town,
) -> None:
    bob, dataset = await mailbox_town(town, 7)
    draft = bob.write(dataset, "hello")
    mine, theirs = await town.stands[0].take(draft), await town.stands[1].take(draft)
    put = PutReceipts(dataset=dataset, receipts=(theirs,))
    await town.stands[0].intake.keep_receipts(put)
    with town.stands[0].store.snapshot() as view:
        assert set(kept_receipts(town, view, draft)) == {mine, theirs}
    stranger = msgspec.structs.replace(
        theirs, batch=msgspec.structs.replace(theirs.batch, provider=town.stands[6].me)
    )
    with pytest.raises(BadProof):
        await town.stands[0].intake.keep_receipts(
            PutReceipts(dataset=dataset, receipts=(stranger,))
        )


@in_town
async def test_a_forged_receipt_is_never_shown_and_makes_way_for_a_good_one(town: Town) -> None:
    bob, dataset = await mailbox_town(town)
    draft = bob.write(dataset, "hello")
    mine = await town.stands[0].take(draft)
    good, other = await town.stands[1].take(draft), await town.stands[2].take(draft)
    forged = msgspec.structs.replace(other, signature=good.signature)
    intake = town.stands[0].intake
    await intake.keep_receipts(PutReceipts(dataset=dataset, receipts=(good, forged)))
    with town.stands[0].store.snapshot() as view:
        assert set(kept_receipts(town, view, draft)) == {mine, good}
    await intake.keep_receipts(PutReceipts(dataset=dataset, receipts=(other,)))
    with pytest.raises(BadSignature):
        await intake.keep_receipts(PutReceipts(dataset=dataset, receipts=(forged,)))
    with town.stands[0].store.snapshot() as view:
        assert set(kept_receipts(town, view, draft)) == {mine, good, other}


@in_town
async def test_a_receipt_for_other_bytes_takes_the_whole_message_down(town: Town) -> None:
    bob, dataset = await mailbox_town(town)
    one, two = bob.write(dataset, "one"), bob.write(dataset, "two")
    for draft in (one, two):
        await town.stands[0].take(draft)
    good, other = await town.stands[1].take(one), await town.stands[2].take(two)
    swapped = msgspec.structs.replace(
        other, ack=msgspec.structs.replace(other.ack, changeset=good.ack.changeset)
    )
    with pytest.raises(BadProof):
        await town.stands[0].intake.keep_receipts(
            PutReceipts(dataset=dataset, receipts=(good, swapped))
        )
    with town.stands[0].store.snapshot() as view:
        assert len(kept_receipts(town, view, one)) == 1


@in_town
async def test_a_receipt_under_another_agreement_is_no_evidence(town: Town) -> None:
    bob, dataset = await mailbox_town(town)
    draft = bob.write(dataset, "hello")
    await town.stands[0].take(draft)
    cheat = town.stands[1]
    ack = acknowledge(
        AgreementId(b"\x07" * 32),
        draft.changeset.id,
        Promised.of(encode(draft.changeset)),
        place=(0, ZERO_HASH),
        expiry=2**40,
    )
    (worthless,) = sign_batch(
        [ack], provider=cheat.me, number=0, signer=cheat.keys.signer, network=town.world.network
    )
    with pytest.raises(BadProof):
        await town.stands[0].intake.keep_receipts(
            PutReceipts(dataset=dataset, receipts=(worthless,))
        )


@in_town
async def test_the_same_receipt_sent_a_thousand_times_is_checked_once(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob, dataset = await mailbox_town(town)
    draft = bob.write(dataset, "hello")
    await town.stands[0].take(draft)
    theirs = await town.stands[1].take(draft)
    calls = []

    def counted(*given: Any, **named: Any) -> None:
        calls.append(given)
        check_bytes(*given, **named)

    monkeypatch.setattr(room, "check_bytes", counted)
    await town.stands[0].intake.keep_receipts(
        PutReceipts(dataset=dataset, receipts=(theirs,) * 1000)
    )
    assert len(calls) == 1


@in_town
async def test_the_signature_of_a_batch_is_verified_once_however_often_receipts_are_read(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob, dataset = await mailbox_town(town)
    drafts = [bob.write(dataset, f"message {at}") for at in range(3)]
    for draft in drafts:
        await town.stands[0].take(draft)
    theirs = await asyncio.gather(*(town.stands[1].take(draft) for draft in drafts))
    assert len({one.batch for one in theirs}) == 1
    forged = msgspec.structs.replace(theirs[2], signature=theirs[2].signature[:-1] + b"\x07")
    given = (*theirs[:2], forged)
    await town.stands[0].intake.keep_receipts(PutReceipts(dataset=dataset, receipts=given))
    verified = []

    def counted(*given: Any) -> None:
        verified.append(given)
        check_signer(*given)

    monkeypatch.setattr(receipt_room, "check_signer", counted)
    receipt_room._is_batch_signed.cache_clear()
    for _ in range(3):
        with town.stands[0].store.snapshot() as view:
            assert [len(kept_receipts(town, view, draft)) for draft in drafts] == [2, 2, 1]
    assert len(verified) == 2  # a signature each: the forged one is another


@in_town
async def test_receipts_are_taken_of_whoever_has_a_part_and_not_by_the_thousands(
    town: Town,
) -> None:
    await town.open(7)
    bob = town.person("bob")
    made = town.mailbox(bob, grants=(OWNER_ALL,))
    await town.place(made, bob)
    bob.replica.add_manifests([made])
    dataset, intake = made.manifest.dataset, town.stands[0].intake
    draft = bob.write(dataset, "hello")
    await town.stands[0].take(draft)
    put = PutReceipts(dataset=dataset, receipts=(await town.stands[1].take(draft),))
    for stranger in (town.person("eve").address, town.stands[6].me):
        with pytest.raises(AccessDenied):
            await intake.on_put_receipts(put, stranger)
    await intake.on_put_receipts(put, town.stands[1].me)
    await intake.on_put_receipts(put, bob.address)
    many = PutReceipts(dataset=dataset, receipts=put.receipts * 1001)
    with pytest.raises(ValueTooLarge):
        await intake.on_put_receipts(many, bob.address)


# ---- shredding


@in_town
async def test_only_the_owner_shreds_and_only_the_row_named(town: Town) -> None:
    bob, dataset = await mailbox_town(town)
    stand = town.stands[0]
    draft = bob.write(dataset, "one", "two")
    await stand.take(draft)
    request = Shred(dataset=dataset, salts=((draft.changeset.id, 1), (draft.changeset.id, 99)))
    with pytest.raises(AccessDenied):
        await stand.intake.on_shred(request, town.person("mallory").address)
    await stand.intake.on_shred(request, bob.address)
    with stand.store.snapshot() as view:
        entry = shelf.key_entry(view, dataset, draft.changeset.id)
    assert entry is not None
    assert [bool(salt) for salt in entry.salts] == [True, False]
