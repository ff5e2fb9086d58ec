"""Regular expressions as RE2 writes them: whole columns are matched by DuckDB's own.

Only whether a text matches is asked, so that what a match would prefer does not matter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.rules.regular.tree import Alt, Assert, Cat, Chars, Group, Repeat

if TYPE_CHECKING:
    from mfdb.rules.regular.tree import Node

_PLACES = {"start": r"\A", "end": r"\z", "line start": "(?m:^)", "line end": "(?m:$)"}
_CLASSES = {
    "digit": "0-9",
    "xdigit": "0-9A-Fa-f",
    "blank": r" \t",
    "alpha": r"\pL",
    "alnum": r"\pL\pN",
    "word": r"\pL\pN_",
    "space": r" \t-\r\x{85}\x{1680}\x{2000}-\x{2006}\x{2008}-\x{200a}\x{2028}\x{2029}\x{205f}"
    r"\x{3000}",
}
_VARIANTS = 200
"""Most characters of ranges whose other case is written out."""
_REPEATED = 1_000
"""RE2's own limit of repetitions within each other."""


class NotThere(Exception):
    """RE2 has nothing for it."""


def pattern_of(pattern: str, flags: str) -> str | None:
    """Return a pattern as RE2 reads it, None if it is none, or RE2 has no such thing."""
    from mfdb.rules.regular.parse import NoPattern, parse

    try:
        return to_re2(parse(pattern, flags)[0])
    except NoPattern:
        return None


def to_re2(node: Node) -> str | None:
    """Return the pattern as RE2 reads it, None if it has no such thing."""
    try:
        return _shown(node, 1)
    except NotThere:
        return None


def _shown(node: Node, times: int) -> str:
    if isinstance(node, Chars):
        return _chars(node)
    if isinstance(node, Cat):
        return "(?:" + "".join(_shown(part, times) for part in node.parts) + ")"
    if isinstance(node, Alt):
        return "(?:" + "|".join(_shown(branch, times) for branch in node.branches) + ")"
    if isinstance(node, Group):
        return _shown(node.node, times)
    if isinstance(node, Assert):
        if node.kind not in _PLACES:
            raise NotThere  # RE2's words are of ASCII letters only
        return _PLACES[node.kind]
    return _repeated(node, times)


def _repeated(node: Repeat, times: int) -> str:
    times *= max(node.least, node.most or 1)
    if times > _REPEATED:
        raise NotThere
    most = "" if node.most is None else node.most
    return f"(?:{_shown(node.node, times)}){{{node.least},{most}}}"


def _chars(node: Chars) -> str:
    parts = []
    for name in node.classes:
        if name not in _CLASSES:
            raise NotThere
        parts.append(_CLASSES[name])
    ranges = _both_cases(node.ranges) if node.folded else node.ranges
    parts += [f"{_number(low)}-{_number(high)}" for low, high in ranges]
    inside = "".join(parts)
    if node.without and not node.negated:
        raise NotThere
    if not inside:
        return _but(node.without) if node.negated else r"[^\x{0}-\x{10ffff}]"
    return f"[^{inside}{_listed(node.without)}]" if node.negated else f"[{inside}]"


def _but(without: str) -> str:
    return f"[^{_listed(without)}]" if without else "(?s:.)"


def _listed(letters: str) -> str:
    return "".join(map(_number, letters))


def _number(letter: str) -> str:
    return f"\\x{{{ord(letter):x}}}"


def _both_cases(ranges: tuple[tuple[str, str], ...]) -> list[tuple[str, str]]:
    found = list(ranges)
    if sum(ord(high) - ord(low) + 1 for low, high in ranges) > _VARIANTS:
        raise NotThere
    for low, high in ranges:
        for code in range(ord(low), ord(high) + 1):
            letter = chr(code)
            found += [(one, one) for one in _cases(letter)]
    return found


def _cases(letter: str) -> set[str]:
    """Return the characters whose lower or upper case is this one, as far as they are its own."""
    return {one for one in (letter.lower(), letter.upper(), letter.swapcase()) if len(one) == 1}
