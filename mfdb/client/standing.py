"""SUBSCRIBE on this machine: a standing query over one dataset, from a cursor on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.client.cursor import position, read_cursor
from mfdb.client.following import Following
from mfdb.client.options import truth
from mfdb.client.results import Result
from mfdb.client.subscription import Form, Subscription, View, follow
from mfdb.dataset.visibility import demand
from mfdb.kernel.errors import InvalidDefinition, ProgrammingError
from mfdb.kernel.nearest import nearest_hint
from mfdb.rules.evidence import EMBEDDED
from mfdb.rules.manifest import Action
from mfdb.sql import query as qu
from mfdb.sql import statement as st
from mfdb.sql.bind import bind
from mfdb.sql.bound import BoundSubscribe, Field
from mfdb.sql.compile import compile_expression
from mfdb.sql.parameters import environment
from mfdb.sql.watchable import unwatchable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mfdb.client.cursor import Cursor
    from mfdb.client.ground import Ground
    from mfdb.client.remote import Remote
    from mfdb.client.results import Change
    from mfdb.dataset.catalogue import Known
    from mfdb.sql.bound import BoundSelect
    from mfdb.sql.parameters import Given

_OPTIONS = ("snapshot", "progress", "envelope")


class Standing:
    """Opens subscriptions."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def subscribe(
        self,
        statement: st.Statement,
        params: Given,
        since: str | None,
        text: str,
        remote: Remote | None = None,
    ) -> AsyncIterator[Change]:
        """Yield the changes of a standing query, which `text` says.

        Raises:
            AccessDenied: this identity may not subscribe.
            InvalidText: `since` is no cursor of that dataset.
            CursorLost: it is ahead of what is here.
            DuplicateObject: its name is taken; told when the first change is asked for.
        """
        statement = _subscribe(statement)
        state = self._ground.state
        with state.replica.reading() as reading:
            bound = bind(statement, self._ground.catalogue(reading))
            assert isinstance(bound, BoundSubscribe)
            assert bound.query.source is not None
            known = reading.known(bound.query.source.table.dataset)
            newest = reading.last_sequence(known)
        for action in (Action.SELECT, Action.SUBSCRIBE):
            demand(known.manifest, action, state.me)
        form = form_of(statement, bound.query)
        cursor = self._cursor(bound, params, since, known)
        after = position(cursor, state.replica.feed_id, newest)
        if cursor is None and not form.snapshot:
            after = newest
        view = View(bound.query, _given(bound.query, params), self._ground.context())
        dataset = known.manifest.dataset
        subscription = Subscription(state.replica, dataset, view, form, after=after)
        live = remote if known.manifest.network != EMBEDDED else None
        following = Following(
            dataset=dataset,
            dataset_name=known.manifest.name,
            statement=text,
            named=statement.name,
        )
        return follow(subscription, state.replica, live, state.subscriptions, following)

    def unsubscribe(self, statement: st.Unsubscribe) -> Result:
        """End a subscription, or all of them.

        Raises:
            UnknownObject: there is none of that name.
        """
        ended = self._ground.state.subscriptions.end(statement.name)
        return Result(tag=f"UNSUBSCRIBE {ended}", count=ended)

    def _cursor(
        self, bound: BoundSubscribe, params: Given, since: str | None, known: Known
    ) -> Cursor | None:
        text: object = since
        if text is None and bound.since is not None:
            about = environment(bound.parameters, params, self._ground.context())
            text = compile_expression(bound.since)((), about)
        return None if text is None else read_cursor(str(text), known.manifest.dataset)


def _subscribe(statement: st.Statement) -> st.Subscribe:
    if isinstance(statement, qu.Query):
        raise unwatchable(statement)
    if isinstance(statement, st.Select):
        return st.Subscribe(position=0, query=statement)
    if not isinstance(statement, st.Subscribe):
        raise ProgrammingError("only SUBSCRIBE and SELECT give changes")
    return statement


def form_of(statement: st.Subscribe, query: BoundSelect) -> Form:
    """Return what a statement says of a subscription to its query.

    Raises:
        InvalidDefinition: an option is unknown, twice, of a wrong kind, or does not suit the query.
    """
    snapshot, progress, key = True, False, None
    seen: set[str] = set()
    for option in statement.options:
        if option.name in seen:
            raise InvalidDefinition(
                f"option {option.name} is set twice", hint="say it once", position=option.position
            )
        seen.add(option.name)
        match option.name:
            case "snapshot":
                snapshot = truth(option)
            case "progress":
                progress = truth(option)
            case "envelope":
                key = _enveloped(option, query)
            case _:
                raise _unknown(option)
    name = None if statement.name is None else statement.name.text
    return Form(snapshot=snapshot, progress=progress, key=key, name=name)


def _unknown(option: st.Option) -> InvalidDefinition:
    hint = nearest_hint(
        option.name, _OPTIONS, "SNAPSHOT, PROGRESS, ENVELOPE = 'upsert'", shown=str.upper
    )
    return InvalidDefinition(
        f"a subscription has no option {option.name}", hint=hint, position=option.position
    )


def _enveloped(option: st.Option, query: BoundSelect) -> tuple[str, ...] | None:
    """Return under which names the primary key stands, None if old rows are wanted."""
    if option.value == "changes":
        return None
    if option.value != "upsert":
        raise InvalidDefinition(
            f"there is no envelope {option.value!r}",
            hint="ENVELOPE = 'upsert' or 'changes'",
            position=option.position,
        )
    assert query.source is not None
    places = query.source.table.key
    shown = {
        item.index: output.name
        for item, output in zip(query.items, query.outputs, strict=True)
        if isinstance(item, Field)
    }
    if not places or not all(place in shown for place in places):
        raise InvalidDefinition(
            "ENVELOPE = 'upsert' tells rows apart by their primary key",
            hint="SELECT its columns too" if places else "the dataset has none: leave it out",
            position=option.position,
        )
    return tuple(shown[place] for place in places)


def _given(query: BoundSelect, params: Given) -> Given:
    """The parameters of the query itself; SINCE counts apart."""
    if isinstance(params, dict):
        return params
    return list(params)[: query.parameters.count]
