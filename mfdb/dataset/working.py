"""A snapshot with one's own writes on top, which become one durable batch or nothing."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, TypeVar

from mfdb.kernel.codec import Record, decode_own, encode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from mfdb.store.port import Snapshot, Write

R = TypeVar("R", bound=Record)


class Working:
    """Reads see the snapshot and everything written here; `writes` gives the batch."""

    def __init__(self, under: Snapshot) -> None:
        self.under = under
        self._own: dict[bytes, bytes | None] = {}

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key, or None."""
        if key in self._own:
            return self._own[key]
        return self.under.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        """Set a key."""
        self._own[key] = value

    def put_all(self, pairs: Iterable[tuple[bytes, bytes]] | Mapping[bytes, bytes]) -> None:
        """Set many keys."""
        self._own.update(pairs)

    def delete(self, key: bytes) -> None:
        """Remove a key."""
        self._own[key] = None

    def delete_all(self, keys: Iterable[bytes]) -> None:
        """Remove many keys."""
        self._own.update(dict.fromkeys(keys))

    def scan(
        self, start: bytes, stop: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield the pairs of a range, as `Snapshot.scan` does."""
        below = self.under.scan(start, stop, reverse=reverse)
        if not self._own:
            yield from below
            return
        own = sorted((key for key in self._own if _within(key, start, stop)), reverse=reverse)
        others = (pair for pair in below if pair[0] not in self._own)
        mine = ((key, value) for key in own if (value := self._own[key]) is not None)
        yield from heapq.merge(others, mine, key=lambda pair: pair[0], reverse=reverse)

    def last(self, start: bytes, stop: bytes) -> tuple[bytes, bytes] | None:
        """Return the last pair with start <= key < stop, or None."""
        return next(self.scan(start, stop, reverse=True), None)

    def follow(self, start: bytes, stop: bytes | None, prefix: bytes) -> Iterator[bytes | None]:
        """Yield what stands under prefix + value for each pair of a range."""
        for _, value in self.scan(start, stop):
            yield self.get(prefix + value)

    def writes(self) -> list[Write]:
        """Return the batch."""
        return list(self._own.items())

    @property
    def is_empty(self) -> bool:
        """Whether nothing was written."""
        return not self._own


def _within(key: bytes, start: bytes, stop: bytes | None) -> bool:
    return key.startswith(start) if stop is None else start <= key < stop


def load(source: Snapshot, kind: type[R], key: bytes) -> R | None:
    """Return the record under a key, or None.

    Raises:
        CorruptRecord: what stands there is no such record.
    """
    data = source.get(key)
    return None if data is None else parse(kind, data)


def parse(kind: type[R], data: bytes) -> R:
    """Return a record that we stored.

    Raises:
        CorruptRecord: the bytes are no such record.
    """
    return decode_own(kind, data)


def save(target: Working, key: bytes, record: Record) -> None:
    """Set a key to a record."""
    target.put(key, encode(record))
