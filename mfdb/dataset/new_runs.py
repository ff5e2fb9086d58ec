"""Showing new rows of one's own a changeset at a time: no state, no look and no call for each row.

What qualifies: a changeset that only inserts rows due to it, of this process, into a dataset where
rows stand in the order in which they came and no index asks about them. Everything else goes the
general way, row by row (`mfdb.dataset.table`), and has the same result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.dataset.indexes import indexes_of
from mfdb.dataset.layout import FeedRun, RowRun, RowRuns, feed_key, row_key, runs_key, shown_key
from mfdb.dataset.row_changes import FreshRows
from mfdb.dataset.row_runs import PLACE_BYTES
from mfdb.dataset.schema import all_fit, has_key
from mfdb.dataset.table import last_sequence, ordered_values
from mfdb.dataset.working import load, save
from mfdb.kernel.codec import encode
from mfdb.kernel.ids import Hash, RowId
from mfdb.rules.changeset import INDEX_BYTES, STEM_FIRST_BYTES, version_origins

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfdb.dataset.blocks.tail import Tail
    from mfdb.dataset.catalogue import Known
    from mfdb.dataset.working import Working
    from mfdb.dataset.writer import Draft
    from mfdb.rules.changeset import Changeset

_ID = b"\xc4\x20"
"""What stands before an id of 32 bytes in MessagePack."""
_ORIGIN = b"\xc4\x24"
"""What stands there before the origin of a version, 36 bytes."""
_REST_AT = STEM_FIRST_BYTES + INDEX_BYTES


class NewRuns:
    """Shows runs of new rows in one dataset, while a batch of changesets is taken in."""

    def __init__(self, working: Working, known: Known, tail: Tail) -> None:
        self._working = working
        self._tail = tail
        self._manifest = manifest = known.manifest
        self._dataset = manifest.dataset
        self._next = 0
        self._names = tuple(column.name for column in manifest.columns)
        self._in_order = ordered_values(manifest)
        self._is_plain = not (
            has_key(manifest)
            or any(column.unique for column in manifest.columns)
            or manifest.clear_columns
            or indexes_of(working, manifest)
        )

    def show(self, draft: Draft) -> bool:
        """Show the rows of a changeset; False: the general way has to see to it."""
        changeset = draft.changeset
        header = changeset.header
        if not (self._is_plain and changeset.is_plain and header.identity):
            return False
        rows = changeset.rows
        fresh = self._fresh(draft)
        if header.manifest != self._manifest.hash or not all_fit(self._manifest, fresh.rows):
            return False
        place = self._next or last_sequence(self._working, self._dataset) + 1
        if not self._put_run(changeset, rows, place):
            return False
        self._next = place + len(rows)
        self._put_rows(changeset, rows, fresh.packed, place)
        return True

    def _fresh(self, draft: Draft) -> FreshRows:
        """Return the rows of a draft that only inserts, with values in the order of the columns."""
        changes = draft.changes
        if isinstance(changes, FreshRows) and changes.names == self._names:
            return changes
        rows = [self._in_order(one) for one in draft.values if one is not None]
        return FreshRows(self._names, rows)

    def _put_run(self, changeset: Changeset, rows: Sequence[bytes], place: int) -> bool:
        """Keep the state of all rows, unless something is known of one of them already."""
        first, last = (row_key(self._dataset, RowId(Hash(row))) for row in (rows[0], rows[-1]))
        if next(self._working.under.scan(first, last + b"\x00"), None) is not None:
            return False
        key, rest = runs_key(self._dataset, rows[0]), rows[0][_REST_AT:]
        kept = load(self._working, RowRuns, key) or RowRuns(())
        if any(run.rest == rest for run in kept.runs):
            return False
        header = changeset.header
        told = (changeset.id, len(rows))
        run = RowRun(rest, *told, place, header.identity, header.hlc)
        save(self._working, key, RowRuns((*kept.runs, run)))
        stem = rows[0][:STEM_FIRST_BYTES]
        entries = FeedRun(stem, rest, *told, header.identity, header.hlc)
        save(self._working, feed_key(self._dataset, place + len(rows) - 1), entries)
        return True

    def _put_rows(
        self,
        changeset: Changeset,
        rows: Sequence[bytes],
        packed: Sequence[bytes],
        place: int,
    ) -> None:
        """Put each as `StoredRow`, of whose bytes only ids and values differ from row to row."""
        locators = [at.to_bytes(PLACE_BYTES, "big") for at in range(place, place + len(rows))]
        prefix, head = shown_key(self._dataset, b""), b"\x95" + _ID
        origins = version_origins(changeset.id, len(rows))
        middle = encode(changeset.header.identity) + encode(changeset.header.hlc)
        self._working.put_all(
            [
                (prefix + locator, head + row + _ORIGIN + origin + middle + one)
                for locator, row, origin, one in zip(locators, rows, origins, packed, strict=True)
            ]
        )
        self._tail.touch_all(locators)
