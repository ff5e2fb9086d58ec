"""Binding what writes: changes and definitions, by kind of statement.

`mfdb.sql.bind` loads this with the first of them, so that a process that only reads need not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mfdb.sql import statement as st
from mfdb.sql.bind_change import bind_delete, bind_insert, bind_update
from mfdb.sql.bind_definition import bind_create, bind_grant, bind_index, bind_policy, bind_revoke
from mfdb.sql.names import table_of
from mfdb.sql.views import writable

if TYPE_CHECKING:
    from collections.abc import Callable

    from mfdb.sql.catalogue import Catalogue


def _grant(node: st.Grant, catalogue: Catalogue) -> Any:
    return bind_grant(node, table_of(node.table, catalogue))


def _revoke(node: st.Revoke, catalogue: Catalogue) -> Any:
    return bind_revoke(node, table_of(node.table, catalogue))


def _index(node: st.CreateIndex, catalogue: Catalogue) -> Any:
    return bind_index(node, writable(table_of(node.table, catalogue), node.table))


def _policy(node: st.CreatePolicy, catalogue: Catalogue) -> Any:
    return bind_policy(node, writable(table_of(node.table, catalogue), node.table))


def _merge(node: st.Merge, catalogue: Catalogue) -> Any:
    from mfdb.sql.relational.bind_merge import bind_merge

    return bind_merge(node, catalogue)


def _chained(node: st.Chained, catalogue: Catalogue) -> Any:
    from mfdb.sql.bind_chained import bind_chained

    return bind_chained(node, catalogue)


BINDERS: dict[type, Callable[[Any, Catalogue], Any]] = {
    st.Insert: bind_insert,
    st.Update: bind_update,
    st.Delete: bind_delete,
    st.Merge: _merge,
    st.Chained: _chained,
    st.Grant: _grant,
    st.Revoke: _revoke,
    st.CreateDataset: bind_create,
    st.CreateIndex: _index,
    st.CreatePolicy: _policy,
}
