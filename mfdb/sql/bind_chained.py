"""Binding a statement whose WITH changes rows: each change by itself, then what they stand before.

What a change returns is a relation for all that comes after it. Queries of WITH that stand before
a change are its own, too: all of the statement sees the same rows, so that they answer the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from mfdb.kernel.errors import NotSupportedError, ProgrammingError, SqlSyntax
from mfdb.sql import query as qu
from mfdb.sql import statement as st
from mfdb.sql.bound import BoundChained, BoundStep, Parameters
from mfdb.sql.scratch import scratch_table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mfdb.kernel.ids import Address
    from mfdb.sql.bound import BoundDelete, BoundInsert, BoundUpdate
    from mfdb.sql.catalogue import Catalogue, TableSchema


class _Beside:
    """A catalogue with the relations that changes return; None stands for one without any."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self.returned: dict[str, TableSchema | None] = {}

    @property
    def me(self) -> Address:
        """Whose statements are bound."""
        return self._catalogue.me

    def table(self, name: st.TableName) -> TableSchema | None:
        """Return the dataset or the relation of that name, or None.

        Raises:
            NotSupportedError: a change of that name returns nothing.
        """
        if name.owner is not None or name.name not in self.returned:
            return self._catalogue.table(name)
        found = self.returned[name.name]
        if found is None:
            raise NotSupportedError(
                f"{name.name} of WITH returns nothing",
                hint="let it say what it returns: RETURNING *",
                position=name.position,
            )
        return found

    def names(self) -> Iterable[str]:
        """Return the names of all that is known."""
        return [*self.returned, *self._catalogue.names()]


def bind_chained(node: st.Chained, catalogue: Catalogue) -> BoundChained:
    """Return the changes of WITH and the statement behind them, bound.

    Raises:
        ProgrammingError, DataError, NotSupportedError: one cannot mean anything; with position.
    """
    from mfdb.sql.bind import bind

    beside = _Beside(catalogue)
    statement: Any = node.statement
    before: list[qu.Cte] = []
    steps: list[BoundStep] = []
    for cte in statement.ctes:
        name = cte.name.text
        if name in beside.returned or any(one.name.text == name for one in before):
            raise ProgrammingError(f"WITH names {name} twice", position=cte.position)
        if not isinstance(cte.query, st.ROW_CHANGES):
            before.append(cte)
            continue
        own = _with(cte.query, before, recursive=statement.recursive)
        change: Any = bind(own, beside)
        table = _returned(cte, change, beside.me)
        steps.append(BoundStep(change=change, table=table))
        beside.returned[name] = table
    last: Any = msgspec.structs.replace(statement, ctes=tuple(before))
    return _shared(BoundChained(steps=tuple(steps), last=bind(last, beside)))  # type: ignore[arg-type] # a query or change


def _with(change: Any, before: list[qu.Cte], *, recursive: bool) -> Any:
    """Return a change with the queries that it names of those before it."""
    wanted: list[qu.Cte] = []
    names = {name.name for name in qu.tables_named(change) if name.owner is None}
    for cte in reversed(before):
        if cte.name.text in names:
            wanted.insert(0, cte)
            names |= {name.name for name in qu.tables_named(cte.query) if name.owner is None}
    if not wanted:
        return change
    return msgspec.structs.replace(
        change, ctes=(*wanted, *change.ctes), recursive=recursive or change.recursive
    )


def _returned(
    cte: qu.Cte, change: BoundInsert | BoundUpdate | BoundDelete, owner: Address
) -> TableSchema | None:
    """Return the relation of what a change returns; WITH may name its columns."""
    outputs = change.outputs
    if not outputs:
        return None
    if len(cte.columns) > len(outputs):
        raise SqlSyntax(
            f"{cte.name.text} has {len(outputs)} columns, {len(cte.columns)} are named",
            position=cte.columns[len(outputs)].position,
        )
    names = [name.text for name in cte.columns]
    names += [output.name for output in outputs[len(names) :]]
    columns = zip(names, (output.type for output in outputs), strict=True)
    named = scratch_table(f"with {cte.name.text}", columns, owner)
    return msgspec.structs.replace(named, name=cte.name.text)


def _shared(chained: BoundChained) -> BoundChained:
    """Let every part expect the parameters of the whole statement."""
    parts = [*(step.change.parameters for step in chained.steps), chained.last.parameters]
    style = next((part.style for part in parts if part.style), "")
    count = max(part.count for part in parts)

    def of_all(part: Any) -> Any:
        slots = part.parameters.slots
        return msgspec.structs.replace(part, parameters=Parameters(style, count, slots))

    steps = tuple(
        msgspec.structs.replace(step, change=of_all(step.change)) for step in chained.steps
    )
    return BoundChained(steps=steps, last=of_all(chained.last))
