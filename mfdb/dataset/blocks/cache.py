"""Decoded columns, and what was made of them, in memory: the least recently used go first."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

CACHE_BYTES = 256 * 2**20


class Sized(Protocol):
    """Anything that knows what it occupies."""

    @property
    def size_bytes(self) -> int:
        """Bytes in memory."""
        ...


_S = TypeVar("_S", bound=Sized)


class BlockCache:
    """Values by key, within a limit of bytes; safe to use from several threads."""

    def __init__(self, limit_bytes: int = CACHE_BYTES) -> None:
        self._limit = limit_bytes
        self._kept: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._lock = Lock()
        self.size_bytes = 0
        self.misses = 0
        """How often something had to be made: tests and EXPLAIN ANALYZE tell by it."""

    def get(self, key: Hashable, make: Callable[[], _S]) -> _S:
        """Return what is kept under a key, or make and keep it."""
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
                return cast("_S", found[0])
            self.misses += 1
        value = make()
        self._keep(key, value, value.size_bytes)
        return value

    def _keep(self, key: Hashable, value: Any, size: int) -> None:
        with self._lock:
            before = self._kept.pop(key, None)
            if before is not None:
                self.size_bytes -= before[1]
            if size > self._limit:
                return
            self._kept[key] = (value, size)
            self.size_bytes += size
            while self.size_bytes > self._limit:
                _, (_, gone) = self._kept.popitem(last=False)
                self.size_bytes -= gone

    def clear(self) -> None:
        """Give all memory back."""
        with self._lock:
            self._kept.clear()
            self.size_bytes = 0
