"""A commit of one new row, the short way: the same bytes as by the whole `Book`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from mfdb.dataset.pending import Pending
from mfdb.dataset.replica import Replica
from mfdb.kernel.errors import DuplicateRow, StoreFull
from mfdb.kernel.ids import RowId
from mfdb.rules.evidence import EMBEDDED
from mfdb.store.ordered import pack
from mfdb.testing.memory_store import MemoryStore
from tests.fixtures.datasets import Person, column, manifest_of, person, signed

if TYPE_CHECKING:
    from mfdb.rules.manifest import Manifest

COLUMNS = (column("id", "INTEGER", key=1, not_null=True), column("body"))


def made(owner: Person, *, keyed: bool) -> Manifest:
    manifest = manifest_of(owner.keys, *(COLUMNS if keyed else COLUMNS[1:]), network=EMBEDDED)
    owner.replica.add_manifests([signed(manifest, owner.keys)])
    owner.replica.create_index(manifest.dataset, "by_body", [("body", True)])
    return manifest


def insert(owner: Person, notes: Manifest, *rows: tuple[Any, ...]) -> None:
    """Commit a batch of new rows, planned on the newest state."""
    with owner.replica.reading() as reading:
        newest = reading.newest(owner.replica.known(notes.dataset))
    pending = Pending(seen=newest, rules=notes.number)
    for row in rows:
        is_keyed = len(notes.columns) > 1
        pending.insert(RowId(pack(row[0])) if is_keyed else pending.fresh_id(), row)
    owner.replica.commit({notes.dataset: pending})


def write_some(*, short: bool, keyed: bool) -> tuple[dict[bytes, bytes], list[bool]]:
    """Return what stands in the store after some commits, and which of them went the short way."""
    owner, went = person("bob"), list[bool]()
    owner.world.now_s = lambda: 1_800_000_000.0  # type: ignore[method-assign] # both ask at times
    commit_row = Replica._commit_row

    def counted(self: Replica, batch: Any) -> bool:
        went.append(short and commit_row(self, batch))
        return went[-1]

    with patch.object(Replica, "_commit_row", counted):
        notes = made(owner, keyed=keyed)
        for n in range(5):
            row = (n, f"body {n % 2}" * n * 20)
            insert(owner, notes, row if keyed else row[1:])
        pair = [(10, None), (11, "x")]
        insert(owner, notes, *(pair if keyed else [row[1:] for row in pair]))
        insert(owner, notes, (12, "last") if keyed else ("last",))
    assert owner.replica.check().problems == []
    return dict(owner.disk.state.values), went


@pytest.mark.parametrize("keyed", [True, False])
def test_both_ways_write_the_same_bytes(*, keyed: bool) -> None:
    written, went = write_some(short=True, keyed=keyed)
    assert went == [False, True, True, True, True, False, True], "the first finds no form at hand"
    assert written == write_some(short=False, keyed=keyed)[0]


def test_a_row_that_came_meanwhile_is_seen() -> None:
    bob = person("bob")
    notes = made(bob, keyed=True)
    insert(bob, notes, (1, "one"))
    late = Pending(seen=1, rules=notes.number)
    late.insert(RowId(pack(2)), (2, "late"))
    insert(bob, notes, (2, "two"))
    with pytest.raises(DuplicateRow):
        bob.replica.commit({notes.dataset: late})
    insert(bob, notes, (3, "three"))
    assert bob.replica.check().problems == []


def test_after_a_full_disk_the_ledger_goes_on_where_it_stood() -> None:
    bob = person("bob")
    notes = made(bob, keyed=True)
    insert(bob, notes, (1, "one"))
    insert(bob, notes, (2, "two"))
    bob.disk.full = True
    with pytest.raises(StoreFull):
        insert(bob, notes, (3, "three"))
    bob.disk.full = False
    insert(bob, notes, (3, "three"))
    insert(bob, notes, (4, "four"))
    with bob.replica.reading() as reading:
        assert reading.newest(bob.replica.known(notes.dataset)) == 4
    assert bob.replica.check().problems == []


def test_an_interrupted_commit_leaves_nothing_wrong_at_hand() -> None:
    """Ctrl-C right after the store has it: the next commit asks where the ledger stands."""
    bob = person("bob")
    notes = made(bob, keyed=True)
    insert(bob, notes, (1, "one"))
    insert(bob, notes, (2, "two"))
    write = MemoryStore.write

    def interrupted(*arguments: Any) -> None:
        write(*arguments)
        raise KeyboardInterrupt

    with patch.object(MemoryStore, "write", interrupted), pytest.raises(KeyboardInterrupt):
        insert(bob, notes, (3, "three"))
    insert(bob, notes, (4, "four"))
    insert(bob, notes, (5, "five"))
    with bob.replica.reading() as reading:
        assert reading.newest(bob.replica.known(notes.dataset)) == 5
    assert bob.replica.check().problems == []


def test_whatever_else_is_written_is_asked_where_the_ledger_stands() -> None:
    """A restore, or blocks that are made: nothing that is at hand outlives another write."""
    bob = person("bob")
    notes = made(bob, keyed=True)
    insert(bob, notes, (1, "one"))
    insert(bob, notes, (2, "two"))
    assert bob.replica.newest(notes.dataset) == 2
    bob.replica.set_mark(notes.dataset, "somewhere", b"x")
    assert bob.replica.newest(notes.dataset) is None
    insert(bob, notes, (3, "three"))
    assert bob.replica.newest(notes.dataset) == 3
