"""Binding window functions: ranking, neighbours, and aggregates over a frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mfdb.kernel.errors import (
    BadType,
    InvalidWindow,
    NotSupportedError,
    UngroupedColumn,
    UnknownDataset,
    UnknownFunction,
)
from mfdb.sql import query as qu
from mfdb.sql import statement as st
from mfdb.sql.bind_aggregate import aggregate_type, is_aggregate
from mfdb.sql.bind_expression import bind as bind_expression
from mfdb.sql.bind_expression import bind_condition, bind_sort, is_free_of_rows
from mfdb.sql.coerce import coerce, settle, unify
from mfdb.sql.relational.tree import FrameEnd, FrameOf, WindowValue
from mfdb.sql.types import BIGINT, DOUBLE, TEXT, SqlType

if TYPE_CHECKING:
    from mfdb.sql.bound import Bound
    from mfdb.sql.relational.scope import QueryScope

RANKING: dict[str, SqlType] = {
    "row_number": BIGINT,
    "rank": BIGINT,
    "dense_rank": BIGINT,
    "percent_rank": DOUBLE,
    "cume_dist": DOUBLE,
}
WITH_VALUE = {"lag": (1, 3), "lead": (1, 3), "first_value": (1, 1), "last_value": (1, 1),
              "nth_value": (2, 2), "ntile": (1, 1)}  # fmt: skip
KNOWN = (*RANKING, *WITH_VALUE)


def bind_window(node: qu.WindowCall, scope: QueryScope) -> WindowValue:
    """Return a function over a window.

    Raises:
        UngroupedColumn: a window function may not stand there.
        UnknownFunction: there is none of that name that takes these arguments.
    """
    if not scope.windows_allowed:
        raise UngroupedColumn(
            "a window function may stand only among the items and in ORDER BY",
            hint="put the query into FROM and filter around it",
            position=node.position,
        )
    scope.windows_allowed = False
    window = _window_of(node, scope)
    operands, kind = _operands(node.call, scope)
    condition = None
    if node.call.filter is not None:
        if not is_aggregate(node.call.name):
            raise UnknownFunction("FILTER suits aggregates only", position=node.call.position)
        condition = bind_condition(node.call.filter, scope, "FILTER")
    if node.call.distinct:
        raise UnknownFunction(
            "DISTINCT may not stand in a window function", position=node.call.position
        )
    if node.call.order_by:
        raise UnknownFunction(
            "ORDER BY in the parentheses may not stand in a window function",
            hint="order the window: OVER (ORDER BY ...)",
            position=node.call.position,
        )
    bound = WindowValue(
        type=kind,
        position=node.position,
        function=node.call.name,
        operands=operands,
        condition=condition,
        partition=tuple(
            settle(bind_expression(part, scope), scope.parameters) for part in window.partition
        ),
        order_by=tuple(bind_sort(item, scope) for item in window.order_by),
        frame=_frame(window, scope),
    )
    scope.windows_allowed = True
    scope.window_seen = True
    return bound


def _window_of(node: qu.WindowCall, scope: QueryScope) -> qu.Window:
    if isinstance(node.over, qu.Window):
        return _based(node.over, scope)
    return _based(_named(node.over, scope), scope)


def _named(name: st.Name, scope: QueryScope) -> qu.Window:
    window = scope.windows.get(name.text)
    if window is None:
        raise UnknownDataset(
            f"there is no window {name.text}",
            hint="name it: WINDOW w AS (...)",
            position=name.position,
        )
    return window


def _based(window: qu.Window, scope: QueryScope) -> qu.Window:
    """Return a window with what it takes from the one that it goes on from.

    Raises:
        ProgrammingError: it says again what that one says, or that one has a frame.
    """
    if window.base is None:
        return window
    base = _based(_named(window.base, scope), scope)
    said = "PARTITION BY" if window.partition else "ORDER BY" if window.order_by else ""
    if window.partition or (window.order_by and base.order_by):
        raise InvalidWindow(
            f"{said} of window {window.base.text} stands already", position=window.position
        )
    if base.frame is not None:
        raise InvalidWindow(
            f"window {window.base.text} has a frame, and no other window can go on from it",
            hint=f"OVER {window.base.text}, without parentheses, takes it as it is",
            position=window.base.position,
        )
    return msgspec.structs.replace(
        window,
        base=None,
        partition=base.partition,
        order_by=window.order_by or base.order_by,
    )


def _operands(call: st.Call, scope: QueryScope) -> tuple[tuple[Bound, ...], SqlType]:
    if call.within:
        raise NotSupportedError(
            "OVER is not supported for ordered-set aggregates", position=call.position
        )
    if is_aggregate(call.name):
        return _aggregate(call, scope)
    if call.name in RANKING:
        if call.arguments or call.star:
            raise UnknownFunction(f"{call.name} takes no arguments", position=call.position)
        return (), RANKING[call.name]
    if call.name not in WITH_VALUE:
        raise UnknownFunction(
            f"{call.name} is no window function",
            hint=f"these are: {', '.join(KNOWN)}, and the aggregates",
            position=call.position,
        )
    fewest, most = WITH_VALUE[call.name]
    if not fewest <= len(call.arguments) <= most:
        raise UnknownFunction(
            f"{call.name} takes {fewest} to {most} arguments", position=call.position
        )
    bound = [bind_expression(argument, scope) for argument in call.arguments]
    if call.name == "ntile":
        return (coerce(bound[0], BIGINT, scope.parameters, what="ntile"),), BIGINT
    kind = settle(bound[0], scope.parameters).type
    value: list[Bound] = [settle(bound[0], scope.parameters)]
    if len(bound) == 3:
        (first, third), kind = unify(
            (bound[0], bound[2]), scope.parameters, call.position, call.name
        )
        offset = coerce(bound[1], BIGINT, scope.parameters, what=call.name)
        return (first, offset, third), kind
    value += [coerce(part, BIGINT, scope.parameters, what=call.name) for part in bound[1:]]
    return tuple(value), kind


def _aggregate(call: st.Call, scope: QueryScope) -> tuple[tuple[Bound, ...], SqlType]:
    if call.star:
        if call.name != "count":
            raise UnknownFunction(f"{call.name} takes an argument", position=call.position)
        return (), BIGINT
    bound = tuple(
        settle(bind_expression(argument, scope), scope.parameters, TEXT)
        for argument in call.arguments
    )
    return bound, aggregate_type(call, bound)


def _frame(window: qu.Window, scope: QueryScope) -> FrameOf | None:
    frame = window.frame
    if frame is None:
        return None
    ends = [_end(frame.start, scope), *([_end(frame.end, scope)] if frame.end is not None else [])]
    if frame.unit == "GROUPS" and not window.order_by:
        raise UnknownFunction("GROUPS needs ORDER BY in the window", position=frame.position)
    _check_ends(frame)
    if frame.unit == "RANGE" and any(end.kind == "COUNT" for end in ends):
        key = window.order_by
        if len(key) != 1:
            raise UnknownFunction(
                "RANGE with a distance needs one ORDER BY key", position=frame.position
            )
    return FrameOf(frame.unit, ends[0], ends[1] if len(ends) > 1 else None, frame.exclude)


def _check_ends(frame: qu.Frame) -> None:
    last = frame.end
    if frame.start.kind == "UNBOUNDED" and frame.start.side == "FOLLOWING":
        raise UnknownFunction(
            "a frame cannot start at UNBOUNDED FOLLOWING", position=frame.start.position
        )
    if last is not None and last.kind == "UNBOUNDED" and last.side == "PRECEDING":
        raise UnknownFunction("a frame cannot end at UNBOUNDED PRECEDING", position=last.position)
    end = ("CURRENT", "") if last is None else (last.kind, last.side)
    if _rank(frame.start.kind, frame.start.side) > _rank(*end):
        raise UnknownFunction("the frame ends before it starts", position=frame.position)


def _rank(kind: str, side: str) -> int:
    return {("COUNT", "PRECEDING"): 1, ("CURRENT", ""): 2, ("COUNT", "FOLLOWING"): 3}.get(
        (kind, side), 0 if side == "PRECEDING" else 4
    )


def _end(bound: qu.FrameBound, scope: QueryScope) -> FrameEnd:
    count = None
    if bound.count is not None:
        count = coerce(bind_expression(bound.count, scope), BIGINT, scope.parameters, what="frame")
        if not is_free_of_rows(count):
            raise BadType("a frame counts rows by a constant", position=bound.position)
    return FrameEnd(bound.kind, bound.side, count)
