"""SUBSCRIBE on this machine: a standing query over one dataset, from a cursor on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.client.cursor import read_cursor
from mfdb.client.subscription import Subscription, View, follow
from mfdb.dataset.visibility import demand
from mfdb.kernel.errors import NotSupportedError, ProgrammingError
from mfdb.rules.evidence import EMBEDDED
from mfdb.rules.manifest import Action
from mfdb.sql import query as qu
from mfdb.sql import statement as st
from mfdb.sql.bind import bind
from mfdb.sql.bound import BoundSubscribe
from mfdb.sql.compile import compile_expression
from mfdb.sql.parameters import environment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mfdb.client.ground import Ground
    from mfdb.client.remote import Remote
    from mfdb.client.results import Change
    from mfdb.sql.bound import BoundSelect
    from mfdb.sql.parameters import Given


class Standing:
    """Opens subscriptions."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def subscribe(
        self,
        statement: st.Statement,
        params: Given,
        since: str | None,
        remote: Remote | None = None,
    ) -> AsyncIterator[Change]:
        """Yield the changes of a standing query.

        Raises:
            AccessDenied: this identity may not subscribe.
            InvalidText: `since` is no cursor of that dataset.
        """
        if isinstance(statement, qu.Query):
            raise NotSupportedError("a subscription is to rows of one dataset, as they change")
        if isinstance(statement, st.Select):
            statement = st.Subscribe(position=0, query=statement)
        if not isinstance(statement, st.Subscribe):
            raise ProgrammingError("only SUBSCRIBE and SELECT give changes")
        with self._ground.state.replica.reading() as reading:
            catalogue = self._ground.catalogue(reading)
            bound = bind(statement, catalogue)
            assert isinstance(bound, BoundSubscribe)
            assert bound.query.source is not None
            known = reading.known(bound.query.source.table.dataset)
        for action in (Action.SELECT, Action.SUBSCRIBE):
            demand(known.manifest, action, self._ground.state.me)
        text = self._since(bound, params) if since is None else since
        dataset = known.manifest.dataset
        cursor = read_cursor(text, dataset) if text else None
        view = View(bound.query, _given(bound.query, params), self._ground.context())
        state = self._ground.state
        subscription = Subscription(state.replica, known, view, since=cursor)
        live = remote if known.manifest.network != EMBEDDED else None
        return follow(subscription, state.replica, live, state.subscriptions)

    def _since(self, bound: BoundSubscribe, params: Given) -> str | None:
        if bound.since is None:
            return None
        about = environment(bound.parameters, params, self._ground.context())
        value = compile_expression(bound.since)((), about)
        return None if value is None else str(value)


def _given(query: BoundSelect, params: Given) -> Given:
    """The parameters of the query itself; SINCE counts apart."""
    if isinstance(params, dict):
        return params
    return list(params)[: query.parameters.count]
