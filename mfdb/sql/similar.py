"""SIMILAR TO: SQL's own regular expressions, as those that `~` takes."""

from __future__ import annotations

_PLAIN = frozenset(".^$")
"""Letters that mean something to `~` only."""
_WILD = {"%": ".*", "_": "."}


def regular(pattern: str, escape: str = "\\") -> str:
    r"""Return the regular expression of a SIMILAR TO pattern, which matches whole texts.

    >>> regular("%(b|d)_.")
    '^(?:.*(b|d).\\.)$'
    """
    made: list[str] = []
    letters = iter(pattern)
    in_class = False
    for letter in letters:
        if escape and letter == escape:
            made.append(_literally(next(letters, "")))
        elif in_class:
            in_class = letter != "]"
            made.append("\\\\" if letter == "\\" else letter)
        elif letter in _PLAIN or letter == "\\":
            made.append(f"\\{letter}")
        else:
            in_class = letter == "["
            made.append(_WILD.get(letter, letter))
    return f"^(?:{''.join(made)})$"


def _literally(letter: str) -> str:
    return letter if letter.isalnum() or letter == "_" or not letter else f"\\{letter}"
