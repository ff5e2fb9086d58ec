r"""`\h`: the syntax of a statement, from the grammar that parses it, and examples that tests run.

Nothing here is written per statement: syntax comes from grammar.lark, examples from docs/sql.md,
which is shipped beside this file.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from mfdb.kernel.errors import ProgrammingError
from mfdb.kernel.nearest import nearest_hint
from mfdb.sql.places import start
from mfdb.sql.scanner import split, tokenise

if TYPE_CHECKING:
    from collections.abc import Iterator

_RULE = re.compile(r"^[?!]?(\w+)\s*:\s*(.*)$")
_ALIAS = re.compile(r"\s*->\s*\w+")
_REPEATED = re.compile(r'\("," (\w+)\)\*')
_REPEATED_LONG = re.compile(r"(\w+) \((\"\w+\") \1\)\+")
_EXAMPLES = 6
_WORD = re.compile(r"\b_?[a-z][a-z_]*\b")
_QUOTED = re.compile(r'"[^"]*"')
_FIRST = re.compile(r'"[A-Z]+"|\((?:\s*"[A-Z]+"\s*\|?)+\)|\b_?[a-z]\w*|"[^A-Z]+"')
_OPTIONAL = re.compile(r"\[[^\]]*\]")
_KEYWORDS = re.compile(r'(?:\s*(?:"[A-Z]+"|NOT\b|DISTINCT\b))+\s*\Z')
_INLINE = 40
"""Rules of keywords up to so many characters are written where they stand."""
_BLOCK = re.compile(r"^```sql[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_FIRSTS = {"query": ("SELECT", "VALUES", "WITH")}
_LEAVES = frozenset(
    {
        "name",
        "expr",
        "table_name",
        "name_list",
        "query",
        "insert",
        "update",
        "delete",
        "items",
        "where",
        "literal",
        "type",
        "bare_name",
    }
)
"""Rules that a reader knows by their name."""
_NESTED = 4
"""How many levels of rules below a statement are shown."""


@cache
def topics() -> tuple[str, ...]:
    """Return what help can be asked for: every statement by its first words."""
    found = []
    for word in start().words():
        place = start().then(word)
        seconds = place.words() if place is not None else []
        kinds = [second for second in seconds if second in _SECONDS]
        is_split = word in _SPLIT and kinds
        found += [f"{word} {kind}" for kind in kinds] if is_split else [word]
    return tuple(found)


_SPLIT = frozenset({"CREATE"})
_SECONDS = frozenset({"DATASET", "TABLE", "MAILBOX", "IDENTITY", "INDEX", "VIEW", "POLICY"})


def listing() -> Iterator[str]:
    """Yield the statements there are."""
    yield "Statements; \\h STATEMENT shows syntax and examples:\n"
    names = topics()
    width = max(map(len, names)) + 2
    for at in range(0, len(names), 4):
        yield "  " + "".join(name.ljust(width) for name in names[at : at + 4]).rstrip() + "\n"


def page_of(asked: str) -> Iterator[str]:
    """Yield syntax and examples of a statement.

    Raises:
        ProgrammingError: there is no such statement.
    """
    words = asked.upper().split()
    known = topics()
    matching = [topic for topic in known if topic.split()[: len(words)] == words]
    if not matching and words:
        matching = [topic for topic in known if words[: len(topic.split())] == topic.split()]
    if not matching:
        raise ProgrammingError(
            f"no help on {asked[:40]!r}",
            hint=nearest_hint(" ".join(words), known, "\\h lists the statements", most=2),
        )
    return _page(matching)


def _page(matching: list[str]) -> Iterator[str]:
    starting = [rule for rule in _statements() if _starts(rule, matching)]
    shown: set[str] = set()
    for rule in starting:
        yield from _syntax(rule, shown)
    below = _below(starting, shown)
    if below:
        yield "where\n"
        yield from below
    examples = _examples(matching)
    if examples:
        yield "\nExamples\n"
        yield from (f"  {example}\n" for example in examples)


def _starts(rule: str, matching: list[str]) -> bool:
    """Return whether a rule's statement begins with one of the topics."""
    firsts = _FIRSTS.get(rule) or _openings(rule)
    return any(
        topic.startswith(first) or first.startswith(topic) for topic in matching for first in firsts
    )


@cache
def _openings(rule: str) -> tuple[str, ...]:
    """Return the words that a rule begins with; of those with many forms, with the second word."""
    found: list[str] = []
    for alternative in _rules().get(rule, ()):
        words = _FIRST.findall(_OPTIONAL.sub("", alternative))
        if not words:
            continue
        first, second = words[0], words[1] if len(words) > 1 else ""
        for word in _words_of(first):
            kinds = _words_of(second) if word in _SPLIT else ()
            found += [f"{word} {kind}" for kind in kinds] or [word]
    return tuple(found)


def _words_of(symbol: str) -> tuple[str, ...]:
    """Return the keywords that a symbol of the grammar begins with."""
    if symbol.startswith(('"', "(")):
        return tuple(re.findall(r'"([A-Z]+)"', symbol))
    return _openings(symbol)


def _statements() -> list[str]:
    """Return the rules that are statements."""
    found: dict[str, None] = {}
    for alternative in _rules()["statement"]:
        for name in re.findall(r"\b[a-z_]+\b", _ALIAS.sub("", alternative)):
            if name != "pass_value":
                found[name] = None
    return list(found)


def _syntax(rule: str, shown: set[str]) -> Iterator[str]:
    shown.add(rule)
    for alternative in _rules().get(rule, ()):
        yield f"  {_human(alternative)}\n"


def _below(starting: list[str], shown: set[str]) -> list[str]:
    """Return the lines of the rules that the statements are made of."""
    lines: list[str] = []
    level = starting
    for _ in range(_NESTED):
        named: dict[str, None] = {}
        for rule in level:
            for alternative in _rules().get(rule, ()):
                named |= dict.fromkeys(_WORD.findall(_QUOTED.sub("", alternative)))
        level = [name for name in named if name in _rules() and name not in shown | _LEAVES]
        for name in level:
            shown.add(name)
            if _short(name) is None:
                lines.append(f"  {_named(name)}: {_options(name)}\n")
    return lines


def _options(rule: str) -> str:
    options = [_human(alternative) for alternative in _rules()[rule]]
    return " | ".join(option for option in options if option)


@cache
def _short(rule: str) -> str | None:
    """Return the words of a rule that is nothing but a few keywords: they stand in its place."""
    alternatives = _rules().get(rule)
    if alternatives is None or rule in _LEAVES:
        return None
    texts = [_ALIAS.sub("", one) for one in alternatives]
    if not all(map(_KEYWORDS.match, texts)):
        return None
    made = [text.replace('"', "").strip() for text in texts]
    joined = "|".join(made)
    if len(joined) > _INLINE:
        return None
    return joined if len(made) == 1 else "{" + joined + "}"


def _human(alternative: str) -> str:
    """Return an alternative of the grammar as manuals write it."""
    text = _REPEATED.sub("[, ...]", _ALIAS.sub("", alternative))
    text = _REPEATED_LONG.sub(r"\1 [\2 ...]", text)
    parts = re.split(r'("[^"]*")', text)
    made = [part.strip('"') if part.startswith('"') else _names_in(part) for part in parts]
    joined = re.sub(r"\s+", " ", "".join(made)).strip()
    return re.sub(r"\s+,", ",", joined).replace("( ", "(").replace(" )", ")")


def _names_in(text: str) -> str:
    made = _WORD.sub(lambda found: _short(found.group()) or _named(found.group()), text)
    return made.replace("[{", "[").replace("}]", "]")


def _named(rule: str) -> str:
    return rule.strip("_")


@cache
def _rules() -> dict[str, list[str]]:
    """Return the alternatives of each rule of the grammar."""
    text = files("mfdb.sql").joinpath("grammar.lark").read_text("utf-8")
    rules: dict[str, list[str]] = {}
    current: list[str] = []
    for raw in text.splitlines():
        line = raw.partition("//")[0].rstrip()
        found = _RULE.match(line)
        if found:
            current = rules.setdefault(found[1], [])
            line = found[2]
        elif not line.startswith(" "):
            continue
        if line.strip():
            _add(current, line.strip())
    return rules


def _add(alternatives: list[str], line: str) -> None:
    """Add a line of a rule: a new alternative after `|`, else the rest of the last one."""
    pieces = re.split(r"\s+\|\s+(?![^([]*[)\]])", line.removeprefix("| "))
    if alternatives and not line.startswith("|"):
        alternatives[-1] += " " + pieces.pop(0)
    alternatives.extend(pieces)


def _examples(matching: list[str]) -> list[str]:
    found = []
    for statement in _documented():
        words = [token.text.upper() for token in tokenise(statement)[:3]]
        if any(words[: len(topic.split())] == topic.split() for topic in matching):
            found.append(" ".join(statement.split()) + ";")
    return found[:_EXAMPLES]


@cache
def _documented() -> tuple[str, ...]:
    """Return the statements of docs/sql.md."""
    blocks = _BLOCK.findall(_paper())
    return tuple(piece.text for block in blocks for piece in split(block))


def _paper() -> str:
    shipped = files("shell").joinpath("sql.md")
    if shipped.is_file():
        return shipped.read_text("utf-8")
    beside = Path(__file__).parents[1] / "docs" / "sql.md"  # a checkout
    return beside.read_text("utf-8") if beside.is_file() else ""
