"""What each statement rule of grammar.lark makes of its children (expressions stand apart)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from mfdb.kernel.errors import NotSupportedError, SqlSyntax
from mfdb.sql import statement as st
from mfdb.sql.alter_actions import ACTIONS as ALTER_ACTIONS
from mfdb.sql.array_actions import ACTIONS as ARRAY_ACTIONS
from mfdb.sql.change_actions import ACTIONS as CHANGE_ACTIONS
from mfdb.sql.expression_actions import ACTIONS as EXPRESSION_ACTIONS
from mfdb.sql.expression_actions import listed, unquote, word
from mfdb.sql.function_actions import ACTIONS as FUNCTION_ACTIONS
from mfdb.sql.money_actions import ACTIONS as MONEY_ACTIONS
from mfdb.sql.query_actions import ACTIONS as QUERY_ACTIONS
from mfdb.sql.query_actions import WithTies
from mfdb.sql.session_actions import ACTIONS as SESSION_ACTIONS
from mfdb.sql.source_actions import ACTIONS as SOURCE_ACTIONS

if TYPE_CHECKING:
    from collections.abc import Callable

Children = list[Any]


def _pass_value(children: Children, _position: int) -> Any:
    return children[0]


def _text_value(children: Children, _position: int) -> st.Constant:
    token = children[0]
    return st.Constant(position=token.position, kind="string", value=unquote(token))


def _truth(_children: Children, _position: int) -> bool:
    return True


def _table_name(children: Children, position: int) -> st.TableName:
    owner = children[0].text if len(children) > 1 else None
    return st.TableName(position=position, name=children[-1].text, owner=owner)


def _star(_children: Children, position: int) -> st.Star:
    return st.Star(position=position)


def _star_of(children: Children, position: int) -> st.Star:
    return st.Star(position=position, table=children[0].text)


def _item(children: Children, position: int) -> st.Item:
    named = children[1].text if len(children) > 1 else None
    return st.Item(position=position, expression=children[0], name=named)


def _order_item(children: Children, position: int) -> st.OrderItem:
    expression, direction, nulls = children
    descending = direction is not None and direction.text.upper() == "DESC"
    nulls_first = descending if nulls is None else nulls.text.upper() == "FIRST"
    return st.OrderItem(
        position=position, expression=expression, descending=descending, nulls_first=nulls_first
    )


def _no_limit(_children: Children, _position: int) -> None:
    return None


def _offset_limit(children: Children, _position: int) -> Children:
    return [children[1], children[0]]


def _default_values(_children: Children, _position: int) -> None:
    return None


def _start(children: Children, position: int) -> Any:
    """A statement whose WITH changes rows is of a kind of its own."""
    statement = children[0]
    ctes = getattr(statement, "ctes", ())
    if any(isinstance(cte.query, st.ROW_CHANGES) for cte in ctes):
        return st.Chained(position=position, statement=statement)
    return statement


# ---- definitions


def _create(*, mailbox: bool) -> Callable[[Children, int], st.CreateDataset]:
    def build(children: Children, position: int) -> st.CreateDataset:
        if_not_exists, table, elements, *owner, options = children
        return st.CreateDataset(
            position=position,
            mailbox_of=owner[0] if owner else None,
            table=table,
            elements=tuple(elements or ()),
            if_not_exists=bool(if_not_exists),
            options=tuple(options or ()),
            mailbox=mailbox,
        )

    return build


def _create_identity(children: Children, position: int) -> st.CreateIdentity:
    return st.CreateIdentity(position=position, name=children[0].text)


def _create_as(children: Children, position: int) -> st.CreateAs:
    if_not_exists, table, columns, query = children
    return st.CreateAs(
        position=position,
        table=table,
        query=query,
        columns=tuple(columns or ()),
        if_not_exists=bool(if_not_exists),
    )


def _create_view(children: Children, position: int) -> st.CreateView:
    replace, if_not_exists, table, columns, query = children
    if replace and if_not_exists:
        raise SqlSyntax("OR REPLACE and IF NOT EXISTS exclude each other", position=position)
    return st.CreateView(
        position=position,
        table=table,
        query=query,
        columns=tuple(columns or ()),
        replace=bool(replace),
        if_not_exists=bool(if_not_exists),
    )


def _drop(
    *, view: bool = False, mailbox: bool = False
) -> Callable[[Children, int], st.DropDataset]:
    def build(children: Children, position: int) -> st.DropDataset:
        if_exists, tables, cascade = children
        return st.DropDataset(
            position=position,
            table=tables[0],
            more=tuple(tables[1:]),
            if_exists=bool(if_exists),
            cascade=bool(cascade),
            view=view,
            mailbox=mailbox,
        )

    return build


def _truncate(children: Children, position: int) -> st.Truncate:
    return st.Truncate(position=position, tables=tuple(children[0]))


def _index_column(children: Children, position: int) -> st.IndexColumn:
    name, direction, nulls = children
    descending = direction is not None and direction.text.upper() == "DESC"
    if nulls is not None and (nulls.text.upper() == "FIRST") != descending:
        raise NotSupportedError(
            "NULLs stand last in an ascending index and first in a descending one",
            hint="leave NULLS out; ORDER BY may say it",
            position=nulls.position,
        )
    return st.IndexColumn(position=position, name=name, descending=descending)


def _create_index(children: Children, position: int) -> st.CreateIndex:
    unique, if_not_exists, name, table, columns = children
    return st.CreateIndex(
        position=position,
        table=table,
        columns=tuple(columns),
        name=name,
        unique=bool(unique),
        if_not_exists=bool(if_not_exists),
    )


def _drop_index(children: Children, position: int) -> st.DropIndex:
    if_exists, name, table = children
    return st.DropIndex(position=position, name=name, table=table, if_exists=bool(if_exists))


def _alter_seal(children: Children, position: int) -> st.SealDataset:
    return st.SealDataset(position=position, table=children[0])


def _alter_set(children: Children, position: int) -> st.AlterOptions:
    return st.AlterOptions(position=position, table=children[0], options=tuple(children[1]))


def _constraint(part: str) -> Callable[[Children, int], tuple[str, Any]]:
    def build(children: Children, _position: int) -> tuple[str, Any]:
        return part, children[0] if children else True

    return build


def _check(children: Children, position: int) -> st.CheckConstraint:
    del position
    return st.CheckConstraint(position=children[0].position, condition=children[0])


def _named_constraint(children: Children, _position: int) -> Any:
    named, constraint = children
    return msgspec.structs.replace(constraint, name=named)


def _named_column_constraint(children: Children, _position: int) -> Any:
    """Names of NOT NULL, DEFAULT and PRIMARY KEY are accepted and not kept."""
    named, constraint = children
    if isinstance(constraint, tuple):
        part, value = constraint
        return (part, named) if part == "unique" else (part, value)
    return msgspec.structs.replace(constraint, name=named)


def _generated_as(children: Children, _position: int) -> tuple[str, Any]:
    return "generated", children[0]


def _words(children: Children, _position: int) -> str:
    return " ".join(token.text.upper() for token in children)


def _references(children: Children, position: int) -> st.Reference:
    table, columns, *rules = children
    found: dict[str, str] = {}
    for event, action, at in rules:
        if event in found:
            raise SqlSyntax(f"ON {event} is said twice", position=at)
        found[event] = action
    return st.Reference(
        position=position,
        table=table,
        columns=tuple(columns or ()),
        on_delete=found.get("DELETE", "NO ACTION"),
        on_update=found.get("UPDATE", "NO ACTION"),
    )


def _reference_rule(children: Children, position: int) -> tuple[str, str, int]:
    event, action = children
    return event, action, position


def _foreign_key(children: Children, position: int) -> st.ForeignConstraint:
    columns, reference = children
    return st.ForeignConstraint(position=position, columns=tuple(columns), reference=reference)


def _column_def(children: Children, position: int) -> st.ColumnDef:
    name, kind, *constraints = children
    parts: dict[str, Any] = {}
    checks = [one for one in constraints if isinstance(one, st.CheckConstraint)]
    references = [one for one in constraints if isinstance(one, st.Reference)]
    for constraint in constraints:
        if not isinstance(constraint, tuple):
            continue
        part, value = constraint
        if part in parts:
            raise SqlSyntax(
                f"column {name.text} says {part.replace('_', ' ').upper()} twice",
                position=name.position,
            )
        parts[part] = value
    if parts.pop("nullable", False) and parts.get("not_null"):
        raise SqlSyntax(f"column {name.text} is both NULL and NOT NULL", position=name.position)
    if isinstance(parts.get("unique"), st.Name):
        parts["unique_name"] = parts["unique"]
        parts["unique"] = True
    return st.ColumnDef(
        position=position,
        name=name,
        type=kind,
        checks=tuple(checks),
        references=tuple(references),
        **parts,
    )


def _key(*, primary: bool) -> Callable[[Children, int], st.KeyConstraint]:
    def build(children: Children, position: int) -> st.KeyConstraint:
        return st.KeyConstraint(position=position, columns=tuple(children[0]), primary=primary)

    return build


def _type(children: Children, position: int) -> st.TypeName:
    named, *numbers, mark = children
    values = tuple(int(token.text[:6]) for token in numbers if token is not None)
    name = named if isinstance(named, str) else named.text
    return st.TypeName(position=position, name=name + (mark or ""), numbers=values)


def _type_words(words: str) -> Callable[[Children, int], str]:
    return lambda _children, _position: words


def _option(children: Children, position: int) -> st.Option:
    named, value = children
    plain = value.value if isinstance(value, st.Constant) else value
    return st.Option(position=position, name=named.text, value=True if value is None else plain)


def _option_word(children: Children, position: int) -> st.Constant:
    return st.Constant(position=position, kind="string", value=children[0].text)


def _option_negative(children: Children, position: int) -> st.Constant:
    return st.Constant(position=position, kind="decimal", value=f"-{children[0].value}")


def _option_amount(children: Children, position: int) -> st.Constant:
    text = f"{children[0].value} {children[1].text.upper()}"
    return st.Constant(position=position, kind="string", value=text)


def _option_ratio(children: Children, position: int) -> st.Constant:
    text = f"{children[0].text}/{children[1].text}"
    return st.Constant(position=position, kind="string", value=text)


# ---- rights


def _privileges(children: Children, _position: int) -> Children:
    return children


def _all_privileges(_children: Children, _position: int) -> Children:
    return []


def _privilege(children: Children, position: int) -> st.Privilege:
    action, columns = children
    return st.Privilege(position=position, action=action.text.upper(), columns=tuple(columns or ()))


def _grantee_text(children: Children, position: int) -> st.Grantee:
    return st.Grantee(position=position, kind="IDENTITY", name=unquote(children[0]))


def _grantee_name(children: Children, position: int) -> st.Grantee:
    named = children[0]
    role = named.text.upper()
    if not named.quoted and role in ("PUBLIC", "OWNER", "AUTHOR"):
        return st.Grantee(position=position, kind=role)
    return st.Grantee(position=position, kind="IDENTITY", name=named.text)


def _grant(children: Children, position: int) -> st.Grant:
    privileges, table, condition, grantees, until, _ = children
    return st.Grant(
        position=position,
        table=table,
        privileges=tuple(privileges),
        grantees=tuple(grantees),
        condition=condition,
        until=until,
    )


def _grant_option(_children: Children, position: int) -> None:
    raise NotSupportedError(
        "a right cannot be passed on: only a dataset's owner signs its rules",
        hint="whoever should have it asks the owner, who runs GRANT; docs/sql says why",
        position=position,
    )


def _revoke(children: Children, position: int) -> st.Revoke:
    _, privileges, table, grantees = children
    return st.Revoke(
        position=position, table=table, privileges=tuple(privileges), grantees=tuple(grantees)
    )


# ---- sessions


def _describe(children: Children, position: int) -> st.Describe:
    return st.Describe(position=position, table=children[0])


def _fetch(children: Children, position: int) -> st.Expression | WithTies:
    """FETCH FIRST ROW ONLY is LIMIT 1."""
    first, count, ties = children
    if first.text.upper() not in ("FIRST", "NEXT"):
        raise SqlSyntax("FETCH is followed by FIRST or NEXT", position=first.position)
    count = count or st.Constant(position=position, kind="integer", value=1)
    return WithTies(position=position, count=count) if ties else count


def _set(children: Children, position: int) -> st.SetOption:
    named, *values = children
    plain = [value.value if isinstance(value, st.Constant) else value for value in values]
    value = plain[0] if len(plain) == 1 else ", ".join(map(str, plain))
    return st.SetOption(position=position, name=named.text, value=value)


def _set_zone(children: Children, position: int) -> st.SetOption:
    return _set([st.Name(position=position, text="timezone"), *children], position)


def _of_session(action: Callable[[Children, int], Any]) -> Callable[[Children, int], Any]:
    def build(children: Children, position: int) -> Any:
        if children[0].text.upper() != "SESSION":
            raise SqlSyntax(
                f"a setting lasts for the session, not for {children[0].text}",
                hint="SET name = value",
                position=children[0].position,
            )
        return action(children[1:], position)

    return build


def _set_on(_children: Children, position: int) -> st.Constant:
    return st.Constant(position=position, kind="boolean", value=True)


def _simple(kind: Any) -> Callable[[Children, int], Any]:
    return lambda _children, position: kind(position=position)


ACTIONS: dict[str, Callable[[Children, int], Any]] = {
    **EXPRESSION_ACTIONS,
    **FUNCTION_ACTIONS,
    **QUERY_ACTIONS,
    **SOURCE_ACTIONS,
    **ALTER_ACTIONS,
    **ARRAY_ACTIONS,
    **CHANGE_ACTIONS,
    **SESSION_ACTIONS,
    **MONEY_ACTIONS,
    "start": _start,
    "pass_value": _pass_value,
    "text_value": _text_value,
    "truth": _truth,
    "table_name": _table_name,
    "name_list": listed,
    "bare_name": _pass_value,
    "items": listed,
    "star": _star,
    "star_of": _star_of,
    "item": _item,
    "order_by": listed,
    "order_item": _order_item,
    "direction": word,
    "nulls": _pass_value,
    "null_place": word,
    "limit_offset": listed,
    "offset_limit": _offset_limit,
    "no_limit": _no_limit,
    "fetch": _fetch,
    "create_dataset": _create(mailbox=False),
    "create_mailbox": _create(mailbox=True),
    "create_identity": _create_identity,
    "drop": _drop(),
    "drop_mailbox": _drop(mailbox=True),
    "drop_view": _drop(view=True),
    "create_as": _create_as,
    "create_view": _create_view,
    "or_replace": _truth,
    "table_names": listed,
    "truncate": _truncate,
    "index_columns": listed,
    "index_column": _index_column,
    "create_index": _create_index,
    "drop_index": _drop_index,
    "vacuum": _simple(st.Vacuum),
    "check_database": _simple(st.CheckDatabase),
    "alter_seal": _alter_seal,
    "alter_set": _alter_set,
    "elements": listed,
    "named_constraint": _named_constraint,
    "column_def": _column_def,
    "not_null": _constraint("not_null"),
    "nullable": _constraint("nullable"),
    "primary_key": _constraint("primary_key"),
    "unique": _constraint("unique"),
    "clear": _constraint("clear"),
    "default": _constraint("default"),
    "check": _check,
    "named_column_constraint": _named_column_constraint,
    "generated": _words,
    "generated_as": _generated_as,
    "references": _references,
    "reference_rule": _reference_rule,
    "reference_event": _words,
    "reference_action": _words,
    "foreign_key": _foreign_key,
    "table_key": _key(primary=True),
    "table_unique": _key(primary=False),
    "type": _type,
    "double_precision": _type_words("double precision"),
    "character_varying": _type_words("character varying"),
    "timestamp_with_zone": _type_words("timestamp with time zone"),
    "timestamp_without_zone": _type_words("timestamp without time zone"),
    "time_without_zone": _type_words("time without time zone"),
    "options": listed,
    "option": _option,
    "option_word": _option_word,
    "option_negative": _option_negative,
    "option_amount": _option_amount,
    "option_ratio": _option_ratio,
    "privileges": _privileges,
    "all_privileges": _all_privileges,
    "privilege": _privilege,
    "privilege_word": word,
    "grantees": listed,
    "grantee_text": _grantee_text,
    "grantee_name": _grantee_name,
    "grant": _grant,
    "grant_option": _grant_option,
    "revoke": _revoke,
    "describe": _describe,
    "set": _set,
    "set_session": _of_session(_set),
    "set_zone": _set_zone,
    "set_session_zone": _of_session(_set_zone),
    "first_word": word,
    "set_on": _set_on,
    "set_default": _default_values,
    "begin": _simple(st.Begin),
}
