"""Which queries can be subscribed to: those whose rows are rows of one dataset, each by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.kernel.errors import NotSupportedError
from mfdb.sql import query as qu
from mfdb.sql.bound import BoundSelect

if TYPE_CHECKING:
    from mfdb.sql import statement as st
    from mfdb.sql.relational.tree import BoundRelational

_INSTEAD = "SUBSCRIBE to the rows, and work out the rest as they change"


def watched(node: st.Select, query: BoundSelect | BoundRelational) -> BoundSelect:
    """Return a bound query that can be subscribed to.

    Raises:
        NotSupportedError: it cannot; the message says why.
    """
    if not isinstance(query, BoundSelect):
        raise _refusal("it reads more than one row at a time", node, _INSTEAD)
    if query.source is None:
        raise _refusal("nothing changes without FROM", node, "SUBSCRIBE TO a dataset")
    if query.source.table.told:
        told = query.source.table.name
        raise _refusal(f"{told} is told when it is asked for", node, "SELECT from it again")
    if query.aggregates:
        raise _refusal("an aggregate is about all rows at once", node, _INSTEAD)
    if query.order_by:
        raise _refusal("changes come in the order in which they were made", node, "no ORDER BY")
    if query.limit or query.offset:
        raise _refusal("which rows LIMIT takes depends on all of them", node, "no LIMIT, no OFFSET")
    return query


def unwatchable(query: qu.Query) -> NotSupportedError:
    """Return why a query of the relational route cannot be subscribed to."""
    return _refusal(_reason(query), query, _INSTEAD)


def _reason(query: qu.Query) -> str:
    body = query.body
    if query.ctes:
        return "WITH names a query of its own"
    if isinstance(body, qu.SetOperation):
        return f"{body.parts[0].sign} puts several queries together"
    if not isinstance(body, qu.SelectCore):
        return "VALUES never change"
    if body.group_by is not None or body.having is not None:
        return "GROUP BY is about many rows at once"
    if body.distinct or body.distinct_on:
        return "DISTINCT is about many rows at once"
    if len(body.sources) > 1 or any(isinstance(one, qu.Join) for one in body.sources):
        return "a change of one dataset would change many rows of a join"
    return "it reads more than one row at a time"


def _refusal(why: str, node: st.Select | qu.Query, hint: str) -> NotSupportedError:
    return NotSupportedError(
        f"a subscription is to rows of one dataset, as they change: {why}",
        hint=hint,
        position=node.position,
    )
