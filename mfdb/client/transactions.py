"""What a statement means for the open transaction of a DB-API connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.sql import query as qu
from mfdb.sql import statement as st

if TYPE_CHECKING:
    from mfdb.sql.statement import Statement

_OPENERS = (*st.CHANGES, st.CopyFrom, st.Execute, st.Savepoint, st.Notify)
"""What EXECUTE carries out is known when it runs only; a query does not mind an open batch."""
_APART = (
    st.Select,
    qu.Query,
    st.Show,
    st.Describe,
    st.Explain,
    st.SetOption,
    st.CreateIdentity,
    st.Subscribe,
    st.Unsubscribe,
    st.Listen,
    st.Unlisten,
    st.Use,
    st.UseIdentity,
    st.Begin,
    st.Commit,
    st.Rollback,
    st.RollbackTo,
    st.Release,
    st.Prepare,
    st.Deallocate,
    st.CopyTo,
)


def opens(statement: Statement) -> bool:
    """Return whether a statement begins a transaction, where none is open."""
    return isinstance(statement, _OPENERS)


def ends(statement: Statement) -> bool:
    """Return whether a statement commits what is open first: changesets hold rows only."""
    return not isinstance(statement, (*_OPENERS, *_APART))


def bounds(depth: int) -> tuple[str, str, tuple[str, ...]]:
    """Return how a transaction inside so many others begins, ends well, and is given up."""
    if depth == 0:
        return "BEGIN", "COMMIT", ("ROLLBACK",)
    name = f"mfdb_transaction_{depth}"
    release = f"RELEASE SAVEPOINT {name}"
    return f"SAVEPOINT {name}", release, (f"ROLLBACK TO SAVEPOINT {name}", release)
