"""Subscriptions: a snapshot, then every change, without gap or repeat at the hand-over.

The feed is the replica's durable changelog: a consumer pulls from it at its own pace, so that a
slow one holds nothing in memory. What the network brings is applied to the replica first.
"""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

from mfdb.client.cursor import Cursor, position, write_cursor
from mfdb.client.results import Change, columns_of
from mfdb.client.rows import maker
from mfdb.client.tables import OneRow, versioned
from mfdb.kernel.ids import Address, show
from mfdb.sql.execute import CompiledSelect
from mfdb.sql.tables import StoredRow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    from mfdb.client.remote import Remote
    from mfdb.dataset.catalogue import Known
    from mfdb.dataset.outcome import RowChanged
    from mfdb.dataset.replica import Replica
    from mfdb.kernel.ids import DatasetId
    from mfdb.sql.bound import BoundSelect
    from mfdb.sql.parameters import ExecutionContext, Given

_PAGE = 256
"""Changes that are read from the changelog at a time."""


class View:
    """The rows and columns that a subscription's SELECT asks for."""

    def __init__(self, query: BoundSelect, given: Given, context: ExecutionContext) -> None:
        assert query.source is not None, "the binder lets no other query subscribe"
        self._select = CompiledSelect(query)
        self._every = CompiledSelect(_unfiltered(query))
        self._opened = maker(None, columns_of(query.outputs))
        self._names = [output.name for output in query.outputs]
        self._columns = [column.name for column in query.source.table.columns]
        self._given = given
        self._context = context

    def of(self, row: StoredRow, *, is_partial: bool = False) -> dict[str, object] | None:
        """Return what the SELECT makes of a row, or None if WHERE leaves it out.

        Of a row that was destroyed WHERE cannot be asked: then it counts as seen.
        """
        select = self._every if is_partial else self._select
        found = list(select.run(OneRow(row), self._given, self._context).rows)
        if not found:
            return None
        values = found[0] if self._opened is None else self._opened(found[0])
        return dict(zip(self._names, values, strict=True))

    def side(
        self, change: RowChanged, values: Mapping[str, Any] | None, *, is_partial: bool = False
    ) -> dict[str, object] | None:
        """Return what the SELECT makes of one side of a change."""
        if values is None:
            return None
        author = Address(change.author) if change.author else None
        stored = tuple(values.get(name) for name in self._columns)
        row = StoredRow(change.row, stored, author, change.hlc)
        return self.of(row, is_partial=is_partial)


class Subscription:
    """One consumer's way through the changelog of one dataset."""

    def __init__(self, replica: Replica, known: Known, view: View, *, since: Cursor | None) -> None:
        self._replica = replica
        self._known = known
        self._dataset = known.manifest.dataset
        self._view = view
        self._after = position(since, replica.feed_id)

    @property
    def dataset(self) -> DatasetId:
        """Whose changes these are."""
        return self._dataset

    def take(self) -> Iterator[Change]:
        """Yield what there is: the snapshot first if no cursor was given, then changes."""
        if self._after is None:
            yield from self._snapshot()
        while True:
            with self._replica.reading() as reading:
                known = reading.known(self._dataset)
                page = list(islice(reading.changes(known, self._after or 0), _PAGE))
            for changed in page:
                self._after = changed.sequence
                change = self._change(changed)
                if change is not None:
                    yield change
            if len(page) < _PAGE:
                return

    def _snapshot(self) -> Iterator[Change]:
        """Yield each visible row at the place of the change that first showed it.

        Which rows there are and the number of the newest change are of one committed state. Their
        values are read page by page, so that a slow consumer pins no old state of the store; a row
        that was destroyed in between is left out, and its deletion follows as a change.
        """
        with self._replica.reading() as reading:
            known = reading.known(self._dataset)
            newest = reading.last_sequence(known)
            places = reading.places(known)
        for at in range(0, len(places), _PAGE):
            part = places[at : at + _PAGE]
            with self._replica.reading() as reading:
                rows = [reading.of_version(known, row, version) for _, row, version in part]
            for (place, *_), row in zip(part, rows, strict=True):
                new = None if row is None else self._view.of(versioned(row, row.row))
                if row is not None and new is not None:
                    yield Change(
                        op="insert",
                        old=None,
                        new=new,
                        author=_shown(row.author),
                        hlc=row.hlc,
                        cursor=self._cursor(place),
                        key=show(row.version),
                    )
        self._after = newest

    def _change(self, changed: RowChanged) -> Change | None:
        old = self._view.side(changed, changed.old, is_partial=changed.is_partial)
        new = self._view.side(changed, changed.new)
        if old is None and new is None:
            return None
        op = "insert" if old is None else "delete" if new is None else "update"
        return Change(
            op=op,
            old=old,
            new=new,
            author=_shown(changed.author),
            hlc=changed.hlc,
            cursor=self._cursor(changed.sequence),
            key=show(changed.version) + ("/gone" if op == "delete" else ""),
        )

    def _cursor(self, sequence: int) -> str:
        return write_cursor(Cursor(self._replica.feed_id, self._dataset, sequence))


class Subscriptions:
    """The subscriptions of a session that are open, so that closing it ends them."""

    def __init__(self) -> None:
        self._closers: set[Callable[[], None]] = set()
        self._closed = False

    def have_ended(self) -> bool:
        """Return whether the session was closed."""
        return self._closed

    def add(self, closer: Callable[[], None]) -> Callable[[], None]:
        """Have `closer` called when the session closes; return what takes that back."""
        self._closers.add(closer)
        return lambda: self._closers.discard(closer)

    def close(self) -> None:
        """End all subscriptions."""
        self._closed = True
        for closer in tuple(self._closers):
            closer()


async def follow(
    subscription: Subscription,
    replica: Replica,
    remote: Remote | None,
    subscriptions: Subscriptions,
) -> AsyncIterator[Change]:
    """Yield the changes of a subscription, now and as they come, until somebody stops it.

    Raises:
        AccessDenied: the right to subscribe was revoked.
        NetworkError: the network is in the way.
    """
    arrived = asyncio.Event()
    loop = asyncio.get_running_loop()
    dataset = subscription.dataset

    def wake() -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(arrived.set)

    stop_listening = replica.listen(lambda changed: wake() if changed == dataset else None)
    forget_closer = subscriptions.add(wake)
    puller = asyncio.create_task(_pull(replica, dataset, remote, arrived), name="subscription")
    try:
        while not subscriptions.have_ended():
            arrived.clear()
            for change in subscription.take():
                yield change
                if subscriptions.have_ended():
                    return
            if puller.done():
                puller.result()
            await arrived.wait()
    finally:
        stop_listening()
        forget_closer()
        puller.cancel()
        await asyncio.gather(puller, return_exceptions=True)


async def _pull(
    replica: Replica, dataset: DatasetId, remote: Remote | None, arrived: asyncio.Event
) -> None:
    """Keep the replica filled; without a network only this machine's own changes come."""
    if remote is None:
        return
    try:
        async for _ in remote.follow(dataset, replica):
            arrived.set()
    finally:
        arrived.set()


def _unfiltered(query: BoundSelect) -> BoundSelect:
    assert query.source is not None
    source = msgspec.structs.replace(query.source, where=None, access=None)
    return msgspec.structs.replace(query, source=source)


def _shown(author: bytes) -> str:
    return show(author) if author else ""
