"""Showing which rows are here: their tree, signed, with a proof of those that are asked for.

The tree of a dataset is made when somebody first asks for it (7 us a row) and then follows
the log; only its upper part is kept (`mfdb.rules.row_tree.KEPT`), what is below is read again. So
writes pay nothing for it, and neither does a start.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from mfdb.kernel.errors import MalformedMessage
from mfdb.node.answers import Rows
from mfdb.node.provider import rows, shelf
from mfdb.node.requests import SPANS
from mfdb.rules.changeset import open_changeset
from mfdb.rules.manifest import Action
from mfdb.rules.receipt import log_head
from mfdb.rules.row_tree import PLACE_BYTES, RowRoot, SignedRowRoot, grow, prove, regrow
from mfdb.rules.signing import sign

if TYPE_CHECKING:
    from mfdb.kernel.ids import Address, DatasetId
    from mfdb.node.provider.context import Context
    from mfdb.node.provider.shelf import LogTip
    from mfdb.node.requests import GetRows
    from mfdb.rules.row_tree import RowProof, RowTree, Scan
    from mfdb.store.port import Snapshot

TREES = 64
"""Datasets whose trees are kept; of others they are made again."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """The tree of a dataset as its log stood."""

    tip: LogTip
    tree: RowTree


class RowTrees:
    """The service that shows rows."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._kept: dict[DatasetId, _Kept] = {}
        self._turn = asyncio.Lock()
        """One at a time: a tree is made by one thread, however many ask for it."""

    async def on_get_rows(self, request: GetRows, caller: Address) -> Rows:
        """Sign which rows are here, and show those in the spans asked for.

        Raises:
            AccessDenied: the caller may not read the dataset.
            MalformedMessage: the spans are too many, or no places.
            ValueTooLarge: there are too many rows in them.
        """
        self._context.demand(Action.SELECT, request.dataset, caller)
        ends = [place for span in request.spans for place in span]
        if len(request.spans) > SPANS or any(len(place) != PLACE_BYTES for place in ends):
            raise MalformedMessage(f"at most {SPANS} spans of {PLACE_BYTES}-byte places")
        async with self._turn:
            kept, proof = await self._context.run_blocking(lambda: self._proven(request))
        root = RowRoot(
            network=self._context.network.id,
            dataset=request.dataset,
            provider=self._context.me,
            number=kept.tip.number,
            head=kept.tip.head,
            rows=kept.tree.hash,
            nonce=request.nonce,
        )
        return Rows(signed=SignedRowRoot(root, sign(root, self._context.keys.signer)), proof=proof)

    def _proven(self, request: GetRows) -> tuple[_Kept, RowProof]:
        dataset = request.dataset
        with self._context.store.snapshot() as view:
            scan = partial(rows.leaves, view, dataset)
            kept = _Kept(shelf.tip(view, dataset), self._tree(view, dataset, scan))
            self._keep(dataset, kept)
            return kept, prove(kept.tree, request.spans, scan)

    def _tree(self, view: Snapshot, dataset: DatasetId, scan: Scan) -> RowTree:
        kept = self._kept.get(dataset)
        changed = _changed(view, dataset, kept.tip) if kept is not None else None
        if kept is None or changed is None:
            return grow(scan)
        return regrow(kept.tree, changed, scan)

    def _keep(self, dataset: DatasetId, kept: _Kept) -> None:
        self._kept.pop(dataset, None)
        self._kept[dataset] = kept
        if len(self._kept) > TREES:
            del self._kept[next(iter(self._kept))]


def _changed(view: Snapshot, dataset: DatasetId, since: LogTip) -> list[bytes] | None:
    """Return the places of rows changed since the log stood somewhere.

    None if that is sealed, or if this is another log: the dataset went, and came again.
    """
    places: set[bytes] = set()
    tip, head = shelf.tip(view, dataset), since.head
    for number in range(since.number + 1, tip.number + 1):
        id_ = shelf.log_entry(view, dataset, number)
        head = log_head(head, number, id_)
        data = shelf.changeset_data(view, dataset, id_)
        if data is None:
            return None
        places.update(row[:PLACE_BYTES] for row in open_changeset(data).rows)
    return sorted(places) if head == tip.head else None
