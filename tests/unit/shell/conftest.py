"""A session over the behaving fake, and a way to run the whole command over it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, NamedTuple

import pytest

from mfdb.node.system import SystemClock
from shell import start
from shell.arguments import parse
from shell.session import Session
from shell.settings import Display
from tests.unit.shell.fake_database import FakeConnection, FakeOpener

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Ran(NamedTuple):
    code: int
    out: str
    err: str
    connection: FakeConnection


@pytest.fixture
def session() -> Session:
    return Session(FakeConnection(), Display(), clock=SystemClock())


class Stdin(io.TextIOWrapper):
    """Standard input that is no terminal."""


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Ran]:
    def run(*argv: str, stdin: str | bytes = "", opener: FakeOpener | None = None) -> Ran:
        data = stdin.encode() if isinstance(stdin, str) else stdin
        monkeypatch.setattr("sys.stdin", Stdin(io.BytesIO(data)))
        opener = opener or FakeOpener()
        args = parse(["--data", str(tmp_path), *argv])
        code = start.run(args, opener)
        captured = capsys.readouterr()
        assert opener.connection is not None
        assert opener.connection.closed
        return Ran(code, captured.out, captured.err, opener.connection)

    return run
