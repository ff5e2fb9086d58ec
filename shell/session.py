"""One open database and how its results are shown; the same for the prompt and for scripts."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from typing import TYPE_CHECKING

from mfdb.kernel.errors import MfdbError
from shell import report
from shell.feed import Feed, change_json, change_line
from shell.output import written
from shell.pager import page, pager_command
from shell.script import first_word
from shell.settings import FOR_PEOPLE
from shell.values import safe

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from typing import TextIO

    from mfdb.kernel.clock import Clock
    from shell.database import Connection
    from shell.settings import Display


class Session:
    """Runs statements and shows what they give.

    With `interactive`, subscriptions run in the background and long results go to the pager;
    without, a subscription is streamed as JSON lines until it ends or the process is stopped.
    """

    def __init__(
        self,
        connection: Connection,
        display: Display,
        *,
        clock: Clock,
        interactive: bool = False,
        json_errors: bool = False,
    ) -> None:
        self.connection = connection
        self.display = display
        self.interactive = interactive
        self.leaving = False
        self.feed = Feed()
        self._clock = clock
        self._json_errors = json_errors
        self._redirected: TextIO | None = None
        self._subscriptions: set[asyncio.Task[None]] = set()

    async def run(self, text: str) -> None:
        """Run one statement and show its result.

        Raises:
            MfdbError: it failed; nothing was shown.
        """
        if first_word(text) == "SUBSCRIBE":
            await self._subscribe(text)
            return
        started_s = self._clock.monotonic_s()
        result = await self.connection.execute(text)
        taken_s = self._clock.monotonic_s() - started_s
        display = self.display
        await self.show(written(result, display.chosen, colour=display.colour))
        if display.timing and display.chosen in FOR_PEOPLE:
            self.write(f"Time: {taken_s * 1000:.3f} ms\n")
        self.show_notices()

    async def show(self, pieces: Iterable[str]) -> None:
        """Write pieces of text where results go, through the pager if a person would want it."""
        if not self.interactive or self._redirected is not None or not sys.stdout.isatty():
            for piece in pieces:
                self.write(piece)
            return
        height = shutil.get_terminal_size().lines - 1
        self.feed.pause()
        try:
            await asyncio.to_thread(
                page,
                pieces,
                height=height,
                command=pager_command(os.environ),
                write=sys.stdout.write,
            )
        finally:
            for line in self.feed.resume(self._clock.monotonic_s()):
                sys.stdout.write(line + "\n")

    def write(self, text: str) -> None:
        """Write text where results go."""
        (self._redirected or sys.stdout).write(text)

    def show_error(self, error: MfdbError, statement: str = "", *, place: str = "") -> None:
        """Report an error on standard error."""
        if self._json_errors:
            sys.stderr.write(report.error_json(error, statement, place=place))
        else:
            colour = self.display.colour
            sys.stderr.write(report.error_text(error, statement, place=place, colour=colour))

    def show_notices(self) -> None:
        """Report what the connection has to tell, once."""
        for notice in self.connection.notices:
            sys.stderr.write(f"NOTICE: {safe(notice)}\n")
        self.connection.notices.clear()

    def redirect(self, path: Path | None) -> None:
        """Send results to a file from now on, or (None) back to standard output.

        Raises:
            OSError: the file cannot be written.
        """
        opened = path.open("w", encoding="utf-8") if path is not None else None
        if self._redirected is not None:
            self._redirected.close()
        self._redirected = opened

    async def settle(self) -> None:
        """Wait until every subscription has ended by itself."""
        await asyncio.gather(*self._subscriptions)

    async def close(self) -> None:
        """Stop the subscriptions, give the files back and close the connection."""
        for task in self._subscriptions:
            task.cancel()
        await asyncio.gather(*self._subscriptions, return_exceptions=True)
        self.redirect(None)
        await self.connection.close()

    async def _subscribe(self, text: str) -> None:
        if not self.interactive:
            await self._stream(text)
            return
        task = asyncio.create_task(self._announce(text), name=f"subscription: {text[:40]}")
        self._subscriptions.add(task)
        task.add_done_callback(self._subscriptions.discard)
        self.write("SUBSCRIBE\n")

    async def _stream(self, text: str) -> None:
        async for change in self.connection.subscribe(text):
            self.write(change_json(change) + "\n")
            (self._redirected or sys.stdout).flush()

    async def _announce(self, text: str) -> None:
        """Print changes above the prompt until the subscription ends or the session closes."""
        try:
            async for change in self.connection.subscribe(text):
                for line in self.feed.offer(change_line(change), self._clock.monotonic_s()):
                    sys.stdout.write(line + "\n")
        except MfdbError as error:
            self.show_error(error, text)
