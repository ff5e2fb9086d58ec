"""What the rules of FROM and GROUP BY in grammar.lark make of their children."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

from mfdb.kernel.errors import NotSupportedError, SqlSyntax
from mfdb.sql import query as qu
from mfdb.sql import statement as st
from mfdb.sql.expression_actions import listed, word

if TYPE_CHECKING:
    from collections.abc import Callable

Children = list[Any]


def _alias(children: Children, position: int) -> qu.Alias:
    name, columns = children
    return qu.Alias(position=position, name=name, columns=tuple(columns or ()))


def _table_source(children: Children, position: int) -> qu.TableSource:
    return qu.TableSource(position=position, table=children[0], alias=children[1])


def _query_source(children: Children, position: int) -> qu.QuerySource:
    return qu.QuerySource(position=position, query=qu.as_query(children[0]), alias=children[1])


def _lateral_source(children: Children, position: int) -> qu.QuerySource:
    query = qu.as_query(children[0])
    return qu.QuerySource(position=position, query=query, alias=children[1], lateral=True)


def _function_source(children: Children, position: int) -> qu.FunctionSource:
    call, ordinality, alias = children
    if not isinstance(call, st.Call):
        raise SqlSyntax("ROW gives no rows", position=position)
    return qu.FunctionSource(position=position, call=call, alias=alias, ordinality=bool(ordinality))


def _sampled(_children: Children, position: int) -> NoReturn:
    raise NotSupportedError(
        "TABLESAMPLE is not there: rows stand in no pages that could be drawn by chance",
        hint="to look at some rows: LIMIT, or WHERE id % 100 = 0",
        position=position,
    )


def _join_on(children: Children, position: int) -> qu.Join:
    left, kind, right, condition = children
    return qu.Join(position=position, kind=_kind(kind), left=left, right=right, condition=condition)


def _join_using(children: Children, position: int) -> qu.Join:
    left, kind, right, using, shared = children
    return qu.Join(
        position=position,
        kind=_kind(kind),
        left=left,
        right=right,
        using=tuple(using),
        shared=shared,
    )


def _aliased_join(children: Children, _position: int) -> qu.Join:
    """A join under a name of its own; a single source there has one already."""
    source, alias = children
    if not isinstance(source, qu.Join) or source.alias is not None:
        raise SqlSyntax(
            "only a join in parentheses gets a name of its own",
            hint="name the source inside",
            position=alias.position,
        )
    return msgspec.structs.replace(source, alias=alias)


def _join_natural(children: Children, position: int) -> qu.Join:
    left, kind, right = children
    return qu.Join(position=position, kind=_kind(kind), left=left, right=right, using=())


def _join_cross(children: Children, position: int) -> qu.Join:
    left, right = children
    return qu.Join(position=position, kind="CROSS", left=left, right=right)


# ---- GROUP BY


def _group_by(children: Children, _position: int) -> tuple[bool, tuple[qu.GroupItem, ...]]:
    keep_all, items = children
    return keep_all is False, tuple(items)


def _group_items(children: Children, _position: int) -> list[qu.GroupItem]:
    return [_group_item(item) for item in children]


def _group_item(item: qu.GroupItem) -> qu.GroupItem:
    """ROLLUP and CUBE look like calls, and mean grouping only here."""
    if not (isinstance(item, st.Call) and item.name in ("rollup", "cube")):
        return item
    kind: Any = item.name.upper()
    return qu.Grouping(position=item.position, kind=kind, parts=item.arguments)


def _no_group(_children: Children, position: int) -> qu.Grouping:
    return qu.Grouping(position=position, kind="SETS")


def _grouping_sets(children: Children, position: int) -> qu.Grouping:
    grouping, sets, items = children
    if (grouping.text.upper(), sets.text.upper()) != ("GROUPING", "SETS"):
        raise SqlSyntax(
            f'syntax error at "{sets.text}"',
            hint="GROUP BY GROUPING SETS ((a, b), (a), ())",
            position=sets.position,
        )
    return qu.Grouping(position=position, kind="SETS", parts=tuple(items))


def _kind(token: Any) -> Any:
    return "INNER" if token is None else token.text.upper()


ACTIONS: dict[str, Callable[[Children, int], Any]] = {
    "from_clause": listed,
    "join_kind": word,
    "table_source": _table_source,
    "query_source": _query_source,
    "lateral_source": _lateral_source,
    "function_source": _function_source,
    "alias": _alias,
    "sampled": _sampled,
    "aliased_join": _aliased_join,
    "join_on": _join_on,
    "join_using": _join_using,
    "join_natural": _join_natural,
    "join_cross": _join_cross,
    "group_by": _group_by,
    "group_items": _group_items,
    "no_group": _no_group,
    "grouping_sets": _grouping_sets,
}
