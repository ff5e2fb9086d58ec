"""What each query rule of grammar.lark makes of its children."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

from mfdb.kernel.errors import NotSupportedError, SqlSyntax
from mfdb.sql import query as qu
from mfdb.sql import statement as st
from mfdb.sql.expression_actions import DEPTH_LIMIT, binary, deeper, in_list, listed, word

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Children = list[Any]
_LOCK = re.compile(
    r"(?:(?:NO KEY )?UPDATE|(?:KEY )?SHARE)(?: OF \S+(?: , \S+)*)?(?: NOWAIT| SKIP LOCKED)?\Z",
    re.IGNORECASE,
)
_EXCLUSIONS = ("CURRENT ROW", "GROUP", "TIES", "NO OTHERS")
LEVEL = 5
"""What one query inside another costs of the depth that expressions may have."""


def _core(children: Children, position: int) -> qu.SelectCore:
    keep_all, items, sources, where, group_by, having, windows = children
    return qu.SelectCore(
        position=position,
        items=tuple(items),
        distinct=keep_all is False,
        sources=tuple(sources or ()),
        where=where,
        group_by=group_by[1] if group_by is not None else None,
        group_distinct=group_by is not None and group_by[0],
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
    name, columns, materialised, query, *_ = children
    return qu.Cte(
        position=position,
        name=name,
        columns=tuple(columns or ()),
        query=query if isinstance(query, st.ROW_CHANGES) else qu.as_query(query),
        materialised=materialised,
    )


def _materialised(children: Children, _position: int) -> bool:
    negated, word_ = children
    if word_.text.upper() != "MATERIALIZED":
        raise SqlSyntax(
            f'syntax error at "{word_.text}"',
            hint="AS MATERIALIZED (...), AS NOT MATERIALIZED (...), AS (...)",
            position=word_.position,
        )
    return negated is None


def _walk(children: Children, position: int) -> NoReturn:
    """SEARCH and CYCLE number and watch paths of rows, for which there is no type here."""
    token = children[0]
    if token.text.upper() not in ("SEARCH", "CYCLE"):
        raise SqlSyntax(f'syntax error at "{token.text}"', position=position)
    raise NotSupportedError(
        f"{token.text.upper()} is not there: its paths are lists of rows, which no type holds",
        hint="keep the path in a text column of the query: path || '/' || id, and look into it",
        position=position,
    )


def _with_ties(children: Children, position: int) -> bool:
    if children[0].text.upper() != "TIES":
        raise SqlSyntax(
            f'syntax error at "{children[0].text}"', hint="WITH TIES", position=position
        )
    return True


def _with_clause(children: Children, _position: int) -> tuple[bool, tuple[qu.Cte, ...]]:
    return bool(children[0]), tuple(children[1:])


def _verify(children: Children, position: int) -> qu.Verified:
    return qu.Verified(position=position, query=children[0])


def _query(children: Children, position: int) -> st.Select | qu.Query:
    with_clause, body, order_by, limit = children
    recursive, ctes = with_clause or (False, ())
    count, offset = limit or (None, None)
    order_by = tuple(order_by or ())
    ties = isinstance(count, WithTies)
    if isinstance(count, WithTies):
        count = count.count
        if not order_by:
            raise SqlSyntax(
                "WITH TIES needs ORDER BY", hint="say what makes rows equal", position=position
            )
    if not ctes and not ties and isinstance(body, qu.SelectCore) and _is_plain(body):
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
        ties=ties,
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


class WithTies(st.Node, frozen=True, kw_only=True):
    """FETCH FIRST ... WITH TIES, on its way to the query."""

    count: st.Expression


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


def _binary(children: Children, position: int) -> st.Expression:
    """A row beside a query is compared with the query's row, anything else with a value."""
    left, mark, right = children
    if not (isinstance(left, st.Row) and isinstance(right, qu.Subquery)):
        return binary(children, position)
    if mark.text not in ("=", "<>", "!=", "<", "<=", ">", ">="):
        raise SqlSyntax(
            f"{mark.text} takes no rows of values",
            hint="=, <>, <, <=, >, >= do",
            position=mark.position,
        )
    return qu.RowQuery(
        position=mark.position,
        sign="<>" if mark.text == "!=" else mark.text,
        row=left,
        query=right.query,
        depth=deeper(mark.position, (left, right)),
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
    call, within, condition, over = children
    if isinstance(call, st.Row) and (condition is not None or over is not None):
        raise SqlSyntax("ROW is no aggregate", position=position)
    if within is not None:
        call = _ordered_set(call, within, position)
    if condition is not None:
        depth = deeper(position, (call, condition))
        call = msgspec.structs.replace(call, filter=condition, depth=depth)
    if over is None:
        return call  # type: ignore[no-any-return] # what plain_call made
    parts = [call]
    if isinstance(over, qu.Window):
        parts += [*over.partition, *(item.expression for item in over.order_by)]
    return qu.WindowCall(position=position, call=call, over=over, depth=deeper(position, parts))


def _ordered_set(call: st.Call, within: Children, position: int) -> st.Call:
    if call.order_by or call.distinct or call.star:
        raise SqlSyntax(
            "WITHIN GROUP says the order already",
            hint="take DISTINCT, * and ORDER BY out of the parentheses",
            position=position,
        )
    depth = deeper(position, (call, *(item.expression for item in within)))
    return msgspec.structs.replace(call, within=tuple(within), depth=depth)


def _window_spec(children: Children, position: int) -> qu.Window:
    base, partition, order_by, frame = children
    return qu.Window(
        position=position,
        base=base,
        partition=tuple(partition or ()),
        order_by=tuple(order_by or ()),
        frame=frame,
    )


def _frame(children: Children, position: int) -> qu.Frame:
    unit, start, *end, exclude = children
    return qu.Frame(
        position=position,
        unit=unit.text.upper(),
        start=start,
        end=end[0] if end else None,
        exclude=exclude or "",
    )


def _excluded(children: Children, position: int) -> str:
    """EXCLUDE CURRENT ROW, GROUP, TIES or NO OTHERS; the last of them excludes nothing."""
    mark, what = children
    if mark.text.upper() != "EXCLUDE" or what not in _EXCLUSIONS:
        raise SqlSyntax(
            f'syntax error at "{mark.text}"',
            hint="EXCLUDE CURRENT ROW, EXCLUDE GROUP, EXCLUDE TIES or EXCLUDE NO OTHERS",
            position=position,
        )
    return "" if what == "NO OTHERS" else what


def _exclusion(children: Children, _position: int) -> str:
    return " ".join(child.text.upper() for child in children)


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
    "quantifier": word,
    "quantified": _quantified,
    "binary": _binary,
    "in_list": _in_list,
    "in_query": _in_query,
    "exists": _exists,
    "subquery": _subquery,
    "function": _function,
    "over_name": _first,
    "window_spec": _window_spec,
    "frame": _frame,
    "frame_between": _frame,
    "excluded": _excluded,
    "exclusion": _exclusion,
    "materialized": _materialised,
    "walk": _walk,
    "with_ties": _with_ties,
    "frame_unit": word,
    "unbounded": _unbounded,
    "current_row": _current_row,
    "bounded": _bounded,
    "frame_side": word,
    "no_function": word,
}
