"""Blocks are made in the background, while nobody reads or writes; no thread without work.

The storage engine says which datasets have rows enough (`Blocks.on_cold`). The thread that then
starts takes one step at a time, each some ten milliseconds, whenever nothing was asked for a
moment and no write is on its way; under a load that never pauses it still takes a step every few
seconds.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from mfdb.kernel.errors import MfdbError

if TYPE_CHECKING:
    from mfdb.dataset.blocks.keeper import Blocks
    from mfdb.kernel.ids import DatasetId

QUIET_S = 0.05
"""How long nothing may have been asked before a step is taken."""
PATIENCE = 60
"""After so many moments that were not quiet a step is taken all the same."""


class Compaction:
    """Makes the blocks of one replica; `close` ends it within one step."""

    def __init__(self, blocks: Blocks, quiet_s: float = QUIET_S) -> None:
        self._blocks = blocks
        self._quiet_s = quiet_s
        self._lock = threading.Lock()
        self._due: dict[DatasetId, None] = {}
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()
        self.failure: MfdbError | None = None
        """What ended the last work early, a full disk for example; rows are not concerned."""
        blocks.on_cold = self.ask

    def ask(self, dataset: DatasetId) -> None:
        """Have blocks made of a dataset some time soon."""
        with self._lock:
            if self._stopped.is_set():
                return
            self._due[dataset] = None
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="mfdb compaction", daemon=True
                )
                self._thread.start()

    def settle(self) -> None:
        """Return when all that was asked for is done."""
        thread = self._thread
        if thread is not None:
            thread.join()

    def close(self) -> None:
        """Stop; what is not done is asked for again when the rows are next looked at."""
        with self._lock:
            self._stopped.set()
        self._blocks.on_cold = None
        self.settle()

    def _work(self) -> None:
        while (dataset := self._next()) is not None:
            try:
                while self._is_quiet() and self._blocks.step(dataset):
                    pass
            except MfdbError as error:
                self.failure = error

    def _next(self) -> DatasetId | None:
        with self._lock:
            if self._stopped.is_set() or not self._due:
                self._thread = None
                return None
            dataset = next(iter(self._due))
            del self._due[dataset]
            return dataset

    def _is_quiet(self) -> bool:
        """Return True in a quiet moment, or after much patience; False at the end."""
        for _ in range(PATIENCE):
            before = self._blocks.beats
            if self._stopped.wait(self._quiet_s):
                return False
            if self._blocks.beats == before and not self._blocks.under_way:
                break
        return True
