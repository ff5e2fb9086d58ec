"""What nobody gets for nothing: room beyond an agreement, rows beyond a right; and earnings."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from mfdb.kernel.errors import AccessDenied, CapacityExceeded
from mfdb.node.provider import agreements, sealed_shelf, shelf
from mfdb.node.provider.earnings import Earnings
from mfdb.node.requests import GetDataset, ReadLog, SealNow
from mfdb.rules.manifest import Action, Grantee
from tests.fixtures.datasets import OWNER_ALL, grant
from tests.fixtures.node_town import (
    CLIENT_SETTINGS,
    Stand,
    Town,
    in_town,
    mailbox_town,
)

if TYPE_CHECKING:
    from mfdb.kernel.ids import DatasetId


def used(stand: Stand, dataset: DatasetId) -> int:
    with stand.store.snapshot() as view:
        return shelf.used_bytes(view, dataset)


@in_town
async def test_a_mailbox_cannot_outgrow_its_agreement(town: Town) -> None:
    bob, dataset = await mailbox_town(town)
    stand = town.stands[0]
    body = "x" * (CLIENT_SETTINGS.capacity_bytes // 3)
    for _ in range(2):
        await stand.take(bob.write(dataset, body))
    before = used(stand, dataset)
    with pytest.raises(CapacityExceeded, match=str(CLIENT_SETTINGS.capacity_bytes)):
        await stand.take(bob.write(dataset, body))
    assert used(stand, dataset) == before
    assert await stand.take(bob.write(dataset, "small"))


@in_town
async def test_sealing_frees_the_room_of_what_it_lets_go(town: Town) -> None:
    bob, dataset = await mailbox_town(town)
    draft = bob.write(dataset, "x" * 60_000)
    for stand in town.stands[:3]:
        await stand.take(draft)
    assert used(town.stands[0], dataset) > 60_000
    await town.stands[0].sealing.on_seal_now(SealNow(dataset=dataset), bob.address)
    with town.stands[0].store.snapshot() as view:
        (bundle,) = sealed_shelf.segments(view, dataset)
        shard = sealed_shelf.shard(view, bundle.certificate.segment, 0)
    assert shard is not None
    assert used(town.stands[0], dataset) == len(shard) < 60_000


@in_town
async def test_a_right_to_some_rows_opens_no_log(town: Town) -> None:
    await town.open(6)
    bob, reader = town.person("bob"), town.person("reader")
    reads = int(Action.SELECT | Action.SUBSCRIBE)
    some = ["=", ["author"], ["caller"]]
    made = town.mailbox(
        bob,
        grants=(
            OWNER_ALL,
            grant(Grantee.AUTHOR, reads),
            grant(Grantee.PUBLIC, reads, condition=some),
        ),
    )
    await town.place(made, bob)
    stand, dataset = town.stands[0], made.manifest.dataset
    request = ReadLog(dataset=dataset, after=-1, limit_bytes=1000)
    with pytest.raises(AccessDenied):
        stand.serving.on_read_log(request, reader.address)
    assert stand.serving.on_read_log(request, bob.address).items == ()
    assert stand.duties.on_get_dataset(GetDataset(dataset=dataset), reader.address).segments == ()


@in_town
async def test_fees_are_claimed_once_an_epoch_and_deposits_freed_at_the_end(town: Town) -> None:
    await mailbox_town(town)
    stand = town.stands[0]
    earnings = Earnings(stand.context)
    with stand.store.snapshot() as view:
        (made,) = agreements.placed_agreements(view, stand.context.damage.note)
    agreement = made.agreement
    before = await stand.chain.balance(stand.me)
    await earnings.look()
    assert await stand.chain.balance(stand.me) == before
    await asyncio.sleep(2 * agreement.epoch_s + 1)  # it was registered a little after its start
    await earnings.look()
    await earnings.look()
    earned = await stand.chain.balance(stand.me) - before
    assert earned in (agreement.fee_per_epoch, 2 * agreement.fee_per_epoch)
    await asyncio.sleep(agreement.end + agreement.tail_s)
    await earnings.look()
    state = await stand.chain.agreement(agreement.id)
    assert state is None or state.earmarked == 0
