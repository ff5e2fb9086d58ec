"""Telling readers of a dataset that it is kept here, by its owner and name."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from mfdb.kernel.errors import AccessDenied
from mfdb.node.answers import Datasets
from mfdb.node.provider import shelf
from mfdb.rules.given_up import is_given_up

if TYPE_CHECKING:
    from mfdb.kernel.ids import Address, DatasetId
    from mfdb.node.provider.context import Context
    from mfdb.node.requests import FindDatasets

MOST_FOUND = 16
"""Datasets told of at once; an owner who keeps to the rules has one of a name."""


class Finding:
    """The service that knows what is kept here by name."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._read_at = -1
        self._named: dict[tuple[Address, str], list[DatasetId]] = {}

    def on_find_datasets(self, request: FindDatasets, caller: Address) -> Datasets:
        """Return the datasets of a name that the caller has any right in; others are not told of.

        Whoever owns, serves or may read, write or follow one has a part in it.
        """
        named = self._index().get((request.owner, request.name), ())
        found = [dataset for dataset in sorted(named) if self._has_part(dataset, caller)]
        return Datasets(ids=tuple(found[:MOST_FOUND]))

    def _has_part(self, dataset: DatasetId, caller: Address) -> bool:
        try:
            self._context.demand_part(dataset, caller)
        except AccessDenied:
            return False
        return True

    def _index(self) -> dict[tuple[Address, str], list[DatasetId]]:
        """Return what is kept by owner and name, read again only after rules have changed."""
        redefined = self._context.committer.redefined
        if redefined != self._read_at:
            named = defaultdict(list)
            with self._context.store.snapshot() as view:
                for dataset in shelf.datasets(view):
                    with self._context.sparing(dataset):
                        manifest = shelf.manifest(view, dataset)
                        if not is_given_up(manifest):
                            named[manifest.owner, manifest.name].append(dataset)
            self._named, self._read_at = named, redefined
        return self._named
