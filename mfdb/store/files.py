"""A store's directory: who owns it, which format it has, and how its files become durable."""

from __future__ import annotations

import fcntl
import os
import re
from typing import TYPE_CHECKING

from mfdb.kernel.errors import OperationalError, StoreFull, StoreLocked, WrongVersion

if TYPE_CHECKING:
    from pathlib import Path

FORMAT_VERSION = 2
FULL_HINT = "free some space on the disk and try again; the store itself is intact"
_BEFORE_THE_LOG = 1
"""The format in which every commit went to LMDB at once; nothing else was different."""
_FORMAT_LINE = re.compile(rb"mfdb-store (\d{1,9})\n")
_FULL_SYNC: int | None = getattr(fcntl, "F_FULLFSYNC", None)
"""macOS: the other calls leave data in the cache of the disk."""


def take_directory(path: Path) -> int:
    """Make the directory private to this user and process; return the descriptor of its LOCK.

    Raises:
        StoreLocked: another process has it.
        OperationalError: it cannot be used (rights, no disk).
    """
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
        if owner == str(os.getpid()):
            raise StoreLocked(
                f"this process has {path} open already",
                hint="share that connection, or close it first",
            ) from error
        raise StoreLocked(
            f"another process works on {path}" + (f" (process {owner})" if owner else ""),
            hint="stop it, or name another directory",
        ) from error
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


def check_format(path: Path) -> None:
    """Return quietly if the directory has the format of this release, or was brought to it.

    Raises:
        WrongVersion: another release wrote it, or it is no store.
        StoreFull: it is new, and takes no file.
    """
    file = path / "FORMAT"
    if not file.exists():
        if (path / "data.mdb").exists():
            raise WrongVersion(f"{path} holds data without a FORMAT file", hint="is it a store?")
        _write_format(path, file)
    with file.open("rb") as stream:
        found = _FORMAT_LINE.fullmatch(stream.read(64))
    version = int(found[1]) if found else None
    if version == _BEFORE_THE_LOG:
        _write_format(path, file)
    elif version != FORMAT_VERSION:
        raise WrongVersion(
            f"{path} has store format {'unknown' if version is None else version}, "
            f"this release reads {FORMAT_VERSION}",
            hint="use the release that wrote it, or another directory",
        )


def sync_file(descriptor: int) -> None:
    """Return once everything written to a file would survive the loss of power."""
    if _FULL_SYNC is not None:
        fcntl.fcntl(descriptor, _FULL_SYNC)
    else:
        os.fsync(descriptor)


def sync_each_write() -> tuple[int, bool]:
    """Return a flag for `os.open`, and whether writes need `sync_file` in spite of it."""
    flag = getattr(os, "O_DSYNC", 0)
    return flag, flag == 0 or _FULL_SYNC is not None


def sync_directory(path: Path) -> None:
    """Make the names in a directory survive the loss of power; LMDB syncs contents only."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_format(path: Path, file: Path) -> None:
    draft = path / "FORMAT.new"
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(descriptor, f"mfdb-store {FORMAT_VERSION}\n".encode())
            sync_file(descriptor)
        finally:
            os.close(descriptor)
        draft.rename(file)
    except OSError as error:
        raise StoreFull(f"{path} takes no new file: {error.strerror}", hint=FULL_HINT) from error
    sync_directory(path)
