"""The one judgement: good changesets are accepted, bad ones refused, unknown ones parked."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from mfdb.dataset.acceptance import (
    EVERYBODY,
    Accepted,
    Knowledge,
    Parked,
    VersionMeta,
    check_fresh,
    judge,
    winner,
    wins,
)
from mfdb.dataset.row_changes import RowChange, RowDelete, RowInsert, RowUpdate
from mfdb.dataset.writer import Chain, ChangesetWriter, Draft
from mfdb.kernel.clock import HlcClock
from mfdb.kernel.codec import decode, encode
from mfdb.kernel.errors import (
    AccessDenied,
    BadProof,
    BadSignature,
    MfdbError,
    SchemaViolation,
    StaleWrite,
    WrongNetwork,
)
from mfdb.kernel.ids import ZERO_HASH, Hash, RowId, VersionId
from mfdb.rules.changeset import Changeset, Header
from mfdb.rules.manifest import Action, Grantee, Manifest, Ordering, Revocation
from mfdb.rules.signing import sign
from tests.fixtures.datasets import (
    NETWORK,
    OWNER_ALL,
    PUBLIC_INSERT,
    Counter,
    column,
    grant,
    keys_of,
    mailbox_of,
    manifest_of,
)

ALICE, BOB = keys_of("alice"), keys_of("bob")
SHELVES = (column("title"), column("shelf", clear=True))


class Judge:
    """Judges one changeset after the other and remembers what was accepted."""

    def __init__(self, *manifests: Manifest) -> None:
        self.manifests = manifests
        self.versions: dict[VersionId, VersionMeta] = {}
        self.headers: dict[bytes, Header] = {}
        self.known = Knowledge(
            manifests=manifests,
            version_of=self.versions.get,
            header_of=self.headers.get,
        )

    def __call__(self, changeset: Changeset, **options: Any) -> Accepted | Parked:
        judged = judge(changeset, self.known, network=NETWORK, **options)
        self.headers[changeset.id] = changeset.header
        if isinstance(judged, Accepted):
            self.versions.update({version.version: version for version in judged.versions})
        return judged

    def accept(self, changeset: Changeset) -> tuple[VersionMeta, ...]:
        judged = self(changeset)
        assert isinstance(judged, Accepted)
        return judged.versions


class Author:
    """Composes changesets, one after the other in one run."""

    def __init__(self, name: str) -> None:
        self.world = Counter(name)
        self.writer = ChangesetWriter(keys_of(name).account, HlcClock(self.world), self.world)
        self.chain: Chain = self.writer.new_chain()

    def draft(self, manifest: Manifest, *changes: RowChange, **options: Any) -> Draft:
        draft = self.writer.compose(manifest, changes, self.chain, **options)
        self.chain = draft.chain
        return draft

    def __call__(self, manifest: Manifest, *changes: RowChange, **options: Any) -> Changeset:
        return self.draft(manifest, *changes, **options).changeset


def insert(**values: Any) -> RowInsert:
    return RowInsert(values=values)


def resigned(changeset: Changeset, signer: str = "alice", **changes: Any) -> Changeset:
    header = msgspec.structs.replace(changeset.header, **changes)
    return Changeset(header, sign(header, keys_of(signer).account), changeset.body)


def test_a_stranger_may_insert_into_a_mailbox_and_is_the_row_s_author() -> None:
    mailbox = mailbox_of(BOB)
    (version,) = Judge(mailbox).accept(Author("alice")(mailbox, insert(body="hello")))
    assert version.author == ALICE.address
    assert version.view.author == ALICE.address
    assert version.clear == {}


def test_a_sealed_sender_counts_as_nobody_in_particular() -> None:
    mailbox = mailbox_of(BOB)
    changeset = Author("alice")(mailbox, insert(body="psst"), sealed_sender=True)
    assert changeset.header.signer != ALICE.address
    (version,) = Judge(mailbox).accept(changeset)
    assert version.author == b""
    assert version.view.author is None
    closed = mailbox_of(BOB, grants=(OWNER_ALL, grant(Grantee.IDENTITY, 2, ALICE.address)))
    with pytest.raises(AccessDenied, match="PUBLIC"):
        Judge(closed)(Author("alice")(closed, insert(body="psst"), sealed_sender=True))


@pytest.mark.parametrize("kind", ["update", "delete"])
def test_a_stranger_may_not_change_even_its_own_row_of_a_mailbox(kind: str) -> None:
    mailbox, judge_, alice = mailbox_of(BOB), Judge(mailbox_of(BOB)), Author("alice")
    (first,) = judge_.accept(alice(mailbox, insert(body="hello")))
    change: RowChange = RowDelete(row=first.row, parent=first.version)
    if kind == "update":
        change = RowUpdate(row=first.row, parent=first.version, values={"body": "other"})
    with pytest.raises(AccessDenied, match=kind.upper()):
        judge_(alice(mailbox, change))
    bob = Author("bob")
    (after,) = judge_.accept(bob(mailbox, change))
    assert after.author == ALICE.address, "a row's author is the author of its first version"


def test_an_author_grant_follows_the_first_author_not_the_last_writer() -> None:
    rules = (PUBLIC_INSERT, grant(Grantee.AUTHOR, int(Action.UPDATE)), OWNER_ALL)
    mailbox = mailbox_of(BOB, grants=rules)
    judge_, alice, bob, carol = Judge(mailbox), Author("alice"), Author("bob"), Author("carol")
    (first,) = judge_.accept(alice(mailbox, insert(body="1")))
    update = RowUpdate(row=first.row, parent=first.version, values={"body": "2"})
    with pytest.raises(AccessDenied):
        judge_(carol(mailbox, update))
    (second,) = judge_.accept(bob(mailbox, update))
    again = RowUpdate(row=first.row, parent=second.version, values={"body": "3"})
    judge_.accept(alice(mailbox, again))


def test_what_is_unknown_parks_and_names_what_is_missing() -> None:
    mailbox, alice, bob = mailbox_of(BOB), Author("alice"), Author("bob")
    first = alice(mailbox, insert(body="1"))
    assert Judge(mailbox_of(BOB, retention_s=1))(first) == Parked((mailbox.hash,))
    judge_ = Judge(mailbox)
    (version,) = Judge(mailbox).accept(first)
    update = bob(mailbox, RowDelete(row=version.row, parent=version.version))
    assert judge_(update) == Parked((Hash(version.version),))
    judge_.accept(first)
    judge_.accept(update)


def test_what_is_from_the_future_parks_until_then_and_is_judged_the_same_later() -> None:
    mailbox, alice = mailbox_of(BOB), Author("alice")
    changeset = alice(mailbox, insert(body="early"))
    now = alice.world.seconds
    parked = Judge(mailbox)(changeset, now_s=now - 100)
    assert isinstance(parked, Parked)
    assert parked.missing == ()
    assert parked.not_before_s == pytest.approx(now - 30, abs=1)
    assert isinstance(Judge(mailbox)(changeset, now_s=parked.not_before_s), Accepted)
    assert isinstance(Judge(mailbox)(changeset), Accepted), "the clock never decides validity"


def test_only_the_owner_s_node_writes_to_an_owner_ordered_dataset() -> None:
    notes = manifest_of(BOB, column("body"), grants=(OWNER_ALL, PUBLIC_INSERT))
    row = RowId(bytes(32))
    change = RowInsert(row=row, values={"body": "x"})
    with pytest.raises(AccessDenied, match="owner's node"):
        Judge(notes)(Author("alice")(notes, change))
    (version,) = Judge(notes).accept(Author("bob")(notes, change))
    assert version.row == row


def test_nobody_picks_row_ids_in_a_free_dataset() -> None:
    mailbox = mailbox_of(BOB)
    squatted = RowInsert(row=RowId(bytes(32)), values={"body": "mine"})
    with pytest.raises(BadProof, match="not due"):
        Judge(mailbox)(Author("alice")(mailbox, squatted))


def test_a_parent_must_be_a_living_version_of_the_same_row() -> None:
    mailbox, bob = mailbox_of(BOB), Author("bob")
    judge_ = Judge(mailbox)
    one, other = judge_.accept(bob(mailbox, insert(body="1"), insert(body="2")))
    with pytest.raises(BadProof, match="parent"):
        judge_(bob(mailbox, RowDelete(row=one.row, parent=other.version)))
    (gone,) = judge_.accept(bob(mailbox, RowDelete(row=one.row, parent=one.version)))
    zombie = RowUpdate(row=one.row, parent=gone.version, values={"body": "zombie"})
    with pytest.raises(BadProof, match="deleted"):
        judge_(bob(mailbox, zombie))


def test_clear_columns_are_fixed_without_an_orderer_and_free_with_one() -> None:
    free = mailbox_of(BOB, *SHELVES)
    bob, judge_ = Author("bob"), Judge(free)
    (first,) = judge_.accept(bob(free, insert(title="a", shelf="red")))
    assert first.clear == {"shelf": "red"}
    moved = RowUpdate(row=first.row, parent=first.version, values={"title": "a", "shelf": "blue"})
    with pytest.raises(AccessDenied, match="shelf"):
        judge_(bob(free, moved))
    same = RowUpdate(row=first.row, parent=first.version, values={"title": "b", "shelf": "red"})
    judge_.accept(bob(free, same))
    ordered = manifest_of(BOB, *SHELVES)
    judge_ = Judge(ordered)
    insertion = RowInsert(row=RowId(bytes(32)), values={"title": "a", "shelf": "red"})
    (first,) = judge_.accept(bob(ordered, insertion))
    update = RowUpdate(row=first.row, parent=first.version, values={"title": "a", "shelf": "blue"})
    (second,) = judge_.accept(bob(ordered, update))
    assert second.clear == {"shelf": "blue"}


def test_conditions_are_asked_of_the_named_parent_and_of_the_new_row() -> None:
    red = ["=", ["column", "shelf"], ["value", "red"]]
    rules = (OWNER_ALL, grant(Grantee.PUBLIC, int(Action.INSERT), condition=red))
    box = mailbox_of(BOB, *SHELVES, grants=rules)
    Judge(box).accept(Author("alice")(box, insert(title="a", shelf="red")))
    with pytest.raises(AccessDenied):
        Judge(box)(Author("alice")(box, insert(title="a", shelf="blue")))
    with pytest.raises(AccessDenied):
        Judge(box)(Author("alice")(box, insert(title="a", shelf=None)))


def test_a_clear_not_null_column_is_checked_by_everybody() -> None:
    box = mailbox_of(BOB, column("title"), column("shelf", clear=True, not_null=True))
    with pytest.raises(SchemaViolation, match="shelf"):
        Judge(box)(Author("alice")(box, insert(title="a", shelf=None)))


def test_a_grant_on_columns_allows_only_those_to_change() -> None:
    columns = (column("title", clear=True), column("shelf", clear=True))
    ours = grant(Grantee.OWNER, int(Action.INSERT))
    only = grant(Grantee.OWNER, int(Action.UPDATE), columns=("shelf",))
    box = manifest_of(BOB, *columns, grants=(ours, only))
    bob, judge_ = Author("bob"), Judge(box)
    first_values = {"title": "a", "shelf": "red"}
    (first,) = judge_.accept(bob(box, RowInsert(row=RowId(bytes(32)), values=first_values)))
    base: dict[str, Any] = {"row": first.row, "parent": first.version}
    judge_.accept(bob(box, RowUpdate(values={"title": "a", "shelf": "blue"}, **base)))
    with pytest.raises(AccessDenied):
        judge_(bob(box, RowUpdate(values={"title": "b", "shelf": "blue"}, **base)))


def test_every_changed_byte_is_noticed() -> None:
    mailbox = mailbox_of(BOB, *SHELVES)
    changeset = Author("alice")(mailbox, insert(title="hello", shelf="red"))
    data = encode(changeset)
    Judge(mailbox).accept(changeset)
    for at in range(0, len(data), 3):
        damaged = bytearray(data)
        damaged[at] ^= 0x01
        judge_ = Judge(mailbox)
        try:
            outcome = judge_(decode(Changeset, bytes(damaged), limit_bytes=len(data)))
        except MfdbError:
            continue
        raise AssertionError(f"byte {at} changed and the changeset was judged {outcome}")


def test_other_networks_datasets_and_epochs_are_refused() -> None:
    mailbox, alice = mailbox_of(BOB), Author("alice")
    changeset = alice(mailbox, insert(body="x"))
    with pytest.raises(WrongNetwork):
        Judge(mailbox)(resigned(changeset, network=ZERO_HASH))
    with pytest.raises(BadProof, match="epoch"):
        Judge(mailbox)(resigned(changeset, acl_epoch=1))
    with pytest.raises(BadProof, match="key epoch"):
        Judge(mailbox)(resigned(changeset, key_epoch=9))
    with pytest.raises(BadProof, match="identity"):
        Judge(mailbox)(resigned(changeset, identity=BOB.address))
    with pytest.raises(BadSignature):
        Judge(mailbox)(resigned(changeset, signer="carol"))


# ---- revocation


def revoked(mailbox: Manifest, revocation: Revocation, **changes: Any) -> Manifest:
    values: dict[str, Any] = {
        "number": mailbox.number + 1,
        "previous": mailbox.hash,
        "acl_epoch": mailbox.acl_epoch + 1,
        "grants": (OWNER_ALL,),
        "revocations": (revocation,),
    }
    return msgspec.structs.replace(mailbox, **(values | changes))


@pytest.mark.parametrize("of", ["alice", "everybody"])
def test_a_revoked_signer_keeps_what_lies_inside_the_frontier_and_nothing_else(of: str) -> None:
    mailbox, alice = mailbox_of(BOB), Author("alice")
    first = alice(mailbox, insert(body="1"))
    second = alice(mailbox, insert(body="2"))
    signer = ALICE.address if of == "alice" else EVERYBODY
    after = revoked(mailbox, Revocation(signer, (Hash(second.id),)))
    backdated = alice(mailbox, insert(body="3"))
    judge_ = Judge(mailbox, after)
    judge_.accept(second)
    judge_.accept(first)
    with pytest.raises(AccessDenied, match="revoked"):
        judge_(backdated)
    fork = Author("alice")
    fork.chain = Chain(first.header.run, 1, Hash(first.id))
    with pytest.raises(AccessDenied, match="revoked"):
        judge_(fork(mailbox, insert(body="same number, other branch")))
    judge_.accept(Author("bob")(mailbox, insert(body="the owner is never revoked")))


def test_inside_or_outside_parks_until_the_chain_down_from_the_frontier_is_known() -> None:
    mailbox, alice = mailbox_of(BOB), Author("alice")
    first = alice(mailbox, insert(body="1"))
    second = alice(mailbox, insert(body="2"))
    judge_ = Judge(mailbox, revoked(mailbox, Revocation(ALICE.address, (Hash(second.id),))))
    assert judge_(first) == Parked((Hash(second.id),))
    judge_.accept(second)
    judge_.accept(first)


def test_rights_given_again_count_from_the_manifest_that_gives_them() -> None:
    mailbox, alice = mailbox_of(BOB), Author("alice")
    without = revoked(mailbox, Revocation(ALICE.address, ()))
    again = msgspec.structs.replace(
        without,
        number=2,
        previous=without.hash,
        revocations=(),
        grants=(OWNER_ALL, PUBLIC_INSERT),
    )
    judge_ = Judge(mailbox, without, again)
    with pytest.raises(AccessDenied):
        judge_(alice(mailbox, insert(body="old rules")))
    with pytest.raises(AccessDenied):
        judge_(alice(without, insert(body="no rules")))
    judge_.accept(alice(again, insert(body="new rules")))


# ---- fresh writes


def fresh(judge_: Judge, changeset: Changeset, heads: set[VersionId], now_s: float = 0) -> None:
    judged = judge(changeset, judge_.known, network=NETWORK)
    assert isinstance(judged, Accepted)
    check_fresh(judged, judge_.known, heads_of=lambda _: heads, now_s=now_s)


def test_a_fresh_write_needs_a_parent_that_is_still_a_head() -> None:
    mailbox, bob = mailbox_of(BOB), Author("bob")
    judge_ = Judge(mailbox)
    (first,) = judge_.accept(bob(mailbox, insert(body="1")))
    update = bob(mailbox, RowUpdate(row=first.row, parent=first.version, values={"body": "2"}))
    fresh(judge_, update, {first.version})
    with pytest.raises(StaleWrite, match="changed since"):
        fresh(judge_, update, {VersionId(bytes(32))})
    judge_.accept(update)  # valid all the same, if it spread


def test_a_fresh_write_needs_the_rules_in_force_and_a_grant_that_has_not_expired() -> None:
    until = grant(Grantee.PUBLIC, int(Action.INSERT), until=1000)
    mailbox = mailbox_of(BOB, grants=(OWNER_ALL, until))
    changeset = Author("alice")(mailbox, insert(body="1"))
    fresh(Judge(mailbox), changeset, set(), now_s=999)
    with pytest.raises(AccessDenied):
        fresh(Judge(mailbox), changeset, set(), now_s=1001)
    newer = msgspec.structs.replace(mailbox, number=1, previous=mailbox.hash, acl_epoch=1)
    with pytest.raises(StaleWrite, match="rules"):
        fresh(Judge(mailbox, newer), changeset, set(), now_s=999)


def test_the_greatest_stamp_wins_and_the_version_id_breaks_ties() -> None:
    mailbox = mailbox_of(BOB, ordering=Ordering.FREE)
    (one,) = Judge(mailbox).accept(Author("alice")(mailbox, insert(body="1")))
    later = msgspec.structs.replace(one, hlc=one.hlc + 1, version=VersionId(bytes(32)))
    tied = msgspec.structs.replace(one, version=VersionId(b"\xff" * 32))
    assert wins(later, one)
    assert not wins(one, later)
    assert wins(tied, one)
    assert winner([one, later, tied]) == later
