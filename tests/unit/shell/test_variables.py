"""Variables in statements: where a colon is one, and that no value escapes its quotes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfdb.kernel.errors import SqlSyntax
from mfdb.sql.scanner import tokenise
from shell.variables import expanded, is_variable

VALUES = {"n": "7", "who": "O'Neil", "t": 'odd "name"'}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT :n", "SELECT 7"),
        ("SELECT :'who'", "SELECT 'O''Neil'"),
        ('SELECT * FROM :"t"', 'SELECT * FROM "odd ""name"""'),
        ("SELECT ':n', \":n\", $$:n$$ -- :n", "SELECT ':n', \":n\", $$:n$$ -- :n"),
        ("SELECT /* :n */ a::n", "SELECT /* :n */ a::n"),
        ("SELECT :unknown", "SELECT :unknown"),
        ("SELECT a[1:2]", "SELECT a[1:2]"),
    ],
)
def test_where_variables_stand(text: str, expected: str) -> None:
    assert expanded(text, VALUES) == expected


def test_a_quoted_variable_must_be_set() -> None:
    with pytest.raises(SqlSyntax, match="no variable gone") as caught:
        expanded("SELECT 1, :'gone'", VALUES)
    assert caught.value.position == 10
    assert "\\set gone" in caught.value.hint


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_a_value_stays_one_token(value: str) -> None:
    text = tokenise(expanded("SELECT :'v'", {"v": value}))
    assert [token.kind for token in text] == ["SELECT", "STRING", "$END"]
    if value:
        name = tokenise(expanded('SELECT :"v"', {"v": value}))
        assert [token.kind for token in name] == ["SELECT", "QUOTED", "$END"]


def test_names() -> None:
    assert is_variable("a_1")
    assert not any(map(is_variable, ["", "1a", "a-b", "a b"]))
