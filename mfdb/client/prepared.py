"""PREPARE, EXECUTE and DEALLOCATE: statements that a session keeps under names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from mfdb.client.results import Result
from mfdb.kernel.errors import (
    DuplicateStatement,
    MfdbError,
    UnknownStatement,
    WrongParameters,
)
from mfdb.kernel.ids import ZERO_ADDRESS
from mfdb.kernel.nearest import nearest_hint
from mfdb.sql import query as qu
from mfdb.sql import statement as st
from mfdb.sql.bind import bind
from mfdb.sql.bound import BoundSelect
from mfdb.sql.execute import run_select
from mfdb.sql.owners import of_owner
from mfdb.sql.parse import parse
from mfdb.sql.types import make_type

if TYPE_CHECKING:
    from mfdb.client.ground import Ground
    from mfdb.sql.parameters import Given

Preparable = st.Select | qu.Query | st.Insert | st.Update | st.Delete | st.Merge


class Kept(msgspec.Struct, frozen=True):
    """A prepared statement: `text` names it among compiled ones, `count` its parameters."""

    statement: Preparable
    text: str
    count: int


class Prepared:
    """The prepared statements of a session; they outlive its batches, as in PostgreSQL."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._kept: dict[str, Kept] = {}

    def run(self, statement: st.Prepare | st.Deallocate, text: str) -> Result:
        """Keep a statement, or forget one or all of them.

        Raises:
            DuplicateStatement, UnknownStatement: the name is taken, or nobody's.
            ProgrammingError, DataError: the statement means nothing here; position says where.
        """
        if isinstance(statement, st.Prepare):
            self._prepare(statement, text)
            return Result(tag="PREPARE")
        if statement.name is None:
            self._kept.clear()
            return Result(tag="DEALLOCATE ALL")
        self._find(statement.name)
        del self._kept[statement.name.text]
        return Result(tag="DEALLOCATE")

    def opened(self, statement: st.Execute, given: Given) -> tuple[Kept, list[object]]:
        """Return the statement that EXECUTE means, and the values of its parameters.

        Raises:
            UnknownStatement: nothing is prepared under that name.
            WrongParameters, DataError: the values do not suit it.
        """
        kept = self._find(statement.name)
        if len(statement.values) != kept.count:
            raise WrongParameters(
                f"{statement.name.text} has {kept.count} parameters, "
                f"{len(statement.values)} values were given",
                position=statement.name.position,
            )
        return kept, self._values(statement, given)

    def _prepare(self, node: st.Prepare, text: str) -> None:
        name, at = node.name, node.statement.position
        if name.text in self._kept:
            raise DuplicateStatement(
                f"{name.text} is prepared already",
                hint=f"DEALLOCATE {name.text}",
                position=name.position,
            )
        owner = self._ground.state.settings.owner
        inner = text[at:].removesuffix(f"\0{owner}").rstrip().removesuffix(";").rstrip()
        statement: Any = of_owner(parse(inner), owner) if owner else parse(inner)
        if node.types:
            for kind in node.types:
                make_type(kind.name, kind.numbers, kind.position)
            statement = _typed(statement, node.types)
        try:
            bound = self._ground.bound(statement)
        except MfdbError as error:
            if error.position is not None:
                error.position += at
            raise
        if bound.parameters.style == ":":
            raise WrongParameters(
                "a prepared statement numbers its parameters", hint="write $1, $2", position=at
            )
        key = inner if not node.types and not owner else f"{inner}\0{node.types}\0{owner}"
        count = max(bound.parameters.count, len(node.types))
        self._kept[name.text] = Kept(statement, key, count)

    def _find(self, name: st.Name) -> Kept:
        kept = self._kept.get(name.text)
        if kept is None:
            raise UnknownStatement(
                f"nothing is prepared under the name {name.text}",
                hint=nearest_hint(name.text, self._kept, f"PREPARE {name.text} AS ..."),
                position=name.position,
            )
        return kept

    def _values(self, node: st.Execute, given: Given) -> list[object]:
        if not node.values:
            return []
        items = tuple(st.Item(position=value.position, expression=value) for value in node.values)
        bound = bind(st.Select(position=node.position, items=items), _Nothing())
        if not isinstance(bound, BoundSelect):
            query = next(one for one in node.values if _holds_query(one))
            raise WrongParameters("a value is no query", position=query.position)
        answer = run_select(bound, _Nothing(), given, self._ground.context())
        return list(next(iter(answer.rows)))


def _holds_query(value: st.Expression) -> bool:
    return any(isinstance(part, qu.Query | qu.WindowCall) for part in qu.parts_of(value))


class _Nothing:
    """No datasets: the values of EXECUTE are constants."""

    me = ZERO_ADDRESS

    def table(self, _name: st.TableName) -> None:
        """There is none."""

    def names(self) -> list[str]:
        """There are none."""
        return []

    def columns(self, table: Any) -> Any:
        """Nothing names a dataset that could be read."""
        raise AssertionError(f"{table} is not read")

    def scan(self, table: Any, access: Any) -> Any:
        """Nothing names a dataset that could be read."""
        raise AssertionError(f"{table} is not read: {access}")

    def greatest(self, table: Any, place: int) -> Any:
        """Nothing names a dataset that could be read."""
        raise AssertionError(f"{table} is not read: {place}")


def _typed(node: Any, types: tuple[st.TypeName, ...]) -> Any:
    """Return a statement whose parameters have the types that PREPARE gives them."""
    if isinstance(node, st.Parameter):
        if isinstance(node.key, int) and node.key < len(types):
            return st.Cast(position=node.position, operand=node, type=types[node.key])
        return node
    if isinstance(node, tuple):
        return tuple(_typed(part, types) for part in node)
    if not isinstance(node, msgspec.Struct):
        return node
    parts = {name: getattr(node, name) for name in node.__struct_fields__}
    changed = {name: _typed(part, types) for name, part in parts.items()}
    return msgspec.structs.replace(
        node, **{name: part for name, part in changed.items() if part is not parts[name]}
    )
