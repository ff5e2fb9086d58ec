"""Which suggestions match what is typed, and in which order they are offered.

First what starts with it, then what has a word that does (`sent_at` for `at`), then what holds
it, then names that have its letters in order. Among equals: what the place asks for first, then
what was used more often, then the shorter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_EXACT = frozenset({"keyword", "command"})
"""Kinds of which only what begins so is offered."""
NO_MATCH = 9
_FUZZY_LEAST = 2
"""One letter stands in order in nearly every name, so that says nothing."""


class Candidate(NamedTuple):
    """Something that may be offered; of two kinds the one with the lower rank comes first."""

    text: str
    kind: str
    detail: str = ""
    rank: int = 0
    replaces: str = ""
    """What else of the text before the cursor it replaces."""


def ranked(candidates: Iterable[Candidate], stem: str, used: Mapping[str, int]) -> list[Candidate]:
    """Return the candidates that match a stem (in lower case), the likeliest first."""
    found = []
    for candidate in candidates:
        text = candidate.text.strip('"').lower()
        how = match(text, stem, is_fuzzy=candidate.kind not in _EXACT)
        if how < NO_MATCH:
            found.append((how, candidate.rank, -used.get(text, 0), candidate))
    if stem or used:
        found.sort(key=lambda item: (*item[:3], len(item[3].text), item[3].text))
    else:
        found.sort(key=lambda item: item[1])  # in the order of the dataset's columns
    return [item[3] for item in found]


def match(text: str, stem: str, *, is_fuzzy: bool) -> int:
    """Return how well a text matches: 0 best, `NO_MATCH` not at all.

    >>> [match("sent_at", stem, is_fuzzy=True) for stem in ("sen", "at", "nt", "sa", "x")]
    [0, 1, 2, 3, 9]
    """
    if text.startswith(stem):
        return 0
    if "_" + stem in text or " " + stem in text:
        return 1
    if len(stem) < _FUZZY_LEAST:
        return NO_MATCH
    if is_fuzzy and stem in text:
        return 2
    return 3 if is_fuzzy and _in_order(text, stem) else NO_MATCH


def _in_order(text: str, stem: str) -> bool:
    letters = iter(text)
    return text[:1] == stem[:1] and all(letter in letters for letter in stem)
