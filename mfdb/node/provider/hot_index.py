"""The unsealed changesets of a dataset by their HLC, with the sums that reconciliation compares.

O dataset range   count and sum of ids of what was written within about a minute
o dataset HLC id  how many bytes an unsealed changeset has

Both change in the transaction that keeps or releases a changeset, so they are right after a crash,
and a start or a reconciliation of equal replicas costs nothing for what is held.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from mfdb.kernel.errors import CorruptRecord
from mfdb.kernel.ids import ChangesetId, DatasetId, Hash
from mfdb.node.provider import records
from replication.range_sums import SUM_BYTES, RangeSum, SummedItems, range_of
from replication.seal import HotEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mfdb.node.commit import Transaction
    from mfdb.node.provider.shelf import View
    from replication.reconcile import Item

_RANGE_BYTES = 4
_HLC_BYTES = 8
_LENGTH = struct.Struct(">I")
_SUM = struct.Struct(f">Q{SUM_BYTES}s")


def add(transaction: Transaction, dataset: DatasetId, entry: HotEntry) -> None:
    """Take in a changeset whose bytes are kept from now on."""
    hlc, id_ = entry.hlc, entry.changeset
    transaction.put(_item_key(dataset, hlc) + id_, _LENGTH.pack(entry.length_bytes))
    _change(transaction, dataset, hlc, lambda one: one.with_item(id_))


def remove(transaction: Transaction, dataset: DatasetId, hlc: int, id_: ChangesetId) -> int:
    """Take out a changeset whose bytes are dropped, and return how many there were.

    One that is not in it is left alone, and has none.
    """
    key = _item_key(dataset, hlc) + id_
    kept = transaction.get(key)
    if kept is None:
        return 0
    transaction.delete(key)
    _change(transaction, dataset, hlc, lambda one: one.without(id_))
    return _length(kept)


def entries(view: View, dataset: DatasetId) -> Iterator[HotEntry]:
    """Yield the unsealed changesets, the oldest first; none of their bytes are read."""
    prefix = b"o" + dataset
    at, end = len(prefix), len(prefix) + _HLC_BYTES
    for key, data in view.scan(prefix):
        hlc = int.from_bytes(key[at:end], "big")
        yield HotEntry(ChangesetId(key[end:]), hlc, _length(data))


def measure(
    transaction: Transaction, dataset: DatasetId, length_of: Callable[[ChangesetId], int]
) -> None:
    """Note how long each changeset is: older releases did not."""
    at = len(b"o" + dataset) + _HLC_BYTES
    for key, _ in list(transaction.scan(b"o" + dataset)):
        transaction.put(key, _LENGTH.pack(length_of(ChangesetId(key[at:]))))


def stored_items(view: View, dataset: DatasetId) -> SummedItems:
    """Return the unsealed changesets for a reconciliation, while a view is open."""
    prefix = b"O" + dataset
    sums = [opened(key, data) for key, data in view.scan(prefix)]
    return SummedItems(sums, lambda range_: _items(view, dataset, range_))


def _change(
    transaction: Transaction, dataset: DatasetId, hlc: int, change: Callable[[RangeSum], RangeSum]
) -> None:
    range_ = range_of(hlc)
    key = b"O" + dataset + range_.to_bytes(_RANGE_BYTES, "big")
    data = transaction.get(key)
    changed = change(RangeSum(range_, 0, 0) if data is None else opened(key, data))
    _put(transaction, key, changed)


def sum_again(transaction: Transaction, key: bytes) -> None:
    """Add up anew what lies in a range, whose key this is."""
    range_ = int.from_bytes(key[-_RANGE_BYTES:], "big")
    found = RangeSum(range_, 0, 0)
    for _, id_ in _items(transaction, DatasetId(Hash(key[1:-_RANGE_BYTES])), range_):
        found = found.with_item(id_)
    _put(transaction, key, found)


def _put(transaction: Transaction, key: bytes, found: RangeSum) -> None:
    if found.items:
        body = _SUM.pack(found.items, found.total.to_bytes(SUM_BYTES, "big"))
        records.put_plain(transaction, key, body)
    else:
        transaction.delete(key)


def _length(data: bytes) -> int:
    if len(data) != _LENGTH.size:
        raise CorruptRecord("the length of a changeset is damaged")
    (length,) = _LENGTH.unpack(data)
    return int(length)


def opened(key: bytes, data: bytes) -> RangeSum:
    """Return the sum that lies under a key.

    Raises:
        DamagedRecord: it is damaged.
    """
    count, total = _SUM.unpack(records.plain(key, data, _SUM.size, "sum of changesets"))
    range_ = int.from_bytes(key[-_RANGE_BYTES:], "big")
    return RangeSum(range_, count, int.from_bytes(total, "big"))


def _items(view: View, dataset: DatasetId, range_: int) -> Sequence[Item]:
    prefix = b"o" + dataset
    of_range = prefix + range_.to_bytes(_RANGE_BYTES, "big")  # the first half of an HLC
    at, end = len(prefix), len(prefix) + _HLC_BYTES
    return [
        (int.from_bytes(key[at:end], "big"), ChangesetId(key[end:]))
        for key, _ in view.scan(of_range)
    ]


def _item_key(dataset: DatasetId, hlc: int) -> bytes:
    return b"o" + dataset + hlc.to_bytes(_HLC_BYTES, "big")
