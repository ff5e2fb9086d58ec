"""Showing which rows are here: their tree, signed, with a proof of those that are asked for.

The tree of a dataset is made when somebody first asks for it (7 us a row) and then follows
the log; only its upper part is kept (`mfdb.rules.row_tree.KEPT`), what is below is read again. So
writes pay nothing for it, and neither does a start.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING

from mfdb.kernel.errors import MalformedMessage, ValueTooLarge
from mfdb.node.answers import LogItem, LogPage, Rows
from mfdb.node.provider import rows, shelf
from mfdb.node.provider.serving import PAGE_BYTES, PAGE_ITEMS
from mfdb.node.requests import SPANS
from mfdb.rules.changeset import open_changeset
from mfdb.rules.manifest import Action
from mfdb.rules.receipt import log_head
from mfdb.rules.row_tree import PLACE_BYTES, RowRoot, SignedRowRoot, grow, prove, regrow
from mfdb.rules.signing import sign

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfdb.kernel.ids import Address, DatasetId
    from mfdb.node.provider.context import Context
    from mfdb.node.provider.serving import Serving
    from mfdb.node.provider.shelf import LogTip
    from mfdb.node.requests import GetChanges, GetRows
    from mfdb.rules.row_tree import RowProof, RowTree, Scan, Span
    from mfdb.store.port import Snapshot

TREES = 64
"""Datasets whose trees are kept; of others they are made again."""
VERSIONS = 2**15
"""Row versions at most whose changesets are looked for at once."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """The tree of a dataset as its log stood."""

    tip: LogTip
    tree: RowTree


class RowTrees:
    """The service that shows rows."""

    def __init__(self, context: Context, serving: Serving) -> None:
        self._context = context
        self._serving = serving
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
        _check_spans(request.spans)
        async with self._turn:
            kept, proof = await self._context.run_blocking(lambda: self._proven(request))
        root = RowRoot(
            network=self._context.network.id,
            dataset=request.dataset,
            provider=self._context.me,
            number=kept.tip.number,
            head=kept.tip.head,
            hlc=kept.tip.newest,
            rows=kept.tree.hash,
            nonce=request.nonce,
        )
        return Rows(signed=SignedRowRoot(root, sign(root, self._context.keys.signer)), proof=proof)

    async def on_get_changes(self, request: GetChanges, caller: Address) -> LogPage:
        """Return the log entries that made the rows in some spans, a page of them.

        Raises:
            AccessDenied: the caller may not read the dataset.
            MalformedMessage: the spans are too many, or no places.
            ValueTooLarge: there are too many versions in them.
        """
        self._context.demand(Action.SELECT, request.dataset, caller)
        _check_spans(request.spans)
        async with self._turn:
            return await self._context.run_blocking(lambda: self._changes(request))

    def _changes(self, request: GetChanges) -> LogPage:
        dataset, items, size = request.dataset, list[LogItem](), 0
        with self._context.store.snapshot() as view:
            due = [n for n in _numbers(view, dataset, request.spans) if n > request.after]
            for number in due[:PAGE_ITEMS]:
                id_ = shelf.log_entry(view, dataset, number)
                items.append(item := self._serving.item(view, dataset, number, id_))
                size += len(item.data)
                if size > PAGE_BYTES:
                    break
        return LogPage(items=tuple(items), more=len(items) < len(due))

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


def _check_spans(spans: Sequence[Span]) -> None:
    if len(spans) > SPANS or any(len(place) != PLACE_BYTES for span in spans for place in span):
        raise MalformedMessage(f"at most {SPANS} spans of {PLACE_BYTES}-byte places")


def _numbers(view: Snapshot, dataset: DatasetId, spans: Sequence[Span]) -> list[int]:
    """Return where in the log the versions of the rows in some spans stand, in order."""
    each = chain.from_iterable(rows.numbers(view, dataset, *span) for span in spans)
    found = list(islice(each, VERSIONS + 1))
    if len(found) > VERSIONS:
        raise ValueTooLarge(
            f"the rows asked for have more than {VERSIONS} versions", hint="ask for fewer at a time"
        )
    return sorted(set(found))


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
