"""`parse(text)`: the statement that a text says, or a `SqlSyntax` that points at the wrong word.

Parsed statements are remembered by their exact text; they are immutable, so that sharing is safe.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING

from mfdb.kernel.errors import SqlSyntax
from mfdb.sql.actions import ACTIONS
from mfdb.sql.automaton import END, Machine, TooDeep, Unexpected
from mfdb.sql.scanner import split, tokenise

if TYPE_CHECKING:
    from mfdb.sql.automaton import Token
    from mfdb.sql.statement import Statement

CACHED_STATEMENTS = 512
CACHED_CHARACTERS = 15 * 1024
"""Longer texts are data more than statements and would fill the cache."""
_STYLES = {"?": "?", "DOLLAR": "$1", "COLON_NAME": ":name"}

__all__ = ["parse", "split"]


def parse(text: str) -> Statement:
    """Return the one statement of a text; a final `;` is allowed.

    Raises:
        SqlSyntax: the text is no statement; position and hint say where and why.
    """
    return _remembered(text) if len(text) <= CACHED_CHARACTERS else _parse(text)


@cache
def _machine() -> Machine:
    return Machine(ACTIONS)


def _parse(text: str) -> Statement:
    tokens = tokenise(text)
    if tokens[0].kind == END:
        raise SqlSyntax(
            "there is no statement", hint="type one, for example SHOW DATASETS", position=0
        )
    _refuse_more(tokens)
    tokens = _number(tokens)
    try:
        statement: Statement = _machine().run(tokens)
    except Unexpected as error:
        from mfdb.sql.syntax_error import explain

        raise explain(tokens, error) from None
    except TooDeep as error:
        raise SqlSyntax(
            "the statement is nested too deeply",
            hint="take away parentheses",
            position=tokens[error.index].position,
        ) from None
    return statement


_remembered = lru_cache(maxsize=CACHED_STATEMENTS)(_parse)


def _refuse_more(tokens: list[Token]) -> None:
    """Refuse what follows a `;`: it would be taken for done, and is not even looked at."""
    for at, token in enumerate(tokens[:-2]):
        if token.kind == ";":
            following = tokens[at + 1]
            raise SqlSyntax(
                f'"{following.text[:40]}" follows the end of the statement',
                hint="run one statement at a time",
                position=following.position,
            )


def _number(tokens: list[Token]) -> list[Token]:
    """Turn each `?` into its number, and refuse two styles of parameters in one statement."""
    used = [(token.kind, token.position) for token in tokens if token.kind in _STYLES]
    if not used:
        return tokens
    first = used[0][0]
    for kind, position in used:
        if kind != first:
            raise SqlSyntax(
                f"parameters are written {_STYLES[first]} and {_STYLES[kind]} in one statement",
                hint=f"write all of them {_STYLES[first]}",
                position=position,
            )
    if first != "?":
        return tokens
    if len(used) > 65_535:
        raise SqlSyntax("a statement has at most 65535 parameters", position=used[65_535][1])
    numbers = iter(range(len(used)))
    return [
        token._replace(text=str(next(numbers))) if token.kind == "?" else token for token in tokens
    ]
