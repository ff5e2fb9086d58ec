"""One open database and how its results are shown; the same for the prompt and for scripts."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sys
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING

import msgspec

from mfdb.kernel.errors import MfdbError, ProgrammingError
from shell import report
from shell.feed import Feed
from shell.news import News
from shell.options import Options
from shell.output import written
from shell.script import first_word
from shell.settings import FOR_PEOPLE, Target
from shell.sink import Sink
from shell.values import safe
from shell.variables import expanded

if TYPE_CHECKING:
    import os
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from mfdb.kernel.clock import Clock
    from shell.database import Connection, Opener, Result
    from shell.settings import Display


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What a session is told once about where it runs. `asks`: a person is there to be asked."""

    options: Options = Options()
    target: Target = Target(data=Path())
    aliases: Mapping[str, str] = {}
    opener: Opener | None = None
    passphrase: Callable[[], str] = str
    interactive: bool = False
    json_errors: bool = False
    asks: bool = False


class Session:
    """Runs statements and shows what they give.

    At a prompt subscriptions run in the background and long results go to the pager; elsewhere a
    subscription is streamed as JSON lines until it ends or the process is stopped.
    """

    def __init__(
        self,
        connection: Connection,
        display: Display,
        *,
        clock: Clock,
        around: Surroundings | None = None,
    ) -> None:
        self.around = around or Surroundings()
        self.connection = connection
        self.display = display
        self.target = self.around.target
        self.leaving = False
        self.feed = Feed(lines_per_s=self.around.options.notifications)
        self.variables: dict[str, str] = {}
        self.scripts: list[Path] = []
        """The scripts that run now, the outermost first."""
        self.past: list[str] = []
        """The statements of the history, the oldest first."""
        self.buffer = ""
        """The last statement, for commands that are about it."""
        self.prefill = ""
        """What stands at the next prompt already."""
        self.taken_s: float | None = None
        """How long the last statement took."""
        self.confirm: Callable[[str], Awaitable[bool]] | None = None
        """Asks the person whether to go on; the prompt sets it."""
        self.who = connection.identity
        """What the identity is called here."""
        self._clock = clock
        self.sink = Sink()
        self._failure = ""
        self.screen_columns: Callable[[], int] = self._terminal_columns
        """How wide the screen is that results go to; 0 if they go elsewhere."""
        self.is_paging = False
        """Whether a pager owns the screen and the keys."""
        self.is_streamed = False
        self.rows_in: Callable[[], Awaitable[AbstractContextManager[IO[bytes]]]] = standard_input
        """Gives the rows of COPY FROM STDIN as a file of bytes; scripts and the prompt set it."""
        self.news = News(self)

    @property
    def options(self) -> Options:
        """The options in force when the session began."""
        return self.around.options

    @property
    def aliases(self) -> Mapping[str, str]:
        """The databases that have a name."""
        return self.around.aliases

    @property
    def interactive(self) -> bool:
        """Whether there is a prompt."""
        return self.around.interactive

    @property
    def batch_state(self) -> str:
        """`open` or `failed`; empty without a batch."""
        if not self.connection.in_batch:
            return ""
        return "failed" if self.connection.batch_failed else "open"

    # ---- statements

    async def run(self, text: str) -> None:
        """Run one statement and show its result.

        Raises:
            MfdbError: it failed; nothing was shown.
        """
        self.buffer = text
        text = expanded(text, self.variables)
        if not await self._may_run(text):
            return
        if first_word(text) == "SUBSCRIBE":
            await self.news.subscribe(text)
            return
        self.is_streamed = False
        before = self.connection.identity
        result = await self.ask(text)
        if self.connection.identity != before:
            await self._became()
        if self.is_streamed:
            return  # its rows are what was to be shown
        await self.show_result(result, _named(text))
        display = self.display
        if display.timing and display.chosen in FOR_PEOPLE and self.taken_s is not None:
            self.write(f"Time: {self.taken_s * 1000:.3f} ms\n")
        self.show_notices()
        if first_word(text) == "LISTEN":
            self.news.listen()
        await self.news.tell()

    async def ask(self, text: str) -> Result:
        """Return the result of one statement, with its duration and outcome kept for later.

        Raises:
            MfdbError: it failed.
        """
        started_s = self._clock.monotonic_s()
        try:
            if first_word(text) == "COPY":
                from shell.copy_run import copied

                result = await copied(self, text)
            else:
                with self.progress(None):
                    result = await self.connection.execute(text)
        except MfdbError as error:
            self._remember(error, text)
            raise
        self.taken_s = self._clock.monotonic_s() - started_s
        self.variables |= {"ERROR": "false", "SQLSTATE": "00000", "ROW_COUNT": str(_count(result))}
        return result

    def statement(self, query: str) -> str:
        """Return the statement that a command is about: the one before it, else the last one.

        Raises:
            ProgrammingError: there is none.
        """
        found = query or self.buffer
        if not found:
            raise ProgrammingError("there is no statement yet", hint="type one before the command")
        self.buffer = found
        return found

    def interrupt(self) -> None:
        """Stop the statement that this machine computes now, if any."""
        self.connection.interrupt()

    async def _may_run(self, text: str) -> bool:
        if not (self.around.asks and self.options.warn) or self.confirm is None:
            return True
        from shell.danger import question_about

        question = question_about(text)
        if question is None or await self.confirm(question):
            return True
        self.say("Not run.\n")
        return False

    def progress(
        self, fraction: Callable[[], float | None] | None
    ) -> AbstractContextManager[object]:
        """Return a context that shows how far long work is, where somebody sees it."""
        if not self.options.progress or self.display.quiet or not sys.stderr.isatty():
            return contextlib.nullcontext()
        from shell.progress import Progress

        return Progress(
            self._clock.monotonic_s,
            fraction=fraction or (lambda: None),
            doing=lambda: self.connection.doing,
            is_shown=lambda: not self.feed.paused,
        )

    def _remember(self, error: MfdbError, text: str) -> None:
        self._failure = report.error_whole(error, text)
        self.variables |= {
            "ERROR": "true",
            "SQLSTATE": error.sqlstate,
            "ROW_COUNT": "0",
            "LAST_ERROR_MESSAGE": error.message,
            "LAST_ERROR_SQLSTATE": error.sqlstate,
        }

    # ---- what is written

    async def show(self, pieces: Iterable[str]) -> None:
        """Write pieces of text where results go, through the pager if a person would want it."""
        is_paged = self.interactive and self.sink.is_screen and sys.stdout.isatty()
        if not is_paged or self.options.paging == "never":
            for piece in pieces:
                self.write(piece)
            return
        from shell.pager import page, pager_command

        is_always = self.options.paging == "always"
        self.feed.pause()
        stopped = threading.Event()
        writing = asyncio.ensure_future(
            asyncio.to_thread(
                page,
                itertools.takewhile(lambda _piece: not stopped.is_set(), pieces),
                height=1 if is_always else _terminal_size().lines - 1,
                command=pager_command(self.options.pager),
                write=sys.stdout.write,
                owns=self._note_pager,
            )
        )
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            stopped.set()
            await writing
            raise
        finally:
            for line in self.feed.resume(self._clock.monotonic_s()):
                sys.stdout.write(line + "\n")

    def _note_pager(self, owns: bool) -> None:  # noqa: FBT001 - what is told
        self.is_paging = owns

    async def show_result(self, result: Result, dataset: str = "") -> None:
        """Write a result in the format in force; `dataset` is where INSERTs of it would go."""
        look = self.display.look(self.screen_columns(), dataset)
        await self.show(written(result, self.display.chosen, look))

    def write(self, text: str) -> None:
        """Write text where results go."""
        self.sink.write(text)

    def say(self, text: str) -> None:
        """Write text to standard output, wherever results go."""
        sys.stdout.write(text)

    def inform(self, text: str) -> None:
        """Write what a person may like to know, unless nothing is to be said."""
        if not self.display.quiet:
            self.say(text)

    def flush(self) -> None:
        """Hand on what is written."""
        self.sink.flush()
        sys.stdout.flush()

    def redirect(self, sink: Sink) -> None:
        """Send results to a sink from now on."""
        self.sink.close()
        self.sink = sink

    @contextlib.contextmanager
    def sent_to(self, sink: Sink) -> Iterator[None]:
        """Send results to a sink inside `with`, and close it."""
        before, self.sink = self.sink, sink
        try:
            yield
        finally:
            self.sink = before
            sink.close()

    def show_error(self, error: MfdbError, statement: str = "", *, place: str = "") -> None:
        """Report an error on standard error."""
        if not self._failure.startswith(report.head_of(error)):
            self._remember(error, statement)
        if self.around.json_errors:
            sys.stderr.write(report.error_json(error, statement, place=place))
        else:
            colour = self.display.colour
            sys.stderr.write(report.error_text(error, statement, place=place, colour=colour))

    def show_notices(self) -> None:
        """Report what the connection has to tell, once."""
        for notice in self.connection.notices:
            if not self.display.quiet:
                sys.stderr.write(f"NOTICE: {safe(notice)}\n")
        self.connection.notices.clear()

    def last_failure(self) -> str:
        """Return all that is known of the last error; empty if there was none."""
        return self._failure

    def now_s(self) -> float:
        """Return the time that goes on evenly, in seconds."""
        return self._clock.monotonic_s()

    def now_text(self) -> str:
        """Return date and time, as people write them."""
        import datetime

        moment = datetime.datetime.fromtimestamp(self._clock.now_s()).astimezone()
        return moment.strftime("%a %d %b %Y %H:%M:%S")

    def _terminal_columns(self) -> int:
        """Return the width of the screen results go to, 0 if they go elsewhere."""
        is_screen = self.sink.is_screen and sys.stdout.isatty()
        return _terminal_size().columns if is_screen else 0

    # ---- the connection

    async def reconnect(self, target: Target) -> None:
        """Open another database, then close this one.

        Raises:
            MfdbError: it cannot be opened; this one stays open.
        """
        opener = self.around.opener
        if opener is None:
            raise ProgrammingError("this session cannot open another database")
        opened = await opener(target, self.around.passphrase)
        await self.news.end()
        before, self.connection = self.connection, opened
        self.target, self.who = target, opened.identity
        await before.close()
        self.show_notices()

    async def _became(self) -> None:
        """Take note that the connection is somebody else now: USE IDENTITY."""
        from shell.prompt.names import who_is

        await self.news.end()
        identity = self.connection.identity
        self.target = msgspec.structs.replace(self.target, identity=identity)
        self.who = await who_is(self)

    async def close(self) -> None:
        """Stop the subscriptions, give the files back and close the connection."""
        await self.news.end()
        self.redirect(Sink())
        await self.connection.close()


async def standard_input() -> AbstractContextManager[IO[bytes]]:
    """Return a context with the standard input of the process, which stays open after it."""
    return contextlib.nullcontext(sys.stdin.buffer)


def _count(result: Result) -> int:
    word = result.tag.rpartition(" ")[2]
    return int(word) if word.isdecimal() else len(result.rows)


def _terminal_size() -> os.terminal_size:
    import shutil  # slow to load, and results may go elsewhere

    return shutil.get_terminal_size()


def _named(text: str) -> str:
    """Return the dataset that a query reads first, for the insert format."""
    import re

    found = re.search(
        r'\bFROM\s+((?:[\w$]+|"[^"]+")(?:\.(?:[\w$]+|"[^"]+"))?)', text, re.IGNORECASE
    )
    return found[1] if found else ""
