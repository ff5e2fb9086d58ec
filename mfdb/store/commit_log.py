"""The log before LMDB: small commits are appended to one file, one sync each.

LMDB syncs twice for a commit, pages and then the root, and rewrites a path of pages in each tree of
keys that is touched. A small commit is appended here instead, to a file that was filled with zeros
when it was made: one write of what it says, nothing for the file system to note. What is in the
log stands in memory too (`mfdb.store.recent`) until LMDB takes it in, many commits at once.

    file   = page of 4,096 bytes: b"mfdb-log", u32 version, key (16 bytes), zeros
             records, one behind the other, then whatever stood there before
    record = mark (4 bytes), u64 base, u32 number, u32 length, checksum (16 bytes), writes
    writes = MessagePack: an array of (key, value or nil)

`base` is the number of the LMDB transaction that the records come after; once LMDB has taken them
in its number is another, and they count no longer. `number` counts them from 0. The checksum is
BLAKE2b under the file's own random key, so that no stored value passes for a record; the mark comes
from that key too, so that none makes us hash what follows it at every byte. A last record that was
cut off was never acknowledged, and counts for nothing; one that is damaged though others follow it,
or that follows a state of LMDB which is not there, is told.

LMDB's file holds the name of its log, which follows from the key: the log of another store, whose
transactions have the same numbers, is told too. Version 2 of the file had no name.
"""

from __future__ import annotations

import contextlib
import os
from hashlib import blake2b
from itertools import chain
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from mfdb.kernel.codec import decode_own, encode
from mfdb.kernel.errors import CorruptRecord, MfdbError, WrongVersion
from mfdb.store.files import sync_directory, sync_each_write, sync_file

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from mfdb.store.port import Write

LOG_BYTES = 2**20
"""The size of the file: about a thousand single rows."""
LARGEST_BYTES = 2**16
"""A commit of more goes to LMDB at once: it would write nearly as much in either place."""

_VERSION = 3
_NAMELESS = 2
_FIRST = 4096
_FILE_HEAD = Struct(">8sI16s")
_FILE_MARK = b"mfdb-log"
_HEAD = Struct(">4sQII")
_MARK_BYTES = 4
_CHECKSUM_BYTES = 16
_BODY_AT = _HEAD.size + _CHECKSUM_BYTES
_WRITES = tuple[tuple[bytes, bytes | None], ...]
_RESTORE_HINT = "restore the directory from a copy, all files of the same moment"


class _Record(NamedTuple):
    base: int
    number: int
    body: bytes
    end: int


class CommitLog:
    """The log of one store's directory; one thread at a time writes it."""

    def __init__(self, path: Path) -> None:
        """Open the log that is there, if any; `start` makes one.

        Raises:
            CorruptRecord, WrongVersion: the file is not a log of this release.
            OSError: it cannot be read.
        """
        self._path = path
        self._fd = -1
        self._syncs = False
        self._version = _VERSION
        self._key = self._mark = b""
        self._base = 0
        self._number = 0
        self._end = self._written = _FIRST
        if path.exists():
            self._open()

    @property
    def is_there(self) -> bool:
        """Whether there is a file to write to."""
        return self._fd >= 0

    @property
    def is_nameless(self) -> bool:
        """Whether the file is of the version before names; it is to be removed when it is read."""
        return self._version == _NAMELESS

    def start(self, tie: Callable[[bytes], None]) -> None:
        """Make the file, full of zeros, so that no later commit makes it grow.

        `tie` is given its name first, to keep it durably with the data that the log is to go on
        from; what it raises is raised.

        Raises:
            OSError: the disk takes no such file.
        """
        draft = self._path.with_name("log.new")
        key = os.urandom(_CHECKSUM_BYTES)  # noqa: TID251 - a real disk is never simulated
        try:
            _make(draft, _FILE_HEAD.pack(_FILE_MARK, _VERSION, key))
            tie(_name(key))
            draft.rename(self._path)
        except BaseException:
            draft.unlink(missing_ok=True)  # a full disk has no room for it
            raise
        sync_directory(self._path.parent)
        self._open()

    def replay(self, base: int, named: bytes | None) -> list[Sequence[Write]]:
        """Return the commits that came after a state of LMDB, oldest first; go on behind them.

        `named` is the name of the log that LMDB's file belongs to.

        Raises:
            CorruptRecord: some that were acknowledged are damaged, or missing, or of another store.
        """
        self.restart(base)
        if not self.is_there:
            return []
        if named != (None if self.is_nameless else _name(self._key)):
            raise CorruptRecord(
                f"{self._path} is not the log of the data.mdb beside it", hint=_RESTORE_HINT
            )
        data = os.pread(self._fd, LOG_BYTES, 0)
        found: list[Sequence[Write]] = []
        while (record := self._read(data, self._end)) is not None:
            if (record.base, record.number) != (base, len(found)):
                break
            found.append(decode_own(_WRITES, record.body))
            self._end = record.end
        self._number = len(found)
        self._check_rest(data)
        if found:  # whoever wrote the last one may have been interrupted before it was durable
            sync_file(self._fd)
        return found

    def append(self, group: Sequence[Sequence[Write]]) -> bool:
        """Write batches as one commit, durably; return False if the log has no room for it.

        The commit counts once `advance` has been called: until then the next one takes its place.

        Raises:
            OSError: the disk failed. The commit may stand in the log; `spoil` it.
        """
        body = encode(group[0] if len(group) == 1 else list(chain.from_iterable(group)))
        size = _BODY_AT + len(body)
        if self._end + size > LOG_BYTES:
            return False
        head = _HEAD.pack(self._mark, self._base, self._number, len(body))
        record = head + self._checksum(head, body) + body
        if os.pwrite(self._fd, record, self._end) != size:
            raise OSError("the log was written in part")
        if self._syncs:
            sync_file(self._fd)
        self._written = self._end + size
        return True

    def advance(self) -> None:
        """Let the commit that was appended last count."""
        self._end = self._written
        self._number += 1

    def spoil(self) -> None:
        """Make what a failed `append` left unreadable, as far as the disk lets us."""
        with contextlib.suppress(OSError):  # the caller has a worse error to tell
            os.pwrite(self._fd, bytes(_BODY_AT), self._end)

    def restart(self, base: int) -> None:
        """Begin anew after a state of LMDB, which has taken in all that is here."""
        self._base, self._number, self._end = base, 0, _FIRST

    def remove(self) -> None:
        """Remove the file, durably; nothing in it may count any more.

        Raises:
            OSError: the disk failed.
        """
        if self.is_there:
            self.close()
            self._path.unlink()
            sync_directory(self._path.parent)

    def close(self) -> None:
        """Give the descriptor back."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    # ---- inside

    def _open(self) -> None:
        flag, self._syncs = sync_each_write()
        descriptor = os.open(self._path, os.O_RDWR | flag)
        try:
            head = os.pread(descriptor, _FILE_HEAD.size, 0)
            if len(head) < _FILE_HEAD.size or not head.startswith(_FILE_MARK):
                raise CorruptRecord(f"{self._path} is damaged, or no log of a store")
            _, self._version, self._key = _FILE_HEAD.unpack(head)
            if self._version not in (_NAMELESS, _VERSION):
                raise WrongVersion(f"{self._path} has version {self._version}, not {_VERSION}")
            if os.fstat(descriptor).st_size != LOG_BYTES:
                raise CorruptRecord(f"{self._path} was cut off")
        except MfdbError:
            os.close(descriptor)
            raise
        self._fd = descriptor
        self._mark = blake2b(b"mark", digest_size=_MARK_BYTES, key=self._key).digest()

    def _checksum(self, head: bytes, body: bytes) -> bytes:
        found = blake2b(head, digest_size=_CHECKSUM_BYTES, key=self._key)
        found.update(body)
        return found.digest()

    def _read(self, data: bytes, at: int) -> _Record | None:
        """Return the record at a place, or None if there is no whole one."""
        if data[at : at + _MARK_BYTES] != self._mark or at + _BODY_AT > len(data):
            return None
        _, base, number, length = _HEAD.unpack_from(data, at)
        start = at + _BODY_AT
        body = data[start : start + length]
        head, checksum = data[at : at + _HEAD.size], data[at + _HEAD.size : start]
        if self._checksum(head, body) != checksum:
            return None
        return _Record(base, number, body, start + length)

    def _check_rest(self, data: bytes) -> None:
        """Whatever stands behind the last record is older: else something is missing."""
        at = data.find(self._mark, self._end)
        while at >= 0:
            record = self._read(data, at)
            if record is not None and (record.base, record.number) >= (self._base, self._number):
                raise CorruptRecord(
                    f"{self._path} does not go on where data.mdb ends: commits are missing",
                    hint=_RESTORE_HINT,
                )
            at = data.find(self._mark, at + 1)


def _name(key: bytes) -> bytes:
    return blake2b(b"name", digest_size=_CHECKSUM_BYTES, key=key).digest()


def _make(file: Path, head: bytes) -> None:
    """Write a new file; a disk with less room takes a part, without any error."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        if os.write(descriptor, head + bytes(LOG_BYTES - len(head))) != LOG_BYTES:
            raise OSError("the disk took a part only")
        sync_file(descriptor)
    finally:
        os.close(descriptor)
