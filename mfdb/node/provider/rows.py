"""Which versions a provider knows of each row, at one short key per changeset of new rows.

I dataset stem      which changesets inserted the rows due to them (`row_runs`)
T dataset row       where a row's other versions stand: log number, operation, whether it is a head
V dataset changeset what its operations say beside their row, unless all are plain inserts
F                   format of all this

Row ids and datasets are cut short in the keys (`ROW_BYTES`, `DATASET_BYTES`): a row costs every
replica this entry for ever, also once its bytes are sealed. Whatever stands under a key is
compared by version id, so that rows that share one are only looked through together.
"""

from __future__ import annotations

import struct
from heapq import merge
from itertools import groupby, starmap
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from mfdb.dataset.acceptance import VersionMeta
from mfdb.kernel.codec import Record, decode
from mfdb.kernel.errors import CorruptRecord, WrongVersion
from mfdb.kernel.ids import ChangesetId, DatasetId, Hash, RowId, VersionId
from mfdb.node.provider import hot_index, records, shelf
from mfdb.node.provider.row_runs import DATASET_BYTES, HEAD, all_inserted, inserted, put_run
from mfdb.rules.changeset import Header, version_id
from mfdb.rules.operations import OperationKind
from mfdb.rules.row_tree import row_leaf
from replication.seal import HotEntry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mfdb.dataset.acceptance import Accepted
    from mfdb.node.commit import Transaction
    from mfdb.node.provider.row_runs import Place
    from mfdb.node.provider.shelf import View
    from mfdb.rules.row_tree import RowLeaf
    from mfdb.store.port import Snapshot

FORMAT = 7
ROW_BYTES = 16
_UNINDEXED = 2
_UNCHECKED = 3
_BY_ROW = 4
"""The format in which every row had a record of its own; such records are read on."""
_UNMEASURED = 5
_PLAIN = 6
"""The format in which values that are no records had no checksum; they are read on."""
_PLACE = struct.Struct(">QIB")
_INSERTS = frozenset({OperationKind.INSERT})
_NO_CLEAR: dict[str, Any] = {}


class OperationMeta(Record, frozen=True):
    """What an operation says beside its row; `author` is that of the row's first version."""

    kind: OperationKind
    parent: bytes
    author: bytes
    clear: dict[str, Any]


class ChangesetMeta(Record, frozen=True):
    """The operations of one changeset."""

    operations: tuple[OperationMeta, ...]


def put_versions(transaction: Transaction, accepted: Accepted, number: int) -> None:
    """Keep the versions that a changeset with this log number makes; each becomes a head."""
    changeset = accepted.changeset
    dataset = changeset.header.dataset
    if changeset.is_plain:
        put_run(transaction, changeset.header, number)
        return
    if changeset.kinds == _INSERTS:
        for index, key in enumerate(_keys(dataset, changeset.rows)):
            here = _PLACE.pack(number, index, HEAD)
            transaction.put(key, (transaction.get(key) or b"") + here)
        put_meta(transaction, accepted)
        return
    for index, operation in enumerate(changeset.operations):
        row = RowId(operation.row)
        if operation.parent:
            places = _superseded(transaction, dataset, row, VersionId(operation.parent))
        else:
            places = list(_unpacked(transaction.get(_key(dataset, row))))
        _put(transaction, dataset, row, [*places, (number, index, HEAD)])
    put_meta(transaction, accepted)


def put_meta(transaction: Transaction, accepted: Accepted) -> None:
    """Keep what the operations of a changeset say, unless all are plain inserts."""
    changeset = accepted.changeset
    body = changeset.columns
    if body is not None and not body.clear and changeset.kinds == _INSERTS:
        return
    if any(one.kind is not OperationKind.INSERT or one.clear for one in changeset.operations):
        meta = ChangesetMeta(tuple(_operations(accepted)))
        records.put(transaction, b"V" + changeset.header.dataset + changeset.id, meta)


def version_in(
    view: View, dataset: DatasetId, row: RowId, version: VersionId
) -> VersionMeta | None:
    """Return what is known of a version of a row, or None."""
    for number, index, _ in _places(view, dataset, row):
        changeset = _changeset(view, dataset, number)
        if changeset is not None and version_id(changeset, index) == version:
            return _meta(view, dataset, changeset, index, row)
    return None


def versions(view: View, dataset: DatasetId, row: RowId) -> list[VersionMeta]:
    """Return all versions of a row, in the order of the log: each after its parent."""
    named = [
        (at, _changeset(view, dataset, number)) for number, at, _ in _places(view, dataset, row)
    ]
    return [_meta(view, dataset, one, at, row) for at, one in named if one is not None]


def heads(view: View, dataset: DatasetId, row: RowId) -> frozenset[VersionId]:
    """Return the versions of a row that no known version supersedes."""
    return frozenset(
        version_id(changeset, index)
        for number, index, is_head in _places(view, dataset, row)
        if is_head and (changeset := _changeset(view, dataset, number)) is not None
    )


def leaves(view: Snapshot, dataset: DatasetId, first: bytes, last: bytes) -> Iterator[RowLeaf]:
    """Yield what the tree of rows says of those from one place up to another, in order."""
    known: dict[int, ChangesetId | None] = {}
    for place, found in groupby(_all_places(view, dataset, first, last), itemgetter(0)):
        versions = []
        for number, index, is_head in _told(one for _, one in found):
            if number not in known:
                known[number] = _changeset(view, dataset, number)
            changeset = known[number]
            if is_head and changeset is not None:
                versions.append(version_id(changeset, index))
        if versions:
            yield row_leaf(place, versions)


def numbers(view: Snapshot, dataset: DatasetId, first: bytes, last: bytes) -> Iterator[int]:
    """Yield where in the log the versions stand of rows from one place up to another."""
    return (number for _, (number, _, _) in _all_places(view, dataset, first, last))


def _all_places(
    view: Snapshot, dataset: DatasetId, first: bytes, last: bytes
) -> Iterator[tuple[bytes, Place]]:
    prefix = b"T" + dataset[:DATASET_BYTES]
    by_row = (
        (key[len(prefix) :], place)
        for key, data in view.scan(prefix + first, prefix + last + b"\x00")
        for place in _unpacked(data)
    )
    return merge(by_row, all_inserted(view, dataset, first, last), key=itemgetter(0))


def modernise(transaction: Transaction) -> None:
    """Bring an older store up to date.

    Format 1 had a record per version and one per head; format 2 no index of what is unsealed, and
    did not say how new its log is; format 3 no checksums, without which its records are read on;
    format 5 did not say how long an unsealed changeset is; format 6 had checksums of records only.

    Raises:
        WrongVersion: another release wrote the store.
    """
    found = transaction.get(b"F")
    known = (_UNINDEXED, _UNCHECKED, _BY_ROW, _UNMEASURED, _PLAIN, FORMAT)
    if found is not None and found not in map(int.to_bytes, known):
        raise WrongVersion(
            f"the provider's store has format {found[0]}, this release reads {FORMAT}",
            hint="use the release that wrote it",
        )
    if found is None:
        _rewrite(transaction)
    if found in (None, bytes([_UNINDEXED])):
        for dataset in shelf.datasets(transaction):
            _index(transaction, dataset)
    elif found[0] < _PLAIN:
        for dataset in shelf.datasets(transaction):
            _measure(transaction, dataset)
    if found != bytes([FORMAT]):
        transaction.put(b"F", bytes([FORMAT]))


def _measure(transaction: Transaction, dataset: DatasetId) -> None:
    def length_of(id_: ChangesetId) -> int:
        return len(shelf.changeset_data(transaction, dataset, id_) or b"")

    hot_index.measure(transaction, dataset, length_of)


def _index(transaction: Transaction, dataset: DatasetId) -> None:
    newest = 0
    for key, data in list(transaction.scan(b"h" + dataset)):
        id_, hlc = ChangesetId(key[33:]), records.opened(Header, key, data).hlc
        newest = max(newest, hlc)
        bytes_ = shelf.changeset_data(transaction, dataset, id_)
        if bytes_ is not None:
            hot_index.add(transaction, dataset, HotEntry(id_, hlc, len(bytes_)))
    former = transaction.get(b"H" + dataset)
    if former is not None:
        number, head = decode(tuple[int, Hash], former, limit_bytes=len(former))
        shelf.put_tip(transaction, dataset, shelf.LogTip(number, head, newest))


def _rewrite(transaction: Transaction) -> None:
    heads_of = {key[-32:] for key, _ in list(transaction.scan(b"T"))}
    for key, _ in list(transaction.scan(b"T")):
        transaction.delete(key)
    by_changeset: dict[tuple[DatasetId, ChangesetId], list[VersionMeta]] = {}
    for key, data in list(transaction.scan(b"V")):
        meta = records.opened(VersionMeta, key, data)
        by_changeset.setdefault((DatasetId(key[1:33]), meta.changeset), []).append(meta)
        transaction.delete(key)
    for (dataset, changeset), metas in by_changeset.items():
        number = shelf.log_number(transaction, dataset, changeset)
        if number is None:
            raise CorruptRecord("a version's changeset is not in the log")
        metas.sort(key=lambda meta: meta.index)
        for meta in metas:
            key = _key(dataset, meta.row)
            place = _PLACE.pack(number, meta.index, meta.version in heads_of)
            transaction.put(key, (transaction.get(key) or b"") + place)
        kept = [OperationMeta(m.kind, m.parent, m.author, m.clear) for m in metas]
        if any(one.kind is not OperationKind.INSERT or one.clear for one in kept):
            key = b"V" + dataset + changeset
            records.put(transaction, key, ChangesetMeta(tuple(kept)))


def _key(dataset: DatasetId, row: RowId) -> bytes:
    return b"T" + dataset[:DATASET_BYTES] + row[:ROW_BYTES]


def _keys(dataset: DatasetId, rows: Iterable[bytes]) -> list[bytes]:
    prefix = b"T" + dataset[:DATASET_BYTES]
    return [prefix + row[:ROW_BYTES] for row in rows]


def _places(view: View, dataset: DatasetId, row: RowId) -> list[Place]:
    """Return where the versions of a row stand."""
    by_row = _unpacked(view.get(_key(dataset, row)))
    return _told([*by_row, *inserted(view, dataset, row)])


def _told(places: Iterable[Place]) -> list[Place]:
    """Return each place once: it is a head unless a row's own record says that it is none."""
    found: dict[tuple[int, int], int] = {}
    for number, index, is_head in places:
        found[number, index] = found.get((number, index), HEAD) and is_head
    return sorted((number, index, is_head) for (number, index), is_head in found.items())


def _unpacked(data: bytes | None) -> Iterator[Place]:
    found = data or b""
    if len(found) % _PLACE.size:
        raise CorruptRecord("the places of a row's versions are cut short")
    return _PLACE.iter_unpack(found)


def _put(transaction: Transaction, dataset: DatasetId, row: RowId, places: list[Place]) -> None:
    transaction.put(_key(dataset, row), b"".join(starmap(_PLACE.pack, places)))


def _superseded(view: View, dataset: DatasetId, row: RowId, parent: VersionId) -> list[Place]:
    """Return a row's places after a version came whose parent this is."""
    return [
        (number, index, is_head and not _is(view, dataset, number, index, parent))
        for number, index, is_head in _places(view, dataset, row)
    ]


def _is(view: View, dataset: DatasetId, number: int, index: int, version: VersionId) -> bool:
    changeset = _changeset(view, dataset, number)
    return changeset is not None and version_id(changeset, index) == version


def _changeset(view: View, dataset: DatasetId, number: int) -> ChangesetId | None:
    """Return the changeset at a log number; None if the place is another dataset's."""
    key = b"L" + dataset + number.to_bytes(8, "big")
    data = view.get(key)
    return shelf.entry_in(key, data) if data else None


def _operations(accepted: Accepted) -> Iterable[OperationMeta]:
    identity = accepted.changeset.header.identity
    for operation, parent, clear in zip(
        accepted.changeset.operations, accepted.parents, accepted.clears, strict=True
    ):
        author = parent.author if parent is not None else identity
        yield OperationMeta(operation.kind, operation.parent, author, clear)


def _meta(
    view: View, dataset: DatasetId, changeset: ChangesetId, index: int, row: RowId
) -> VersionMeta:
    header = shelf.header(view, dataset, changeset)
    if header is None:
        raise CorruptRecord("the header of a logged changeset is missing")
    said = _said(view, dataset, changeset, index, header)
    return VersionMeta(
        version=version_id(changeset, index),
        row=row,
        changeset=changeset,
        index=index,
        kind=said.kind,
        parent=said.parent,
        author=said.author,
        hlc=header.hlc,
        clear=said.clear,
    )


def _said(
    view: View, dataset: DatasetId, changeset: ChangesetId, index: int, header: Header
) -> OperationMeta:
    meta = records.get(view, b"V" + dataset + changeset, ChangesetMeta)
    if meta is None:
        return OperationMeta(OperationKind.INSERT, b"", header.identity, _NO_CLEAR)
    return meta.operations[index]
