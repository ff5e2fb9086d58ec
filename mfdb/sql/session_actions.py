"""What the rules of sessions (SHOW, SUBSCRIBE, batches, COPY, ...) make of their children."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mfdb.kernel.errors import SqlSyntax
from mfdb.sql import query as qu
from mfdb.sql import statement as st
from mfdb.sql.expression_actions import listed, unquote
from mfdb.sql.watchable import unwatchable

if TYPE_CHECKING:
    from collections.abc import Callable

Children = list[Any]


# ---- SHOW and USE


def _show_words(children: Children, _position: int) -> str:
    return " ".join(child.text for child in children if child is not None)


def _show(children: Children, position: int) -> st.Show:
    what, of, pattern, where, order_by, limit = children
    if isinstance(of, st.Constant):
        of = st.TableName(position=of.position, name=str(of.value))
    count, offset = limit or (None, None)
    return st.Show(
        position=position,
        what=what,
        of=of,
        like=str(pattern.value) if pattern is not None else None,
        where=where,
        order_by=tuple(order_by or ()),
        limit=count,
        offset=offset,
    )


def _show_create(children: Children, position: int) -> st.Show:
    return st.Show(position=position, what="create", of=children[0])


def _use(children: Children, _position: int) -> st.Use:
    named = children[0]
    return st.Use(position=named.position, owner=named.text)


def _use_text(children: Children, _position: int) -> st.Use:
    token = children[0]
    return st.Use(position=token.position, owner=unquote(token))


def _use_default(_children: Children, position: int) -> st.Use:
    return st.Use(position=position)


def _use_identity(children: Children, _position: int) -> st.UseIdentity:
    named = children[0]
    return st.UseIdentity(position=named.position, name=named.text)


def _use_identity_text(children: Children, _position: int) -> st.UseIdentity:
    token = children[0]
    return st.UseIdentity(position=token.position, name=unquote(token))


# ---- subscriptions and notifications


def _subscribe(children: Children, position: int) -> st.Subscribe:
    name, query, options, since = children
    if isinstance(query, st.TableName):
        star = st.Star(position=query.position)
        query = st.Select(position=query.position, items=(star,), table=query)
    if isinstance(query, qu.Query):
        raise unwatchable(query)
    return st.Subscribe(
        position=position, query=query, since=since, name=name, options=tuple(options or ())
    )


def _unsubscribe_all(_children: Children, position: int) -> st.Unsubscribe:
    return st.Unsubscribe(position=position)


def _unlisten_all(_children: Children, position: int) -> st.Unlisten:
    return st.Unlisten(position=position)


def _notify(children: Children, position: int) -> st.Notify:
    channel, payload = children
    return st.Notify(position=position, name=channel, payload=payload)


# ---- batches


def _ending(kind: Any) -> Callable[[Children, int], Any]:
    return lambda children, position: kind(position=position, chain=children[-1:] == [True])


def _named(kind: Any) -> Callable[[Children, int], Any]:
    return lambda children, position: kind(position=position, name=children[-1])


# ---- prepared statements


def _prepare(children: Children, position: int) -> st.Prepare:
    name, types, statement = children
    if isinstance(statement, st.Execute):
        raise SqlSyntax("what is prepared is a query or a change", position=statement.position)
    return st.Prepare(position=position, name=name, types=tuple(types or ()), statement=statement)


def _execute(children: Children, position: int) -> st.Execute:
    return st.Execute(position=position, name=children[0], values=tuple(children[1] or ()))


def _deallocate_all(_children: Children, position: int) -> st.Deallocate:
    return st.Deallocate(position=position)


# ---- EXPLAIN


def _explain(children: Children, position: int) -> st.Explain:
    return st.Explain(position=position, statement=children[-1], analyse=children[0] is True)


def _explain_with(children: Children, position: int) -> st.Explain:
    *options, statement = children
    analyse = json = False
    for option in options:
        match option.name, option.value:
            case "analyze" | "analyse", bool(value):
                analyse = value
            case "format", "json" | "text" as value:
                json = value == "json"
            case _:
                raise SqlSyntax(
                    f"EXPLAIN has no option {option.name} = {option.value}",
                    hint="options: ANALYZE [on|off], FORMAT text|json",
                    position=option.position,
                )
    return st.Explain(position=position, statement=statement, analyse=analyse, json=json)


def _option(children: Children, position: int) -> st.Option:
    named, value = children[0], children[1]
    plain = value.value if isinstance(value, st.Constant) else value
    if plain is None:
        plain = value is None or value.kind != "null"
    if plain == "off":
        plain = False
    return st.Option(position=position, name=named.text, value=plain)


def _analyse_name(_children: Children, position: int) -> st.Name:
    return st.Name(position=position, text="analyze")


# ---- COPY


def _copy_from(children: Children, position: int) -> st.CopyFrom:
    table, columns, place, options = children
    return st.CopyFrom(
        position=position,
        table=table,
        columns=tuple(columns) if columns is not None else None,
        path=None if place is None else str(place.value),
        options=tuple(options or ()),
    )


def _copy_to(children: Children, position: int) -> st.CopyTo:
    query, place, options = children
    return st.CopyTo(
        position=position,
        query=query,
        path=None if place is None else str(place.value),
        options=tuple(options or ()),
    )


def _copied_table(children: Children, position: int) -> st.Select:
    table, columns = children
    items: tuple[st.Item | st.Star, ...] = (st.Star(position=position),)
    if columns is not None:
        items = tuple(
            st.Item(
                position=name.position,
                expression=st.ColumnRef(position=name.position, name=name.text),
            )
            for name in columns
        )
    return st.Select(position=position, items=items, table=table)


def _copy_word(children: Children, position: int) -> st.Option:
    """The older spelling: CSV, HEADER, DELIMITER ';' without parentheses."""
    name = children[0]
    if name.text in ("csv", "json", "jsonl", "parquet"):
        return st.Option(position=position, name="format", value=name.text)
    return st.Option(position=position, name=name.text, value=True)


def _copy_text(children: Children, position: int) -> st.Option:
    token = children[-1]
    return st.Option(position=position, name=children[0].text, value=unquote(token))


def _null_name(_children: Children, position: int) -> st.Name:
    return st.Name(position=position, text="null")


ACTIONS: dict[str, Callable[[Children, int], Any]] = {
    "show_words": _show_words,
    "show_all": lambda _children, _position: "all",
    "show": _show,
    "show_create": _show_create,
    "use": _use,
    "use_text": _use_text,
    "use_default": _use_default,
    "use_identity": _use_identity,
    "use_identity_text": _use_identity_text,
    "subscribe": _subscribe,
    "unsubscribe": _named(st.Unsubscribe),
    "unsubscribe_all": _unsubscribe_all,
    "listen": _named(st.Listen),
    "unlisten": _named(st.Unlisten),
    "unlisten_all": _unlisten_all,
    "notify": _notify,
    "commit": _ending(st.Commit),
    "rollback": _ending(st.Rollback),
    "savepoint": _named(st.Savepoint),
    "rollback_to": _named(st.RollbackTo),
    "release": _named(st.Release),
    "prepare": _prepare,
    "types": listed,
    "execute": _execute,
    "deallocate": _named(st.Deallocate),
    "deallocate_all": _deallocate_all,
    "explain": _explain,
    "explain_with": _explain_with,
    "analyse_name": _analyse_name,
    "analyse_word": listed,
    "explain_option": _option,
    "copy_from": _copy_from,
    "copy_to": _copy_to,
    "copied_table": _copied_table,
    "standard_stream": lambda _children, _position: None,
    "copy_options": listed,
    "copy_option": _option,
    "copy_word": _copy_word,
    "copy_text": _copy_text,
    "null_name": _null_name,
}
