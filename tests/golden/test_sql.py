"""Golden scripts: statements, `---`, what they print. `--update-golden` writes what they print now.

A script is blocks parted by blank lines. All blocks of a script share one set of datasets, in
memory, at a fixed time, for one identity.
"""

from __future__ import annotations

import datetime
from pathlib import Path

import msgspec
import pytest

from mfdb.kernel.errors import MfdbError
from mfdb.kernel.ids import Address
from mfdb.rules.clauses import AnyClause, Check
from mfdb.sql import bound as bd
from mfdb.sql import statement as st
from mfdb.sql.bind import bind
from mfdb.sql.caret import explain_error
from mfdb.sql.catalogue import TableSchema
from mfdb.sql.dml import plan_dml
from mfdb.sql.execute import run_select
from mfdb.sql.explain import explain
from mfdb.sql.parameters import ExecutionContext
from mfdb.sql.parse import parse, split
from mfdb.sql.relational.engine import Engine
from mfdb.sql.relational.run import CompiledRelational
from mfdb.sql.relational.tree import BoundRelational
from mfdb.sql.show_expression import show_expression
from mfdb.sql.types import SqlType
from mfdb.testing.memory_tables import MemoryTables

SCRIPTS = sorted((Path(__file__).parent / "sql").glob("*.mfdb"))
ALICE = Address(bytes.fromhex("a11ce0" + "00" * 17))
NOW = datetime.datetime(2026, 1, 31, 12, 0, tzinfo=datetime.UTC)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_script(path: Path, request: pytest.FixtureRequest) -> None:
    blocks = path.read_text(encoding="utf-8").strip().split("\n\n")
    session = Session()
    told = [_play(block, session) for block in blocks]
    if request.config.getoption("--update-golden"):
        path.write_text("\n\n".join(told) + "\n", encoding="utf-8")
        return
    assert told == blocks


def test_there_are_scripts() -> None:
    assert len(SCRIPTS) >= 6


def _play(block: str, session: Session) -> str:
    written, _, _ = f"{block}\n".partition("\n---\n")
    if all(line.startswith("#") for line in written.splitlines()):
        return block
    printed: list[str] = []
    for piece in split(written):
        try:
            printed += session.run(piece.text)
        except MfdbError as error:
            printed += explain_error(piece.text, error).splitlines()
    return "\n".join([written, "---", *(line.rstrip() for line in printed)])


class Session:
    """Runs statements over memory and tells what came of them."""

    def __init__(self) -> None:
        self.tables = MemoryTables(ALICE, NOW.timestamp())
        self.context = ExecutionContext(identity=ALICE, now=NOW)
        self.engine = Engine()

    def run(self, text: str) -> list[str]:
        bound = bind(parse(text), self.tables)
        match bound:
            case bd.BoundSelect():
                before = self.tables.scanned
                result = run_select(bound, self.tables, (), self.context)
                lines = _table(result.columns, list(result.rows))
                return [*lines, *_scanned(self.tables.scanned - before, bound)]
            case BoundRelational():
                answer = CompiledRelational(bound, self.engine).run(self.tables, (), self.context)
                return _table(answer.columns, list(answer.rows))
            case bd.BoundInsert() | bd.BoundUpdate() | bd.BoundDelete() | bd.BoundMerge():
                mutation = plan_dml(bound, self.tables, (), self.context)
                self.tables.apply(mutation, ALICE)
                word = type(bound).__name__.removeprefix("Bound").upper()
                kinds = [type(change).__name__ for change in mutation.changes]
                extra = "" if len(kinds) == mutation.count else f" ({', '.join(kinds)})"
                lines = _table(mutation.columns, mutation.rows) if mutation.columns else []
                return [*lines, f"{word} {mutation.count}{extra}"]
            case bd.BoundCreate():
                schema = self.tables.create(bound)
                clauses = [f"  {_clause(clause)}" for clause in bound.clauses]
                return [f"CREATE {schema.name}", *map(_column, bound.columns), *clauses]
            case bd.BoundIndex():
                self.tables.index(bound)
                return ["CREATE INDEX"]
            case bd.BoundExplain():
                return explain(bound.statement)
            case st.DropDataset():
                self.tables.drop(bound.table.name)
                return ["DROP"]
            case _:
                return [_shown(bound)]


def _scanned(count: int, bound: bd.BoundSelect) -> list[str]:
    if bound.source is None or bound.source.access is None:
        return []
    return [f"-- looked at {count}"]


def _column(column: msgspec.Struct) -> str:
    return "  " + " ".join(
        str(part) for part in msgspec.structs.astuple(column) if part not in (False, None, 0)
    )


def _clause(clause: AnyClause) -> str:
    if isinstance(clause, Check):
        return f"CHECK {clause.name} ({show_expression(clause.condition)})"
    return repr(clause)


def _shown(bound: object) -> str:
    """Return a definition as bound, without positions and what is empty."""
    return f"{type(bound).__name__} {_plain(bound)}"


def _plain(node: object) -> object:
    if isinstance(node, SqlType):
        return str(node)
    if isinstance(node, TableSchema):
        return node.name
    if isinstance(node, msgspec.Struct):
        fields = {
            name: _plain(getattr(node, name))
            for name in node.__struct_fields__
            if name not in ("position", "depth", "parameters", "call", "outputs")
            and getattr(node, name) not in (None, (), False)
        }
        return next(iter(fields.values())) if len(fields) == 1 else fields
    if isinstance(node, tuple | list):
        return [_plain(part) for part in node]
    return node


def _table(
    columns: tuple[bd.Output, ...], rows: list[tuple[object, ...]] | tuple[tuple[object, ...], ...]
) -> list[str]:
    head = " | ".join(f"{column.name} {column.type}" for column in columns)
    body = [" | ".join(_cell(value) for value in row) for row in rows]
    return [head, *body, f"({len(rows)} row{'s' if len(rows) != 1 else ''})"]


def _cell(value: object) -> str:
    return "NULL" if value is None else repr(value)
