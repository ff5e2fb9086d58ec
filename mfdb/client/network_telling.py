"""SHOW, and relations of schema `mf`, as far as only the network knows the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.client import show
from mfdb.client.identities import address_of
from mfdb.client.results import Result, table
from mfdb.client.told import asked_of_network
from mfdb.kernel.errors import AccessDenied, MfdbError
from mfdb.kernel.ids import show as show_id
from mfdb.rules.evidence import EMBEDDED
from mfdb.rules.given_up import is_given_up
from mfdb.sql import statement as st

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mfdb.client.local import Local
    from mfdb.client.remote import Remote
    from mfdb.client.state import SessionState
    from mfdb.dataset.catalogue import Known
    from mfdb.sql.parameters import Given

_OF_WHICH = {"dataset": "TEXT", "owner": "IDENTITY"}


def fields(word: str) -> dict[str, str]:
    """Return the columns of a relation of schema `mf` that only the network can tell."""
    from mfdb.client import health
    from mfdb.node.client.reports import COLUMNS

    if word == "health":
        return dict.fromkeys(health.COLUMNS, "TEXT")
    return (_OF_WHICH if word in show.OF_DATASETS else {}) | COLUMNS[word]


class NetworkTelling:
    """Asks the identity's node; `find` makes a dataset known here."""

    def __init__(
        self,
        state: SessionState,
        local: Local,
        remote: Remote,
        find: Callable[[st.TableName], Awaitable[Known | None]],
    ) -> None:
        self._state = state
        self._local = local
        self._remote = remote
        self._find = find

    async def show(self, statement: st.Show, params: Given) -> Result:
        """Return what a SHOW asks for.

        Raises:
            UnknownDataset, UnknownIdentity: it is about nobody.
            NetworkError, ChainError: the network is in the way.
        """
        found = await self._asked(statement)
        return self._local.telling.refined(statement, found, params)

    async def keep(self, name: st.TableName) -> None:
        """Let the network tell what a relation of schema `mf` shows to the query that comes."""
        word = asked_of_network(name)
        if word is not None:
            asked = st.Show(position=name.position, what=word)
            self._local.ground.told.keep(word, await self._asked(asked))

    async def _asked(self, statement: st.Show) -> Result:
        if statement.what == "health":
            return await self._health(statement)
        if statement.what == "cheques" and statement.of is not None:
            return await self._cheques(statement.of)
        if statement.of is not None:
            known = await self._named(statement.of)
            columns, rows = await self._remote.status(statement.what, known.manifest.dataset)
        elif statement.what in show.OF_DATASETS:
            return await self._of_each(statement.what)
        else:
            columns, rows = await self._remote.status(statement.what, None)
        return table("SHOW", columns, rows)

    async def _named(self, name: st.TableName) -> Known:
        await self._find(name)
        return self._local.ground.known(name)

    def _known(self) -> list[Known]:
        """Return the datasets on the network that are known here."""
        with self._state.replica.reading() as reading:
            return [
                one
                for one in reading.datasets()
                if one.manifest.network != EMBEDDED and not is_given_up(one.manifest)
            ]

    async def _of_each(self, what: str) -> Result:
        """Return what is told of all datasets, with their names in front."""
        columns, rows = await self._remote.status(what, None)
        rows = list(rows)
        for known in self._known():
            manifest = known.manifest
            try:
                _, found = await self._remote.status(what, manifest.dataset)
            except AccessDenied:
                continue  # its providers tell us nothing of it
            rows += [(manifest.name, show_id(manifest.owner), *row) for row in found]
        return table("SHOW", _OF_WHICH | columns, rows)

    async def _cheques(self, peer: st.TableName) -> Result:
        """Return how it stands with one peer, whose address or petname stands as a name."""
        try:
            wanted = show_id(address_of(peer.name, self._state.identities))
        except MfdbError as error:
            error.position = peer.position
            raise
        columns, rows = await self._remote.status("cheques", None)
        return table("SHOW", columns, [row for row in rows if row[0] == wanted])

    async def _health(self, statement: st.Show) -> Result:
        """Return the readings of one dataset, or of all that are known here."""
        from mfdb.client.health import show_health

        named = statement.of
        known = self._known() if named is None else [await self._named(named)]
        return await show_health(self._state, self._remote, known)
