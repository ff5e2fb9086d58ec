"""What the tree of rows (`mfdb.rules.row_tree`) says of a copy on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.dataset.layout import RowState, of_dataset
from mfdb.dataset.states import version_in
from mfdb.dataset.working import parse
from mfdb.rules.row_tree import PLACE_BYTES, row_leaf

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mfdb.dataset.acceptance import VersionMeta
    from mfdb.kernel.ids import DatasetId, VersionId
    from mfdb.rules.row_tree import RowLeaf
    from mfdb.store.port import Snapshot

_ABOVE = b"\xff" * PLACE_BYTES + b"\x00"
"""What follows a place in no row's id."""


def row_leaves(
    snapshot: Snapshot, dataset: DatasetId, first: bytes, last: bytes
) -> Iterator[RowLeaf]:
    """Yield the leaves from one place up to another, both included, in order."""
    for place, state in _states(snapshot, dataset, first, last):
        if state.versions:
            yield row_leaf(place, state.heads)


def heads_at(snapshot: Snapshot, dataset: DatasetId, place: bytes) -> list[VersionMeta]:
    """Return the heads of the row at a place."""
    return [one for _, state in _states(snapshot, dataset, place, place) for one in state.versions]


def unknown_in(
    snapshot: Snapshot, dataset: DatasetId, leaves: Iterable[RowLeaf]
) -> list[VersionId]:
    """Return the versions that leaves name and that are not known here."""
    unknown: list[VersionId] = []
    for leaf in leaves:
        states = [state for _, state in _states(snapshot, dataset, leaf.place, leaf.place)]
        unknown += [
            version
            for version in leaf.heads
            if not any(version_in(snapshot, dataset, state, version) for state in states)
        ]
    return unknown


def _states(
    snapshot: Snapshot, dataset: DatasetId, first: bytes, last: bytes
) -> Iterator[tuple[bytes, RowState]]:
    prefix = of_dataset(b"w", dataset)
    at = len(prefix)
    for key, value in snapshot.scan(prefix + first, prefix + last + _ABOVE):
        yield key[at : at + PLACE_BYTES], parse(RowState, value)
