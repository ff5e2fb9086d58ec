"""EXPLAIN of the row route: which way, which rows, what is sorted; others append what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.sql.bound import BoundDelete, BoundInsert, BoundSelect, BoundUpdate

if TYPE_CHECKING:
    from mfdb.sql.bound import KeyPart, Query, Source


def explain(query: Query) -> list[str]:
    """Return the lines that say how the row route carries a statement out."""
    lines = ["route: row"]
    match query:
        case BoundSelect():
            lines += _select(query)
        case BoundInsert():
            lines += [f"insert into {query.table.name}: {_rows(len(query.rows))}"]
            if query.table.key:
                lines.append("check: primary key by look-up")
        case BoundUpdate():
            lines += _source("update", query.source)
        case BoundDelete():
            lines += _source("delete from", query.source)
    return lines


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"


def _select(query: BoundSelect) -> list[str]:
    if query.source is None:
        return ["rows: 1, of no dataset"]
    lines = _source("read", query.source)
    if query.aggregates:
        lines.append("aggregate: " + ", ".join(item.kind for item in query.aggregates))
    elif query.order_by:
        keys = ("descending" if sort.descending else "ascending" for sort in query.order_by)
        lines.append(f"sort: by {_keys(len(query.order_by))}, {', '.join(keys)}")
    if query.offset is not None:
        lines.append("offset: yes")
    if query.limit is not None:
        lines.append("limit: yes")
    return lines


def _keys(count: int) -> str:
    return "1 key" if count == 1 else f"{count} keys"


def _source(verb: str, source: Source) -> list[str]:
    table = source.table
    lines = [f"{verb} {table.name}: {_access(source)}"]
    lines.append(f"estimated keys: {_estimate(source.access)}")
    if source.where is not None:
        lines.append("filter: WHERE on each row found")
    clear = [column.name for column in table.columns if column.clear]
    if clear:
        lines.append(f"leak: providers can read {', '.join(clear)}")
    return lines


def _access(source: Source) -> str:
    part = source.access
    if part is None:
        return "full scan"
    names = [source.table.columns[place].name for place in source.table.key]
    if part.whole:
        return f"key look-up on ({', '.join(names)})"
    if part.choices:
        return f"{len(part.choices)} key look-ups on ({names[0]})"
    used = names[: len(part.equal) + (part.low is not None or part.high is not None)]
    return f"key range on ({', '.join(used)})"


def _estimate(part: KeyPart | None) -> str:
    if part is None:
        return "all"
    if part.whole:
        return "1"
    return f"at most {len(part.choices)}" if part.choices else "a part"
