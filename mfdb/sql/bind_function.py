"""Binding function calls: which overload is meant, and in what types its arguments come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mfdb.kernel.errors import UnknownFunction
from mfdb.kernel.nearest import nearest_hint
from mfdb.sql.bind_any import bind_any
from mfdb.sql.bind_json import bind_json_call
from mfdb.sql.bound import Bound, Context, Lazy
from mfdb.sql.coerce import ParameterList, coerce, strict, unify
from mfdb.sql.convert import caster
from mfdb.sql.functions import (
    ANY_FUNCTIONS,
    ARRAY_FUNCTIONS,
    CONTEXTS,
    FUNCTIONS,
    JOINING_FUNCTIONS,
    JSON_CALLS,
    KNOWN,
    LAZY_FUNCTIONS,
    WINDOW_FUNCTIONS,
)
from mfdb.sql.types import (
    BIGINT,
    BOOLEAN,
    BYTEA,
    DATE,
    DECIMAL,
    DOUBLE,
    IDENTITY,
    INTERVAL,
    JSON,
    NUMBERS,
    TEXT,
    TIME,
    TIMES,
    TIMESTAMP,
    TIMESTAMPTZ,
    UUID,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfdb.sql import statement as st
    from mfdb.sql.overload import Overload

_OF_FAMILY = {
    "integer": BIGINT,
    "decimal": DECIMAL,
    "float": DOUBLE,
    "text": TEXT,
    "bytes": BYTEA,
    "boolean": BOOLEAN,
    "date": DATE,
    "timestamp": TIMESTAMP,
    "timestamptz": TIMESTAMPTZ,
    "json": JSON,
    "time": TIME,
    "interval": INTERVAL,
}
_OF_NOW = {"current_date": DATE, "localtime": TIME, "localtimestamp": TIMESTAMP}
_CONTEXT_TYPES = {
    "now": TIMESTAMPTZ,
    "caller": IDENTITY,
    "author": IDENTITY,
    "row_id": BYTEA,
    "written_at": TIMESTAMPTZ,
    "uuid": UUID,
    "random": DOUBLE,
}


def bind_call(node: st.Call, arguments: list[Bound], parameters: ParameterList) -> Bound:
    """Return the call of a scalar function.

    Raises:
        UnknownFunction: there is none of that name, or none that takes these arguments.
    """
    if node.name in LAZY_FUNCTIONS:
        return _lazy(node, arguments, parameters)
    if node.name in JOINING_FUNCTIONS:
        return _joined(node, arguments, parameters)
    if node.name in JSON_CALLS:
        return bind_json_call(node, arguments, parameters)
    if node.name in ARRAY_FUNCTIONS:
        from mfdb.sql.bind_array import bind_array_call  # with the first array

        return bind_array_call(node, arguments, parameters)
    if node.name in ANY_FUNCTIONS:
        return bind_any(node, arguments, parameters)
    if node.name in CONTEXTS or node.name in _OF_NOW:
        return _context(node, arguments)
    overloads = FUNCTIONS.get(node.name)
    if overloads is None:
        raise _unknown(node)
    if node.name == "age" and len(arguments) == 1:
        arguments = [_of_now("current_date", node.position), *arguments]
    overload, operands = matched(node, overloads, arguments, parameters)
    kind = overload.result or operands[0].type
    return strict(node.name, operands, kind, overload.call, node.position)


def matched(
    node: st.Call, overloads: Sequence[Overload], arguments: list[Bound], parameters: ParameterList
) -> tuple[Overload, tuple[Bound, ...]]:
    """Return the form of a function that takes these arguments, and the arguments as it does.

    Raises:
        UnknownFunction: none does.
    """
    overload = _choose(overloads, arguments)
    if overload is None:
        given = ", ".join(str(argument.type) for argument in arguments)
        raise UnknownFunction(
            f"there is no {node.name}({given})",
            hint="it takes " + " or ".join(_shown(node.name, form) for form in overloads),
            position=node.position,
        )
    operands = tuple(
        coerce(argument, _OF_FAMILY[family], parameters)
        for argument, family in zip(arguments, overload.families, strict=True)
    )
    return overload, operands


def _shown(name: str, overload: Overload) -> str:
    return f"{name}({', '.join(_OF_FAMILY[family].name for family in overload.families)})"


def _unknown(node: st.Call) -> UnknownFunction:
    from mfdb.sql.elsewhere import FUNCTIONS

    hint = FUNCTIONS.get(node.name) or nearest_hint(node.name, sorted(KNOWN))
    if node.name in WINDOW_FUNCTIONS:
        hint = f"it needs a window: {node.name}(...) OVER (ORDER BY ...)"
    return UnknownFunction(f"there is no function {node.name}", hint=hint, position=node.position)


def _choose(overloads: Sequence[Overload], arguments: list[Bound]) -> Overload | None:
    """Return the overload with the fewest conversions, the first of equals."""
    best: tuple[int, Overload] | None = None
    for overload in overloads:
        cost = _cost(overload, arguments)
        if cost is not None and (best is None or cost < best[0]):
            best = (cost, overload)
    return best[1] if best else None


def _cost(overload: Overload, arguments: list[Bound]) -> int | None:
    if len(arguments) != len(overload.families):
        return None
    total = 0
    for argument, family in zip(arguments, overload.families, strict=True):
        have = argument.type.family
        if have == family:
            continue
        if have == "unknown":
            # A literal of unknown type is text if it can be (PostgreSQL prefers strings).
            total += 1 if family == "text" else 2
        elif (steps := _steps(have, family)) is not None:
            total += steps
        else:
            return None
    return total


def _steps(have: str, family: str) -> int | None:
    """Return how far a type widens to another; a date becomes a TIMESTAMPTZ first, as there."""
    for ladder in (NUMBERS, TIMES):
        if have in ladder and family in ladder and ladder.index(have) < ladder.index(family):
            steps = ladder.index(family) - ladder.index(have)
            return 3 - steps if ladder is TIMES else steps
    return None


def _joined(node: st.Call, arguments: list[Bound], parameters: ParameterList) -> Bound:
    """`concat` and `concat_ws`: anything as text, NULLs passed over."""
    if len(arguments) < (1 if node.name == "concat" else 2):
        raise UnknownFunction(f"{node.name} takes more arguments", position=node.position)
    operands = tuple(as_text(argument, parameters) for argument in arguments)
    return Lazy(type=TEXT, position=node.position, operator=node.name, operands=operands)


def as_text(node: Bound, parameters: ParameterList) -> Bound:
    """Return an operand as text, whatever it is."""
    if node.type.family in ("text", "unknown"):
        return coerce(node, TEXT, parameters)
    if node.type.family == "boolean":  # as it is printed, not as it is cast
        return strict("shown", (node,), TEXT, lambda value: "ft"[value], node.position)
    change = caster(node.type, TEXT)
    assert change is not None, "everything has a text"
    return strict("cast", (node,), TEXT, change, node.position)


def _lazy(node: st.Call, arguments: list[Bound], parameters: ParameterList) -> Bound:
    wanted = 2 if node.name == "nullif" else None
    if not arguments or (wanted is not None and len(arguments) != wanted):
        raise UnknownFunction(
            f"{node.name} takes {wanted or 'at least one'} argument(s)", position=node.position
        )
    operands, kind = unify(arguments, parameters, node.position, node.name.upper())
    if kind.family == "array" and node.name in ("greatest", "least"):
        raise UnknownFunction(f"{node.name} takes no arrays", position=node.position)
    return Lazy(type=kind, position=node.position, operator=node.name, operands=tuple(operands))


def _context(node: st.Call, arguments: list[Bound]) -> Bound:
    if arguments:
        raise UnknownFunction(f"{node.name} takes no arguments", position=node.position)
    if node.name in _OF_NOW:
        return _of_now(node.name, node.position)
    what: Any = CONTEXTS[node.name]
    return Context(type=_CONTEXT_TYPES[what], position=node.position, what=what)


def _of_now(name: str, position: int) -> Bound:
    """Return what `name` takes of the moment at which the statement began."""
    kind = _OF_NOW[name]
    change = caster(TIMESTAMPTZ, kind)
    assert change is not None, "a moment has a day and a time"
    now = Context(type=TIMESTAMPTZ, position=position, what="now")
    return strict("cast", (now,), kind, change, position)
