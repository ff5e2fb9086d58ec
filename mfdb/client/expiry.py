"""Datasets with a retention are looked after in the background while their directory is open.

Whoever names such a dataset asks for it; the thread that then starts looks at once, and again when
its dataset says so. No thread without work.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from mfdb.kernel.errors import MfdbError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mfdb.kernel.clock import Clock
    from mfdb.kernel.ids import DatasetId

AFTER_FAILURE_S = 600.0
"""How long a dataset is left alone whose rows could not be deleted."""


class Expiry:
    """Has one directory's datasets looked at; `close` ends it within one look."""

    def __init__(self, look: Callable[[DatasetId], float | None], clock: Clock) -> None:
        """`look` deletes what is due and returns in how many seconds to look again."""
        self._look = look
        self._clock = clock
        self._changed = threading.Condition()
        self._due: dict[DatasetId, float] = {}
        self._busy = self._stopped = False
        self._thread: threading.Thread | None = None
        self.failure: MfdbError | None = None
        """Why the last look failed, if one did: a policy that keeps the owner from deleting."""

    def expires(self, dataset: DatasetId) -> None:
        """Have a dataset looked after from now on."""
        if dataset in self._due:
            return
        with self._changed:
            if self._stopped:
                return
            self._due.setdefault(dataset, self._clock.monotonic_s())
            self._changed.notify_all()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="mfdb expiry", daemon=True)
                self._thread.start()

    def settle(self) -> None:
        """Return when nothing is due."""
        with self._changed:
            self._changed.wait_for(lambda: not self._busy and self._wait_s() != 0)

    def close(self) -> None:
        """Stop; what is due then is deleted when the directory is open again."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _wait_s(self) -> float | None:
        """Return how long nothing will be due; None: as long as nobody asks."""
        if self._stopped or not self._due:
            return None
        return max(0.0, min(self._due.values()) - self._clock.monotonic_s())

    def _work(self) -> None:
        while True:
            with self._changed:
                while (wait_s := self._wait_s()) != 0 and not self._stopped:
                    self._changed.wait(wait_s)
                if self._stopped:
                    return
                dataset = min(self._due, key=self._due.__getitem__)
                self._busy = True
            self._take(dataset)

    def _take(self, dataset: DatasetId) -> None:
        again_s: float | None = AFTER_FAILURE_S
        try:
            again_s = self._look(dataset)
        except MfdbError as error:
            self.failure = error
        finally:
            with self._changed:
                self._busy = False
                if again_s is None:
                    del self._due[dataset]
                else:
                    self._due[dataset] = self._clock.monotonic_s() + again_s
                self._changed.notify_all()
