"""What a statement runs with: who asks, when, and the values for its parameters."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence, Sized
from typing import TYPE_CHECKING, Any

import msgspec

from mfdb.kernel.errors import MfdbError, WrongParameters
from mfdb.sql.allowance import Allowance
from mfdb.sql.compile import Environment
from mfdb.sql.convert import parse_text, placed, to_working
from mfdb.sql.types import fit

if TYPE_CHECKING:
    from mfdb.kernel.ids import Address
    from mfdb.sql.bound import Parameters
    from mfdb.sql.types import SqlType

Given = Sequence[object] | Mapping[str, object]
"""Values for `?` and `$1` in order, or for `:name` by name."""
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


class LiteralText(str):
    """A text that stood in a statement: it is read as the type of its place, as literals are."""

    __slots__ = ()


class ExecutionContext(msgspec.Struct, frozen=True, kw_only=True):
    """Who runs a statement (None: nobody we know) and when, from the node's Clock, with a zone.

    `token` gives random bytes, from the node's Entropy (without one: zeros). `allowance` is what
    the statement may hold.
    """

    identity: Address | None
    now: datetime.datetime
    token: Callable[[int], bytes] = bytes
    allowance: Allowance = msgspec.field(default_factory=Allowance)


def environment(parameters: Parameters, given: Given, context: ExecutionContext) -> Environment:
    """Return the environment of one execution, with every parameter in its type.

    Raises:
        WrongParameters: too few, too many, or by name where places are meant.
        BadType, InvalidText, NumberOutOfRange: a value does not suit its place.
    """
    _check_given(parameters, given)
    return Environment(
        parameters=tuple(slot_value(slot, given) for slot in parameters.slots),
        caller=context.identity,
        now_us=(context.now - _EPOCH) // datetime.timedelta(microseconds=1),
        token=context.token,
        allowance=context.allowance,
    )


def slot_value(slot: tuple[int | str, Any, int], given: Given) -> Any:
    """Return the value of one parameter in its type.

    Raises:
        BadType, InvalidText, NumberOutOfRange: it does not suit its place.
    """
    key, kind, position = slot
    value = given[key]  # type: ignore[index] # _check_given matched key and container
    if type(value) is LiteralText:
        plain = str(value)
        return plain if kind.family == "unknown" else parse_text(plain, kind)
    try:
        if kind.family == "list":
            return _list(value, kind)
        return fit(to_working(value, kind), kind)
    except MfdbError as error:
        shown = f":{key}" if isinstance(key, str) else f"{key + 1}"
        error.message = f"parameter {shown}: {error.message}"
        error.args = (error.message,)
        raise placed(error, position) from None


def _list(value: object, kind: SqlType) -> Any:
    from mfdb.sql.lists import working_list  # with the first list

    return working_list(value, kind)


def _check_given(parameters: Parameters, given: Given) -> None:
    if parameters.style == ":":
        if not isinstance(given, Mapping):
            raise WrongParameters("the statement names its parameters", hint="pass a mapping")
        missing = [key for key, _, _ in parameters.slots if key not in given]
        if missing:
            raise WrongParameters(f"there is no value for :{missing[0]}")
        return
    if isinstance(given, Mapping):
        if given or parameters.count:
            raise WrongParameters(
                "the statement numbers its parameters", hint="pass a sequence of values"
            )
    elif not _is_list(given) or len(given) != parameters.count:
        raise wrong_count(given, parameters.count)


def _is_list(given: object) -> bool:
    return isinstance(given, Sized) and not isinstance(given, str | bytes)


def wrong_count(given: object, count: int) -> WrongParameters:
    """Return the error for what is no list of so many parameters."""
    if not isinstance(given, Sized) or isinstance(given, str | bytes):
        return WrongParameters(
            f"parameters come in a list or tuple, not as {type(given).__name__}",
            hint="(x,) is a tuple of one",
        )
    return WrongParameters(
        f"the statement has {count} parameters, {len(given)} values were given",
        hint="pass one value for each parameter, in a list or tuple",
    )
