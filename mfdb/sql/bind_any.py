"""Binding functions that take anything, NULL too: format(), pg_typeof() and the like."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.kernel.errors import BadType, UnknownFunction
from mfdb.sql.bound import Bound, Lazy, Value, WithNulls
from mfdb.sql.coerce import ParameterList, coerce, settle, strict
from mfdb.sql.convert import caster
from mfdb.sql.quoting import formatted, quote_literal, quote_nullable
from mfdb.sql.types import BOOLEAN, DATE, INTEGER, TEXT, SqlType

if TYPE_CHECKING:
    from collections.abc import Callable

    from mfdb.sql import statement as st

_NAMES = {
    "DECIMAL": "numeric",
    "VARCHAR": "character varying",
    "TIMESTAMP": "timestamp without time zone",
    "TIMESTAMPTZ": "timestamp with time zone",
    "TIME": "time without time zone",
}
"""PostgreSQL's names of types, where they are not ours in small letters."""


def bind_any(node: st.Call, arguments: list[Bound], parameters: ParameterList) -> Bound:
    """Return the call of a function that takes any types.

    Raises:
        UnknownFunction: it takes more arguments, or fewer.
    """
    fewest, most, bind = _BINDERS[node.name]
    count = len(arguments)
    if count < fewest or (most is not None and count > most):
        takes = {None: f"at least {fewest}", 0: "no arguments"}.get(most, "one argument")
        raise UnknownFunction(f"{node.name} takes {takes}", position=node.position)
    return bind(node, arguments, parameters)


def name_of_type(kind: SqlType) -> str:
    """Return PostgreSQL's name of a type."""
    return _NAMES.get(kind.name, kind.name.lower())


def as_shown(node: Bound, parameters: ParameterList) -> Bound:
    """Return a value as the text that is printed of it: t and f for truths."""
    from mfdb.sql.bind_function import as_text

    return as_text(node, parameters)


def _type_of(node: st.Call, arguments: list[Bound], parameters: ParameterList) -> Bound:
    kind = arguments[0].type
    if kind.family == "unknown" and not isinstance(arguments[0], Value):
        kind = settle(arguments[0], parameters).type
    return Value(type=TEXT, position=node.position, value=name_of_type(kind))


def _nulls(wanted: bool) -> Callable[..., Bound]:  # noqa: FBT001 - a value
    def bind(node: st.Call, arguments: list[Bound], parameters: ParameterList) -> Bound:
        tests = tuple(
            Lazy(
                type=BOOLEAN,
                position=node.position,
                operator="is_null",
                operands=(settle(argument, parameters),),
            )
            for argument in arguments
        )
        return WithNulls(
            type=INTEGER,
            position=node.position,
            operator=node.name,
            operands=tests,
            call=lambda found: sum(one is wanted for one in found),
            listed=0,
        )

    return bind


def _format(node: st.Call, arguments: list[Bound], parameters: ParameterList) -> Bound:
    template = coerce(arguments[0], TEXT, parameters, what="format")
    rest = tuple(as_shown(argument, parameters) for argument in arguments[1:])
    return WithNulls(
        type=TEXT,
        position=node.position,
        operator=node.name,
        operands=(template, *rest),
        call=formatted,
        listed=1,
    )


def _literal(node: st.Call, arguments: list[Bound], parameters: ParameterList) -> Bound:
    text = as_shown(arguments[0], parameters)
    return strict(node.name, (text,), TEXT, quote_literal, node.position)


def _nullable(node: st.Call, arguments: list[Bound], parameters: ParameterList) -> Bound:
    text = as_shown(arguments[0], parameters)
    return WithNulls(
        type=TEXT,
        position=node.position,
        operator=node.name,
        operands=(text,),
        call=quote_nullable,
    )


def _date(node: st.Call, arguments: list[Bound], parameters: ParameterList) -> Bound:
    """date(x) is CAST(x AS DATE)."""
    operand = arguments[0]
    if isinstance(operand, Value) and operand.type.family == "unknown":
        return coerce(operand, DATE, parameters)
    operand = settle(operand, parameters)
    change = caster(operand.type, DATE)
    if change is None:
        raise BadType(f"{operand.type} cannot be cast to DATE", position=node.position)
    return strict("cast", (operand,), DATE, change, node.position)


def _told(text: Callable[[], str]) -> Callable[..., Bound]:
    def bind(node: st.Call, _arguments: list[Bound], _parameters: ParameterList) -> Bound:
        return Value(type=TEXT, position=node.position, value=text())

    return bind


def _version() -> str:
    from importlib.metadata import version

    return f"mfdb {version('mfdb')}, with the SQL of PostgreSQL 15"


_BINDERS: dict[str, tuple[int, int | None, Callable[..., Bound]]] = {
    "pg_typeof": (1, 1, _type_of),
    "num_nulls": (1, None, _nulls(wanted=True)),
    "num_nonnulls": (1, None, _nulls(wanted=False)),
    "format": (1, None, _format),
    "quote_literal": (1, 1, _literal),
    "quote_nullable": (1, 1, _nullable),
    "date": (1, 1, _date),
    "version": (0, 0, _told(_version)),
    "current_database": (0, 0, _told(lambda: "mfdb")),
    "current_schema": (0, 0, _told(lambda: "public")),
}
"""Function -> fewest and most arguments (None: any number), and what binds it."""
