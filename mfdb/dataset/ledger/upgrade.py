"""Making ledgers: of what is visible in a directory of an earlier format, and rows of a ledger.

Directories of format 2 and before sealed every row also of datasets that never leave the machine.
Their owner signs what is visible anew: one changeset for each stamp, so that rows keep the time at
which they were written. What was superseded or deleted before is left behind.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from mfdb.dataset.layout import StoredRow, of_dataset
from mfdb.dataset.ledger.feed import Columns
from mfdb.dataset.ledger.format import Kind, LedgerRow, operation_in
from mfdb.dataset.ledger.journal import Journal
from mfdb.dataset.pending import Pending
from mfdb.dataset.rows import key_packer, place_handle
from mfdb.dataset.schema import has_key
from mfdb.dataset.working import parse, save

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from mfdb.dataset.catalogue import Known
    from mfdb.dataset.ledger.book import Book
    from mfdb.dataset.working import Working
    from mfdb.kernel.ids import DatasetId
    from mfdb.store.port import Snapshot

_SEALED = b"gockzrpvxwdujf"
_DERIVED = b"duj"


def is_sealed(working: Working, known: Known) -> bool:
    """Return whether a dataset is still kept as sealed changesets."""
    tables = (of_dataset(bytes([table]), known.manifest.dataset) for table in b"cw")
    return any(True for prefix in tables for _ in working.scan(prefix))


def to_ledger(working: Working, known: Known, make_book: Callable[[Working, Known], Book]) -> None:
    """Take the visible rows of a dataset of sealed changesets into a ledger that begins here."""
    dataset = known.manifest.dataset
    rows = [parse(StoredRow, value) for _, value in working.under.scan(of_dataset(b"d", dataset))]
    _clear(working, known, _SEALED)
    rows.sort(key=lambda row: row.hlc)  # rows of one stamp stay in the order of their places
    pack = key_packer(known.manifest) if has_key(known.manifest) else None
    for hlc, part in groupby(rows, lambda row: row.hlc):
        pending = Pending()
        for row in part:
            handle = pending.fresh_id() if pack is None else pack(row.values)
            pending.insert(handle, row.values)  # type: ignore[arg-type] # packed keys are handles
        make_book(working, known).take_over(pending, hlc)


def show_again(working: Working, known: Known, make_book: Callable[[Working, Known], Book]) -> None:
    """Make the visible rows and indexes of a ledger anew from its operations."""
    dataset = known.manifest.dataset
    _clear(working, known, _DERIVED)
    superseded = superseded_in(working.under, dataset)
    last = Journal(working.under, dataset).head.sequence
    show_some(working, known, make_book(working, known), superseded, (1, last))


def superseded_in(source: Snapshot, dataset: DatasetId) -> set[int]:
    """Return the operations of a ledger that another one superseded."""
    journal = Journal(source, dataset)
    found = set()
    for _, slot in journal.slots(1, journal.head.sequence):
        operation = operation_in(slot)
        if operation is not None:
            found.add(operation.parent)
    return found


def show_some(
    working: Working, known: Known, book: Book, superseded: Collection[int], part: tuple[int, int]
) -> None:
    """Make the visible rows and index entries of some operations, from one sequence to another."""
    journal, columns = Journal(working.under, known.manifest.dataset), Columns(known)
    pack = key_packer(known.manifest) if has_key(known.manifest) else None
    prefix = of_dataset(b"d", known.manifest.dataset)
    for entry in journal.entries(part[0]):
        if entry.header.first > part[1]:
            break
        first, last = max(part[0], entry.header.first), min(part[1], entry.last)
        for sequence, slot in journal.slots(first, last):
            operation = operation_in(slot)
            if operation is None or operation.kind is Kind.DELETE or sequence in superseded:
                continue
            values, place = columns.now(entry, operation), operation.place or sequence
            handle = place_handle(place) if pack is None else pack(values)
            save(working, prefix + handle, LedgerRow(sequence, place, entry.header.hlc, values))
            book.tail.touch_all((handle,))
            book.enter([handle], [values])  # type: ignore[list-item] # packed keys are handles


def _clear(working: Working, known: Known, tables: bytes) -> None:
    for table in tables:
        prefix = of_dataset(bytes([table]), known.manifest.dataset)
        working.delete_all([key for key, _ in working.under.scan(prefix)])
