"""The open subscriptions of a session: their names, how far they are, and what ends them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import msgspec

from mfdb.client.results import Result, table
from mfdb.kernel.errors import DuplicateObject, UnknownObject
from mfdb.kernel.nearest import nearest_hint

if TYPE_CHECKING:
    from collections.abc import Callable

    from mfdb.kernel.ids import DatasetId
    from mfdb.sql.statement import Name

_TOLD_CHARACTERS = 500


class Following(msgspec.Struct, kw_only=True):
    """One open subscription: `statement` is what opened it, `cursor` the last one that was given.

    Without a name it gets one when it is opened.
    """

    dataset: DatasetId
    dataset_name: str
    statement: str
    named: Name | None = None
    name: str = ""
    cursor: str | None = None
    delivered: int = 0
    is_over: bool = False
    wake: Callable[[], None] = lambda: None

    def row(self) -> tuple[object, ...]:
        """Return what SHOW tells of it."""
        text = self.statement[:_TOLD_CHARACTERS]
        return self.name, self.dataset_name, self.delivered, self.cursor, text

    def has_ended(self) -> bool:
        """Return whether it gives nothing more."""
        return self.is_over

    def end(self) -> None:
        """Let it give nothing more."""
        self.is_over = True
        self.wake()


class Subscriptions:
    """The subscriptions of a session, which may run on another thread than its statements."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, Following] = {}
        self._closed = False
        self._given = 0

    def open(self, one: Following) -> None:
        """Take a subscription in; it is over at once if the session was closed.

        Raises:
            DuplicateObject: its name is taken.
        """
        with self._lock:
            if one.named is None:
                one.name = self._free_name()
            elif one.named.text in self._open:
                raise DuplicateObject(
                    f"there is a subscription {one.named.text} already",
                    hint=f"UNSUBSCRIBE {one.named.text} ends it",
                    position=one.named.position,
                )
            else:
                one.name = one.named.text
            self._open[one.name] = one
            one.is_over = one.is_over or self._closed

    def forget(self, one: Following) -> None:
        """Free the name of a subscription that has ended."""
        with self._lock:
            if self._open.get(one.name) is one:
                del self._open[one.name]

    def end(self, name: Name | None) -> int:
        """End the subscription of a name, or all of them; return how many.

        Raises:
            UnknownObject: there is none of that name.
        """
        with self._lock:
            if name is not None and name.text not in self._open:
                raise self._unknown(name)
            names = [name.text] if name is not None else list(self._open)
            ended = [self._open.pop(each) for each in names]
        for one in ended:
            one.end()
        return len(ended)

    def show(self) -> Result:
        """Return the subscriptions in the order in which they were opened."""
        columns = {
            "name": "TEXT",
            "dataset": "TEXT",
            "delivered": "BIGINT",
            "cursor": "TEXT",
            "statement": "TEXT",
        }
        with self._lock:
            found = list(self._open.values())
        return table("SHOW", columns, [one.row() for one in found])

    def close(self) -> None:
        """End all subscriptions, and those that will be opened."""
        with self._lock:
            self._closed = True
        self.end(None)

    def _free_name(self) -> str:
        while True:
            self._given += 1
            name = f"s{self._given}"
            if name not in self._open:
                return name

    def _unknown(self, name: Name) -> UnknownObject:
        open_now = f"open: {', '.join(self._open)}" if self._open else "none is open"
        return UnknownObject(
            f"there is no subscription {name.text}",
            hint=nearest_hint(name.text, self._open, open_now),
            position=name.position,
        )
