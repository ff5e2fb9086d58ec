"""Lists of values: parameters of `x = ANY ($1)` and `x <> ALL ($1)`; no column holds one.

A list's type is that of its values with `[]` behind; its working value is the set of theirs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.kernel.errors import BadType, NotSupportedError
from mfdb.sql.bound import Lazy
from mfdb.sql.coerce import settle
from mfdb.sql.convert import to_working
from mfdb.sql.types import BIGINT, BOOLEAN, DECIMAL, DOUBLE, TEXT, UNKNOWN, SqlType, fit, make_type

if TYPE_CHECKING:
    from mfdb.sql.bound import Bound
    from mfdb.sql.coerce import ParameterList
    from mfdb.sql.node import InGiven
    from mfdb.sql.types import Scalar

LIST = "list"
"""The family of lists."""
_WIDEST = {"integer": BIGINT, "decimal": DECIMAL, "float": DOUBLE, "text": TEXT}
_UNFIT = frozenset({"json", "interval", "array"})


def bind_given(node: InGiven, operand: Bound, parameters: ParameterList) -> Lazy:
    """Return the test whether an operand is one of a list.

    Raises:
        NotSupportedError: values of its type are not looked for.
    """
    operand = settle(operand, parameters)
    if operand.type.family in _UNFIT:
        raise NotSupportedError(
            f"there are no lists of {operand.type}",
            hint="write them out: x IN (...)",
            position=node.position,
        )
    element = _WIDEST.get(operand.type.family, operand.type)
    slot = parameters.typed(parameters.saw(node.given), SqlType(f"{element.name}[]", LIST))
    return Lazy(type=BOOLEAN, position=node.position, operator="in_given", operands=(operand, slot))


def element_of(kind: SqlType) -> SqlType:
    """Return the type of a list's values."""
    if kind.name == "UNKNOWN[]":
        return UNKNOWN
    return make_type(kind.name.removesuffix("[]"))


def working_list(value: object, kind: SqlType) -> frozenset[Scalar] | None:
    """Return what an application gives as a list; None stays None.

    Raises:
        BadType, InvalidText, NumberOutOfRange: it is none, or holds what does not suit.
    """
    if value is None:
        return None
    if not isinstance(value, list | tuple | set | frozenset):
        raise BadType(f"ANY and ALL take a list, not {type(value).__name__}", hint="pass [1, 2, 3]")
    element = element_of(kind)
    return frozenset([fit(to_working(one, element), element) for one in value])
