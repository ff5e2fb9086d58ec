"""A store whose readers find own writes that were acknowledged, though these are shown late.

What a quorum of providers holds, and this machine's outbox, needs no more for its writer to be
told. Rows, indexes and changelog are made of many such writes at once, when somebody reads or a
moment has passed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from mfdb.store.port import Snapshot, Store, Write


class ShownStore:
    """`mfdb.store.port.Store` over another one; `show` is called before a read that is behind."""

    __slots__ = ("_below", "_show", "is_behind")

    def __init__(self, below: Store, show: Callable[[], None]) -> None:
        self._below = below
        self._show = show
        self.is_behind = False
        """Whether something is to be shown."""

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """Return a context that holds one committed state, with all that was acknowledged."""
        if self.is_behind:
            self._show()
        return self._below.snapshot()

    def first(self, prefix: bytes) -> bytes | None:
        """Return the value of the first key that begins with a prefix, as committed now."""
        if self.is_behind:
            self._show()
        return self._below.first(prefix)

    def write(self, batch: Sequence[Write]) -> None:
        """Apply all writes of a batch in order, durably, or none."""
        self._below.write(batch)

    def compact(self) -> tuple[int, int]:
        """Give free room back to the disk; return the bytes in use before and after."""
        return self._below.compact()

    def close(self) -> None:
        """Give the directory back."""
        self._below.close()
