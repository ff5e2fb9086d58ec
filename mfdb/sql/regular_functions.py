"""Functions and operators of regular expressions, with PostgreSQL's flags and answers."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING

from mfdb.kernel.errors import DataError, InvalidParameter, InvalidPattern, ValueTooLarge
from mfdb.kernel.limits import ROW_BYTES
from mfdb.rules.regular.matching import Regular, TooMuchWork, regular
from mfdb.rules.regular.parse import FLAGS, NoFlag, NoPattern
from mfdb.sql.arrays import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mfdb.rules.regular.matching import Span

_INSERTED = r"\\([1-9&\\])"
"""What a replacement takes from a match."""


def compiled(pattern: str, flags: str = "") -> Regular:
    """Return a regular expression.

    Raises:
        InvalidPattern: it is none.
        InvalidParameter: nobody knows one of the flags.
    """
    try:
        return regular(pattern, flags)
    except NoFlag as error:
        raise InvalidParameter(str(error), hint=f"flags: {', '.join(FLAGS)}") from None
    except NoPattern as error:
        raise _no_pattern(error) from None


def _no_pattern(error: NoPattern) -> InvalidPattern:
    return InvalidPattern(f"no regular expression: {error}")


def _too_much() -> DataError:
    return DataError(
        "the text is too long for this regular expression",
        hint="make the pattern shorter, or look at a part of the text",
    )


def is_like(text: str, pattern: str, flags: str = "") -> bool:
    """Return whether a pattern matches somewhere in a text.

    Raises:
        InvalidPattern: it is none.
        DataError: text and pattern are too long together.
    """
    try:
        return compiled(pattern, flags).test(text)
    except TooMuchWork:
        raise _too_much() from None
    except NoPattern as error:
        raise _no_pattern(error) from None


def found_in(
    text: str, pattern: str, flags: str = "", start: int = 1, *, groups: bool = True
) -> Iterator[Sequence[Span]]:
    """Yield the matches of a pattern from a character on, which counts from 1.

    Without `groups` only the places of whole matches are given.

    Raises:
        InvalidPattern, InvalidParameter, DataError: as `is_like`; the start is not positive.
    """
    if start < 1:
        raise InvalidParameter("a search starts at 1", hint="characters count from 1")
    if start > len(text) + 1:
        return
    try:
        yield from compiled(pattern, flags).find(text, start - 1, groups=groups)
    except TooMuchWork:
        raise _too_much() from None
    except NoPattern as error:
        raise _no_pattern(error) from None


def _single(flags: str) -> str:
    if "g" in flags:
        raise InvalidParameter("the flag g means nothing here", hint="leave it out")
    return flags


def _nth(matches: Iterator[Sequence[Span]], place: int) -> Sequence[Span] | None:
    if place < 1:
        raise InvalidParameter("matches count from 1")
    return next(islice(matches, place - 1, None), None)


def replaced(text: str, pattern: str, new: str, flags: str = "") -> str:
    """Return a text with the first match replaced, or with all of them by the flag g."""
    matches = found_in(text, pattern, flags, groups=_names_groups(new))
    return _replaced(text, new, matches if "g" in flags else islice(matches, 1))


def replaced_from(
    text: str, pattern: str, new: str, start: int, place: int | None = None, flags: str = ""
) -> str:
    """Return a text with one match from a place on replaced, all of them if its number is 0."""
    matches = found_in(text, pattern, flags, start, groups=_names_groups(new))
    if place is None:
        place = 0 if "g" in flags else 1
    if place < 0:
        raise InvalidParameter("matches count from 1, and 0 means all")
    return _replaced(text, new, islice(matches, place - 1, place) if place else matches)


def _names_groups(new: str) -> bool:
    return re.search(r"\\[1-9]", new) is not None


def _replaced(text: str, new: str, matches: Iterator[Sequence[Span]]) -> str:
    parts: list[str] = []
    at = size = 0
    for spans in matches:
        begin, end = spans[0] or (0, 0)
        parts += (text[at:begin], _inserted(text, new, spans))
        at = end
        size += len(parts[-2]) + len(parts[-1])
        if size > ROW_BYTES:
            raise ValueTooLarge(f"the result is over {ROW_BYTES} bytes")
    return "".join([*parts, text[at:]])


def _inserted(text: str, new: str, spans: Sequence[Span]) -> str:
    if "\\" not in new:
        return new

    def part(mark: re.Match[str]) -> str:
        if mark[1] == "\\":
            return "\\"
        number = 0 if mark[1] == "&" else int(mark[1])
        return _text_of(text, spans[number] if number < len(spans) else None) or ""

    return re.sub(_INSERTED, part, new)


def _text_of(text: str, span: Span) -> str | None:
    return None if span is None else text[span[0] : span[1]]


def groups_of(text: str, spans: Sequence[Span]) -> list[str | None]:
    """Return what the groups of a match hold, the match itself where there are no groups."""
    return [_text_of(text, span) for span in (spans[1:] or spans)]


def part_like(text: str, pattern: str) -> str | None:
    """Return the first match, or what its first group holds (substring with a pattern)."""
    for spans in found_in(text, pattern):
        return groups_of(text, spans)[0]
    return None


def count_of(text: str, pattern: str, start: int = 1, flags: str = "") -> int:
    """Return how many matches there are."""
    return sum(1 for _ in found_in(text, pattern, _single(flags), start))


def place_of(
    text: str, pattern: str, start: int = 1, number: int = 1, end: int = 0, flags: str = "",
    group: int = 0,
) -> int:  # fmt: skip
    """Return where a match (or one of its groups) begins, or where what follows it; 0 if nowhere.

    Raises:
        InvalidParameter: one of the numbers is none of those that mean something.
    """
    if end not in (0, 1):
        raise InvalidParameter("the end option is 0 or 1")
    span = _span(found_in(text, pattern, _single(flags), start), number, group)
    return 0 if span is None else span[end] + 1


def text_at(
    text: str, pattern: str, start: int = 1, number: int = 1, flags: str = "", group: int = 0
) -> str | None:
    """Return a match or one of its groups, None if there is none."""
    found = found_in(text, pattern, _single(flags), start)
    return _text_of(text, _span(found, number, group))


def first_groups(text: str, pattern: str, flags: str = "") -> bytes | None:
    """Return what the groups of the first match hold, as an array; None if there is none."""
    for spans in found_in(text, pattern, _single(flags)):
        return encode(groups_of(text, spans))
    return None


def all_groups(text: str, pattern: str, flags: str = "") -> list[bytes]:
    """Return what the groups of a match hold as an array, of all matches by the flag g."""
    matches = found_in(text, pattern, flags)
    return [
        encode(groups_of(text, spans))
        for spans in (matches if "g" in flags else islice(matches, 1))
    ]


def _span(matches: Iterator[Sequence[Span]], number: int, group: int) -> Span:
    if group < 0:
        raise InvalidParameter("groups count from 1, and 0 is the whole match")
    spans = _nth(matches, number)
    return spans[group] if spans is not None and group < len(spans) else None


def pieces_of(text: str, pattern: str, flags: str = "") -> list[str]:
    """Return what stands between the matches; empty ones count only inside the text."""
    pieces: list[str] = []
    at = 0
    for spans in found_in(text, pattern, _single(flags)):
        begin, end = spans[0] or (0, 0)
        if begin == end and (begin in (at, len(text))):
            continue
        pieces.append(text[at:begin])
        at = end
    return [*pieces, text[at:]]


def _negated(test: Callable[..., bool]) -> Callable[..., bool]:
    return lambda text, pattern: not test(text, pattern)


def _folded(text: str, pattern: str) -> bool:
    return is_like(text, pattern, "i")


MATCHING: dict[str, Callable[[str, str], bool]] = {
    "~": is_like,
    "~*": _folded,
    "!~": _negated(is_like),
    "!~*": _negated(_folded),
}
"""The operators of regular expressions."""


CALLS: dict[str, Callable[..., object]] = {
    "regexp_like": lambda text, pattern, flags="": is_like(text, pattern, _single(flags)),
    "regexp_replace": replaced,
    "regexp_replace from": replaced_from,
    "regexp_count": count_of,
    "regexp_instr": place_of,
    "regexp_substr": text_at,
    "substring": part_like,
    "split": lambda text, pattern, flags="": encode(list(pieces_of(text, pattern, flags))),
    "regexp_match": first_groups,
    "regexp_matches": all_groups,
    "regexp_split_to_table": pieces_of,
    **MATCHING,
}
"""What `regular_forms` calls."""
