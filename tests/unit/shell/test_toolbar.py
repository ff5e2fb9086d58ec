"""Prompt, toolbar and greeting as texts."""

from __future__ import annotations

import pytest

from shell.prompt.greeting import greeting
from shell.prompt.history import is_secret
from shell.prompt.toolbar import State, continuation, prompt_text, short_end, toolbar_text

HERE = State(who="alice", directory="/srv/box")


def prompt(form: str, **facts: object) -> str:
    state = State(**{"who": "alice", "directory": "/srv/box", **facts})  # type: ignore[arg-type]  # as each test says
    return "".join(part[1] for part in prompt_text(form, state))


def bar(**facts: object) -> str:
    state = State(**{"who": "alice", "directory": "/srv/box", **facts})  # type: ignore[arg-type]  # as each test says
    return "".join(part[1] for part in toolbar_text(state))


def test_the_prompt_says_how_the_batch_stands() -> None:
    form = "%i@mf%o%b> "
    assert (
        prompt(form, owner="0x1234567890abcdef" + "00" * 12, batch="open")
        == "alice@mf/0x12345678*> "
    )
    assert prompt(form) == "alice@mf> "
    assert prompt(form, batch="open") == "alice@mf*> "
    assert prompt(form, batch="failed") == "alice@mf!> "
    assert prompt(form, offline=True) == "alice@mf~> "


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("%d %n|", "/srv/box |"),
        ("100%% %i", "100% alice"),
        ("%x", "%x"),
        ("plain", "plain"),
        ("%%%i", "%alice"),
        ("a%", "a%"),
    ],
)
def test_the_prompt_takes_any_form(form: str, expected: str) -> None:
    assert prompt(form) == expected


def test_the_toolbar_says_what_matters_first() -> None:
    assert bar() == " alice in /srv/box  F1 help"
    urgent = bar(batch="failed", held=3, hint="look", taken_s=0.0123, editing="vi insert")
    order = ["look", "ROLLBACK", "3 changes held", "alice in", "12.3 ms", "vi insert"]
    places = [urgent.index(word) for word in order]
    assert places == sorted(places)
    assert bar(who="0x" + "ab" * 20).startswith(" 0xabababab in")


def test_hostile_names_are_made_safe() -> None:
    assert "\x1b" not in prompt("%i%d", who="a\x1b[2J", directory="\x1b]0;x")
    assert "\x1b" not in bar(directory="\x1b[2J")
    assert "\x1b" not in greeting("1", "a\x1b[2J", "b\x1b[2J", 0)


def test_lines_go_on_below_the_prompt() -> None:
    assert continuation(8, 0) == "     -> "
    assert continuation(8, 1) == " " * 8
    assert short_end("/a/long/path", 6) == "…/path"


def test_an_empty_database_gets_three_things_to_try() -> None:
    first = greeting("0.1", "me", "box", 0)
    for word in ("CREATE TABLE", "INSERT INTO", "SELECT", "\\?", "\\h", "Ctrl-D", "semicolon"):
        assert word in first
    later = greeting("0.1", "me", "box", 2)
    assert "2 datasets" in later
    assert "CREATE TABLE" not in later


@pytest.mark.parametrize(
    "text",
    [
        " SELECT 1",
        "\\set api_key x",
        "-- my passphrase is",
        "legal winner thank year wave sausage worth useful legal winner thank yellow",
    ],
)
def test_secrets_are_known(text: str) -> None:
    assert is_secret(text)


def test_statements_are_no_secrets() -> None:
    assert not is_secret("SELECT a, b FROM notes WHERE id = 1 AND body LIKE '%x%' ORDER BY id")
    assert not is_secret("select id from notes where body is not null order by id limit ten;")
