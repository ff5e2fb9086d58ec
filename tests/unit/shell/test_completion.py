"""Completion follows the grammar and the catalogue."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfdb.sql.automaton import keywords
from shell.completion import Dataset, suggestions
from shell.completion.catalogue import built_in
from shell.completion.ranking import match

if TYPE_CHECKING:
    from pathlib import Path

CATALOGUE = replace(
    built_in(),
    datasets={
        "inbox": Dataset(columns={"id": "INTEGER", "body": "TEXT"}, owner="0xab", kind="mailbox"),
        "Odd name": Dataset(columns={"x": "TEXT"}),
        "plans": Dataset(columns={"id": "INTEGER", "due": "DATE", "inbox_id": "INTEGER"}),
    },
    told={
        "mf.columns": Dataset(columns={"dataset": "TEXT", "owner": "TEXT", "nullable": "BOOLEAN"}),
        "mf.court_cases": Dataset(columns={"case_id": "TEXT", "status": "TEXT"}),
    },
    identities=("alice", "bob"),
    aliases=("work",),
)


def texts(before: str, kind: str | None = None, behind: str = "") -> list[str]:
    found = suggestions(before, CATALOGUE, behind)
    return [one.text for one in found if kind in (None, one.kind)]


def test_a_statement_starts_with_a_statement_word() -> None:
    found = texts("")
    assert {"SELECT", "DELETE FROM", "CREATE", "SUBSCRIBE", "SHOW"} <= set(found)
    assert "FROM" not in found
    assert texts("SEL") == ["SELECT"]


def test_keywords_are_written_as_the_person_writes_them() -> None:
    assert texts("sel") == ["select"]
    assert texts("select * from inbox wh") == ["where"]
    assert texts("SELECT * FROM inbox ORD") == ["ORDER BY"]
    assert "order by" in texts("select * from inbox ")
    upper = suggestions("sel", CATALOGUE, keyword_case="upper")
    assert [one.text for one in upper] == ["SELECT"]


def test_who_can_be_used_and_what_a_subscription_takes() -> None:
    identities = list(CATALOGUE.identities)
    assert identities
    assert texts("USE IDENTITY ", kind="identity") == texts("USE ", kind="identity") == identities
    assert "DEFAULT" in texts("USE ")
    assert texts("SUBSCRIBE TO inbox WITH (s", kind="option") == ["snapshot"]
    assert "snapshot" not in texts("CREATE TABLE t (a INT) WITH (s", kind="option")
    assert {"REPUTATION", "CHANNELS", "SUBSCRIPTIONS"} <= set(texts("SHOW "))


def test_show_has_columns_of_its_own() -> None:
    assert texts("SHOW COLUMNS FROM plans WHERE ", kind="column") == ["nullable"]
    assert texts("SHOW COLUMNS WHERE ", kind="column") == ["dataset", "owner", "nullable"]
    assert texts("SHOW COURT CASES ORDER BY s", kind="column") == ["status"]
    assert texts("SELECT ", kind="column", behind=" FROM mf.court_cases") == ["case_id", "status"]


def test_words_that_go_together_come_together() -> None:
    assert texts("SELECT 1 GRO") == ["GROUP BY"]
    assert "PRIMARY KEY" in texts("CREATE TABLE t (id INTEGER ")
    assert texts("DELE") == ["DELETE FROM"]


def test_the_finished_statement_before_does_not_matter() -> None:
    assert texts("SELECT 1; SELE") == ["SELECT"]
    assert texts("SELECT 1;") == texts("")
    assert texts("SELECT ';' FR") == ["FROM"]


@pytest.mark.parametrize(
    "before",
    ["SELECT * FROM ", "INSERT INTO ", "UPDATE ", "DELETE FROM ", "SUBSCRIBE TO ", "DESCRIBE "],
)
def test_datasets_where_a_dataset_is_named(before: str) -> None:
    assert [*texts(before, "dataset"), *texts(before, "mailbox")] == [
        '"Odd name"',
        "plans",
        "inbox",
    ]
    assert texts(before, "column") == []


def test_what_tells_what_there_is() -> None:
    assert texts("SELECT * FROM m", "schema") == ["mf."]
    assert "datasets" in texts("SELECT * FROM mf.da")
    assert texts("INSERT INTO m", "schema") == []


def test_a_name_about_to_be_made_is_not_completed() -> None:
    assert texts("CREATE TABLE in", "mailbox") == []
    assert texts("CREATE TABLE x (id INTEGER, PRIMARY KEY (", "column") == ["id"]


def test_columns_of_the_dataset_in_reach() -> None:
    assert texts("SELECT * FROM inbox WHERE ", "column") == ["id", "body"]
    assert texts("UPDATE plans SET d", "column") == ["due"]
    assert texts("SELECT bo", "column") == ["body", "inbox_id"]
    assert texts("DELETE FROM plans WHERE du", "column") == ["due"]


def test_what_stands_behind_the_cursor_counts() -> None:
    assert texts("SELECT ", "column", " FROM plans p") == ["id", "due", "inbox_id"]
    assert texts("SELECT p.", "column", " FROM inbox i JOIN plans p") == ["id", "due", "inbox_id"]
    assert texts("SELECT ", "column", "; SELECT * FROM plans") == [
        "id",
        "body",
        "x",
        "due",
        "inbox_id",
    ]


def test_aliases_name_their_dataset() -> None:
    before = "SELECT * FROM inbox AS i JOIN plans p ON i."
    assert texts(before, "column") == ["id", "body"]
    assert texts("SELECT * FROM inbox i, plans p WHERE p.d", "column") == ["due"]
    assert texts("SELECT * FROM inbox i, plans p WHERE ", "alias") == ["i", "p"]
    assert texts("SELECT nobody.") == []


def test_inner_queries_see_what_the_outer_ones_name() -> None:
    before = "SELECT * FROM plans WHERE EXISTS (SELECT 1 FROM inbox WHERE "
    assert texts(before, "column") == ["id", "body", "due", "inbox_id"]
    after = "SELECT (SELECT max(id) FROM inbox), "
    assert texts(after, "column", " FROM plans") == ["id", "due", "inbox_id"]


def test_each_part_of_a_union_has_its_own() -> None:
    assert texts("SELECT id FROM inbox UNION SELECT ", "column", " FROM plans") == [
        "id",
        "due",
        "inbox_id",
    ]


def test_queries_in_from_and_with_have_columns() -> None:
    derived = "SELECT d. FROM (SELECT id, upper(body) AS loud FROM inbox) d"
    assert texts("SELECT d.", "column", derived[9:]) == ["id", "loud"]
    named = "WITH recent (n, m) AS (SELECT 1, 2), two AS (SELECT * FROM plans) SELECT * FROM "
    assert texts(named, "query") == ["recent", "two"]
    assert texts(named + "recent WHERE ", "column") == ["n", "m"]
    assert texts(named + "two WHERE ", "column") == ["id", "due", "inbox_id"]


def test_joins_are_proposed() -> None:
    assert texts("SELECT * FROM inbox i JOIN plans p ON ")[0] == "p.inbox_id = i.id"
    assert texts("SELECT * FROM inbox JOIN plans USING (", "column") == ["id"]


def test_columns_that_are_listed_already_are_not_offered_again() -> None:
    assert texts("INSERT INTO inbox (", "column") == ["id", "body"]
    assert texts("INSERT INTO inbox (id, ", "column") == ["body"]


def test_functions_types_settings_and_the_like() -> None:
    assert "upper(" in texts("SELECT upp")
    assert "now()" in texts("SELECT no")
    assert texts("SELECT row_num") == ["row_number("]
    assert "TIMESTAMPTZ" in texts("CREATE TABLE t (a TIMES", "type")
    assert texts("SET rou") == ["route"]
    assert texts("CREATE TABLE t (a INTEGER) WITH (repl") == ["replicas"]
    assert "DATASETS" in texts("SHOW ")
    assert {"PUBLIC", "alice"} <= set(texts("GRANT SELECT ON inbox TO "))


def test_what_is_typed_is_replaced() -> None:
    (found,) = suggestions("SELECT * FROM inb", CATALOGUE)
    assert found == ("inbox", 3, "mailbox", "")
    (found,) = suggestions('SELECT * FROM "Odd n', CATALOGUE)
    assert found == ('"Odd name"', 6, "dataset", "")


def test_only_legal_words_are_offered() -> None:
    after = texts("SELECT * FROM inbox ", "keyword")
    assert "WHERE" in after
    assert "VALUES" not in after
    assert {word for text in after for word in text.split()} <= keywords()


def test_what_is_used_more_comes_first() -> None:
    used = replace(CATALOGUE, used=Counter({"due": 3}))
    found = suggestions("SELECT * FROM plans WHERE ", used)
    assert found[0].text == "due"


def test_a_meta_command_is_completed() -> None:
    assert texts("\\no") == ["\\notifications"]
    assert texts(".ta") == [".tables"]
    assert texts("\\d inb") == ["inbox"]
    assert texts("\\format js") == ["json", "jsonl"]
    assert texts("\\c wo") == ["work"]
    assert texts("\\h sel") == ["SELECT"]
    assert texts("SELECT 1 \\gs") == ["\\gset"]
    assert texts("\\unknown x") == []


def test_files_are_completed(tmp_path: Path) -> None:
    (tmp_path / "load.sql").write_text("")
    (tmp_path / "more").mkdir()
    assert texts(f"\\i {tmp_path}/lo") == [f"{tmp_path}/load.sql"]
    assert set(texts(f"\\i {tmp_path}/")) == {f"{tmp_path}/load.sql", f"{tmp_path}/more/"}
    assert texts(f"COPY inbox FROM '{tmp_path}/lo") == [f"{tmp_path}/load.sql"]


@pytest.mark.parametrize("before", ["SELECT 'te", "SELECT /* co", "SELECT -- co"])
def test_nothing_inside_texts_and_comments(before: str) -> None:
    assert texts(before) == [] or before.startswith("SELECT --")


def test_a_wrong_statement_still_completes_names() -> None:
    assert texts("SELEC FROM inb") == ["inbox"]
    assert "body" in texts("SELECT * * FROM inbox WHERE bo")


@given(st.text(alphabet=" abINSELECTfrom().,;'\"\\*=:$1\n", max_size=60))
def test_nonsense_is_no_crash(before: str) -> None:
    assert isinstance(suggestions(before, CATALOGUE, before[::-1]), list)


def test_a_pasted_script_is_not_looked_at() -> None:
    assert texts("SELECT 1 + " * 2000) == []


@pytest.mark.parametrize(
    ("text", "stem", "how"),
    [("sent_at", "", 0), ("sent_at", "s", 0), ("sent_at", "at", 1), ("sent_at", "nt", 2)],
)
def test_matching(text: str, stem: str, how: int) -> None:
    assert match(text, stem, is_fuzzy=True) == how
