"""Destroying operations of deleted rows: values and salt go, the hash that was signed stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.dataset.layout import slots_key
from mfdb.dataset.ledger.format import GONE, destroyed
from mfdb.dataset.ledger.journal import Journal
from mfdb.kernel.codec import encode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mfdb.dataset.working import Working
    from mfdb.kernel.ids import DatasetId


class Shredder:
    """Collects what is destroyed in one batch, so that each run of slots is rewritten once."""

    def __init__(self, working: Working, dataset: DatasetId) -> None:
        self._working = working
        self._dataset = dataset
        # A batch touches a row once, so that whatever it destroys was committed before.
        self._journal = Journal(working.under, dataset)
        self._open: dict[int, list[bytes]] = {}

    def destroy(self, sequences: Iterable[int]) -> None:
        """Destroy operations and all that they supersede.

        Raises:
            CorruptRecord: one is missing or damaged.
        """
        due: Iterable[int] = sequences
        while due := sorted(due):
            due = self._destroy(due)

    def _destroy(self, sequences: Iterable[int]) -> list[int]:
        """Destroy operations, in order; return what they supersede."""
        first, slots = 0, list[bytes]()
        parents: list[int] = []
        for sequence in sequences:
            if not first <= sequence < first + len(slots):
                first, slots = self._chunk(sequence)
            slot = slots[sequence - first]
            if slot[:1] == GONE:
                continue
            slots[sequence - first], parent = destroyed(slot)
            if parent:
                parents.append(parent)
        return parents

    def finish(self) -> None:
        """Write what is left of the slots."""
        self._working.put_all(
            (slots_key(self._dataset, first), encode(slots)) for first, slots in self._open.items()
        )
        self._open.clear()

    def _chunk(self, sequence: int) -> tuple[int, list[bytes]]:
        first, slots = self._journal.chunk_of(sequence)
        return first, self._open.setdefault(first, list(slots))
