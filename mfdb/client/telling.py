"""SHOW and DESCRIBE, as far as this machine knows the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.client import show
from mfdb.client.names import SCHEMAS, is_told
from mfdb.client.results import Result
from mfdb.client.show_create import show_create, show_policies
from mfdb.client.told import asked_of_network
from mfdb.client.upkeep import show_indexes
from mfdb.kernel.errors import NetworkError, ProgrammingError
from mfdb.kernel.nearest import nearest_hint
from mfdb.sql import statement as st

if TYPE_CHECKING:
    from mfdb.client.ground import Ground
    from mfdb.client.queries import Queries
    from mfdb.client.results import Result
    from mfdb.dataset.catalogue import Known
    from mfdb.dataset.reading import Reading
    from mfdb.sql.parameters import Given

SCHEMA = SCHEMAS[0]
_OF_ONE = ("columns", "grants", "create", "policies", "indexes", "conflicts")
"""What can be told of a single dataset."""


class Telling:
    """Tells what is here."""

    def __init__(self, ground: Ground, queries: Queries) -> None:
        self._ground = ground
        self._queries = queries

    def show(self, statement: st.Show, params: Given) -> Result:
        """Return what SHOW asks for.

        Raises:
            NetworkError: only the network knows, and none is open.
            ProgrammingError: there is no such thing.
        """
        found = show.show_setting(self._ground.state.settings, statement.what)
        if found is None:
            found = self._shown(statement, show.ALSO.get(statement.what, statement.what))
        return self.refined(statement, found, params)

    def refined(self, statement: st.Show, found: Result, params: Given) -> Result:
        """Return what LIKE and the clauses of a SELECT leave of what SHOW found.

        Raises:
            MfdbError: a clause names what is not there, or has no answer.
        """
        found = show.liked(found, statement.like)
        if not statement.is_refined:
            return found
        word = show.ALSO.get(statement.what, statement.what)
        at = statement.position
        select = st.Select(
            position=at,
            items=(st.Star(position=at),),
            table=st.TableName(position=at, name=word.replace(" ", "_"), owner=SCHEMA),
            where=statement.where,
            order_by=statement.order_by,
            limit=statement.limit,
            offset=statement.offset,
        )
        with self._ground.told.keeping(word, found):
            refined = self._queries.select(select, params, "")
        refined.tag = f"SHOW {refined.count}"
        return refined

    def _shown(self, statement: st.Show, word: str) -> Result:
        with self._ground.state.replica.reading() as reading:
            if statement.of is None:
                found = self._ground.told.tell(word, reading)
            elif word == "columns" and is_told(statement.of):
                found = self._fields(statement.of)
            elif word in _OF_ONE:
                found = self._of_one(word, self._ground.known(statement.of), reading)
            elif word in show.LOCAL:
                raise ProgrammingError(
                    f"SHOW {word.upper()} is about no single dataset",
                    hint=f"SHOW {word.upper()} [LIKE 'a%'] [WHERE ...]",
                    position=statement.of.position,
                )
            else:
                found = None
        if found is None:
            raise _unknown_show(statement)
        return found

    def _of_one(self, word: str, known: Known, reading: Reading) -> Result | None:
        match word:
            case "columns":
                return show.show_columns(known)
            case "grants":
                return show.show_grants(known)
            case "create":
                return show_create(reading, known)
            case "policies":
                return show_policies([known])
            case "indexes":
                return show_indexes(reading, [known])
            case _:
                return show.show_conflicts(reading, [known], self._ground.state.me)

    def describe(self, statement: st.Describe) -> Result:
        """Return the columns of a dataset, or of what SHOW tells.

        Raises:
            UnknownDataset: it is not known.
        """
        if is_told(statement.table):
            return self._fields(statement.table)
        return show.show_columns(self._ground.known(statement.table))

    def _fields(self, name: st.TableName) -> Result:
        """Return the columns of a relation that tells something; nobody is asked for its rows."""
        word = asked_of_network(name)
        if word is None:
            schema = self._ground.relation(name)
            return show.show_fields((one.name, str(one.type)) for one in schema.columns)
        from mfdb.client.network_telling import fields

        return show.show_fields(fields(word).items())


def _unknown_show(statement: st.Show) -> Exception:
    words = (*show.LOCAL, *show.OF_NETWORK)
    if statement.what in show.OF_NETWORK:
        return NetworkError(
            f"SHOW {statement.what.upper()} asks the network, and none is open",
            hint="connect with network=...",
        )
    from mfdb.sql.elsewhere import SHOWN

    hint = SHOWN.get(statement.what) or nearest_hint(
        statement.what, words, f"SHOW {', '.join(words).upper()}", shown=str.upper
    )
    return ProgrammingError(
        f"there is nothing called {statement.what} to show",
        hint=hint,
        position=statement.position,
    )
