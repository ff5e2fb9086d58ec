"""The names that completion knows: a snapshot, replaced whole when a definition has run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A dataset or view: the type of each column by its name, whose it is, what it is."""

    columns: Mapping[str, str] = field(default_factory=dict)
    owner: str = ""
    kind: str = "dataset"


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """Names by kind. `used` counts how often each was used, so that the usual ones come first."""

    datasets: Mapping[str, Dataset] = field(default_factory=dict)
    identities: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    functions: Mapping[str, str] = field(default_factory=dict)
    types: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    indexes: tuple[str, ...] = ()
    schemas: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Schemas that tell what there is (`mf`), with their relations."""
    told: Mapping[str, Dataset] = field(default_factory=dict)
    """Those relations under their whole names, `mf.datasets`, as far as their columns are known."""
    aliases: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    used: Counter[str] = field(default_factory=Counter)


def built_in() -> Catalogue:
    """Return what every database knows: functions, types, options, settings."""
    from dataclasses import fields

    from mfdb.client.names import SCHEMAS
    from mfdb.client.options import NAMES as OPTIONS
    from mfdb.client.settings import SessionSettings
    from mfdb.client.show import LOCAL, OF_NETWORK
    from mfdb.client.told import names_of
    from mfdb.sql.types import NAMES as TYPES

    return Catalogue(
        functions=_functions(),
        types=tuple(sorted({name.upper() for name in TYPES} - {"UNKNOWN"})),
        options=OPTIONS,
        schemas={schema: tuple(names_of(schema)) for schema in SCHEMAS},
        settings={item.name: str(item.type) for item in fields(SessionSettings)},
        shown=tuple(sorted(word.upper() for word in (*LOCAL, *OF_NETWORK))),
    )


def _functions() -> dict[str, str]:
    """Return every function with what it takes, as `(text, integer)`."""
    from mfdb.sql.functions import AGGREGATES, CONTEXTS, FUNCTIONS, KNOWN
    from mfdb.sql.relational.bind_window import KNOWN as WINDOWS

    found = dict.fromkeys((*WINDOWS, *KNOWN), "(...)")
    for name, overloads in FUNCTIONS.items():
        found[name] = " or ".join(f"({', '.join(one.families)})" for one in overloads[:2])
    found |= dict.fromkeys(AGGREGATES, "(...) aggregate") | dict.fromkeys(CONTEXTS, "()")
    for word in ("current_date", "localtime", "localtimestamp"):
        found.pop(word, None)  # a keyword, and completed as one
    return found


def counted(texts: Iterable[str]) -> Counter[str]:
    """Return how often each word stands in texts (a history)."""
    words: Counter[str] = Counter()
    for text in texts:
        words.update(text.lower().split())
    return words
