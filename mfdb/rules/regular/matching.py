"""Where a regular expression matches, and what its groups hold there.

Of several matches the leftmost counts, of those the longest (the shortest, where the first
quantifier is one with `?`); groups share it out from left to right by the same rule, as in
PostgreSQL.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from mfdb.rules.regular.machine import Machine, TooLarge
from mfdb.rules.regular.parse import NoPattern, parse
from mfdb.rules.regular.tree import Alt, Cat, Group, Repeat, groups_in, prefers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mfdb.rules.regular.tree import Node

WORK = 5 * 10**7
"""Most characters times places that a match may look at: texts come from strangers."""
STEPS = 10**7
"""Most characters that one search reads, many of them often: finding all matches is no one pass."""
_MACHINES = 512

Span = tuple[int, int] | None


class TooMuchWork(Exception):
    """A text is too long for a pattern of that size."""


@lru_cache(maxsize=256)
def regular(pattern: str, flags: str = "") -> Regular:
    """Return a regular expression.

    Raises:
        NoPattern: it cannot be read.
    """
    return Regular(*parse(pattern, flags))


class Regular:
    """A pattern with its machines, which are made when they are needed."""

    def __init__(self, node: Node, groups: int) -> None:
        self.node = node
        self.groups = groups
        self._machines: dict[tuple[Node, bool, bool], Machine] = {}

    def machine(self, node: Node, *, backwards: bool = False, anywhere: bool = False) -> Machine:
        """Return the machine of a part.

        Raises:
            NoPattern: the part is too large.
        """
        key = (node, backwards, anywhere)
        found = self._machines.get(key)
        if found is None:
            if len(self._machines) > _MACHINES:
                self._machines.clear()
            try:
                found = Machine(node, backwards=backwards, anywhere=anywhere)
            except TooLarge:
                raise NoPattern("it is too large when its repetitions are written out") from None
            self._machines[key] = found
        return found

    def test(self, text: str) -> bool:
        """Return whether the pattern matches somewhere in a text.

        Raises:
            TooMuchWork: text times pattern is too large, whatever was matched before.
            NoPattern: the pattern is too large.
        """
        machine = self.machine(self.node, anywhere=True)
        _check_work(machine, text)
        return machine.matches(text)

    def find(self, text: str, start: int = 0, *, groups: bool = True) -> Iterator[list[Span]]:
        """Yield the matches that do not overlap: the place of each, then those of its groups.

        Without `groups` those are left out, which takes less time.

        Raises:
            TooMuchWork: they take more work than `WORK` and `STEPS` allow.
            NoPattern: the pattern is too large.
        """
        searching = self.machine(self.node, backwards=True, anywhere=True)
        _check_work(searching, text)
        begins = list(searching.ends(text, len(text), 0))
        search = _Search(self, text)
        while begins:
            begin = begins.pop()
            if begin < start:
                continue
            end = search.extent(begin)
            yield search.spans(begin, end) if groups else [(begin, end)]
            start = max(end, begin + 1)


def _check_work(machine: Machine, text: str) -> None:
    if (len(text) + 1) * machine.size > WORK:
        raise TooMuchWork


class _Search:
    """One search through a text, with the work that is left for it."""

    def __init__(self, pattern: Regular, text: str) -> None:
        self._pattern = pattern
        self._text = text
        self._work = STEPS

    def _ends(self, node: Node, start: int, stop: int, *, backwards: bool = False) -> Iterator[int]:
        """Yield where matches of a part end, with every step counted."""
        last = start
        for end in self._pattern.machine(node, backwards=backwards).ends(self._text, start, stop):
            self._spend(abs(end - last))
            last = end
            yield end
        self._spend(abs(stop - last))

    def _spend(self, steps: int) -> None:
        self._work -= steps + 1
        if self._work < 0:
            raise TooMuchWork

    def extent(self, begin: int) -> int:
        """Return where the match from a place on ends."""
        found = self._ends(self._pattern.node, begin, len(self._text))
        return next(found) if prefers(self._pattern.node) is False else max(found)

    def spans(self, begin: int, end: int) -> list[Span]:
        """Return the place of a match, and those of its groups."""
        spans: list[Span] = [(begin, end), *[None] * self._pattern.groups]
        if self._pattern.groups:
            self._share(self._pattern.node, begin, end, spans)
        return spans

    def _share(self, node: Node, begin: int, end: int, spans: list[Span]) -> None:
        """Say what the groups of a part hold, which matches from one place to another."""
        if next(groups_in(node), None) is None:
            return
        if isinstance(node, Group):
            spans[node.number] = (begin, end)
            self._share(node.node, begin, end, spans)
        elif isinstance(node, Cat):
            self._share_parts(node, begin, end, spans)
        elif isinstance(node, Alt):
            for branch in node.branches:
                if end in self._ends(branch, begin, end):
                    self._share(branch, begin, end, spans)
                    return
        elif isinstance(node, Repeat):
            self._share_rounds(node, begin, end, spans)

    def _share_parts(self, node: Cat, begin: int, end: int, spans: list[Span]) -> None:
        parts = _lumps(node.parts)
        for place, part in enumerate(parts[:-1]):
            rest = Cat(tuple(parts[place + 1 :]))
            middle = self._cut(part, rest, begin, end)
            self._share(part, begin, middle, spans)
            begin = middle
        self._share(parts[-1], begin, end, spans)

    def _share_rounds(self, node: Repeat, begin: int, end: int, spans: list[Span]) -> None:
        """Only what the last round held is kept; rounds that are not needed are not empty."""
        least, most = node.least, node.most
        if least > 0:
            before = node._replace(least=least - 1, most=None if most is None else most - 1)
            begin = self._cut(before, node.node, begin, end)
            self._share(node.node, begin, end, spans)
            return
        if begin == end:
            return
        while most != 1:
            most = None if most is None else most - 1
            middle = self._cut(node.node, node._replace(most=most), begin, end, moving=True)
            if middle == end:
                break
            begin = middle
        self._share(node.node, begin, end, spans)

    def _cut(self, part: Node, rest: Node, begin: int, end: int, *, moving: bool = False) -> int:
        """Return where a part ends and the rest begins, by what the part prefers."""
        ends = set(self._ends(part, begin, end))
        both = ends.intersection(self._ends(rest, end, begin, backwards=True))
        if moving and begin < end:
            both.discard(begin)
        return min(both) if prefers(part) is False else max(both)


def _lumps(parts: tuple[Node, ...]) -> list[Node]:
    """Return the parts, with those together that hold no group and do not disagree."""
    found: list[Node] = []
    for part in parts:
        before = found[-1] if found else None
        both = Cat((before, part)) if before is not None else part
        if before is not None and next(groups_in(both), None) is None and _agree(before, part):
            found[-1] = both
        else:
            found.append(part)
    return found


def _agree(one: Node, other: Node) -> bool:
    return None in (prefers(one), prefers(other)) or prefers(one) is prefers(other)
