"""Help on SQL is made from the grammar and from examples that run."""

from __future__ import annotations

import pytest

from mfdb.kernel.errors import ProgrammingError
from mfdb.sql.places import start
from shell.sql_help import listing, page_of, topics


def page(asked: str) -> str:
    return "".join(page_of(asked))


def test_every_statement_has_syntax() -> None:
    firsts = {topic.split()[0] for topic in topics()}
    assert firsts == set(start().words())
    for topic in topics():
        lines = page(topic).splitlines()
        assert lines, topic
        assert any(topic.split()[0] in line or "body" in line for line in lines), topic


def test_syntax_is_written_as_manuals_do() -> None:
    shown = page("create table")
    assert "CREATE {DATASET|TABLE} [IF NOT EXISTS] table_name (elements)" in shown
    assert "elements: element [, ...]" in shown
    assert "->" not in shown
    assert "Examples\n  CREATE TABLE IF NOT EXISTS albums" in shown


def test_the_statement_may_be_asked_for_in_full() -> None:
    assert page("insert into") == page("INSERT")
    assert "INSERT" not in page("delete").partition("Examples")[0]


def test_an_unknown_statement_names_its_neighbour() -> None:
    with pytest.raises(ProgrammingError) as caught:
        page_of("selct")
    assert "SELECT" in caught.value.hint


def test_the_list() -> None:
    shown = "".join(listing())
    assert all(topic in shown for topic in topics())
