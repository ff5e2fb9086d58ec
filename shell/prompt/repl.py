r"""The prompt: reads statements and meta commands until Ctrl-D, `\q` or an end of input.

Ctrl-C clears what is typed, or cancels the statement that runs. Changes of subscriptions are
printed above the prompt while it is being typed at, without disturbing the line.
"""

from __future__ import annotations

import io
import sys
from typing import IO, TYPE_CHECKING

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app_or_none
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.completion import ThreadedCompleter
from prompt_toolkit.enums import EditingMode
from prompt_toolkit.filters import Condition
from prompt_toolkit.layout.processors import HighlightMatchingBracketProcessor
from prompt_toolkit.lexers import PygmentsLexer
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.patch_stdout import patch_stdout
from prompt_toolkit.styles import Style

from mfdb.kernel.errors import MfdbError, StatementCancelled
from mfdb.node.system import SystemClock
from shell import exit_codes
from shell.batch import END_OF_ROWS, run_entry
from shell.completion import Catalogue
from shell.completion.catalogue import counted
from shell.interrupts import Interrupted, interruptible
from shell.prompt.completer import Names
from shell.prompt.greeting import greeting
from shell.prompt.highlight import MfdbLexer
from shell.prompt.history import PrivateHistory
from shell.prompt.keys import Modes, bindings
from shell.prompt.names import catalogue_of, who_is
from shell.prompt.toolbar import State, continuation, prompt_text, toolbar_text
from shell.script import entries_of, first_word, is_meta
from shell.version import version

if TYPE_CHECKING:
    from prompt_toolkit.formatted_text import AnyFormattedText

    from shell.database import Connection
    from shell.script import Entry
    from shell.session import Session

_CHANGES_CATALOGUE = frozenset({"CREATE", "DROP", "ALTER"})
_ONLY_READS = frozenset({"SELECT", "VALUES", "SHOW", "DESCRIBE", "DESC"})
_STYLE = Style.from_dict(
    {
        "who": "bold",
        "batch": "ansiyellow bold",
        "failed": "ansired bold",
        "bottom-toolbar": "noreverse",
        "hint": "bold",
        "warning": "ansiyellow",
        "dim": "ansibrightblack",
    }
)
_PLAIN = Style.from_dict({"bottom-toolbar": "noreverse"})


class _Stopped(Exception):
    """Ctrl-C while rows are typed."""


class Repl:
    """A session at a terminal."""

    def __init__(self, session: Session) -> None:
        options = session.options
        self._session = session
        self._catalogue = Catalogue()
        self._modes = Modes(multi_line=options.multi_line, completion=options.completion)
        self._known: Connection | None = None
        self._prompt = self._made()
        self._question: PromptSession[str] = PromptSession(
            interrupt_exception=EOFError, color_depth=self._depth()
        )
        self._row: PromptSession[str] = PromptSession(
            interrupt_exception=_Stopped, color_depth=self._depth()
        )
        session.confirm = self._confirm
        session.rows_in = self._rows_typed

    @property
    def catalogue(self) -> Catalogue:
        """The names that completion knows."""
        return self._catalogue

    async def run(self) -> int:
        """Serve the person until they leave; returns the exit code."""
        session = self._session
        await self._refresh()
        session.show_notices()
        if session.options.greeting:
            where = str(session.target.data)
            count = len(self._catalogue.datasets)
            session.inform(greeting(version(), session.who, where, count))
        while not session.leaving:
            text = await self._typed()
            if text is None:
                if await self._may_leave():
                    break
                continue
            await self._run_text(text)
        return exit_codes.OK

    async def _typed(self) -> str | None:
        """Return what was typed: nothing after Ctrl-C, None after Ctrl-D."""
        session = self._session
        prefill, session.prefill = session.prefill, ""
        try:
            with patch_stdout(raw=True):
                return await self._prompt.prompt_async(
                    prompt_text(session.options.prompt, self._state()), default=prefill
                )
        except KeyboardInterrupt:
            return ""  # Ctrl-C at the prompt clears it
        except EOFError:
            return None
        finally:
            self._modes.hint = ""

    async def _may_leave(self) -> bool:
        if not self._session.batch_state:
            return True
        return await self._confirm("A batch is open, and leaving gives it up.")

    async def _run_text(self, text: str) -> None:
        if text.strip():
            self._session.past.append(text)
            self._catalogue.used.update(text.lower().split())
        for entry in entries_of(text):
            if not await self._cancellable(entry):
                break
            if not is_meta(entry.text) and first_word(entry.text) in _CHANGES_CATALOGUE:
                await self._refresh()
        if self._session.connection is not self._known:
            self._prompt = self._made()
            await self._refresh()

    async def _cancellable(self, entry: Entry) -> bool:
        """Return whether an entry ran well; Ctrl-C cancels it and gives False."""
        work = run_entry(self._session, entry)
        try:
            return await interruptible(work, self._session, SystemClock().monotonic_s)
        except Interrupted as ended:
            how = "No longer waited for" if ended.abandoned else "Cancelled"
            harmless = first_word(entry.text) in _ONLY_READS
            effect = "" if harmless else "; whether the statement took effect is not known"
            sys.stderr.write(f"{how}{effect}.\n")
            return False

    async def _confirm(self, question: str) -> bool:
        """Return whether the person says yes; Enter, Ctrl-C and Ctrl-D say no."""
        try:
            with patch_stdout(raw=True):
                answer = await self._question.prompt_async(f"{question} Go on? [y/N] ")
        except EOFError:
            return False
        return answer.strip().lower() in ("y", "yes")

    async def _rows_typed(self) -> IO[bytes]:
        """Return the rows that are typed for COPY FROM STDIN.

        Raises:
            StatementCancelled: Ctrl-C.
        """
        self._session.say("Type the rows, then a line with \\. or Ctrl-D alone.\n")
        rows = io.BytesIO()
        try:
            while (line := await self._row.prompt_async("rows> ")) != END_OF_ROWS:
                rows.write(line.encode() + b"\n")
        except _Stopped as error:
            raise StatementCancelled("no rows were copied") from error
        except EOFError:
            pass  # as a line that says so
        rows.seek(0)
        return rows

    async def _refresh(self) -> None:
        """Ask the local catalogue for names; completion does without what it refuses to tell."""
        session = self._session
        self._known = session.connection
        try:
            session.who = await who_is(session)
            used = self._catalogue.used or counted(session.past)
            self._catalogue = await catalogue_of(session, used)
        except MfdbError as error:
            session.show_error(error)

    # ---- what is shown

    def _state(self) -> State:
        session = self._session
        target = session.target
        return State(
            who=session.who,
            directory=str(target.data),
            network=target.network.stem if target.network else "",
            owner=session.connection.owner,
            batch=session.batch_state,
            held=session.feed.held,
            subscriptions=session.news.subscribed,
            taken_s=session.taken_s if session.display.timing else None,
            editing=_editing(),
            hint=self._modes.hint,
        )

    def _made(self) -> PromptSession[str]:
        """Return the prompt of the data directory at hand."""
        session, modes = self._session, self._modes
        options = session.options
        history = PrivateHistory(session.target.data / "history", options.history_size)
        session.past = list(reversed(list(history.load_history_strings())))
        completer = Names(lambda: self._catalogue, options.keyword_case)
        return PromptSession(
            history=history,
            lexer=PygmentsLexer(MfdbLexer) if session.display.colour else None,
            completer=ThreadedCompleter(completer),
            complete_while_typing=Condition(lambda: modes.completes_while_typing),
            auto_suggest=AutoSuggestFromHistory() if options.suggestions else None,
            multiline=True,
            key_bindings=bindings(modes, self._show_help),
            prompt_continuation=lambda width, _line, wrapped: continuation(width, wrapped),
            bottom_toolbar=self._toolbar if options.toolbar else None,
            editing_mode=EditingMode.VI if options.editing == "vi" else EditingMode.EMACS,
            input_processors=[HighlightMatchingBracketProcessor(chars="()[]")],
            style=_STYLE if session.display.colour else _PLAIN,
            color_depth=self._depth(),
            enable_open_in_editor=True,
            tempfile_suffix=".sql",
        )

    def _depth(self) -> ColorDepth | None:
        return None if self._session.display.colour else ColorDepth.DEPTH_1_BIT

    def _toolbar(self) -> AnyFormattedText:
        return list(toolbar_text(self._state()))

    def _show_help(self) -> None:
        from shell.commands.help import help_lines

        sys.stdout.write("".join(help_lines()))


def _editing() -> str:
    """Return the mode of vi's keys, empty with emacs' keys."""
    app = get_app_or_none()
    if app is None or app.editing_mode != EditingMode.VI:
        return ""
    return f"vi {app.vi_state.input_mode.value.removeprefix('vi-')}"
