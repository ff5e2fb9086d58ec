"""What comes without being asked for: changes of subscriptions, and notifications.

At a prompt they are printed above what is typed, by tasks in the background. Elsewhere a
subscription is streamed as JSON lines, and notifications follow the statement during which they
came, as in psql.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from mfdb.kernel.errors import MfdbError, NotificationsLost
from shell.feed import change_json, change_line, notification_json, notification_line
from shell.settings import FOR_PEOPLE

if TYPE_CHECKING:
    from shell.session import Session

_MORE_AFTER_S = 1.0


class News:
    """The news of one session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._subscriptions: set[asyncio.Task[None]] = set()
        self._hearing: asyncio.Task[None] | None = None
        self._listens = False
        self._reporting: asyncio.TimerHandle | None = None

    @property
    def subscribed(self) -> int:
        """How many subscriptions there are."""
        return len(self._subscriptions)

    async def subscribe(self, text: str) -> None:
        """Follow a SUBSCRIBE statement: in the background at a prompt, else until it ends.

        Raises:
            MfdbError: it failed, where it is streamed.
        """
        session = self._session
        if not session.interactive:
            async for change in session.connection.subscribe(text):
                session.write(change_json(change) + "\n")
                session.sink.flush()
            return
        task = asyncio.create_task(self._announce(text), name=f"subscription: {text[:40]}")
        self._subscriptions.add(task)
        task.add_done_callback(self._subscriptions.discard)
        session.write("SUBSCRIBE\n")

    def listen(self) -> None:
        """Begin to hear notifications: the session listens to a channel now."""
        self._listens = True
        if self._session.interactive and (self._hearing is None or self._hearing.done()):
            self._hearing = asyncio.create_task(self._hear(), name="notifications")

    async def tell(self) -> None:
        """Write the notifications that came during a statement, where there is no prompt."""
        session = self._session
        if not self._listens or session.interactive:
            return
        is_told = session.display.chosen in FOR_PEOPLE
        async for one in session.connection.notifies(timeout_s=0):
            session.write((notification_line(one) if is_told else notification_json(one)) + "\n")

    async def settle(self) -> None:
        """Wait until every subscription has ended by itself."""
        await asyncio.gather(*self._subscriptions)

    async def end(self) -> None:
        """Stop all of it; another connection begins anew."""
        if self._reporting is not None:
            self._reporting.cancel()
        tasks = set(self._subscriptions)
        if self._hearing is not None:
            tasks.add(self._hearing)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._hearing, self._listens = None, False

    # ---- at a prompt

    async def _announce(self, statement: str) -> None:
        """Print changes above the prompt until the subscription ends or the session closes."""
        session = self._session
        try:
            async for change in session.connection.subscribe(statement):
                self._print(change_line(change, {session.connection.identity: session.who}))
        except MfdbError as error:
            session.show_error(error, statement)

    async def _hear(self) -> None:
        """Print notifications above the prompt until the session closes."""
        while True:
            try:
                async for one in self._session.connection.notifies():
                    self._print(notification_line(one))
            except NotificationsLost as error:
                self._session.show_error(error)
            else:
                return

    def _print(self, line: str) -> None:
        session = self._session
        for each in session.feed.offer(line, session.now_s()):
            sys.stdout.write(each + "\n")
        self._report_later()

    def _report_later(self) -> None:
        """Say in a second how many changes are held, once for all that come until then."""
        if self._reporting is None and self._session.feed.unreported:
            loop = asyncio.get_running_loop()
            self._reporting = loop.call_later(_MORE_AFTER_S, self._report_held)

    def _report_held(self) -> None:
        self._reporting = None
        line = self._session.feed.report()
        if line:
            sys.stdout.write(line + "\n")
