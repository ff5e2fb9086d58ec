"""SHOW and DESCRIBE, as far as this machine knows the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.client import show
from mfdb.client.given_up import is_given_up
from mfdb.client.results import Result
from mfdb.client.show_create import show_create, show_policies
from mfdb.client.upkeep import show_indexes
from mfdb.kernel.errors import NetworkError, ProgrammingError
from mfdb.rules.evidence import EMBEDDED

if TYPE_CHECKING:
    from mfdb.client.ground import Ground
    from mfdb.client.results import Result
    from mfdb.dataset.catalogue import Known
    from mfdb.dataset.reading import Reading
    from mfdb.sql import statement as st


class Telling:
    """Tells what is here, and how a statement would be carried out."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def show(self, statement: st.Show) -> Result:
        """Return what SHOW asks for.

        Raises:
            NetworkError: only the network knows, and none is open.
            ProgrammingError: there is no such thing.
        """
        state = self._ground.state
        with state.replica.reading() as reading:
            match statement.what:
                case "datasets" | "tables":
                    found = show.show_datasets(reading, state.me, EMBEDDED)
                case "identities":
                    found = show.show_identities(state.identities, state.me)
                case "settings" | "all":
                    found = show.show_settings(state.settings)
                case "columns":
                    found = show.show_columns(self._of(statement))
                case "grants":
                    found = show.show_grants(self._of(statement))
                case "create":
                    found = show_create(reading, self._of(statement))
                case "policies":
                    found = show_policies(self._all(statement, reading))
                case "indexes" | "index" | "keys":
                    found = show_indexes(reading, self._all(statement, reading))
                case "conflicts":
                    named = [self._of(statement)] if statement.of else self._owned(reading)
                    found = show.show_conflicts(reading, named, state.me)
                case _:
                    raise _unknown_show(statement)
        return show.liked(found, statement.like)

    def describe(self, statement: st.Describe) -> Result:
        """Return the columns of a dataset.

        Raises:
            UnknownDataset: it is not known.
        """
        return show.show_columns(self._ground.known(statement.table))

    def _all(self, statement: st.Show, reading: Reading) -> list[Known]:
        """Return the one dataset that is named, else all that are known."""
        if statement.of is not None:
            return [self._of(statement)]
        return [known for known in reading.datasets() if not is_given_up(known.manifest)]

    def _owned(self, reading: Reading) -> list[Known]:
        me = self._ground.state.me
        return [known for known in reading.datasets() if known.manifest.owner == me]

    def _of(self, statement: st.Show) -> Known:
        if statement.of is None:
            raise ProgrammingError(
                f"SHOW {statement.what.upper()} of which dataset?",
                hint=f"SHOW {statement.what.upper()} FROM name",
                position=statement.position,
            )
        return self._ground.known(statement.of)


def _unknown_show(statement: st.Show) -> Exception:
    from difflib import get_close_matches

    words = (*show.LOCAL, *show.OF_NETWORK)
    if statement.what in show.OF_NETWORK:
        return NetworkError(
            f"SHOW {statement.what.upper()} asks the network, and none is open",
            hint="connect with network=...",
        )
    near = get_close_matches(statement.what, words, n=1)
    hint = f"did you mean {near[0].upper()}?" if near else f"SHOW {', '.join(words).upper()}"
    return ProgrammingError(
        f"there is nothing called {statement.what} to show",
        hint=hint,
        position=statement.position,
    )
