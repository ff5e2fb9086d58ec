"""Amounts of money, as written in a statement or given as its parameters."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, TypeVar

import msgspec

from mfdb.kernel.errors import BadType, DataError, InvalidParameter
from mfdb.kernel.ids import Wei, parse_mft
from mfdb.sql import money as mo
from mfdb.sql.definition import Grantee
from mfdb.sql.node import Constant, Parameter

if TYPE_CHECKING:
    from mfdb.sql.bound import Slot
    from mfdb.sql.parameters import ExecutionContext, Given

_M = TypeVar("_M", bound=mo.Money)


def wei_of(text: str, position: int) -> Wei:
    """Return an amount that is written in MFT.

    Raises:
        InvalidText, NumberOutOfRange, InvalidParameter: it is no whole number of wei above zero.
    """
    try:
        wei = parse_mft(text)
    except DataError as error:
        error.position = position
        raise
    if not wei:
        raise not_above_zero(position)
    return wei


def not_above_zero(position: int) -> InvalidParameter:
    """Return the error that an amount is none, or owed."""
    return InvalidParameter("an amount of money is more than zero", position=position)


def with_values(statement: _M, given: Given, context: ExecutionContext) -> _M:
    """Return a statement with the values of its parameters in their places.

    An amount takes a number of MFT, all else a text: whom it goes to, which receipt, how long.

    Raises:
        WrongParameters, BadType, InvalidText, InvalidParameter: a value is missing, or none.
    """
    from mfdb.sql.bound import Parameters
    from mfdb.sql.coerce import ParameterList
    from mfdb.sql.parameters import environment
    from mfdb.sql.types import DECIMAL, TEXT

    seen, slots = ParameterList(), dict[str, "Slot"]()
    for field in statement.__struct_fields__:
        part = getattr(statement, field)
        if isinstance(part, mo.Amount) and part.parameter is not None:
            slots[field] = seen.typed(seen.saw(part.parameter), DECIMAL)
        elif isinstance(part, Parameter):
            slots[field] = seen.typed(seen.saw(part), TEXT)
    about = environment(Parameters(seen.style, seen.count, tuple(seen.slots)), given, context)
    values = {
        field: _valued(field, about.parameters[slot.index], slot.position)
        for field, slot in slots.items()
    }
    return msgspec.structs.replace(statement, **values)


def _valued(field: str, value: object, position: int) -> mo.Amount | Grantee | Constant:
    if isinstance(value, Decimal):
        if value <= 0:
            raise not_above_zero(position)
        return mo.Amount(position=position, wei=wei_of(f"{value:f}", position))
    if not isinstance(value, str):
        raise BadType("a parameter of a statement about money is NULL", position=position)
    if field == "to":
        return Grantee(position=position, kind="IDENTITY", name=value)
    return Constant(position=position, kind="string", value=value)
