"""Completion follows the grammar and the catalogue."""

from __future__ import annotations

import pytest

from mfdb.sql.automaton import keywords
from shell.completion import Catalogue, suggestions

CATALOGUE = Catalogue(columns={"inbox": ["id", "body"], "Odd name": ["x"], "plans": ["id", "due"]})


def texts(before: str, kind: str | None = None) -> list[str]:
    return [s.text for s in suggestions(before, CATALOGUE) if kind in (None, s.kind)]


def test_a_statement_starts_with_a_statement_word() -> None:
    found = texts("")
    assert {"SELECT", "INSERT", "CREATE", "SUBSCRIBE", "SHOW"} <= set(found)
    assert "FROM" not in found
    assert texts("sel") == ["SELECT"]


def test_the_finished_statement_before_does_not_matter() -> None:
    assert texts("SELECT 1; SELE") == ["SELECT"]
    assert texts("SELECT 1;") == texts("")


@pytest.mark.parametrize(
    "before",
    ["SELECT * FROM ", "INSERT INTO ", "UPDATE ", "DELETE FROM ", "SUBSCRIBE TO ", "DESCRIBE "],
)
def test_datasets_where_a_dataset_is_named(before: str) -> None:
    assert texts(before, "dataset") == ['"Odd name"', "inbox", "plans"]
    assert texts(before, "column") == []


def test_columns_of_the_dataset_in_reach() -> None:
    assert texts("SELECT * FROM inbox WHERE ", "column") == ["id", "body"]
    assert texts("UPDATE plans SET d", "column") == ["due"]
    assert texts("SELECT b", "column") == ["body"]


def test_what_is_typed_is_replaced() -> None:
    (found,) = suggestions("SELECT * FROM inb", CATALOGUE)
    assert found == ("inbox", 3, "dataset")
    (found,) = suggestions('SELECT * FROM "Odd', CATALOGUE)
    assert found == ('"Odd name"', 4, "dataset")


def test_only_legal_words_are_offered() -> None:
    after = texts("SELECT * FROM inbox ", "keyword")
    assert "WHERE" in after
    assert "VALUES" not in after
    assert set(after) <= keywords()


def test_a_meta_command_is_completed() -> None:
    assert texts("\\no") == ["\\notifications"]
    assert texts(".ta") == [".tables"]
    assert texts("\\d inb") == []


@pytest.mark.parametrize("before", ["SELECT 'a", "/* a", 'SELECT "', "SELECT $$a"])
def test_nothing_inside_quotes_and_comments(before: str) -> None:
    assert texts(before, "keyword") == []


@pytest.mark.parametrize("before", ["SELECT FROM FROM ", ") ( ;; ", "1 2 3 ", "\x00"])
def test_nonsense_is_no_crash(before: str) -> None:
    assert isinstance(texts(before), list)


def test_a_pasted_script_is_not_looked_at() -> None:
    assert texts("SELECT 1 + " * 2000) == []
