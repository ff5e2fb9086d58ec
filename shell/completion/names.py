"""The names that fit a place: columns of the datasets in reach, datasets, functions, settings."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

from mfdb.client.show import ALSO
from mfdb.sql.places import Role
from mfdb.sql.scanner import fold
from mfdb.sql.series_functions import SERIES
from shell.completion.ranking import Candidate
from shell.completion.scope import Source, changed_at, datasets_of, names_with, sources_at
from shell.literals import quoted_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mfdb.sql.automaton import Token
    from shell.completion.catalogue import Catalogue, Dataset

_NEW = frozenset({"TABLE", "DATASET", "MAILBOX", "VIEW", "EXISTS"})
_READ = frozenset({"FROM", "JOIN", ","})
_JOINED = 3
"""Most join conditions that are offered for one pair of sources."""


def candidates_for(
    roles: frozenset[Role], tokens: Sequence[Token], cursor: int, catalogue: Catalogue
) -> list[Candidate]:
    """Return the names that a place takes. `tokens` is the whole statement, `cursor` the place."""
    qualifier = _qualifier(tokens, cursor)
    if qualifier is not None:
        return _qualified(qualifier, roles, tokens, cursor, catalogue)
    found: list[Candidate] = []
    if Role.DATASET in roles and not _is_new(tokens, cursor):
        found += _datasets(tokens, cursor, catalogue)
    if Role.TARGET in roles:
        found += _targets(tokens, cursor, catalogue)
    if Role.COLUMN in roles:
        found += _columns(tokens, cursor, catalogue)
    if Role.FUNCTION in roles:
        found += [
            Candidate(f"{name}()" if takes == "()" else f"{name}(", "function", takes, 3)
            for name, takes in catalogue.functions.items()
        ]
    if Role.SERIES in roles:
        found += [Candidate(f"{name}(", "function", rank=3) for name in SERIES]
    return found + list(_words(roles, tokens, cursor, catalogue))


_OF_SUBSCRIPTIONS = ("snapshot", "progress", "envelope = 'upsert'")
"""What WITH takes behind SUBSCRIBE."""


def _words(
    roles: frozenset[Role], tokens: Sequence[Token], cursor: int, catalogue: Catalogue
) -> Iterator[Candidate]:
    if Role.TYPE in roles:
        yield from (Candidate(name, "type") for name in catalogue.types)
    if Role.OPTION in roles:
        subscribes = bool(tokens) and tokens[0].kind == "SUBSCRIBE"
        options = _OF_SUBSCRIPTIONS if subscribes else catalogue.options
        yield from (Candidate(name, "option") for name in options)
    if Role.SETTING in roles:
        yield from (Candidate(name, "setting", kind) for name, kind in catalogue.settings.items())
    if Role.SHOWN in roles:
        yield from (Candidate(name, "shown") for name in catalogue.shown)
    if Role.GRANTEE in roles:
        yield from (Candidate(name, "identity") for name in ("PUBLIC", "OWNER"))
        yield from (Candidate(quoted_name(name), "identity") for name in catalogue.identities)
    if Role.OTHER in roles and cursor and tokens[0].kind == "USE":
        yield from (Candidate(quoted_name(name), "identity") for name in catalogue.identities)
    if Role.OTHER in roles and cursor and _before(tokens, cursor) == "INDEX":
        yield from (Candidate(quoted_name(name), "index") for name in catalogue.indexes)


def _before(tokens: Sequence[Token], cursor: int) -> str:
    return tokens[cursor - 1].kind if cursor else ""


def _is_new(tokens: Sequence[Token], cursor: int) -> bool:
    """Return whether the name is about to be made: `CREATE TABLE |`."""
    return bool(tokens) and tokens[0].kind == "CREATE" and _before(tokens, cursor) in _NEW


def _qualifier(tokens: Sequence[Token], cursor: int) -> str | None:
    """Return the name before the dot that stands before the cursor."""
    if cursor < 2 or tokens[cursor - 1].kind != ".":
        return None
    text = tokens[cursor - 2].text
    return text[1:-1].replace('""', '"') if text.startswith('"') else fold(text)


def _qualified(
    qualifier: str,
    roles: frozenset[Role],
    tokens: Sequence[Token],
    cursor: int,
    catalogue: Catalogue,
) -> list[Candidate]:
    if Role.DATASET in roles and qualifier in catalogue.schemas:
        return [Candidate(name, "told") for name in catalogue.schemas[qualifier]]
    if Role.DATASET in roles:
        return [
            Candidate(quoted_name(name), one.kind)
            for name, one in catalogue.datasets.items()
            if qualifier in (one.owner.lower(), one.owner)
        ]
    for source in sources_at(tokens, cursor, _readable(catalogue)):
        if qualifier in (source.name, source.dataset):
            return _of(source.columns)
    one = catalogue.datasets.get(qualifier)
    return [] if one is None else _of(one.columns)


def _of(columns: Mapping[str, str], rank: int = 0) -> list[Candidate]:
    return [Candidate(quoted_name(name), "column", kind, rank) for name, kind in columns.items()]


def _datasets(tokens: Sequence[Token], cursor: int, catalogue: Catalogue) -> list[Candidate]:
    named = names_with(tokens, cursor, catalogue.datasets)
    found = [Candidate(quoted_name(name), "query") for name in named]
    found += [
        Candidate(quoted_name(name), one.kind) for name, one in sorted(catalogue.datasets.items())
    ]
    if cursor and tokens[cursor - 1].kind in _READ:
        found += [Candidate(f"{name}.", "schema", rank=1) for name in catalogue.schemas]
    return found


_BEFORE_ROWS = frozenset({"FROM", "FOR", "ON", "LIKE", "WHERE", "ORDER", "LIMIT", "OFFSET"})
_OF_WHICH = ("dataset", "owner")
"""What SHOW tells first where it tells of every dataset."""


def _shown(tokens: Sequence[Token], catalogue: Catalogue) -> list[Candidate] | None:
    """Return the columns of what SHOW shows, None in any other statement."""
    if not tokens or tokens[0].kind != "SHOW":
        return None
    words = list(takewhile(lambda token: token.kind not in _BEFORE_ROWS, tokens[1:]))
    word = " ".join(fold(token.text) for token in words)
    found = catalogue.told.get("mf." + ALSO.get(word, word).replace(" ", "_"))
    if found is None:
        return []
    named = len(tokens) > len(words) + 1 and tokens[len(words) + 1].kind in ("FROM", "FOR", "ON")
    columns = dict(found.columns)
    if named and tuple(columns)[:2] == _OF_WHICH:
        columns = dict(list(columns.items())[2:])
    return _of(columns)


def _readable(catalogue: Catalogue) -> dict[str, Dataset]:
    return {**catalogue.datasets, **catalogue.told}


def _columns(tokens: Sequence[Token], cursor: int, catalogue: Catalogue) -> list[Candidate]:
    shown = _shown(tokens, catalogue)
    if shown is not None:
        return shown
    sources = sources_at(tokens, cursor, _readable(catalogue))
    seen = [source for source in sources if source.columns]
    if not seen:  # nothing is named yet: any column may be meant
        changed = changed_at(tokens, cursor, catalogue.datasets)
        seen = [Source(one, columns, one) for one, columns in _near(changed, catalogue).items()]
    found: dict[str, Candidate] = {}
    for source in seen:
        for name, kind in source.columns.items():
            if name not in found:
                found[name] = Candidate(quoted_name(name), "column", _detail(kind, source))
    joins = _joins(sources) if _before(tokens, cursor) == "ON" else []
    names = [source.name for source in sources]
    aliases = [Candidate(quoted_name(name), "alias", rank=1) for name in dict.fromkeys(names)]
    return [*joins, *found.values(), *aliases] if len(names) > 1 else [*joins, *found.values()]


def _near(changed: Sequence[str], catalogue: Catalogue) -> dict[str, Mapping[str, str]]:
    """Return the dataset that is being changed, else every dataset."""
    every = datasets_of(catalogue.datasets)
    found = {name: every[name] for name in every if changed and list(every[name]) == list(changed)}
    return found or every


def _detail(kind: str, source: Source) -> str:
    return f"{kind} of {source.name}".strip() if source.name else kind


def _joins(sources: Sequence[Source]) -> list[Candidate]:
    """Return likely join conditions of the last source with those before it."""
    if len(sources) < 2:
        return []
    last = sources[-1]
    found: list[Candidate] = []
    for other in sources[:-1]:
        pairs = [(name, name) for name in last.columns if name in other.columns and name != "id"]
        pairs += [(mine, name) for name in other.columns for mine in last.columns
                  if name != mine and _refers(name, mine, last)]  # fmt: skip
        pairs += [(name, its) for name in last.columns for its in other.columns
                  if name != its and _refers(name, its, other)]  # fmt: skip
        for mine, its in list(dict.fromkeys(pairs))[:_JOINED]:
            left, right = quoted_name(last.name), quoted_name(other.name)
            text = f"{left}.{quoted_name(mine)} = {right}.{quoted_name(its)}"
            found.append(Candidate(text, "join", rank=-1))
    return found


def _refers(name: str, key: str, source: Source) -> bool:
    """Return whether a column is called after another dataset's key: `artist_id`, `artist`."""
    stem = source.dataset.removesuffix("s")
    return name in (f"{stem}_{key}", f"{stem}{key}", f"{source.dataset}_{key}") or (
        key == "id" and name == stem
    )


def _targets(tokens: Sequence[Token], cursor: int, catalogue: Catalogue) -> list[Candidate]:
    opener = _opener(tokens, cursor)
    if opener and tokens[opener - 1].kind == "USING":
        sources = [one for one in sources_at(tokens, cursor, catalogue.datasets) if one.columns]
        shared = set(sources[-1].columns) if sources else set()
        for source in sources[-2:]:
            shared &= set(source.columns)
        return [Candidate(quoted_name(name), "column") for name in sorted(shared)]
    defined = _defined(tokens) if tokens and tokens[0].kind == "CREATE" else []
    names = defined or changed_at(tokens, cursor, catalogue.datasets)
    taken = {fold(token.text) for token in tokens[opener:cursor]} if opener else set()
    return [Candidate(quoted_name(name), "column") for name in names if name not in taken]


def _opener(tokens: Sequence[Token], cursor: int) -> int:
    """Return the parenthesis that is open at the cursor, or 0."""
    depth = 0
    for index in range(cursor - 1, 0, -1):
        depth += {")": 1, "(": -1}.get(tokens[index].kind, 0)
        if depth < 0:
            return index
    return 0


def _defined(tokens: Sequence[Token]) -> list[str]:
    """Return the columns that a CREATE TABLE has defined so far."""
    depth = 0
    found = []
    for index, token in enumerate(tokens):
        depth += {"(": 1, ")": -1}.get(token.kind, 0)
        before = tokens[index - 1].kind if index else ""
        if depth == 1 and before in ("(", ",") and token.kind in ("NAME", "QUOTED"):
            found.append(fold(token.text.strip('"')))
    return found
