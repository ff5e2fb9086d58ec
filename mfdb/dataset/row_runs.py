"""The states of rows that nobody changed since they were inserted: one record for all of a run.

A run is what one changeset inserted, rows that are due to it (`mfdb.rules.changeset`) and shown in
a row. Once something becomes of one of them it gets a `RowState` of its own, which counts instead.
"""

from __future__ import annotations

from heapq import merge
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from mfdb.dataset.acceptance import VersionMeta
from mfdb.dataset.layout import FreshState, RowRun, RowRuns, RowState, of_dataset, row_key, runs_key
from mfdb.dataset.working import load, parse
from mfdb.kernel.codec import encode
from mfdb.kernel.ids import Hash, RowId
from mfdb.rules.changeset import INDEX_BYTES, STEM_FIRST_BYTES, version_id
from mfdb.rules.operations import OperationKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mfdb.kernel.ids import DatasetId
    from mfdb.store.port import Snapshot

PLACE_BYTES = 8
_STATE_HEAD = encode(RowState())[:1]
_REST_AT = STEM_FIRST_BYTES + INDEX_BYTES


def load_state(source: Snapshot, dataset: DatasetId, row: RowId) -> RowState | None:
    """Return the state of a row, or None if it was never seen."""
    found = source.get(row_key(dataset, row))
    return run_state(source, dataset, row) if found is None else _own_state(row, found)


def run_state(source: Snapshot, dataset: DatasetId, row: RowId) -> RowState | None:
    """Return the state of a row that has none of its own, if it is in a run."""
    runs = load(source, RowRuns, runs_key(dataset, row))
    if runs is None:
        return None
    index = int.from_bytes(row[STEM_FIRST_BYTES:_REST_AT], "big")
    for run in runs.runs:
        if run.rest == row[_REST_AT:] and index < run.count:
            return _state(run, row, index)
    return None


def scan_states(
    source: Snapshot, dataset: DatasetId, first: bytes = b"", last: bytes = b"\xff" * 32
) -> Iterator[tuple[RowId, RowState]]:
    """Yield the states of the rows from one up to another, both included, in order."""
    prefix = of_dataset(b"w", dataset)
    at = len(prefix)
    own = (
        (row := RowId(Hash(key[at:])), _own_state(row, value))
        for key, value in source.scan(prefix + first, prefix + last + b"\x00")
    )
    before = None
    for row, state in merge(own, _run_states(source, dataset, first, last), key=itemgetter(0)):
        if row != before:  # of equal ones `own` comes first
            yield row, state
        before = row


def _run_states(
    source: Snapshot, dataset: DatasetId, first: bytes, last: bytes
) -> Iterator[tuple[RowId, RowState]]:
    prefix = of_dataset(b"h", dataset)
    low, high = first[:STEM_FIRST_BYTES], last[:STEM_FIRST_BYTES]
    for key, value in source.scan(prefix + low, prefix + high + b"\x00"):
        stem, runs = key[len(prefix) :], sorted(parse(RowRuns, value).runs, key=_rest)
        start = int.from_bytes(first[STEM_FIRST_BYTES:_REST_AT], "big") if stem == low else 0
        for index in range(start, max(run.count for run in runs)):
            middle = stem + index.to_bytes(INDEX_BYTES, "big")
            if middle > last[:_REST_AT]:
                break
            for run in runs:
                row = RowId(Hash(middle + run.rest))
                if index < run.count and first <= row <= last:
                    yield row, _state(run, row, index)


def _rest(run: RowRun) -> bytes:
    return run.rest


def _own_state(row: RowId, value: bytes) -> RowState:
    """Return the state that a row has for itself."""
    if value.startswith(_STATE_HEAD):
        return parse(RowState, value)
    fresh = parse(FreshState, value)
    return _inserted(row, fresh, fresh.index, fresh.locator, fresh.place, fresh.clear)


def _state(run: RowRun, row: RowId, index: int) -> RowState:
    place = (run.place + index).to_bytes(PLACE_BYTES, "big")
    return _inserted(row, run, index, place, place, {})


def _inserted(
    row: RowId,
    by: RowRun | FreshState,
    index: int,
    locator: bytes,
    place: bytes,
    clear: dict[str, Any],
) -> RowState:
    version = VersionMeta(
        version=version_id(by.changeset, index),
        row=row,
        changeset=by.changeset,
        index=index,
        kind=OperationKind.INSERT,
        parent=b"",
        author=by.author,
        hlc=by.hlc,
        clear=clear,
    )
    return RowState((version,), locator=locator, shown=version.version, place=place)
