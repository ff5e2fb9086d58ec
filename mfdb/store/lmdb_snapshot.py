"""One committed state of an LMDB store: a read transaction, and what was committed since LMDB's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

import lmdb

from mfdb.kernel.errors import InterfaceError, MfdbError, OperationalError
from mfdb.store.disk_errors import disk_failed
from mfdb.store.ordered import prefix_end
from mfdb.store.port import FIRST_KEY, KEY_BYTES, OWN_KEY
from mfdb.store.recent import over

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from mfdb.store.recent import Recent

    _Pairs = Iterator[tuple[bytes, bytes]]


class _Owner(Protocol):
    """The store whose state it is."""

    written: int
    """Bytes that were written so far."""

    def left(self, snapshot: LmdbSnapshot) -> None:
        """Take note that a snapshot was left."""


class LmdbSnapshot:
    """`mfdb.store.port.Snapshot` over one LMDB read transaction; use it as a context."""

    __slots__ = (
        "__weakref__",
        "_cursor",
        "_done",
        "_number",
        "_recent",
        "_store",
        "_txn",
        "_until",
    )

    def __init__(
        self, txn: lmdb.Transaction, recent: Recent | None, store: _Owner, age_bytes: int
    ) -> None:
        """`recent` is what was committed since, None if nothing was.

        The snapshot is given up when it is used after others have written `age_bytes`: while it is
        held, no page of the store is used again.
        """
        self._txn = txn
        self._recent = recent
        self._number = recent.number if recent is not None else 0
        self._store = store
        self._cursor: lmdb.Cursor | None = None
        self._done = False
        self._until = store.written + age_bytes

    def __enter__(self) -> LmdbSnapshot:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave()

    def __del__(self) -> None:
        if not self._done:
            self._leave()

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key, or None."""
        if self._store.written > self._until:
            raise self._expired()
        if self._recent is not None:
            version = self._recent.find(key, self._number)
            if version is not None and not self._done:
                return version[1]
        if not 0 < len(key) <= KEY_BYTES or key == OWN_KEY:
            return None
        try:
            found = self._txn.get(key)
        except lmdb.Error as error:
            raise self._failed(error) from error
        return found  # type: ignore[return-value] # bytes, as the transaction was begun without `buffers`

    def scan(
        self, start: bytes, stop: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield the pairs with start <= key < stop in key order (or backwards)."""
        end = prefix_end(start) if stop is None else stop
        store, until = self._store, self._until
        if store.written > until:
            raise self._expired()
        try:
            for pair in self._pairs(start, end, reverse=reverse):
                yield pair
                if store.written > until:
                    raise self._expired()
        except lmdb.Error as error:
            raise self._failed(error) from error

    def last(self, start: bytes, stop: bytes) -> tuple[bytes, bytes] | None:
        """Return the last pair with start <= key < stop, or None."""
        if self._recent is not None and self._recent.touches(start, stop):
            return next(self.scan(start, stop, reverse=True), None)
        if self._store.written > self._until:
            raise self._expired()
        try:
            if not stop:
                return None
            if self._cursor is None:
                self._cursor = self._txn.cursor()
            cursor = self._cursor
            if not (cursor.prev() if cursor.set_range(stop) else cursor.last()):
                return None
            pair = cast("tuple[bytes, bytes]", cursor.item())
        except lmdb.Error as error:
            raise self._failed(error) from error
        return pair if pair[0] >= max(start, FIRST_KEY) else None

    def follow(self, start: bytes, stop: bytes | None, prefix: bytes) -> Iterator[bytes | None]:
        """Yield what stands under prefix + value for each pair of a range, as an index needs it."""
        end = prefix_end(start) if stop is None else stop
        store, until, recent = self._store, self._until, self._recent
        is_set = recent is not None and recent.touches(prefix, prefix_end(prefix))
        try:
            get = self.get if is_set else self._txn.get
            for _, value in self._pairs(start, end, reverse=False):
                if store.written > until:
                    raise self._expired()
                yield cast("bytes | None", get(prefix + value))
        except lmdb.Error as error:
            raise self._failed(error) from error

    def abort(self) -> None:
        """End the read transaction (called by the store, under its lock)."""
        self._txn.abort()

    def _pairs(self, start: bytes, end: bytes | None, *, reverse: bool) -> _Pairs:
        cursor, start = self._txn.cursor(), max(start, FIRST_KEY)
        found = _backwards(cursor, start, end) if reverse else _forwards(cursor, start, end)
        recent = self._recent
        if recent is None or not recent.touches(start, end):
            return found
        mine = recent.between(start, end, self._number, reverse=reverse)
        return over(found, mine, reverse=reverse)

    def _leave(self) -> None:
        if not self._done:
            self._done = True
            self._store.left(self)

    def _expired(self) -> MfdbError:
        """End the snapshot, and return what its user is told."""
        self._leave()
        return OperationalError(
            "the snapshot was held for too long while others wrote, and was given up",
            hint="fetch faster, or ask again in smaller portions",
        )

    def _failed(self, error: lmdb.Error) -> MfdbError:
        if self._done:
            return InterfaceError("the snapshot was left")
        return disk_failed(error)


def _forwards(cursor: lmdb.Cursor, start: bytes, end: bytes | None) -> _Pairs:
    if not cursor.set_range(start):
        return
    for key, value in cast("_Pairs", cursor.iternext()):
        if end is not None and key >= end:
            return
        yield key, value


def _backwards(cursor: lmdb.Cursor, start: bytes, end: bytes | None) -> _Pairs:
    if end is None or not (end and cursor.set_range(end)):
        found = cursor.last() if end != b"" else False
    else:
        found = cursor.prev()
    if not found:
        return
    for key, value in cast("_Pairs", cursor.iterprev()):
        if key < start:
            return
        yield key, value
