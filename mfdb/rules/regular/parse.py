"""From the text of a regular expression to its tree, by PostgreSQL's rules (chapter 9.7.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mfdb.rules.regular.tree import CLASSES, EMPTY, Alt, Assert, Cat, Chars, Group, Repeat

if TYPE_CHECKING:
    from mfdb.rules.regular.tree import Node

CHARACTERS = 4_096
"""Longest pattern."""
MOST = 255
"""Most times of a counted repetition, as in PostgreSQL."""
DEPTH = 100
_SINGLE = {
    "a": "\a", "b": "\b", "B": "\\", "e": "\x1b", "f": "\f", "n": "\n", "r": "\r", "t": "\t",
    "v": "\v", "0": "\0",
}  # fmt: skip
_SHORT = {"d": "digit", "s": "space", "w": "word", "D": "^digit", "S": "^space", "W": "^word"}
_PLACES = {"A": "start", "Z": "end", "m": "word start", "M": "word end", "y": "word edge",
           "Y": "no word edge"}  # fmt: skip
_HEX = {"x": (1, 255), "u": (4, 4), "U": (8, 8)}
FLAGS = "bceimnpqstwxg"


class NoPattern(Exception):
    """A text is no regular expression; the message says why."""


class NoFlag(NoPattern):
    """A letter is no flag of regular expressions."""


class Options(NamedTuple):
    """What flags ask for."""

    folded: bool = False
    literal: bool = False
    spaced: bool = False
    dots_stop: bool = False
    """`.` and [^a] match no newline."""
    lines: bool = False
    """^ and $ match at newlines."""


def options_of(flags: str, before: Options) -> Options:
    """Return what flags ask for, on top of others.

    Raises:
        NoFlag: there is no such flag.
    """
    found = before
    for flag in flags:
        if flag not in FLAGS:
            raise NoFlag(f"there is no flag {flag!r}")
        found = found._replace(**_OPTIONS.get(flag, {}))
    return found


_OPTIONS: dict[str, dict[str, bool]] = {
    "i": {"folded": True},
    "c": {"folded": False},
    "q": {"literal": True},
    "x": {"spaced": True},
    "t": {"spaced": False},
    "s": {"dots_stop": False, "lines": False},
    "n": {"dots_stop": True, "lines": True},
    "m": {"dots_stop": True, "lines": True},
    "p": {"dots_stop": True, "lines": False},
    "w": {"dots_stop": False, "lines": True},
}


def parse(pattern: str, flags: str = "") -> tuple[Node, int]:
    """Return the tree of a pattern and how many groups it has.

    Raises:
        NoPattern: it is none, or longer than `CHARACTERS`; NoFlag: a flag is none.
    """
    if len(pattern) > CHARACTERS:
        raise NoPattern(f"it is longer than {CHARACTERS} characters")
    options = options_of(flags, Options())
    if pattern.startswith("***="):
        pattern, options = pattern[4:], options._replace(literal=True)
    elif pattern.startswith("***:"):
        pattern = pattern[4:]
    elif pattern.startswith("***"):
        raise NoPattern("*** is followed by : or =")
    if options.literal:
        return Cat(tuple(Chars(((one, one),), folded=options.folded) for one in pattern)), 0
    reader = _Reader(pattern, options)
    return reader.whole(), reader.groups


class _Reader:
    """Reads one pattern from left to right."""

    def __init__(self, pattern: str, options: Options) -> None:
        self._text = pattern
        self._at = 0
        self._options = options
        self._depth = 0
        self.groups = 0

    def whole(self) -> Node:
        self._embedded()
        node = self._branches()
        if self._at < len(self._text):
            raise NoPattern("a parenthesis is closed that was not opened")
        return node

    def _embedded(self) -> None:
        """(?flags) at the beginning."""
        end = self._text.find(")")
        flags = self._text[2:end]
        if self._text.startswith("(?") and end > 0 and flags.isalpha():
            self._options = options_of(flags, self._options)
            self._at = end + 1
            if self._options.literal:
                raise NoPattern("the flag q stands outside of the pattern only")

    def _peek(self, count: int = 1) -> str:
        return self._text[self._at : self._at + count]

    def _take(self) -> str:
        letter = self._peek()
        if not letter:
            raise NoPattern("it ends too early")
        self._at += 1
        return letter

    def _branches(self) -> Node:
        self._depth += 1
        if self._depth > DEPTH:
            raise NoPattern(f"it nests deeper than {DEPTH} levels")
        found = [self._branch()]
        while self._peek() == "|":
            self._at += 1
            found.append(self._branch())
        self._depth -= 1
        return found[0] if len(found) == 1 else Alt(tuple(found))

    def _branch(self) -> Node:
        parts: list[Node] = []
        while True:
            if self._options.spaced:
                self._skip_space()
            if self._peek() in ("", "|", ")"):
                return parts[0] if len(parts) == 1 else Cat(tuple(parts))
            parts.append(self._quantified())

    def _skip_space(self) -> None:
        while self._peek() and (self._peek().isspace() or self._peek() == "#"):
            if self._take() == "#":
                end = self._text.find("\n", self._at)
                self._at = len(self._text) if end < 0 else end

    def _quantified(self) -> Node:
        if self._peek(3) == "(?#":
            end = self._text.find(")", self._at)
            if end < 0:
                raise NoPattern("a comment is not closed")
            self._at = end + 1
            return EMPTY
        atom = self._atom()
        bounds = self._quantifier()
        if bounds is None:
            return atom
        if isinstance(atom, Assert):
            raise NoPattern("a place cannot be repeated")
        greedy = self._peek() != "?"
        if not greedy:
            self._at += 1
        if self._quantifier() is not None:
            raise NoPattern("what is repeated is no part of the pattern")
        return Repeat(atom, *bounds, greedy)

    def _quantifier(self) -> tuple[int, int | None] | None:
        letter = self._peek()
        if letter in ("*", "+", "?") and letter:
            self._at += 1
            return {"*": (0, None), "+": (1, None), "?": (0, 1)}[letter]
        if letter == "{" and self._text[self._at + 1 : self._at + 2].isdecimal():
            return self._bound()
        return None

    def _bound(self) -> tuple[int, int | None]:
        end = self._text.find("}", self._at)
        low, comma, high = self._text[self._at + 1 : max(end, self._at)].partition(",")
        numbers = [low, high] if high else [low]
        if end < 0 or not all(
            one.isascii() and one.isdecimal() and len(one) < 4 for one in numbers
        ):
            raise NoPattern("a number of times is written {2}, {2,} or {2,5}")
        self._at = end + 1
        least = int(low)
        most = (int(high) if high else None) if comma else least
        if least > MOST or (most is not None and not least <= most <= MOST):
            raise NoPattern(f"numbers of times run from 0 to {MOST}, the lesser one first")
        return least, most

    def _atom(self) -> Node:
        letter = self._take()
        if letter == "(":
            return self._group()
        if letter == "[":
            return self._bracket()
        if letter == ".":
            return Chars(negated=True, without=self._newline())
        if letter in "^$":
            kind = "start" if letter == "^" else "end"
            return Assert(f"line {kind}" if self._options.lines else kind)
        if letter == "\\":
            return self._escaped()
        if letter in "*+?" or (letter == "{" and self._peek().isdecimal()):
            raise NoPattern("what is repeated is no part of the pattern")
        return self._one(letter)

    def _newline(self) -> str:
        return "\n" if self._options.dots_stop else ""

    def _one(self, letter: str) -> Chars:
        return Chars(((letter, letter),), folded=self._options.folded)

    def _group(self) -> Node:
        number = 0
        if self._peek() == "?":
            if self._peek(2) != "?:":
                raise NoPattern("there is no looking around, and (? is followed by :")
            self._at += 2
        else:
            self.groups += 1
            number = self.groups
        node = self._branches()
        if self._peek() != ")":
            raise NoPattern("a parenthesis is not closed")
        self._at += 1
        return Group(number, node) if number else node

    def _escaped(self) -> Node:
        letter = self._take()
        if letter in _SHORT:
            return Chars(classes=(_SHORT[letter],), without=self._of_class(letter))
        if letter in _PLACES:
            return Assert(_PLACES[letter])
        if letter in "123456789":
            raise NoPattern("there are no back references")
        return self._one(self._character(letter))

    def _of_class(self, letter: str) -> str:
        return self._newline() if letter in "DW" else ""

    def _character(self, letter: str) -> str:
        r"""Return the character of an escape."""
        if letter in _SINGLE:
            return _SINGLE[letter]
        if letter == "c":
            return chr(ord(self._take()) % 32)
        if letter in _HEX:
            return self._by_number(*_HEX[letter])
        if letter.isalnum():
            raise NoPattern(f"there is no escape \\{letter}")
        return letter

    def _by_number(self, least: int, most: int) -> str:
        digits = ""
        while len(digits) < most and self._peek() and self._peek() in "0123456789abcdefABCDEF":
            digits += self._take()
        code = int(digits or "0", 16)
        if len(digits) < least or code > 0x10FFFF or 0xD800 <= code < 0xE000:
            raise NoPattern("an escape has no number of a character")
        return chr(code)

    # ---- brackets

    def _bracket(self) -> Node:
        special = {"[:<:]]": "word start", "[:>:]]": "word end"}.get(self._peek(6))
        if special:
            self._at += 6
            return Assert(special)
        negated = self._peek() == "^"
        if negated:
            self._at += 1
        ranges: list[tuple[str, str]] = []
        classes: list[str] = []
        first = True
        while first or self._peek() != "]":
            first = False
            low = self._member(classes)
            if low is None:
                continue
            high = low
            if self._peek() == "-" and self._peek(2) != "-]":
                self._at += 1
                found = self._member(classes)
                if found is None or found < low:
                    raise NoPattern("a range in brackets runs backwards")
                high = found
            ranges.append((low, high))
        self._at += 1
        return Chars(
            tuple(ranges),
            tuple(classes),
            negated=negated,
            folded=self._options.folded,
            without=self._newline() if negated else "",
        )

    def _member(self, classes: list[str]) -> str | None:
        """Return a character between brackets, None for a class, which is put to the others."""
        if not self._peek():
            raise NoPattern("a bracket is not closed")
        letter = self._take()
        if letter == "[" and self._peek() in (":", ".", "=") and self._peek():
            return self._named(self._take(), classes)
        if letter != "\\":
            return letter
        letter = self._take()
        if letter in "dsw":
            classes.append(_SHORT[letter])
            return None
        if letter in "DSW" or letter in _PLACES:
            raise NoPattern(f"\\{letter} may not stand in brackets")
        return self._character(letter)

    def _named(self, kind: str, classes: list[str]) -> str | None:
        end = self._text.find(f"{kind}]", self._at)
        name = self._text[self._at : max(end, self._at)]
        self._at = end + 2
        if end >= 0 and kind == ":" and name in CLASSES:
            classes.append(name)
            return None
        if end >= 0 and kind != ":" and len(name) == 1:
            return name
        raise NoPattern("there is no such class of characters")
