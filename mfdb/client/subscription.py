"""Subscriptions: a snapshot, then every change, without gap or repeat at the hand-over.

The feed is the replica's durable changelog: a consumer pulls from it at its own pace, so that a
slow one holds nothing in memory. What the network brings is applied to the replica first.
"""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

from mfdb.client.cursor import Cursor, write_cursor
from mfdb.client.results import Change, columns_of
from mfdb.client.rows import maker
from mfdb.client.tables import OneRow
from mfdb.client.versioned import versioned
from mfdb.kernel.ids import Address, show
from mfdb.sql.execute import CompiledSelect
from mfdb.sql.tables import StoredRow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from mfdb.client.following import Following, Subscriptions
    from mfdb.client.remote import Remote
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


class Form(msgspec.Struct, frozen=True, kw_only=True):
    """What WITH says of a subscription.

    `snapshot`: without a cursor it begins with the rows that there are, else with what changes from
    now on. `progress`: how far it is is told whenever everything was given. `key`: the names under
    which the primary key stands, for changes that say what a row is now; None: what it was and is.
    `name`: what the changes say that they belong to, if it has a name.
    """

    snapshot: bool = True
    progress: bool = False
    key: tuple[str, ...] | None = None
    name: str | None = None


class Subscription:
    """One consumer's way through the changelog of one dataset; `after` is where it stands.

    None: before the snapshot.
    """

    def __init__(
        self, replica: Replica, dataset: DatasetId, view: View, form: Form, *, after: int | None
    ) -> None:
        self._replica = replica
        self._dataset = dataset
        self._view = view
        self._form = form
        self._after = after
        self._told: int | None = None

    def take(self) -> Iterator[Change]:
        """Yield what there is: the snapshot first if no cursor was given, then changes."""
        yield from self._taken()
        if self._form.progress and self._after is not None and self._after != self._told:
            self._told = self._after
            yield Change(
                op="progress",
                old=None,
                new=None,
                author="",
                hlc=0,
                cursor=self._cursor(self._after),
                key="",
                subscription=self._form.name,
            )

    def _taken(self) -> Iterator[Change]:
        if self._after is None:
            yield from self._snapshot()
        while True:
            with self._replica.reading() as reading:
                known = reading.known(self._dataset)
                page = list(islice(reading.changes(known, self._after or 0), _PAGE))
            for changed in page:
                self._after = changed.sequence
                yield from self._changes(changed)
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
                        op="insert" if self._form.key is None else "upsert",
                        old=None,
                        new=new,
                        author=_shown(row.author),
                        hlc=row.hlc,
                        cursor=self._cursor(place),
                        key=show(row.version),
                        subscription=self._form.name,
                    )
        self._after = newest

    def _changes(self, changed: RowChanged) -> Iterator[Change]:
        old = self._view.side(changed, changed.old, is_partial=changed.is_partial)
        new = self._view.side(changed, changed.new)
        key = self._form.key
        if key is None:
            if old is not None or new is not None:
                op = "insert" if old is None else "delete" if new is None else "update"
                yield self._change(changed, op, old, new)
            return
        was = None if old is None else {name: old[name] for name in key}
        if was is not None and (new is None or any(new[name] != was[name] for name in key)):
            # A consumer that goes on from here hears of both once more.
            yield self._change(changed, "delete", was, None, back=new is not None)
        if new is not None:
            yield self._change(changed, "upsert", None, new)

    def _change(
        self,
        changed: RowChanged,
        op: str,
        old: dict[str, object] | None,
        new: dict[str, object] | None,
        *,
        back: bool = False,
    ) -> Change:
        return Change(
            op=op,
            old=old,
            new=new,
            author=_shown(changed.author),
            hlc=changed.hlc,
            cursor=self._cursor(changed.sequence - back),
            key=show(changed.version) + ("/gone" if op == "delete" else ""),
            subscription=self._form.name,
        )

    def _cursor(self, sequence: int) -> str:
        return write_cursor(Cursor(self._replica.feed_id, self._dataset, sequence))


async def follow(
    subscription: Subscription,
    replica: Replica,
    remote: Remote | None,
    subscriptions: Subscriptions,
    following: Following,
) -> AsyncIterator[Change]:
    """Yield the changes of a subscription, now and as they come, until somebody stops it.

    Raises:
        DuplicateObject: its name is taken.
        AccessDenied: the right to subscribe was revoked.
        NetworkError: the network is in the way.
    """
    arrived = asyncio.Event()
    loop = asyncio.get_running_loop()
    dataset = following.dataset

    def wake() -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(arrived.set)

    following.wake = wake
    subscriptions.open(following)
    stop_listening = replica.listen(lambda changed: wake() if changed == dataset else None)
    puller = asyncio.create_task(_pull(replica, dataset, remote, arrived), name="subscription")
    try:
        while not following.has_ended():
            arrived.clear()
            for change in subscription.take():
                following.cursor = change.cursor
                following.delivered += change.op != "progress"
                yield change
                if following.has_ended():
                    return
            if puller.done():
                puller.result()
            await arrived.wait()
    finally:
        stop_listening()
        subscriptions.forget(following)
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
