"""Secondary indexes, CHECK DATABASE, VACUUM, and directories of an earlier format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mfdb.dataset.indexes import Span, span
from mfdb.dataset.layout import FORMAT
from mfdb.dataset.replica import Replica
from mfdb.dataset.row_changes import RowDelete, RowInsert, RowUpdate
from mfdb.kernel.errors import (
    DuplicateRow,
    OperationalError,
    ProgrammingError,
    UnknownColumn,
    WrongVersion,
)
from mfdb.store.lmdb_store import LmdbStore
from mfdb.store.ordered import pack
from mfdb.testing.memory_store import MemoryStore
from tests.fixtures.datasets import NETWORK, Counter, Person, column, manifest_of, person, signed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mfdb.dataset.layout import StoredRow
    from mfdb.rules.manifest import Manifest

COLUMNS = (
    column("id", "INTEGER", key=1, not_null=True),
    column("body"),
    column("tag", unique=True),
)


@pytest.fixture
def notes(bob: Person) -> Manifest:
    manifest = manifest_of(bob.keys, *COLUMNS)
    bob.replica.add_manifests([signed(manifest, bob.keys)])
    return manifest


def row(bob: Person, notes: Manifest, key: int, body: str | None, tag: str | None) -> RowInsert:
    row_id = bob.keyring.row_id(notes.dataset, pack(key))
    return RowInsert(row=row_id, values={"id": key, "body": body, "tag": tag})


def write(bob: Person, notes: Manifest, *changes: Any) -> None:
    bob.replica.write({notes.dataset: list(changes)})


def stored(bob: Person, notes: Manifest) -> dict[int, StoredRow]:
    with bob.replica.reading() as reading:
        return {row.values[0]: row for row in reading.rows(bob.replica.known(notes.dataset))}


def found(
    bob: Person, notes: Manifest, name: str, between: Span | None = None, *, reverse: bool = False
) -> list[int]:
    with bob.replica.reading() as reading:
        known = reading.known(notes.dataset)
        index = next(one for one in reading.indexes(known) if one.info.name == name)
        down = index.places[0][1]
        start, stop = (
            (index.prefix, None)
            if between is None
            else span(index.prefix, between, descending=down)
        )
        rows = reading.by_index(known, index, start, stop, reverse=reverse)
        return [row.values[0] for row in rows]


# ---- indexes


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("down", [True, False])
def test_an_index_orders_rows_that_were_there_and_rows_that_come(
    bob: Person,
    notes: Manifest,
    before: bool,  # noqa: FBT001 - pytest gives it by name
    down: bool,  # noqa: FBT001 - pytest gives it by name
) -> None:
    def fill() -> None:
        write(bob, notes, *(row(bob, notes, n, body, None) for n, body in enumerate("dbacb")))
        write(bob, notes, row(bob, notes, 9, None, None))

    if before:
        fill()
    bob.replica.create_index(notes.dataset, "by_body", [("body", down)])
    if not before:
        fill()
    bodies = {n: values.values[1] for n, values in stored(bob, notes).items()}
    shown = [bodies[n] for n in found(bob, notes, "by_body")]
    assert shown == ([None, "d", "c", "b", "b", "a"] if down else ["a", "b", "b", "c", "d", None])
    some = found(bob, notes, "by_body", Span(low=pack("b"), high=pack("d"), high_open=True))
    assert sorted(some) == [1, 3, 4]
    assert sorted(found(bob, notes, "by_body", Span(low=pack("b"), low_open=True))) == [0, 3]
    assert sorted(found(bob, notes, "by_body", Span(high=pack("b")))) == [1, 2, 4]
    assert found(bob, notes, "by_body", reverse=True) == found(bob, notes, "by_body")[::-1]
    assert bob.replica.check().is_good


def test_an_index_follows_updates_and_deletes(bob: Person, notes: Manifest) -> None:
    bob.replica.create_index(notes.dataset, "both", [("body", False), ("tag", True)])
    write(bob, notes, *(row(bob, notes, n, "same", f"t{n}") for n in range(3)))
    assert found(bob, notes, "both") == [2, 1, 0]
    old = stored(bob, notes)
    changed = {"id": 0, "body": "a first", "tag": "t0"}
    write(
        bob,
        notes,
        RowUpdate(row=old[0].row, parent=old[0].version, values=changed),
        RowDelete(row=old[1].row, parent=old[1].version),
    )
    assert found(bob, notes, "both") == [0, 2]
    report = bob.replica.check()
    assert (report.is_good, report.index_entries) == (True, 4)
    assert bob.replica.drop_index(notes.dataset, "both")
    assert not bob.replica.drop_index(notes.dataset, "both")
    assert bob.replica.check().index_entries == 2


def test_a_unique_index_refuses_what_would_repeat(bob: Person, notes: Manifest) -> None:
    bob.replica.create_index(notes.dataset, "one", [("body", False)], unique=True)
    write(bob, notes, row(bob, notes, 1, "x", None), row(bob, notes, 2, None, None))
    write(bob, notes, row(bob, notes, 3, None, None))
    with pytest.raises(DuplicateRow):
        write(bob, notes, row(bob, notes, 4, "x", None))
    with pytest.raises(DuplicateRow):
        write(bob, notes, row(bob, notes, 4, "y", None), row(bob, notes, 5, "y", None))
    assert sorted(stored(bob, notes)) == [1, 2, 3]
    old = stored(bob, notes)[1]
    moved = {"id": 1, "body": "z", "tag": None}
    write(
        bob,
        notes,
        RowUpdate(row=old.row, parent=old.version, values=moved),
        row(bob, notes, 4, "x", None),
    )
    assert sorted(stored(bob, notes)) == [1, 2, 3, 4]


def test_a_unique_index_over_rows_that_repeat_is_not_made(bob: Person, notes: Manifest) -> None:
    write(bob, notes, *(row(bob, notes, n, "same", None) for n in range(2)))
    with pytest.raises(DuplicateRow):
        bob.replica.create_index(notes.dataset, "one", [("body", False)], unique=True)
    write(bob, notes, row(bob, notes, 3, "same", None))
    with pytest.raises(UnknownColumn):
        bob.replica.create_index(notes.dataset, "other", [("nowhere", False)])
    with pytest.raises(ProgrammingError):
        bob.replica.create_index(notes.dataset, "other", [("body", False), ("body", True)])


def test_long_values_are_indexed_and_still_told_apart(bob: Person, notes: Manifest) -> None:
    bob.replica.create_index(notes.dataset, "one", [("body", False)], unique=True)
    long = "x" * 5_000
    write(bob, notes, row(bob, notes, 1, long + "a", None), row(bob, notes, 2, long + "b", None))
    with pytest.raises(DuplicateRow):
        write(bob, notes, row(bob, notes, 3, long + "a", None))
    whole = Span(low=pack(long), high=pack(long + "z"))
    assert sorted(found(bob, notes, "one", whole)) == [1, 2]


def test_writers_come_in_while_an_index_is_built(
    bob: Person, notes: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mfdb.dataset.replica._BUILD_ROWS", 2)
    write(bob, notes, *(row(bob, notes, n, f"body {n}", None) for n in range(0, 20, 2)))
    turns: Iterator[int] = iter(range(1, 20, 2))
    real = bob.store.write

    def also(batch: Any) -> None:
        real(batch)
        turn = next(turns, None)
        if turn is not None:
            write(bob, notes, row(bob, notes, turn, f"body {turn}", None))

    monkeypatch.setattr(bob.store, "write", also)
    bob.replica.create_index(notes.dataset, "by_body", [("body", False)])
    assert next(turns, None) is None, "the rows came in between"
    assert sorted(found(bob, notes, "by_body")) == list(range(20))
    assert bob.replica.check().is_good


# ---- CHECK DATABASE


@pytest.mark.parametrize("table", [b"c", b"w", b"d", b"u", b"j", b"z"])
def test_a_check_finds_what_was_lost_or_changed(bob: Person, notes: Manifest, table: bytes) -> None:
    bob.replica.create_index(notes.dataset, "by_body", [("body", False)])
    write(bob, notes, *(row(bob, notes, n, f"body {n}", f"t{n}") for n in range(3)))
    report = bob.replica.check()
    assert (report.is_good, report.datasets, report.changesets, report.rows) == (True, 1, 1, 3)
    with bob.store.snapshot() as snapshot:
        key, value = next(snapshot.scan(table))
    bob.store.write([(key, None)])
    assert not bob.replica.check().is_good
    bob.store.write([(key, value)])
    assert bob.replica.check().is_good
    if value:
        bob.store.write([(key, value[:-1] + bytes([value[-1] ^ 1]))])
        report = bob.replica.check()
        assert report.wrong >= 1
        assert report.problems


def test_a_row_that_shows_what_nobody_signed_is_found(bob: Person, notes: Manifest) -> None:
    write(bob, notes, row(bob, notes, 1, "signed", None))
    with bob.store.snapshot() as snapshot:
        key, value = next(snapshot.scan(b"d"))
    bob.store.write([(key, value.replace(b"signed", b"forged"))])
    (problem,) = bob.replica.check().problems
    assert "other values than were signed" in problem
    bob.replica.rebuild(notes.dataset)
    assert bob.replica.check().is_good
    assert stored(bob, notes)[1].values == (1, "signed", None)


# ---- VACUUM


def test_a_vacuum_gives_room_back_and_loses_nothing(tmp_path: Path) -> None:
    bob, world = person("bob"), Counter("disk")
    store = LmdbStore(tmp_path / "replica")
    bob.replica = Replica(store, bob.keys, clock=world, entropy=world, networks=[NETWORK])
    notes = manifest_of(bob.keys, *COLUMNS)
    bob.replica.add_manifests([signed(notes, bob.keys)])
    write(bob, notes, *(row(bob, notes, n, "x" * 400, None) for n in range(2_000)))
    write(
        bob, notes, *(RowDelete(row=r.row, parent=r.version) for r in stored(bob, notes).values())
    )
    write(bob, notes, row(bob, notes, 1, "left", None))
    with store.snapshot(), pytest.raises(OperationalError):
        bob.replica.vacuum()
    before, after = bob.replica.vacuum()
    assert after < before
    assert stored(bob, notes)[1].values == (1, "left", None)
    write(bob, notes, row(bob, notes, 5, "goes on", None))
    store.close()
    store = LmdbStore(tmp_path / "replica")
    bob.replica = Replica(store, bob.keys, clock=world, entropy=world, networks=[NETWORK])
    assert sorted(stored(bob, notes)) == [1, 5]
    assert bob.replica.check().is_good
    assert not (tmp_path / "replica" / "compact").exists()
    store.close()


# ---- formats


def test_a_directory_of_the_former_format_is_brought_up_to_date() -> None:
    kept = json.loads((Path(__file__).parents[2] / "fixtures/replica_format_1.json").read_text())
    bob, world = person("bob"), Counter("later")
    store = MemoryStore()
    store.write([(bytes.fromhex(key), bytes.fromhex(value)) for key, value in kept["pairs"]])
    replica = Replica(store, bob.keys, clock=world, entropy=world, networks=[NETWORK])
    with replica.reading() as reading:
        (known,) = reading.datasets()
        rows = {row.values[0]: row.values[1] for row in reading.rows(known)}
        tagged = reading.by_unique(known, 2, "t3")
        changes = list(reading.changes(known, 0))
    assert rows == {0: "body 0", 1: "newer", 3: "body 3", 4: "body 4"}
    assert tagged is not None
    assert len(changes) == 4, "each row that is left is told of once, under a new feed"
    report = replica.check()
    assert (report.problems, report.rows, report.changesets) == ([], 4, 2)
    assert changes[0].new is not None
    values = {**changes[0].new, "body": "goes on"}
    write_again = RowUpdate(row=changes[0].row, parent=changes[0].version, values=values)
    replica.write({known.manifest.dataset: [write_again]})
    assert replica.check().is_good


def test_a_directory_of_a_later_format_is_refused(bob: Person) -> None:
    with bob.store.snapshot() as snapshot:
        value = snapshot.get(b"F")
    assert value is not None
    assert value[1] == FORMAT
    bob.store.write([(b"F", value[:1] + bytes([FORMAT + 1]) + value[2:])])
    with pytest.raises(WrongVersion):
        bob.restart()
