"""What a statement means for the open transaction of a DB-API connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.sql import query as qu
from mfdb.sql import statement as st

if TYPE_CHECKING:
    from mfdb.sql.statement import Statement

_CHANGES = (st.Insert, st.Update, st.Delete)
_APART = (
    st.Select,
    qu.Query,
    st.Show,
    st.Describe,
    st.Explain,
    st.SetOption,
    st.CreateIdentity,
    st.Subscribe,
    st.Begin,
    st.Commit,
    st.Rollback,
)


def opens(statement: Statement) -> bool:
    """Return whether a statement begins a transaction, where none is open."""
    return isinstance(statement, _CHANGES)


def ends(statement: Statement) -> bool:
    """Return whether a statement commits what is open first: changesets hold rows only."""
    return not isinstance(statement, (*_CHANGES, *_APART))
