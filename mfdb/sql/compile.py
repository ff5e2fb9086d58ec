"""From bound expressions to Python closures, once per bound statement.

A closure takes the stored values of a row and the execution's environment, and returns a working
value. Errors that occur while computing get the position of the operator they occur in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from mfdb.kernel.errors import MfdbError
from mfdb.sql.allowance import Allowance
from mfdb.sql.bound import Aggregate, Bound, Context, Field, Lazy, Slot, Strict, Value, WithNulls
from mfdb.sql.convert import placed
from mfdb.sql.functions import random_number, random_uuid
from mfdb.sql.text_functions import joined
from mfdb.sql.types import from_storage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mfdb.kernel.ids import Address
    from mfdb.sql.tables import StoredRow

_MICROSECONDS_PER_MILLISECOND = 1_000
_HLC_COUNTER_BITS = 16


class Environment(msgspec.Struct):
    """What closures need beside the row; `row` and `aggregates` change while a statement runs."""

    parameters: tuple[Any, ...]
    caller: Address | None
    now_us: int
    token: Callable[[int], bytes] = bytes
    allowance: Allowance = msgspec.field(default_factory=Allowance)
    row: StoredRow | None = None
    aggregates: Sequence[Any] = ()


Values = Any
if TYPE_CHECKING:
    Compiled = Callable[[Values, Environment], Any]
B = TypeVar("B", bound=Bound)


def compile_expression(node: Bound) -> Compiled:
    """Return the closure of an expression."""
    compiled: Compiled = _COMPILERS[type(node)](node)
    return compiled


def _value(node: Value) -> Compiled:
    value = node.value
    return lambda _values, _environment: value


def _slot(node: Slot) -> Compiled:
    index = node.index
    return lambda _values, environment: environment.parameters[index]


def _field(node: Field) -> Compiled:
    index, kind = node.index, node.type
    if kind.family == "decimal":
        return lambda values, _environment: from_storage(values[index], kind)
    return lambda values, _environment: values[index]


def _context(node: Context) -> Compiled:
    compiled: Compiled = _CONTEXTS[node.what]
    return compiled


def _author(_values: Values, environment: Environment) -> Any:
    """A row that is being written has its writer as author."""
    return environment.row.author if environment.row is not None else environment.caller


def _row_id(_values: Values, environment: Environment) -> Any:
    """A row that is being written has no id yet."""
    return environment.row.lasting_id if environment.row is not None else None


def _written_at(_values: Values, environment: Environment) -> Any:
    if environment.row is None:
        return environment.now_us
    return written_at_us(environment.row.hlc)


def written_at_us(hlc: int) -> int:
    """Return when a row was written, in microseconds since 1970, from its hybrid logical time."""
    return (hlc >> _HLC_COUNTER_BITS) * _MICROSECONDS_PER_MILLISECOND


_CONTEXTS: dict[str, Compiled] = {
    "uuid": lambda _values, environment: random_uuid(environment.token),
    "random": lambda _values, environment: random_number(environment.token),
    "caller": lambda _values, environment: environment.caller,
    "now": lambda _values, environment: environment.now_us,
    "author": _author,
    "row_id": _row_id,
    "written_at": _written_at,
}


def _aggregate(node: Aggregate) -> Compiled:
    index = node.index
    return lambda _values, environment: environment.aggregates[index]


def _strict(node: Strict) -> Compiled:
    operands = [compile_expression(operand) for operand in node.operands]
    if len(operands) == 1:
        return _strict_one(node, operands[0])
    if len(operands) == 2:
        return _strict_two(node, operands[0], operands[1])
    call, position = node.call, node.position

    def many(values: Values, environment: Environment) -> Any:
        arguments = []
        for operand in operands:
            argument = operand(values, environment)
            if argument is None:
                return None
            arguments.append(argument)
        try:
            return call(*arguments)
        except MfdbError as error:
            placed(error, position)
            raise

    return many


def _strict_one(node: Strict, operand: Compiled) -> Compiled:
    call, position = node.call, node.position

    def one(values: Values, environment: Environment) -> Any:
        argument = operand(values, environment)
        if argument is None:
            return None
        try:
            return call(argument)
        except MfdbError as error:
            placed(error, position)
            raise

    return one


def _strict_two(node: Strict, left: Compiled, right: Compiled) -> Compiled:
    call, position = node.call, node.position

    def two(values: Values, environment: Environment) -> Any:
        first = left(values, environment)
        if first is None:
            return None
        second = right(values, environment)
        if second is None:
            return None
        try:
            return call(first, second)
        except MfdbError as error:
            placed(error, position)
            raise

    return two


def _with_nulls(node: WithNulls) -> Compiled:
    operands = [compile_expression(operand) for operand in node.operands]
    call, position = node.call, node.position
    first = len(operands) if node.listed is None else node.listed
    is_listed = node.listed is not None

    def with_nulls(values: Values, environment: Environment) -> Any:
        arguments = [operand(values, environment) for operand in operands]
        if is_listed:
            arguments[first:] = [arguments[first:]]
        try:
            return call(*arguments)
        except MfdbError as error:
            placed(error, position)
            raise

    return with_nulls


# ---- operators that decide themselves about NULL


def _lazy(node: Lazy) -> Compiled:
    return _LAZY[node.operator](node, [compile_expression(operand) for operand in node.operands])


def _and(_node: Lazy, operands: list[Compiled]) -> Compiled:
    def conjunction(values: Values, environment: Environment) -> bool | None:
        result: bool | None = True
        for operand in operands:
            value = operand(values, environment)
            if value is False:
                return False
            if value is None:
                result = None
        return result

    return conjunction


def _or(_node: Lazy, operands: list[Compiled]) -> Compiled:
    def disjunction(values: Values, environment: Environment) -> bool | None:
        result: bool | None = False
        for operand in operands:
            value = operand(values, environment)
            if value is True:
                return True
            if value is None:
                result = None
        return result

    return disjunction


def _is(wanted: bool | None) -> Callable[[Lazy, list[Compiled]], Compiled]:  # noqa: FBT001 - a value
    def build(_node: Lazy, operands: list[Compiled]) -> Compiled:
        operand = operands[0]
        return lambda values, environment: operand(values, environment) is wanted

    return build


def _same(node: Lazy, operands: list[Compiled]) -> Compiled:
    left, right = operands
    del node

    def same(values: Values, environment: Environment) -> bool:
        first, second = left(values, environment), right(values, environment)
        # NaN is the same as NaN, though not equal to itself in Python.
        return bool(first == second or (first != first and second != second))  # noqa: PLR0124

    return same


def _in(node: Lazy, operands: list[Compiled]) -> Compiled:
    subject, *choices = operands
    constants = [operand.value for operand in node.operands[1:] if isinstance(operand, Value)]
    if len(constants) == len(choices) and node.operands[0].type.family != "float":
        return _in_constants(subject, frozenset(constants))

    def member(values: Values, environment: Environment) -> bool | None:
        value = subject(values, environment)
        if value is None:
            return None
        found: bool | None = False
        for choice in choices:
            other = choice(values, environment)
            if other is None:
                found = None
            elif other == value or (value != value and other != other):  # noqa: PLR0124 - NaN
                return True
        return found

    return member


def _in_given(_node: Lazy, operands: list[Compiled]) -> Compiled:
    subject, given = operands

    def member(values: Values, environment: Environment) -> bool | None:
        choices = given(values, environment)
        if choices is None:
            return None
        value = subject(values, environment)
        if value is None:
            return None if choices else False
        if value in choices:
            return True
        if value != value and any(one != one for one in choices):  # noqa: PLR0124 - NaN equals NaN
            return True
        return None if None in choices else False

    return member


def _in_constants(subject: Compiled, choices: frozenset[Any]) -> Compiled:
    absent = None if None in choices else False

    def member(values: Values, environment: Environment) -> bool | None:
        value = subject(values, environment)
        if value is None:
            return None
        return True if value in choices else absent

    return member


def _case(_node: Lazy, operands: list[Compiled]) -> Compiled:
    pairs = list(zip(operands[0:-1:2], operands[1::2], strict=False))
    otherwise = operands[-1] if len(operands) % 2 else None

    def case(values: Values, environment: Environment) -> Any:
        for condition, result in pairs:
            if condition(values, environment) is True:
                return result(values, environment)
        return otherwise(values, environment) if otherwise is not None else None

    return case


def _coalesce(_node: Lazy, operands: list[Compiled]) -> Compiled:
    def coalesce(values: Values, environment: Environment) -> Any:
        for operand in operands:
            value = operand(values, environment)
            if value is not None:
                return value
        return None

    return coalesce


def _nullif(_node: Lazy, operands: list[Compiled]) -> Compiled:
    left, right = operands

    def nullif(values: Values, environment: Environment) -> Any:
        value, other = left(values, environment), right(values, environment)
        both_nan = value != value and other != other  # noqa: PLR0124 - NaN equals NaN
        return None if value == other or both_nan else value

    return nullif


def _extreme(choose: Callable[[list[Any]], Any]) -> Callable[[Lazy, list[Compiled]], Compiled]:
    def build(_node: Lazy, operands: list[Compiled]) -> Compiled:
        def extreme(values: Values, environment: Environment) -> Any:
            found = [operand(values, environment) for operand in operands]
            known = [value for value in found if value is not None]
            return choose(known) if known else None

        return extreme

    return build


def _concat(_node: Lazy, operands: list[Compiled]) -> Compiled:
    def concat(values: Values, environment: Environment) -> str:
        found = [operand(values, environment) for operand in operands]
        return joined("", [value for value in found if value is not None])

    return concat


def _concat_ws(_node: Lazy, operands: list[Compiled]) -> Compiled:
    between, *parts = operands

    def concat(values: Values, environment: Environment) -> str | None:
        separator = between(values, environment)
        if separator is None:
            return None
        found = [part(values, environment) for part in parts]
        return joined(separator, [value for value in found if value is not None])

    return concat


def order_key(value: Any) -> Any:
    """Return what a working value sorts by: NaN after every other number."""
    return (1, 0.0) if value != value else (0, value)  # noqa: PLR0124 - NaN


_LAZY: dict[str, Callable[[Lazy, list[Compiled]], Compiled]] = {
    "and": _and,
    "or": _or,
    "is_null": _is(None),
    "is_true": _is(wanted=True),
    "is_false": _is(wanted=False),
    "same": _same,
    "in": _in,
    "in_given": _in_given,
    "case": _case,
    "coalesce": _coalesce,
    "nullif": _nullif,
    "concat": _concat,
    "concat_ws": _concat_ws,
    "greatest": _extreme(lambda known: max(known, key=order_key)),
    "least": _extreme(lambda known: min(known, key=order_key)),
}
_COMPILERS: dict[type, Callable[[Any], Compiled]] = {
    Value: _value,
    Slot: _slot,
    Field: _field,
    Context: _context,
    Aggregate: _aggregate,
    Strict: _strict,
    WithNulls: _with_nulls,
    Lazy: _lazy,
}
