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
    width = _width(body)
    if width is None:
        raise NotSupportedError(
            "several columns are set from a query whose columns are written out",
            hint="write their names instead of *",
            position=query.position,
        )
    if width != count:
        raise SqlSyntax(
            f"{width} values for {count} columns",
            hint="name one column for each column that is set",
            position=query.position,
        )
    if not isinstance(body, qu.SelectCore) or body.distinct or query.ctes:
        return [_column_of(query, place, count) for place in range(count)]
    return [
        msgspec.structs.replace(query, body=msgspec.structs.replace(body, items=(item,)))
        for item in body.items
    ]


def _width(body: qu.Body) -> int | None:
    """Return how many columns a query has, None if only the catalogue tells."""
    if isinstance(body, qu.Values):
        return len(body.rows[0])
    if isinstance(body, qu.SetOperation):
        return _width(body.first)
    if isinstance(body, qu.Query):
        return _width(body.body)
    return None if any(isinstance(item, st.Star) for item in body.items) else len(body.items)


def _column_of(query: qu.Query, place: int, count: int) -> qu.Query:
    """Return a query of one column of another."""
    at = query.position
    names = tuple(st.Name(position=at, text=f"column{number}") for number in range(count))
    alias = qu.Alias(position=at, name=st.Name(position=at, text="given"), columns=names)
    column = st.ColumnRef(position=at, name=names[place].text, table="given")
    core = qu.SelectCore(
        position=at,
        items=(st.Item(position=at, expression=column),),
        sources=(qu.QuerySource(position=at, query=query, alias=alias),),
    )
    return qu.Query(position=at, body=core, depth=query.depth + 1)


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


# ---- MERGE


def _merge(children: Children, position: int) -> st.Merge:
    with_clause, table, alias, source, condition, *whens = children
    recursive, ctes = with_clause or (False, ())
    return st.Merge(
        position=position,
        table=table,
        alias=alias.text if alias is not None else None,
        source=source,
        condition=condition,
        whens=tuple(whens),
        ctes=ctes,
        recursive=recursive,
    )


def _merge_when(children: Children, position: int) -> st.MergeWhen:
    negated, matched, condition, (action, given) = children
    if matched.text.upper() != "MATCHED":
        raise SqlSyntax(
            f'syntax error at "{matched.text}"',
            hint="WHEN MATCHED THEN ..., WHEN NOT MATCHED THEN ...",
            position=matched.position,
        )
    if action != "nothing" and (action == "insert") is (negated is None):
        raise SqlSyntax(
            "INSERT suits rows that match none, UPDATE and DELETE those that match",
            hint="WHEN MATCHED THEN UPDATE ..., WHEN NOT MATCHED THEN INSERT ...",
            position=position,
        )
    return st.MergeWhen(
        position=position, matched=negated is None, condition=condition, action=action, **given
    )


def _merge_update(children: Children, _position: int) -> tuple[str, dict[str, Any]]:
    return "update", {"assignments": tuple(children[0])}


def _merge_insert(children: Children, _position: int) -> tuple[str, dict[str, Any]]:
    columns, values = children
    named = tuple(columns) if columns is not None else None
    return "insert", {"columns": named, "values": tuple(values)}


def _merge_plain(action: str) -> Callable[[Children, int], tuple[str, dict[str, Any]]]:
    return lambda _children, _position: (action, {})


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
    "merge": _merge,
    "merge_when": _merge_when,
    "merge_update": _merge_update,
    "merge_insert": _merge_insert,
    "merge_delete": _merge_plain("delete"),
    "merge_default": _merge_plain("insert"),
    "merge_nothing": _merge_plain("nothing"),
}
