"""Cutting a stream of lines into what is run."""

from __future__ import annotations

import pytest

from shell.script import Entry, ScriptReader, first_word, is_complete, is_meta


def entries(text: str) -> list[tuple[str, int]]:
    reader = ScriptReader()
    found: list[Entry] = []
    for line in text.splitlines(keepends=True):
        found += reader.feed(line)
    return [(entry.text, entry.line) for entry in found + reader.finish()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("\n\n", []),
        ("SELECT 1;", [("SELECT 1", 1)]),
        ("SELECT 1; SELECT 2;\n", [("SELECT 1", 1), ("SELECT 2", 1)]),
        ("\nSELECT\n1;\n\nSELECT 2;", [("SELECT\n1", 2), ("SELECT 2", 5)]),
        ("SELECT ';\n';\n\\dt\n", [("SELECT ';\n'", 1), ("\\dt", 3)]),
        ("SELECT '\n\\dt\n';\n", [("SELECT '\n\\dt\n'", 1)]),
        (".tables\nSELECT 1", [(".tables", 1), ("SELECT 1", 2)]),
        ("-- only a comment\n", []),
        ("SELECT 1 -- no end;\n, 2;\n", [("SELECT 1 -- no end;\n, 2", 1)]),
        ("SELECT 'open;\n", [("SELECT 'open;", 1)]),
        ("SELECT (1;\n2);\n", [("SELECT (1", 1), ("2)", 2)]),
    ],
)
def test_scripts(text: str, expected: list[tuple[str, int]]) -> None:
    assert entries(text) == expected


def test_a_statement_is_given_as_soon_as_it_is_complete() -> None:
    reader = ScriptReader()
    assert reader.feed("SELECT\n") == []
    assert reader.feed("1;\n") == [Entry("SELECT\n1", 1)]


@pytest.mark.parametrize(
    ("text", "complete"),
    [
        ("", True),
        ("SELECT 1", False),
        ("SELECT 1;  ", True),
        ("SELECT ';", False),
        ("SELECT (1;", False),
        ("\\dt", True),
        ("quit", True),
        ("-- ;", False),
        ("SELECT 1 -- ;", False),
        ("SELECT ` ;", True),
    ],
)
def test_enter_runs_only_what_is_complete(text: str, complete: bool) -> None:  # noqa: FBT001 - a table of cases
    assert is_complete(text) is complete


def test_decimal_fractions_are_no_dot_commands() -> None:
    assert not is_meta(".5 + 1")
    assert is_meta("exit;")


@pytest.mark.parametrize(
    ("text", "word"),
    [("/* x */ subscribe to m", "SUBSCRIBE"), ("-- x\nselect", "SELECT"), ("1", "")],
)
def test_first_word(text: str, word: str) -> None:
    assert first_word(text) == word
