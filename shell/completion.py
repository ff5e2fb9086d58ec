"""What may come next at the cursor: words that the grammar accepts there, and names we know.

The grammar's own tables say which words are legal (`mfdb.sql.automaton.accepted`), so a new
statement completes without a change here. Names come from the local catalogue only; nothing is
asked over the network while somebody types.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from mfdb.kernel.errors import SqlSyntax
from mfdb.sql.automaton import accepted, states_before
from mfdb.sql.scanner import split, tokenise
from shell.commands import REGISTRY
from shell.script import is_meta

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mfdb.sql.automaton import Token

SUGGESTIONS = 200
LOOKED_AT = 10_000
"""A statement longer than this (a pasted script) is not completed."""

_PARTIAL = re.compile(r'"?[^\W\d]\w*\Z')
_BEFORE_DATASET = frozenset(
    {"FROM", "INTO", "UPDATE", "ON", "TO", "DATASET", "TABLE", "MAILBOX", "DESCRIBE", "DESC"}
)


class Suggestion(NamedTuple):
    """A text to insert in place of the `replaces` characters before the cursor."""

    text: str
    replaces: int
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """Names that are known locally: the columns of each dataset, by dataset."""

    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)


def suggestions(before: str, catalogue: Catalogue) -> list[Suggestion]:
    """Return what may be inserted after this text, names first, at most `SUGGESTIONS`."""
    if is_meta(before):
        return _meta_suggestions(before)
    if len(before) > LOOKED_AT:
        return []
    found = _PARTIAL.search(before)
    partial = found.group() if found else ""
    try:
        tokens = _last_statement(before[: len(before) - len(partial)])
    except SqlSyntax:
        return []  # inside a string or comment: there is nothing to suggest
    stem = partial.lstrip('"').lower()
    words = accepted(states_before(tokens, len(tokens)))
    names = _names(tokens, catalogue) if "NAME" in words else []
    made = [Suggestion(_quoted(name), len(partial), kind) for name, kind in names]
    keywords = sorted(word for word in words if word.isalpha() and word not in _CLASSES)
    made += [Suggestion(word, len(partial), "keyword") for word in keywords]
    return [item for item in made if _starts(item.text, stem)][:SUGGESTIONS]


_CLASSES = frozenset({"NAME", "QUOTED", "STRING", "BLOB", "INTEGER", "DECIMAL", "DOLLAR"})


def _meta_suggestions(before: str) -> list[Suggestion]:
    text = before.lstrip()
    if " " in text:
        return []
    names = [name for item in REGISTRY.values() for name in (item.name, item.alias)]
    return [Suggestion(name, len(text), "command") for name in names if name.startswith(text)]


def _last_statement(text: str) -> list[Token]:
    """Return the tokens of the statement that the text ends in, without the end mark."""
    if text.rstrip().endswith(";"):
        return []
    pieces = split(text)
    return tokenise(pieces[-1].text)[:-1] if pieces else []


def _names(tokens: Sequence[Token], catalogue: Catalogue) -> list[tuple[str, str]]:
    """Return datasets where a dataset is named, else the columns of the datasets in reach."""
    datasets = [(name, "dataset") for name in sorted(catalogue.columns)]
    if tokens and tokens[-1].kind in _BEFORE_DATASET:
        return datasets
    reached = [token.text.lower() for token in tokens if token.text.lower() in catalogue.columns]
    chosen = reached or list(catalogue.columns)
    columns = dict.fromkeys(column for name in chosen for column in catalogue.columns[name])
    return [(name, "column") for name in columns]


def _quoted(name: str) -> str:
    plain = re.fullmatch(r"[^\W\dA-Z][^\WA-Z]*", name) is not None
    return name if plain else '"' + name.replace('"', '""') + '"'


def _starts(text: str, stem: str) -> bool:
    return text.lstrip('"').lower().startswith(stem)


def merged(datasets: Iterable[str], columns: Mapping[str, Sequence[str]]) -> Catalogue:
    """Return the catalogue of these datasets; one whose columns are unknown has none."""
    return Catalogue(columns={name: columns.get(name, ()) for name in datasets})
