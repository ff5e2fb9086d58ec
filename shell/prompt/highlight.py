"""Colours for the prompt: Pygments' PostgreSQL lexer, plus our words and commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pygments.lexers.sql import PostgresLexer
from pygments.token import Comment, Keyword, Name

from mfdb.sql.automaton import keywords
from mfdb.sql.scanner import RESERVED
from shell.script import is_meta

if TYPE_CHECKING:
    from collections.abc import Iterator


class MfdbLexer(PostgresLexer):
    """SQL as mfdb speaks it, and meta commands."""

    name = "mfdb SQL"
    aliases = ["mfdb"]  # noqa: RUF012 - Pygments declares it so

    def get_tokens_unprocessed(self, text: str, *args: Any) -> Iterator[tuple[int, Any, str]]:
        """Yield the tokens; a name that the grammar knows as a word is a keyword."""
        if is_meta(text):
            head, space, rest = text.partition(" ")
            yield 0, Name.Builtin, head
            yield len(head), Comment, space + rest
            return
        words = keywords() | RESERVED
        unprocessed: Any = super().get_tokens_unprocessed
        for index, kind, value in unprocessed(text, *args):
            known = kind in Name and value.upper() in words
            yield index, Keyword if known else kind, value
