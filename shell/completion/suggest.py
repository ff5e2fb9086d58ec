"""Suggestions at the cursor of a text that is being typed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from mfdb.kernel.errors import SqlSyntax
from mfdb.sql.places import Place, Role, after, start
from mfdb.sql.scanner import outside, tokenise
from shell.completion.meta import meta_candidates
from shell.completion.names import candidates_for
from shell.completion.ranking import Candidate, ranked
from shell.script import is_meta

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfdb.sql.automaton import Token
    from shell.completion.catalogue import Catalogue

SUGGESTIONS = 200
LOOKED_AT = 5_000
WORDS = 400
"""Behind more characters, or more words of one statement, nothing is completed: nobody types such
texts by hand, and reading them would take too long."""

_PARTIAL = re.compile(r"[^\W\d]\w*\Z")
_FILE_PLACES = frozenset({"FROM", "TO"})


class Suggestion(NamedTuple):
    """A text to insert in place of the `replaces` characters before the cursor."""

    text: str
    replaces: int
    kind: str
    detail: str = ""


class Typed(NamedTuple):
    """What stands before the cursor: the statement's tokens, and the word that is being typed."""

    tokens: list[Token]
    partial: str


def suggestions(
    before: str, catalogue: Catalogue, behind: str = "", *, keyword_case: str = "auto"
) -> list[Suggestion]:
    """Return what may be inserted after the text `before`, the likeliest first.

    `behind` is the text after the cursor: `SELECT | FROM letters` completes columns of letters.
    """
    if len(before) > LOOKED_AT:
        return []
    meta = _meta_part(before)
    if meta:
        return _made(*meta_candidates(meta, catalogue), catalogue)
    typed = _typed(before)
    if typed is None:
        return _file_names(before)
    if len(typed.tokens) > WORDS:
        return []
    place = after(typed.tokens) if typed.tokens else start()
    behind_tokens = _tokens_of(behind[:LOOKED_AT])
    names = _names(typed, place, behind_tokens, catalogue)
    words = _keywords(typed, place, keyword_case)
    return _made([*names, *words], typed.partial, catalogue)


def _meta_part(before: str) -> str:
    """Return the meta command that the text ends in, or nothing; it may follow a statement."""
    if is_meta(before):
        return before.lstrip()
    if "\\" not in before:
        return ""
    place = max(outside(before, ";\\"), default=0)
    return before[place:] if before[place : place + 1] == "\\" else ""


def _made(candidates: Sequence[Candidate], partial: str, catalogue: Catalogue) -> list[Suggestion]:
    stem = partial.lstrip('"').lower()
    return [
        Suggestion(one.text, len(partial) + len(one.replaces), one.kind, one.detail)
        for one in ranked(candidates, stem, catalogue.used)[:SUGGESTIONS]
    ]


def _typed(text: str) -> Typed | None:
    """Return what is typed, or None inside a string or a comment."""
    found = _PARTIAL.search(text)
    partial = found.group() if found else ""
    try:
        return Typed(_last_statement(text[: len(text) - len(partial)]), partial)
    except SqlSyntax as error:
        place = error.position
    if place is None or not text.startswith('"', place):
        return None
    try:
        return Typed(_last_statement(text[:place]), text[place:])  # inside a quoted name
    except SqlSyntax:
        return None


def _last_statement(text: str) -> list[Token]:
    """Return the tokens behind the last `;`."""
    tokens = tokenise(text)[:-1]
    ends = [index for index, token in enumerate(tokens) if token.kind == ";"]
    return tokens[ends[-1] + 1 :] if ends else tokens


def _tokens_of(text: str) -> list[Token]:
    """Return the tokens after the cursor, to the end of the statement or to what is no token."""
    end = next(outside(text, ";"), len(text))
    try:
        return tokenise(text[:end])[:-1]
    except SqlSyntax as error:
        try:
            return tokenise(text[: error.position])[:-1]
        except SqlSyntax:
            return []


def _names(
    typed: Typed, place: Place | None, behind: list[Token], catalogue: Catalogue
) -> list[Candidate]:
    roles = _guess(typed.tokens) if place is None else place.roles()
    if not roles:
        return []
    return candidates_for(roles, [*typed.tokens, *behind], len(typed.tokens), catalogue)


def _guess(tokens: Sequence[Token]) -> frozenset[Role]:
    """Return what a name may be where the statement is wrong before: by the last word."""
    last = tokens[-1].kind if tokens else ""
    if last in ("FROM", "JOIN", "INTO", "UPDATE", "TABLE", "DATASET"):
        return frozenset({Role.DATASET})
    return frozenset({Role.COLUMN, Role.FUNCTION})


def _keywords(typed: Typed, place: Place | None, case: str) -> list[Candidate]:
    if place is None:
        return []
    is_lower = case == "lower" or (case == "auto" and _writes_lower(typed))
    found = []
    for word in place.words():
        following = place.then(word)
        more = following.only_next() if following is not None else None
        text = f"{word} {more}" if more is not None and more[0].isalpha() else word
        if more is not None and more.isupper() and len(more) > 1 and more in _CLASSES:
            text = word
        found.append(Candidate(text.lower() if is_lower else text, "keyword", rank=5))
    return found


_CLASSES = frozenset({"NAME", "QUOTED", "STRING", "BLOB", "INTEGER", "DECIMAL", "DOLLAR"})


def _writes_lower(typed: Typed) -> bool:
    """Return whether keywords are written in lower case: the word at hand is, or the last was."""
    if typed.partial:
        return typed.partial.islower()
    words = [token.text for token in typed.tokens if token.kind == token.text.upper()]
    words = [word for word in words if word.isalpha()]
    return bool(words) and words[-1].islower()


def _file_names(text: str) -> list[Suggestion]:
    """Return paths inside the quotes of `COPY t FROM '...`."""
    from shell.completion.meta import path_candidates

    place = text.rfind("'")
    words = text[:place].split()
    if (
        place < 0
        or not words
        or words[0].upper() != "COPY"
        or words[-1].upper() not in _FILE_PLACES
    ):
        return []
    typed = text[place + 1 :]
    return [
        Suggestion(one.text, len(typed), one.kind, one.detail)
        for one in path_candidates(typed)[:SUGGESTIONS]
    ]
