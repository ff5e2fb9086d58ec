"""-c, -f and standard input: what is run, what is written where, and the exit codes."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING

from mfdb.kernel.errors import WrongPassphrase
from shell import start
from shell.arguments import parse
from shell.lines import lines_of
from tests.unit.shell.fake_database import FakeConnection, FakeOpener

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from shell.settings import Target
    from tests.unit.shell.conftest import Ran

    Command = Callable[..., Ran]

MAKE = "CREATE TABLE m (id INTEGER PRIMARY KEY, body TEXT)"


def test_statements_of_every_c_run_in_order(command: Command) -> None:
    ran = command("-c", f"{MAKE}; INSERT INTO m VALUES (1, 'a')", "-c", "SELECT * FROM m")
    assert ran.code == 0
    assert ran.out.endswith(" id | body\n----+------\n  1 | a\n(1 row)\n\n")
    assert ran.err == ""


def test_the_first_failure_stops_with_one(command: Command) -> None:
    ran = command("-c", "SELEC 1", "-c", "SELECT 2")
    assert ran.code == 1
    assert ran.connection.executed == ["SELEC 1"]
    assert ran.err.splitlines()[1:] == ["LINE 1: SELEC 1", "        ^"]
    assert ran.out == ""


def test_keep_going_runs_the_rest_and_still_fails(command: Command) -> None:
    ran = command("--keep-going", "--format", "csv", "-c", "SELEC 1; SELECT 2 AS a")
    assert ran.code == 1
    assert ran.out == "a\n2\n"


def test_a_script_stops_with_three_and_names_the_line(command: Command, tmp_path: Path) -> None:
    script = tmp_path / "s.sql"
    script.write_text(f"{MAKE};\n\nSELECT *\nFRM m;\nSELECT 2;\n")
    ran = command("-f", str(script))
    assert ran.code == 3
    assert ran.err.startswith("s.sql:3: ERROR 42601")
    assert "LINE 2: FRM m\n        ^" in ran.err
    assert len(ran.connection.executed) == 2
    assert command("--keep-going", "-f", str(script)).code == 1


def test_c_runs_before_f(command: Command, tmp_path: Path) -> None:
    script = tmp_path / "s.sql"
    script.write_text("SELECT 'f' AS a;")
    ran = command("-c", "SELECT 'c' AS a", "-f", str(script), "--format", "tsv")
    assert (ran.code, ran.out) == (0, "a\nc\na\nf\n")


def test_a_script_that_is_not_there_is_a_usage_error(command: Command, tmp_path: Path) -> None:
    ran = command("-f", str(tmp_path / "nothing.sql"))
    assert ran.code == 2
    assert "cannot read" in ran.err


def test_standard_input_is_a_script(command: Command) -> None:
    ran = command("--json", stdin=f"{MAKE};\nINSERT INTO m VALUES (1, 'a');\nSELECT * FROM m")
    assert ran.code == 0
    values = [json.loads(line) for line in ran.out.splitlines()]
    assert values == [{"tag": "CREATE 0"}, {"tag": "INSERT 1"}, [{"id": 1, "body": "a"}]]


def test_meta_commands_work_in_scripts(command: Command) -> None:
    ran = command(stdin="\\x\nSELECT 1 AS a;\n\\q\nSELECT 2;\n")
    assert ran.code == 0
    assert "-[ row 1 ]\na | 1\n" in ran.out
    assert ran.connection.executed == ["SELECT 1 AS a"]


def test_errors_as_json(command: Command) -> None:
    ran = command("--json", "-c", "SELECT 1 FRM x y")
    found = json.loads(ran.err)["error"]
    assert found["code"] == "SqlSyntax"
    assert found["sqlstate"] == "42601"
    assert found["retryable"] is False
    assert found["statement"] == "SELECT 1 FRM x y"


def test_a_hint_is_shown(command: Command) -> None:
    assert "HINT: ask the owner" in command("-c", "GRANT x").err


def test_text_that_is_not_utf8_is_named(command: Command) -> None:
    ran = command(stdin=b"SELECT 1;\nSELECT '\xff';\n")
    assert ran.code == 2
    assert "line 2 is not UTF-8" in ran.err


def test_a_byte_order_mark_is_no_error(command: Command) -> None:
    assert command(stdin=b"\xef\xbb\xbfSELECT 1;\n").code == 0


def test_notices_go_to_standard_error(command: Command) -> None:
    ran = command("-c", "SELECT 1", opener=FakeOpener(notices=["a new identity was made"]))
    assert ran.err == "NOTICE: a new identity was made\n"


def test_a_database_that_cannot_be_opened_is_code_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def refuse(target: Target, passphrase: Callable[[], str]) -> FakeConnection:
        raise WrongPassphrase(f"{passphrase.__class__.__name__} for {target.identity}")

    args = parse(["--data", str(tmp_path), "--identity", "bob", "--json", "-c", "SELECT 1"])
    assert start.run(args, refuse) == 2
    assert json.loads(capsys.readouterr().err)["error"]["message"] == "PassphraseSource for bob"


def test_a_subscription_streams_json_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Streaming(FakeOpener):
        async def __call__(self, target: Target, passphrase: Callable[[], str]) -> FakeConnection:
            connection = await super().__call__(target, passphrase)
            self.feeder = asyncio.ensure_future(feed(connection))
            return connection

    async def feed(connection: FakeConnection) -> None:
        await connection.subscribed.wait()
        connection.publish({"body": b"hi"})
        connection.publish({"body": None})
        connection.end_subscriptions()

    args = parse(["--data", str(tmp_path), "-c", "SUBSCRIBE TO inbox"])
    assert start.run(args, Streaming()) == 0
    changes = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [change["new"]["body"] for change in changes] == ["aGk=", None]
    assert [change["cursor"] for change in changes] == ["c1", "c2"]


def test_notifications_follow_the_statement_during_which_they_came(command: Command) -> None:
    texts = ("NOTIFY c, early", "LISTEN c", "NOTIFY c", "SELECT 1 AS a")
    flags = [part for text in texts for part in ("-c", text)]
    assert command(*flags).out.splitlines()[:4] == [
        "NOTIFY",
        "LISTEN",
        "NOTIFY c: early",
        "NOTIFY",
    ]
    lines = command("--format", "jsonl", *flags).out.splitlines()
    assert [json.loads(line) for line in lines if "channel" in line] == [
        {"channel": "c", "payload": "early", "sender": 1},
        {"channel": "c", "payload": "", "sender": 1},
    ]


def test_a_failed_subscription_is_a_failed_statement(command: Command) -> None:
    assert command("-c", "SUBSCRIBE TO nowhere").code == 1


def test_files_and_texts_run_in_order(command: Command, tmp_path: Path) -> None:
    script = tmp_path / "s.sql"
    script.write_text("SELECT 'f' AS a;")
    ran = command(
        "-f", str(script), "-c", "SELECT 'c' AS a", "-f", "-", "-t", stdin="SELECT 'i' AS a"
    )
    assert ran.out == " f\n c\n i\n"


def test_variables_and_output_of_the_command_line(command: Command, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    ran = command("-v", "who=O'Neil", "-o", str(out), "--format", "csv", "-c", "SELECT :'who' AS w")
    assert (ran.code, ran.out) == (0, "")
    assert out.read_text() == "w\nO'Neil\n"
    assert command("-v", "1=2", "-c", "SELECT 1").code == 2
    assert command("-o", str(tmp_path), "-c", "SELECT 1").code == 2


def test_quiet_and_timing(command: Command) -> None:
    assert command("-q", "-c", MAKE).out == ""
    assert "Time: " in command("--timing", "-c", "SELECT 1").out
    assert "Time: " not in command("-c", "SELECT 1").out


def test_one_batch_around_everything(command: Command) -> None:
    good = command("-1", "-c", "SELECT 1", "-c", "SELECT 2")
    assert good.connection.executed == ["BEGIN", "SELECT 1", "SELECT 2", "COMMIT"]
    bad = command("-1", "-c", "SELECT 1", "-c", "SELEC")
    assert bad.code == 1
    assert bad.connection.executed[-1] == "ROLLBACK"


def test_habits_of_other_shells_get_a_hint_in_scripts(command: Command) -> None:
    ran = command("-c", "show tables")
    assert ran.code == 1
    assert "HINT: here that is \\dt" in ran.err


def test_nobody_is_asked_in_batch_mode(command: Command) -> None:
    assert command("-c", f"{MAKE}; DELETE FROM m").code == 0


def test_no_colour_where_there_is_no_terminal(command: Command) -> None:
    ran = command("-c", "SELECT 1", "-c", "SELEC")
    assert "\x1b" not in ran.out + ran.err


def test_a_silent_pipe_does_not_block_the_loop() -> None:
    async def read() -> list[str]:
        reading, writing = os.pipe()
        with os.fdopen(reading, "rb") as stream:
            found = []
            lines = lines_of(stream)
            waiting = asyncio.ensure_future(anext(lines))
            await asyncio.sleep(0)  # the loop still turns while the pipe is silent
            os.write(writing, b"one\ntw")
            found.append(await waiting)
            os.write(writing, b"o")
            os.close(writing)
            found += [line async for line in lines]
            return found

    assert asyncio.run(read()) == ["one\n", "two"]
