"""What the tree of rows (`mfdb.rules.row_tree`) says of a copy on this machine."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from mfdb.dataset.layout import Envelope, Verdict, of_dataset
from mfdb.dataset.row_runs import scan_states
from mfdb.dataset.states import version_in
from mfdb.dataset.working import parse
from mfdb.kernel.ids import Hash, VersionId
from mfdb.rules.changeset import version_ids
from mfdb.rules.row_tree import PLACE_BYTES, grow, row_leaf

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mfdb.dataset.acceptance import VersionMeta
    from mfdb.dataset.layout import RowState
    from mfdb.kernel.ids import DatasetId
    from mfdb.rules.changeset import Changeset
    from mfdb.rules.row_tree import RowLeaf, RowTree, Span
    from mfdb.store.port import Snapshot, Store

LAST = b"\xff" * (32 - PLACE_BYTES)
"""The end of the highest row id with a place."""


class RowLeaves:
    """The leaves of one dataset: a row each, its place and its heads."""

    def __init__(self, store: Store, dataset: DatasetId) -> None:
        self._store = store
        self._dataset = dataset

    def tree(self) -> RowTree:
        """Return the tree over all rows that are here, deleted ones too; it reads all of them."""
        with self._store.snapshot() as snapshot:
            return grow(partial(_leaves, snapshot, self._dataset))

    def heads_in(self, spans: Iterable[Span]) -> list[tuple[bytes, VersionMeta]]:
        """Return the heads of the rows in some spans, each with its row's place."""
        with self._store.snapshot() as snapshot:
            return [
                (place, version)
                for first, last in spans
                for place, state in _states(snapshot, self._dataset, first, last)
                for version in state.versions
            ]

    def unknown_in(self, leaves: Iterable[RowLeaf]) -> list[VersionId]:
        """Return the versions that leaves name and that are not known here."""
        with self._store.snapshot() as snapshot:
            return [
                version for leaf in leaves for version in _unknown(snapshot, self._dataset, leaf)
            ]

    def superseded_by(self, heads: Iterable[VersionId]) -> set[VersionId]:
        """Return what versions that are known here, and do not count, were written over.

        It reads everything that is kept of the dataset: who asks has found a contradiction.
        """
        parents: dict[VersionId, VersionId] = {}
        with self._store.snapshot() as snapshot:
            for _, value in snapshot.scan(of_dataset(b"c", self._dataset)):
                envelope = parse(Envelope, value)
                if envelope.verdict is not Verdict.APPLIED:
                    parents.update(_parents(envelope.changeset))
        found: set[VersionId] = set()
        for head in heads:
            at = parents.get(head)
            while at is not None and at not in found:
                found.add(at)
                at = parents.get(at)
        return found


def _parents(changeset: Changeset) -> Iterator[tuple[VersionId, VersionId]]:
    ids = version_ids(changeset.id, changeset.count)
    for version, operation in zip(ids, changeset.operations, strict=True):
        if operation.parent:
            yield version, VersionId(Hash(operation.parent))


def _leaves(snapshot: Snapshot, dataset: DatasetId, first: bytes, last: bytes) -> Iterator[RowLeaf]:
    """Yield the leaves from one place up to another, both included, in order."""
    for place, state in _states(snapshot, dataset, first, last):
        if state.versions:
            yield row_leaf(place, state.heads)


def _unknown(snapshot: Snapshot, dataset: DatasetId, leaf: RowLeaf) -> Iterator[VersionId]:
    states = [state for _, state in _states(snapshot, dataset, leaf.place, leaf.place)]
    for version in leaf.heads:
        if not any(version_in(snapshot, dataset, state, version) for state in states):
            yield version


def _states(
    snapshot: Snapshot, dataset: DatasetId, first: bytes, last: bytes
) -> Iterator[tuple[bytes, RowState]]:
    for row, state in scan_states(snapshot, dataset, first, last + LAST):
        yield row[:PLACE_BYTES], state
