"""The store's behaving twin: in memory, deterministic, on a disk that can fail on request.

A `MemoryDisk` outlives the process that a simulation kills; a `MemoryStore` is that process's
hold on it. What a real disk does wrong is a knob of the disk:

- `full`: every write that stores something is refused with StoreFull; deletions still work;
- `lying`: writes are acknowledged but not synced, so that the next `crash` loses them (all, or
  all but the first few: the disk decides nothing, the caller says how many survive);
- `flip_bit`, `lose`: one bit of a stored value rots, or all of it goes.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mfdb.kernel.errors import InterfaceError, StoreFull, StoreLocked
from mfdb.store.bounds import check_batch
from mfdb.store.ordered import prefix_end

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence

    from mfdb.store.port import Write


class _State:
    """One version of the contents: a sorted list of keys beside a map."""

    __slots__ = ("keys", "values")

    def __init__(self, keys: list[bytes], values: dict[bytes, bytes]) -> None:
        self.keys = keys
        self.values = values

    def copy(self) -> _State:
        return _State(self.keys.copy(), self.values.copy())

    def apply(self, batch: Sequence[Write]) -> None:
        """Apply a batch in place; a key list kept sorted by insertion."""
        for key, value in batch:
            if value is None:
                if self.values.pop(key, None) is not None:
                    del self.keys[bisect_left(self.keys, key)]
            else:
                if key not in self.values:
                    self.keys.insert(bisect_left(self.keys, key), key)
                self.values[key] = bytes(value)


class MemoryDisk:
    """What is left of a node's data when its process is gone."""

    def __init__(self) -> None:
        self.full = False
        self.lying = False
        self.owner: MemoryStore | None = None
        self.state = _State([], {})
        self.version = 0
        """Grows whenever the contents may have changed."""
        self._synced = _State([], {})
        self._unsynced: list[list[Write]] = []
        self._rot: dict[bytes, tuple[bytes, bytes]] = {}

    @property
    def unsynced(self) -> int:
        """How many acknowledged batches a crash would lose now."""
        return len(self._unsynced)

    def write(self, batch: Sequence[Write], *, shared: bool) -> None:
        """Apply a batch; `shared` says that a snapshot holds the present state."""
        if self.full and any(value is not None for _, value in batch):
            raise StoreFull("the disk is full", hint="free some space on the disk and try again")
        if shared:
            self.state = self.state.copy()
        self.state.apply(batch)
        self.version += 1
        self._unsynced.append(list(batch))
        if not self.lying:
            self.sync()

    def sync(self) -> None:
        """Make everything written so far survive a crash, also what a lying disk held back."""
        for batch in self._unsynced:
            self._synced.apply(batch)
        self._unsynced.clear()

    def crash(self, *, surviving: int = 0) -> None:
        """Lose power: keep what was synced and the first `surviving` batches that were not.

        The store that had the disk is dead from now on; open a new one.
        """
        for batch in self._unsynced[:surviving]:
            self._synced.apply(batch)
        self._unsynced.clear()
        self.state = self._synced.copy()
        self.version += 1
        if self.owner is not None:
            self.owner.die()

    def flip_bit(self, key: bytes, bit: int) -> None:
        """Turn one bit (counted from the first byte's lowest) of a stored value, as rot does.

        It rots where it lies, synced or not: no crash makes it good again.
        """
        before = self.state.values[key]
        rotten = bytearray(before)
        rotten[bit // 8] ^= 1 << (bit % 8)
        good = self._rot[key][1] if key in self.rotten() else before
        self._rot[key] = (bytes(rotten), good)
        self._replace(key, before, bytes(rotten))

    def rotten(self) -> list[bytes]:
        """Return the keys whose value still has a bit turned."""
        values = self.state.values
        return [key for key, (rot, good) in self._rot.items() if values.get(key) == rot != good]

    def before_rot(self, *, except_tables: Container[bytes]) -> _State:
        """Return the contents as if no bit had turned, but for keys with these first bytes."""
        rotten = [key for key in self.rotten() if key[:1] not in except_tables]
        if not rotten:
            return self.state
        state = self.state.copy()
        state.values.update((key, self._rot[key][1]) for key in rotten)
        return state

    def lose(self, key: bytes) -> None:
        """Remove a stored value behind the node's back; no crash brings it back."""
        self.state = self.state.copy()
        self._replace(key, self.state.values[key], None)

    def _replace(self, key: bytes, old: bytes, new: bytes | None) -> None:
        self.state.apply([(key, new)])
        self.version += 1
        if self._synced.values.get(key) == old:
            self._synced.apply([(key, new)])
        for batch in self._unsynced:
            batch[:] = [(key, new) if write == (key, old) else write for write in batch]

    def used_bytes(self) -> int:
        """Return the bytes of all keys and values."""
        return sum(len(key) + len(value) for key, value in self.state.values.items())


class MemoryStore:
    """`mfdb.store.port.Store` on a `MemoryDisk`.

    Raises:
        StoreLocked: another store has the disk.
    """

    def __init__(self, disk: MemoryDisk | None = None) -> None:
        self.disk = MemoryDisk() if disk is None else disk
        if self.disk.owner is not None:
            raise StoreLocked("another process works on this disk")
        self.disk.owner = self
        self._lock = threading.Lock()
        self._open = True
        self._snapshots: dict[int, int] = {}
        self._version = 0

    @contextmanager
    def snapshot(self) -> Iterator[MemorySnapshot]:
        """Return a context that holds one committed state; never blocks a writer."""
        with self._lock:
            self._need_open()
            version = self._version
            self._snapshots[version] = self._snapshots.get(version, 0) + 1
            snapshot = MemorySnapshot(self.disk.state)
        try:
            yield snapshot
        finally:
            snapshot.leave()
            with self._lock:
                self._snapshots[version] -= 1
                if not self._snapshots[version]:
                    del self._snapshots[version]

    def first(self, prefix: bytes) -> bytes | None:
        """Return the value of the first key that begins with a prefix, as committed now."""
        with self.snapshot() as snapshot:
            return next((value for _, value in snapshot.scan(prefix)), None)

    def write(self, batch: Sequence[Write]) -> None:
        """Apply all writes of a batch in order, or none; synced unless the disk lies."""
        check_batch(batch)
        with self._lock:
            self._need_open()
            self.disk.write(batch, shared=self._version in self._snapshots)
            self._version += 1

    def compact(self) -> tuple[int, int]:
        """Return the bytes of all pairs, twice: memory has no free room to give back."""
        with self._lock:
            self._need_open()
            size = sum(len(key) + len(value) for key, value in self.disk.state.values.items())
        return size, size

    def close(self) -> None:
        """Give the disk back; calling it again is harmless."""
        with self._lock:
            self.die()

    def crash(self, *, surviving: int = 0) -> MemoryDisk:
        """Kill the process and the power at once; return the disk for the next process."""
        self.disk.crash(surviving=surviving)
        return self.disk

    def die(self) -> None:
        """Stop serving (called by the disk when the power goes)."""
        if self._open:
            self._open = False
            self.disk.owner = None

    def _need_open(self) -> None:
        if not self._open:
            raise InterfaceError("the store is closed")


class MemorySnapshot:
    """`mfdb.store.port.Snapshot` of a `MemoryStore`."""

    __slots__ = ("_state",)

    def __init__(self, state: _State) -> None:
        self._state: _State | None = state

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key, or None."""
        return self._held().values.get(key)

    def last(self, start: bytes, stop: bytes) -> tuple[bytes, bytes] | None:
        """Return the last pair with start <= key < stop, or None."""
        return next(self.scan(start, stop, reverse=True), None)

    def follow(self, start: bytes, stop: bytes | None, prefix: bytes) -> Iterator[bytes | None]:
        """Yield what stands under prefix + value for each pair of a range, as an index needs it."""
        for _, value in self.scan(start, stop):
            yield self.get(prefix + value)

    def scan(
        self, start: bytes, stop: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield the pairs with start <= key < stop in key order (or backwards)."""
        keys = self._held().keys
        end = prefix_end(start) if stop is None else stop
        first = bisect_left(keys, start)
        last = len(keys) if end is None else bisect_left(keys, end)
        positions = range(last - 1, first - 1, -1) if reverse else range(first, last)
        for position in positions:
            key = keys[position]
            yield key, self._held().values[key]

    def leave(self) -> None:
        """Stop serving (called by the store when the context is left)."""
        self._state = None

    def _held(self) -> _State:
        if self._state is None:
            raise InterfaceError("the snapshot was left")
        return self._state
