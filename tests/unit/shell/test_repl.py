"""The prompt, driven through prompt_toolkit's pipe input: keys in, statements out."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from mfdb.node.system import SystemClock
from shell.options import Options
from shell.prompt.keys import Modes
from shell.prompt.repl import Repl
from shell.script import lacks_only_its_end
from shell.session import Session, Surroundings
from shell.settings import Display, Target
from tests.unit.shell.fake_database import FakeConnection, FakeNotification, FakeOpener

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CTRL_C = "\x03"
CTRL_D = "\x04"
ALT_ENTER = "\x1b\r"
ENTER = "\r"
DEADLINE_S = 20


class Terminal:
    """A prompt and the keys that are typed at it."""

    def __init__(self, data: Path, keys: Callable[[str], None], **options: Any) -> None:
        self.connection = FakeConnection(identity="alice")
        around = Surroundings(
            interactive=True, asks=True, target=Target(data=data), options=Options(**options)
        )
        self.session = Session(self.connection, Display(), clock=SystemClock(), around=around)
        self.repl = Repl(self.session)
        self.type = keys

    def statements(self) -> list[str]:
        """What was run, without what completion asks for."""
        return [
            t
            for t in self.connection.executed
            if not t.startswith(("SHOW ", "DESCRIBE", "SELECT dataset, name, type"))
        ]

    def run(self, *keys: str) -> int:
        """Type everything at once, then serve the prompt to its end."""
        for text in keys:
            self.type(text)
        return asyncio.run(asyncio.wait_for(self.repl.run(), DEADLINE_S))


@contextmanager
def _terminal(data: Path, **options: Any) -> Iterator[Terminal]:
    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
        yield Terminal(data, keys.send_text, **options)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    with _terminal(tmp_path / "data") as made:
        yield made


def test_a_statement_runs_at_its_semicolon(
    terminal: Terminal, capsys: pytest.CaptureFixture[str]
) -> None:
    assert terminal.run("SELECT 1 AS a", ENTER, ";", ENTER, CTRL_D) == 0
    assert terminal.statements() == ["SELECT 1 AS a"]
    assert " a\n---\n 1\n(1 row)\n" in capsys.readouterr().out


def test_an_open_quote_waits_for_its_end(terminal: Terminal) -> None:
    terminal.run("SELECT ';", ENTER, "';", ENTER, CTRL_D)
    assert terminal.statements() == ["SELECT ';\n'"]


def test_alt_enter_runs_at_once(terminal: Terminal) -> None:
    terminal.run("SELECT 1", ALT_ENTER, CTRL_D)
    assert terminal.statements() == ["SELECT 1"]


def test_several_statements_on_one_line_stop_at_a_failure(
    terminal: Terminal, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal.run("SELECT 1; SELEC; SELECT 2;", ENTER, CTRL_D)
    assert terminal.statements() == ["SELECT 1", "SELEC"]
    assert "ERROR 42601" in capsys.readouterr().err


def test_ctrl_c_clears_the_line(terminal: Terminal) -> None:
    terminal.run("DROP TABLE important", CTRL_C, "SELECT 1;", ENTER, CTRL_D)
    assert terminal.statements() == ["SELECT 1"]


def test_meta_commands_need_no_semicolon(
    terminal: Terminal, capsys: pytest.CaptureFixture[str]
) -> None:
    assert terminal.run("\\identity", ENTER, "\\q", ENTER) == 0
    assert capsys.readouterr().out.endswith("\nalice\n")


def test_quit_is_understood(terminal: Terminal) -> None:
    assert terminal.run("quit", ENTER) == 0
    assert terminal.statements() == []


def test_completion_knows_what_was_created(terminal: Terminal) -> None:
    terminal.run("CREATE TABLE letters (id INTEGER, body TEXT);", ENTER, CTRL_D)
    assert list(terminal.repl.catalogue.datasets["letters"].columns) == ["id", "body"]


def test_the_prompt_completes_from_the_catalogue(terminal: Terminal) -> None:
    terminal.run("CREATE TABLE letters (id INTEGER);", ENTER, CTRL_D)
    completer = terminal.repl._prompt.completer
    assert completer is not None
    found = next(iter(completer.get_completions(Document("SELECT * FROM le"), CompleteEvent())))
    assert (found.text, found.start_position) == ("letters", -2)


def test_the_history_is_kept_for_its_owner_only(tmp_path: Path) -> None:
    history = tmp_path / "data" / "history"
    with _terminal(history.parent) as first:
        first.run("SELECT 'remember me';", ENTER, CTRL_D)
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    with _terminal(history.parent) as second:
        second.run("\x1b[A", ENTER, CTRL_D)  # arrow up, Enter
        assert second.statements() == ["SELECT 'remember me'"]


def test_what_destroys_is_asked_about(
    terminal: Terminal, capsys: pytest.CaptureFixture[str]
) -> None:
    make = "CREATE TABLE m (id INTEGER);"
    terminal.run(
        make, ENTER, "DROP TABLE m;", ENTER, "n", ENTER, "DELETE FROM m;", ENTER, "y", ENTER, CTRL_D
    )
    assert terminal.statements() == [make[:-1], "DELETE FROM m"]
    assert "Not run." in capsys.readouterr().out


def test_leaving_an_open_batch_is_asked_about(terminal: Terminal) -> None:
    assert terminal.run("BEGIN;", ENTER, CTRL_D, "n", ENTER, "ROLLBACK;", ENTER, CTRL_D) == 0
    assert terminal.statements() == ["BEGIN", "ROLLBACK"]


def test_words_of_other_shells_are_done(
    terminal: Terminal, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal.run("show tables;", ENTER, "use shop;", ENTER, CTRL_D)
    told = capsys.readouterr()
    assert "(here that is \\dt)" in told.out
    assert "HINT: a directory is a database" in told.err


def test_enter_explains_what_is_missing(terminal: Terminal) -> None:
    terminal.run("SELECT 1", ENTER, ";", ENTER, CTRL_D)
    modes = Modes(multi_line=True, completion="tab")
    assert modes.hint == ""
    assert lacks_only_its_end("SELECT 1")
    assert not lacks_only_its_end("SELECT (1")
    assert not lacks_only_its_end("SELECT 1;")
    assert not lacks_only_its_end("SELECT 'a")
    assert not lacks_only_its_end("CREATE TABLE")


def test_f3_lets_enter_run_everything(terminal: Terminal) -> None:
    terminal.run("\x1bOR", "SELECT 1", ENTER, CTRL_D)
    assert terminal.statements() == ["SELECT 1"]


def test_tab_completes(terminal: Terminal) -> None:
    terminal.run("CREATE TABLE letters (id INTEGER);", ENTER, CTRL_D)
    completer = terminal.repl._prompt.completer
    assert completer is not None
    asked = CompleteEvent(completion_requested=True)
    found = [one.text for one in completer.get_completions(Document("SELECT * FROM "), asked)]
    assert found[0] == "letters"


def test_rows_are_typed_at_the_prompt(terminal: Terminal) -> None:
    terminal.run(
        "CREATE TABLE m (id INTEGER, body TEXT);", ENTER,
        "COPY m FROM STDIN;", ENTER, "1,a", ENTER, "2,b", ENTER, "\\.", ENTER,
        "SELECT id FROM m;", ENTER, CTRL_D,
    )  # fmt: skip
    assert terminal.statements()[-1] == "SELECT id FROM m"
    assert terminal.session.variables["ROW_COUNT"] == "2"


def test_secrets_are_not_kept(tmp_path: Path) -> None:
    with _terminal(tmp_path / "data") as first:
        first.run("\\set password hidden", ENTER, "SELECT 'kept';", ENTER, CTRL_D)
    kept = (tmp_path / "data" / "history").read_text()
    assert "hidden" not in kept
    assert "kept" in kept


def test_a_long_history_is_cut(tmp_path: Path) -> None:
    with _terminal(tmp_path / "data", history_size=5) as first:
        first.run(*[key for n in range(20) for key in (f"SELECT {n};", ENTER)], CTRL_D)
    with _terminal(tmp_path / "data", history_size=5) as second:
        assert second.session.past == [f"SELECT {n};" for n in range(15, 20)]
    path = tmp_path / "data" / "history"
    assert "SELECT 14" not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_editor_gives_the_next_prompt_its_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i s/1/2/ $1\n")
    editor.chmod(0o755)
    with _terminal(tmp_path / "data", editor=str(editor)) as terminal:
        terminal.run("SELECT 1 \\e", ENTER, ENTER, CTRL_D)
        assert terminal.statements() == ["SELECT 2"]


def test_another_database_is_opened(tmp_path: Path, terminal: Terminal) -> None:
    opener = FakeOpener()
    around = Surroundings(
        interactive=True,
        target=Target(data=tmp_path / "one"),
        opener=opener,
        aliases={"two": str(tmp_path / "two")},
    )
    session = Session(terminal.connection, Display(), clock=SystemClock(), around=around)
    terminal.session, terminal.repl = session, Repl(session)
    terminal.run("\\c two", ENTER, "SELECT 1;", ENTER, CTRL_D)
    assert opener.target == Target(data=tmp_path / "two")
    assert opener.connection is not None
    assert terminal.connection.closed
    assert "SELECT 1" in opener.connection.executed


def test_ctrl_c_cancels_the_statement_that_runs(
    terminal: Terminal, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal.type("SELECT slow;" + ENTER)

    async def work() -> int:
        serving = asyncio.ensure_future(terminal.repl.run())
        await terminal.connection.slow.wait()
        os.kill(os.getpid(), signal.SIGINT)
        terminal.type("SELECT 2;" + ENTER + CTRL_D)
        return await serving

    assert asyncio.run(asyncio.wait_for(work(), DEADLINE_S)) == 0
    assert terminal.statements() == ["SELECT slow", "SELECT 2"]
    assert "Cancelled.\n" in capsys.readouterr().err


def arrived(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, typed: str, publish: Callable[[], None]
) -> list[str]:
    """Return the lines that are offered once a statement was typed and something is published."""
    printed = asyncio.Event()
    lines: list[str] = []
    offer = terminal.session.feed.offer

    def seen(line: str, now_s: float) -> list[str]:
        lines.append(line)
        printed.set()
        return offer(line, now_s)

    async def work() -> int:
        serving = asyncio.ensure_future(terminal.repl.run())
        monkeypatch.setattr(terminal.session.feed, "offer", seen)
        terminal.type(typed + ENTER)
        if typed.startswith("SUBSCRIBE"):
            await terminal.connection.subscribed.wait()
        publish()
        await printed.wait()
        terminal.type(CTRL_D)
        return await serving

    async def whole() -> int:
        try:
            return await asyncio.wait_for(work(), DEADLINE_S)
        finally:
            await terminal.session.close()

    assert asyncio.run(whole()) == 0
    return lines


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("SUBSCRIBE TO inbox;", '+ alice {"body": "hello"}'),
        ("SUBSCRIBE mail AS TO inbox;", 'mail + alice {"body": "hello"}'),
    ],
)
def test_changes_arrive_while_nothing_is_typed(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, typed: str, shown: str
) -> None:
    publish = partial(terminal.connection.publish, {"body": "hello"})
    assert arrived(terminal, monkeypatch, typed, publish) == [shown]


def test_notifications_arrive_while_nothing_is_typed(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = FakeNotification("news", "hi\x1b[2J")
    publish = partial(terminal.connection.heard.put_nowait, note)
    (line,) = arrived(terminal, monkeypatch, "LISTEN news;", publish)
    assert line.startswith("NOTIFY news: hi")
    assert "\x1b" not in line, "what others send does not steer the terminal"


def test_a_subscription_that_fails_says_so(
    terminal: Terminal, capsys: pytest.CaptureFixture[str]
) -> None:
    async def work() -> None:
        await terminal.session.run("SUBSCRIBE TO nowhere")
        await terminal.session.news.settle()
        await terminal.session.close()

    asyncio.run(asyncio.wait_for(work(), DEADLINE_S))
    assert "no dataset nowhere" in capsys.readouterr().err
