"""Which datasets a place of a half-typed statement can see: FROM, JOIN, INTO, aliases, WITH.

The statement may be wrong or unfinished everywhere, so this reads tokens, not a parse: a query
reaches from its `SELECT` to the end of its parenthesis or its UNION, and an inner one sees what the
outer ones name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from mfdb.sql.scanner import fold

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mfdb.sql.automaton import Token
    from shell.completion.catalogue import Dataset

_SOURCES = frozenset({"FROM", "JOIN", "INTO", "UPDATE"})
_CHANGED = frozenset({"INTO", "UPDATE", "ON", "TABLE", "DATASET", "MAILBOX", "FROM", "REFERENCES"})
_SET_OPERATORS = frozenset({"UNION", "EXCEPT", "INTERSECT"})
_AFTER_SOURCE = frozenset(
    """ON USING WHERE GROUP ORDER HAVING LIMIT OFFSET SET VALUES SELECT RETURNING JOIN LEFT RIGHT
    FULL INNER CROSS NATURAL UNION EXCEPT INTERSECT WINDOW DEFAULT SINCE WITH""".split()  # noqa: SIM905 - as in the scanner
)
_DEPTH = 4
"""How deep queries in FROM are looked into for their columns."""


class Source(NamedTuple):
    """Something that a query reads: how it is called there, and its columns with their types."""

    name: str
    columns: Mapping[str, str]
    dataset: str


@dataclass(frozen=True, slots=True)
class Block:
    """A query: where its tokens start and end (a parenthesis or a set operation)."""

    start: int
    end: int


def sources_at(
    tokens: Sequence[Token], cursor: int, datasets: Mapping[str, Dataset]
) -> list[Source]:
    """Return what the token at `cursor` can see, the innermost query's first."""
    blocks = list(_blocks_around(tokens, cursor))
    named = _with_queries(tokens, blocks, datasets)
    found: list[Source] = []
    for block in blocks:
        found += _sources(tokens, block, {**datasets_of(datasets), **named}, datasets, 0)
    return found


def changed_at(tokens: Sequence[Token], cursor: int, datasets: Mapping[str, Dataset]) -> list[str]:
    """Return the columns of the dataset that was named last before the cursor to be changed."""
    for index in range(min(cursor, len(tokens)) - 1, -1, -1):
        name = fold(_text(tokens[index]))
        before = tokens[index - 1].kind if index else ""
        if name in datasets and (before in _CHANGED or before == "."):
            return list(datasets[name].columns)
    return []


def names_with(
    tokens: Sequence[Token], cursor: int, datasets: Mapping[str, Dataset]
) -> dict[str, Mapping[str, str]]:
    """Return the queries that WITH names, where they are in reach."""
    return _with_queries(tokens, list(_blocks_around(tokens, cursor)), datasets)


def datasets_of(datasets: Mapping[str, Dataset]) -> dict[str, Mapping[str, str]]:
    """Return the columns of each dataset."""
    return {name: one.columns for name, one in datasets.items()}


def _blocks_around(tokens: Sequence[Token], cursor: int) -> Iterator[Block]:
    """Yield the queries that hold the cursor, the innermost first."""
    opened: list[int] = [-1]
    for index in range(min(cursor, len(tokens))):
        if tokens[index].kind == "(":
            opened.append(index)
        elif tokens[index].kind == ")" and len(opened) > 1:
            opened.pop()
    for start in reversed(opened):
        if start == -1 or _is_query(tokens, start + 1):
            yield _between_unions(tokens, start + 1, cursor)


def _is_query(tokens: Sequence[Token], index: int) -> bool:
    return index < len(tokens) and tokens[index].kind in ("SELECT", "WITH", "VALUES", "FROM")


def _between_unions(tokens: Sequence[Token], start: int, cursor: int) -> Block:
    begin, end, depth = start, len(tokens), 0
    for index in range(start, len(tokens)):
        kind = tokens[index].kind
        depth += {"(": 1, ")": -1}.get(kind, 0)
        if depth < 0:
            end = index
            break
        if depth == 0 and kind in _SET_OPERATORS:
            if index >= cursor:
                end = index
                break
            begin = index + 1
    return Block(begin, end)


def _sources(
    tokens: Sequence[Token],
    block: Block,
    known: Mapping[str, Mapping[str, str]],
    datasets: Mapping[str, Dataset],
    depth: int,
) -> list[Source]:
    found: list[Source] = []
    index, is_listing = block.start, False
    while index < block.end:
        kind = tokens[index].kind
        if kind == "(" and _is_query(tokens, index + 1) and not is_listing:
            index = _closing(tokens, index) + 1
            continue
        starts = kind in _SOURCES and not _is_distinct_from(tokens, index)
        if starts or (is_listing and kind == ","):
            is_listing = kind in ("FROM", ",") or (is_listing and kind == "JOIN")
            source, index = _source(tokens, index + 1, block.end, known, datasets, depth)
            found += [source] if source is not None else []
            continue
        if kind in ("WHERE", "GROUP", "ORDER", "SET"):
            is_listing = False
        index += 1
    return found


def _is_distinct_from(tokens: Sequence[Token], index: int) -> bool:
    return index > 0 and tokens[index].kind == "FROM" and tokens[index - 1].kind == "DISTINCT"


def _source(
    tokens: Sequence[Token],
    index: int,
    end: int,
    known: Mapping[str, Mapping[str, str]],
    datasets: Mapping[str, Dataset],
    depth: int,
) -> tuple[Source | None, int]:
    """Return the source that starts at a token, and where to go on."""
    if index >= end:
        return None, end
    columns: Mapping[str, str] = {}
    name = ""
    if tokens[index].kind == "(" and _is_query(tokens, index + 1):
        closing = _closing(tokens, index)
        columns = _outputs(tokens, Block(index + 1, min(closing, end)), known, datasets, depth)
        index = closing + 1
    elif _is_name(tokens[index]):
        name = whole = fold(_text(tokens[index]))
        index += 1
        while index + 1 < end and tokens[index].kind == "." and _is_name(tokens[index + 1]):
            name = fold(_text(tokens[index + 1]))
            whole = f"{whole}.{name}"
            index += 2
        columns = known.get(whole) or known.get(name, {})
    else:
        return None, index
    alias, index = _alias(tokens, index, end)
    return Source(alias or name, columns, name), index


def _alias(tokens: Sequence[Token], index: int, end: int) -> tuple[str, int]:
    if index < end and tokens[index].kind == "AS":
        index += 1
    if index < end and _is_name(tokens[index]) and tokens[index].kind not in _AFTER_SOURCE:
        return fold(_text(tokens[index])), index + 1
    return "", index


def _outputs(
    tokens: Sequence[Token],
    block: Block,
    known: Mapping[str, Mapping[str, str]],
    datasets: Mapping[str, Dataset],
    depth: int,
) -> Mapping[str, str]:
    """Return the columns that a query gives: of each item its alias or its last name."""
    if depth >= _DEPTH:
        return {}
    found: dict[str, str] = {}
    sources = _sources(tokens, block, known, datasets, depth + 1)
    for item in _items(tokens, block):
        last = item[-1]
        if last.kind == "*" and len(item) <= 3:
            for source in sources:
                found |= source.columns
        elif _is_name(last):
            name = fold(_text(last))
            kinds = [source.columns[name] for source in sources if name in source.columns]
            found[name] = kinds[0] if kinds else ""
    return found


def _items(tokens: Sequence[Token], block: Block) -> Iterator[list[Token]]:
    """Yield the items of the SELECT list of a query."""
    index = block.start
    while index < block.end and tokens[index].kind != "SELECT":
        index += 1
    item: list[Token] = []
    depth = 0
    for token in tokens[index + 1 : block.end]:
        depth += {"(": 1, ")": -1}.get(token.kind, 0)
        if depth == 0 and token.kind in (",", "FROM"):
            if item:
                yield item
            item = []
            if token.kind == "FROM":
                return
        else:
            item.append(token)
    if item:
        yield item


def _with_queries(
    tokens: Sequence[Token], blocks: Sequence[Block], datasets: Mapping[str, Dataset]
) -> dict[str, Mapping[str, str]]:
    found: dict[str, Mapping[str, str]] = {}
    for block in reversed(blocks):
        start = block.start
        while start > 0 and tokens[start - 1].kind != "(":
            start -= 1  # a WITH stands before the first query of a UNION
        if start < len(tokens) and tokens[start].kind == "WITH":
            found |= _named_queries(tokens, start + 1, datasets, found)
    return found


def _named_queries(
    tokens: Sequence[Token],
    index: int,
    datasets: Mapping[str, Dataset],
    before: Mapping[str, Mapping[str, str]],
) -> dict[str, Mapping[str, str]]:
    """Return the queries of a WITH: `name [(columns)] AS (query), ...`."""
    found: dict[str, Mapping[str, str]] = dict(before)
    while index < len(tokens):
        if tokens[index].kind == "RECURSIVE":
            index += 1
            continue
        if not _is_name(tokens[index]):
            return found
        name = fold(_text(tokens[index]))
        index += 1
        columns: dict[str, str] | None = None
        if index < len(tokens) and tokens[index].kind == "(":
            closing = _closing(tokens, index)
            listed = [token for token in tokens[index + 1 : closing] if _is_name(token)]
            columns = {fold(_text(token)): "" for token in listed}
            index = closing + 1
        if index + 1 >= len(tokens) or tokens[index].kind != "AS" or tokens[index + 1].kind != "(":
            return found
        closing = _closing(tokens, index + 1)
        known = {**datasets_of(datasets), **found}
        query = Block(index + 2, min(closing, len(tokens)))
        found[name] = columns or _outputs(tokens, query, known, datasets, 0)
        index = closing + 1
        if index >= len(tokens) or tokens[index].kind != ",":
            return found
        index += 1
    return found


def _closing(tokens: Sequence[Token], index: int) -> int:
    """Return where the parenthesis that opens at a token closes, or the end."""
    depth = 0
    for place in range(index, len(tokens)):
        depth += {"(": 1, ")": -1}.get(tokens[place].kind, 0)
        if depth == 0:
            return place
    return len(tokens)


def _is_name(token: Token) -> bool:
    if token.kind in ("NAME", "QUOTED"):
        return True
    from mfdb.sql.scanner import RESERVED

    return (
        token.kind[:1].isalpha() and token.kind not in RESERVED and token.kind == token.text.upper()
    )


def _text(token: Token) -> str:
    if token.kind == "QUOTED":
        return token.text[1:-1].replace('""', '"')
    return token.text.lower()
