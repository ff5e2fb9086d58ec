"""The store port: an ordered key/value map with snapshots and durable transactions.

Keys are 1..511 bytes (but not the single byte 0, which is the store's own), values up to 64 MiB.
`write` applies all of a batch or nothing and returns only when it would survive the loss of power
(SIGKILL, a crash) - the acknowledgement rule of DESIGN 6. A snapshot sees one committed state for
its whole life; a store may give one up that was held while very much was written, and then says so
(OperationalError) instead of showing another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

Write = tuple[bytes, bytes | None]
"""A key and its new value; `None` deletes the key."""

KEY_BYTES = 511
OWN_KEY = b"\0"
"""The first of all keys, under which a store may keep something for itself."""
FIRST_KEY = OWN_KEY + b"\0"
"""The first key that others may use."""


class Snapshot(Protocol):
    """One committed state of the store."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key, or None."""
        ...

    def scan(
        self, start: bytes, stop: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield the pairs with start <= key < stop in key order (or backwards).

        `stop=None` means: as long as the key begins with `start`.
        """
        ...

    def last(self, start: bytes, stop: bytes) -> tuple[bytes, bytes] | None:
        """Return the last pair with start <= key < stop, or None."""
        ...

    def follow(self, start: bytes, stop: bytes | None, prefix: bytes) -> Iterator[bytes | None]:
        """Yield what stands under prefix + value for each pair of a range, as an index needs it."""
        ...


class Store(Protocol):
    """A directory of records that one process owns."""

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """Return a context that holds one committed state; never blocks a writer."""
        ...

    def first(self, prefix: bytes) -> bytes | None:
        """Return the value of the first key that begins with a prefix, as committed now."""
        ...

    def write(self, batch: Sequence[Write]) -> None:
        """Apply all writes of a batch in order, durably, or none.

        Raises:
            StoreFull: the disk is full; nothing of the batch was kept.
            ValueTooLarge: a key or value is over its limit; nothing was kept.
        """
        ...

    def compact(self) -> tuple[int, int]:
        """Give free room back to the disk; return the bytes in use before and after.

        Raises:
            OperationalError: a snapshot is open.
            StoreFull: there is no room for the copy; nothing changed.
        """
        ...

    def close(self) -> None:
        """Give the directory back; further calls raise InterfaceError."""
        ...
