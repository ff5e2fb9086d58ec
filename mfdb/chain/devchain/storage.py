"""The chain's directory: py-evm's state and our index, one LMDB commit per block.

Everything a block changes is held back until `commit` and then written in one transaction, so
that a killed process reopens at its last acknowledged block. LMDB flushes the data of each commit
to disk; a power cut may lose the newest commit, never mix two.
"""

from __future__ import annotations

import fcntl
from typing import TYPE_CHECKING, BinaryIO

import lmdb
from eth.db.atomic import AtomicDB
from eth.db.backends.base import BaseDB

from mfdb.kernel.errors import StoreFull, StoreLocked, WrongVersion

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FORMAT = b"mfdb-devchain-1"
MAP_BYTES = 64 * 2**30

_FORMAT_KEY = b"m/format"


class Pending(BaseDB):
    """py-evm's view of the state: what is on disk below what the block at hand changed."""

    def __init__(self, environment: lmdb.Environment, table: lmdb._Database) -> None:
        self._environment = environment
        self._table = table
        self.changes: dict[bytes, bytes | None] = {}

    def __getitem__(self, key: bytes) -> bytes:
        if key in self.changes:
            value = self.changes[key]
        else:
            with self._environment.begin(db=self._table) as transaction:
                value = transaction.get(key)
        if value is None:
            raise KeyError(key)
        return value

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self.changes[key] = value

    def __delitem__(self, key: bytes) -> None:
        self.changes[key] = None

    def _exists(self, key: bytes) -> bool:
        try:
            self[key]
        except KeyError:
            return False
        return True


class ChainStorage:
    """One process's hold on a chain directory."""

    def __init__(self, directory: Path) -> None:
        """Open or create a directory.

        Raises:
            StoreLocked: another process works on it.
            WrongVersion: it was made by another format version, or is something else.
        """
        directory.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(directory)
        try:
            self._environment = lmdb.open(
                str(directory), max_dbs=2, map_size=MAP_BYTES, metasync=False, lock=False
            )
        except lmdb.Error as error:
            self._lock.close()
            raise WrongVersion(f"{directory} does not hold a development chain") from error
        self._state_table = self._environment.open_db(b"state")
        self._index_table = self._environment.open_db(b"index")
        self._index: dict[bytes, bytes | None] = {}
        self._pending = Pending(self._environment, self._state_table)
        self.state = AtomicDB(self._pending)
        """The database that py-evm reads and writes."""
        self._check_format(directory)

    def _check_format(self, directory: Path) -> None:
        found = self.get(_FORMAT_KEY)
        if found is None:
            self.put(_FORMAT_KEY, FORMAT)
            return
        if found != FORMAT:
            self.close()
            raise WrongVersion(
                f"{directory} holds a chain of format {found[:40]!r}, not {FORMAT!r}",
                hint="use another --dir, or the release of mfdb that made it",
            )

    def get(self, key: bytes) -> bytes | None:
        """Return what the index holds under a key."""
        if key in self._index:
            return self._index[key]
        with self._environment.begin(db=self._index_table) as transaction:
            found: bytes | None = transaction.get(key)
        return found

    def put(self, key: bytes, value: bytes | None) -> None:
        """Change the index at the next commit; None deletes."""
        self._index[key] = value

    def scan(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield the committed pairs of the index with start <= key < stop."""
        with self._environment.begin(db=self._index_table) as transaction:
            cursor = transaction.cursor()
            found = cursor.set_range(start)
            while found and cursor.key() < stop:
                yield cursor.key(), cursor.value()
                found = cursor.next()

    def commit(self) -> None:
        """Write all that changed since the last commit, or nothing.

        Raises:
            StoreFull: the disk is full; the changes are dropped.
        """
        try:
            with self._environment.begin(write=True) as transaction:
                _apply(transaction, self._state_table, self._pending.changes)
                _apply(transaction, self._index_table, self._index)
        except (lmdb.MapFullError, lmdb.DiskError) as error:
            raise StoreFull("the disk of the development chain is full") from error
        finally:
            self.discard()

    def discard(self) -> None:
        """Forget all that changed since the last commit."""
        self._pending.changes.clear()
        self._index.clear()

    def close(self) -> None:
        """Give the directory back."""
        self._environment.close()
        self._lock.close()


def _locked(directory: Path) -> BinaryIO:
    file = (directory / "LOCK").open("wb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise StoreLocked(
            f"another process works on {directory}",
            hint="stop the other development chain, or use another --dir",
        ) from error
    return file


def _apply(
    transaction: lmdb.Transaction[bytes], table: lmdb._Database, changes: dict[bytes, bytes | None]
) -> None:
    for key, value in changes.items():
        if value is None:
            transaction.delete(key, db=table)
        else:
            transaction.put(key, value, db=table)
