"""Binding functions that give the elements of an array as rows, or an array in each row."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from mfdb.kernel.errors import BadType, UnknownFunction
from mfdb.sql.array_functions import size
from mfdb.sql.arrays import array_of, decode, element_of
from mfdb.sql.coerce import coerce, settle
from mfdb.sql.regular_forms import late
from mfdb.sql.relational.tree import SeriesValue
from mfdb.sql.types import BIGINT, INTEGER, TEXT

if TYPE_CHECKING:
    from mfdb.sql import statement as st
    from mfdb.sql.bound import Bound
    from mfdb.sql.coerce import ParameterList

_TEXTS = {"regexp_matches": array_of(TEXT), "regexp_split_to_table": TEXT}


def bind_array_series(
    node: st.Call, arguments: list[Bound], parameters: ParameterList
) -> SeriesValue:
    """Return unnest(), generate_subscripts(), regexp_matches() or regexp_split_to_table().

    Raises:
        UnknownFunction, BadType: it takes no such arguments.
    """
    fewest, most = (2, 3) if node.name in _TEXTS else (1, 1)
    if node.name == "generate_subscripts":
        fewest, most = 2, 2
    if not fewest <= len(arguments) <= most:
        raise UnknownFunction(
            f"{node.name} takes {fewest} to {most} arguments", position=node.position
        )
    if node.name in _TEXTS:
        operands = [coerce(one, TEXT, parameters, what=node.name) for one in arguments]
        return _series(node, _TEXTS[node.name], operands, late(node.name))
    array = settle(arguments[0], parameters, array_of(TEXT))
    if array.type.family != "array":
        raise BadType(
            f"{node.name} takes an array, not {array.type}",
            hint="json_array_elements takes JSON" if array.type.family == "json" else "",
            position=array.position,
        )
    if node.name == "unnest":
        element = element_of(array.type)
        return _series(node, element, [array], partial(decode, element=element))
    dimension = coerce(arguments[1], BIGINT, parameters, what=node.name)
    return _series(node, INTEGER, [array, dimension], _places)


def _series(node: st.Call, kind: Any, operands: list[Bound], call: Any) -> SeriesValue:
    return SeriesValue(
        type=kind, position=node.position, function=node.name, operands=tuple(operands), call=call
    )


def _places(array: bytes, dimension: int) -> list[int]:
    return list(range(1, size(array) + 1)) if dimension == 1 else []
