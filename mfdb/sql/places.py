"""What may stand at a place of a statement, from the parser's tables: words, kinds of names.

The tables know more than which terminals are accepted: shifting a name and looking at what it would
be reduced to tells whether it names a dataset, a column, a type or something new.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from mfdb.sql.automaton import CLASSES, END, automaton

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mfdb.sql.automaton import Token


class Role(enum.Enum):
    """What a name would be."""

    DATASET = enum.auto()
    COLUMN = enum.auto()
    """Of the datasets in reach, in an expression."""
    TARGET = enum.auto()
    """A column of the dataset that the statement changes or defines: SET, (a, b)."""
    FUNCTION = enum.auto()
    SERIES = enum.auto()
    """A function that gives rows, in FROM."""
    TYPE = enum.auto()
    OPTION = enum.auto()
    """Of WITH (...) and ALTER ... SET (...)."""
    SETTING = enum.auto()
    SHOWN = enum.auto()
    """What SHOW shows."""
    GRANTEE = enum.auto()
    OTHER = enum.auto()
    """A new name, an alias, or something that only the words around tell."""


_NAME_RULES = frozenset({"nonreserved", "unbare", "no_function", "called_oddly"})
"""Rules of the grammar that list keywords which are names too."""
_BY_RULE = {
    "table_name": Role.DATASET,
    "column": Role.COLUMN,
    "type_name": Role.TYPE,
    "option": Role.OPTION,
    "show_words": Role.SHOWN,
    "grantee": Role.GRANTEE,
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a statement stands after some tokens: the parser's stack of states."""

    states: tuple[int, ...]

    def accepted(self) -> frozenset[str]:
        """Return the terminals that may come next."""
        return _accepted(self.states)

    def words(self) -> list[str]:
        """Return the keywords that may come next as such, not merely as a name, in order."""
        return list(_words(self))

    def is_name(self, word: str) -> bool:
        """Return whether a keyword would be nothing but a name here."""
        table = automaton()
        after_it = self.then(word)
        default = table.defaults[after_it.states[-1]] if after_it is not None else 0
        return default < 0 and table.rules[~default].origin in _NAME_RULES

    def then(self, kind: str) -> Place | None:
        """Return the place after one more token; None if the grammar does not take it."""
        table = automaton()
        stack = list(self.states)
        while True:
            step = table.states[stack[-1]].get(kind, table.defaults[stack[-1]])
            if step >= 0:
                return Place((*stack, step)) if step else None
            rule = table.rules[~step]
            if rule.size:
                del stack[-rule.size :]
            stack.append(table.states[stack[-1]][rule.origin])
            if stack[-1] == table.end_state:
                return None

    def only_next(self) -> str | None:
        """Return the terminal that must come next, if there is just one: BY after ORDER."""
        return _only_next(self.states[-1])

    def roles(self) -> frozenset[Role]:
        """Return what a name that comes next would be; empty if none may."""
        named = self.then("NAME")
        if named is None:
            return frozenset()
        table = automaton()
        found: set[Role] = set()
        for rule in _reductions(named.states[-1]):
            shape = table.rules[rule]
            below = named.states[: -shape.size]
            after = table.states[below[-1]].get(shape.origin)
            if shape.origin == "function_name":
                found.add(Role.FUNCTION)
            elif after is not None:
                found |= _roles_in(after)
        if Role.DATASET in found and Role.FUNCTION in found:
            found = found - {Role.FUNCTION} | {Role.SERIES}
        return frozenset(found or {Role.OTHER})


@lru_cache(maxsize=1_024)
def _accepted(states: tuple[int, ...]) -> frozenset[str]:
    """Return what `automaton.accepted` does, reduction by reduction instead of word by word.

    While a word is typed letter by letter, the place before it stays the same, so it is kept.
    """
    table = automaton()
    if states[-1] == table.end_state:
        return frozenset((END,))
    row, default = table.states[states[-1]], table.defaults[states[-1]]
    found = {kind for kind, step in row.items() if step > 0 and not kind.islower()}
    reduced: dict[int, set[str]] = {}
    for kind, step in row.items():
        if step < 0:
            reduced.setdefault(~step, set()).add(kind)
    for rule, kinds in reduced.items():
        found |= kinds & _accepted(_after_rule(states, rule))
    if default < 0:
        found |= _accepted(_after_rule(states, ~default))
    return frozenset(found)


def _after_rule(states: tuple[int, ...], rule: int) -> tuple[int, ...]:
    shape = automaton().rules[rule]
    below = states[: len(states) - shape.size]
    return (*below, automaton().states[below[-1]][shape.origin])


@lru_cache(maxsize=256)
def _words(place: Place) -> tuple[str, ...]:
    kinds = place.accepted()
    words = sorted(kind for kind in kinds if kind[0].isalpha() and kind not in CLASSES)
    return tuple(word for word in words if not place.is_name(word))


def forget() -> None:
    """Forget what is remembered of places, for measurements."""
    _accepted.cache_clear()
    _words.cache_clear()


@cache
def _only_next(state: int) -> str | None:
    row = automaton().states[state]
    following = [kind for kind, step in row.items() if step >= 0 and not kind.islower()]
    is_open = automaton().defaults[state] or any(step < 0 for step in row.values())
    return following[0] if len(following) == 1 and not is_open else None


def start() -> Place:
    """Return the place before the first word of a statement."""
    return Place((0,))


def after(tokens: Iterable[Token]) -> Place | None:
    """Return the place after these tokens (without the end mark); None if they do not parse."""
    table = automaton()
    states, defaults, rules = table.states, table.defaults, table.rules
    stack = [0]
    for token in tokens:
        while (step := states[stack[-1]].get(token.kind, defaults[stack[-1]])) < 0:
            rule = rules[~step]
            if rule.size:
                del stack[-rule.size :]
            stack.append(states[stack[-1]][rule.origin])
            if stack[-1] == table.end_state:
                return None
        if not step:
            return None
        stack.append(step)
    return Place(tuple(stack))


def _reductions(state: int) -> set[int]:
    row, default = automaton().states[state], automaton().defaults[state]
    found = {~step for step in row.values() if step < 0}
    return found | {~default} if default < 0 else found


def _roles_in(state: int) -> set[Role]:
    """Return what a name is, from the state after it."""
    table = automaton()
    origins = {table.rules[rule].origin for rule in _reductions(state)}
    shifts = {kind for kind, step in table.states[state].items() if step > 0 and not kind.islower()}
    found = {_BY_RULE[origin] for origin in origins if origin in _BY_RULE}
    if any(origin.startswith("__name_list") for origin in origins) or shifts == {",", ")"}:
        found.add(Role.TARGET)
    elif "=" in shifts and not origins:
        found.add(Role.SETTING if "TO" in shifts else Role.TARGET)
    elif "NAME" in shifts and "show_words" in origins:
        found.add(Role.SHOWN)
    return found or {Role.OTHER}
