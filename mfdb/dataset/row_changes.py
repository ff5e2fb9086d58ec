"""What a write says of rows: one by one, or new ones by column names and tuples.

A thousand new rows come as tuples, are encoded once each, and are sealed and shown from those
bytes: `FreshRows` is a sequence of `RowInsert` for whoever asks for them one by one, and makes none
for whoever does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

import msgspec

from mfdb.kernel.codec import encode
from mfdb.kernel.limits import CHANGESET_BYTES, OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mfdb.kernel.ids import RowId, VersionId

_OVERHEAD_BYTES = 1024
_OPERATION_BYTES = 256
"""Room for what an operation holds besides its values: ids, commitments, the cipher's tag."""


class RowInsert(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A new row; `row` is given in owner-ordered datasets only (the keyed hash of the key)."""

    values: Mapping[str, Any]
    row: RowId | None = None


class RowUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """A row's new values, all of them, and the version that they supersede."""

    row: RowId
    parent: VersionId
    values: Mapping[str, Any]


class RowDelete(msgspec.Struct, frozen=True, kw_only=True):
    """A row that goes, and the version that is superseded."""

    row: RowId
    parent: VersionId


RowChange = RowInsert | RowUpdate | RowDelete


class FreshRows(Sequence[RowInsert]):
    """New rows of one dataset: the columns' names, and each row's values in that order.

    `ids` names the rows in owner-ordered datasets, and is empty elsewhere.
    """

    __slots__ = ("_packed", "ids", "names", "rows")

    def __init__(
        self,
        names: tuple[str, ...],
        rows: Sequence[tuple[Any, ...]],
        ids: Sequence[RowId] = (),
        packed: list[bytes] | None = None,
    ) -> None:
        self.names = names
        self.rows = rows
        self.ids = ids
        self._packed = packed

    @property
    def packed(self) -> list[bytes]:
        """The values of each row, encoded."""
        if self._packed is None:
            self._packed = list(map(encode, self.rows))
        return self._packed

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, at: int) -> RowInsert: ...
    @overload
    def __getitem__(self, at: slice) -> FreshRows: ...
    def __getitem__(self, at: int | slice) -> RowInsert | FreshRows:
        if isinstance(at, slice):
            return FreshRows(self.names, self.rows[at], self.ids[at], self.packed[at])
        values = dict(zip(self.names, self.rows[at], strict=True))
        return RowInsert(values=values, row=self.ids[at] if self.ids else None)


def together(parts: Sequence[Sequence[RowChange]]) -> Sequence[RowChange]:
    """Return the changes of several writes as those of one."""
    if len(parts) == 1:
        return parts[0]
    fresh = [part for part in parts if isinstance(part, FreshRows) and not part.ids]
    if len(fresh) == len(parts) and all(part.names == fresh[0].names for part in fresh):
        return FreshRows(fresh[0].names, [row for part in fresh for row in part.rows])
    return [change for part in parts for change in part]


def named_rows(changes: Sequence[RowChange]) -> list[RowId]:
    """Return the ids that changes name (new rows in free datasets have no name yet)."""
    if isinstance(changes, FreshRows):
        return list(changes.ids)
    return [change.row for change in changes if change.row is not None]


def split(changes: Sequence[RowChange]) -> Iterator[Sequence[RowChange]]:
    """Yield the changes in runs that each fit into one changeset."""
    if 0 < len(changes) <= OPERATIONS and cost_of_all(changes) + _OVERHEAD_BYTES <= CHANGESET_BYTES:
        yield changes
        return
    start, size = 0, _OVERHEAD_BYTES
    for at, cost in enumerate(_costs(changes)):
        if at > start and (at - start == OPERATIONS or size + cost > CHANGESET_BYTES):
            yield changes[start:at]
            start, size = at, _OVERHEAD_BYTES
        size += cost
    if start < len(changes):
        yield changes[start:]


def cost_of_all(changes: Sequence[RowChange]) -> int:
    """Return how many bytes of a changeset some changes take at most."""
    if isinstance(changes, FreshRows):
        return sum(map(len, changes.packed)) + _OPERATION_BYTES * len(changes)
    values = [tuple(c.values.values()) for c in changes if not isinstance(c, RowDelete)]
    return len(encode(values)) + _OPERATION_BYTES * len(changes)


def _costs(changes: Sequence[RowChange]) -> list[int]:
    """Return how many bytes of a changeset each change takes at most."""
    if isinstance(changes, FreshRows):
        return [len(one) + _OPERATION_BYTES for one in changes.packed]
    values = [() if isinstance(c, RowDelete) else tuple(c.values.values()) for c in changes]
    return [len(encode(one)) + _OPERATION_BYTES for one in values]
