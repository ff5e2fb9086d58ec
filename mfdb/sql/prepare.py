"""From text to something that runs: parsed, bound, compiled, and remembered by its text.

What is remembered holds for one catalogue; forget it when a dataset is made, changed or dropped.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from mfdb.sql.bind import bind
from mfdb.sql.bound import BoundDelete, BoundInsert, BoundSelect, BoundUpdate
from mfdb.sql.dml import CompiledChange
from mfdb.sql.execute import CompiledSelect
from mfdb.sql.parse import CACHED_CHARACTERS, CACHED_STATEMENTS, parse
from mfdb.sql.relational.engine import Engine
from mfdb.sql.relational.run import CompiledRelational
from mfdb.sql.relational.tree import BoundRelational

if TYPE_CHECKING:
    from mfdb.sql.bound import BoundStatement
    from mfdb.sql.catalogue import Catalogue

    Prepared = CompiledSelect | CompiledRelational | CompiledChange | BoundStatement


class Preparer:
    """Prepares statements against one catalogue; safe for one thread at a time."""

    def __init__(
        self,
        catalogue: Catalogue,
        capacity: int = CACHED_STATEMENTS,
        engine: Engine | None = None,
    ) -> None:
        self._catalogue = catalogue
        self._engine = engine if engine is not None else Engine()
        self._capacity = capacity
        self._known: OrderedDict[str, Prepared] = OrderedDict()

    def prepare(self, text: str) -> Prepared:
        """Return a query or change ready to run, or another statement as bound.

        Raises:
            ProgrammingError, DataError: the text means nothing here; position says where.
        """
        found = self._known.get(text)
        if found is not None:
            self._known.move_to_end(text)
            return found
        prepared = _compile(bind(parse(text), self._catalogue), self._engine)
        if len(text) <= CACHED_CHARACTERS and isinstance(
            prepared, CompiledSelect | CompiledRelational | CompiledChange
        ):
            self._known[text] = prepared
            if len(self._known) > self._capacity:
                self._known.popitem(last=False)
        return prepared

    def forget(self) -> None:
        """Forget everything: a schema changed."""
        self._known.clear()


def _compile(bound: BoundStatement, engine: Engine) -> Prepared:
    match bound:
        case BoundSelect():
            return CompiledSelect(bound)
        case BoundRelational():
            return CompiledRelational(bound, engine)
        case BoundInsert() | BoundUpdate() | BoundDelete():
            return CompiledChange(bound, engine)
        case _:
            return bound
