"""What was committed since LMDB was last brought up to date, in memory: versions of keys, sorted.

One thread writes while others read. Each commit has a number; a reader asks for what was there up
to a number, and newer versions do not disturb it. A version is put before its commit is published,
and nothing is ever taken away: when LMDB has taken all of it in, the next commits begin another
`Recent`, and readers that still hold this one go on reading it.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mfdb.store.port import Write

    _Version = tuple[int, bytes | None, "_Version | None"]
    _Pairs = Iterator[tuple[bytes, bytes]]


class Recent:
    """The commits that come after one state of LMDB."""

    __slots__ = ("_keys", "_newest", "base", "number", "size_bytes")

    def __init__(self, base: int) -> None:
        """`base` is the number of the LMDB transaction that these commits come after."""
        self.base = base
        self.number = 0
        """The newest commit that readers may see; 0: there is none."""
        self.size_bytes = 0
        self._newest: dict[bytes, _Version] = {}
        self._keys: list[bytes] = []

    def put(self, group: Sequence[Sequence[Write]], size_bytes: int) -> None:
        """Take in a commit, which readers see once it is published."""
        number, newest, keys = self.number + 1, self._newest, self._keys
        for batch in group:
            for key, value in batch:
                older = newest.get(key)
                newest[key] = (number, value, older)
                if older is None:
                    insort(keys, key)
        self.size_bytes += size_bytes

    def publish(self) -> None:
        """Show readers the commit that was put last."""
        self.number += 1

    def find(self, key: bytes, number: int) -> _Version | None:
        """Return what a key was set to last, up to a commit, or None if it was not touched."""
        version = self._newest.get(key)
        while version is not None and version[0] > number:
            version = version[2]
        return version

    def touches(self, start: bytes, stop: bytes | None) -> bool:
        """Return whether any key between two was ever set here."""
        keys = self._keys
        at = bisect_left(keys, start)
        return at < len(keys) and (stop is None or keys[at] < stop)

    def between(
        self, start: bytes, stop: bytes | None, number: int, *, reverse: bool = False
    ) -> Iterator[Write]:
        """Yield the keys between two, in order, with what they were set to up to a commit.

        They are looked up one by one: many who ask want the first or the last one only.
        """
        part = self._between(start, stop)
        for key in reversed(part) if reverse else part:
            version = self.find(key, number)
            if version is not None:
                yield key, version[1]

    def writes(self) -> list[Write]:
        """Return what LMDB is to take in: every key with its newest published value."""
        number, newest = self.number, self._newest
        found: list[Write] = []
        for key in self._keys:  # `between`, without a call for every key
            version: _Version | None = newest[key]
            while version is not None and version[0] > number:
                version = version[2]
            if version is not None:
                found.append((key, version[1]))
        return found

    def _between(self, start: bytes, stop: bytes | None) -> list[bytes]:
        """Return a copy of the keys between two; asked again if a writer put one meanwhile.

        A key that comes between two of these steps moves the places that were just found.
        """
        keys = self._keys
        while True:
            count = len(keys)
            end = count if stop is None else bisect_left(keys, stop)
            part = keys[bisect_left(keys, start) : end]
            if len(keys) == count:  # none is ever taken away
                return part


def over(below: _Pairs, mine: Iterator[Write], *, reverse: bool) -> _Pairs:
    """Yield the pairs of two sorted sources as one; `mine` goes before what stands below."""
    pair = next(below, None)
    for key, value in mine:
        while pair is not None and (pair[0] > key if reverse else pair[0] < key):
            yield pair
            pair = next(below, None)
        if pair is not None and pair[0] == key:
            pair = next(below, None)
        if value is not None:
            yield key, value
    if pair is not None:
        yield pair
        yield from below
