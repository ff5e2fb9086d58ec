"""SELECT ... VERIFY: that what a query rests on is whole, and what shows it (SHOW PROOFS).

scope known (keys, a range of keys) -> each replica signs its root and shows the scope alone
                                    -> what is shown and not here: fetched, and shown again
else                                -> everything is brought here, and its root compared
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.client.results import Result, table
from mfdb.client.show import moment
from mfdb.client.state import Proof
from mfdb.kernel.clock import Hlc, hlc_seconds
from mfdb.kernel.errors import QuorumNotReached, ValueTooLarge
from mfdb.kernel.ids import show
from mfdb.rules.manifest import Action

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mfdb.client.local import Local
    from mfdb.client.remote import Remote
    from mfdb.client.state import SessionState
    from mfdb.dataset.catalogue import Known
    from mfdb.dataset.outcome import Proven
    from mfdb.dataset.scope import Scope
    from mfdb.rules.manifest import Manifest
    from mfdb.sql import query as qu
    from mfdb.sql import statement as st
    from mfdb.sql.parameters import Given


class Verifying:
    """Has a read quorum of replicas sign what a query rests on."""

    def __init__(
        self,
        state: SessionState,
        local: Local,
        remote: Remote,
        readable: Callable[[st.TableName, Action], Awaitable[Known | None]],
        sync: Callable[[Manifest], Awaitable[None]],
    ) -> None:
        """`readable` finds a dataset on the network; `sync` brings all of one here."""
        self._state = state
        self._local = local
        self._remote = remote
        self._readable = readable
        self._sync = sync

    async def verify(self, query: st.Select | qu.Query, params: Given) -> None:
        """Have all that a query reads here, as replicas sign it now, and note their proofs.

        Raises:
            BadProof: a replica was caught lying.
            QuorumNotReached: too few replicas answer, or have what is here.
            NetworkError: the network is in the way.
        """
        self._state.proofs.clear()
        for name in self._local.ground.behind(query):
            known = await self._readable(name, Action.SELECT)
            if known is None:
                continue
            manifest, proven = known.manifest, await self._proven(query, params, known)
            self._state.proofs += [Proof(manifest.name, manifest.owner, one) for one in proven]

    async def _proven(
        self, query: st.Select | qu.Query, params: Given, known: Known
    ) -> tuple[Proven, ...]:
        """Return the proofs of what a query reads of a dataset, by its newest rules."""
        while True:
            manifest = known.manifest
            scope = self._local.queries.scope(query, params, known)
            if scope is None:
                return await self._whole(manifest)
            proven = await self._part(manifest, scope)
            known = self._state.replica.known(manifest.dataset)
            if known.manifest.number == manifest.number:
                return proven

    async def _whole(self, manifest: Manifest) -> tuple[Proven, ...]:
        await self._sync(manifest)
        return await self._remote.attest(manifest.dataset, self._state.replica)

    async def _part(self, manifest: Manifest, scope: Scope) -> tuple[Proven, ...]:
        """Hold a scope against what replicas sign; of the rest nothing is brought here."""
        dataset, replica = manifest.dataset, self._state.replica
        try:
            return await self._remote.attest(dataset, replica, scope.spans)
        except QuorumNotReached:
            pass  # they may have what is not here
        try:
            await self._remote.fetch(dataset, replica, scope.spans)
            return await self._remote.attest(dataset, replica, scope.spans)
        except (QuorumNotReached, ValueTooLarge):  # one may lag, or the scope be too large
            await self._sync(manifest)
            return await self._remote.attest(dataset, replica, scope.spans)


def show_proofs(state: SessionState) -> Result:
    """Return what the session's last VERIFY rests on: a row for each replica that signed."""
    names = {
        "dataset": "TEXT",
        "provider": "IDENTITY",
        "covers": "TEXT",
        "rows": "BIGINT",
        "root": "BYTEA",
        "log_number": "BIGINT",
        "as_of": "TIMESTAMPTZ",
        "proof_bytes": "BIGINT",
    }
    rows: list[tuple[object, ...]] = []
    for proof in state.proofs:
        one = proof.proven
        covers = "all rows" if one.is_whole else "rows of the keys asked for"
        shown = f"{covers}, by its log" if one.is_walked else covers
        as_of = moment(hlc_seconds(Hlc(one.hlc))) if one.hlc else None
        told = (shown, one.rows, bytes(one.root), one.number, as_of, one.proof_bytes)
        rows.append((proof.dataset, show(one.provider), *told))
    return table("SHOW", names, rows)
