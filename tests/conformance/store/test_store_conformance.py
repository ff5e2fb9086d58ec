from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mfdb.store.lmdb_store import LmdbStore
from mfdb.testing.memory_store import MemoryDisk, MemoryStore
from mfdb.testing.suites.store_suite import StoreSuite

if TYPE_CHECKING:
    from pathlib import Path

    from mfdb.store.port import Store


class TestLmdbStore(StoreSuite):
    def open_store(self, place: Path) -> Store:
        return LmdbStore(place)


class TestLmdbStoreThatLogs(StoreSuite):
    """Commits go to the log from the first one on."""

    def open_store(self, place: Path) -> Store:
        return LmdbStore(place, log_after=0)


class TestMemoryStore(StoreSuite):
    @pytest.fixture(autouse=True)
    def _disks(self) -> None:
        self.disks: dict[Path, MemoryDisk] = {}

    def open_store(self, place: Path) -> Store:
        return MemoryStore(self.disks.setdefault(place, MemoryDisk()))
