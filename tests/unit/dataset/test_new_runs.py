"""New rows of one's own are shown a run at a time, as if each had been shown by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from mfdb.dataset.layout import of_dataset
from mfdb.dataset.outcome import Incoming, RowChanged, Written
from mfdb.dataset.row_changes import RowChange, RowDelete, RowInsert, RowUpdate
from mfdb.kernel.ids import RowId, VersionId
from mfdb.rules.changeset import version_ids
from tests.fixtures.datasets import Counter, Person, column, mailbox_of, signed

if TYPE_CHECKING:
    from mfdb.dataset.layout import StoredRow
    from mfdb.dataset.writer import Draft
    from mfdb.rules.manifest import Manifest

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
