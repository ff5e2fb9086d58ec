"""Showing new rows of one's own a changeset at a time: no look and no call for each row.

What qualifies: a changeset that only inserts rows, of this process, into a dataset without indexes.
Rows that are due to it, in the order in which they came and without clear values, have one state
and one entry of the changelog for all of them; others one each, of whose bytes only little differs
from row to row. Everything else goes the general way, row by row (`mfdb.dataset.table`), and has
the same result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.dataset.indexes import indexes_of
from mfdb.dataset.layout import FeedRun, RowRun, RowRuns, feed_key, row_key, runs_key, shown_key
from mfdb.dataset.row_changes import FreshRows
from mfdb.dataset.row_runs import PLACE_BYTES
from mfdb.dataset.schema import all_fit
from mfdb.dataset.states import States
from mfdb.dataset.table import FEED_BLOCK, key_packer, last_sequence, ordered_values
from mfdb.dataset.working import load, save
from mfdb.kernel.codec import encode
from mfdb.kernel.ids import Hash, RowId
from mfdb.rules.changeset import INDEX_BYTES, STEM_FIRST_BYTES, version_origins
from mfdb.rules.operations import OperationKind

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
_BLOCK, _ROW, _ENTRY, _FRESH_STATE = (bytes([0x90 + fields]) for fields in (1, 5, 6, 7))
"""The first bytes of records with so many fields."""
_INSERTS = frozenset({OperationKind.INSERT})
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
        self._key = key_packer(manifest)
        self._clear = [column.name for column in manifest.clear_columns]
        self._is_plain = not (
            any(column.unique for column in manifest.columns) or indexes_of(working, manifest)
        )

    def show(self, draft: Draft) -> bool:
        """Show the rows of a changeset; False: the general way has to see to it."""
        changeset, header = draft.changeset, draft.changeset.header
        if not (self._is_plain and changeset.kinds == _INSERTS and header.identity):
            return False
        fresh = self._fresh(draft)
        if header.manifest != self._manifest.hash or not all_fit(self._manifest, fresh.rows):
            return False
        place = self._next or last_sequence(self._working, self._dataset) + 1
        places = [at.to_bytes(PLACE_BYTES, "big") for at in range(place, place + len(fresh))]
        if self._key is None and changeset.is_plain and not self._clear:
            locators, is_put = places, self._put_run(changeset, changeset.rows, place)
        else:
            locators = self._locators(changeset.rows, fresh, places)
            is_put = self._put_each(changeset, fresh, locators, places)
        if is_put:
            self._next = place + len(fresh)
            self._put_rows(changeset, locators, fresh.packed)
        return is_put

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

    def _locators(
        self, rows: Sequence[bytes], fresh: FreshRows, places: list[bytes]
    ) -> list[bytes]:
        """Return where the rows are shown: at their keys, or where they were first seen."""
        if self._key is None:
            return places
        return [key + row for key, row in zip(map(self._key, fresh.rows), rows, strict=True)]

    def _put_each(
        self,
        changeset: Changeset,
        fresh: FreshRows,
        locators: Sequence[bytes],
        places: Sequence[bytes],
    ) -> bool:
        """Keep the state of each row, unless something is known of one of them already."""
        rows, header = changeset.rows, changeset.header
        if not States(self._working, self._dataset).knows_none(rows):
            return False
        head = _FRESH_STATE + encode(changeset.id)
        told = encode(header.identity) + encode(header.hlc)
        prefix = row_key(self._dataset, RowId(Hash(b"")))
        self._working.put_all(
            [
                (prefix + row, head + encode(index) + locator + place + told + clear)
                for index, (row, locator, place, clear) in enumerate(
                    zip(
                        rows,
                        map(encode, locators),
                        map(encode, places),
                        self._clears(fresh),
                        strict=True,
                    )
                )
            ]
        )
        self._put_feed(changeset, told, int.from_bytes(places[0], "big"))
        return True

    def _clears(self, fresh: FreshRows) -> list[bytes]:
        """Return the clear columns of each row by name, encoded."""
        if not self._clear:
            return [encode({})] * len(fresh)
        at = [fresh.names.index(name) for name in self._clear]
        return [
            encode(dict(zip(self._clear, [row[one] for one in at], strict=True)))
            for row in fresh.rows
        ]

    def _put_feed(self, changeset: Changeset, told: bytes, place: int) -> None:
        """Put `FeedBlock`s, of whose bytes only ids differ from entry to entry."""
        none, told = encode(b""), told + encode({})
        entries = [
            _ENTRY + _ID + row + none + _ORIGIN + origin + told
            for row, origin in zip(
                changeset.rows, version_origins(changeset.id, changeset.count), strict=True
            )
        ]
        for at in range(0, len(entries), FEED_BLOCK):
            part = entries[at : at + FEED_BLOCK]
            block = _BLOCK + _array_head(len(part)) + b"".join(part)
            self._working.put(feed_key(self._dataset, place + at + len(part) - 1), block)

    def _put_rows(
        self, changeset: Changeset, locators: Sequence[bytes], packed: Sequence[bytes]
    ) -> None:
        """Put each as `StoredRow`, of whose bytes only ids and values differ from row to row."""
        rows, prefix = changeset.rows, shown_key(self._dataset, b"")
        origins = version_origins(changeset.id, len(rows))
        middle = encode(changeset.header.identity) + encode(changeset.header.hlc)
        self._working.put_all(
            [
                (prefix + locator, _ROW + _ID + row + _ORIGIN + origin + middle + one)
                for locator, row, origin, one in zip(locators, rows, origins, packed, strict=True)
            ]
        )
        self._tail.touch_all(locators)


def _array_head(count: int) -> bytes:
    return bytes([0x90 + count]) if count < 16 else b"\xdc" + count.to_bytes(2, "big")
