"""What a regular expression is made of, and which of the possible matches its parts prefer."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Chars(NamedTuple):
    """One character out of some: of ranges and classes, or of all others if `negated`."""

    ranges: tuple[tuple[str, str], ...] = ()
    classes: tuple[str, ...] = ()
    negated: bool = False
    folded: bool = False
    without: str = ""
    """What is never matched, whatever else says."""

    def holds(self, letter: str) -> bool:
        """Return whether a character is one of them."""
        if letter in self.without:
            return False
        found = self._lists(letter)
        if self.folded and not found:
            found = self._lists(letter.lower()) or self._lists(letter.upper())
        return found is not self.negated

    def _lists(self, letter: str) -> bool:
        if any(low <= letter <= high for low, high in self.ranges):
            return True
        return any(is_in_class(letter, name) for name in self.classes)


class Cat(NamedTuple):
    """Parts one after the other; none matches the empty text."""

    parts: tuple[Node, ...]


class Alt(NamedTuple):
    """One of several branches."""

    branches: tuple[Node, ...]


class Repeat(NamedTuple):
    """So many times (most None: any number), rather more of them if `greedy`."""

    node: Node
    least: int
    most: int | None
    greedy: bool


class Group(NamedTuple):
    """A group that remembers what it matched."""

    number: int
    node: Node


class Assert(NamedTuple):
    """A place: see `HOLDS`."""

    kind: str


Node = Chars | Cat | Alt | Repeat | Group | Assert
EMPTY = Cat(())

_SPACES = frozenset(
    " \t\n\v\f\r\x85\u1680\u2028\u2029\u205f\u3000"
    + "".join(map(chr, (*range(0x2000, 0x2007), *range(0x2008, 0x200B))))
)
_CLASSES: dict[str, Callable[[str], bool]] = {
    "alpha": str.isalpha,
    "digit": lambda letter: "0" <= letter <= "9",
    "alnum": str.isalnum,
    "word": lambda letter: letter.isalnum() or letter == "_",
    "upper": str.isupper,
    "lower": str.islower,
    "space": _SPACES.__contains__,
    "blank": lambda letter: letter in " \t",
    "punct": lambda letter: letter.isprintable() and not letter.isalnum() and letter != " ",
    "print": str.isprintable,
    "graph": lambda letter: letter.isprintable() and letter not in _SPACES,
    "cntrl": lambda letter: letter < " " or "\x7f" <= letter <= "\x9f",
    "xdigit": lambda letter: letter in "0123456789abcdefABCDEF",
    "ascii": str.isascii,
}
CLASSES = frozenset(_CLASSES)


def is_in_class(letter: str, name: str) -> bool:
    """Return whether a character is of a class; one that begins with ^ holds all others."""
    if name[0] == "^":
        return not _CLASSES[name[1:]](letter)
    return _CLASSES[name](letter)


def is_word(letter: str | None) -> bool:
    """Return whether there is a character that words are made of."""
    return letter is not None and _CLASSES["word"](letter)


HOLDS: dict[str, Callable[[str | None, str | None], bool]] = {
    "start": lambda left, _right: left is None,
    "end": lambda _left, right: right is None,
    "line start": lambda left, _right: left is None or left == "\n",
    "line end": lambda _left, right: right is None or right == "\n",
    "word start": lambda left, right: not is_word(left) and is_word(right),
    "word end": lambda left, right: is_word(left) and not is_word(right),
    "word edge": lambda left, right: is_word(left) is not is_word(right),
    "no word edge": lambda left, right: is_word(left) is is_word(right),
}
"""Places -> whether a pair of neighbours (None: the end of the text) makes one."""


def groups_in(node: Node) -> Iterator[int]:
    """Yield the numbers of the groups inside."""
    if isinstance(node, Group):
        yield node.number
        yield from groups_in(node.node)
    elif isinstance(node, Repeat):
        yield from groups_in(node.node)
    elif isinstance(node, Cat | Alt):
        for part in node.parts if isinstance(node, Cat) else node.branches:
            yield from groups_in(part)


def prefers(node: Node) -> bool | None:
    """Return whether a part prefers long matches, short ones (False), or does not care (None)."""
    if isinstance(node, Group):
        return prefers(node.node)
    if isinstance(node, Repeat):
        return prefers(node.node) if node.least == node.most else node.greedy
    if isinstance(node, Alt):
        return True
    if isinstance(node, Cat):
        return next((found for part in node.parts if (found := prefers(part)) is not None), None)
    return None


def reversed_tree(node: Node) -> Node:
    """Return what matches the same texts read backwards."""
    if isinstance(node, Cat):
        return Cat(tuple(reversed_tree(part) for part in reversed(node.parts)))
    if isinstance(node, Alt):
        return Alt(tuple(map(reversed_tree, node.branches)))
    if isinstance(node, Repeat | Group):
        return node._replace(node=reversed_tree(node.node))
    return node
