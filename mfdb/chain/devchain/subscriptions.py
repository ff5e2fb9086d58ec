"""Who listens on a WebSocket, and to what: new heads, or the logs that pass a filter."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from mfdb.chain.devchain.faults import InvalidParams, LimitExceeded
from mfdb.chain.devchain.filters import LogFilter, read_filter
from mfdb.chain.devchain.quantities import quantity
from mfdb.chain.devchain.views import block_view, log_view

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mfdb.chain.devchain.engine import Change

MAX_SUBSCRIPTIONS = 100
QUEUE = 1_000


class Listener:
    """One connection: its subscriptions and what it has not been sent yet.

    A listener that does not keep up is `overrun` and must be cut: it would miss events silently.
    """

    def __init__(self) -> None:
        self.outbox: asyncio.Queue[Any] = asyncio.Queue(QUEUE)
        self.overrun = asyncio.Event()
        self._wanted: dict[str, LogFilter | None] = {}
        self._next = 1

    def subscribe(self, params: list[Any]) -> str:
        """Return the id of a new subscription.

        Raises:
            InvalidParams: there is no such kind, or its filter is malformed.
            LimitExceeded: the connection has too many.
        """
        kind = params[0] if params else None
        if len(self._wanted) >= MAX_SUBSCRIPTIONS:
            raise LimitExceeded(f"at most {MAX_SUBSCRIPTIONS} subscriptions per connection")
        if kind == "newHeads":
            wanted = None
        elif kind == "logs":
            asked = params[1] if len(params) > 1 else {}
            if not isinstance(asked, dict):
                raise InvalidParams("expected a filter object")
            wanted = read_filter(asked)
        else:
            raise InvalidParams("one can subscribe to newHeads and logs")
        name = quantity(self._next)
        self._next += 1
        self._wanted[name] = wanted
        return name

    def unsubscribe(self, params: list[Any]) -> bool:
        """End a subscription; False if there is none of that id."""
        name = params[0] if params else None
        if not isinstance(name, str) or name not in self._wanted:
            return False
        del self._wanted[name]
        return True

    def heard(self, change: Change) -> None:
        """Queue what a change of the chain means to this connection."""
        for name, wanted in self._wanted.items():
            for result in _results(change, wanted):
                self.send(
                    {
                        "jsonrpc": "2.0",
                        "method": "eth_subscription",
                        "params": {"subscription": name, "result": result},
                    }
                )

    def send(self, message: Any) -> None:
        """Queue a message, or give the connection up if its queue is full."""
        try:
            self.outbox.put_nowait(message)
        except asyncio.QueueFull:
            self.overrun.set()


def _results(change: Change, wanted: LogFilter | None) -> Iterator[Any]:
    if wanted is None:
        if not change.removed:
            yield block_view(change.block, full=False)
        return
    for index, entry in enumerate(change.block.logs):
        if wanted.passes(entry):
            yield log_view(change.block, index, removed=change.removed)
