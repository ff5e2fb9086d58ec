"""The states of rows while a batch is taken in: each is read once and written once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mfdb.dataset.acceptance import VersionMeta
from mfdb.dataset.layout import RowState, of_dataset, row_key, version_key
from mfdb.dataset.row_runs import load_state, scan_states
from mfdb.dataset.working import load, parse, save
from mfdb.kernel.ids import Hash, RowId

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mfdb.dataset.working import Working
    from mfdb.kernel.ids import DatasetId, VersionId
    from mfdb.store.port import Snapshot

PAST = 4
"""Superseded versions that stay with their row; older ones get a record of their own."""


class States:
    """Row states of one dataset, kept back until `flush`."""

    def __init__(self, working: Working, dataset: DatasetId) -> None:
        self._working = working
        self._dataset = dataset
        self._kept: dict[RowId, RowState | None] = {}
        self._changed: dict[RowId, None] = {}

    def get(self, row: RowId) -> RowState | None:
        """Return the state of a row, or None if it was never seen."""
        try:
            return self._kept[row]
        except KeyError:
            found = load_state(self._working, self._dataset, row)
            self._kept[row] = found
            return found

    def knows_none(self, rows: Iterable[bytes]) -> bool:
        """Return whether nothing was ever seen of these rows, as far as that is quickly told."""
        get, prefix = self._working.get, row_key(self._dataset, RowId(Hash(b"")))
        has_runs = next(self._working.scan(of_dataset(b"h", self._dataset)), None) is not None
        return not has_runs and all(get(prefix + row) is None for row in rows)

    def set(self, row: RowId, state: RowState) -> None:
        """Give a row a new state."""
        self._kept[row] = state
        self._changed[row] = None

    def all(self) -> list[tuple[RowId, RowState]]:
        """Return the states of all rows."""
        self.flush()
        return list(scan_states(self._working, self._dataset))

    def flush(self) -> None:
        """Write the states that changed."""
        for row in self._changed:
            state = self._kept[row]
            assert state is not None, "only `set` marks a state as changed"
            save(self._working, row_key(self._dataset, row), state)
        self._changed.clear()

    def version(self, row: RowId, version: VersionId) -> VersionMeta | None:
        """Return a version of a row, or None if it is not known."""
        return version_in(self._working, self._dataset, self.get(row), version)

    def install(self, meta: VersionMeta) -> None:
        """Make a version a head of its row; what it supersedes becomes past."""
        state = self.get(meta.row)
        if state is None:
            self.set(meta.row, RowState((meta,)))
            return
        stay = tuple(
            one for one in state.versions if one.version not in (meta.parent, meta.version)
        )
        gone = tuple(one for one in state.versions if one.version == meta.parent)
        past = (*state.past, *gone)
        for old in past[:-PAST]:
            save(self._working, version_key(self._dataset, old.version), old)
        self.set(
            meta.row,
            msgspec.structs.replace(state, versions=(*stay, meta), past=past[-PAST:]),
        )


def version_in(
    source: Snapshot, dataset: DatasetId, state: RowState | None, version: VersionId
) -> VersionMeta | None:
    """Return a version of a row by the row's state, or None if it is not known."""
    if state is None:
        return None
    for one in (*state.versions, *state.past):
        if one.version == version:
            return one
    return load(source, VersionMeta, version_key(dataset, version)) if state.past else None


def all_versions(source: Snapshot, dataset: DatasetId) -> Iterator[VersionMeta]:
    """Yield every version of every row."""
    for _, state in scan_states(source, dataset):
        yield from (*state.versions, *state.past)
    for _, value in source.scan(of_dataset(b"v", dataset)):
        yield parse(VersionMeta, value)
