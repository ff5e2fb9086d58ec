"""A block asked at once gives the rows that each row asked alone gives."""

from __future__ import annotations

import datetime
import math
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mfdb.dataset.blocks.columns import Column, array_of, coded
from mfdb.dataset.blocks.run import MergedColumn
from mfdb.kernel.ids import Address
from mfdb.sql import bound as bd
from mfdb.sql.bind import bind
from mfdb.sql.execute import CompiledSelect
from mfdb.sql.parameters import ExecutionContext
from mfdb.sql.parse import parse
from mfdb.sql.sieve import Sieve
from mfdb.sql.tables import RowInsert
from mfdb.testing.memory_tables import MemoryTables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mfdb.sql.catalogue import TableSchema
    from mfdb.sql.tables import ColumnScan, StoredRow

ALICE = Address(b"a" * 20)
CONTEXT = ExecutionContext(identity=ALICE, now=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC))
CREATE = (
    "CREATE TABLE t (k INTEGER PRIMARY KEY, n BIGINT, x DOUBLE PRECISION, s TEXT, b BOOLEAN, "
    "o BYTEA, d DECIMAL(5, 1), y DATE)"
)
KINDS = ("int64", "int64", "float64", "utf8", "bool", "binary", "utf8", "int64")

rows = st.lists(
    st.tuples(
        st.one_of(st.none(), st.integers(-2, 2), st.sampled_from([2**63 - 1, -(2**63)])),
        st.sampled_from([None, math.nan, math.inf, -math.inf, 0.0, -0.0, 1.5]),
        st.sampled_from([None, "", "a", "b", "A", "ä", "z\N{GRINNING FACE}", "ab%"]),
        st.sampled_from([None, True, False]),
        st.sampled_from([None, b"", b"\x00", b"a"]),
        st.sampled_from([None, "1.0", "-2.5", "10.0"]),
        st.sampled_from([None, 0, 1, 19_000]),
    ),
    max_size=12,
)
signs = st.sampled_from(["=", "<>", "<", "<=", ">", ">="])
values = {
    "n": ["0", "1", "-2", "9223372036854775807", "1.5", "NULL"],
    "x": ["0", "1.5", "'NaN'", "'Infinity'", "'-Infinity'", "NULL"],
    "s": ["'a'", "''", "'ä'", "'b'", "NULL"],
    "b": ["true", "false"],
    "o": ["'\\x61'", "'\\x00'"],
    "d": ["1", "1.00", "-2.5", "NULL"],
    "y": ["'1970-01-02'", "'2022-01-08'"],
}


@st.composite
def conditions(draw: st.DrawFn) -> str:
    column = draw(st.sampled_from(sorted(values)))
    value = draw(st.sampled_from(values[column]))
    others = ", ".join(values[column])
    simple = draw(
        st.sampled_from(
            [
                f"{column} {draw(signs)} {value}",
                f"{value} {draw(signs)} {column}",
                f"{column} IN ({others})",
                f"{column} IS NULL",
                f"NOT ({column} {draw(signs)} {value})",
                f"({column} = {value} OR {column} IS NULL)",
                "b",
                "s LIKE 'a%'",
                "k <> n",
            ]
        )
    )
    if draw(st.booleans()):
        return simple
    return f"{simple} AND {draw(conditions())}"


class Blocks:
    """Rows by column, in blocks of four, as a `ColumnScan`."""

    def __init__(self, stored: list[StoredRow], outdated: tuple[int, ...]) -> None:
        self.rows = len(stored)
        self.blocks = [
            Part(stored[at : at + 4], tuple(i - at for i in outdated if at <= i < at + 4))
            for at in range(0, len(stored), 4)
        ]

    def column(self, block: Part, place: int) -> Column:
        array = array_of([row.values[place] for row in block.part], KINDS[place])
        return Column(coded(array) if KINDS[place] == "utf8" and block.coded else array)

    @property
    def runs(self) -> list[Group]:
        return [Group(self.blocks[at : at + 2]) for at in range(0, len(self.blocks), 2)]

    def merged(self, run: Group, place: int) -> MergedColumn:
        return MergedColumn([self.column(part, place) for part in run.parts])

    def derived(self, block: Part, place: int, name: str, make: Any) -> Any:
        del name
        return make(self.column(block, place))

    def fresh(self) -> Iterator[StoredRow]:
        return iter(())

    def kept(self, name: Any, make: Any) -> Any:
        del name
        return make()


class Part:
    def __init__(self, part: list[StoredRow], outdated: tuple[int, ...]) -> None:
        self.part = part
        self.outdated = outdated
        self.coded = len(part) % 2 == 0

    @property
    def size(self) -> int:
        return len(self.part)


class Group:
    def __init__(self, parts: list[Part]) -> None:
        self.parts = parts
        self.size = sum(part.size for part in parts)
        self.outdated = tuple(
            4 * number + at for number, part in enumerate(parts) for at in part.outdated
        )


class WithBlocks(MemoryTables):
    """Tables in memory whose rows stand in blocks as well, if wanted."""

    scan_of: ColumnScan | None = None

    def columns(self, table: TableSchema) -> Any:
        del table
        return self.scan_of


def filled(found: list[tuple[Any, ...]]) -> WithBlocks:
    tables = WithBlocks(ALICE)
    made = bind(parse(CREATE), tables)
    assert isinstance(made, bd.BoundCreate)
    table = tables.create(made)
    for key, row in enumerate(found):
        inserted = RowInsert((key, *row))
        tables.apply(_mutation(table, inserted), ALICE)
    return tables


def _mutation(table: TableSchema, change: RowInsert) -> Any:
    from mfdb.sql.tables import Mutation

    return Mutation(table=table, changes=(change,), count=1, columns=(), rows=())


@given(rows, conditions(), st.sets(st.integers(0, 11)), st.sampled_from(["k, s, x", "k, n + 0, d"]))
@settings(max_examples=150, deadline=None)
def test_blocks_and_rows_answer_alike(
    found: list[tuple[Any, ...]], where: str, gone: set[int], items: str
) -> None:
    tables = filled(found)
    where = where.replace("n + 0", "n")
    text = f"SELECT {items} FROM t WHERE {where} AND (n IS NULL OR n < 9223372036854775807)"
    bound = bind(parse(text), tables)
    assert isinstance(bound, bd.BoundSelect)
    select = CompiledSelect(bound)
    stored = list(tables._rows["t"].values())
    expected = [row for row in select.run(tables, (), CONTEXT).rows if row[0] not in gone]
    tables.scan_of = Blocks(stored, tuple(sorted(gone & set(range(len(stored))))))
    assert repr(list(select.run(tables, (), CONTEXT).rows)) == repr(expected)


def test_which_conditions_blocks_are_asked() -> None:
    tables = filled([])

    def sieve(where: str) -> Sieve | None:
        bound = bind(parse(f"SELECT k FROM t WHERE {where}"), tables)
        assert isinstance(bound, bd.BoundSelect)
        return Sieve.of(bound)

    def is_whole(where: str) -> bool:
        found = sieve(where)
        assert found is not None
        return found.is_whole

    assert is_whole("s = 'a' AND n >= 0")
    assert not is_whole("s = 'a' AND 1 / n = 1")
    assert not is_whole("s = 'a' AND n <> k")
    assert sieve("1 / n = 1 AND s = 'a'") is None
    assert sieve("k = 1") is None
