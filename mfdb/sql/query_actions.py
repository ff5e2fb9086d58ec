"""What each query rule of grammar.lark makes of its children."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from mfdb.kernel.errors import SqlSyntax
from mfdb.sql import query as qu
from mfdb.sql import statement as st
from mfdb.sql.expression_actions import DEPTH_LIMIT, deeper, in_list, listed, word

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Children = list[Any]
_LOCK = re.compile(
    r"(?:(?:NO KEY )?UPDATE|(?:KEY )?SHARE)(?: OF \S+(?: , \S+)*)?(?: NOWAIT| SKIP LOCKED)?\Z",
    re.IGNORECASE,
)
LEVEL = 5
"""What one query inside another costs of the depth that expressions may have."""


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
    named, arguments, alias = children
    given = tuple(arguments or ())
    call = st.Call(
        position=position, name=named.text, arguments=given, depth=deeper(position, given)
    )
    return qu.FunctionSource(position=position, call=call, alias=alias)


def _join_on(children: Children, position: int) -> qu.Join:
    left, kind, right, condition = children
    return qu.Join(position=position, kind=_kind(kind), left=left, right=right, condition=condition)


def _join_using(children: Children, position: int) -> qu.Join:
    left, kind, right, using = children
    return qu.Join(position=position, kind=_kind(kind), left=left, right=right, using=tuple(using))


def _join_natural(children: Children, position: int) -> qu.Join:
    left, kind, right = children
    return qu.Join(position=position, kind=_kind(kind), left=left, right=right, using=())


def _join_cross(children: Children, position: int) -> qu.Join:
    left, right = children
    return qu.Join(position=position, kind="CROSS", left=left, right=right)


def _kind(token: Any) -> Any:
    return "INNER" if token is None else token.text.upper()


def _core(children: Children, position: int) -> qu.SelectCore:
    keep_all, items, sources, where, group_by, having, windows = children
    return qu.SelectCore(
        position=position,
        items=tuple(items),
        distinct=keep_all is False,
        sources=tuple(sources or ()),
        where=where,
        group_by=tuple(group_by) if group_by is not None else None,
        having=having,
        windows=tuple(windows or ()),
    )


def _core_on(children: Children, position: int) -> qu.SelectCore:
    _, keys, *rest = children
    core = _core([None, *rest], position)
    return msgspec.structs.replace(core, distinct_on=tuple(keys))


def _whole_table(children: Children, position: int) -> qu.SelectCore:
    source = qu.TableSource(position=position, table=children[0])
    return qu.SelectCore(position=position, items=(st.Star(position=position),), sources=(source,))


def _locked(children: Children, position: int) -> None:
    """Check `FOR UPDATE` and the like, which lock nothing: a batch is judged when it commits."""
    if not _LOCK.match(" ".join(token.text for token in children)):
        raise SqlSyntax(
            "FOR is followed by UPDATE or SHARE, perhaps OF a dataset, NOWAIT or SKIP LOCKED",
            hint="FOR UPDATE",
            position=position,
        )


def _ending(children: Children, _position: int) -> Any:
    """LIMIT and OFFSET, without a lock behind them."""
    return children[0]


def _values(children: Children, position: int) -> qu.Values:
    return qu.Values(position=position, rows=tuple(tuple(row) for row in children[0]))


def _union_sign(children: Children, position: int) -> tuple[str, bool, int]:
    token, keep_all = children
    return token.text.upper(), keep_all is True, position


def _set_operation(children: Children, position: int) -> qu.SetOperation:
    """Chains stay flat, so that hundreds of UNIONs nest no deeper than one."""
    left, (sign, keep_all, place), right = children
    part = qu.SetPart(position=place, sign=sign, all=keep_all, operand=_body(right))
    if isinstance(left, qu.SetOperation) and _weight(left.parts[0].sign) == _weight(sign):
        return msgspec.structs.replace(left, parts=(*left.parts, part))
    return qu.SetOperation(position=position, first=_body(left), parts=(part,))


def _weight(sign: str) -> bool:
    return sign == "INTERSECT"


def _body(node: Any) -> Any:
    return qu.as_query(node) if isinstance(node, st.Select) else node


def _cte(children: Children, position: int) -> qu.Cte:
    name, columns, query = children
    return qu.Cte(
        position=position, name=name, columns=tuple(columns or ()), query=qu.as_query(query)
    )


def _with_clause(children: Children, _position: int) -> tuple[bool, tuple[qu.Cte, ...]]:
    return bool(children[0]), tuple(children[1:])


def _verify(children: Children, position: int) -> qu.Verified:
    return qu.Verified(position=position, query=children[0])


def _query(children: Children, position: int) -> st.Select | qu.Query:
    with_clause, body, order_by, limit = children
    recursive, ctes = with_clause or (False, ())
    count, offset = limit or (None, None)
    order_by = tuple(order_by or ())
    if not ctes and isinstance(body, qu.SelectCore) and _is_plain(body):
        source = body.sources[0] if body.sources else None
        assert source is None or isinstance(source, qu.TableSource)
        alias = source.alias if source is not None else None
        return st.Select(
            position=position,
            items=body.items,
            table=source.table if source is not None else None,
            alias=alias.name.text if alias is not None else None,
            where=body.where,
            order_by=order_by,
            limit=count,
            offset=offset,
        )
    query = qu.Query(
        position=position,
        body=body,
        ctes=ctes,
        recursive=recursive,
        order_by=order_by,
        limit=count,
        offset=offset,
    )
    return msgspec.structs.replace(query, depth=_depth(query))


def _is_plain(core: qu.SelectCore) -> bool:
    """Return whether a SELECT reads one dataset at most and groups nothing."""
    source = core.sources[0] if len(core.sources) == 1 else None
    plain = not core.sources or (
        isinstance(source, qu.TableSource) and (source.alias is None or not source.alias.columns)
    )
    grouped = (
        core.distinct or core.distinct_on or core.group_by is not None or core.having is not None
    )
    return plain and not grouped and not core.windows


def _depth(query: st.Select | qu.Query) -> int:
    """Return how deep a query is, counting each query and each join inside it.

    Raises:
        SqlSyntax: deeper than `DEPTH_LIMIT`.
    """
    depth = LEVEL + max(_depths(query), default=0)
    if depth > DEPTH_LIMIT:
        raise SqlSyntax(
            "the query is nested too deeply",
            hint="name inner queries in WITH",
            position=query.position,
        )
    return depth


def _depths(node: object) -> Iterator[int]:
    if isinstance(node, st.Expression) or (isinstance(node, qu.Query) and node.depth):
        yield node.depth
    elif isinstance(node, qu.Join):
        yield 1 + max((*_depths(node.left), *_depths(node.right), *_depths(node.condition)))
    elif isinstance(node, tuple):
        for part in node:
            yield from _depths(part)
    elif isinstance(node, msgspec.Struct):
        yield 0
        for name in node.__struct_fields__:
            yield from _depths(getattr(node, name))


# ---- expressions


def inner_query(
    query: st.Select | qu.Query, position: int, *parts: st.Expression
) -> tuple[Any, int]:
    """Return a query inside an expression, and the depth of that expression."""
    inner = qu.as_query(query)
    depth = max(_depth(query), deeper(position, parts))
    if depth >= DEPTH_LIMIT:
        raise SqlSyntax("the query is nested too deeply", position=position)
    return msgspec.structs.replace(inner, depth=depth), depth + 1


def _subquery(children: Children, position: int) -> qu.Subquery:
    query, depth = inner_query(children[0], position)
    return qu.Subquery(position=position, query=query, depth=depth)


def _exists(children: Children, position: int) -> qu.Exists:
    query, depth = inner_query(children[0], position)
    return qu.Exists(position=position, query=query, depth=depth)


def _in_query(children: Children, position: int) -> qu.InQuery:
    operand, negated, inner = children
    query, depth = inner_query(inner, position, operand)
    return qu.InQuery(
        position=position, operand=operand, query=query, negated=negated is not None, depth=depth
    )


def _in_list(children: Children, position: int) -> st.Expression:
    """`x IN ((SELECT ...))` means the rows of the query, as in PostgreSQL."""
    operand, negated, choices = children
    if len(choices) == 1 and isinstance(choices[0], qu.Subquery):
        return _in_query([operand, negated, choices[0].query], position)
    return in_list(children, position)


def _quantified(children: Children, _position: int) -> qu.Quantified:
    operand, mark, quantifier, inner = children
    query, depth = inner_query(inner, mark.position, operand)
    return qu.Quantified(
        position=mark.position,
        sign="<>" if mark.text == "!=" else mark.text,
        every=quantifier.text.upper() == "ALL",
        operand=operand,
        query=query,
        depth=depth,
    )


def _function(children: Children, position: int) -> st.Expression:
    call, condition, over = children
    if condition is not None:
        depth = deeper(position, (call, condition))
        call = msgspec.structs.replace(call, filter=condition, depth=depth)
    if over is None:
        return call  # type: ignore[no-any-return] # what plain_call made
    parts = [call]
    if isinstance(over, qu.Window):
        parts += [*over.partition, *(item.expression for item in over.order_by)]
    return qu.WindowCall(position=position, call=call, over=over, depth=deeper(position, parts))


def _window_spec(children: Children, position: int) -> qu.Window:
    partition, order_by, frame = children
    return qu.Window(
        position=position,
        partition=tuple(partition or ()),
        order_by=tuple(order_by or ()),
        frame=frame,
    )


def _frame(children: Children, position: int) -> qu.Frame:
    unit, start, *end = children
    return qu.Frame(
        position=position, unit=unit.text.upper(), start=start, end=end[0] if end else None
    )


def _unbounded(children: Children, position: int) -> qu.FrameBound:
    return qu.FrameBound(position=position, kind="UNBOUNDED", side=children[0].text.upper())


def _current_row(_children: Children, position: int) -> qu.FrameBound:
    return qu.FrameBound(position=position, kind="CURRENT")


def _bounded(children: Children, position: int) -> qu.FrameBound:
    count, side = children
    return qu.FrameBound(position=position, kind="COUNT", side=side.text.upper(), count=count)


def _named_window(children: Children, position: int) -> qu.NamedWindow:
    return qu.NamedWindow(position=position, name=children[0], window=children[1])


def _first(children: Children, _position: int) -> Any:
    return children[0]


ACTIONS: dict[str, Callable[[Children, int], Any]] = {
    "query": _query,
    "verify": _verify,
    "with_clause": _with_clause,
    "cte": _cte,
    "falsehood": lambda _children, _position: False,
    "set_operation": _set_operation,
    "union_sign": _union_sign,
    "union_word": word,
    "intersect_word": word,
    "core": _core,
    "core_on": _core_on,
    "values": _values,
    "whole_table": _whole_table,
    "locked": _locked,
    "lock_word": word,
    "ending": _ending,
    "windows": listed,
    "window": _named_window,
    "from_clause": listed,
    "join_on": _join_on,
    "join_using": _join_using,
    "join_natural": _join_natural,
    "join_cross": _join_cross,
    "join_kind": word,
    "table_source": _table_source,
    "query_source": _query_source,
    "lateral_source": _lateral_source,
    "function_source": _function_source,
    "alias": _alias,
    "quantifier": word,
    "quantified": _quantified,
    "in_list": _in_list,
    "in_query": _in_query,
    "exists": _exists,
    "subquery": _subquery,
    "function": _function,
    "over_name": _first,
    "window_spec": _window_spec,
    "frame": _frame,
    "frame_unit": word,
    "unbounded": _unbounded,
    "current_row": _current_row,
    "bounded": _bounded,
    "frame_side": word,
    "no_function": word,
}
