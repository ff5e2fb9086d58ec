"""Changes that arrive while somebody types: a few at once above the prompt, the rest kept.

A busy subscription must not drown the prompt, so at most `LINES_PER_S` changes are printed in
one second. What is over that is held, oldest dropped first beyond `HELD_LINES`, counted in a line
of its own, and shown by the meta command for notifications.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from shell.values import json_text, record, safe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shell.database import Change, Notification

LINES_PER_S = 10
HELD_LINES = 10_000


def change_json(change: Change) -> str:
    """Return a change as one line of JSON, the form of batch mode."""
    named = {"subscription": change.subscription} if change.subscription else {}
    return json_text(
        {
            **named,
            "op": change.op,
            "old": record(change.old),
            "new": record(change.new),
            "author": change.author,
            "cursor": change.cursor,
            "key": change.key,
        }
    )


def change_line(change: Change, names: Mapping[str, str] | None = None) -> str:
    """Return a change as one line for a person: sign, author (by name if there is one), row.

    In front stands the name of the subscription, if it has one.
    """
    named = f"{change.subscription} " if change.subscription else ""
    if change.op == "progress":
        return safe(f"{named}. {change.cursor}")
    sign = {"insert": "+", "update": "~", "upsert": "~", "delete": "-"}.get(change.op, "?")
    row = change.new if change.new is not None else change.old
    author = (names or {}).get(change.author, change.author)
    return safe(f"{named}{sign} {author} {json_text(record(row))}")


def notification_json(one: Notification) -> str:
    """Return a notification as one line of JSON, the form of batch mode."""
    return json_text({"channel": one.channel, "payload": one.payload, "sender": one.sender})


def notification_line(one: Notification) -> str:
    """Return a notification as one line for a person."""
    return safe(f"NOTIFY {one.channel}: {one.payload}" if one.payload else f"NOTIFY {one.channel}")


class Feed:
    """Decides which lines are printed at once; holds the others. Pure: the time is given."""

    def __init__(self, *, lines_per_s: int = LINES_PER_S, held_lines: int = HELD_LINES) -> None:
        self._lines_per_s = lines_per_s
        self._held: deque[str] = deque(maxlen=held_lines)
        self._dropped = 0
        self._unreported = 0
        self._window_start_s = float("-inf")
        self._in_window = 0
        self.paused = False

    @property
    def held(self) -> int:
        """How many lines wait to be looked at."""
        return len(self._held)

    def pause(self) -> None:
        """Hold everything from now on: something else owns the screen (a pager)."""
        self.paused = True

    def resume(self, now_s: float) -> list[str]:
        """Return the lines to print now that the screen is ours again."""
        self.paused = False
        lines: list[str] = []
        while self._held and self._may_print(now_s):
            lines.append(self._held.popleft())
            self._unreported = min(self._unreported, len(self._held))
        more = self.report()
        return [*lines, more] if more else lines

    @property
    def unreported(self) -> int:
        """How many lines are held that nobody was told of."""
        return self._unreported

    def report(self) -> str:
        """Return the line that says how many are held; empty if that was said already."""
        if self.paused or not self._unreported:
            return ""
        self._unreported = 0
        return f"… {self.held + self._dropped:,} more, \\notifications shows them"

    def offer(self, line: str, now_s: float) -> list[str]:
        """Return the lines to print now for a new line."""
        if not self.paused and self._may_print(now_s):
            return [line]
        self._hold(line)
        return []

    def _may_print(self, now_s: float) -> bool:
        """Return whether this second has room for one more line, and take that room."""
        if now_s - self._window_start_s >= 1:
            self._window_start_s, self._in_window = now_s, 0
        if self._in_window >= self._lines_per_s:
            return False
        self._in_window += 1
        return True

    def take(self) -> list[str]:
        """Return the held lines and forget them."""
        lines = list(self._held)
        if self._dropped:
            lines.insert(0, f"({self._dropped} older ones were dropped)")
        self._held.clear()
        self._dropped = self._unreported = 0
        return lines

    def _hold(self, line: str) -> None:
        self._unreported += 1
        self._dropped += len(self._held) == self._held.maxlen
        self._held.append(line)
