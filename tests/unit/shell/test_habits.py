"""Words of other shells lead somewhere."""

from __future__ import annotations

import pytest

from shell.commands import find
from shell.habits import habit_of


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("show tables;", "\\dt"),
        ("SHOW FULL TABLES", "\\dt"),
        ("ls", "\\dt"),
        ("show databases", "\\l"),
        ("desc letters", "\\d letters"),
        ("PRAGMA table_info(letters);", "\\d letters"),
        ("show fields from letters", "\\d letters"),
        ("source load.sql;", "\\i load.sql"),
        ("select version();", "\\conninfo"),
    ],
)
def test_what_has_a_command(text: str, command: str) -> None:
    habit = habit_of(text)
    assert habit is not None
    assert habit.command == command
    assert find(habit.command)[0].name == command.split(maxsplit=1)[0]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("use shop;", "\\c"),
        ("create database shop", "\\c"),
        ("create user bob with password 'x'", "CREATE IDENTITY"),
        ("select * from sqlite_master", "SHOW DATASETS"),
        ("select table_name from information_schema.tables", "SHOW DATASETS"),
        ("history", "Ctrl-R"),
        ("create temp table x (a int)", "WITH"),
        ("ANALYZE letters", "EXPLAIN"),
        ("create or replace function f() returns int", "IDENTITY"),
        ("select * into copy from letters", "CREATE TABLE"),
        ("comment on table letters is 'x'", "comments"),
    ],
)
def test_what_has_advice(text: str, word: str) -> None:
    habit = habit_of(text)
    assert habit is not None
    assert habit.command == ""
    assert word in habit.advice


@pytest.mark.parametrize("text", ["SELECT 1", "", "x" * 5000, "show datasets like 'a'"])
def test_what_is_nobodys_habit(text: str) -> None:
    assert habit_of(text) is None
