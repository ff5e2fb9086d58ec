"""Statements that destroy more than one may have meant, and the question to ask before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.kernel.errors import SqlSyntax
from mfdb.sql.scanner import tokenise
from shell.values import safe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfdb.sql.automaton import Token

_HARMLESS_ALTERS = frozenset({"ADD", "RENAME", "SEAL"})
_SHOWN = 80


def question_about(text: str) -> str | None:
    """Return what to ask before this statement runs; None if there is nothing to ask.

    >>> question_about("DELETE FROM letters")
    'DELETE without WHERE changes every row of letters.'
    """
    try:
        tokens = tokenise(text)
    except SqlSyntax:
        return None  # it will not run
    kinds = [token.text.upper() for token in tokens]
    match kinds[0]:
        case "DROP":
            return f"{_from(text, tokens, 0)} cannot be undone."
        case "TRUNCATE":
            return f"{_from(text, tokens, 0)} deletes every row."
        case "ALTER" if not _HARMLESS_ALTERS & set(kinds):
            return f"{_from(text, tokens, 0)} changes the dataset for everybody."
        case "DELETE" | "UPDATE" if not _has_where(tokens):
            named = tokens[2 if kinds[0] == "DELETE" else 1].text if len(tokens) > 3 else ""
            return f"{kinds[0]} without WHERE changes every row of {safe(named)[:_SHOWN]}."
    return None


def _has_where(tokens: Sequence[Token]) -> bool:
    """Return whether a WHERE stands outside parentheses: one of a subquery filters other rows."""
    depth = 0
    for token in tokens:
        depth += {"(": 1, ")": -1}.get(token.kind, 0)
        if depth == 0 and token.kind == "WHERE":
            return True
    return False


def _from(text: str, tokens: Sequence[Token], first: int) -> str:
    words = " ".join(text[tokens[first].position :].split()).rstrip("; ")
    return safe(words if len(words) <= _SHOWN else words[: _SHOWN - 1] + "…")
