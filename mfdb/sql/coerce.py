"""How operands get the types that their place asks for, by PostgreSQL's rules.

A string literal, NULL or parameter takes the type of its surroundings. Numbers widen (integer,
decimal, float), times widen (date, timestamp, timestamptz); assignment also narrows, checked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.kernel.errors import BadType, MfdbError
from mfdb.sql.arrays import array_of, element_of
from mfdb.sql.bound import Bound, Slot, Strict, Value
from mfdb.sql.convert import caster, parse_text, placed
from mfdb.sql.functions import RESULT_OF
from mfdb.sql.types import (
    BIGINT,
    BOOLEAN,
    DECIMAL,
    INTEGER,
    NUMBERS,
    TEXT,
    TIMES,
    TIMESTAMP,
    TIMESTAMPTZ,
    UNKNOWN,
    SqlType,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from mfdb.sql import statement as st


class ParameterList:
    """The parameters met while binding one statement, and the types their places gave them."""

    def __init__(self) -> None:
        self.style = ""
        self.count = 0
        self.slots: dict[tuple[int | str, SqlType, int], int] = {}

    def saw(self, parameter: st.Parameter) -> Slot:
        """Return a parameter that has no type yet."""
        self.style = parameter.style
        if isinstance(parameter.key, int):
            self.count = max(self.count, parameter.key + 1)
        return Slot(type=UNKNOWN, position=parameter.position, key=parameter.key)

    def typed(self, slot: Slot, kind: SqlType) -> Slot:
        """Return the parameter with a type."""
        entry = (slot.key, kind, slot.position)
        index = self.slots.setdefault(entry, len(self.slots))
        return Slot(
            type=kind, position=slot.position, key=slot.key, index=index, literal=slot.literal
        )

    def lifted(self, node: st.Lifted) -> Slot:
        """Return a literal that was taken out of the text, as the parameter that it became."""
        self.style = "?"
        self.count = max(self.count, node.key + 1)
        slot = Slot(type=UNKNOWN, position=node.position, key=node.key, literal=True)
        kind = _OF_LITERALS.get(node.kind)
        return slot if kind is None else self.typed(slot, kind)


def strict(
    operator: str,
    operands: tuple[Bound, ...],
    kind: SqlType,
    call: Callable[..., Any],
    position: int,
) -> Bound:
    """Return a strict function over operands, computed now if they are constants."""
    values = [operand.value for operand in operands if isinstance(operand, Value)]
    if len(values) == len(operands):
        if None in values:
            return Value(type=kind, position=position, value=None)
        try:
            return Value(type=kind, position=position, value=call(*values))
        except MfdbError:
            pass  # an error in a branch that is never taken must not count: raised when evaluated
    return Strict(type=kind, position=position, operator=operator, operands=operands, call=call)


def settle(node: Bound, parameters: ParameterList, kind: SqlType = UNKNOWN) -> Bound:
    """Return an operand whose place says nothing of its type: literals become TEXT."""
    if node.type.family != "unknown":
        return node
    if isinstance(node, Slot):
        return parameters.typed(node, kind)
    target = TEXT if kind.family == "unknown" else kind
    return coerce(node, target, parameters)


def coerce(
    node: Bound, kind: SqlType, parameters: ParameterList, *, assign: bool = False, what: str = ""
) -> Bound:
    """Return the operand as a value of a type.

    Raises:
        BadType, InvalidText: it cannot be one; position says where it stands.
    """
    if node.type.family == "unknown" and not isinstance(node, Strict):
        return _give_type(node, kind, parameters)
    if node.type == kind or (not assign and _is_like(node.type, kind)):
        return node
    change = caster(node.type, kind) if _may_widen(node.type, kind, assign=assign) else None
    if change is None:
        place = f"{what} needs {kind}, not {node.type}" if what else f"{node.type} is no {kind}"
        raise BadType(
            place, hint=f"write CAST(... AS {kind}) if that is meant", position=node.position
        )
    return strict("cast", (node,), kind, change, node.position)


def _is_like(source: SqlType, target: SqlType) -> bool:
    """Return whether working values of one type are values of another."""
    if source.family == "array" == target.family:
        return element_of(source).family == element_of(target).family
    return source.family == target.family


def _give_type(node: Bound, kind: SqlType, parameters: ParameterList) -> Bound:
    if isinstance(node, Slot):
        return parameters.typed(node, kind)
    if isinstance(node, Value) and isinstance(node.value, str):
        try:
            value = parse_text(node.value, kind)
        except MfdbError as error:
            raise placed(error, node.position) from None
        return Value(type=kind, position=node.position, value=value)
    return Value(type=kind, position=node.position, value=None)


def _may_widen(source: SqlType, target: SqlType, *, assign: bool) -> bool:
    for ladder in (NUMBERS, TIMES):
        if source.family in ladder and target.family in ladder:
            return assign or ladder.index(source.family) <= ladder.index(target.family)
    if source.family == "array" == target.family:
        one, other = element_of(source), element_of(target)
        return one.family == other.family or _may_widen(one, other, assign=assign)
    if not assign:
        return False
    return target.family in (source.family, "text")


def common_type(nodes: Sequence[Bound], position: int, what: str) -> SqlType:
    """Return the type that all operands can take, UNKNOWN if none has one.

    Raises:
        BadType: there is no such type.
    """
    known = [node.type for node in nodes if node.type.family != "unknown"]
    if not known:
        return UNKNOWN
    result = known[0]
    for kind in known[1:]:
        wider = _wider(result, kind)
        if wider is None:
            raise BadType(
                f"{what} takes no {result} with {kind}",
                hint="cast one of them: CAST(... AS ...)",
                position=position,
            )
        result = wider
    return result


def _wider(left: SqlType, right: SqlType) -> SqlType | None:
    if left == right:
        return left
    if left.family in NUMBERS and right.family in NUMBERS:
        widest = max(left.family, right.family, key=NUMBERS.index)
        return RESULT_OF[widest]
    if left.family in TIMES and right.family in TIMES:
        widest = max(left.family, right.family, key=TIMES.index)
        return TIMESTAMP if widest == "timestamp" else TIMESTAMPTZ
    if left.family == "array" == right.family:
        element = _wider(element_of(left), element_of(right))
        return None if element is None else array_of(element)
    if left.family == right.family:
        return TEXT if left.family == "text" else SqlType(left.name, left.family)
    return None


_OF_LITERALS = {"integer": INTEGER, "bigint": BIGINT, "decimal": DECIMAL}
_LOOSE = {**RESULT_OF, "text": TEXT}
"""A parameter beside an INTEGER may be any integer: comparing is no storing."""


def unify(
    nodes: Sequence[Bound], parameters: ParameterList, position: int, what: str
) -> tuple[list[Bound], SqlType]:
    """Return operands in one common type, and that type; TEXT if none says anything."""
    kind = common_type(nodes, position, what)
    if kind.family == "unknown":
        kind = TEXT
    loose = _LOOSE.get(kind.family, kind)
    converted = [coerce(node, loose if _is_parameter(node) else kind, parameters) for node in nodes]
    return converted, kind


def _is_parameter(node: Bound) -> bool:
    return isinstance(node, Slot) and not node.literal


def boolean(node: Bound, parameters: ParameterList, what: str) -> Bound:
    """Return a condition.

    Raises:
        BadType: it is no BOOLEAN.
    """
    return coerce(node, BOOLEAN, parameters, what=what)
