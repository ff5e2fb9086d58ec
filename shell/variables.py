r"""Variables of the shell: `\set name value`, then `:name`, `:'name'` or `:"name"` in a statement.

The statement's own text decides where a variable can stand: in quotes, comments, casts (`::`) and
`$tag$` texts a colon is a colon. `:'name'` is the value as a string literal, `:"name"` as a name in
quotes, both whole whatever the value holds; `:name` is the bare text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mfdb.kernel.errors import SqlSyntax
from shell.literals import quoted_text

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME = r"[^\W\d]\w*"
_PARTS = re.compile(
    rf"""
    '(?:[^']|'')*' | "(?:[^"]|"")*" | --[^\n]* | /\*.*?\*/
  | \$(?P<tag>(?:{_NAME})?)\$.*?\$(?P=tag)\$
  | ::
  | :'(?P<text>{_NAME})' | :"(?P<name>{_NAME})" | :(?P<bare>{_NAME})
    """,
    re.VERBOSE | re.DOTALL,
)
_WHOLE = re.compile(rf"{_NAME}\Z")


def is_variable(name: str) -> bool:
    """Return whether a variable may be called so."""
    return _WHOLE.match(name) is not None


def expanded(text: str, variables: Mapping[str, str]) -> str:
    """Return a statement with its variables in place; a bare `:name` nobody set stays as it is.

    Raises:
        SqlSyntax: `:'name'` or `:"name"` names a variable that is not set.
    """
    if ":" not in text:
        return text

    def value(found: re.Match[str]) -> str:
        bare = found["bare"]
        if bare is not None:
            return variables.get(bare, found.group())
        name = found["text"] or found["name"]
        if name is None:
            return found.group()
        if name not in variables:
            raise SqlSyntax(
                f"no variable {name[:60]} is set",
                hint=f"\\set {name[:60]} VALUE sets it, \\set lists all",
                position=found.start(),
            )
        held = variables[name]
        return quoted_text(held) if found["text"] else '"' + held.replace('"', '""') + '"'

    return _PARTS.sub(value, text)
