"""SQL's LIKE, as one function that policies and queries share."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

PATTERN_CHARACTERS = 1_024
WORK = 2 * 10**8
"""Most comparisons of letters that a match may need: texts come from strangers."""


@lru_cache(maxsize=256)
def like_matcher(pattern: str, escape: str, *, folded: bool) -> Callable[[str], bool | None] | None:
    """Return a test for `text LIKE pattern`, or None if the pattern is no pattern.

    `escape` is one character or empty. A pattern that ends in its escape, or is longer than
    `PATTERN_CHARACTERS`, is none; the test is None where it would need more than `WORK`. The pieces
    between `%` are searched from left to right, so that the work is bounded by text times pattern,
    without the backtracking of a regular expression.
    """
    if len(pattern) > PATTERN_CHARACTERS or len(escape) > 1:
        return None
    pieces = _pieces(pattern.lower() if folded else pattern, escape.lower() if folded else escape)
    if pieces is None:
        return None
    compiled = [re.compile(piece, re.DOTALL) for piece in pieces]
    longest = max((_length(piece) for piece in pieces if "." in piece), default=1)

    def matches(text: str) -> bool | None:
        if len(text) * longest > WORK:
            return None
        return _matches(compiled, text.lower() if folded else text)

    return matches


def _pieces(pattern: str, escape: str) -> list[str] | None:
    """Return the parts between `%`, as regular expressions of plain letters and dots."""
    pieces = [""]
    letters = iter(pattern)
    for letter in letters:
        if escape and letter == escape:
            after = next(letters, None)
            if after is None:
                return None
            pieces[-1] += re.escape(after)
        elif letter == "%":
            pieces.append("")
        else:
            pieces[-1] += "." if letter == "_" else re.escape(letter)
    return pieces


def _length(piece: str) -> int:
    """Return how many letters a piece matches."""
    return len(re.sub(r"\\(.)", r"\1", piece, flags=re.DOTALL))


def _matches(pieces: list[re.Pattern[str]], text: str) -> bool:
    if len(pieces) == 1:
        return pieces[0].fullmatch(text) is not None
    first = pieces[0].match(text)
    if first is None:
        return False
    place = first.end()
    for piece in pieces[1:-1]:
        found = piece.search(text, place)
        if found is None:
            return False
        place = found.end()
    return _ends(pieces[-1], text, place)


def _ends(piece: re.Pattern[str], text: str, place: int) -> bool:
    """Return whether the last piece stands at the end; its length is that of its one match."""
    if not piece.pattern:
        return True
    start = len(text) - _length(piece.pattern)
    return start >= place and piece.match(text, start) is not None
