"""The store on disk: an LMDB environment and a log before it, one writer, many readers.

The directory holds `LOCK` (flock'ed by the owner, its process id inside), `FORMAT` (the version of
this layout), LMDB's two files and `log` (`mfdb.store.commit_log`). Writers that wait for each other
share a commit. A small commit goes to the log with one sync and stays in memory; a large one, and
one for which the log has no room, goes to LMDB together with all that the log holds, with two.
LMDB always syncs, and never writes into a map, because a full disk would kill the process with
SIGBUS (measured, data-path.md section 4).

    state = what LMDB transaction n left + the commits in memory whose base is n

`n` names both, so that a snapshot is whole whichever of the two moves while it is taken. LMDB keeps
the name of the log that belongs to it under `OWN_KEY`.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import ExitStack
from io import FileIO
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, cast

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
from mfdb.store.commit_log import LARGEST_BYTES, CommitLog
from mfdb.store.commit_queue import CommitQueue
from mfdb.store.disk_errors import commit_failed, disk_failed
from mfdb.store.files import FULL_HINT, check_format, sync_directory, sync_file, take_directory
from mfdb.store.lmdb_snapshot import LmdbSnapshot
from mfdb.store.ordered import prefix_end
from mfdb.store.port import FIRST_KEY, OWN_KEY
from mfdb.store.recent import Recent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfdb.store.port import Write

MAP_BYTES = 2**40
"""Address space reserved for the file, not disk: 1 TiB, so that the map never has to grow."""

SNAPSHOT_AGE_BYTES = 2**30
"""How much others may write while a snapshot is held: it keeps every page from being used again."""
LOG_AFTER = 8
"""Small commits of one process that go to LMDB, before a log is worth its file."""
_LEFT_BYTES = 2**16
"""What may stay in the log when a store is closed: to read it costs less than two syncs."""
_CHECK_COMMITS = 1_000
"""After how many commits the table of readers is cleared of processes that died."""
_READERS = 1024
_READERS_BYTES = (_READERS + 2) * 64
"""LMDB's table of them, which it maps: a cache line each, and two for itself."""


class LmdbStore:
    """`mfdb.store.port.Store` over a directory that this process owns.

    Safe to use from several threads. After `close` an open snapshot stays readable; the directory
    is given back once the last one is left.

    Raises:
        StoreLocked: another process, or another store of this one, works on the directory.
        WrongVersion: the directory was written by another release, or is not a store.
        CorruptRecord: a file is damaged.
        OperationalError: the directory cannot be used (rights, no disk).
    """

    def __init__(
        self,
        path: Path | str,
        *,
        map_bytes: int = MAP_BYTES,
        snapshot_age_bytes: int = SNAPSHOT_AGE_BYTES,
        log_after: int = LOG_AFTER,
    ) -> None:
        self._path = Path(path)
        self._age_bytes = snapshot_age_bytes
        self._log_after = log_after
        self._map_bytes = map_bytes
        self.written = 0
        """Bytes of keys and values that were written so far."""
        self.commits = 0
        """How many commits there were; writers that wait for each other share one."""
        self._writing = threading.Lock()
        self._queue = CommitQueue(self._commit)
        # A collected snapshot may call `left` from inside any allocation here: hence re-entrant.
        self._state = threading.RLock()
        self._snapshots = 0
        self._closed = False
        self._failure = ""
        """Why nothing more is written before the store is opened anew, if so."""
        self._is_settled = True
        with ExitStack() as opened:
            self._lock_file = opened.enter_context(FileIO(take_directory(self._path)))
            check_format(self._path)
            self._env = opened.enter_context(_open_environment(self._path, map_bytes))
            self._open_log(opened)
            opened.pop_all()

    def _open_log(self, opened: ExitStack) -> None:
        try:
            self._log = CommitLog(self._path / "log")
            opened.callback(self._log.close)
            self._recent = _replayed(self._log, self._env)
            if self._log.is_there and self._log.is_nameless:
                self._bring_up()
                self._log.remove()
        except (lmdb.Error, OSError) as error:
            raise disk_failed(error) from error

    def snapshot(self) -> LmdbSnapshot:
        """Return a context that holds one committed state; never blocks a writer."""
        with self._state:
            if self._closed:
                raise InterfaceError("the store is closed")
            recent = self._recent  # before the transaction, which may be newer than it then
            try:
                txn = self._env.begin()
            except lmdb.ReadersFullError as error:
                raise OperationalError(
                    f"more than {_READERS} snapshots are open", hint="leave snapshots when done"
                ) from error
            except lmdb.Error as error:
                raise disk_failed(error) from error
            self._snapshots += 1
            is_on_top = recent.number > 0 and txn.id() == recent.base
            return LmdbSnapshot(txn, recent if is_on_top else None, self, self._age_bytes)

    def first(self, prefix: bytes) -> bytes | None:
        """Return the value of the first key that begins with a prefix, as committed now."""
        with self._state:
            if self._closed:
                raise InterfaceError("the store is closed")
            recent = self._recent
            if recent.number and recent.touches(prefix, prefix_end(prefix)):
                with self.snapshot() as snapshot:
                    return next((value for _, value in snapshot.scan(prefix)), None)
            try:
                with self._env.begin() as txn, txn.cursor() as cursor:
                    if not cursor.set_range(max(prefix, FIRST_KEY)):
                        return None
                    key, value = cursor.item()
            except lmdb.Error as error:
                raise disk_failed(error) from error
        return value if key.startswith(prefix) else None

    def write(self, batch: Sequence[Write]) -> None:
        """Apply all writes of a batch in order, durably, or none."""
        self._queue.write(batch, check_batch(batch))

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
            self._bring_up()
            before = data.stat().st_size
            _remove(draft)
            draft.mkdir(mode=0o700)
            try:
                self._env.copy(str(draft), compact=True)
                with (draft / "data.mdb").open("rb") as file:
                    sync_file(file.fileno())
                self._log.remove()  # a copy numbers its transactions anew
            except (lmdb.Error, OSError) as error:
                _remove(draft)
                raise commit_failed(self._path, before, error) from error
            self._replace(draft)
            return before, data.stat().st_size

    def _replace(self, draft: Path) -> None:
        """Let the file of a draft take the place of LMDB's; go on with it, or with the old one."""
        self._env.close()
        try:
            (draft / "data.mdb").replace(self._path / "data.mdb")
            sync_directory(self._path)
        except OSError as error:
            raise disk_failed(error) from error
        finally:
            _remove(draft)
            self._reopen()

    def _reopen(self) -> None:
        self._failure = "the store could not be opened again after it was compacted"
        self._env = _open_environment(self._path, self._map_bytes)
        self._begin_anew(_last_transaction(self._env))
        self._failure = ""

    def close(self) -> None:
        """Wait for writes under way and give the directory back; calling it again is harmless."""
        self._queue.close()
        with self._state:
            self._closed = True
            if self._lock_file.closed:
                return
            try:
                if self._recent.size_bytes > _LEFT_BYTES and self._is_settled:
                    self._leave_log_short()
            finally:  # whoever is interrupted (Ctrl-C) keeps the directory from nobody
                if self._snapshots == 0:
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
        self._log.close()
        self._lock_file.close()

    # ---- commits: one thread at a time

    def _commit(self, group: Sequence[Sequence[Write]], size_bytes: int) -> None:
        with self._writing:
            if self._failure:
                raise OperationalError(self._failure, hint="close the store and open it again")
            if not self._is_settled:
                self._recover()
            self._is_settled = False
            try:
                if size_bytes > LARGEST_BYTES or not self._to_log(group, size_bytes):
                    self._to_lmdb(group, size_bytes)
            except MfdbError:  # LMDB may tell a failure although the disk has its root
                self._is_settled = _last_transaction(self._env) == self._recent.base
                raise
            self.written += size_bytes
            self.commits += 1
            self._is_settled = True
        if self.commits % _CHECK_COMMITS == 0:
            with self._state:
                self._env.reader_check()

    def _to_log(self, group: Sequence[Sequence[Write]], size_bytes: int) -> bool:
        """Commit to the log, or return False: it has no room, or the disk refused."""
        log = self._log
        try:
            if not log.is_there:
                if self.commits < self._log_after:
                    return False
                log.start(self._tie)
                self._begin_anew(_last_transaction(self._env))
            if not log.append(group):
                return False
        except (lmdb.Error, OSError):  # LMDB tries next, and says what is wrong
            log.spoil()
            return False
        recent = self._recent
        recent.put(group, size_bytes)
        log.advance()
        recent.publish()
        return True

    def _tie(self, log_name: bytes) -> None:
        """Let LMDB name its log, which goes on behind this transaction."""
        with self._env.begin(write=True) as txn:
            txn.put(OWN_KEY, log_name)

    def _to_lmdb(self, group: Sequence[Sequence[Write]], size_bytes: int) -> None:
        """Commit to LMDB, together with all that came since it was brought up to date."""
        recent = self._recent
        whole = [recent.writes(), *group] if recent.number else group
        try:
            with self._env.begin(write=True) as txn:
                _apply(txn, whole)
        except lmdb.MapFullError as error:
            raise StoreFull("the store reached the size of its map", hint=FULL_HINT) from error
        except lmdb.Error as error:
            raise self._refused(size_bytes + recent.size_bytes, error) from error
        if recent.number and _last_transaction(self._env) == recent.base:
            self._take_number()
        base = _last_transaction(self._env)
        if base != recent.base:
            self._begin_anew(base)

    def _take_number(self) -> None:
        """Make the log old by a transaction that leaves everything as it is.

        One without any effect gets no number: that which took back all that the log had put,
        or that of a log full of commits without a write.
        """
        try:
            with self._env.begin(write=True) as txn:
                txn.put(OWN_KEY, txn.get(OWN_KEY, b""))
        except lmdb.MapFullError as error:
            raise StoreFull("the store reached the size of its map", hint=FULL_HINT) from error
        except lmdb.Error as error:
            raise self._refused(0, error) from error

    def _refused(self, size_bytes: int, error: lmdb.Error) -> MfdbError:
        """Return why LMDB took nothing; one that could not write its root takes nothing any more.

        The log might, but nobody could read it before the store is opened anew.
        """
        try:
            self._env.begin().abort()
        except lmdb.PanicError:
            self._failure = f"the disk failed before: {error}"
        except lmdb.ReadersFullError:
            pass  # it is alive
        return commit_failed(self._path, size_bytes, error)

    def _begin_anew(self, base: int) -> None:
        """Forget the commits that LMDB has taken in."""
        self._recent = Recent(base)
        self._log.restart(base)

    def _bring_up(self) -> None:
        if not self._is_settled:
            self._recover()
            self._is_settled = True
        if self._recent.number:
            self._to_lmdb((), 0)

    def _leave_log_short(self) -> None:
        """Let the next process read little; what a full disk refuses stays in the log."""
        try:
            self._to_lmdb((), 0)
        except OperationalError:
            return  # everything acknowledged is durable where it is

    def _recover(self) -> None:
        """Read again what was committed: somebody was interrupted (Ctrl-C) inside a commit."""
        try:
            self._recent = _replayed(self._log, self._env)
        except (lmdb.Error, OSError) as error:
            raise disk_failed(error) from error


_first = itemgetter(0)


def _replayed(log: CommitLog, env: lmdb.Environment) -> Recent:
    """Return what the log says that LMDB does not have yet."""
    recent = Recent(_last_transaction(env))
    with env.begin() as txn:
        named = txn.get(OWN_KEY) or None
    for batch in log.replay(recent.base, named):
        recent.put((batch,), check_batch(batch))
        recent.publish()
    return recent


def _last_transaction(env: lmdb.Environment) -> int:
    return env.info()["last_txnid"]


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


def _remove(draft: Path) -> None:
    import shutil  # only compaction makes and removes directories

    shutil.rmtree(draft, ignore_errors=True)


def _open_environment(path: Path, map_bytes: int) -> lmdb.Environment:
    try:
        _allocate_readers(path / "lock.mdb")
    except OSError as error:
        raise disk_failed(error) from error
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
        raise commit_failed(path, 0, error) from error
    try:
        env.reader_check()
        sync_directory(path)
    except (lmdb.Error, OSError) as error:
        env.close()
        raise disk_failed(error) from error
    return env


def _allocate_readers(path: Path) -> None:
    """Give every page of the table of readers its block now.

    It is written through a map: if a page has no block and the disk is full by then, SIGBUS ends
    the process. (Seen with the 64th reader, whose place is the first of the second page.)
    """
    if sys.platform != "linux":
        return  # others have no call for it
    with FileIO(os.open(path, os.O_RDWR | os.O_CREAT, 0o600)) as file:
        os.posix_fallocate(file.fileno(), 0, _READERS_BYTES)
