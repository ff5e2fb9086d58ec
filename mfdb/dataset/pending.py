"""What a batch of statements will do to each row, before it becomes one changeset.

A changeset touches a row at most once, so an update after an insert is an insert of the newer
values, a delete after an update a delete of the version that was there, and so on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from mfdb.dataset.row_changes import FreshRows, RowChange, RowDelete, RowInsert, RowUpdate
from mfdb.dataset.schema import has_key
from mfdb.kernel.errors import DuplicateRow, StaleWrite
from mfdb.kernel.ids import RowId

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mfdb.dataset.states import States
    from mfdb.kernel.ids import VersionId
    from mfdb.rules.manifest import Manifest

Values = tuple[Any, ...]


class Before(Protocol):
    """A row as it was when its change was planned."""

    @property
    def version(self) -> VersionId:
        """The version that the change supersedes."""
        ...

    @property
    def values(self) -> Values:
        """Its values, in the order of the columns."""
        ...

    @property
    def author(self) -> bytes | None:
        """Who wrote it, if that is known."""
        ...

    @property
    def hlc(self) -> int:
        """When it was written."""
        ...


class Pending(msgspec.Struct):
    """The changes of one dataset that wait for COMMIT, by the rows' handles.

    `after` holds what each touched row will be (None: gone), in the order of first touch, `before`
    what those of them were that are there already. `seen` is the newest change that was known when
    the first of these was planned (-1: nobody knows), so that whoever writes can tell whether
    anything came since; `rules` is the number of the manifest then. A dataset is `watched` if what
    was planned holds only as long as nobody else changes anything there.
    """

    after: dict[RowId, Values | None] = msgspec.field(default_factory=dict)
    before: dict[RowId, Before] = msgspec.field(default_factory=dict)
    seen: int = -1
    rules: int = -1
    watched: bool = False
    _fresh: int = 0

    def fresh_id(self) -> RowId:
        """Return a stand-in for the handle that a new row without a key gets when written."""
        self._fresh += 1
        return RowId(b"pending" + self._fresh.to_bytes(8, "big"))

    def insert(self, row: RowId, values: Values) -> None:
        """Note a new row."""
        self.after[row] = values

    def update(self, row: RowId, before: Before, values: Values) -> None:
        """Note a row's new values."""
        if row not in self.after:
            self.before[row] = before
        self.after[row] = values

    def delete(self, row: RowId, before: Before | None) -> None:
        """Note that a row goes; `before` matters if the batch has not touched it yet."""
        if row not in self.after:
            assert before is not None, "a row that goes is stored, or in the batch"
            self.before[row] = before
        elif row not in self.before:
            del self.after[row]
            return
        self.after[row] = None

    def check_rules(self, manifest: Manifest) -> None:
        """Return quietly if the columns are still those for which the changes were planned.

        Raises:
            StaleWrite: the dataset was altered since.
        """
        if self.rules not in (-1, manifest.number):
            raise StaleWrite(f"the rules of {manifest.name} changed", hint="write again")

    @property
    def is_empty(self) -> bool:
        """Whether nothing is to be written."""
        return not self.after

    def changes(self, manifest: Manifest) -> Sequence[RowChange]:
        """Return what is to be written, as sealed datasets take it."""
        names = tuple(column.name for column in manifest.columns)
        keyed = has_key(manifest)
        if not self.before:
            rows = [values for values in self.after.values() if values is not None]
            return FreshRows(names, rows, list(self.after) if keyed else ())
        return list(self._changes(names, keyed=keyed))

    def _changes(self, names: tuple[str, ...], *, keyed: bool) -> Iterator[RowChange]:
        for row, values in self.after.items():
            before = self.before.get(row)
            if values is None:
                assert before is not None, "a new row that goes again leaves nothing"
                yield RowDelete(row=row, parent=before.version)
                continue
            named = dict(zip(names, values, strict=True))
            if before is not None:
                yield RowUpdate(row=row, parent=before.version, values=named)
            else:
                yield RowInsert(values=named, row=row if keyed else None)


def check_current(states: States, manifest: Manifest, changes: Iterable[RowChange]) -> None:
    """Return quietly if every change starts from what is shown here now.

    Raises:
        StaleWrite: a row changed since the change was planned.
        DuplicateRow: a row with that key came since.
    """
    if isinstance(changes, FreshRows) and states.knows_none(changes.ids):
        return
    for change in changes:
        if change.row is None:
            continue
        state = states.get(change.row)
        shown = state.shown if state else b""
        if isinstance(change, RowInsert):
            if shown:
                raise came_since(manifest)
        elif shown != change.parent:
            raise changed_since(manifest)


def came_since(manifest: Manifest) -> DuplicateRow:
    """Return the error that a row with the key of a new one is there."""
    return DuplicateRow(f"dataset {manifest.name} has a row with that key already")


def changed_since(manifest: Manifest) -> StaleWrite:
    """Return the error that a row is not what a change of it started from."""
    return StaleWrite(
        f"a row of {manifest.name} changed since it was read", hint="read again and retry"
    )
