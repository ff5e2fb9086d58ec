"""What the rules of ALTER and of policies make of their children."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from mfdb.kernel.errors import SqlSyntax
from mfdb.sql import statement as st
from mfdb.sql.expression_actions import word

if TYPE_CHECKING:
    from collections.abc import Callable

Children = list[Any]


def _alter(children: Children, position: int) -> st.Alter:
    if_exists, table, *changes = children
    return st.Alter(
        position=position, table=table, changes=tuple(changes), if_exists=bool(if_exists)
    )


def _add_column(children: Children, position: int) -> st.AddColumn:
    if_not_exists, column = children
    return st.AddColumn(position=position, column=column, if_not_exists=bool(if_not_exists))


def _add_constraint(children: Children, position: int) -> st.AddConstraint:
    return st.AddConstraint(position=position, constraint=children[0])


def _add_named_constraint(children: Children, position: int) -> st.AddConstraint:
    named, constraint = children
    constraint = msgspec.structs.replace(constraint, name=named)
    return st.AddConstraint(position=position, constraint=constraint)


def _drop_part(kind: Any) -> Callable[[Children, int], Any]:
    def build(children: Children, position: int) -> Any:
        if_exists, name, cascade = children
        return kind(position=position, name=name, if_exists=bool(if_exists), cascade=bool(cascade))

    return build


def _rename_column(children: Children, position: int) -> st.RenameColumn:
    return st.RenameColumn(position=position, name=children[0], new=children[1])


def _rename_to(children: Children, position: int) -> st.RenameTo:
    return st.RenameTo(position=position, new=children[0])


def _alter_column(children: Children, position: int) -> st.AlterColumn:
    name, change = children
    return st.AlterColumn(position=position, name=name, **change)


def _change(change: str, **values: Any) -> Callable[[Children, int], dict[str, Any]]:
    return lambda _children, _position: {"change": change, **values}


def _change_default(children: Children, _position: int) -> dict[str, Any]:
    return {"change": "default", "default": children[0]}


def _change_type(children: Children, position: int) -> dict[str, Any]:
    set_data, kind = children
    if set_data is not None and set_data.text != "data":
        raise SqlSyntax("a type is changed by TYPE or SET DATA TYPE", position=position)
    return {"change": "type", "type": kind}


def _owner_to(children: Children, position: int) -> st.OwnerTo:
    return st.OwnerTo(position=position, grantee=children[0])


# ---- policies


def _create_policy(children: Children, position: int) -> st.CreatePolicy:
    name, table, kind, action, grantees, using, check = children
    if kind is not None and kind.text not in ("permissive", "restrictive"):
        raise SqlSyntax(
            f"a policy is PERMISSIVE or RESTRICTIVE, not {kind.text}", position=kind.position
        )
    public = st.Grantee(position=position, kind="PUBLIC")
    return st.CreatePolicy(
        position=position,
        name=name,
        table=table,
        grantees=tuple(grantees) if grantees is not None else (public,),
        action=action.text.upper() if action is not None else "ALL",
        restrictive=kind is not None and kind.text == "restrictive",
        using=using,
        check=check,
    )


def _drop_policy(children: Children, position: int) -> st.DropPolicy:
    if_exists, name, table = children
    return st.DropPolicy(position=position, name=name, table=table, if_exists=bool(if_exists))


ACTIONS: dict[str, Callable[[Children, int], Any]] = {
    "alter": _alter,
    "add_column": _add_column,
    "add_constraint": _add_constraint,
    "add_named_constraint": _add_named_constraint,
    "drop_column": _drop_part(st.DropColumn),
    "drop_constraint": _drop_part(st.DropConstraint),
    "rename_column": _rename_column,
    "rename_to": _rename_to,
    "alter_column": _alter_column,
    "change_default": _change_default,
    "drop_default": _change("default"),
    "set_not_null": _change("not null", not_null=True),
    "drop_not_null": _change("not null"),
    "change_type": _change_type,
    "owner_to": _owner_to,
    "create_policy": _create_policy,
    "policy_action": word,
    "drop_policy": _drop_policy,
}
