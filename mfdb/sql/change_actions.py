"""What each rule of INSERT, UPDATE and DELETE in grammar.lark makes of its children."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from mfdb.kernel.errors import NotSupportedError, SqlSyntax
from mfdb.sql import query as qu
from mfdb.sql import statement as st
from mfdb.sql.expression_actions import deeper, listed, word

if TYPE_CHECKING:
    from collections.abc import Callable

Children = list[Any]
_Action = Literal["nothing", "update", "replace", "upsert"]
_WORDS: dict[str, _Action] = {"IGNORE": "nothing", "REPLACE": "replace", "UPSERT": "upsert"}


def _insert(children: Children, position: int) -> st.Insert:
    with_clause, verb, table, alias, columns, source, conflict, returning = children
    recursive, ctes = with_clause or (False, ())
    if verb is not None:
        if conflict is not None:
            raise SqlSyntax(
                f"{verb.text.upper()} says already what happens on a conflict",
                hint="write INSERT INTO ... ON CONFLICT ...",
                position=conflict.position,
            )
        conflict = st.OnConflict(position=verb.position, action=_WORDS[verb.text.upper()])
    rows: Any = None
    query = None
    if isinstance(source, qu.Query) and _is_rows(source):
        assert isinstance(source.body, qu.Values)
        rows = source.body.rows
    elif source is not None:
        rows, query = (), source
    return st.Insert(
        position=position,
        table=table,
        alias=alias.text if alias is not None else None,
        columns=tuple(columns) if columns is not None else None,
        rows=rows,
        query=query,
        on_conflict=conflict,
        returning=tuple(returning or ()),
        ctes=ctes,
        recursive=recursive,
    )


def _is_rows(query: qu.Query) -> bool:
    """Return whether a query is a bare VALUES, in which an INSERT may say DEFAULT."""
    windowed = query.order_by or query.limit is not None or query.offset is not None
    return isinstance(query.body, qu.Values) and not query.ctes and not windowed


def _target(children: Children) -> dict[str, Any]:
    if isinstance(children, st.Name):
        return {"constraint": children}
    return {"columns": tuple(children or ())}


def _conflict_nothing(children: Children, position: int) -> st.OnConflict:
    return st.OnConflict(position=position, action="nothing", **_target(children[0]))


def _conflict_update(children: Children, position: int) -> st.OnConflict:
    target, assignments, where = children
    if target is None:
        raise SqlSyntax(
            "DO UPDATE needs to know which key the conflict is about",
            hint="write ON CONFLICT (columns) DO UPDATE ...",
            position=position,
        )
    return st.OnConflict(
        position=position,
        action="update",
        assignments=tuple(assignments),
        where=where,
        **_target(target),
    )


def _assignment(children: Children, position: int) -> list[st.Assignment]:
    return [st.Assignment(position=position, column=children[0], value=children[1])]


def _assigned_row(children: Children, position: int) -> list[st.Assignment]:
    columns, values = children[0], children[-1]
    if len(columns) != len(values):
        raise SqlSyntax(f"{len(values)} values for {len(columns)} columns", position=position)
    return [
        st.Assignment(position=column.position, column=column, value=value)
        for column, value in zip(columns, values, strict=True)
    ]


def _assigned_query(children: Children, position: int) -> list[st.Assignment]:
    """`(a, b) = (SELECT x, y ...)` is `a = (SELECT x ...), b = (SELECT y ...)`."""
    columns, query = children
    parts = _columns_of(qu.as_query(query), len(columns))
    return [
        st.Assignment(
            position=column.position,
            column=column,
            value=qu.Subquery(position=part.position, query=part, depth=deeper(position, (part,))),  # type: ignore[arg-type] # a query has a depth too
        )
        for column, part in zip(columns, parts, strict=True)
    ]


def _columns_of(query: qu.Query, count: int) -> list[qu.Query]:
    """Return one query for each column of a query.

    Raises:
        NotSupportedError: the columns cannot be told apart without running it.
    """
    body = query.body
    if count == 1:
        return [query]
    if not isinstance(body, qu.SelectCore) or body.distinct or query.ctes:
        raise NotSupportedError(
            "several columns are set from a plain SELECT only",
            hint="write UPDATE ... SET a = s.x, b = s.y FROM (...) AS s",
            position=query.position,
        )
    if len(body.items) != count or any(isinstance(item, st.Star) for item in body.items):
        raise SqlSyntax(
            f"{len(body.items)} values for {count} columns",
            hint="name one column for each column that is set",
            position=query.position,
        )
    return [
        msgspec.structs.replace(query, body=msgspec.structs.replace(body, items=(item,)))
        for item in body.items
    ]


def _assignments(children: Children, _position: int) -> list[st.Assignment]:
    return [assignment for group in children for assignment in group]


def _update(children: Children, position: int) -> st.Update:
    with_clause, table, alias, assignments, sources, where, returning = children
    recursive, ctes = with_clause or (False, ())
    return st.Update(
        position=position,
        table=table,
        alias=alias.text if alias is not None else None,
        assignments=tuple(assignments),
        sources=tuple(sources or ()),
        where=where,
        returning=tuple(returning or ()),
        ctes=ctes,
        recursive=recursive,
    )


def _delete(children: Children, position: int) -> st.Delete:
    with_clause, table, alias, sources, where, returning = children
    recursive, ctes = with_clause or (False, ())
    return st.Delete(
        position=position,
        table=table,
        alias=alias.text if alias is not None else None,
        sources=tuple(sources or ()),
        where=where,
        returning=tuple(returning or ()),
        ctes=ctes,
        recursive=recursive,
    )


def _default_value(_children: Children, position: int) -> st.DefaultValue:
    return st.DefaultValue(position=position)


ACTIONS: dict[str, Callable[[Children, int], Any]] = {
    "rows": listed,
    "row": listed,
    "default_value": _default_value,
    "default_values": lambda _children, _position: None,
    "or_word": word,
    "upsert_word": word,
    "conflict_nothing": _conflict_nothing,
    "conflict_update": _conflict_update,
    "insert": _insert,
    "assignments": _assignments,
    "assignment": _assignment,
    "assigned_row": _assigned_row,
    "assigned_query": _assigned_query,
    "update": _update,
    "delete": _delete,
}
