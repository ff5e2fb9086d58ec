"""The LALR(1) automaton that lark's analysis of grammar.lark yields, and the loop that runs it.

Own loop instead of lark's: no token objects, no tree between text and statement, chains of
one-child reductions remembered as one step, and no import of lark in a session.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

END = "$END"
STACK_LIMIT = 1_500
"""How deep parentheses and prefixes may nest before a statement is refused."""
SPLICED = 1000
CLASSES = frozenset(
    {"NAME", "QUOTED", "STRING", "BLOB", "INTEGER", "DECIMAL", "DOLLAR", "COLON_NAME"}
)
"""Terminals that stand for many texts; all others are their own text."""


class Token(NamedTuple):
    """A word of a statement: `kind` is the terminal, `position` its offset in the text."""

    kind: str
    text: str
    position: int


class RuleShape(msgspec.Struct, frozen=True, array_like=True):
    """One production: which children make its value (-1: absent, +1000: spliced), by what."""

    origin: str
    size: int
    action: str
    keep: list[int]


class Tables(msgspec.Struct, frozen=True, array_like=True):
    """The shipped file. States: number of a symbol -> next state, or ~rule for a reduction."""

    rules: list[RuleShape]
    symbols: list[str]
    states: list[msgspec.Raw]
    defaults: list[int]
    end_state: int
    terminals: list[str]


class States(dict[int, dict[str, int]]):
    """What each state does on which symbol, decoded when a statement first comes to the state.

    A session comes to few of the hundreds of states, and decoding all costs 6 ms.
    """

    def __init__(self, encoded: Sequence[msgspec.Raw], symbols: Sequence[str]) -> None:
        super().__init__()
        self._encoded = encoded
        self._symbols = symbols

    def __missing__(self, state: int) -> dict[str, int]:
        numbered = msgspec.msgpack.decode(self._encoded[state], type=dict[int, int])
        row = self[state] = {self._symbols[number]: step for number, step in numbered.items()}
        return row


class Automaton(msgspec.Struct, frozen=True):
    """The automaton: `defaults` says what a state does where no choice is (0: nothing)."""

    rules: list[RuleShape]
    states: States
    defaults: list[int]
    end_state: int
    terminals: frozenset[str]


class Unexpected(Exception):
    """No step for a token; `states` is the stack there. Always turned into SqlSyntax."""

    def __init__(self, index: int, states: list[int]) -> None:
        super().__init__(index)
        self.index = index
        self.states = states


class TooDeep(Exception):
    """The statement nests deeper than `STACK_LIMIT`."""

    def __init__(self, index: int) -> None:
        super().__init__(index)
        self.index = index


@cache
def automaton() -> Automaton:
    """Return the shipped automaton, loaded on first use."""
    data = Path(__file__).with_name("grammar.tables").read_bytes()
    tables = msgspec.msgpack.decode(data, type=Tables)
    return Automaton(
        tables.rules,
        States(tables.states, tables.symbols),
        tables.defaults,
        tables.end_state,
        frozenset(tables.terminals),
    )


@cache
def keywords() -> frozenset[str]:
    """Return the words that the grammar names, upper case."""
    words = automaton().terminals
    return frozenset(word for word in words if word[0].isalpha() and " " not in word) - CLASSES


class Machine:
    """Runs the automaton over tokens, building values by one function per rule."""

    def __init__(self, actions: Mapping[str, Callable[[list[Any], int], Any]]) -> None:
        table = automaton()
        self._states = table.states
        self._defaults = table.defaults
        self._end = table.end_state
        self._rules = [
            (rule.origin, rule.size, _build(rule, actions), _single(rule)) for rule in table.rules
        ]
        self._chains: dict[tuple[int, int, str], int] = {}

    def run(self, tokens: Sequence[Token]) -> Any:
        """Return the value of the start rule; the last token is `END`.

        Raises:
            Unexpected: a token that the grammar does not allow there.
            TooDeep: nesting beyond `STACK_LIMIT`.
        """
        states, defaults, rules, end = self._states, self._defaults, self._rules, self._end
        stack, places = [0], [0]
        values: list[Any] = []
        for index, token in enumerate(tokens):
            kind = token[0]
            while True:
                state = stack[-1]
                if state == end:
                    return values[-1]
                step = states[state].get(kind)
                if step is None:
                    step = defaults[state]
                    if not step:
                        raise Unexpected(index, stack)
                if step >= 0:
                    stack.append(step)
                    values.append(token)
                    places.append(token[2])
                    break
                origin, size, build, single = rules[~step]
                if single:
                    stack[-1] = self._chain(stack[-2], state, kind, step)
                    continue
                if size:
                    place = places[-size]
                    children = values[-size:]
                    del stack[-size:], values[-size:], places[-size:]
                else:
                    place, children = token[2], []
                values.append(build(children, place))
                places.append(place)
                stack.append(states[stack[-1]][origin])
            if len(stack) > STACK_LIMIT:
                raise TooDeep(index)
        raise Unexpected(len(tokens) - 1, stack)

    def _chain(self, below: int, state: int, kind: str, step: int) -> int:
        """Return where a chain of one-child reductions ends; each chain is walked once."""
        key = (below, state, kind)
        found = self._chains.get(key)
        if found is not None:
            return found
        states, defaults = self._states, self._defaults
        while step < 0 and self._rules[~step][3]:
            state = states[below][self._rules[~step][0]]
            if state == self._end:
                break
            step = states[state].get(kind, defaults[state])
            if not step:
                break
        self._chains[key] = state
        return state


def _single(rule: RuleShape) -> bool:
    return rule.action == "" and rule.size == 1


def _build(
    rule: RuleShape, actions: Mapping[str, Callable[[list[Any], int], Any]]
) -> Callable[[list[Any], int], Any]:
    keep = rule.keep
    if rule.action == "":
        only = keep[0]
        return lambda children, _place: children[only]
    action = _listed if rule.action.startswith("_") else actions[rule.action]
    if keep == list(range(rule.size)):
        return action
    if keep[:1] == [SPLICED] and all(0 <= index < SPLICED for index in keep[1:]):
        # A list that grows to the right takes its next members in place: no copy per member.
        return lambda children, place: action(_grown(keep, children), place)
    if all(0 <= index < SPLICED for index in keep):
        return lambda children, place: action([children[index] for index in keep], place)
    return lambda children, place: action(_pick(keep, children), place)


def _grown(keep: list[int], children: list[Any]) -> list[Any]:
    members: list[Any] = children[0]
    members.extend(children[index] for index in keep[1:])
    return members


def _pick(keep: list[int], children: list[Any]) -> list[Any]:
    picked: list[Any] = []
    for index in keep:
        if index >= SPLICED:
            picked.extend(children[index - SPLICED])
        else:
            picked.append(None if index < 0 else children[index])
    return picked


def _listed(children: list[Any], _place: int) -> list[Any]:
    return children


def accepted(states: Sequence[int]) -> frozenset[str]:
    """Return the terminals that may follow a stack of states (by trial, not by look-ahead)."""
    table = automaton()
    return frozenset(word for word in table.terminals if _would_take(table, list(states), word))


def _would_take(table: Automaton, stack: list[int], kind: str) -> bool:
    while True:
        step = table.states[stack[-1]].get(kind, table.defaults[stack[-1]])
        if step >= 0:
            return step > 0  # no step leads back to the start, so 0 says that there is none
        rule = table.rules[~step]
        if rule.size:
            del stack[-rule.size :]
        stack.append(table.states[stack[-1]][rule.origin])
        if stack[-1] == table.end_state:
            return kind == END


def states_before(tokens: Sequence[Token], count: int) -> list[int]:
    """Return the stack of states once the first `count` tokens are taken (an error-free prefix)."""
    table = automaton()
    stack = [0]
    for token in tokens[:count]:
        while (step := table.states[stack[-1]].get(token.kind, table.defaults[stack[-1]])) < 0:
            rule = table.rules[~step]
            if rule.size:
                del stack[-rule.size :]
            stack.append(table.states[stack[-1]][rule.origin])
        stack.append(step)
    return stack
