"""Binding operators that are no arithmetic and no comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.sql.coerce import ParameterList, coerce, strict
from mfdb.sql.regular_forms import MATCHING
from mfdb.sql.types import BOOLEAN, TEXT

if TYPE_CHECKING:
    from mfdb.sql.bound import Bound


def matching(
    sign: str, left: Bound, right: Bound, parameters: ParameterList, position: int
) -> Bound:
    """Return a match by a regular expression."""
    operands = tuple(coerce(side, TEXT, parameters, what=sign) for side in (left, right))
    return strict(sign, operands, BOOLEAN, MATCHING[sign], position)
