"""Putting a restored log in its place, part by part; each call is one durable batch.

A ledger comes with its bytes as they were and shows nothing until `show` makes rows of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.dataset import catalogue
from mfdb.dataset.dump.parts import EntryPart
from mfdb.dataset.layout import (
    Envelope,
    IndexInfo,
    Outgoing,
    chain_key,
    dropped_key,
    entries_key,
    envelope_key,
    of_dataset,
    outgoing_key,
    slots_key,
)
from mfdb.dataset.ledger.journal import Journal
from mfdb.dataset.ledger.shredder import Shredder
from mfdb.dataset.ledger.upgrade import show_some, superseded_in
from mfdb.dataset.working import load, parse, save
from mfdb.kernel.codec import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager

    from mfdb.dataset.catalogue import Known
    from mfdb.dataset.dump.parts import SlotsPart, UnsentPart
    from mfdb.dataset.ledger.book import Book
    from mfdb.dataset.ledger.format import LedgerHead
    from mfdb.dataset.working import Working
    from mfdb.kernel.ids import ChangesetId, DatasetId
    from mfdb.rules.changeset import Changeset

OPERATIONS = 5_000
"""Operations of which rows are made in one batch."""


class Installer:
    """Writes what a dump holds into a replica."""

    def __init__(
        self,
        writing: Callable[[], AbstractContextManager[Working]],
        make_book: Callable[[Working, Known], Book],
    ) -> None:
        self._writing = writing
        self._make_book = make_book

    def put_ledger(self, parts: Iterable[EntryPart | SlotsPart]) -> None:
        """Keep headers and slots of ledgers."""
        with self._writing() as working:
            for part in parts:
                working.put_all(_pairs(part))

    def end_ledger(self, dataset: DatasetId, head: LedgerHead, destroyed: Iterable[int]) -> None:
        """Say where a ledger stands; destroy operations, and what they supersede."""
        with self._writing() as working:
            shredder = Shredder(working, dataset)
            shredder.destroy(destroyed)
            shredder.finish()
            save(working, chain_key(dataset), head)

    def show(self, dataset: DatasetId) -> None:
        """Make the visible rows of a ledger, and the entries of the indexes that are defined."""
        with self._writing() as working:
            superseded = superseded_in(working.under, dataset)
            last = Journal(working.under, dataset).head.sequence
        for first in range(1, last + 1, OPERATIONS):
            with self._writing() as working:
                known = catalogue.known_dataset(working, dataset)
                book = self._make_book(working, known)
                show_some(working, known, book, superseded, (first, first + OPERATIONS - 1))

    def put_unsent(self, part: UnsentPart) -> None:
        """Put a changeset into the outbox."""
        with self._writing() as working:
            key = outgoing_key(part.dataset, part.entry.changeset)
            save(working, key, Outgoing(part.changeset, part.entry))

    def put_dropped(self, dataset: DatasetId, reason: bytes) -> None:
        """Remember that a dataset was dropped."""
        with self._writing() as working:
            working.put(dropped_key(dataset), reason)

    def changeset(self, dataset: DatasetId, changeset: ChangesetId) -> Changeset | None:
        """Return a changeset that is here, or None."""
        with self._writing() as working:
            kept = load(working, Envelope, envelope_key(dataset, changeset))
        return None if kept is None else kept.changeset

    def indexes(self, dataset: DatasetId) -> set[str]:
        """Return the names of the secondary indexes that are here."""
        with self._writing() as working:
            found = working.scan(of_dataset(b"i", dataset))
            return {parse(IndexInfo, value).name for _, value in found}


def _pairs(part: EntryPart | SlotsPart) -> Iterator[tuple[bytes, bytes]]:
    if isinstance(part, EntryPart):
        yield entries_key(part.dataset, part.entry.last), encode(part.entry)
        return
    first = part.first
    for slots in part.runs:
        yield slots_key(part.dataset, first), encode(slots)
        first += len(slots)
