"""Which datasets a statement changes, and how: what its caller must be allowed to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mfdb.sql import statement as st

if TYPE_CHECKING:
    from collections.abc import Iterator

_VERBS: dict[type, str] = {
    st.Insert: "INSERT",
    st.Update: "UPDATE",
    st.Delete: "DELETE",
    st.CopyFrom: "INSERT",
}


def changes_in(statement: Any) -> Iterator[tuple[st.TableName, str]]:
    """Yield the datasets that a statement changes, each with INSERT, UPDATE or DELETE.

    What ON CONFLICT does besides is for the binder to say, which knows the keys.
    """
    if isinstance(statement, st.Chained):
        for cte in getattr(statement.statement, "ctes", ()):
            yield from changes_in(cte.query)
        yield from changes_in(statement.statement)
    elif isinstance(statement, st.Merge):
        for verb in dict.fromkeys(when.action for when in statement.whens):
            yield statement.table, "SELECT" if verb == "nothing" else verb.upper()
    elif type(statement) in _VERBS:
        yield statement.table, _VERBS[type(statement)]
