"""From text to tokens by one regular expression; keywords come from a dictionary.

PostgreSQL's rules: unquoted names fold to lower case (ASCII letters only), `"` quotes names, `'`
strings, `E'` those with backslashes, `$tag$` longer ones; comments are `--` to the end of the line
and `/* */`, which nest.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from mfdb.kernel.errors import SqlSyntax
from mfdb.sql.automaton import END, Token, keywords

if TYPE_CHECKING:
    from collections.abc import Iterator

STATEMENT_CHARACTERS = 16 * 2**20
"""Longest statement that is looked at."""
STATEMENT_TOKENS = 500_000
"""Most words of a statement; long values are single words."""

RESERVED = frozenset(
    """ALL ANALYSE ANALYZE AND ANY ARRAY AS ASC ASYMMETRIC AUTHORIZATION BINARY BOTH CASE CAST CHECK
    COLLATE COLLATION COLUMN CONCURRENTLY CONSTRAINT CREATE CROSS CURRENT_CATALOG CURRENT_DATE
    CURRENT_ROLE CURRENT_SCHEMA CURRENT_TIME CURRENT_TIMESTAMP CURRENT_USER DEFAULT DEFERRABLE DESC
    DISTINCT DO ELSE END EXCEPT FALSE FETCH FOR FOREIGN FREEZE FROM FULL GRANT GROUP HAVING ILIKE IN
    INITIALLY INNER INTERSECT INTO IS ISNULL JOIN LATERAL LEADING LEFT LIKE LIMIT LOCALTIME
    LOCALTIMESTAMP NATURAL NOT NOTNULL NULL OFFSET ON ONLY OR ORDER OUTER OVERLAPS PLACING PRIMARY
    REFERENCES RETURNING RIGHT SELECT SESSION_USER SIMILAR SOME SYMMETRIC TABLE TABLESAMPLE THEN TO
    TRAILING TRUE UNION UNIQUE USER USING VARIADIC VERBOSE WHEN WHERE WINDOW WITH""".split()  # noqa: SIM905 - 78 quoted words read worse
)
"""PostgreSQL 15's reserved words: no names unless quoted, even where the grammar has no use yet."""
_WHO = ("CURRENT_USER", "CURRENT_ROLE", "SESSION_USER", "USER")
"""PostgreSQL's words for who asks: here all of them are the identity."""

_SPACE = re.compile(r"(?:\s+|--[^\n]*)+")
_TOKEN = re.compile(
    r"""
    (?P<BLOB>[xX]'[0-9a-fA-F]*')
  | (?P<ESCAPED>[eE]'(?s:[^'\\]|''|\\.)*')
  | (?P<NAME>(?![eE]')[^\W\d]\w*)
  | (?P<DECIMAL>\d+\.(?!\.)\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+)
  | (?P<INTEGER>\d+)
  | (?P<STRING>'(?:[^']|'')*')
  | (?P<QUOTED>"(?:[^"]|"")+")
  | (?P<DOLLAR>\$\d+)
  | (?P<TAGGED>\$(?P<tag>(?:[^\W\d]\w*)?)\$(?s:.*?)\$(?P=tag)\$)
  | (?P<MARK>@>|<@|&&|<=|>=|<>|!=|::|\|\||->>?|\#>>?|!?~\*?|[-+*/%^<>=(),.;?\[\]]|:(?![^\W\d]))
  | (?P<COLON_NAME>:[^\W\d]\w*)
    """,
    re.VERBOSE,
)
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_OPENERS = {
    "'": "a string is not closed",
    '"': "a quoted name is not closed",
    **dict.fromkeys("eE", "a string is not closed"),
    "$": "a $-quoted string is not closed",
}
_STRANGE = {
    "`": 'names are quoted as "name"',
    "\\": "a meta command stands alone on its line",
    "@": "there are no variables; parameters are ?, $1 or :name, and \\set makes one in the shell",
    "#": "comments are -- to the end of the line, and /* */",
    "&": "AND",
    **dict.fromkeys("\u2018\u2019\u201c\u201d", "write plain quotes: ' for texts, \" for names"),
}
"""What people mean by letters that no token begins with."""


class Piece(NamedTuple):
    """One statement of a script: its text and where it starts in the whole."""

    text: str
    offset: int


@cache
def _words() -> dict[str, str]:
    known = {word: word for word in RESERVED}
    known.update({word: word for word in keywords()})
    known.update(dict.fromkeys(_WHO, "CURRENT_IDENTITY"))
    return known


def fold(name: str) -> str:
    """Return an unquoted name as it is known: ASCII letters in lower case.

    >>> fold("Inbox")
    'inbox'
    """
    if name.isascii():
        return name.lower()
    return "".join(letter.lower() if letter.isascii() else letter for letter in name)


def tokenise(text: str) -> list[Token]:
    """Return the tokens of a text, closed by an `END` token.

    Raises:
        SqlSyntax: something in it is no token, with its position.
    """
    if len(text) > STATEMENT_CHARACTERS:
        raise SqlSyntax(
            f"a statement of {len(text)} characters is over the limit {STATEMENT_CHARACTERS}",
            hint="pass long values as parameters",
            position=0,
        )
    tokens: list[Token] = []
    words, match_token, add = _words(), _TOKEN.match, tokens.append
    place = skip(text, 0)
    size = len(text)
    while place < size:
        found = match_token(text, place)
        if found is None:
            raise no_token(text, place)
        kind, word = found.lastgroup, found.group()
        if kind == "NAME":
            add(Token(words.get(word.upper(), "NAME"), word, place))
            if tokens[-1].kind == "TIME":
                _join_with(tokens, "TIMESTAMP", "TIME")
            elif tokens[-1].kind == "NAME" and word.upper() == "ORDINALITY":
                _join_with(tokens, ")", "ORDINALITY")
        elif kind == "MARK":
            add(Token(word, word, place))
        elif kind in ("TAGGED", "ESCAPED"):
            add(Token("STRING", word, place))
        else:
            add(Token(kind or "", word, place))
            _refuse_tail(text, found.end(), kind)
        place = skip(text, found.end())
        if len(tokens) > STATEMENT_TOKENS:
            raise SqlSyntax(
                f"a statement has more than {STATEMENT_TOKENS} words",
                hint="split it up, or pass values as parameters",
                position=place,
            )
    add(Token(END, "", len(text.rstrip())))
    return tokens


def _join_with(tokens: list[Token], before: str, word: str) -> None:
    """Make one token of `WITH TIME` behind TIMESTAMP: one word ahead does not tell it apart.

    `SUBSCRIBE TO SELECT d::TIMESTAMP WITH (...)` goes on otherwise (PostgreSQL's scanner does so).
    So it is with `WITH ORDINALITY` behind the parentheses of a function.
    """
    if len(tokens) > 2 and tokens[-2].kind == "WITH" and tokens[-3].kind == before:
        last, start = tokens.pop(), tokens.pop()
        tokens.append(Token(f"WITH {word}", f"{start.text} {last.text}", start.position))


def _refuse_tail(text: str, end: int, kind: str | None) -> None:
    """Refuse `1abc` and `$1x`: they are typing errors, not two tokens."""
    if kind in ("INTEGER", "DECIMAL", "DOLLAR") and end < len(text):
        letter = text[end]
        if letter.isalnum() or letter == "_":
            raise SqlSyntax(
                f"a letter follows the number at {letter!r}",
                hint="put a space between them, or quote the name",
                position=end,
            )


def skip(text: str, place: int) -> int:
    """Return the place of the next token, past space and comments.

    Raises:
        SqlSyntax: a comment is not closed.
    """
    while True:
        found = _SPACE.match(text, place)
        if found is not None:
            place = found.end()
        if not text.startswith("/*", place):
            return place
        place = _comment_end(text, place)


def _comment_end(text: str, place: int) -> int:
    depth = 0
    for edge in _COMMENT_EDGE.finditer(text, place):
        depth += 1 if edge.group() == "/*" else -1
        if depth == 0:
            return edge.end()
    raise SqlSyntax("a comment is not closed", hint="end it with */", position=place)


def no_token(text: str, place: int) -> SqlSyntax:
    """Return the error for a place where no token starts."""
    letter = text[place]
    if letter == '"' and text.startswith('""', place):
        return SqlSyntax("a quoted name is empty", hint="put a name in it", position=place)
    if letter in _OPENERS:
        closing = {"$": "the same $tag$", "e": "'", "E": "'"}.get(letter, letter)
        if letter == "'" and "\\'" in text:
            closing = "'; a quote in a text is doubled, 'it''s', or the text is E'it\\'s'"
        return SqlSyntax(_OPENERS[letter], hint=f"close it with {closing}", position=place)
    hint = _STRANGE.get(letter, "")
    return SqlSyntax(f"unexpected character {letter!r}", hint=hint, position=place)


def split(text: str) -> list[Piece]:
    """Return the statements of a script, cut at every `;` outside quotes and comments.

    Statements without a token are left out. What cannot be cut (an open quote) becomes the last
    piece whole, so that parsing it reports the error in its place.
    """
    pieces: list[Piece] = []
    start = place = 0
    try:
        place = start = skip(text, 0)
        while place < len(text):
            found = _TOKEN.match(text, place)
            end = found.end() if found is not None else place + 1
            if found is None and text[place] in _OPENERS:
                break
            if found is not None and found.group() == ";":
                _add(pieces, text, start, place)
                start = skip(text, end)
            place = skip(text, end)
    except SqlSyntax:
        place = len(text)
    _add(pieces, text, start, len(text))
    return pieces


def _add(pieces: list[Piece], text: str, start: int, end: int) -> None:
    piece = text[start:end].rstrip()
    if piece:
        pieces.append(Piece(piece, start))


def is_open(text: str) -> bool:
    """Return whether a quote, comment or parenthesis is still open: an editor then waits."""
    depth = place = 0
    try:
        while (place := skip(text, place)) < len(text):
            found = _TOKEN.match(text, place)
            if found is None:
                return text[place] in _OPENERS
            depth += {"(": 1, ")": -1}.get(found.group(), 0)
            place = found.end()
    except SqlSyntax:
        return True
    return depth > 0


def outside(text: str, letters: str, start: int = 0) -> Iterator[int]:
    """Yield where one of these letters stands outside quotes and comments, up to what is open."""
    place = start
    try:
        while (place := skip(text, place)) < len(text):
            found = _TOKEN.match(text, place)
            if found is None and text[place] in _OPENERS:
                return
            if text[place] in letters and (found is None or found.end() == place + 1):
                yield place
            place = found.end() if found is not None else place + 1
    except SqlSyntax:
        return
