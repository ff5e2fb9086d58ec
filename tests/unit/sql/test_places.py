"""What may stand at a place, read from the parser's tables."""

from __future__ import annotations

import pytest

from mfdb.kernel.errors import SqlSyntax
from mfdb.sql.automaton import accepted
from mfdb.sql.parse import parse
from mfdb.sql.places import Role, after, start
from mfdb.sql.scanner import outside, tokenise


def roles(text: str) -> set[Role]:
    place = after(tokenise(text)[:-1])
    assert place is not None
    return set(place.roles())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT ", {Role.COLUMN, Role.FUNCTION}),
        ("SELECT * FROM ", {Role.DATASET, Role.SERIES}),
        ("INSERT INTO ", {Role.DATASET}),
        ("SELECT * FROM x.", {Role.DATASET}),
        ("SELECT * FROM t ", {Role.OTHER}),
        ("SELECT * FROM a JOIN b USING (", {Role.TARGET}),
        ("INSERT INTO t (", {Role.TARGET}),
        ("INSERT INTO t (a, ", {Role.TARGET}),
        ("UPDATE t SET ", {Role.TARGET}),
        ("UPDATE t SET a = ", {Role.COLUMN, Role.FUNCTION}),
        ("CREATE TABLE t (a ", {Role.TYPE}),
        ("SELECT CAST(a AS ", {Role.TYPE}),
        ("CREATE TABLE t (a int) WITH (", {Role.OPTION}),
        ("SET ", {Role.SETTING}),
        ("SHOW ", {Role.SHOWN}),
        ("GRANT SELECT ON t TO ", {Role.GRANTEE}),
        ("INSERT INTO t (a) ", set()),
    ],
)
def test_what_a_name_is(text: str, expected: set[Role]) -> None:
    assert roles(text) == expected


def test_words_that_are_mere_names_are_no_words() -> None:
    place = after(tokenise("SELECT 1 ")[:-1])
    assert place is not None
    assert "GROUPS" in place.accepted()  # as an alias
    assert "GROUPS" not in place.words()
    assert "GROUP" in place.words()


def test_what_must_follow() -> None:
    order = start().then("DELETE")
    assert order is not None
    assert order.only_next() == "FROM"
    assert start().only_next() is None
    assert start().then("FROM") is None


def test_a_wrong_statement_has_no_place() -> None:
    assert after(tokenise("SELECT * * FROM")[:-1]) is None
    assert after(tokenise("SELECT 1; SELECT 2")[:-1]) is None


@pytest.mark.parametrize("text", ["SELECT a FROM t", "DELETE FROM t WHERE a = 1", "BEGIN"])
def test_every_word_that_is_offered_parses_on(text: str) -> None:
    """The place agrees with the parser: after a prefix, what is accepted is no error there."""
    tokens = tokenise(text)[:-1]
    for count in range(len(tokens)):
        place = after(tokens[:count])
        assert place is not None
        assert tokens[count].kind in place.accepted()
        before = " ".join(token.text for token in tokens[:count])
        for word in place.words():
            prefix = f"{before} {word}".strip()
            blamed = blamed_at(prefix)
            assert blamed is None or blamed >= len(prefix), prefix


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SELECT a.b, count(*) FROM t a LEFT JOIN u ON a.x = u.y WHERE a IN (SELECT 1) ORDER BY 1;",
        "INSERT INTO t (a, b) VALUES (1 + 2, 'x') RETURNING *",
        "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT NOT NULL) WITH (replicas = 3)",
        "GRANT SELECT ON t TO PUBLIC",
    ],
)
def test_both_ways_to_what_is_accepted_agree(text: str) -> None:
    tokens = tokenise(text)[:-1]
    for count in range(len(tokens) + 1):
        place = after(tokens[:count])
        assert place is not None
        assert place.accepted() == accepted(place.states)


def blamed_at(text: str) -> int | None:
    """Return the place that the parser blames, None if the text parses."""
    try:
        parse(text)
    except SqlSyntax as error:
        return len(text) if error.position is None else max(error.position, 0)
    return None


def test_letters_outside_quotes_and_comments() -> None:
    text = "a;'b;' \";\" -- ;\n /* ; */ $$;$$ ; \\x"
    assert [text[place] for place in outside(text, ";\\")] == [";", ";", "\\"]
    assert list(outside("'open ;", ";")) == []
