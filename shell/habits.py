r"""What people of psql, MySQL, SQLite and others type first, and what that is called here.

Looked at only when a statement has failed: a habit that becomes SQL of ours needs no change here.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Habit(NamedTuple):
    """What is meant: a meta command that does it, or else advice."""

    command: str
    advice: str


_NAME = r"([\w.\"]+)"
_HABITS: tuple[tuple[str, str, str], ...] = (
    (r"show\s+(?:full\s+)?(?:tables|relations|datasets?|schemas)", "\\dt", ""),
    (r"(?:list(?:\s+tables)?|tables|ls|dir)", "\\dt", ""),
    (r"show\s+databases|list\s+databases|databases", "\\l", ""),
    (r"show\s+(?:users|roles)", "\\du", ""),
    (r"show\s+(?:index|indexes|indices|keys)(?:\s+(?:from|in|on)\s+" + _NAME + ")?", "\\di", ""),
    (r"show\s+views", "\\dv", ""),
    (r"show\s+(?:fields|columns)\s+(?:from|in)\s+" + _NAME, "\\d {0}", ""),
    (r"(?:describe|desc|d)\s+(?:table\s+)?" + _NAME, "\\d {0}", ""),
    (r"pragma\s+table_(?:x?info|list)\s*\(?\s*'?" + _NAME + r"'?\s*\)?", "\\d {0}", ""),
    (r"(?:source|@)\s*([^\s;]+)", "\\i {0}", ""),
    (
        r"use\s+" + _NAME,
        "",
        "a directory is a database: \\c DIRECTORY opens another; USE goes to an owner's datasets",
    ),
    (r"create\s+(?:database|schema)\b.*", "", "a directory is a database: \\c ./NAME makes one"),
    (r"drop\s+database\b.*", "", "a database is a directory: leave it, then remove that"),
    (r"create\s+(?:user|role)\b.*", "", "people are identities: CREATE IDENTITY name;"),
    (r"connect\b.*", "", "\\c DIRECTORY opens another database, \\c - NAME changes the identity"),
    (r"set\s+autocommit\b.*", "", "every statement is kept at once; BEGIN starts a batch"),
    (r"delimiter\b.*", "", "a statement ends in ; and texts with ; go in quotes"),
    (r"pragma\b.*", "", "SHOW SETTINGS; lists the settings, SET changes one"),
    (
        r"create\s+(?:(?:global|local)\s+)?temp(?:orary)?\b.*",
        "",
        "nothing is temporary: WITH name AS (...) holds rows for one statement",
    ),
    (
        r"analy[sz]e(?:\s+" + _NAME + ")?",
        "",
        "nothing to gather: EXPLAIN ANALYZE shows how one ran",
    ),
    (
        r"create\s+(?:or\s+replace\s+)?(?:function|procedure|trigger|sequence)\b.*",
        "",
        "there are none: GENERATED ... AS IDENTITY counts, CHECK and POLICY guard rows",
    ),
    (
        r"select\b.*\binto\s+" + _NAME + r"\s+from\b.*",
        "",
        "CREATE TABLE name AS SELECT ... keeps rows",
    ),
    (r"comment\s+on\b.*", "", "-- in a script is what there is: datasets keep no comments"),
    (r"(?:history|hist)", "", "Ctrl-R searches the history, arrow up goes through it"),
    (r"select\s+version\s*\(\s*\)", "\\conninfo", ""),
    (
        r"select\b.*\b(?:sqlite_master|sqlite_schema|information_schema\.\w+|pg_(?:tables|class))\b.*",
        "",
        "SHOW DATASETS; lists the datasets, DESCRIBE name; shows one",
    ),
)
_PATTERNS = [
    (re.compile(rf"\s*{pattern}\s*;?\s*\Z", re.IGNORECASE | re.DOTALL), command, advice)
    for pattern, command, advice in _HABITS
]
LOOKED_AT = 2_000
"""A longer statement is nobody's habit."""


def habit_of(text: str) -> Habit | None:
    r"""Return what somebody means who typed this, or None.

    >>> habit_of("show tables;")
    Habit(command='\\dt', advice='')
    """
    if len(text) > LOOKED_AT:
        return None
    for pattern, command, advice in _PATTERNS:
        found = pattern.match(text)
        if found is not None:
            given = [group for group in found.groups() if group]
            return Habit(command.format(*given), advice)
    return None
