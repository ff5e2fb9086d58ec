"""Datasets that live on one machine: signed and chained, changed, shredded, told of and checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from mfdb.dataset.ledger.format import GONE, LedgerEntry, leaf_of
from mfdb.dataset.ledger.journal import SLOTS, Journal
from mfdb.dataset.pending import Pending
from mfdb.dataset.replica import Replica
from mfdb.dataset.row_changes import RowDelete, RowInsert, RowUpdate
from mfdb.kernel.codec import decode_own, encode
from mfdb.kernel.errors import AccessDenied, DuplicateRow, SchemaViolation, StaleWrite, StoreFull
from mfdb.rules.evidence import EMBEDDED
from mfdb.rules.manifest import Action, Grantee
from mfdb.rules.signing import check_signature
from mfdb.store.ordered import pack
from mfdb.testing.memory_store import MemoryStore
from tests.fixtures.datasets import (
    NETWORK,
    Counter,
    Person,
    column,
    grant,
    manifest_of,
    person,
    signed,
)

if TYPE_CHECKING:
    from mfdb.dataset.catalogue import Known
    from mfdb.dataset.layout import StoredRow
    from mfdb.dataset.outcome import RowChanged
    from mfdb.dataset.row_changes import RowChange
    from mfdb.rules.manifest import Manifest

COLUMNS = (
    column("id", "INTEGER", key=1, not_null=True),
    column("body"),
    column("tag", unique=True),
)


@pytest.fixture
def notes(bob: Person) -> Manifest:
    return made(bob)


def made(bob: Person) -> Manifest:
    manifest = manifest_of(bob.keys, *COLUMNS, network=EMBEDDED)
    bob.replica.add_manifests([signed(manifest, bob.keys)])
    bob.replica.create_index(manifest.dataset, "by_body", [("body", False)])
    return manifest


def row(key: int, body: str | None = None, tag: str | None = None) -> RowInsert:
    return RowInsert(values={"id": key, "body": body, "tag": tag})


def write(bob: Person, notes: Manifest, *changes: Any) -> None:
    bob.replica.write({notes.dataset: list(changes)})


def stored(bob: Person, notes: Manifest) -> dict[int, StoredRow]:
    with bob.replica.reading() as reading:
        return {row.values[0]: row for row in reading.rows(bob.replica.known(notes.dataset))}


def update(old: StoredRow, **values: Any) -> RowUpdate:
    was = dict(zip(("id", "body", "tag"), old.values, strict=True))
    return RowUpdate(row=old.row, parent=old.version, values=was | values)


def delete(old: StoredRow) -> RowDelete:
    return RowDelete(row=old.row, parent=old.version)


def changes(bob: Person, notes: Manifest, after: int = 0) -> list[RowChanged]:
    with bob.replica.reading() as reading:
        return list(reading.changes(reading.known(notes.dataset), after))


def pairs(bob: Person) -> list[tuple[bytes, bytes]]:
    with bob.store.snapshot() as snapshot:
        return list(snapshot.scan(b""))


def problems(bob: Person) -> list[str]:
    return bob.replica.check().problems


# ---- writing


def test_rows_are_written_changed_and_deleted(bob: Person, notes: Manifest) -> None:
    write(bob, notes, row(1, "one", "t1"), row(2, "two"), row(3, "three"))
    old = stored(bob, notes)
    write(bob, notes, update(old[2], body="newer"), delete(old[3]), row(4, "four", "t4"))
    assert {key: found.values for key, found in stored(bob, notes).items()} == {
        1: (1, "one", "t1"),
        2: (2, "newer", None),
        4: (4, "four", "t4"),
    }
    with bob.replica.reading() as reading:
        known = reading.known(notes.dataset)
        (index,) = reading.indexes(known)
        ordered = [r.values[1] for r in reading.by_index(known, index, index.prefix, None)]
        tagged = reading.by_unique(known, 2, "t4")
    assert ordered == ["four", "newer", "one"]
    assert tagged is not None
    assert tagged.author == bob.keys.address
    report = bob.replica.check()
    assert (report.problems, report.changesets, report.rows) == ([], 2, 3)
    assert report.index_entries == 3 + 2


def test_each_changeset_is_signed_once_and_names_the_one_before(
    bob: Person, notes: Manifest
) -> None:
    for start in (0, 10, 20):
        write(bob, notes, *(row(start + n) for n in range(10)))
    with bob.store.snapshot() as snapshot:
        entries = list(Journal(snapshot, notes.dataset).entries())
    assert [entry.header.first for entry in entries] == [1, 11, 21]
    for before, entry in zip([None, *entries], entries, strict=False):
        check_signature(entry.header, entry.signature, bob.keys.address)
        assert before is None or entry.header.previous == bytes(before.id)


def test_more_operations_than_a_changeset_holds_are_several_in_one_write(
    bob: Person, notes: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mfdb.dataset.ledger.book.OPERATIONS", 4)
    write(bob, notes, *(row(n) for n in range(10)))
    report = bob.replica.check()
    assert (report.problems, report.changesets, report.rows) == ([], 3, 10)
    assert [change.sequence for change in changes(bob, notes)] == list(range(1, 11))


def test_a_write_that_starts_from_what_is_gone_is_refused(bob: Person, notes: Manifest) -> None:
    write(bob, notes, row(1, "one"))
    old = stored(bob, notes)[1]
    write(bob, notes, update(old, body="newer"))
    for change in (update(old, body="late"), delete(old)):
        with pytest.raises(StaleWrite):
            write(bob, notes, change)
    with pytest.raises(DuplicateRow):
        write(bob, notes, row(1, "again"))
    with pytest.raises(SchemaViolation):
        write(bob, notes, RowInsert(values={"id": "text", "body": None, "tag": None}))
    assert stored(bob, notes)[1].values == (1, "newer", None)


@pytest.mark.parametrize("kind", ["update", "delete", "insert", "unique"])
def test_a_batch_that_was_planned_before_another_commit_is_compared(
    bob: Person, notes: Manifest, kind: str
) -> None:
    write(bob, notes, row(1, "one"))
    old = stored(bob, notes)[1]
    pending = Pending(seen=1)
    if kind == "update":
        pending.update(old.row, old, (1, "late", None))
    elif kind == "delete":
        pending.delete(old.row, old)
    elif kind == "insert":
        pending.insert(pack(2), (2, "mine", None))  # type: ignore[arg-type] # a handle
    else:
        pending.insert(pack(3), (3, "mine", "same"))  # type: ignore[arg-type] # a handle
    write(bob, notes, update(old, body="newer"), row(2, "theirs", "same"))
    with pytest.raises(StaleWrite if kind in ("update", "delete") else DuplicateRow):
        bob.replica.commit({notes.dataset: pending})
    assert sorted(stored(bob, notes)) == [1, 2]
    assert problems(bob) == []


def test_only_the_owner_writes_and_only_what_the_rules_allow(bob: Person) -> None:
    bobs = manifest_of(
        bob.keys,
        column("id", "INTEGER", key=1),
        column("n", "INTEGER", clear=True),
        network=EMBEDDED,
        grants=(
            grant(Grantee.OWNER, int(Action.SELECT | Action.INSERT)),
            grant(
                Grantee.OWNER, int(Action.UPDATE), condition=[">", ["column", "n"], ["value", 0]]
            ),
        ),
    )
    bob.replica.add_manifests([signed(bobs, bob.keys)])
    write(bob, bobs, *(RowInsert(values={"id": n, "n": n}) for n in range(2)))
    old = stored(bob, bobs)
    with pytest.raises(AccessDenied):
        write(bob, bobs, delete(old[0]))
    named = {"id": 0, "n": 5}
    with pytest.raises(AccessDenied):
        write(bob, bobs, RowUpdate(row=old[0].row, parent=old[0].version, values=named))
    named = {"id": 1, "n": 5}
    write(bob, bobs, RowUpdate(row=old[1].row, parent=old[1].version, values=named))
    alices = manifest_of(person("alice").keys, *COLUMNS, network=EMBEDDED)
    bob.replica.add_manifests([signed(alices, person("alice").keys)])
    with pytest.raises(AccessDenied):
        write(bob, alices, row(1))


def test_a_full_disk_keeps_nothing_of_a_write(bob: Person, notes: Manifest) -> None:
    write(bob, notes, row(1, "one"))
    bob.disk.full = True
    with pytest.raises(StoreFull):
        write(bob, notes, *(row(n) for n in range(2, 100)))
    bob.disk.full = False
    bob.restart()
    assert sorted(stored(bob, notes)) == [1]
    write(bob, notes, row(2))
    assert problems(bob) == []


def test_rows_without_a_key_are_found_by_their_place(bob: Person) -> None:
    loose = manifest_of(bob.keys, column("body"), name="loose", network=EMBEDDED)
    bob.replica.add_manifests([signed(loose, bob.keys)])
    write(bob, loose, *(RowInsert(values={"body": body}) for body in ("a", "b", "b")))
    with bob.replica.reading() as reading:
        a, b, _ = reading.rows(reading.known(loose.dataset))
    write(
        bob,
        loose,
        RowUpdate(row=a.row, parent=a.version, values={"body": "newer"}),
        RowDelete(row=b.row, parent=b.version),
    )
    with bob.replica.reading() as reading:
        assert [r.values for r in reading.rows(reading.known(loose.dataset))] == [
            ("newer",),
            ("b",),
        ]
    told = changes(bob, loose)
    assert told[0].row == told[-2].row, "a row keeps its id"
    assert [change.op for change in told] == ["insert", "insert", "update", "delete"]
    assert problems(bob) == []


# ---- destroying


def test_a_deleted_row_is_gone_from_every_table_and_signatures_hold(
    bob: Person, notes: Manifest
) -> None:
    write(bob, notes, row(1, "a first secret"), row(2, "stays"))
    write(bob, notes, update(stored(bob, notes)[1], body="a second secret"))
    write(bob, notes, update(stored(bob, notes)[1], body="a third secret", tag="tagged secret"))
    assert sum(b"secret" in value for _, value in pairs(bob)) >= 2
    write(bob, notes, delete(stored(bob, notes)[1]))
    assert not [key for key, value in pairs(bob) if b"secret" in key + value]
    assert problems(bob) == []
    with bob.store.snapshot() as snapshot:
        slots = dict(Journal(snapshot, notes.dataset).slots(1, 5))
    assert [slots[at][:1] == GONE for at in range(1, 6)] == [True, False, True, True, False]
    bob.replica.rebuild(notes.dataset)
    assert sorted(stored(bob, notes)) == [2]
    assert problems(bob) == []
    write(bob, notes, row(1, "comes again"))
    assert stored(bob, notes)[1].values[1] == "comes again"


# ---- the feed


def test_the_feed_tells_of_every_change_with_ids_that_mean_something_elsewhere(
    bob: Person, notes: Manifest
) -> None:
    write(bob, notes, row(1, "one"), row(2, "two"))
    write(bob, notes, update(stored(bob, notes)[1], body="newer"))
    write(bob, notes, delete(stored(bob, notes)[2]))
    told = changes(bob, notes)
    assert [(c.op, c.sequence) for c in told] == [("insert", 1), ("update", 3), ("delete", 4)]
    assert told[1].old == {"id": 1, "body": "one", "tag": None}
    assert told[1].new == {"id": 1, "body": "newer", "tag": None}
    assert told[2].old == {"id": 2, "body": "two", "tag": None}, "at hand for live subscribers"
    assert told[0].row == told[1].row == bob.keyring.row_id(notes.dataset, pack(1))
    with bob.store.snapshot() as snapshot:
        first = next(Journal(snapshot, notes.dataset).entries())
    assert told[1].version != told[0].version
    assert told[2].version not in (told[0].version, told[1].version)
    assert told[0].hlc == first.header.hlc
    assert [c.sequence for c in changes(bob, notes, 3)] == [4]
    bob.restart()
    (last,) = changes(bob, notes, 3)
    assert last.is_partial
    assert last.old == {"id": 2, "body": None, "tag": None}


def test_a_snapshot_gives_rows_in_the_order_in_which_they_came(
    bob: Person, notes: Manifest
) -> None:
    write(bob, notes, row(5, "first"), row(1, "second"))
    write(bob, notes, update(stored(bob, notes)[5], body="newer"))
    with bob.replica.reading() as reading:
        known = reading.known(notes.dataset)
        places = reading.places(known)
        rows = [reading.of_version(known, row, version) for _, row, version in places]
        assert reading.last_sequence(known) == 3
        assert not list(reading.conflicts(known))
        assert reading.shown_version(known, places[0][1]) == places[0][2]
    assert [place for place, _, _ in places] == [1, 2]
    assert [row.values[:2] for row in rows if row] == [(5, "newer"), (1, "second")]
    assert [row.row for row in rows if row] == [
        bob.keyring.row_id(notes.dataset, pack(key)) for key in (5, 1)
    ]
    write(bob, notes, delete(stored(bob, notes)[1]))
    with bob.replica.reading() as reading:
        assert reading.of_version(known, places[1][1], places[1][2]) is None


def test_what_changed_while_columns_were_others_is_told_by_name(
    bob: Person, notes: Manifest
) -> None:
    from msgspec.structs import replace

    write(bob, notes, row(1, "one", "t1"))
    wider = replace(
        notes,
        number=1,
        previous=notes.hash,
        columns=(*COLUMNS, column("extra")),
    )
    bob.replica.add_manifests([signed(wider, bob.keys)])
    bob.replica.rebuild(notes.dataset)
    write(bob, notes, RowInsert(values={"id": 2, "body": "two", "tag": None, "extra": "x"}))
    assert [c.new for c in changes(bob, notes)] == [
        {"id": 1, "body": "one", "tag": "t1", "extra": None},
        {"id": 2, "body": "two", "tag": None, "extra": "x"},
    ]
    assert stored(bob, notes)[1].values == (1, "one", "t1", None)
    assert problems(bob) == []


# ---- CHECK DATABASE


@pytest.mark.parametrize("table", [b"m", b"l", b"q", b"d", b"u", b"j", b"g"])
def test_a_check_finds_what_was_lost_or_changed(bob: Person, notes: Manifest, table: bytes) -> None:
    for start in (0, 10):
        write(bob, notes, *(row(start + n, f"body {n}", f"t{start + n}") for n in range(3)))
    assert problems(bob) == []
    kept = [pair for pair in pairs(bob) if pair[0][:1] == table and pair[0][1:33] == notes.dataset]
    for key, value in kept:
        if table == b"m":
            break
        bob.store.write([(key, None)])
        assert problems(bob), f"{key.hex()} was lost"
        bob.store.write([(key, value)])
        assert problems(bob) == []
    for key, value in kept:
        for at in range(0, len(value), max(1, len(value) // 12)):
            bob.store.write([(key, value[:at] + bytes([value[at] ^ 1]) + value[at + 1 :])])
            assert problems(bob), f"{key.hex()} was changed at byte {at}"
        bob.store.write([(key, value)])
    assert problems(bob) == []


def test_a_row_that_shows_what_nobody_signed_is_found_and_made_anew(
    bob: Person, notes: Manifest
) -> None:
    write(bob, notes, row(1, "signed"))
    key, value = next(pair for pair in pairs(bob) if pair[0][:1] == b"d")
    bob.store.write([(key, value.replace(b"signed", b"forged"))])
    found = problems(bob)
    assert any("shows other values than were signed" in problem for problem in found)
    bob.replica.rebuild(notes.dataset)
    assert problems(bob) == []
    assert stored(bob, notes)[1].values == (1, "signed", None)


def test_a_row_that_nobody_signed_is_found(bob: Person, notes: Manifest) -> None:
    write(bob, notes, row(1, "signed"))
    key, value = next(pair for pair in pairs(bob) if pair[0][:1] == b"d")
    bob.store.write([(key[:33] + pack(2), value)])
    assert "2 rows are visible, 1 should be" in " ".join(problems(bob))


def test_an_operation_that_was_destroyed_without_a_delete_is_found(
    bob: Person, notes: Manifest
) -> None:
    write(bob, notes, row(1, "one"), row(2, "two"))
    key, value = next(pair for pair in pairs(bob) if pair[0][:1] == b"q")
    first, second = decode_own(SLOTS, value)
    gone = GONE + leaf_of(first) + bytes(8)
    bob.store.write([(key, encode([gone, second]))])
    assert any("destroyed, but its row was not deleted" in problem for problem in problems(bob))


def test_an_operation_of_a_deleted_row_that_comes_back_is_found(
    bob: Person, notes: Manifest
) -> None:
    write(bob, notes, row(1, "one"))
    kept = next(pair for pair in pairs(bob) if pair[0][:1] == b"q")
    write(bob, notes, delete(stored(bob, notes)[1]))
    assert problems(bob) == []
    bob.store.write([kept])
    assert any("was not destroyed" in problem for problem in problems(bob))


def test_a_changeset_that_somebody_else_signed_is_found(bob: Person, notes: Manifest) -> None:
    write(bob, notes, row(1, "one"))
    key, value = next(pair for pair in pairs(bob) if pair[0][:1] == b"l")
    entry = decode_own(LedgerEntry, value)
    forged = person("mallory").keys.account.sign(entry.id)  # type: ignore[arg-type] # any digest
    bob.store.write([(key, encode(LedgerEntry(entry.header, forged)))])
    assert any("signed by" in problem for problem in problems(bob))


# ---- directories of format 2


def old_directory() -> MemoryStore:
    kept = json.loads((Path(__file__).parents[2] / "fixtures/replica_format_2.json").read_text())
    store = MemoryStore()
    store.write([(bytes.fromhex(key), bytes.fromhex(value)) for key, value in kept["pairs"]])
    return store


def opened(store: MemoryStore) -> Replica:
    bob, world = person("bob"), Counter("later")
    return Replica(store, bob.keys, clock=world, entropy=world, networks=[NETWORK, EMBEDDED])


def check_upgraded(replica: Replica) -> None:
    with replica.reading() as reading:
        known: dict[str, Known] = {k.manifest.name: k for k in reading.datasets()}
        rows = {name: [r.values for r in reading.rows(one)] for name, one in known.items()}
        stamps = [row.hlc for row in reading.rows(known["notes"])]
        tagged = reading.by_unique(known["notes"], 2, "t3")
        told = list(reading.changes(known["notes"], 0))
    assert (
        rows["notes"]
        == rows["shared"]
        == [
            (0, "body 0", "t0"),
            (1, "newer", "t1"),
            (3, "body 3", "t3"),
            (4, "body 4", "t4"),
        ]
    )
    assert rows["loose"] == [("one",), ("two",), ("two",)]
    assert stamps == [117964800000262144, 117964800000393216, *[117964800000262144] * 2]
    assert tagged is not None
    assert [change.op for change in told] == ["insert"] * 4
    report = replica.check()
    assert (report.problems, report.rows, report.datasets) == ([], 11, 3)
    change = RowUpdate(row=tagged.row, parent=tagged.version, values={"id": 3, "tag": "t3"})
    replica.write({known["notes"].manifest.dataset: [change]})
    assert replica.check().is_good


def test_a_directory_of_format_2_gets_ledgers() -> None:
    check_upgraded(opened(old_directory()))


@pytest.mark.parametrize("writes", range(4))
def test_whoever_is_killed_on_the_way_to_ledgers_finds_the_rest_to_do(writes: int) -> None:
    store = old_directory()
    real, left = store.write, iter(range(writes))

    class Killed(Exception):
        """The process dies here."""

    def until(batch: Any) -> None:
        if next(left, None) is None:
            raise Killed
        real(batch)

    store.write = until  # type: ignore[method-assign] # the death of a process
    if writes < 3:
        with pytest.raises(Killed):
            opened(store)
    store.write = real  # type: ignore[method-assign] # the next process
    check_upgraded(opened(store))


# ---- any sequence of changes


_STEPS = some.lists(
    some.lists(
        some.tuples(
            some.sampled_from(["insert", "update", "delete"]),
            some.integers(0, 5),
            some.text(max_size=3),
        ),
        min_size=1,
        max_size=5,
    ),
    max_size=8,
)


@settings(max_examples=40, deadline=None)
@given(_STEPS)
def test_whatever_is_written_the_rows_are_those_and_the_check_is_good(steps: Any) -> None:
    bob = person("bob")
    notes = made(bob)
    model: dict[int, str] = {}
    told = 0
    for step in steps:
        old, touched = stored(bob, notes), set()
        batch: list[RowChange] = []
        for kind, key, text in step:
            if key in touched or (kind == "insert") == (key in old):
                continue
            touched.add(key)
            if kind == "delete":
                batch.append(delete(old[key]))
                del model[key]
            else:
                model[key] = text
                batch.append(row(key, text) if kind == "insert" else update(old[key], body=text))
        if batch:
            write(bob, notes, *batch)
            fresh = changes(bob, notes, told)
            assert [change.sequence for change in fresh] == list(
                range(told + 1, told + 1 + len(batch))
            )
            told += len(batch)
    assert {key: found.values[1] for key, found in stored(bob, notes).items()} == model
    assert problems(bob) == []
    before = {key: found.values for key, found in stored(bob, notes).items()}
    bob.replica.rebuild(notes.dataset)
    assert {key: found.values for key, found in stored(bob, notes).items()} == before
    assert problems(bob) == []
