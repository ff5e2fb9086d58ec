"""Automata of regular expressions: all paths at once, remembered as they are met.

A machine knows for each set of places in the pattern where a character leads; nothing is tried
twice, so that a run costs at most length of the text times size of the pattern.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.rules.regular.tree import HOLDS, Alt, Assert, Cat, Chars, Group, Repeat, reversed_tree

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mfdb.rules.regular.tree import Node

PLACES = 5_000
"""Most places of a machine: counted repetitions write a part out."""
_KEPT = 2_000
"""Most sets of places that are remembered, and most characters out of all of them times ten."""


class TooLarge(Exception):
    """A pattern has more than `PLACES` places."""


class _State:
    """A set of places that may be where we are; `matched` says that a match ended before it."""

    __slots__ = ("edges", "left", "matched", "places")

    def __init__(self, places: frozenset[int], left: str | None, *, matched: bool) -> None:
        self.places = places
        self.left = left
        self.matched = matched
        self.edges: dict[str | None, _State] = {}


class Machine:
    """Runs a pattern over a text, forwards or `backwards`, from one place or `anywhere`."""

    def __init__(self, node: Node, *, backwards: bool = False, anywhere: bool = False) -> None:
        self._free: list[list[tuple[int, str]]] = [[]]
        self._chars: list[tuple[Chars, int] | None] = [None]
        self._looks = False
        self._backwards = backwards
        self._anywhere = anywhere
        self._last = self._build(reversed_tree(node) if backwards else node, 0)
        self._states: dict[tuple[frozenset[int], str | None, bool], _State] = {}
        self._edges = 0

    @property
    def size(self) -> int:
        """How many places it has."""
        return len(self._chars)

    # ---- building (Thompson 1968)

    def _place(self) -> int:
        if len(self._chars) >= PLACES:
            raise TooLarge
        self._free.append([])
        self._chars.append(None)
        return len(self._chars) - 1

    def _join(self, source: int, target: int, what: str = "") -> None:
        self._free[source].append((target, what))

    def _build(self, node: Node, at: int) -> int:
        """Add a part behind a place, and return the place behind it."""
        if isinstance(node, Cat):
            for part in node.parts:
                at = self._build(part, at)
            return at
        if isinstance(node, Group):
            return self._build(node.node, at)
        if isinstance(node, Repeat):
            return self._repeated(node, at)
        end = self._place()
        if isinstance(node, Alt):
            for branch in node.branches:
                begin = self._place()
                self._join(at, begin)
                self._join(self._build(branch, begin), end)
        elif isinstance(node, Assert):
            self._looks = True
            self._join(at, end, node.kind)
        else:
            begin = self._place()
            self._join(at, begin)
            self._chars[begin] = (node, end)
        return end

    def _repeated(self, node: Repeat, at: int) -> int:
        for _ in range(node.least):
            at = self._build(node.node, at)
        end = self._place()
        if node.most is None:
            begin = self._place()
            self._join(at, begin)
            self._join(self._build(node.node, begin), begin)
            self._join(begin, end)
            return end
        for _ in range(node.most - node.least):
            self._join(at, end)
            at = self._build(node.node, at)
        self._join(at, end)
        return end

    # ---- running

    def _closure(
        self, places: frozenset[int], before: str | None, after: str | None
    ) -> frozenset[int]:
        """Return the places that are reached without reading a character."""
        left, right = (after, before) if self._backwards else (before, after)
        found = set(places)
        todo = list(places)
        while todo:
            for target, what in self._free[todo.pop()]:
                if target not in found and (not what or HOLDS[what](left, right)):
                    found.add(target)
                    todo.append(target)
        return frozenset(found)

    def _state(self, places: frozenset[int], left: str | None, *, matched: bool) -> _State:
        key = (places, left, matched)
        found = self._states.get(key)
        if found is None:
            if len(self._states) >= _KEPT or self._edges >= 10 * _KEPT:
                self._states.clear()
                self._edges = 0
            found = self._states[key] = _State(places, left, matched=matched)
        return found

    def _step(self, state: _State, letter: str | None) -> _State:
        """Return where a character leads, None as the end of the text."""
        reached = self._closure(state.places, state.left, letter)
        after = {
            edge[1]
            for place in reached
            if (edge := self._chars[place]) is not None
            and letter is not None
            and edge[0].holds(letter)
        }
        if self._anywhere:
            after.add(0)
        kept = letter if self._looks else None
        found = self._state(frozenset(after), kept, matched=self._last in reached)
        state.edges[letter] = found
        self._edges += 1
        return found

    def _start(self, before: str | None) -> _State:
        return self._state(frozenset((0,)), before if self._looks else None, matched=False)

    def matches(self, text: str) -> bool:
        """Return whether there is a match, from the beginning on, or anywhere."""
        state = self._start(None)
        for letter in text:
            state = state.edges.get(letter) or self._step(state, letter)
            if state.matched:
                return True
            if not state.places:
                return False
        return (state.edges.get(None) or self._step(state, None)).matched

    def ends(self, text: str, start: int, stop: int) -> Iterator[int]:
        """Yield where matches from one place end (backwards: begin), the nearest first.

        `stop` is how far is read, which is not the end of the text for what looks at neighbours.
        """
        places: Sequence[int] = range(start, stop)
        before, last = text[start - 1 : start] if start else "", text[stop : stop + 1]
        if self._backwards:
            places = range(start - 1, stop - 1, -1)
            before, last = text[start : start + 1], text[stop - 1 : stop] if stop else ""
        state = self._start(before or None)
        for place in places:
            letter = text[place]
            state = state.edges.get(letter) or self._step(state, letter)
            if state.matched:
                yield place + self._backwards
            if not state.places:
                return
        after = last or None
        if (state.edges.get(after) or self._step(state, after)).matched:
            yield stop
