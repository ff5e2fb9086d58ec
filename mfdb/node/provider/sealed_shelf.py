"""Where a provider keeps what is sealed: segments, what was signed for them, and shards.

Its tables are listed in `shelf`, where all else is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.kernel.codec import encode
from mfdb.kernel.ids import ChangesetId, DatasetId, Hash, SegmentId
from mfdb.node.answers import SEGMENTS_BYTES
from mfdb.node.provider import records
from mfdb.node.provider.shelf import ID_BYTES, manifest, number_bytes, use_bytes
from replication.segment import SealedSegment

if TYPE_CHECKING:
    from mfdb.node.commit import Transaction
    from mfdb.node.provider.shelf import View

_OF_DATASET = (
    *(b"M", b"P", b"L", b"N", b"H", b"X", b"O", b"o", b"h", b"K", b"R"),
    *(b"V", b"S", b"k", b"c", b"i", b"u", b"v", b"y", b"d", b"r"),
)
_ROWS_DATASET_BYTES = 12


def segments(view: View, dataset: DatasetId) -> tuple[SealedSegment, ...]:
    """Return the sealed segments of a dataset, by number."""
    found = records.every(view, b"S" + dataset, SealedSegment)
    return tuple(sorted(found, key=lambda bundle: bundle.certificate.number))


def segments_after(view: View, dataset: DatasetId, after: bytes) -> tuple[SealedSegment, ...]:
    """Return a page of the segments that follow one in the order of their ids."""
    page: list[SealedSegment] = []
    size = 0
    for key, data in view.scan(b"S" + dataset):
        if key[33:] > after and size < SEGMENTS_BYTES:
            page.append(bundle := records.opened(SealedSegment, key, data))
            size += len(encode(bundle))
    return tuple(page)


def segment(view: View, dataset: DatasetId, id_: SegmentId) -> SealedSegment | None:
    """Return a sealed segment's bundle, or None."""
    return records.get(view, b"S" + dataset + id_, SealedSegment)


def put_segment(transaction: Transaction, dataset: DatasetId, bundle: SealedSegment) -> None:
    """Keep a bundle; a later one with more receipts replaces it."""
    id_ = bundle.certificate.segment
    records.put(transaction, b"S" + dataset + id_, bundle)


def is_learnt(view: View, dataset: DatasetId, id_: SegmentId) -> bool:
    """Return whether everything that a segment lists is known to have come here."""
    return view.get(b"y" + dataset + id_) is not None


def put_learnt(transaction: Transaction, dataset: DatasetId, id_: SegmentId) -> None:
    """Remember that everything that a segment lists came here."""
    transaction.put(b"y" + dataset + id_, b"")


def put_mark(
    transaction: Transaction, dataset: DatasetId, number: int, ids: tuple[ChangesetId, ...]
) -> None:
    """Remember what was unsealed here when segment `number` was begun."""
    records.put_plain(transaction, b"k" + dataset + number_bytes(number), b"".join(ids))


def mark(view: View, dataset: DatasetId, number: int) -> frozenset[ChangesetId]:
    """Return what was unsealed here when segment `number` was begun."""
    return frozenset(_ids(view, b"k" + dataset + number_bytes(number)))


def next_segment(view: View, dataset: DatasetId) -> int:
    """Return the number that the next segment has, as far as this provider knows."""
    return max((bundle.certificate.number + 1 for bundle in segments(view, dataset)), default=0)


def put_signed_segment(
    transaction: Transaction,
    dataset: DatasetId,
    number: int,
    id_: SegmentId,
    ids: tuple[ChangesetId, ...],
) -> None:
    """Remember which certificate was signed for a segment number; there is never a second one."""
    records.put_plain(transaction, b"c" + dataset + number_bytes(number), id_)
    records.put_plain(transaction, b"i" + dataset + number_bytes(number), b"".join(ids))


def signed_segment(view: View, dataset: DatasetId, number: int) -> SegmentId | None:
    """Return the certificate that was signed for a segment number, or None."""
    key = b"c" + dataset + number_bytes(number)
    data = view.get(key)
    return segment_in(key, data) if data else None


def segment_in(key: bytes, data: bytes) -> SegmentId:
    """Return the segment that lies under a key of table c.

    Raises:
        DamagedRecord: it is damaged.
    """
    return SegmentId(Hash(records.plain(key, data, ID_BYTES, "signed certificate")))


def signed_changesets(view: View, dataset: DatasetId, number: int) -> tuple[ChangesetId, ...]:
    """Return what the certificate lists that was signed for a segment number; empty if none was."""
    return _ids(view, b"i" + dataset + number_bytes(number))


def _ids(view: View, key: bytes) -> tuple[ChangesetId, ...]:
    data = view.get(key)
    return ids_in(key, data) if data else ()


def ids_in(key: bytes, data: bytes) -> tuple[ChangesetId, ...]:
    """Return the changesets that lie under a key of table k or i.

    Raises:
        DamagedRecord: they are damaged.
    """
    found = records.plain(key, data, ID_BYTES, "list of changesets", many=True)
    return tuple(
        ChangesetId(Hash(found[at : at + ID_BYTES])) for at in range(0, len(found), ID_BYTES)
    )


def shard_key(id_: SegmentId, index: int) -> bytes:
    """Return the key under which a shard's bytes lie."""
    return b"D" + id_ + index.to_bytes(2, "big")


def shard(view: View, id_: SegmentId, index: int) -> bytes | None:
    """Return the bytes of a shard, or None."""
    return view.get(shard_key(id_, index))


def put_shard(
    transaction: Transaction, dataset: DatasetId, id_: SegmentId, index: int, data: bytes
) -> None:
    """Keep the bytes of a shard."""
    before = shard(transaction, id_, index) or b""
    use_bytes(transaction, dataset, len(data) - len(before))
    transaction.put(shard_key(id_, index), data)


def my_shards(view: View, id_: SegmentId) -> tuple[int, ...]:
    """Return which shards of a segment lie here."""
    return tuple(int.from_bytes(key[-2:], "big") for key, _ in view.scan(b"D" + id_))


def count_bytes(transaction: Transaction, dataset: DatasetId) -> None:
    """Count anew how many bytes of a dataset lie here."""
    ids = [bundle.certificate.segment for bundle in segments(transaction, dataset)]
    prefixes = [b"X" + dataset, *(b"D" + id_ for id_ in ids)]
    used = sum(len(data) for prefix in prefixes for _, data in transaction.scan(prefix))
    records.put_plain(transaction, b"u" + dataset, number_bytes(used))


# ---- leaving


def drop_segment(transaction: Transaction, dataset: DatasetId, id_: SegmentId) -> None:
    """Forget a segment that others took over, with its shards, for ever."""
    for index in my_shards(transaction, id_):
        use_bytes(transaction, dataset, -len(shard(transaction, id_, index) or b""))
        transaction.delete(shard_key(id_, index))
    transaction.delete(b"S" + dataset + id_)
    transaction.delete(b"y" + dataset + id_)
    transaction.put(b"d" + dataset + id_, b"")


def is_dropped(view: View, dataset: DatasetId, id_: SegmentId) -> bool:
    """Return whether the owner has released everybody from a segment."""
    return view.get(b"d" + dataset + id_) is not None


def has_shards(view: View, dataset: DatasetId) -> bool:
    """Return whether a shard of a dataset lies here."""
    return any(my_shards(view, bundle.certificate.segment) for bundle in segments(view, dataset))


def forget(transaction: Transaction, dataset: DatasetId) -> None:
    """Remove all that is kept of a dataset; releases stay, for the court."""
    transaction.redefines.add(dataset)
    for bundle in segments(transaction, dataset):
        for index in my_shards(transaction, bundle.certificate.segment):
            transaction.delete(shard_key(bundle.certificate.segment, index))
    named = manifest(transaction, dataset)
    for table in (b"A", b"a"):
        transaction.delete(table + named.subject + named.owner)
    for table in _OF_DATASET:
        for key, _ in list(transaction.scan(table + dataset)):
            transaction.delete(key)
    for table in (b"T", b"I"):
        for key, _ in list(transaction.scan(table + dataset[:_ROWS_DATASET_BYTES])):
            transaction.delete(key)
