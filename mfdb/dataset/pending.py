"""What a batch of statements will do to each row, before it becomes one changeset.

A changeset touches a row at most once, so an update after an insert is an insert of the newer
values, a delete after an update a delete of the version that was there, and so on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from mfdb.dataset.writer import RowChange, RowDelete, RowInsert, RowUpdate
from mfdb.kernel.errors import DuplicateRow, StaleWrite

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mfdb.dataset.states import States
    from mfdb.kernel.ids import RowId, VersionId
    from mfdb.rules.manifest import Manifest


class Pending(msgspec.Struct):
    """The changes of one dataset that wait for COMMIT, by row, in the order of first touch."""

    _changes: dict[bytes, RowChange] = msgspec.field(default_factory=dict)

    def insert(self, row: RowId, values: Mapping[str, Any], *, keyed: bool) -> None:
        """Note a new row; `keyed` says that its id follows from its key and goes on record."""
        before = self._changes.get(row)
        if isinstance(before, RowDelete):
            self._changes[row] = RowUpdate(row=row, parent=before.parent, values=values)
            return
        self._changes[row] = RowInsert(values=values, row=row if keyed else None)

    def update(self, row: RowId, parent: VersionId, values: Mapping[str, Any]) -> None:
        """Note a row's new values."""
        before = self._changes.get(row)
        if isinstance(before, RowInsert | RowUpdate):
            self._changes[row] = replace(before, values=values)
            return
        self._changes[row] = RowUpdate(row=row, parent=parent, values=values)

    def delete(self, row: RowId, parent: VersionId) -> None:
        """Note that a row goes."""
        before = self._changes.get(row)
        if isinstance(before, RowInsert):
            del self._changes[row]
            return
        if isinstance(before, RowUpdate):
            parent = before.parent
        self._changes[row] = RowDelete(row=row, parent=parent)

    def changes(self) -> list[RowChange]:
        """Return what is to be written."""
        return list(self._changes.values())


def check_current(states: States, manifest: Manifest, changes: Iterable[RowChange]) -> None:
    """Return quietly if every change starts from what is shown here now.

    Raises:
        StaleWrite: a row changed since the change was planned.
        DuplicateRow: a row with that key came since.
    """
    for change in changes:
        if change.row is None:
            continue
        state = states.get(change.row)
        shown = state.shown if state else b""
        if isinstance(change, RowInsert):
            if shown:
                raise DuplicateRow(f"dataset {manifest.name} has a row with that key already")
        elif shown != change.parent:
            raise StaleWrite(
                f"a row of {manifest.name} changed since it was read", hint="read again and retry"
            )
