"""EXPLAIN: which route, which rows, what is sorted; others append what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.sql.bound import BoundDelete, BoundInsert, BoundMerge, BoundSelect, BoundUpdate
from mfdb.sql.relational.tree import BoundRelational

if TYPE_CHECKING:
    from mfdb.sql.bound import BoundConflict, Joined, KeyPart, Query, Source
    from mfdb.sql.catalogue import TableSchema


def explain(query: Query | BoundRelational) -> list[str]:
    """Return the lines that say which route carries a statement out, and how."""
    if isinstance(query, BoundRelational):
        return ["route: relational", *_relational(query)]
    lines = ["route: row"]
    match query:
        case BoundSelect():
            lines += _select(query)
        case BoundInsert():
            lines += _inserted(query)
        case BoundUpdate():
            lines += _changed("update", query.source, query.joined)
        case BoundMerge():
            doing = ", ".join(dict.fromkeys(when.action for when in query.whens))
            lines += [f"merge into {query.table.name}: {doing}"]
            lines += ["route of the query: relational", *_relational(query.query)]
        case BoundDelete():
            lines += _changed("delete from", query.source, query.joined)
    return lines


def _inserted(query: BoundInsert) -> list[str]:
    rows = _rows(len(query.rows)) if query.query is None else "the rows of a query"
    if query.query is not None and len(query.rows) > 1:
        rows = _rows(len(query.rows))
    lines = [f"insert into {query.table.name}: {rows}"]
    if query.on_conflict is not None:
        lines.append(_conflict(query.on_conflict, query.table))
    if query.query is not None:
        lines += ["route of the query: relational", *_relational(query.query)]
    if query.table.key:
        lines.append("check: primary key by look-up")
    return lines


def _changed(verb: str, source: Source, joined: Joined | None) -> list[str]:
    if joined is None:
        return _source(verb, source)
    table = source.table
    access = "key look-up of" if table.key else "full scan for"
    return [
        f"{verb} {table.name}: {access} the rows of a query",
        "route of the query: relational",
        *_relational(joined.query),
    ]


def _conflict(conflict: BoundConflict, table: TableSchema) -> str:
    keys = "; ".join(
        ", ".join(table.columns[place].name for place in key.places) for key in conflict.keys
    )
    does = {"nothing": "skip", "update": "update", "replace": "replace"}[conflict.action]
    return f"on conflict over ({keys}): {does}"


def _relational(query: BoundRelational) -> list[str]:
    lines = []
    for table in query.tables:
        lines.append(f"read {table.name}: full scan")
        lines += _leak(table)
    return lines or ["rows: of no dataset"]


def _leak(table: TableSchema) -> list[str]:
    clear = [column.name for column in table.columns if column.clear]
    return [f"leak: providers can read {', '.join(clear)}"] if clear else []


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"


def _select(query: BoundSelect) -> list[str]:
    if query.source is None:
        return ["rows: 1, of no dataset"]
    lines = _source("read", query.source)
    if query.aggregates:
        lines.append("aggregate: " + ", ".join(item.kind for item in query.aggregates))
    elif query.order_by and query.source.access is not None and query.source.access.ordered:
        backwards = ", backwards" if query.source.access.reverse else ""
        lines.append(f"sort: none, rows come in that order{backwards}")
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
    return lines + _leak(table)


def _access(source: Source) -> str:
    part = source.access
    if part is None:
        return "full scan"
    table = source.table
    if part.index is None:
        names = [table.columns[place].name for place in table.key]
        what, within = "key", ""
    else:
        names = [
            table.columns[place].name + (" DESC" if descending else "")
            for place, descending in part.index.places
        ]
        what, within = "index", f"{part.index.name} "
    if part.whole:
        return f"{what} look-up on {within}({', '.join(names)})"
    if part.choices:
        return f"{len(part.choices)} {what} look-ups on {within}({names[0]})"
    used = names[: len(part.equal) + (part.low is not None or part.high is not None)]
    if not used:
        return f"full scan in the order of {within}({', '.join(names)})"
    return f"{what} range on {within}({', '.join(used)})"


def _estimate(part: KeyPart | None) -> str:
    if part is None or not (part.equal or part.choices or part.low or part.high):
        return "all"
    if part.whole and (part.index is None or part.index.unique):
        return "1"
    return f"at most {len(part.choices)}" if part.choices and part.index is None else "a part"
