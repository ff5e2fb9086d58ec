"""Providers join and leave, code and replicas change; every row stays readable throughout."""

from __future__ import annotations

import asyncio
from contextlib import closing
from io import BytesIO
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from mfdb.chain.port import CaseStatus, OpenCase, Unstake
from mfdb.dataset.dump.chain import DumpFile
from mfdb.dataset.dump.judging import judge_dumps
from mfdb.dataset.dump.parts import SegmentPart
from mfdb.dataset.dump.taking import take
from mfdb.kernel.errors import (
    AccessDenied,
    DeadlineExceeded,
    NoProviders,
    QuorumNotReached,
    StoreFull,
)
from mfdb.kernel.ids import Wei
from mfdb.node.answers import SealedReport, SealReport, Signed
from mfdb.node.client import moving
from mfdb.node.client.dumped import DumpedNode
from mfdb.node.client.moving import Change
from mfdb.node.client.watching import SUSPECT_S
from mfdb.node.provider import sealed_shelf, shelf
from mfdb.node.requests import ProposeAgreement, PutShard, Recode, SealNow
from mfdb.rules.manifest import Profile
from mfdb.rules.records import DRAINING
from replication.moving import joining
from tests.fixtures.datasets import signed
from tests.fixtures.node_town import Person, Stand, Town, in_town, sealed_town

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mfdb.dataset.dump.judging import DumpReport
    from mfdb.dataset.dump.parts import Keyed
    from mfdb.kernel.ids import Address, DatasetId
    from mfdb.node.client.remote import NodeRemote
    from mfdb.store.port import Store


async def moving_town(town: Town, count: int) -> tuple[Person, DatasetId, NodeRemote]:
    """Return Bob with five sealed and two unsealed letters on the first six providers."""
    bob, dataset, _ = await sealed_town(town, count)
    for at in (5, 6):
        draft = bob.write(dataset, f"message {at}")
        for stand in town.stands[:3]:
            await stand.take(draft)
    remote = await bob.remote()
    await remote._lookup.look(dataset, [stand.me for stand in town.stands[:6]])
    return bob, dataset, remote


async def letters(town: Town, dataset: DatasetId, providers: list[Address]) -> list[str]:
    """Return what Bob reads on a new machine that knows only the dataset's providers."""
    bob = town.person("bob")
    remote = await bob.remote()
    await remote.adopt(dataset, providers, bob.replica)
    with bob.replica.reading() as reading:
        known = reading.known(dataset)
        at = [column.name for column in known.manifest.columns].index("body")
        return sorted(row.values[at].split(" x")[0] for row in reading.rows(known))


async def placed(remote: NodeRemote, dataset: DatasetId) -> tuple[list[Address], list[Address]]:
    found = await remote._lookup.look(dataset)
    shards = found.placement.shards
    return list(found.placement.replica_set), [shards[slot] for slot in sorted(shards)]


ALL = [f"message {at}" for at in range(7)]


@in_town
async def test_a_provider_that_drains_is_let_go_with_its_deposit(town: Town) -> None:
    _, dataset, remote = await moving_town(town, 8)
    leaver = town.stands[0]
    await leaver.node.drain()
    assert leaver.duties.offer().free_bytes == 0
    record = await remote.context.directory.record(leaver.me, fresh=True)
    assert record.roles & DRAINING
    assert await remote.look_after() == 1
    replicas, shards = await placed(remote, dataset)
    assert len(replicas) == 3
    assert len(set(shards)) == 6
    assert leaver.me not in replicas + shards
    deposit = await town.world.chain().deposit(leaver.me)
    assert deposit.earmarked == 0
    await town.world.chain().send(Unstake(amount=deposit.total), leaver.keys.account)
    with leaver.store.snapshot() as view:
        assert shelf.datasets(view) == ()
        assert not any(True for _ in view.scan(b"D"))
    leaver.vanish()
    assert await letters(town, dataset, replicas) == ALL
    for stand in town.stands:
        if stand.me in replicas[:2]:
            stand.vanish()
    assert await letters(town, dataset, shards) == ALL


@in_town
async def test_rows_are_readable_and_writable_while_a_provider_leaves(town: Town) -> None:
    bob, dataset, remote = await moving_town(town, 8)
    seen: list[str] = []

    async def look(what: str) -> None:
        seen.append(what)
        assert await letters(town, dataset, [stand.me for stand in town.stands[1:3]]) == ALL

    told: list[asyncio.Task[None]] = []
    change = Change(
        profile=Profile(),
        leaving=frozenset({town.stands[0].me, town.stands[4].me}),
        tell=lambda what: told.append(asyncio.ensure_future(look(what))),
    )
    moved = await remote.move(dataset, change)
    await asyncio.gather(*told)
    assert (moved.joined, moved.left) == (2, 2)
    assert len(seen) >= 2
    draft = bob.write(dataset, "message 7")
    await remote.write(dataset, draft.changeset, draft.entry)
    replicas, _ = await placed(remote, dataset)
    assert await letters(town, dataset, replicas) == [*ALL, "message 7"]


@in_town
async def test_what_fewer_replicas_certified_is_read_after_more_must(town: Town) -> None:
    bob, dataset, remote = await moving_town(town, 8)
    with town.stands[0].store.snapshot() as view:
        (bundle,) = sealed_shelf.segments(view, dataset)
    bare = replace(bundle, signatures=bundle.signatures[:2])  # as when one of three was away
    for stand in town.stands[:6]:
        await stand.committer.submit(
            lambda transaction: sealed_shelf.put_segment(transaction, dataset, bare)
        )
    await recode(town, bob, remote, dataset, Profile(replicas=4, write_quorum=3))
    replicas, _ = await placed(remote, dataset)
    assert await letters(town, dataset, replicas) == ALL
    report = judged(await dumped(bob, remote, dataset))
    assert report.problems == []
    assert [(one.changesets, one.segments) for one in report.datasets] == [(7, 1)]
    report = judged(await dumped(bob, remote, dataset, signatures=1))
    assert [one for one in report.problems if "certified by too few replicas" in one]


@in_town
async def test_who_only_writes_finds_the_dataset_again_after_it_was_moved(town: Town) -> None:
    _, dataset, remote = await moving_town(town, 8)
    alice = town.person("alice")
    writing = await alice.remote()
    found = await writing._lookup.look(dataset, [stand.me for stand in town.stands[:6]])
    alice.replica.add_manifests(found.manifests)
    leaving = frozenset(stand.me for stand in town.stands[:2])
    await remote.move(dataset, Change(profile=Profile(), leaving=leaving))
    draft = alice.write(dataset, "message 7")
    with pytest.raises(QuorumNotReached):
        await writing.write(dataset, draft.changeset, draft.entry)
    outcome = await writing.write(dataset, draft.changeset, draft.entry)
    replicas, _ = await placed(remote, dataset)
    assert {receipt.batch.provider for receipt in outcome.receipts} <= set(replicas)
    assert await letters(town, dataset, replicas) == [*ALL, "message 7"]


@in_town
async def test_where_nobody_can_take_over_nothing_changes(town: Town) -> None:
    _, dataset, remote = await moving_town(town, 6)
    before = await placed(remote, dataset)
    await town.stands[0].node.drain()
    assert await remote.look_after() == 0
    assert await placed(remote, dataset) == before
    with pytest.raises(NoProviders, match="1 providers are needed"):
        await remote.move(
            dataset, Change(profile=Profile(), leaving=frozenset({town.stands[0].me}))
        )
    await town.stands[0].node.drain(drains=False)
    assert town.stands[0].duties.offer().free_bytes > 0


@in_town
async def test_who_refuses_to_join_is_passed_over(town: Town) -> None:
    _, dataset, remote = await moving_town(town, 8)

    def refuse(*_: object) -> Signed:
        raise AccessDenied("this provider is just taking over what another lost of the dataset")

    spares = {stand.me: stand for stand in town.stands[6:]}
    manifest = (await remote._lookup.look(dataset)).manifest
    (best,) = await remote._placer.choose(manifest, 1, among=spares.keys())
    refusing = spares.pop(best.correspondent.identity)
    refusing.node._server._answering = {
        **refusing.node._server._answering,
        ProposeAgreement: refuse,
    }
    change = Change(profile=Profile(), leaving=frozenset({town.stands[0].me}))
    assert (await remote.move(dataset, change)).joined == 1
    _, shards = await placed(remote, dataset)
    assert set(spares) <= set(shards)
    assert refusing.me not in shards
    change = Change(
        profile=Profile(), leaving=frozenset({town.stands[1].me}), among=frozenset(spares)
    )
    with pytest.raises(NoProviders):
        await remote.move(dataset, change)


@in_town
async def test_a_move_that_was_cut_off_is_gone_on_with(town: Town) -> None:
    _, dataset, remote = await moving_town(town, 8)
    leaver = town.stands[0]
    change = Change(profile=Profile(), leaving=frozenset({leaver.me}))
    found = await remote._lookup.look(dataset)
    mover = remote._mover
    target, agreements = await mover.bind(found, change)
    await mover.place(found, joining(found.placement, target), agreements)
    replicas, _ = await placed(remote, dataset)
    assert len(replicas) == 4  # cut off here: the newcomer has joined, nobody has left
    assert await letters(town, dataset, replicas) == ALL
    moved = await remote.move(dataset, change)
    assert (moved.joined, moved.left) == (0, 1)
    replicas, shards = await placed(remote, dataset)
    assert (len(replicas), len(set(shards))) == (3, 6)
    assert await letters(town, dataset, replicas) == ALL


class Outside(DumpedNode):
    """What the owner's node knows of where a dataset stands, with certificates cut short."""

    def __init__(self, store: Store, signatures: int) -> None:
        super().__init__(store)
        self._signatures = signatures

    def parts(self, dataset: DatasetId) -> Iterator[Keyed]:
        for part in super().parts(dataset):
            if isinstance(part, SegmentPart):
                few = part.bundle.signatures[: self._signatures]
                yield SegmentPart(dataset, replace(part.bundle, signatures=few))
            else:
                yield part


async def dumped(
    bob: Person, remote: NodeRemote, dataset: DatasetId, *, signatures: int = 9
) -> bytes:
    """Return a dump of what Bob holds, with what his node knows of the providers."""
    await remote.sync(dataset, bob.replica)
    await remote.remember_providers([dataset])
    stream = BytesIO()
    outside = Outside(bob.store, signatures)
    with bob.store.snapshot() as snapshot:
        take(stream, snapshot, bob.keys.account, time_s=1, outside=outside)
    return stream.getvalue()


def judged(dump: bytes) -> DumpReport:
    file = DumpFile("a.dump", len(dump), lambda: closing(BytesIO(dump)))
    return judge_dumps([file]).report


async def recode(
    town: Town,
    bob: Person,
    remote: NodeRemote,
    dataset: DatasetId,
    profile: Profile,
    tell: Callable[[str], object] = lambda _: None,
    leaving: frozenset[Address] = frozenset(),
) -> None:
    now = bob.replica.known(dataset).manifest
    after = signed(
        replace(now, number=now.number + 1, previous=now.hash, profile=profile), bob.keys
    )

    async def publish() -> None:
        await remote.publish(after)
        bob.replica.add_manifests([after])

    change = Change(profile=profile, publish=publish, tell=tell, leaving=leaving)
    await remote.move(dataset, change)


@in_town
async def test_nobody_holds_two_shards_while_one_leaves_and_the_code_shrinks(town: Town) -> None:
    bob, dataset, remote = await moving_town(town, 6)
    leaver = town.stands[1]
    held: list[int] = []

    def count(_: str) -> None:
        for stand in town.stands:
            with stand.store.snapshot() as view:
                keeps = dataset in shelf.datasets(view)
            if keeps:
                shards = list(stand.context.placement(dataset).shards.values())
                held.append(max(shards.count(one) for one in shards))

    await recode(town, bob, remote, dataset, Profile(k=3, n=5), count, frozenset({leaver.me}))
    count("in the end")
    assert set(held) == {1}
    replicas, shards = await placed(remote, dataset)
    assert len(shards) == 5
    assert leaver.me not in replicas + shards
    assert await letters(town, dataset, replicas) == ALL


@in_town
async def test_all_holders_drain_at_once_while_the_code_changes(town: Town) -> None:
    """Whoever joins is assigned a shard before he has it: those who leave still do."""
    bob, dataset, remote = await moving_town(town, 12)
    await town.stands[0].sealing.on_seal_now(SealNow(dataset=dataset), bob.address)
    await remote._lookup.look(dataset)
    leaving = frozenset(stand.me for stand in town.stands[:6])
    for stand in town.stands[:6]:
        await stand.node.drain()
    await recode(town, bob, remote, dataset, Profile(k=3, n=5), leaving=leaving)
    replicas, shards = await placed(remote, dataset)
    assert leaving.isdisjoint(replicas + shards)
    assert (len(replicas), len(set(shards))) == (3, 5)
    for stand in town.stands[:6]:
        assert (await town.world.chain().deposit(stand.me)).earmarked == 0
        stand.vanish()
    assert await letters(town, dataset, replicas) == ALL


@in_town
async def test_a_move_tells_how_many_segments_are_coded_once_more(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "RECODE_AT_ONCE", 2)
    bob, dataset, remote = await moving_town(town, 9)
    for at in range(4):
        draft = bob.write(dataset, f"later {at}")
        for stand in town.stands[:3]:
            await stand.take(draft)
        await remote.seal(dataset)
    count = len((await remote._lookup.look(dataset)).segments)
    told: list[str] = []
    await recode(town, bob, remote, dataset, Profile(k=3, n=6), told.append)
    said = [one for one in told if "coded once more" in one]
    assert said == [f"{at} of {count} segments are coded once more" for at in range(0, count, 2)]
    readings = await remote.status("health", dataset)
    (coded,) = [row for row in readings[1] if row[0] == "coded"]
    assert coded == ("coded", "ok", f"{count} of {count} segments in 3/6", "all", "")


@in_town
async def test_a_provider_that_makes_no_headway_is_not_asked_for_ever(town: Town) -> None:
    bob, dataset, remote = await moving_town(town, 9)
    for stand in town.stands:
        idle = SealedReport(report=SealReport(segments=0, changesets=0, bytes=0, receipts=0))
        stand.node._server._answering = {
            **stand.node._server._answering,
            Recode: lambda *_, idle=idle: idle,
        }
    with pytest.raises(DeadlineExceeded, match="segments are of another code yet"):
        await recode(town, bob, remote, dataset, Profile(k=3, n=6))


@in_town
async def test_a_move_for_another_reason_leaves_who_drains_too(town: Town) -> None:
    bob, dataset, remote = await moving_town(town, 9)
    drains = town.stands[1]
    await drains.node.drain()
    await recode(town, bob, remote, dataset, Profile(k=3, n=5))
    found = await remote._lookup.look(dataset)
    assert drains.me not in found.placement.providers


def used(stands: list[Stand], dataset: DatasetId) -> int:
    total = 0
    for stand in stands:
        with stand.store.snapshot() as view:
            total += sum(len(data) for _, data in view.scan(b"D"))
    return total


@pytest.mark.parametrize(("k", "n", "replicas"), [(5, 8, 4), (2, 3, 3), (3, 6, 2)])
def test_another_code_takes_the_place_of_the_first(k: int, n: int, replicas: int) -> None:
    @in_town
    async def play(town: Town) -> None:
        bob, dataset, remote = await moving_town(town, 9)
        profile = Profile(replicas=replicas, write_quorum=replicas // 2 + 1, k=k, n=n)
        await recode(town, bob, remote, dataset, profile)
        found = await remote._lookup.look(dataset)
        assert {(b.certificate.k, b.certificate.n) for b in found.segments} == {(k, n)}
        assert all(len(b.receipts) == n for b in found.segments)
        assert len(found.placement.replica_set) == replicas
        assert sorted(found.placement.shards) == list(range(n))
        size = sum(b.certificate.length_bytes for b in found.segments)
        assert used(town.stands, dataset) < 1.1 * size * n / k + 1024 * n
        lost = found.placement.providers[: n - k]
        for stand in town.stands:
            if stand.me in lost and stand.me not in found.placement.replica_set[-1:]:
                stand.vanish()
        left = [one for one in found.placement.providers if one not in lost]
        assert await letters(town, dataset, left) == ALL

    play()


@in_town
async def test_a_released_shard_is_excused_in_court(town: Town) -> None:
    bob, dataset, remote = await moving_town(town, 9)
    before = (await remote._lookup.look(dataset)).segments[0]
    await recode(town, bob, remote, dataset, Profile(k=3, n=6))
    signed_receipt = before.receipts[0]
    epoch = await remote.accusing._next_beacon()
    mined = await town.world.chain().send(
        OpenCase(
            receipt=signed_receipt.receipt,
            signature=signed_receipt.signature,
            epoch=epoch,
            draw=0,
        ),
        bob.keys.account,
    )
    agreements = (await remote._lookup.get(dataset)).placement.agreements
    owed = signed_receipt.receipt.agreement
    (who,) = (one for one, made in agreements.items() if made.agreement.id == owed)
    holder = town.stand(who)
    await holder.court.look()
    assert mined.case is not None
    case = await town.world.chain().case(mined.case)
    assert case is not None
    assert case.status is CaseStatus.NOT_GUILTY


@in_town
async def test_a_sealing_after_the_move_is_verified_with_the_certificates_of_those_who_left(
    town: Town,
) -> None:
    bob, dataset, remote = await moving_town(town, 9)
    for leaver in town.stands[:3]:  # all who certified the first segment leave
        await remote.move(dataset, Change(profile=Profile(), leaving=frozenset({leaver.me})))
        leaver.vanish()
    replicas, _ = await placed(remote, dataset)
    await town.stand(replicas[0]).sealing.on_seal_now(SealNow(dataset=dataset), bob.address)
    found = await remote._lookup.look(dataset)
    assert [b.certificate.number for b in found.segments] == [0, 1]
    assert await letters(town, dataset, replicas) == ALL
    assert Wei(0) == (await town.world.chain().deposit(town.stands[1].me)).earmarked


@in_town
async def test_a_dataset_whose_providers_are_all_lost_comes_back_from_the_owners_copy(
    town: Town,
) -> None:
    _, dataset, _remote = await moving_town(town, 13)
    bob = town.person("bob")
    owner = await bob.remote()
    await owner.adopt(dataset, [stand.me for stand in town.stands[:6]], bob.replica)
    for stand in town.stands[:6]:
        stand.vanish()
    moved = await owner.bring_back(dataset, bob.replica)
    assert (moved.joined, moved.left) == (6, 6)
    replicas, shards = await placed(owner, dataset)
    gone = {stand.me for stand in town.stands[:6]}
    assert gone.isdisjoint(replicas + shards)
    assert await letters(town, dataset, replicas) == ALL
    home = await owner.context.directory.home(bob.address)
    assert gone.isdisjoint(home.mailbox_providers)
    await town.stand(replicas[0]).sealing.on_seal_now(SealNow(dataset=dataset), bob.address)
    assert await letters(town, dataset, shards) == ALL
    assert (await owner.bring_back(dataset, bob.replica)).joined == 0


@in_town
async def test_a_dataset_with_one_replica_left_is_brought_back_from_there(town: Town) -> None:
    _, dataset, _ = await moving_town(town, 10)
    bob = town.person("bob")
    owner = await bob.remote()
    await owner.adopt(dataset, [stand.me for stand in town.stands[:6]], bob.replica)
    for stand in town.stands[:2]:
        stand.vanish()
    moved = await owner.bring_back(dataset, bob.replica)
    assert (moved.joined, moved.left) == (2, 2)
    replicas, shards = await placed(owner, dataset)
    assert (len(replicas), len(set(shards))) == (3, 6)
    assert await letters(town, dataset, replicas) == ALL


@in_town
async def test_a_holder_that_never_promises_its_shard_is_suspected_and_left(town: Town) -> None:
    """Nobody can be convicted of it, so the audits do not help."""
    _, dataset, remote = await moving_town(town, 7)
    owing = town.stands[5]

    def full(*_: object) -> None:
        raise StoreFull("the disk is full")

    answering = dict(owing.node._server._answering)
    owing.node._server._answering = {**answering, PutShard: full}  # type: ignore[dict-item]  # it raises
    await remote.seal(dataset)
    found = await remote._lookup.look(dataset)
    assert min(len(bundle.receipts) for bundle in found.segments) == 5
    _, readings = await remote.status("health", dataset)
    assert ("under-replicated", "ALARM") in [row[:2] for row in readings]
    await asyncio.sleep(SUSPECT_S + 100)  # the node looks after its datasets by itself
    assert owing.me in (await remote._lookup.look(dataset)).placement.providers
    await asyncio.sleep(SUSPECT_S)
    found = await remote._lookup.look(dataset)
    assert owing.me not in found.placement.providers
    placement = found.placement
    holders = {(slot, placement.agreement_of(who)) for slot, who in placement.shards.items()}
    for bundle in found.segments:
        assert holders <= {(one.receipt.shard, one.receipt.agreement) for one in bundle.receipts}
