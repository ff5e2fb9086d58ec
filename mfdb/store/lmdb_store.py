"""The store on disk: one LMDB environment, one writer with group commit, many readers.

The directory holds `LOCK` (flock'ed by the owner, its process id inside), `FORMAT` (the version of
this layout) and LMDB's two files. Every commit is one fsync; no writemap, because a full disk
would kill the process with SIGBUS (measured, data-path.md section 4).
"""

from __future__ import annotations

import fcntl
import os
import re
import resource
import shutil
import threading
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, cast
from weakref import WeakSet

import lmdb

from mfdb.kernel.errors import (
    CorruptRecord,
    InterfaceError,
    MfdbError,
    OperationalError,
    StoreFull,
    StoreLocked,
    WrongVersion,
)
from mfdb.store.bounds import check_batch
from mfdb.store.commit_queue import CommitQueue
from mfdb.store.ordered import prefix_end
from mfdb.store.port import KEY_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from mfdb.store.port import Write

    _Pairs = Iterator[tuple[bytes, bytes]]

FORMAT_VERSION = 1
MAP_BYTES = 2**40
"""Address space reserved for the file, not disk: 1 TiB, so that the map never has to grow."""

SNAPSHOT_AGE_BYTES = 2**30
"""How much others may write while a snapshot is held: it keeps every page from being used again."""
_CHECK_COMMITS = 1_000
"""After how many commits the table of readers is cleared of processes that died."""
_READERS = 1024
_FORMAT_LINE = re.compile(rb"mfdb-store (\d{1,9})\n")
_FULL_HINT = "free some space on the disk and try again; the store itself is intact"
_SLACK_BYTES = 2**20


class LmdbStore:
    """`mfdb.store.port.Store` over a directory that this process owns.

    Safe to use from several threads. After `close` an open snapshot stays readable; the directory
    is given back once the last one is left.

    Raises:
        StoreLocked: another process, or another store of this one, works on the directory.
        WrongVersion: the directory was written by another release, or is not a store.
        CorruptRecord: the file is damaged.
        OperationalError: the directory cannot be used (rights, no disk).
    """

    def __init__(
        self,
        path: Path | str,
        *,
        map_bytes: int = MAP_BYTES,
        snapshot_age_bytes: int = SNAPSHOT_AGE_BYTES,
    ) -> None:
        self._path = Path(path)
        self._age_bytes = snapshot_age_bytes
        self._written = 0
        self._commits = 0
        self._held: WeakSet[LmdbSnapshot] = WeakSet()
        self._map_bytes = map_bytes
        self._writing = threading.Lock()
        self._lock_fd = _take_directory(self._path)
        try:
            _check_format(self._path)
            self._env = _open_environment(self._path, map_bytes)
        except BaseException:
            os.close(self._lock_fd)
            raise
        self._queue = CommitQueue(self._commit)
        # A collected snapshot may call `left` from inside any allocation here: hence re-entrant.
        self._state = threading.RLock()
        self._snapshots = 0
        self._closed = False

    def snapshot(self) -> LmdbSnapshot:
        """Return a context that holds one committed state; never blocks a writer."""
        with self._state:
            if self._closed:
                raise InterfaceError("the store is closed")
            try:
                txn = self._env.begin()
            except lmdb.ReadersFullError as error:
                raise OperationalError(
                    f"more than {_READERS} snapshots are open", hint="leave snapshots when done"
                ) from error
            except lmdb.Error as error:
                raise _disk_failed(error) from error
            self._snapshots += 1
            snapshot = LmdbSnapshot(txn, self, self._written)
            self._held.add(snapshot)
        return snapshot

    def first(self, prefix: bytes) -> bytes | None:
        """Return the value of the first key that begins with a prefix, as committed now."""
        with self._state:
            if self._closed:
                raise InterfaceError("the store is closed")
            try:
                with self._env.begin() as txn, txn.cursor() as cursor:
                    if not cursor.set_range(prefix):
                        return None
                    key, value = cursor.item()
            except lmdb.Error as error:
                raise _disk_failed(error) from error
        return value if key.startswith(prefix) else None

    def write(self, batch: Sequence[Write]) -> None:
        """Apply all writes of a batch in order, durably, or none."""
        check_batch(batch)
        self._queue.write(batch)

    def compact(self) -> tuple[int, int]:
        """Copy what is in use to a new file that takes the old one's place.

        A crash leaves the one file or the other, both complete.
        """
        data, draft = self._path / "data.mdb", self._path / "compact"
        with self._writing, self._state:
            if self._closed:
                raise InterfaceError("the store is closed")
            if self._snapshots:
                raise OperationalError(
                    f"{self._snapshots} readers hold the store",
                    hint="end subscriptions and queries",
                )
            before = data.stat().st_size
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir(mode=0o700)
            try:
                self._env.copy(str(draft), compact=True)
                _sync_file(draft / "data.mdb")
            except (lmdb.Error, OSError) as error:
                shutil.rmtree(draft, ignore_errors=True)
                raise _commit_failed(self._path, before, error) from error
            self._env.close()
            (draft / "data.mdb").replace(data)
            _sync_directory(self._path)
            shutil.rmtree(draft, ignore_errors=True)
            self._env = _open_environment(self._path, self._map_bytes)
            return before, data.stat().st_size

    def close(self) -> None:
        """Wait for writes under way and give the directory back; calling it again is harmless."""
        self._queue.close()
        with self._state:
            already, self._closed = self._closed, True
            if not already and self._snapshots == 0:
                self._release()

    def left(self, snapshot: LmdbSnapshot) -> None:
        """Take note that a snapshot of this store was left (called by the snapshot)."""
        with self._state:
            snapshot.abort()
            self._snapshots -= 1
            if self._closed and self._snapshots == 0:
                self._release()

    def _release(self) -> None:
        self._env.close()
        os.close(self._lock_fd)

    def _commit(self, group: Sequence[Sequence[Write]], size_bytes: int) -> None:
        try:
            with self._writing, self._env.begin(write=True) as txn:
                _apply(txn, group)
        except lmdb.MapFullError as error:
            raise StoreFull("the store reached the size of its map", hint=_FULL_HINT) from error
        except lmdb.Error as error:
            raise _commit_failed(self._path, size_bytes, error) from error
        self._age_readers(size_bytes)

    def _age_readers(self, size_bytes: int) -> None:
        """Expire snapshots that have been held for too long while others write.

        They end themselves when they are used next: nobody else can tell whether one is in use.
        """
        with self._state:
            self._written += size_bytes
            self._commits += 1
            for snapshot in self._held:
                if self._written - snapshot.since_bytes > self._age_bytes:
                    snapshot.is_expired = True
            if self._commits % _CHECK_COMMITS == 0:
                self._env.reader_check()


_first = itemgetter(0)


def _apply(txn: lmdb.Transaction, group: Sequence[Sequence[Write]]) -> None:
    """Write what is left in the end of each key, in key order: a page is then touched once."""
    last: dict[bytes, bytes | None] = {}
    for batch in group:
        last.update(batch)
    puts = cast("list[tuple[bytes, bytes]]", [pair for pair in last.items() if pair[1] is not None])
    if len(puts) < len(last):
        for key in sorted(key for key, value in last.items() if value is None):
            txn.delete(key)
    puts.sort(key=_first)
    with txn.cursor() as cursor:
        cursor.putmulti(puts)


class LmdbSnapshot:
    """`mfdb.store.port.Snapshot` over one LMDB read transaction; use it as a context."""

    __slots__ = (
        "__weakref__",
        "_cursor",
        "_done",
        "_store",
        "_txn",
        "is_expired",
        "since_bytes",
    )

    def __init__(self, txn: lmdb.Transaction, store: LmdbStore, since_bytes: int) -> None:
        """`since_bytes` is what the store had written when the snapshot was taken."""
        self._txn = txn
        self._store = store
        self._cursor: lmdb.Cursor | None = None
        self._done = False
        self.since_bytes = since_bytes
        self.is_expired = False
        """Whether it was held for too long; whoever uses it next is told so."""

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
        self._leave()

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key, or None."""
        if not 0 < len(key) <= KEY_BYTES:
            return None
        if self.is_expired:
            raise self._expired()
        try:
            return cast("bytes | None", self._txn.get(key))
        except lmdb.Error as error:
            raise self._failed(error) from error

    def scan(
        self, start: bytes, stop: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield the pairs with start <= key < stop in key order (or backwards)."""
        end = prefix_end(start) if stop is None else stop
        if self.is_expired:
            raise self._expired()
        try:
            cursor = self._txn.cursor()
            found = _backwards(cursor, start, end) if reverse else _forwards(cursor, start, end)
            for pair in found:
                yield pair
                if self.is_expired:
                    raise self._expired()
        except lmdb.Error as error:
            raise self._failed(error) from error

    def last(self, start: bytes, stop: bytes) -> tuple[bytes, bytes] | None:
        """Return the last pair with start <= key < stop, or None."""
        if self.is_expired:
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
        return pair if pair[0] >= start else None

    def follow(self, start: bytes, stop: bytes | None, prefix: bytes) -> Iterator[bytes | None]:
        """Yield what stands under prefix + value for each pair of a range, as an index needs it."""
        end = prefix_end(start) if stop is None else stop
        try:
            get = self._txn.get
            for _, value in _forwards(self._txn.cursor(), start, end):
                if self.is_expired:
                    raise self._expired()
                yield cast("bytes | None", get(prefix + value))
        except lmdb.Error as error:
            raise self._failed(error) from error

    def abort(self) -> None:
        """End the read transaction (called by the store, under its lock)."""
        self._txn.abort()

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
        return _disk_failed(error)


def _forwards(
    cursor: lmdb.Cursor, start: bytes, end: bytes | None
) -> Iterator[tuple[bytes, bytes]]:
    if not (cursor.set_range(start) if start else cursor.first()):
        return
    for key, value in cast("_Pairs", cursor.iternext()):
        if end is not None and key >= end:
            return
        yield key, value


def _backwards(
    cursor: lmdb.Cursor, start: bytes, end: bytes | None
) -> Iterator[tuple[bytes, bytes]]:
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


# ---- opening


def _take_directory(path: Path) -> int:
    """Make the directory private to this user and process; return the descriptor of its LOCK."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.chmod(0o700)
        lock = os.open(path / "LOCK", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise OperationalError(
            f"the directory {path} cannot be used: {error.strerror}", hint="check path and rights"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.pread(lock, 20, 0).decode("ascii", "replace").strip()
        os.close(lock)
        raise StoreLocked(
            f"another process works on {path}" + (f" (process {owner})" if owner else ""),
            hint="stop it, or name another directory",
        ) from error
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


def _check_format(path: Path) -> None:
    file = path / "FORMAT"
    if not file.exists():
        if (path / "data.mdb").exists():
            raise WrongVersion(f"{path} holds data without a FORMAT file", hint="is it a store?")
        _write_format(path, file)
    with file.open("rb") as stream:
        found = _FORMAT_LINE.fullmatch(stream.read(64))
    version = int(found[1]) if found else None
    if version != FORMAT_VERSION:
        raise WrongVersion(
            f"{path} has store format {'unknown' if version is None else version}, "
            f"this release reads {FORMAT_VERSION}",
            hint="use the release that wrote it, or another directory",
        )


def _write_format(path: Path, file: Path) -> None:
    draft = path / "FORMAT.new"
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(descriptor, f"mfdb-store {FORMAT_VERSION}\n".encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        draft.rename(file)
    except OSError as error:
        raise StoreFull(f"{path} takes no new file: {error.strerror}", hint=_FULL_HINT) from error
    _sync_directory(path)


def _sync_file(file: Path) -> None:
    with file.open("rb") as stream:
        os.fsync(stream.fileno())


def _sync_directory(path: Path) -> None:
    """Make the names in a directory survive the loss of power; LMDB syncs contents only."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _open_environment(path: Path, map_bytes: int) -> lmdb.Environment:
    try:
        env = lmdb.open(
            str(path),
            map_size=map_bytes,
            max_readers=_READERS,
            max_spare_txns=16,
            mode=0o600,
            create=True,
        )
    except lmdb.VersionMismatchError as error:
        raise WrongVersion(f"{path} was written by another LMDB: {error}") from error
    except (lmdb.InvalidError, lmdb.CorruptedError) as error:
        raise CorruptRecord(f"{path}/data.mdb is damaged: {error}") from error
    except lmdb.Error as error:
        if "already open" in str(error):
            raise StoreLocked(f"this process has {path} open already") from error
        raise _commit_failed(path, 0, error) from error
    env.reader_check()
    _sync_directory(path)
    return env


# ---- what LMDB's errors mean


def _commit_failed(path: Path, size_bytes: int, error: Exception) -> MfdbError:
    """Tell a full disk, which LMDB reports as any other failed write, from a broken one."""
    text = str(error)
    full = (
        any(word in text for word in ("No space left", "File too large", "SHORT_WRITE", "quota"))
        or _room_bytes(path) < 4 * size_bytes + _SLACK_BYTES
    )
    if full:
        return StoreFull(f"the disk under {path} is full", hint=_FULL_HINT)
    return _disk_failed(error)


def _room_bytes(path: Path) -> int:
    """Return by how much the store's file may still grow: free space and the process's limit."""
    disk = os.statvfs(path)
    room = disk.f_bavail * disk.f_frsize
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    data = path / "data.mdb"
    if limit == resource.RLIM_INFINITY or not data.exists():
        return room
    return min(room, limit - data.stat().st_size)


def _disk_failed(error: Exception) -> OperationalError:
    return OperationalError(f"the disk failed: {error}", hint="see the system's log")
