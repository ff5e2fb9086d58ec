"""Why a statement does not parse, in the words of the person who wrote it.

In this order: an open parenthesis, a misspelt keyword, a reserved word used as a name, and at last
what could have stood there (six at most). Open quotes and comments are found by the scanner before.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from mfdb.kernel.errors import SqlSyntax
from mfdb.sql.automaton import END, Unexpected, keywords, states_before
from mfdb.sql.elsewhere import advice
from mfdb.sql.places import Place
from mfdb.sql.scanner import RESERVED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfdb.sql.automaton import Token

SHOWN = 6
LONGEST_KEYWORD = 24
"""Longer words are no misspelt keywords, and comparing them would only take time."""
_HUMAN = {
    "NAME": "a name",
    "STRING": "a string",
    "INTEGER": "a number",
    "DECIMAL": "a number",
    "BLOB": "a hex string",
    "DOLLAR": "a parameter",
    "COLON_NAME": "a parameter",
    "?": "a parameter",
    END: "the end of the statement",
}
_EXPRESSION = frozenset({"NAME", "STRING", "INTEGER", "(", "CASE", "NULL", "+", "-"})
_OPERATORS = frozenset({"+", "-", "*", "/", "%", "^", "=", "<>", "<", ">", "||", "->", "->>"})
_COMPARING = frozenset({"<=", ">=", "!=", "::", "IS", "ISNULL", "NOTNULL", "BETWEEN", "LIKE"})
_OTHER = frozenset({"->", "->>", "#>", "#>>", "@>", "<@", "&&", "[", "~", "~*", "!~", "!~*"})
_LOGICAL = frozenset({"ILIKE", "IN", "NOT", "ESCAPE", "AND", "OR"})
_OPENING = frozenset(
    {
        "ARRAY",
        "CAST",
        "CURRENT_DATE",
        "CURRENT_IDENTITY",
        "CURRENT_TIME",
        "CURRENT_TIMESTAMP",
        "LOCALTIME",
        "LOCALTIMESTAMP",
        "NOT",
        "LEFT",
        "RIGHT",
    }
)


def explain(tokens: Sequence[Token], error: Unexpected) -> SqlSyntax:
    """Return the error for the token at which the automaton stopped."""
    token = tokens[error.index]
    place = Place(tuple(states_before(tokens, error.index)))
    words = place.accepted()
    found = "end of the statement" if token.kind == END else f'"{_short(token.text)}"'
    if token.kind == "?":
        found = '"?"'
    if meant := advice(tokens, error.index):
        return SqlSyntax(f"syntax error at {found}", hint=meant, position=token.position)
    if unclosed := _open_parenthesis(tokens, error.index, words):
        return SqlSyntax(
            f"syntax error at {found}: a parenthesis is not closed",
            hint=f"close the ( at character {unclosed.position + 1} with )",
            position=unclosed.position if token.kind == END else token.position,
        )
    if token.kind == "%" and tokens[error.index + 1].text.lower() in ("s", "("):
        return SqlSyntax(
            f"syntax error at {found}",
            hint="a parameter is written ?, $1 or :name",
            position=token.position,
        )
    if token.kind == "[" and _kind_before(tokens, error.index) in ("[", ","):
        return SqlSyntax(
            f"syntax error at {found}: arrays have one dimension",
            hint="JSON holds lists of lists, as in '[[1, 2]]'::JSON",
            position=token.position,
        )
    if better := _misspelt(token, place):
        return SqlSyntax(
            f"syntax error at {found}",
            hint=f"did you mean {better}?",
            position=token.position,
        )
    if earlier := _misspelt_before(tokens, error.index):
        wrong, better = earlier
        return SqlSyntax(
            f'syntax error at "{_short(wrong.text)}"',
            hint=f"did you mean {better}?",
            position=wrong.position,
        )
    is_name = tokens[0].kind == "CREATE"
    if token.kind in RESERVED and _kind_before(tokens, error.index) == "," and not is_name:
        return SqlSyntax(
            f"syntax error at {found}",
            hint="take away the comma before it, or write what is missing between them",
            position=token.position,
        )
    if token.text.upper() in RESERVED and "NAME" in words:  # of USER the kind is another word's
        return SqlSyntax(
            f"syntax error at {found}: it is a reserved word",
            hint=f'as a name, write it in quotes: "{token.text.lower()}"; '
            f"otherwise {_expected(words)}",
            position=token.position,
        )
    return SqlSyntax(f"syntax error at {found}", hint=_expected(words), position=token.position)


def _kind_before(tokens: Sequence[Token], index: int) -> str:
    """Return the kind of the token before one."""
    return tokens[index - 1].kind if index else ""


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."


def _open_parenthesis(tokens: Sequence[Token], index: int, words: frozenset[str]) -> Token | None:
    """Return the innermost open parenthesis, if closing it is what should have come."""
    opened: list[Token] = []
    for token in tokens[:index]:
        if token.kind == "(":
            opened.append(token)
        elif token.kind == ")" and opened:
            opened.pop()
    if not opened or ")" not in words:
        return None
    after = tokens[index]
    return opened[-1] if after.kind == END or after.kind in RESERVED or after.kind == ";" else None


def _misspelt(token: Token, place: Place) -> str | None:
    if token.kind not in ("NAME", "QUOTED") and token.kind not in keywords():
        return None
    if len(token.text) > LONGEST_KEYWORD:
        return None
    candidates = place.words()
    written = token.text.upper()
    swapped = [word for word in candidates if sorted(word) == sorted(written)]  # FORM, not FOR
    near = swapped or difflib.get_close_matches(written, candidates, n=1, cutoff=0.7)
    return near[0] if near and near[0] != written else None


def _misspelt_before(tokens: Sequence[Token], index: int) -> tuple[Token, str] | None:
    """Find `SELECT a FORM m`: FORM was taken for an alias, the error shows one word later."""
    if index == 0 or tokens[index - 1].kind != "NAME":
        return None
    wrong = tokens[index - 1]
    better = _misspelt(wrong, Place(tuple(states_before(tokens, index - 1))))
    return (wrong, better) if better else None


def _expected(words: frozenset[str]) -> str:
    """Return what could have stood there, in human words, the most telling first."""
    names = expected_names(words)
    if not names:
        return ""
    if len(names) > SHOWN:
        return "expected one of: " + ", ".join(names[:SHOWN]) + ", ..."
    if len(names) == 1:
        return f"expected {names[0]}"
    return "expected " + ", ".join(names[:-1]) + " or " + names[-1]


def expected_names(words: frozenset[str]) -> list[str]:
    """Return accepted terminals as people call them, without those that only clutter."""
    left = set(words)
    names: list[str] = []
    if "NAME" in left:
        left -= keywords() - RESERVED  # every other keyword is accepted as a name here
    if left >= _EXPRESSION:
        names.append("an expression")
        left -= _EXPRESSION | _OPENING | set(_HUMAN) - {END} | {"TRUE", "FALSE", "QUOTED"}
    operators = left >= _OPERATORS
    if operators:
        left -= _OPERATORS | _COMPARING | _OTHER | _LOGICAL
    names += sorted({_HUMAN[word] for word in left if word in _HUMAN and word != END})
    left -= {"QUOTED"} | set(_HUMAN) - {END}
    names += sorted(word for word in left if word[0].isalpha())
    names += sorted(
        f'"{word}"' for word in left if not word[0].isalpha() and word not in (END, ";")
    )
    if operators:
        names.append("an operator")
    if END in left:
        names.append(_HUMAN[END])
    return names
