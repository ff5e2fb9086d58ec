"""New rows of one's own are shown a run at a time, as if each had been shown by itself."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from mfdb.dataset.layout import FreshState, of_dataset
from mfdb.dataset.outcome import Incoming, RowChanged, Written
from mfdb.dataset.row_changes import FreshRows, RowChange, RowDelete, RowInsert, RowUpdate
from mfdb.kernel.codec import decode
from mfdb.kernel.ids import RowId, VersionId
from mfdb.rules.changeset import version_ids
from mfdb.rules.manifest import Ordering
from mfdb.store.ordered import pack
from tests.fixtures.datasets import Counter, Person, column, mailbox_of, signed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mfdb.dataset.layout import StoredRow
    from mfdb.dataset.writer import Draft
    from mfdb.rules.manifest import Column, Manifest

MIXED = (column("body"), column("stars", "INTEGER"), column("at", "TIMESTAMP"))


@pytest.fixture
def mailbox(bob: Person) -> Manifest:
    return opened(bob, mailbox_of(bob.keys, *MIXED))


@pytest.fixture
def other(bob: Person, mailbox: Manifest) -> Person:
    """Another machine of the same person, which gets everything from the network."""
    machine = Person("bob", bob.keys, Counter("other"))
    opened(machine, mailbox)
    return machine


def opened(person: Person, manifest: Manifest) -> Manifest:
    person.replica.add_manifests([signed(manifest, person.keys)])
    return manifest


def insert(*values: Any) -> RowInsert:
    return RowInsert(values=dict(zip(("body", "stars", "at"), values, strict=True)))


def several(count: int, start: int = 0) -> list[RowChange]:
    return [insert(f"body {at}", at if at % 3 else None, 10**15 + at) for at in range(start, count)]


def write(person: Person, manifest: Manifest, *changes: RowChange) -> Draft:
    """Write as the lane does: in the outbox, acknowledged, shown."""
    return write_all(person, manifest, changes)


def write_all(person: Person, manifest: Manifest, changes: Sequence[RowChange]) -> Draft:
    (draft,) = person.replica.stage(manifest.dataset, changes)
    person.replica.acknowledge(manifest.dataset, [Written(draft=draft, receipts=())])
    return draft


def send(person: Person, manifest: Manifest, *drafts: Draft) -> None:
    """Have a replica take changesets in one by one, since one batch tells of each row once."""
    for draft in drafts:
        item = Incoming(changeset=draft.changeset, entry=draft.entry)
        assert len(person.replica.apply(manifest.dataset, [item]).applied) == 1


def versions_of(draft: Draft) -> list[tuple[RowId, VersionId]]:
    ids = version_ids(draft.changeset.id, draft.changeset.count)
    rows = [RowId(operation.row) for operation in draft.changeset.operations]
    return list(zip(rows, ids, strict=True))


def told(row: StoredRow) -> tuple[Any, ...]:
    return row.row, row.version, row.author, row.hlc, row.values


def seen(person: Person, manifest: Manifest) -> dict[str, Any]:
    """Return all that a replica tells of a dataset."""
    known = person.replica.known(manifest.dataset)
    with person.replica.reading() as reading:
        return {
            "rows": [told(row) for row in reading.rows(known)],
            "changes": [list(reading.changes(known, after)) for after in (0, 1, 7, 40, 58)],
            "conflicts": list(reading.conflicts(known)),
            "tree": person.replica.leaves(manifest.dataset).tree(),
        }


def kept(person: Person, manifest: Manifest, table: bytes) -> int:
    with person.store.snapshot() as snapshot:
        return sum(1 for _ in snapshot.scan(of_dataset(table, manifest.dataset)))


def test_a_run_shows_what_rows_shown_one_by_one_do(
    bob: Person, other: Person, mailbox: Manifest
) -> None:
    drafts = [write(bob, mailbox, *several(count)) for count in (1, 17, 40)]
    send(other, mailbox, *drafts)
    assert seen(bob, mailbox) == seen(other, mailbox)
    assert (kept(bob, mailbox, b"w"), kept(bob, mailbox, b"h")) == (0, 3)
    assert (kept(other, mailbox, b"w"), kept(other, mailbox, b"h")) == (58, 0)
    assert bob.replica.check().problems == []
    bob.restart()
    assert seen(bob, mailbox) == seen(other, mailbox)


def test_rows_of_a_run_are_changed_and_deleted_like_others(
    bob: Person, other: Person, mailbox: Manifest
) -> None:
    first = write(bob, mailbox, *several(30))
    (changed, was), (gone, before), (beside, _) = versions_of(first)[3:6]
    values = {"body": "newer", "stars": 1, "at": None}
    second = write(
        bob,
        mailbox,
        RowUpdate(row=changed, parent=was, values=values),
        RowDelete(row=gone, parent=before),
        insert("more", 5, None),
    )
    third = write(bob, mailbox, *several(3))
    send(other, mailbox, first, second, third)
    assert seen(bob, mailbox) == seen(other, mailbox)
    assert bob.replica.check().problems == []
    assert kept(bob, mailbox, b"w") == 3
    leaves = bob.replica.leaves(mailbox.dataset)
    heads = dict(leaves.heads_in([(one[:16], one[:16]) for one in (beside, changed)]))
    assert heads[beside[:16]].row == beside
    assert heads[changed[:16]].version == versions_of(second)[0][1]


KEYED = (column("body", key=1), *MIXED[1:])
CLEAR = (column("body", clear=True), column("stars", "INTEGER", clear=True), MIXED[2])


@pytest.mark.parametrize(
    ("columns", "changes"),
    [
        (KEYED, {"ordering": Ordering.OWNER}),
        ((column("body", key=1, clear=True), *MIXED[1:]), {"ordering": Ordering.OWNER}),
        (CLEAR, {}),
    ],
)
def test_rows_with_keys_or_clear_columns_are_shown_as_if_one_by_one(
    bob: Person, columns: tuple[Column, ...], changes: dict[str, Any]
) -> None:
    manifest = opened(bob, mailbox_of(bob.keys, *columns, **changes))
    other = Person("bob", bob.keys, Counter("other"))
    opened(other, manifest)
    fresh = partial(_fresh, bob, manifest)
    first, second = (
        write_all(bob, manifest, fresh(range(20))),
        write_all(bob, manifest, fresh([30])),
    )
    assert isinstance(first.changes[0], RowInsert)
    with bob.store.snapshot() as snapshot:
        states = [value for _, value in snapshot.scan(of_dataset(b"w", manifest.dataset))]
    assert [decode(FreshState, one, limit_bytes=999).index for one in states], "row by row"
    (changed, was), (gone, before) = versions_of(first)[3:5]
    values = {"body": "body 3", "stars": None, "at": 1}
    third = write(
        bob,
        manifest,
        RowUpdate(row=changed, parent=was, values=values),
        RowDelete(row=gone, parent=before),
    )
    fourth = write_all(bob, manifest, fresh([4, 99]))  # a deleted row that comes again goes slowly
    send(other, manifest, first, second, third, fourth)
    assert seen(bob, manifest) == seen(other, manifest)
    assert bob.replica.check().problems == []
    bob.restart()
    other.restart()  # which forgets what deleted rows held
    assert seen(bob, manifest) == seen(other, manifest)


def _fresh(person: Person, manifest: Manifest, numbers: Iterable[int]) -> FreshRows:
    names = tuple(one.name for one in manifest.columns)
    rows = [(f"body {at}", at if at % 3 else None, 10**15 + at) for at in numbers]
    if manifest.ordering is Ordering.FREE:
        return FreshRows(names, rows)
    in_order = any(one.key and one.clear for one in manifest.columns)
    return FreshRows(
        names,
        rows,
        [
            person.replica.keyring.row_id(manifest.dataset, pack(row[0]), in_order=in_order)
            for row in rows
        ],
    )


def test_a_rebuilt_dataset_is_the_same(bob: Person, mailbox: Manifest) -> None:
    write(bob, mailbox, *several(20))
    before = seen(bob, mailbox)
    bob.replica.rebuild(mailbox.dataset)
    after = seen(bob, mailbox)
    assert sorted(before["rows"]) == sorted(after["rows"])
    assert before["tree"] == after["tree"]
    assert kept(bob, mailbox, b"h") == 0
    assert bob.replica.check().problems == []


def test_a_changelog_is_followed_through_runs(bob: Person, mailbox: Manifest) -> None:
    write(bob, mailbox, *several(1_500))
    with bob.replica.reading() as reading:
        changes: list[RowChanged] = list(reading.changes(bob.replica.known(mailbox.dataset), 990))
    assert [change.sequence for change in changes] == list(range(991, 1_501))
    assert changes[0].new == {"body": "body 990", "stars": None, "at": 10**15 + 990}


def test_values_that_fit_no_column_are_looked_at_row_by_row(bob: Person, mailbox: Manifest) -> None:
    write(bob, mailbox, insert("good", 1, None), insert("bad", 2**40, None))
    shown = seen(bob, mailbox)
    assert [values[0] for *_, values in shown["rows"]] == ["good"]
    assert "stars" in shown["conflicts"][0].reason
    assert kept(bob, mailbox, b"h") == 0
