"""The shipped tables are the grammar's, and the words behave as PostgreSQL's do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mfdb.kernel.errors import SqlSyntax
from mfdb.sql import statement as st
from mfdb.sql.automaton import automaton, keywords
from mfdb.sql.build_tables import GRAMMAR, TABLES, build
from mfdb.sql.parse import parse
from mfdb.sql.scanner import RESERVED

OURS_RESERVED = {"CURRENT_IDENTITY"}


def test_shipped_tables_equal_a_rebuild() -> None:
    assert build(GRAMMAR.read_text(encoding="utf-8")) == TABLES.read_bytes()


def test_tables_do_not_depend_on_the_hash_seed() -> None:
    code = (
        "import hashlib; from mfdb.sql.build_tables import *; "
        "print(hashlib.sha256(build(GRAMMAR.read_text())).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path.cwd())},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1


def test_a_session_loads_no_lark() -> None:
    code = (
        "import sys; from mfdb.sql.parse import parse; import mfdb.sql.bind; parse('SELECT 1'); "
        "assert 'lark' not in sys.modules"
    )
    env = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    subprocess.run([sys.executable, "-c", code], env=env, check=True)


def test_every_keyword_is_reserved_by_postgresql_or_usable_as_a_name() -> None:
    for word in sorted(keywords() - RESERVED - OURS_RESERVED):
        statement = parse(
            f"SELECT {word}, t.{word}, {word}.x AS {word} FROM {word} WHERE {word} = 1 "
            f"ORDER BY {word} DESC"
        )
        assert isinstance(statement, st.Select)
        assert str(statement.table) == word.lower()
        parse(f"CREATE TABLE {word} ({word} INTEGER, PRIMARY KEY ({word}))")
        parse(f"UPDATE {word} SET {word} = 1")
        parse(f"GRANT SELECT ON {word} TO bob")
        parse(f"SHOW {word}")


@pytest.mark.parametrize("word", sorted(RESERVED | OURS_RESERVED))
def test_reserved_words_are_no_names_unless_quoted(word: str) -> None:
    with pytest.raises(SqlSyntax):
        parse(f"CREATE TABLE t ({word} INTEGER)")
    quoted = parse(f'CREATE TABLE t ("{word}" INTEGER)')
    assert isinstance(quoted, st.CreateDataset)
    column = quoted.elements[0]
    assert isinstance(column, st.ColumnDef)
    assert column.name.text == word


@pytest.mark.parametrize("word", ["key", "first", "owner"])
def test_words_of_our_own_statements_stay_names(word: str) -> None:
    parse(f"SELECT {word} {word} FROM {word} WHERE {word}.{word} > 1")


def test_the_automaton_is_small_enough_to_load_at_once() -> None:
    assert len(automaton().defaults) < 2_500
    assert TABLES.stat().st_size < 350_000  # states are decoded one by one, as they are needed
