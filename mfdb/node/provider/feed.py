"""Waking those who follow a dataset's log; the log itself is the queue, so nobody can fill it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mfdb.kernel.ids import DatasetId


class Feed:
    """One event per dataset that somebody follows."""

    def __init__(self) -> None:
        self._events: dict[DatasetId, asyncio.Event] = {}

    def wake(self, dataset: DatasetId) -> None:
        """Tell everybody who waits for a dataset that its log has grown."""
        event = self._events.pop(dataset, None)
        if event is not None:
            event.set()

    def growth(self, dataset: DatasetId) -> asyncio.Event:
        """Return the event of the next growth; take it *before* reading the log."""
        return self._events.setdefault(dataset, asyncio.Event())
