"""Serving reads: log pages, keys, receipts, copies - to whom the dataset's rules allow it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.node.answers import Copies, Keys, LogItem, LogPage, Receipts, Root
from mfdb.node.provider import shelf
from mfdb.rules.manifest import Action
from mfdb.rules.receipt import LogRoot, SignedLogRoot
from mfdb.rules.signing import sign

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mfdb.kernel.ids import Address, ChangesetId, DatasetId
    from mfdb.node.provider.context import Context
    from mfdb.node.provider.feed import Feed
    from mfdb.node.provider.shelf import View
    from mfdb.node.requests import Follow, GetCopies, GetKeys, GetReceipts, GetRoot, ReadLog
    from mfdb.rules.key_log import KeyLogEntry

PAGE_BYTES = 2**20
PAGE_ITEMS = 1000


class Serving:
    """The service that answers readers and other replicas."""

    def __init__(self, context: Context, feed: Feed) -> None:
        self._context = context
        self._feed = feed

    def on_read_log(self, request: ReadLog, caller: Address) -> LogPage:
        """Return a page of the log.

        Raises:
            AccessDenied: the caller may not read the dataset.
        """
        self._context.demand(Action.SELECT, request.dataset, caller)
        return self._page(request.dataset, request.after, request.limit_bytes, request.min_hlc)

    async def on_follow(self, request: Follow, caller: Address) -> AsyncIterator[LogPage]:
        """Yield pages as the log grows; rights are asked again for every page.

        Raises:
            AccessDenied: the caller may not, or no longer, read the dataset.
        """
        after = request.after
        while True:
            self._context.demand(Action.SUBSCRIBE, request.dataset, caller)
            growth = self._feed.growth(request.dataset)
            page = self._page(request.dataset, after, PAGE_BYTES)
            if page.items:
                after = page.items[-1].number
                yield page
            if not page.more:
                await growth.wait()

    def on_get_keys(self, request: GetKeys, caller: Address) -> Keys:
        """Return key log entries of these changesets, as far as they are here and fit a page.

        The asker goes on after the last one that it got.
        """
        self._context.demand(Action.SELECT, request.dataset, caller)
        entries: list[KeyLogEntry] = []
        size = 0
        with self._context.store.snapshot() as view:
            for id_ in request.changesets:
                entry = shelf.key_entry(view, request.dataset, id_)
                if entry is None:
                    continue
                entries.append(entry)
                size += len(entry.envelope) + sum(map(len, entry.salts))
                if size > PAGE_BYTES:
                    break
        return Keys(entries=tuple(entries))

    def on_get_root(self, request: GetRoot, caller: Address) -> Root:
        """Sign where the log of a dataset stands.

        Raises:
            AccessDenied: the caller may not read it.
        """
        self._context.demand(Action.SELECT, request.dataset, caller)
        with self._context.store.snapshot() as view:
            tip = shelf.tip(view, request.dataset)
        root = LogRoot(
            network=self._context.network.id,
            dataset=request.dataset,
            provider=self._context.me,
            number=tip.number,
            head=tip.head,
            nonce=request.nonce,
        )
        return Root(signed=SignedLogRoot(root, sign(root, self._context.keys.signer)))

    def on_get_receipts(self, request: GetReceipts, caller: Address) -> Receipts:
        """Return all receipts kept for a changeset: the owner's evidence."""
        dataset, network = request.dataset, self._context.network
        self._context.demand(Action.SELECT, dataset, caller)
        with self._context.store.snapshot() as view:
            found = shelf.receipts(view, dataset, request.changeset, network)
        return Receipts(receipts=found)

    def on_get_copies(self, request: GetCopies, caller: Address) -> Copies:
        """Return unsealed changesets whole, up to a page of bytes."""
        self._context.demand(Action.SELECT, request.dataset, caller)
        items: list[LogItem] = []
        size = 0
        with self._context.store.snapshot() as view:
            for id_ in request.changesets:
                number = shelf.log_number(view, request.dataset, id_)
                if number is None or size > PAGE_BYTES:
                    continue
                items.append(item := self.item(view, request.dataset, number, id_))
                size += len(item.data)
        return Copies(items=tuple(items))

    def _page(self, dataset: DatasetId, after: int, limit_bytes: int, min_hlc: int = 0) -> LogPage:
        limit = min(limit_bytes, PAGE_BYTES)
        items: list[LogItem] = []
        size = 0
        with self._context.store.snapshot() as view:
            tip = shelf.tip(view, dataset)
            last, number = tip.number, after
            while number < last and len(items) < PAGE_ITEMS and size < limit:
                number += 1
                id_ = shelf.log_entry(view, dataset, number)
                items.append(item := self.item(view, dataset, number, id_))
                size += len(item.data)
        behind = tip.newest if tip.newest < min_hlc else None
        return LogPage(items=tuple(items), more=number < last, behind=behind)

    def item(self, view: View, dataset: DatasetId, number: int, id_: ChangesetId) -> LogItem:
        """Return an entry of the log, whole unless it is sealed."""
        data = shelf.changeset_data(view, dataset, id_)
        network = self._context.network
        return LogItem(
            number=number,
            changeset=id_,
            data=data or b"",
            entry=shelf.key_entry(view, dataset, id_) if data else None,
            receipts=shelf.receipts(view, dataset, id_, network) if data else (),
        )
