"""Turn grammar.lark into the shipped LALR(1) tables: `python -m mfdb.sql.build_tables`.

lark reads and analyses the grammar here, once, at build time; a session only loads the result
(`automaton.py`). States are renumbered breadth first over sorted symbols, so that the same grammar
gives the same bytes on every machine. A conflict of any kind is an error: what the grammar accepts
is what its file says, with no silent preference.
"""

from __future__ import annotations

from collections import Counter, deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from lark.common import ParserConf
from lark.load_grammar import load_grammar
from lark.parsers.lalr_analysis import LALR_Analyzer, Shift

from mfdb.sql.automaton import SPLICED, RuleShape, Tables

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lark.grammar import Rule

HERE = Path(__file__).parent
GRAMMAR = HERE / "grammar.lark"
TABLES = HERE / "grammar.tables"


def build(text: str) -> bytes:
    """Return the tables of a grammar, encoded.

    Raises:
        lark.exceptions.GrammarError: the grammar is not LALR(1) or has a conflict.
    """
    grammar, _ = load_grammar(text, str(GRAMMAR), [], False)  # type: ignore[no-untyped-call] # noqa: FBT003 - lark's
    terminals, rules, _ = grammar.compile(["start"], set())
    analysis = LALR_Analyzer(ParserConf(rules, {}, ["start"]), strict=True)
    analysis.compute_lalr()  # type: ignore[no-untyped-call] # lark's
    # lark names anonymous terminals (LPAR, __ANON_3); people and scanner know them by their text.
    names = {term.name: str(term.pattern.value).upper() for term in terminals}
    table = analysis.parse_table
    assert table is not None
    tables = _renumber(
        {state: _row(row, names) for state, row in table.states.items()},
        table.start_states["start"],
        table.end_states["start"],
    )
    return msgspec.msgpack.encode(tables)


def _row(row: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {names.get(symbol, symbol): action for symbol, action in row.items()}


def _renumber(rows: dict[Any, dict[str, Any]], start: Any, end: Any) -> Tables:
    order: dict[Any, int] = {start: 0}
    queue = deque([start])
    while queue:
        for _, (kind, target) in sorted(rows[queue.popleft()].items(), key=lambda item: item[0]):
            if kind is Shift and target not in order:
                order[target] = len(order)
                queue.append(target)
    used = {action[1] for row in rows.values() for action in row.values() if action[0] is not Shift}
    shapes = sorted({repr(shape): shape for shape in map(_shape, used)}.items())
    place = {text: index for index, (text, _) in enumerate(shapes)}
    number = {rule: place[repr(_shape(rule))] for rule in used}
    states = [_encode(rows[state], order, number) for state in order]
    symbols = _symbols(row for row, _ in states)
    at = {symbol: index for index, symbol in enumerate(symbols)}
    return Tables(
        rules=[shape for _, shape in shapes],
        symbols=symbols,
        states=[
            msgspec.Raw(msgspec.msgpack.encode({at[word]: step for word, step in row.items()}))
            for row, _ in states
        ],
        defaults=[default for _, default in states],
        end_state=order[end],
        terminals=sorted({word for row, _ in states for word in row if not word.islower()}),
    )


def _symbols(rows: Iterable[dict[str, int]]) -> list[str]:
    """Return all symbols, the most frequent first: their numbers take one byte."""
    counts = Counter(symbol for row in rows for symbol in row)
    return sorted(counts, key=lambda symbol: (-counts[symbol], symbol))


def _encode(
    row: dict[str, Any], order: dict[Any, int], number: dict[Rule, int]
) -> tuple[dict[str, int], int]:
    """Return shifts as state numbers >= 0 and reductions as ~rule; a lone reduction as default."""
    encoded = {
        symbol: order[arg] if kind is Shift else ~number[arg]
        for symbol, (kind, arg) in sorted(row.items(), key=lambda item: item[0])
    }
    actions = set(encoded.values())
    if len(actions) == 1 and (action := actions.pop()) < 0:
        return {}, action
    return encoded, 0


def _shape(rule: Rule) -> RuleShape:
    """Return what a reduction does: which children its value is made of, and by which function."""
    keep: list[int] = []
    gaps = _gaps(rule)
    for index, symbol in enumerate(rule.expansion):
        keep.extend([-1] * gaps[index])
        if (
            not (symbol.is_term and getattr(symbol, "filter_out", False))
            or rule.options.keep_all_tokens
        ):
            spliced = not symbol.is_term and symbol.name.startswith("_")
            keep.append(index + SPLICED if spliced else index)
    keep.extend([-1] * gaps[-1])
    origin = str(rule.origin.name)
    single = bool(rule.options.expand1) and len(keep) == 1 and keep[0] < SPLICED and not rule.alias
    return RuleShape(
        origin=origin,
        size=len(rule.expansion),
        action="" if single else str(rule.alias or ("_" if origin.startswith("_") else origin)),
        keep=keep,
    )


def _gaps(rule: Rule) -> list[int]:
    """Return how many absent optional parts stand before each symbol and at the end."""
    flags = rule.options.empty_indices
    if not flags:
        return [0] * (len(rule.expansion) + 1)
    gaps = [0]
    for absent in flags:
        if absent:
            gaps[-1] += 1
        else:
            gaps.append(0)
    return gaps


def main() -> None:
    """Write the tables beside the grammar."""
    TABLES.write_bytes(build(GRAMMAR.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
