r"""The prompt: reads statements and meta commands until Ctrl-D, `\q` or an end of input.

Ctrl-C clears what is typed, or cancels the statement that runs. Changes of subscriptions are
printed above the prompt while it is being typed at, without disturbing the line.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING

from prompt_toolkit import PromptSession
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.completion import Completer, Completion, ThreadedCompleter
from prompt_toolkit.history import FileHistory
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.lexers import PygmentsLexer
from prompt_toolkit.patch_stdout import patch_stdout

from mfdb.kernel.errors import MfdbError
from mfdb.sql.scanner import split
from shell import exit_codes
from shell.batch import run_entry
from shell.completion import Catalogue, merged, suggestions
from shell.highlight import MfdbLexer
from shell.script import Entry, first_word, is_complete, is_meta
from shell.values import safe

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable
    from pathlib import Path

    from prompt_toolkit.completion import CompleteEvent
    from prompt_toolkit.document import Document
    from prompt_toolkit.key_binding import KeyPressEvent

    from shell.database import Result
    from shell.session import Session

_CHANGES_CATALOGUE = frozenset({"CREATE", "DROP", "ALTER"})
_DATASETS_COMPLETED = 100


class Repl:
    """A session at a terminal."""

    def __init__(self, session: Session, history: Path) -> None:
        self._session = session
        self._catalogue = Catalogue()
        self._prompt: PromptSession[str] = PromptSession(
            history=_private_history(history),
            lexer=PygmentsLexer(MfdbLexer),
            completer=ThreadedCompleter(_Names(self)),
            complete_while_typing=False,
            auto_suggest=AutoSuggestFromHistory(),
            multiline=True,
            key_bindings=_bindings(),
            prompt_continuation=lambda width, _line, _wrapped: "-> ".rjust(width),
            bottom_toolbar=self._toolbar,
        )

    @property
    def catalogue(self) -> Catalogue:
        """The names that completion knows."""
        return self._catalogue

    async def run(self) -> int:
        """Serve the person until they leave; returns the exit code."""
        await self._refresh()
        while not self._session.leaving:
            try:
                with patch_stdout(raw=True):
                    text = await self._prompt.prompt_async(self._prompt_text())
            except KeyboardInterrupt:
                continue  # Ctrl-C at the prompt clears it
            except EOFError:
                break
            await self._run_text(text)
        return exit_codes.OK

    async def _run_text(self, text: str) -> None:
        for entry in _entries(text):
            if not await self._cancellable(run_entry(self._session, entry)):
                return
            if not is_meta(entry.text) and first_word(entry.text) in _CHANGES_CATALOGUE:
                await self._refresh()

    async def _cancellable(self, work: Coroutine[None, None, bool]) -> bool:
        """Return what the work returns; Ctrl-C cancels it and gives False."""
        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(work)
        before = signal.getsignal(signal.SIGINT)
        loop.add_signal_handler(signal.SIGINT, self._on_interrupt, task)
        try:
            return await task
        except asyncio.CancelledError:
            if not task.cancelled():
                raise  # somebody cancels the whole prompt
            sys.stderr.write("Cancelled; whether the statement took effect is not known.\n")
            return False
        finally:
            loop.remove_signal_handler(signal.SIGINT)
            signal.signal(signal.SIGINT, before)

    def _on_interrupt(self, task: asyncio.Future[bool]) -> None:
        if not self._session.feed.paused:  # else the pager owns the screen, and the key
            task.cancel()

    async def _refresh(self) -> None:
        """Ask the local catalogue for names; completion does without what it refuses to tell."""
        connection = self._session.connection
        try:
            listed = await connection.execute("SHOW DATASETS")
        except MfdbError as error:
            self._session.show_error(error)
            return
        datasets = _column(listed, "name")
        columns = {}
        for name in datasets[:_DATASETS_COMPLETED]:
            quoted = '"' + name.replace('"', '""') + '"'
            with contextlib.suppress(MfdbError):  # dropped meanwhile, or not ours to describe
                columns[name] = _column(await connection.execute(f"DESCRIBE {quoted}"), "column")
        self._catalogue = merged(datasets, columns)

    def _prompt_text(self) -> str:
        """Return `identity@mf>`, with a star while a batch is open."""
        connection = self._session.connection
        who = safe(connection.identity)
        who = who[:10] if who.startswith("0x") else who[:20]
        return f"{who}@mf{'*' if connection.in_batch else ''}> "

    def _toolbar(self) -> str | None:
        held = self._session.feed.held
        return f" {held} changes held back: \\notifications shows them" if held else None


class _Names(Completer):
    """Our suggestions in prompt_toolkit's form."""

    def __init__(self, repl: Repl) -> None:
        self._repl = repl

    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterable[Completion]:
        del complete_event  # asked for or not, the answer is the same
        for item in suggestions(document.text_before_cursor, self._repl.catalogue):
            yield Completion(item.text, -item.replaces, display_meta=item.kind)


def _column(result: Result, name: str) -> list[str]:
    """Return the texts of the column of that name, or of the first."""
    names = [column.name for column in result.columns]
    place = names.index(name) if name in names else 0
    return [str(row[place]) for row in result.rows]


def _entries(text: str) -> list[Entry]:
    if is_meta(text):
        return [Entry(text.strip(), 1)]
    return [Entry(piece.text, 1) for piece in split(text)]


def _bindings() -> KeyBindings:
    bindings = KeyBindings()

    @bindings.add("enter")
    def on_enter(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.complete_state and buffer.complete_state.current_completion:
            buffer.complete_state = None  # Enter takes the completion that is chosen
        elif is_complete(buffer.text):
            buffer.validate_and_handle()
        else:
            buffer.newline(copy_margin=False)

    @bindings.add("escape", "enter")
    def on_alt_enter(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    return bindings


def _private_history(path: Path) -> FileHistory:
    """Return the history file, made readable by its owner only: it holds what was typed."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    return FileHistory(str(path))
