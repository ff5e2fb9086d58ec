"""The replica: what it shows, what it logs, what it refuses, and what a restart leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from mfdb.dataset.outcome import Applied, Incoming, RowChanged
from mfdb.dataset.row_changes import RowChange, RowDelete, RowInsert, RowUpdate
from mfdb.dataset.salts import load_entry
from mfdb.kernel.errors import (
    AccessDenied,
    BadProof,
    StoreFull,
    UnknownDataset,
    WrongNetwork,
)
from mfdb.kernel.ids import ZERO_HASH, ChangesetId, Hash, RowId
from mfdb.rules.changeset import Changeset
from mfdb.rules.manifest import Action, Grantee, Manifest, Revocation
from mfdb.store.ordered import pack
from tests.factories import body_of
from tests.fixtures.datasets import (
    OWNER_ALL,
    Person,
    column,
    grant,
    mailbox_of,
    manifest_of,
    signed,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

KEYED = (column("id", "INTEGER", key=1, not_null=True), column("body"), column("tag", unique=True))


def rows_of(person: Person, manifest: Manifest) -> list[tuple[Any, ...]]:
    with person.replica.reading() as reading:
        return [row.values for row in reading.rows(person.replica.known(manifest.dataset))]


def changes_of(person: Person, manifest: Manifest, after: int = 0) -> list[RowChanged]:
    with person.replica.reading() as reading:
        return list(reading.changes(person.replica.known(manifest.dataset), after))


def take(person: Person, manifest: Manifest) -> Manifest:
    person.replica.add_manifests([signed(manifest, person.keys)])
    return manifest


def keyed(person: Person, manifest: Manifest, id_: int, body: str, tag: str | None) -> RowInsert:
    row = person.keyring.row_id(manifest.dataset, pack(id_))
    return RowInsert(row=row, values={"id": id_, "body": body, "tag": tag})


def send(person: Person, manifest: Manifest, *changes: RowChange, **options: Any) -> list[Incoming]:
    drafts = person.replica.stage(manifest.dataset, changes, **options)
    return [Incoming(changeset=draft.changeset, entry=draft.entry) for draft in drafts]


def body(text: str) -> RowInsert:
    return RowInsert(values={"body": text})


def ids(items: Iterable[Incoming]) -> tuple[ChangesetId, ...]:
    return tuple(item.changeset.id for item in items)


@pytest.fixture
def notes(bob: Person) -> Manifest:
    return take(bob, manifest_of(bob.keys, *KEYED))


@pytest.fixture
def mailbox(alice: Person, bob: Person) -> Manifest:
    manifest = take(bob, mailbox_of(bob.keys))
    alice.replica.add_manifests([signed(manifest, bob.keys)])
    return manifest


# ---- local datasets


def test_written_rows_are_read_back_in_key_order_and_after_a_restart(
    bob: Person, notes: Manifest
) -> None:
    bob.replica.write(
        {notes.dataset: [keyed(bob, notes, 2, "b", "x"), keyed(bob, notes, -1, "a", None)]}
    )
    bob.replica.write({notes.dataset: [keyed(bob, notes, 1, "c", None)]})
    expected = [(-1, "a", None), (1, "c", None), (2, "b", "x")]
    assert rows_of(bob, notes) == expected
    bob.restart()
    assert rows_of(bob, notes) == expected


def test_keys_ranges_and_unique_columns_are_found_by_index(bob: Person, notes: Manifest) -> None:
    bob.replica.write({notes.dataset: [keyed(bob, notes, n, f"b{n}", f"t{n}") for n in range(10)]})
    known = bob.replica.known(notes.dataset)
    with bob.replica.reading() as reading:
        found = reading.by_key(known, (3, None, None))
        assert found is not None
        assert found.values == (3, "b3", "t3")
        assert reading.by_key(known, (30, None, None)) is None
        inside = [row.values[0] for row in reading.keyed(known, pack(3), pack(6))]
        assert inside == [3, 4, 5]
        backwards = reading.keyed(known, pack(3), pack(6), reverse=True)
        assert [row.values[0] for row in backwards] == [5, 4, 3]
        tagged = reading.by_unique(known, 2, "t7")
        assert tagged is not None
        assert tagged.values[0] == 7
        assert reading.by_unique(known, 2, "t70") is None


def test_an_update_moves_indexes_and_a_delete_leaves_nothing(bob: Person, notes: Manifest) -> None:
    bob.replica.write({notes.dataset: [keyed(bob, notes, 1, "a", "x")]})
    known = bob.replica.known(notes.dataset)
    with bob.replica.reading() as reading:
        (row,) = reading.rows(known)
    values = {"id": 1, "body": "b", "tag": "y"}
    bob.replica.write({notes.dataset: [RowUpdate(row=row.row, parent=row.version, values=values)]})
    with bob.replica.reading() as reading:
        (row,) = reading.rows(known)
        assert row.values == (1, "b", "y")
        assert reading.by_unique(known, 2, "x") is None
    bob.replica.write({notes.dataset: [RowDelete(row=row.row, parent=row.version)]})
    with bob.replica.reading() as reading:
        assert list(reading.rows(known)) == []
        assert reading.by_unique(known, 2, "y") is None


def test_a_deleted_key_may_be_used_again(bob: Person, notes: Manifest) -> None:
    bob.replica.write({notes.dataset: [keyed(bob, notes, 1, "a", None)]})
    with bob.replica.reading() as reading:
        (row,) = reading.rows(bob.replica.known(notes.dataset))
    bob.replica.write({notes.dataset: [RowDelete(row=row.row, parent=row.version)]})
    bob.replica.write({notes.dataset: [keyed(bob, notes, 1, "again", None)]})
    assert rows_of(bob, notes) == [(1, "again", None)]
    with bob.replica.reading() as reading:
        assert list(reading.conflicts(bob.replica.known(notes.dataset))) == []


def test_a_batch_is_kept_whole_or_not_at_all(bob: Person, notes: Manifest) -> None:
    bob.replica.write({notes.dataset: [keyed(bob, notes, 1, "a", None)]})
    bob.disk.full = True
    with pytest.raises(StoreFull):
        bob.replica.write({notes.dataset: [keyed(bob, notes, n, "b", None) for n in range(2, 5)]})
    bob.disk.full = False
    assert rows_of(bob, notes) == [(1, "a", None)]
    bob.replica.write({notes.dataset: [keyed(bob, notes, 2, "b", None)]})
    assert rows_of(bob, notes) == [(1, "a", None), (2, "b", None)]


def test_a_large_write_is_split_and_still_atomic_here(bob: Person, notes: Manifest) -> None:
    applied = bob.replica.write(
        {notes.dataset: [keyed(bob, notes, n, "", None) for n in range(10_001)]}
    )
    assert len(applied.applied) == 2
    assert len(rows_of(bob, notes)) == 10_001


# ---- the changelog


def test_every_change_is_told_once_with_old_and_new(bob: Person, notes: Manifest) -> None:
    told: list[bytes] = []
    stop = bob.replica.listen(told.append)
    bob.replica.write({notes.dataset: [keyed(bob, notes, 1, "a", None)]})
    with bob.replica.reading() as reading:
        (row,) = reading.rows(bob.replica.known(notes.dataset))
    values = {"id": 1, "body": "b", "tag": None}
    bob.replica.write({notes.dataset: [RowUpdate(row=row.row, parent=row.version, values=values)]})
    with bob.replica.reading() as reading:
        (row,) = reading.rows(bob.replica.known(notes.dataset))
    inserted, updated = changes_of(bob, notes)
    assert (inserted.op, inserted.old, inserted.sequence) == ("insert", None, 1)
    assert inserted.new == {"id": 1, "body": "a", "tag": None}
    assert (updated.op, updated.old, updated.new) == ("update", inserted.new, values)
    assert updated.author == bob.keys.address
    assert told == [notes.dataset] * 2
    stop()
    bob.replica.write({notes.dataset: [RowDelete(row=row.row, parent=row.version)]})
    assert len(told) == 2
    (deleted,) = changes_of(bob, notes, after=2)
    assert (deleted.op, deleted.old, deleted.new) == ("delete", values, None)


def test_a_deleted_row_is_shredded_everywhere_even_in_the_changelog(
    bob: Person, notes: Manifest
) -> None:
    bob.replica.write({notes.dataset: [keyed(bob, notes, 1, "the secret", None)]})
    with bob.replica.reading() as reading:
        (row,) = reading.rows(bob.replica.known(notes.dataset))
    first = next(change for change in changes_of(bob, notes))
    applied = bob.replica.write({notes.dataset: [RowDelete(row=row.row, parent=row.version)]})
    assert [index for _, index in applied.shred] == [0]
    bob.restart()
    (deleted,) = changes_of(bob, notes)
    assert (deleted.op, deleted.sequence) == ("delete", first.sequence + 1)
    assert deleted.old == {"id": 1, "body": None, "tag": None}, "only the key may live on"
    with bob.store.snapshot() as snapshot:
        left = b"".join(value for _, value in snapshot.scan(b"\x00", b"\xff"))
        assert b"the secret" not in left
        changesets = [ChangesetId(key[33:]) for key, _ in snapshot.scan(b"k")]
        entries = [load_entry(snapshot, notes.dataset, one) for one in changesets]
    assert [entry.salts for entry in entries if entry] == [(b"",), (b"",)]


# ---- mailboxes: two people


def test_a_stranger_s_row_arrives_and_the_stranger_cannot_read_it_back(
    alice: Person, bob: Person, mailbox: Manifest
) -> None:
    items = send(alice, mailbox, body("hello"), body("again"))
    assert bob.replica.apply(mailbox.dataset, items).applied == ids(items)
    assert sorted(rows_of(bob, mailbox)) == [("again",), ("hello",)]
    alice.replica.apply(mailbox.dataset, items)
    assert rows_of(alice, mailbox) == []
    assert changes_of(alice, mailbox) == []


def test_a_sealed_sender_is_known_to_the_reader_only(
    alice: Person, bob: Person, mailbox: Manifest
) -> None:
    (item,) = send(alice, mailbox, body("psst"), sealed_sender=True)
    assert bytes(alice.keys.address) not in msgspec.msgpack.encode(item.changeset)
    bob.replica.apply(mailbox.dataset, [item])
    (change,) = changes_of(bob, mailbox)
    assert change.author == alice.keys.address


def test_applying_twice_changes_nothing(alice: Person, bob: Person, mailbox: Manifest) -> None:
    items = send(alice, mailbox, body("once"))
    bob.replica.apply(mailbox.dataset, items)
    again = bob.replica.apply(mailbox.dataset, items)
    assert again == Applied()
    assert rows_of(bob, mailbox) == [("once",)]
    assert len(changes_of(bob, mailbox)) == 1


def test_what_comes_before_its_parent_waits_even_over_a_restart(
    alice: Person, bob: Person, mailbox: Manifest
) -> None:
    (first,) = send(alice, mailbox, body("hello"))
    other = Person("bob", bob.keys, bob.world)
    other.replica.add_manifests([signed(mailbox, bob.keys)])
    other.replica.apply(mailbox.dataset, [first])
    with other.replica.reading() as reading:
        (row,) = reading.rows(other.replica.known(mailbox.dataset))
    change = RowUpdate(row=row.row, parent=row.version, values={"body": "read"})
    (update,) = send(other, mailbox, change)
    report = bob.replica.apply(mailbox.dataset, [update])
    assert (report.applied, report.parked) == ((), ids([update]))
    with bob.replica.reading() as reading:
        (waiting,) = reading.conflicts(bob.replica.known(mailbox.dataset))
    assert "not here yet" in waiting.reason
    bob.restart()
    report = bob.replica.apply(mailbox.dataset, [first])
    assert set(report.applied) == set(ids([first, update]))
    assert rows_of(bob, mailbox) == [("read",)]


def test_races_end_alike_everywhere_and_the_loser_stays_visible(
    alice: Person, bob: Person, mailbox: Manifest
) -> None:
    (first,) = send(alice, mailbox, body("hello"))
    phone = Person("bob", bob.keys, bob.world)
    phone.replica.add_manifests([signed(mailbox, bob.keys)])
    updates = []
    for machine, text in ((bob, "desk"), (phone, "phone")):
        machine.replica.apply(mailbox.dataset, [first])
        with machine.replica.reading() as reading:
            (row,) = reading.rows(machine.replica.known(mailbox.dataset))
        change = RowUpdate(row=row.row, parent=row.version, values={"body": text})
        updates += send(machine, mailbox, change)
    bob.replica.apply(mailbox.dataset, updates)
    phone.replica.apply(mailbox.dataset, updates[::-1])
    assert rows_of(bob, mailbox) == rows_of(phone, mailbox) == [("phone",)]
    for machine in (bob, phone):
        with machine.replica.reading() as reading:
            (conflict,) = reading.conflicts(machine.replica.known(mailbox.dataset))
        assert conflict.reason == "a later version of the row won"


def test_bad_changesets_are_named_and_the_good_ones_of_the_group_are_kept(
    alice: Person, bob: Person, mailbox: Manifest
) -> None:
    good, bad = send(alice, mailbox, body("good")) + send(alice, mailbox, body("bad"))
    other = body_of(msgspec.structs.replace(bad.changeset.operations[0], sealed=b"other"))
    forged = Changeset(bad.changeset.header, bad.changeset.signature, other)
    report = bob.replica.apply(mailbox.dataset, [Incoming(changeset=forged), good])
    assert report.applied == ids([good])
    ((refused, error),) = report.refused
    assert refused == forged.id
    assert isinstance(error, BadProof)
    assert rows_of(bob, mailbox) == [("good",)]
    assert not bob.replica.has(mailbox.dataset, forged.id)


def test_nonsense_in_a_mailbox_is_listed_and_hurts_nobody(
    alice: Person, bob: Person, mailbox: Manifest
) -> None:
    (garbage,) = send(alice, mailbox, body("garbage"))
    assert garbage.entry is not None
    closed = msgspec.structs.replace(garbage.entry, envelope=bytes(80))
    (wrong,) = send(alice, mailbox, RowInsert(values={"body": 7}))
    (good,) = send(alice, mailbox, body("good"))
    items = [Incoming(changeset=garbage.changeset, entry=closed), wrong, good]
    assert len(bob.replica.apply(mailbox.dataset, items).applied) == 3
    assert rows_of(bob, mailbox) == [("good",)]
    with bob.replica.reading() as reading:
        reasons = {c.reason for c in reading.conflicts(bob.replica.known(mailbox.dataset))}
    assert any("does not open" in reason for reason in reasons)
    assert any("int that is no TEXT" in reason for reason in reasons)


def test_an_entry_that_opens_repairs_one_that_does_not(
    alice: Person, bob: Person, mailbox: Manifest
) -> None:
    (item,) = send(alice, mailbox, body("late key"))
    assert item.entry is not None
    without = Incoming(changeset=item.changeset, entry=item.entry.without({0}))
    closed = msgspec.structs.replace(item.entry, envelope=bytes(80))
    bob.replica.apply(mailbox.dataset, [Incoming(changeset=item.changeset)])
    assert bob.replica.missing_entries(mailbox.dataset) == [item.changeset.id]
    for poor in (without, Incoming(changeset=item.changeset, entry=closed)):
        bob.replica.apply(mailbox.dataset, [poor])
    bob.replica.apply(mailbox.dataset, [item, without])
    assert rows_of(bob, mailbox) == [("late key",)]
    assert [change.op for change in changes_of(bob, mailbox)] == ["insert"]


@pytest.mark.parametrize("closed_first", [True, False])
def test_of_two_envelopes_the_one_that_opens_is_kept(
    alice: Person,
    bob: Person,
    mailbox: Manifest,
    closed_first: bool,  # noqa: FBT001 - pytest gives it by name
) -> None:
    (item,) = send(alice, mailbox, body("hello"))
    assert item.entry is not None
    closed = Incoming(
        changeset=item.changeset, entry=msgspec.structs.replace(item.entry, envelope=bytes(80))
    )
    for one in (closed, item) if closed_first else (item, closed):
        bob.replica.apply(mailbox.dataset, [one])
    assert rows_of(bob, mailbox) == [("hello",)]
    with bob.store.snapshot() as snapshot:
        assert load_entry(snapshot, mailbox.dataset, item.changeset.id) == item.entry


def test_a_salt_that_was_destroyed_never_comes_back(
    alice: Person, bob: Person, mailbox: Manifest
) -> None:
    (item,) = send(alice, mailbox, body("secret"))
    bob.replica.apply(mailbox.dataset, [item])
    with bob.replica.reading() as reading:
        (row,) = reading.rows(bob.replica.known(mailbox.dataset))
    delete = send(bob, mailbox, RowDelete(row=row.row, parent=row.version))
    report = bob.replica.apply(mailbox.dataset, delete)
    assert report.shred == ((item.changeset.id, 0),)
    bob.replica.apply(mailbox.dataset, [item])
    with bob.store.snapshot() as snapshot:
        stored = load_entry(snapshot, mailbox.dataset, item.changeset.id)
    assert stored is not None
    assert stored.salts == (b"",)


def test_a_future_changeset_waits_until_its_time(
    alice: Person, bob: Person, mailbox: Manifest
) -> None:
    alice.world.seconds += 3600
    early = send(alice, mailbox, body("early"))
    assert bob.replica.apply(mailbox.dataset, early).parked == ids(early)
    bob.world.seconds += 1800
    assert bob.replica.apply(mailbox.dataset, []).applied == ()
    bob.world.seconds += 1801
    assert bob.replica.apply(mailbox.dataset, []).applied == ids(early)
    assert rows_of(bob, mailbox) == [("early",)]


def test_a_revocation_takes_back_what_lies_outside_the_frontier_whenever_it_came(
    alice: Person, bob: Person, mailbox: Manifest
) -> None:
    kept, outside, late = (send(alice, mailbox, body(text))[0] for text in ("1", "2", "3"))
    bob.replica.apply(mailbox.dataset, [kept, outside])
    with bob.replica.reading() as reading:
        frontier = reading.frontier(bob.replica.known(mailbox.dataset), alice.keys.address)
    assert frontier == (Hash(outside.changeset.id),)
    revocation = Revocation(alice.keys.address, (Hash(kept.changeset.id),))
    after = msgspec.structs.replace(
        mailbox,
        number=1,
        previous=mailbox.hash,
        acl_epoch=1,
        grants=(OWNER_ALL,),
        revocations=(revocation,),
    )
    bob.replica.add_manifests([signed(after, bob.keys)])
    assert rows_of(bob, mailbox) == [("1",)]
    assert [change.op for change in changes_of(bob, mailbox)][-1] == "delete"
    ((_, error),) = bob.replica.apply(mailbox.dataset, [late]).refused
    assert isinstance(error, AccessDenied)
    assert bob.replica.apply(mailbox.dataset, [outside]).applied == ()
    assert rows_of(bob, mailbox) == [("1",)]


# ---- the outbox and the writing run


def test_rows_that_came_before_their_key_are_shown_when_it_comes(
    alice: Person, bob: Person
) -> None:
    open_to_all = grant(Grantee.PUBLIC, int(Action.SELECT))
    first = take(bob, manifest_of(bob.keys, column("body"), grants=(OWNER_ALL,)))
    alice.replica.add_manifests([signed(first, bob.keys)])
    alice.replica.apply(first.dataset, send(bob, first, body("early")))
    assert rows_of(alice, first) == []
    reader_key = bytes(alice.keys.seal_key(0).public_key)
    wrapped = bob.keyring.wrap_for(first, 0, alice.keys.address, reader_key)
    second = msgspec.structs.replace(
        first,
        number=1,
        previous=first.hash,
        grants=(OWNER_ALL, open_to_all),
        wrapped_keys=(wrapped,),
    )
    alice.replica.add_manifests([signed(second, bob.keys)])
    assert rows_of(alice, second) == [("early",)]


def test_the_outbox_survives_a_restart_and_a_writing_run_that_rests(
    alice: Person, mailbox: Manifest
) -> None:
    (first,) = send(alice, mailbox, body("1"))
    alice.restart()
    (waiting,) = alice.replica.outgoing(mailbox.dataset)
    assert waiting.changeset == first.changeset
    (second,) = send(alice, mailbox, body("2"))
    header = second.changeset.header
    assert header.run != first.changeset.header.run  # it was not put at rest
    assert header.number == 0
    alice.replica.rest()
    alice.restart()
    (third,) = send(alice, mailbox, body("3"))
    after = third.changeset.header
    assert (after.run, after.number, after.previous) == (header.run, 1, Hash(second.changeset.id))
    assert after.hlc > header.hlc
    for item in (first, second, third):
        alice.replica.settle(mailbox.dataset, item.changeset.id, [])
    assert alice.replica.outgoing(mailbox.dataset) == []


def test_stamps_never_go_back_when_the_machine_s_clock_does(
    alice: Person, mailbox: Manifest
) -> None:
    (first,) = send(alice, mailbox, body("1"))
    alice.world.seconds -= 100_000
    alice.restart()
    (second,) = send(alice, mailbox, body("2"))
    assert second.changeset.header.hlc > first.changeset.header.hlc


# ---- manifests


def test_manifests_of_another_network_owner_or_chain_are_refused(
    alice: Person, bob: Person, mailbox: Manifest
) -> None:
    foreign = msgspec.structs.replace(mailbox, network=ZERO_HASH)
    with pytest.raises(WrongNetwork):
        bob.replica.add_manifests([signed(foreign, bob.keys)])
    second = msgspec.structs.replace(mailbox, number=1, previous=Hash(b"x" * 32))
    with pytest.raises(BadProof, match="follow"):
        bob.replica.add_manifests([signed(second, bob.keys)])
    rival = msgspec.structs.replace(mailbox, retention_s=5)
    with pytest.raises(BadProof, match="two manifests"):
        bob.replica.add_manifests([signed(rival, bob.keys)])
    assert not bob.replica.add_manifests([signed(mailbox, bob.keys)])


def test_the_newest_manifest_may_come_first_and_must_fit_what_follows(
    alice: Person, bob: Person
) -> None:
    first = mailbox_of(bob.keys)
    second = msgspec.structs.replace(first, number=1, previous=first.hash, retention_s=7)
    alice.replica.add_manifests([signed(second, bob.keys)])
    assert alice.replica.known(first.dataset).manifest == second
    rival = msgspec.structs.replace(first, retention_s=5)
    with pytest.raises(BadProof, match="follow"):
        alice.replica.add_manifests([signed(rival, bob.keys)])
    assert alice.replica.add_manifests([signed(first, bob.keys), signed(second, bob.keys)])
    assert alice.replica.known(first.dataset).manifests == (first, second)


def test_a_forgotten_dataset_leaves_nothing_and_does_not_come_back(
    bob: Person, notes: Manifest
) -> None:
    bob.replica.write({notes.dataset: [keyed(bob, notes, 1, "a", "x")]})
    bob.replica.forget(notes.dataset, reason="dropped")
    with pytest.raises(UnknownDataset):
        bob.replica.known(notes.dataset)
    with bob.store.snapshot() as snapshot:
        keys = [key for key, _ in snapshot.scan(b"\x00", b"\xff") if bytes(notes.dataset) in key]
    assert keys == [b"t" + notes.dataset]
    assert bob.replica.is_used(notes.dataset)
    assert not bob.replica.add_manifests([signed(notes, bob.keys)])


def test_an_unknown_name_points_at_the_nearest(bob: Person, notes: Manifest) -> None:
    with bob.replica.reading() as reading, pytest.raises(UnknownDataset) as caught:
        reading.named(bob.keys.address, "note")
    assert '"notes"' in caught.value.hint
    assert bob.replica.find(bob.keys.address, "note") is None
    found = bob.replica.find(bob.keys.address, "notes")
    assert found is not None
    assert found.manifest == notes


def test_row_ids_depend_on_a_secret(alice: Person, bob: Person, notes: Manifest) -> None:
    mine = bob.keyring.row_id(notes.dataset, pack(1))
    assert mine == bob.keyring.row_id(notes.dataset, pack(1))
    assert mine != alice.keyring.row_id(notes.dataset, pack(1))
    assert isinstance(mine, bytes)
    assert len(RowId(mine)) == 32
