"""Which changesets inserted the rows that are due to them: one short entry for all of their rows.

I dataset stem      for each of them the rest of the stem, how many rows, log number

The ids of such rows are a stem with the index of each in it (`mfdb.rules.changeset`), so that a
row's place tells the entry that it is in, and the entries in order tell all places in order.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from mfdb.kernel.errors import CorruptRecord
from mfdb.rules.changeset import INDEX_BYTES, STEM_FIRST_BYTES, row_stem
from mfdb.rules.row_tree import PLACE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mfdb.kernel.ids import DatasetId
    from mfdb.node.commit import Transaction
    from mfdb.node.provider.shelf import View
    from mfdb.rules.changeset import Header
    from mfdb.store.port import Snapshot

DATASET_BYTES = 12
HEAD = 1
_REST_AT = STEM_FIRST_BYTES + INDEX_BYTES
_RUN = struct.Struct(f">{PLACE_BYTES - _REST_AT}sHQ")
_INDEXES = 2 ** (8 * INDEX_BYTES)

Place = tuple[int, int, int]
"""Log number, operation index, `HEAD` unless a known version supersedes it, then 0."""


def put_run(transaction: Transaction, header: Header, number: int) -> None:
    """Keep that the changeset with this log number inserted the rows that are due to it."""
    stem = row_stem(header)
    key = _key(header.dataset, stem)
    rest = stem[STEM_FIRST_BYTES : PLACE_BYTES - INDEX_BYTES]
    run = _RUN.pack(rest, header.operation_count, number)
    transaction.put(key, (transaction.get(key) or b"") + run)


def inserted(view: View, dataset: DatasetId, place: bytes) -> list[Place]:
    """Return which operations inserted the row at a place."""
    index = int.from_bytes(place[STEM_FIRST_BYTES:_REST_AT], "big")
    return [
        (number, index, HEAD)
        for rest, count, number in _runs(view.get(_key(dataset, place)) or b"")
        if rest == place[_REST_AT:PLACE_BYTES] and index < count
    ]


def all_inserted(
    view: Snapshot, dataset: DatasetId, first: bytes, last: bytes
) -> Iterator[tuple[bytes, Place]]:
    """Yield the places of inserted rows from one up to another, in order, and what did it."""
    prefix = b"I" + dataset[:DATASET_BYTES]
    low, high = first[:STEM_FIRST_BYTES], last[:STEM_FIRST_BYTES]
    for key, data in view.scan(prefix + low, prefix + high + b"\x00"):
        stem, runs = key[len(prefix) :], sorted(_runs(data))
        start = _index(first) if stem == low else 0
        stop = _index(last) + 1 if stem == high else _INDEXES
        for index in range(start, min(stop, max(count for _, count, _ in runs))):
            middle = stem + index.to_bytes(INDEX_BYTES, "big")
            for rest, count, number in runs:
                place = middle + rest
                if index < count and first <= place <= last:
                    yield place, (number, index, HEAD)


def _index(place: bytes) -> int:
    return int.from_bytes(place[STEM_FIRST_BYTES:_REST_AT], "big")


def _key(dataset: DatasetId, place: bytes) -> bytes:
    return b"I" + dataset[:DATASET_BYTES] + place[:STEM_FIRST_BYTES]


def _runs(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    if len(data) % _RUN.size:
        raise CorruptRecord("the changesets of new rows are cut short")
    return _RUN.iter_unpack(data)
