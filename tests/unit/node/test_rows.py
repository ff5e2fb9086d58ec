"""What a provider keeps of row versions: found by row, superseded, brought up from format 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mfdb.dataset.outcome import Incoming
from mfdb.dataset.row_changes import RowDelete, RowInsert, RowUpdate
from mfdb.kernel.codec import encode
from mfdb.kernel.errors import StaleWrite, WrongVersion
from mfdb.kernel.ids import RowId, VersionId
from mfdb.node.provider import rows, shelf
from mfdb.rules.changeset import due_row_ids, version_ids
from mfdb.rules.operations import OperationKind
from tests.fixtures.node_town import Town, in_town, mailbox_town

if TYPE_CHECKING:
    from mfdb.dataset.acceptance import VersionMeta
    from mfdb.dataset.writer import Draft
    from mfdb.kernel.ids import DatasetId
    from mfdb.node.commit import Transaction
    from mfdb.node.provider.shelf import View
    from mfdb.store.port import Snapshot
    from tests.fixtures.node_town import Person, Stand


def staged(bob: Person, dataset: DatasetId, *changes: RowInsert | RowUpdate | RowDelete) -> Draft:
    """Return a draft that is applied here too, so that a later one may follow it."""
    (draft,) = bob.replica.stage(dataset, changes)
    bob.replica.settle(dataset, draft.entry.changeset, ())
    return draft


def known(stand: Stand, dataset: DatasetId, draft: Draft, index: int) -> VersionMeta | None:
    version = version_ids(draft.changeset.id, index + 1)[index]
    row = draft.changeset.operations[index].row
    with stand.store.snapshot() as view:
        return rows.version_in(view, dataset, row, version)


def heads(stand: Stand, dataset: DatasetId, row: RowId) -> frozenset[VersionId]:
    with stand.store.snapshot() as view:
        return rows.heads(view, dataset, row)


@in_town
async def test_an_insert_is_known_by_its_header_and_place_alone(town: Town) -> None:
    bob, dataset = await mailbox_town(town)
    stand = town.stands[0]
    draft = bob.write(dataset, "a", "b", "c")
    await stand.take(draft)
    for index, operation in enumerate(draft.changeset.operations):
        meta = known(stand, dataset, draft, index)
        assert meta is not None
        assert (meta.row, meta.index, meta.kind) == (operation.row, index, OperationKind.INSERT)
        assert (meta.author, meta.parent, meta.clear) == (bob.address, b"", {})
        assert heads(stand, dataset, operation.row) == {meta.version}
    with stand.store.snapshot() as view:
        assert list(view.scan(b"V")) == []


@in_town
async def test_what_is_superseded_stays_known_and_is_no_head(town: Town) -> None:
    bob, dataset = await mailbox_town(town)
    stand = town.stands[0]
    first = bob.write(dataset, "a")
    bob.replica.apply(dataset, [_incoming(first)])
    await stand.take(first)
    row, (one,) = first.changeset.operations[0].row, version_ids(first.changeset.id, 1)
    second = staged(bob, dataset, RowUpdate(row=row, parent=one, values={"body": "b"}))
    await stand.take(second)
    (two,) = version_ids(second.changeset.id, 1)
    assert heads(stand, dataset, row) == {two}
    old, new = known(stand, dataset, first, 0), known(stand, dataset, second, 0)
    assert old is not None
    assert new is not None
    assert (new.kind, new.parent, new.author) == (OperationKind.UPDATE, one, bob.address)
    late = staged(bob, dataset, RowDelete(row=row, parent=one))
    with pytest.raises(StaleWrite, match="changed since"):
        await stand.take(late)
    again = await stand.crash()
    assert heads(again, dataset, row) == {two}


@in_town
async def test_rows_whose_short_keys_collide_are_told_apart(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "ROW_BYTES", 0)
    bob, dataset = await mailbox_town(town)
    stand = town.stands[0]
    first = bob.write(dataset, "a", "b")
    bob.replica.apply(dataset, [_incoming(first)])
    await stand.take(first)
    named = [one.row for one in first.changeset.operations]
    olds = version_ids(first.changeset.id, 2)
    second = staged(
        bob,
        dataset,
        *(
            RowUpdate(row=row, parent=old, values={"body": "c"})
            for row, old in zip(named, olds, strict=True)
        ),
    )
    await stand.take(second)
    for draft, kind in ((first, OperationKind.INSERT), (second, OperationKind.UPDATE)):
        metas = [known(stand, dataset, draft, index) for index in range(2)]
        assert [(meta.index, meta.kind) for meta in metas if meta] == [(0, kind), (1, kind)]
    assert heads(stand, dataset, named[0]) == set(version_ids(second.changeset.id, 2))
    wrong = VersionId(b"\x07" * 32)
    with stand.store.snapshot() as view:
        assert rows.version_in(view, dataset, named[0], wrong) is None


@in_town
async def test_new_rows_cost_one_record_and_stand_in_order(town: Town) -> None:
    bob, dataset = await mailbox_town(town)
    stand = town.stands[0]
    drafts = [bob.write(dataset, *map(str, range(count))) for count in (20, 1, 300)]
    for draft in drafts:
        bob.replica.apply(dataset, [_incoming(draft)])
        await stand.take(draft)
    places = sorted(row[:16] for draft in drafts for row in draft.changeset.rows)
    with stand.store.snapshot() as view:
        assert list(view.scan(b"T")) == []
        assert len(list(view.scan(b"I"))) == 3
        assert places_of(view, dataset) == places
        for first, last in (
            (places[7], places[7]),
            (places[3], places[250]),
            (places[9], HIGHEST),
        ):
            within = [place for place in places if first <= place <= last]
            assert places_of(view, dataset, first, last) == within
        beyond = due_row_ids(drafts[2].changeset.header, 301)[300]
        assert rows.heads(view, dataset, beyond) == frozenset()
    gone = staged(bob, dataset, *_deleted(drafts[1]))
    await stand.take(gone)
    with stand.store.snapshot() as view:
        leaves = {one.place: one.heads for one in rows.leaves(view, dataset, bytes(16), HIGHEST)}
    assert leaves[drafts[1].changeset.rows[0][:16]] == tuple(version_ids(gone.changeset.id, 1))
    assert len(leaves) == 321


HIGHEST = b"\xff" * 16


def places_of(
    view: Snapshot, dataset: DatasetId, first: bytes = bytes(16), last: bytes = HIGHEST
) -> list[bytes]:
    return [leaf.place for leaf in rows.leaves(view, dataset, first, last)]


def _deleted(draft: Draft) -> list[RowDelete]:
    ids = version_ids(draft.changeset.id, draft.changeset.count)
    pairs = zip(draft.changeset.operations, ids, strict=True)
    return [RowDelete(row=operation.row, parent=parent) for operation, parent in pairs]


@pytest.mark.parametrize("format_", [1, 2, 3, 4, 5])
@in_town
async def test_a_store_of_an_older_format_is_brought_up_to_date(town: Town, format_: int) -> None:
    bob, dataset = await mailbox_town(town)
    stand = town.stands[0]
    first = bob.write(dataset, "a", "b")
    bob.replica.apply(dataset, [_incoming(first)])
    await stand.take(first)
    row, one = first.changeset.operations[0].row, version_ids(first.changeset.id, 2)[0]
    second = staged(bob, dataset, RowUpdate(row=row, parent=one, values={"body": "c"}))
    await stand.take(second)
    pairs = [(draft, at) for draft in (first, second) for at in range(len(draft.values))]
    metas = [known(stand, dataset, draft, at) for draft, at in pairs]
    before = [heads(stand, dataset, meta.row) for meta in metas if meta]
    with stand.store.snapshot() as view:
        tip, hot = shelf.tip(view, dataset), index_of(view, dataset)
    await stand.committer.submit(lambda transaction: as_format_5(transaction, dataset))
    if format_ < 5:
        await stand.committer.submit(lambda transaction: as_format_4(transaction, dataset, first))
    if format_ == 3:
        await stand.committer.submit(lambda transaction: transaction.put(b"F", b"\x03"))
    if format_ < 3:
        await stand.committer.submit(lambda transaction: as_format_2(transaction, dataset))
    if format_ == 1:
        await stand.committer.submit(lambda transaction: as_format_1(transaction, dataset, metas))
    again = await stand.crash()
    with again.store.snapshot() as view:
        assert (shelf.tip(view, dataset), index_of(view, dataset)) == (tip, hot)
    assert len(hot) == 3
    assert [known(again, dataset, draft, at) for draft, at in pairs] == metas
    assert [heads(again, dataset, meta.row) for meta in metas if meta] == before


def index_of(view: View, dataset: DatasetId) -> list[tuple[bytes, bytes]]:
    """Return what is kept of unsealed changesets by their HLC."""
    return [*view.scan(b"O" + dataset), *view.scan(b"o" + dataset)]


def as_format_5(transaction: Transaction, dataset: DatasetId) -> None:
    """Forget how long the unsealed changesets are."""
    for key, _ in list(transaction.scan(b"o" + dataset)):
        transaction.put(key, b"")
    transaction.put(b"F", b"\x05")


def as_format_4(transaction: Transaction, dataset: DatasetId, new: Draft) -> None:
    """Write what releases before kept: a record for every row, whoever inserted it."""
    number = shelf.log_number(transaction, dataset, new.changeset.id)
    assert number is not None
    for key, _ in list(transaction.scan(b"I")):
        transaction.delete(key)
    for index, row in enumerate(new.changeset.rows):
        key = b"T" + dataset[:12] + row[:16]
        if transaction.get(key) is None:
            head = number.to_bytes(8, "big") + index.to_bytes(4, "big") + b"\x01"
            transaction.put(key, head)
    transaction.put(b"F", b"\x04")


def as_format_2(transaction: Transaction, dataset: DatasetId) -> None:
    """Take out what format 3 brought: the index of what is unsealed, how new the log is."""
    for key, _ in index_of(transaction, dataset):
        transaction.delete(key)
    tip = shelf.tip(transaction, dataset)
    transaction.put(b"H" + dataset, encode((tip.number, tip.head)))
    transaction.put(b"F", b"\x02")


def as_format_1(
    transaction: Transaction, dataset: DatasetId, metas: list[VersionMeta | None]
) -> None:
    """Write what releases before kept: a record per version, an empty one per head."""
    alive = {head for meta in metas if meta for head in rows.heads(transaction, dataset, meta.row)}
    for table in (b"T", b"V", b"F"):
        for key, _ in list(transaction.scan(table)):
            transaction.delete(key)
    for meta in metas:
        assert meta is not None
        transaction.put(b"V" + dataset + meta.version, encode(meta))
        if meta.version in alive:
            transaction.put(b"T" + dataset + meta.row + meta.version, b"")


@in_town
async def test_a_store_of_a_later_format_is_left_alone(town: Town) -> None:
    (stand,) = await town.open(1)
    await stand.committer.submit(lambda transaction: transaction.put(b"F", b"\x09"))
    with pytest.raises(WrongVersion, match="format 9"):
        await stand.committer.submit(rows.modernise)


def _incoming(draft: Draft) -> Incoming:
    return Incoming(changeset=draft.changeset, entry=draft.entry)
