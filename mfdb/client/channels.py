"""LISTEN and NOTIFY: short texts between the connections of one open directory (PostgreSQL 15).

A directory is open in one process at a time, so that a hub in memory reaches everybody there is. A
listener that does not look is bounded: beyond `WAITING` notifications the oldest are given up, and
it is told so before it gets another one.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from mfdb.kernel.errors import InvalidParameter, NotificationsLost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

PAYLOAD_BYTES = 7_999
"""The longest payload (PostgreSQL's: shorter than 8000 bytes)."""
WAITING = 10_000
"""So many notifications wait for a connection that does not look."""

Told = dict[tuple[str, str], None]
"""Channels with payloads, each pair once, in the order in which they were given."""


class Notification(msgspec.Struct, frozen=True):
    """One text on a channel; `sender` is the number of the connection that sent it."""

    channel: str
    payload: str
    sender: int


class Said(msgspec.Struct):
    """What a batch said of channels; it comes true at COMMIT, with the changes of the batch."""

    told: Told = msgspec.field(default_factory=dict)
    wishes: list[tuple[str, bool]] = msgspec.field(default_factory=list)
    """Channels, and whether they are wanted; an empty name is every channel."""

    def copy(self) -> Said:
        """Return the same, which goes on independently."""
        return Said(dict(self.told), list(self.wishes))


def checked_payload(payload: object) -> str:
    """Return a payload as text, NULL as an empty one.

    Raises:
        InvalidParameter: it is no text, or too long.
    """
    if payload is None:
        return ""
    if not isinstance(payload, str):
        raise InvalidParameter("the payload of NOTIFY is a text", hint="NOTIFY channel, 'text'")
    size = len(payload.encode("utf-8", "surrogatepass"))
    if size > PAYLOAD_BYTES:
        raise InvalidParameter(
            f"a payload of {size:,} bytes is over the limit {PAYLOAD_BYTES:,}",
            hint="INSERT what is longer, and notify of its key",
        )
    return payload


class Ear:
    """What one connection wants to hear, and what it has not looked at yet."""

    def __init__(self, channels: Channels) -> None:
        self._channels = channels
        self._waiting: deque[Notification] = deque()
        self._lost = 0
        self._wakers: set[Callable[[], None]] = set()
        self.wanted: frozenset[str] = frozenset()
        self.number = channels.enter(self)

    def say(self, said: Said) -> None:
        """Make what a batch said of channels come true: wishes first, as in PostgreSQL."""
        for name, is_wanted in said.wishes:
            names = frozenset((name,)) if name else self.wanted
            self.wanted = self.wanted | names if is_wanted else self.wanted - names
        self._channels.send(Notification(*one, self.number) for one in said.told)

    def take(self) -> Notification | None:
        """Return the oldest notification that waits, None if there is none.

        Raises:
            NotificationsLost: more came than may wait; what is left follows the next time.
        """
        with self._channels.lock:
            lost, self._lost = self._lost, 0
            if lost:
                raise NotificationsLost(
                    f"{lost:,} notifications came while nobody looked, and were given up",
                    hint="read what they are about once more; look oftener",
                )
            return self._waiting.popleft() if self._waiting else None

    def on_news(self, waker: Callable[[], None]) -> Callable[[], None]:
        """Have `waker` called, from any thread, when there is news; return what ends that."""
        with self._channels.lock:
            self._wakers.add(waker)
        return lambda: self._wakers.discard(waker)

    def put(self, notification: Notification) -> None:
        """Let a notification wait here, with the lock held."""
        if len(self._waiting) == WAITING:
            self._waiting.popleft()
            self._lost += 1
        self._waiting.append(notification)

    def wake(self) -> None:
        """Let whoever waits look."""
        with self._channels.lock:
            wakers = tuple(self._wakers)
        for waker in wakers:
            waker()

    def close(self) -> None:
        """Hear nothing more."""
        self._channels.leave(self)
        self.wake()


class Channels:
    """All connections of an open directory; they may be of different threads."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._ears: dict[int, Ear] = {}
        self._entered = 0

    def enter(self, ear: Ear) -> int:
        """Take a connection in and return its number."""
        with self.lock:
            self._entered += 1
            self._ears[self._entered] = ear
            return self._entered

    def leave(self, ear: Ear) -> None:
        """Let a connection go."""
        with self.lock:
            self._ears.pop(ear.number, None)

    def send(self, notifications: Iterable[Notification]) -> None:
        """Hand notifications to all who want them, the sender too, in one order for everybody."""
        reached: dict[int, Ear] = {}
        with self.lock:
            for one in notifications:
                for number, ear in self._ears.items():
                    if one.channel in ear.wanted:
                        ear.put(one)
                        reached[number] = ear
        for ear in reached.values():
            ear.wake()
