"""What the errors of LMDB and of the disk mean to whoever reads or writes a store."""

from __future__ import annotations

import os
import resource
from typing import TYPE_CHECKING

from mfdb.kernel.errors import OperationalError, StoreFull
from mfdb.store.files import FULL_HINT

if TYPE_CHECKING:
    from pathlib import Path

    from mfdb.kernel.errors import MfdbError

_SLACK_BYTES = 2**20


def commit_failed(path: Path, size_bytes: int, error: Exception) -> MfdbError:
    """Tell a full disk, which LMDB reports as any other failed write, from a broken one."""
    text = str(error)
    full = (
        any(word in text for word in ("No space left", "File too large", "SHORT_WRITE", "quota"))
        or _room_bytes(path) < 4 * size_bytes + _SLACK_BYTES
    )
    if full:
        return StoreFull(f"the disk under {path} is full", hint=FULL_HINT)
    return disk_failed(error)


def disk_failed(error: Exception) -> OperationalError:
    """Return the error that the disk does not do what it should."""
    return OperationalError(f"the disk failed: {error}", hint="see the system's log")


def _room_bytes(path: Path) -> int:
    """Return by how much the store's file may still grow: free space and the process's limit."""
    disk = os.statvfs(path)
    room = disk.f_bavail * disk.f_frsize
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    data = path / "data.mdb"
    if limit == resource.RLIM_INFINITY or not data.exists():
        return room
    return min(room, limit - data.stat().st_size)
