"""Binding operators that are no arithmetic and no comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mfdb.kernel.errors import NotSupportedError
from mfdb.sql.bound import Bound, Strict
from mfdb.sql.coerce import ParameterList, coerce
from mfdb.sql.types import BOOLEAN, TEXT

if TYPE_CHECKING:
    from mfdb.sql.types import Scalar

MATCHES = frozenset({"~", "~*", "!~", "!~*"})
"""Regular expressions, case folded with `*`, negated with `!`."""


def matching(
    sign: str, left: Bound, right: Bound, parameters: ParameterList, position: int
) -> Bound:
    """Return a match by a regular expression, for the relational route.

    RE2 takes a time linear in the text whatever the pattern is; Python's `re` does not, so that
    the row route has none. Nothing is computed here, not even of constants.
    """
    operands = tuple(coerce(side, TEXT, parameters, what=sign) for side in (left, right))
    return Strict(
        type=BOOLEAN, position=position, operator=sign, operands=operands, call=_elsewhere
    )


def _elsewhere(*_operands: Any) -> Scalar:
    raise NotSupportedError("a regular expression may not stand here")
