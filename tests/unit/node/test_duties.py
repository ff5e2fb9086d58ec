"""Taking on duties: which agreements a provider enters, whose rules and placements it keeps."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from mfdb.kernel.errors import (
    AccessDenied,
    BadProof,
    BadSignature,
    DepositTooSmall,
    MfdbError,
    UnknownDataset,
)
from mfdb.kernel.ids import MFT, ZERO_HASH, Hash, Wei
from mfdb.node.provider import agreements, shelf
from mfdb.node.requests import GetDataset, ProposeAgreement, PutManifest, PutPlacement
from mfdb.rules.manifest import Action, Grantee
from mfdb.rules.placement import Assignment, PlacementEntry, Role, SignedPlacement
from mfdb.rules.signing import digest_of, sign
from tests.fixtures.datasets import OWNER_ALL, grant, keys_of, mailbox_of, signed
from tests.fixtures.node_town import PROVIDER_SETTINGS, Stand, Town, in_town, mailbox_town

MIB = 2**20


async def propose(town: Town, stand: Stand, **changes: Any) -> bytes:
    bob = town.person("bob")
    draft = town.draft(town.mailbox(bob).manifest, stand, **changes)
    return (
        await stand.duties.on_propose_agreement(ProposeAgreement(agreement=draft), bob.address)
    ).signature


@in_town
async def test_an_agreement_on_the_offers_terms_is_signed_by_the_hot_key(town: Town) -> None:
    (stand,) = await town.open(1)
    bob = town.person("bob")
    draft = town.draft(town.mailbox(bob).manifest, stand)
    answer = await stand.duties.on_propose_agreement(ProposeAgreement(agreement=draft), bob.address)
    digest = town.world.network.digest(draft)
    assert answer.signature == stand.keys.signer.sign(digest)


@pytest.mark.parametrize(
    "changes",
    [
        {"fee_per_epoch": Wei(PROVIDER_SETTINGS.fee_per_mib_epoch - 1)},
        {"deposit": Wei(PROVIDER_SETTINGS.deposit_per_mib + 1)},
        {"capacity_bytes": PROVIDER_SETTINGS.capacity_bytes + 1},
        {"end": 5, "start": 5},
        {"start": 2**40, "end": 2**41},
        {"client": keys_of("mallory").address},
        {"provider": keys_of("mallory").address},
        {"mandate": Hash(b"\x01" * 32)},
        # Nobody can answer a case within a second; a day's fee is not for a year.
        {"answer_window_s": 1},
        {"epoch_s": 365 * 86_400},
    ],
    ids="+".join,
)
@in_town
async def test_an_agreement_on_other_terms_is_refused(town: Town, changes: dict[str, Any]) -> None:
    (stand,) = await town.open(1)
    with pytest.raises(AccessDenied):
        await propose(town, stand, **changes)
    with stand.store.snapshot() as view:
        assert list(agreements.proposed_agreements(view, stand.context.damage.note)) == []


@in_town
async def test_no_more_is_promised_than_the_free_deposit_covers(town: Town) -> None:
    settings = replace(PROVIDER_SETTINGS, stake=Wei(MFT), capacity_bytes=4 * MIB)
    (stand,) = await town.open(1, settings)
    terms = {
        "capacity_bytes": 2 * MIB,
        "fee_per_epoch": Wei(2 * settings.fee_per_mib_epoch),
        "deposit": Wei(2 * MFT),
    }
    with pytest.raises(DepositTooSmall):
        await propose(town, stand, **terms)


@in_town
async def test_what_is_proposed_and_never_registered_keeps_no_room_for_ever(town: Town) -> None:
    settings = replace(PROVIDER_SETTINGS, capacity_bytes=MIB)
    (stand,) = await town.open(1, settings)
    await propose(town, stand)
    with pytest.raises(AccessDenied, match="free"):
        await propose(town, stand, subject=Hash(b"\x01" * 32))
    await asyncio.sleep(3600)
    assert stand.duties.offer().free_bytes == MIB
    await propose(town, stand, subject=Hash(b"\x02" * 32))


@in_town
async def test_room_that_was_agreed_and_placed_stays_taken_until_the_end(town: Town) -> None:
    await town.open(6, replace(PROVIDER_SETTINGS, capacity_bytes=MIB))
    bob = town.person("bob")
    await town.place(town.mailbox(bob), bob)
    stand = town.stands[0]
    await asyncio.sleep(3600)
    assert stand.duties.offer().free_bytes == 0
    await asyncio.sleep(10**6)
    assert stand.duties.offer().free_bytes == MIB


# ---- manifests


@in_town
async def test_rules_without_an_agreement_are_not_kept(town: Town) -> None:
    await town.open(7)
    bob = town.person("bob")
    made = town.mailbox(bob)
    with pytest.raises(UnknownDataset):
        await town.stands[6].duties.on_put_manifest(PutManifest(signed=made))
    await town.place(made, bob)
    with pytest.raises(UnknownDataset):
        await town.stands[6].duties.on_put_manifest(PutManifest(signed=made))


@in_town
async def test_anothers_agreement_makes_no_room_for_a_strangers_dataset(town: Town) -> None:
    bob, _ = await mailbox_town(town)
    mallory = town.person("mallory")
    stolen = mailbox_of(mallory.keys, network=town.world.network.id, salt=ZERO_HASH)
    with pytest.raises(UnknownDataset):
        await town.stands[0].duties.on_put_manifest(
            PutManifest(signed=signed(stolen, mallory.keys))
        )
    forged = msgspec.structs.replace(
        town.mailbox(bob), signature=sign(stolen, mallory.keys.account)
    )
    with pytest.raises(BadSignature):
        await town.stands[0].duties.on_put_manifest(PutManifest(signed=forged))


@in_town
async def test_rules_follow_each_other_without_gap_or_fork(town: Town) -> None:
    bob, dataset = await mailbox_town(town)
    duties, first = town.stands[0].duties, town.mailbox(bob)
    second = town.mailbox(bob, number=1, previous=first.manifest.hash)
    third = town.mailbox(bob, number=2, previous=second.manifest.hash)
    fork = town.mailbox(bob, number=1, previous=first.manifest.hash, retention_s=5)
    with pytest.raises(BadProof):
        await duties.on_put_manifest(PutManifest(signed=third))
    await duties.on_put_manifest(PutManifest(signed=second))
    await duties.on_put_manifest(PutManifest(signed=second))
    with pytest.raises(BadProof):
        await duties.on_put_manifest(PutManifest(signed=fork))
    with town.stands[0].store.snapshot() as view:
        assert shelf.manifests(view, dataset) == (first, second)


# ---- placement


@in_town
async def test_a_placement_whose_agreement_the_chain_does_not_know_is_refused(town: Town) -> None:
    await town.open(6)
    bob = town.person("bob")
    made = town.mailbox(bob)
    entry = await town.place(made, bob)
    unknown = msgspec.structs.replace(
        entry.entry.agreements[0],
        agreement=msgspec.structs.replace(entry.entry.agreements[0].agreement, nonce=ZERO_HASH),
    )
    digest = town.world.network.digest(unknown.agreement)
    unknown = msgspec.structs.replace(unknown, client_signature=bob.keys.account.sign(digest))
    second = PlacementEntry(
        network=town.world.network.id,
        dataset=made.manifest.dataset,
        number=1,
        previous=digest_of(entry.entry),
        assignments=(),
        agreements=(unknown,),
        mandate=None,
        case=b"",
    )
    put = SignedPlacement(entry=second, signature=sign(second, bob.keys.account))
    with pytest.raises(BadProof, match="not registered"):
        await town.stands[0].duties.on_put_placement(
            PutPlacement(dataset=made.manifest.dataset, entries=(put,))
        )


async def offer_entry(
    town: Town, stand: Stand, entry: SignedPlacement, by: Any, **changes: Any
) -> None:
    values: dict[str, Any] = {
        "network": town.world.network.id,
        "dataset": entry.entry.dataset,
        "number": 1,
        "previous": digest_of(entry.entry),
        "assignments": (),
        "agreements": (),
        "mandate": None,
        "case": b"\x09" * 32,
    }
    made = PlacementEntry(**(values | changes))
    put = SignedPlacement(entry=made, signature=sign(made, by))
    await stand.duties.on_put_placement(PutPlacement(dataset=entry.entry.dataset, entries=(put,)))


@in_town
async def test_a_stranger_cannot_fork_the_placement_log_with_an_empty_entry(town: Town) -> None:
    await town.open(6)
    bob = town.person("bob")
    entry = await town.place(town.mailbox(bob), bob)
    with pytest.raises(MfdbError):
        await offer_entry(town, town.stands[0], entry, town.person("mallory").keys.account)
    assert town.stands[0].context.placement(entry.entry.dataset).number == 0


@in_town
async def test_a_provider_cannot_take_anothers_shards_without_a_conviction(town: Town) -> None:
    await town.open(6)
    bob = town.person("bob")
    entry = await town.place(town.mailbox(bob), bob)
    greedy = town.stands[5]
    grab = tuple(Assignment(Role.SHARD, slot, greedy.me) for slot in range(5))
    with pytest.raises(MfdbError):
        await offer_entry(town, town.stands[0], entry, greedy.keys.account, assignments=grab)
    assert set(town.stands[0].context.placement(entry.entry.dataset).shards.values()) == {
        stand.me for stand in town.stands
    }


# ---- what is told


@in_town
async def test_whoever_has_no_right_at_all_learns_nothing(town: Town) -> None:
    await town.open(6)
    bob, alice = town.person("bob"), town.person("alice")
    made = town.mailbox(bob, grants=(OWNER_ALL,))
    await town.place(made, bob)
    ask = GetDataset(dataset=made.manifest.dataset)
    with pytest.raises(AccessDenied):
        town.stands[0].duties.on_get_dataset(ask, alice.address)
    assert town.stands[0].duties.on_get_dataset(ask, bob.address).manifests == (made,)
    assert town.stands[0].duties.on_get_dataset(ask, town.stands[5].me).manifests == (made,)


@in_town
async def test_a_right_that_has_expired_opens_nothing(town: Town) -> None:
    await town.open(6)
    bob, alice = town.person("bob"), town.person("alice")
    until = int(town.clock.now_s()) + 100
    reader = grant(Grantee.IDENTITY, int(Action.SELECT), alice.address, until=until)
    made = town.mailbox(bob, grants=(OWNER_ALL, reader))
    await town.place(made, bob)
    ask = GetDataset(dataset=made.manifest.dataset)
    town.stands[0].duties.on_get_dataset(ask, alice.address)
    await asyncio.sleep(200)
    with pytest.raises(AccessDenied):
        town.stands[0].duties.on_get_dataset(ask, alice.address)
