"""Holding a copy against what replicas sign: of all rows, or of some by their ids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from mfdb.dataset.row_changes import RowDelete, RowUpdate
from mfdb.kernel.codec import encode
from mfdb.kernel.errors import AccessDenied, BadProof, MalformedMessage, MfdbError, QuorumNotReached
from mfdb.kernel.ids import Hash, RowId
from mfdb.node.answers import LogPage, Root, Rows
from mfdb.node.provider import row_trees
from mfdb.node.requests import SPANS, GetRoot, GetRows, PutManifest, ReadLog, SealNow
from mfdb.rules.changeset import version_ids
from mfdb.rules.manifest import Action, Grantee, Revocation
from mfdb.rules.receipt import SignedLogRoot
from mfdb.rules.row_tree import RowProof, SignedRowRoot
from mfdb.rules.signing import sign
from tests.fixtures.datasets import OWNER_ALL, grant
from tests.fixtures.datasets import signed as signed_manifest
from tests.fixtures.node_town import Person, Stand, Town, in_town, mailbox_town, sealed_town
from tests.unit.node.test_rows import _incoming, staged

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mfdb.kernel.ids import Address, DatasetId, VersionId
    from mfdb.node.client.remote import NodeRemote
    from mfdb.rules.row_tree import Span

    Shows = Callable[[GetRows, Address], Awaitable[Rows]]


def answer(stand: Stand, kind: type, lie: Any) -> None:
    """Let a provider answer one kind of request by a lie."""
    stand.node._server._answering = {**stand.node._server._answering, kind: lie}


def shows(stand: Stand) -> Shows:
    """Return how a provider answers a `GetRows`."""
    found: Shows = stand.node._server._answering[GetRows]  # type: ignore[assignment]  # of its kind
    return found


def signed(stand: Stand, told: Rows, **changes: Any) -> Rows:
    """Return an answer with another root, signed by its provider."""
    root = msgspec.structs.replace(told.signed.root, **changes)
    return Rows(signed=SignedRowRoot(root, sign(root, stand.keys.signer)), proof=told.proof)


def other_rows(liar: Stand) -> Shows:
    """Return a provider's answer with a root that no copy has."""
    honest = shows(liar)

    async def lie(request: GetRows, caller: Address) -> Rows:
        made = signed(liar, await honest(request, caller), rows=Hash(bytes(32)))
        return Rows(signed=made.signed, proof=RowProof((bytes(32),)))

    return lie


def older_rows(liar: Stand, honest: Shows) -> Shows:
    """Return a provider's answer with an older log than it has."""

    async def lie(request: GetRows, caller: Address) -> Rows:
        told = await honest(request, caller)
        return signed(liar, told, number=told.signed.root.number - 1)

    return lie


async def settled(town: Town) -> tuple[Person, NodeRemote, DatasetId]:
    """Return Bob, and his mailbox with five rows on three replicas and on his machine."""
    bob, dataset = await mailbox_town(town)
    for at in range(5):
        draft = bob.write(dataset, f"message {at}")
        for stand in town.stands[:3]:
            await stand.take(draft)
    remote = await bob.remote()
    await read(town, bob, remote, dataset)
    return bob, remote, dataset


async def read(town: Town, bob: Person, remote: NodeRemote, dataset: DatasetId) -> None:
    found = await remote._lookup.look(dataset, [stand.me for stand in town.stands[:3]])
    bob.replica.add_manifests(found.manifests)
    await remote.sync(dataset, bob.replica)


async def reader(town: Town) -> tuple[Person, NodeRemote]:
    """Return Bob on a fresh machine."""
    bob = town.person("bob")
    return bob, await bob.remote()


def rows_of(bob: Person, dataset: DatasetId) -> list[RowId]:
    with bob.replica.reading() as reading:
        return [row.row for row in reading.rows(reading.known(dataset))]


@in_town
async def test_a_copy_is_held_against_logs_that_replicas_sign(town: Town) -> None:
    owner, dataset, _ = await sealed_town(town)
    late = owner.write(dataset, "late")
    for stand in town.stands[:3]:
        await stand.take(late)
    bob, remote = await reader(town)
    await read(town, bob, remote, dataset)
    assert len(await remote.attest(dataset, bob.replica)) == 3
    assert len(await remote.attest(dataset, bob.replica)) == 3  # from where it was read last
    newer = owner.write(dataset, "newer")
    await town.stands[0].take(newer)
    for stand in town.stands[1:3]:
        stand.vanish()
    with pytest.raises(MfdbError, match="1 changesets of 0x"):  # one has what is not here yet
        await remote.attest(dataset, bob.replica)


@in_town
async def test_a_replica_that_hides_forges_or_rewinds_its_log_is_shown_to(town: Town) -> None:
    owner, dataset, _ = await sealed_town(town)
    bob, remote = await reader(town)
    await read(town, bob, remote, dataset)
    liar = town.stands[1]
    honest_rows = shows(liar)
    answer(liar, GetRows, other_rows(liar))
    log = liar.serving.on_read_log
    root = liar.serving.on_get_root

    def hiding(request: ReadLog, caller: Address) -> LogPage:
        return LogPage(items=log(request, caller).items[:-1], more=False)

    def older(request: GetRoot, caller: Address) -> Root:
        told = root(request, caller).signed.root
        less = msgspec.structs.replace(told, number=told.number - 1)
        return Root(signed=SignedLogRoot(less, sign(less, liar.keys.signer)))

    def replayed(request: GetRoot, caller: Address) -> Root:
        return root(msgspec.structs.replace(request, nonce=Hash(bytes(32))), caller)

    lies: list[tuple[type, Any, str]] = [
        (ReadLog, hiding, "does not show the log that it signs"),
        (GetRoot, older, "shows another log than the one it signs"),
        (GetRoot, replayed, "another root than was asked for"),
    ]
    for kind, lie, said in lies:
        honest = liar.node._server._answering
        answer(liar, kind, lie)
        with pytest.raises(BadProof, match=said):
            await remote.attest(dataset, bob.replica)
        liar.node._server._answering = honest
    assert len(await remote.attest(dataset, bob.replica)) == 3
    for kind, lie in ((GetRoot, older), (GetRows, older_rows(liar, honest_rows))):
        answer(liar, kind, lie)
        with pytest.raises(BadProof, match="an older log than it signed before"):
            await remote.attest(dataset, bob.replica)
    assert owner.address == bob.address


@in_town
async def test_rows_are_shown_by_their_ids_to_be_there_or_not(town: Town) -> None:
    bob, remote, dataset = await settled(town)
    present = rows_of(bob, dataset)[:2]
    absent = RowId(Hash(b"\x07" * 32))
    assert len(await remote.attest(dataset, bob.replica, places([*present, absent]))) == 3
    asked = points(dataset, present)
    told = [await shows(stand)(asked, bob.address) for stand in town.stands[:3]]
    assert max(len(encode(one)) for one in told) < 2_000


def points(dataset: DatasetId, rows: list[RowId]) -> GetRows:
    return GetRows(dataset=dataset, spans=places(rows), nonce=Hash(bytes(32)))


def places(rows: list[RowId]) -> tuple[Span, ...]:
    return tuple((row[:16], row[:16]) for row in sorted(rows))


@in_town
async def test_a_row_that_only_a_provider_has_is_noticed(town: Town) -> None:
    bob, remote, dataset = await settled(town)
    draft = bob.write(dataset, "newer")
    await town.stands[0].take(draft)
    (newer,) = (one.row for one in draft.changeset.operations)
    assert (
        len(await remote.attest(dataset, bob.replica, places([newer]))) == 2
    )  # a read quorum has no such row
    await town.stands[1].take(draft)
    with pytest.raises(QuorumNotReached, match=r"1 changesets of 0x.* are not here"):
        await remote.attest(dataset, bob.replica, places([newer]))
    await remote.sync(dataset, bob.replica)
    await town.stands[2].take(draft)
    assert len(await remote.attest(dataset, bob.replica, places([newer]))) == 3


@in_town
async def test_whoever_denies_a_row_that_it_acknowledged_is_found_out(town: Town) -> None:
    bob, remote, dataset = await settled(town)
    liar = town.stands[1]
    before = await shows(liar)(points(dataset, []), bob.address)
    draft = bob.write(dataset, "acknowledged")
    for stand in town.stands[:3]:
        await stand.take(draft)
    await remote.sync(dataset, bob.replica)
    (row,) = (one.row for one in draft.changeset.operations)
    honest = shows(liar)

    async def denying(request: GetRows, caller: Address) -> Rows:
        now = await honest(request, caller)
        made = signed(liar, now, rows=before.signed.root.rows)
        return Rows(signed=made.signed, proof=without(now.proof, row))

    answer(liar, GetRows, denying)
    with pytest.raises(BadProof, match="denies a row that it acknowledged"):
        await remote.attest(dataset, bob.replica, places([row]))
    answer(liar, GetRows, other_rows(liar))
    with pytest.raises(BadProof, match="leaves out what was asked for"):
        await remote.attest(dataset, bob.replica, places([row]))


@in_town
async def test_a_row_that_was_changed_by_who_lost_his_right_is_neither_denied_nor_frozen(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Replicas keep the version that a revocation leaves out; for readers the one before counts."""
    await town.open(6)
    bob, alice = town.person("bob"), town.person("alice")
    updating = grant(Grantee.IDENTITY, int(Action.UPDATE), alice.address)
    before = town.mailbox(bob, grants=(OWNER_ALL, updating))
    await town.place(before, bob)
    dataset = before.manifest.dataset
    for person in (bob, alice):
        person.replica.add_manifests([before])
    first = bob.write(dataset, "first")
    row, (version,) = first.changeset.operations[0].row, version_ids(first.changeset.id, 1)
    for person in (bob, alice):
        person.replica.apply(dataset, [_incoming(first)])
    change = RowUpdate(row=row, parent=version, values={"body": "over it"})
    with monkeypatch.context() as patch:  # she writes over what she cannot read
        patch.setattr("mfdb.dataset.replica_sending.check_current", lambda *_: None)
        over = staged(alice, dataset, change)
    for stand in town.stands[:3]:
        await stand.take(first)
        await stand.take(over)
    changes = {"number": 1, "previous": before.manifest.hash, "acl_epoch": 1}
    revoked = msgspec.structs.replace(
        before.manifest,
        grants=(OWNER_ALL,),
        revocations=(Revocation(alice.address, ()),),
        **changes,
    )
    after = signed_manifest(revoked, bob.keys)
    for stand in town.stands:
        await stand.duties.on_put_manifest(PutManifest(signed=after))
    remote = await bob.remote()
    await read(town, bob, remote, dataset)
    assert len(await remote.attest(dataset, bob.replica, places([row]))) == 3
    next_ = staged(bob, dataset, RowUpdate(row=row, parent=version, values={"body": "second"}))
    for stand in town.stands[:3]:
        await stand.take(next_)
    await remote.sync(dataset, bob.replica)
    assert len(await remote.attest(dataset, bob.replica, places([row]))) == 3
    (leaf_version,) = version_ids(next_.changeset.id, 1)
    assert replica_heads(bob, dataset, row) == [leaf_version]
    await town.stands[0].sealing.on_seal_now(SealNow(dataset=dataset), bob.address)
    fresh, other = await reader(town)
    await read(town, fresh, other, dataset)
    assert replica_heads(fresh, dataset, row) == [leaf_version]
    assert len(await other.attest(dataset, fresh.replica)) == 3


def replica_heads(bob: Person, dataset: DatasetId, row: RowId) -> list[VersionId]:
    leaves = bob.replica.leaves(dataset)
    return [version.version for _, version in leaves.heads_in(places([row]))]


@in_town
async def test_a_receipt_that_another_replica_made_up_convicts_nobody(town: Town) -> None:
    bob, remote, dataset = await settled(town)
    draft = bob.write(dataset, "held by one only")
    await town.stands[0].take(draft)
    await remote.sync(dataset, bob.replica)
    (row,) = (one.row for one in draft.changeset.operations)
    id_ = draft.entry.changeset
    (receipt,) = bob.replica.receipts(dataset, id_)
    for honest in town.stands[1:3]:
        batch = msgspec.structs.replace(receipt.batch, provider=honest.me)
        forged = msgspec.structs.replace(receipt, batch=batch)
        bob.replica.add_receipts(dataset, id_, [forged])
    assert len(await remote.attest(dataset, bob.replica, places([row]))) == 3


@in_town
async def test_another_log_under_a_number_that_was_signed_before_is_shown_to(town: Town) -> None:
    bob, remote, dataset = await settled(town)
    assert len(await remote.attest(dataset, bob.replica)) == 3
    liar = town.stands[1]
    honest = shows(liar)
    for change, said in (
        ({"head": Hash(bytes(32))}, "another or an older log than it signed before"),
        ({"number": 2**63}, "nobody could have written"),
    ):

        async def lie(request: GetRows, caller: Address, change: dict[str, Any] = change) -> Rows:
            return signed(liar, await honest(request, caller), **change)

        answer(liar, GetRows, lie)
        with pytest.raises(BadProof, match=said):
            await remote.attest(dataset, bob.replica)


def without(proof: RowProof, row: RowId) -> RowProof:
    """Return the proof of a tree of one twig without a row."""
    (twig,) = proof.parts
    assert isinstance(twig, tuple)
    return RowProof((tuple(leaf for leaf in twig if leaf.place != row[:16]),))


@in_town
async def test_deletes_and_seals_leave_copy_and_replicas_with_the_same_root(town: Town) -> None:
    bob, remote, dataset = await settled(town)
    first = rows_of(bob, dataset)[0]
    with bob.replica.reading() as reading:
        (parent,) = (
            row.version for row in reading.rows(reading.known(dataset)) if row.row == first
        )
    (draft,) = bob.replica.stage(dataset, [RowDelete(row=first, parent=parent)])
    for stand in town.stands[:3]:
        await stand.take(draft)
    await remote.sync(dataset, bob.replica)
    for stand in town.stands[:3]:  # the walk of the log is not needed
        answer(stand, GetRoot, None)
    assert len(await remote.attest(dataset, bob.replica)) == 3
    assert len(await remote.attest(dataset, bob.replica, places([first]))) == 3
    await town.stands[0].sealing.on_seal_now(SealNow(dataset=dataset), bob.address)
    assert len(await remote.attest(dataset, bob.replica)) == 3


@in_town
async def test_only_a_reader_is_shown_rows_and_only_so_many(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob, remote, dataset = await settled(town)
    stand = town.stands[0]
    with pytest.raises(AccessDenied):
        await shows(stand)(points(dataset, []), town.person("eve").address)
    one = points(dataset, [RowId(Hash(bytes(32)))])
    for spans in (one.spans * (SPANS + 1), ((b"", b"\xff" * 16),)):
        asked = msgspec.structs.replace(one, spans=spans)
        with pytest.raises(MalformedMessage):
            await shows(stand)(asked, bob.address)
    many = [RowId(Hash(at.to_bytes(2, "big") + bytes(30))) for at in range(SPANS + 1)]
    assert len(await remote.attest(dataset, bob.replica, places(many))) == 3  # as one whole
    monkeypatch.setattr(row_trees, "TREES", 0)
    assert len(await remote.attest(dataset, bob.replica)) == 3
