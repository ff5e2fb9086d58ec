"""The row route: SELECT over one dataset, by closures, without a thread or a wait.

1. the key access of the bound statement gets its values;
2. `Tables.scan` yields rows, WHERE keeps some;
3. aggregates, or sorting, OFFSET and LIMIT;
4. items are computed and handed out as Python values, lazily where nothing has to be sorted.
"""

from __future__ import annotations

from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import msgspec

from mfdb.kernel.errors import DataError
from mfdb.sql.aggregate import compile_aggregate
from mfdb.sql.bound import Field
from mfdb.sql.compile import compile_expression, order_key
from mfdb.sql.convert import to_python
from mfdb.sql.parameters import environment
from mfdb.sql.sieve import Sieve
from mfdb.sql.tables import Access, FullScan, IndexRange, KeyLookup, KeyRange
from mfdb.sql.types import to_storage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from mfdb.sql.bound import Bound, BoundSelect, KeyPart, Output, Sort, Source
    from mfdb.sql.catalogue import TableSchema
    from mfdb.sql.compile import Compiled, Environment
    from mfdb.sql.parameters import ExecutionContext, Given
    from mfdb.sql.tables import StoredRow, Tables

    _Keyed = tuple[list[Any], StoredRow | None]

_PLAIN = frozenset({"integer", "float", "text", "boolean", "bytes", "decimal", "json", "unknown"})
"""Families whose working values are what applications get."""
_FEW = 1_024
"""Rows that are sorted at once, at least, where only the first ones are wanted."""


class Result(msgspec.Struct):
    """The columns of an answer, and its rows as an iterator of tuples of Python values."""

    columns: tuple[Output, ...]
    rows: Iterator[tuple[object, ...]]


class CompiledSelect:
    """A bound SELECT with its closures: make it once, run it often."""

    def __init__(self, bound: BoundSelect) -> None:
        self._bound = bound
        self._items = [compile_expression(item) for item in bound.items]
        self._finish = finisher([item.type for item in bound.items])
        self._rows = CompiledSource(bound.source) if bound.source is not None else None
        access = bound.source.access if bound.source is not None else None
        order_by = () if access is not None and access.ordered else bound.order_by
        self._sorts = [(compile_expression(sort.expression), sort) for sort in order_by]
        self._aggregates = [compile_aggregate(aggregate) for aggregate in bound.aggregates]
        self._condition = _compiled(bound.condition)
        self._sieve = Sieve.of(bound)
        self._plain = _plain_places(bound)
        self._limit = _compiled(bound.limit)
        self._offset = _compiled(bound.offset)

    def run(self, tables: Tables, given: Given, context: ExecutionContext) -> Result:
        """Return the answer; rows are computed as they are taken.

        Raises:
            WrongParameters, DataError: now, or while rows are taken.
        """
        bound = self._bound
        about = environment(bound.parameters, given, context)
        first, last = self._window(about)
        rows = self._by_column(tables, about, last)
        if rows is None:
            rows = self._answer(self._found(tables, about), about, last)
        return Result(bound.outputs, islice(rows, first, last))

    @property
    def table(self) -> TableSchema:
        """The dataset of the query, which has one."""
        assert self._bound.source is not None
        return self._bound.source.table

    @property
    def wants_columns(self) -> bool:
        """Whether every row has to be looked at, to sum it up or to be put in order."""
        source = self._bound.source
        whole = source is not None and source.access is None
        return whole and bool(self._aggregates or self._sorts)

    def _by_column(
        self, tables: Tables, about: Environment, last: int | None
    ) -> Iterator[tuple[object, ...]] | None:
        """Return the answer out of blocks, or None where there are none or they do not help."""
        if self._sieve is None or self._rows is None:
            return None
        scan = tables.columns(self._rows.table)
        if scan is None:
            return None
        fresh = self._rows.kept(scan.fresh(), about)
        if not (self._sieve.is_whole and self._plain):
            return self._answer(chain(self._sieve.rows(scan, about), fresh), about, last)
        old: Iterator[Any] = self._sieve.items(scan, about, self._plain)
        done = old if self._finish is tuple else map(self._finish, old)
        return chain(done, (self._item(row, about) for row in fresh))

    def _found(self, tables: Tables, about: Environment) -> Iterable[StoredRow | None]:
        if self._rows is None:
            kept = self._condition is None or self._condition((), about) is True
            return (None,) if kept else ()
        return self._rows.rows(tables, about)

    def _answer(
        self, found: Iterable[StoredRow | None], about: Environment, last: int | None
    ) -> Iterator[tuple[object, ...]]:
        """Return the rows of the answer; nobody takes any after the `last` (None: all)."""
        if self._aggregates:
            about.aggregates = self._totals(found, about)
            found = (None,)
        if self._sorts and not self._aggregates:
            return self._sorted(found, about, last)
        return (self._item(row, about) for row in found)

    def _item(self, row: StoredRow | None, about: Environment) -> tuple[object, ...]:
        about.row = row
        values = row.values if row is not None else ()
        return self._finish([item(values, about) for item in self._items])

    def _totals(self, found: Iterable[StoredRow | None], about: Environment) -> list[Any]:
        running = [aggregate() for aggregate in self._aggregates]
        for row in found:
            about.row = row
            values = row.values if row is not None else ()
            for total in running:
                total.add(values, about)
        return [total.result() for total in running]

    def _sorted(
        self, found: Iterable[StoredRow | None], about: Environment, last: int | None
    ) -> Iterator[tuple[object, ...]]:
        """Sort the rows, or so many of them as a LIMIT lets pass: no more are held then."""
        keyed = self._keyed(found, about)
        kept = about.allowance.gather(keyed if last is None else islice(keyed, last))
        self._sort(kept)
        if last:
            while more := list(islice(keyed, max(last, _FEW))):
                kept += more
                self._sort(kept)
                del kept[last:]
        return (self._item(row, about) for _, row in kept)

    def _keyed(self, found: Iterable[StoredRow | None], about: Environment) -> Iterator[_Keyed]:
        for row in found:
            about.row = row
            values = row.values if row is not None else ()
            yield [key(values, about) for key, _ in self._sorts], row

    def _sort(self, keyed: list[_Keyed]) -> None:
        for index in reversed(range(len(self._sorts))):
            _sort_by(keyed, index, self._sorts[index][1])

    def _window(self, about: Environment) -> tuple[int, int | None]:
        first = _count(self._offset, about, self._bound.offset) or 0
        limit = _count(self._limit, about, self._bound.limit)
        return first, None if limit is None else first + limit


def _plain_places(bound: BoundSelect) -> tuple[int, ...]:
    """Return the columns that a query gives as they are stored, none if it does more than that."""
    if bound.aggregates or bound.order_by:
        return ()
    fields = [item for item in bound.items if type(item) is Field]
    if len(fields) < len(bound.items) or any(one.type.family == "decimal" for one in fields):
        return ()
    return tuple(one.index for one in fields)


def run_select(
    bound: BoundSelect, tables: Tables, given: Given, context: ExecutionContext
) -> Result:
    """Return the answer of a bound SELECT; keep a `CompiledSelect` to run it more than once."""
    return CompiledSelect(bound).run(tables, given, context)


def _sort_by(keyed: list[tuple[list[Any], Any]], index: int, sort: Sort) -> None:
    """Sort stably by one key: NULLs to their end, NaN above every number."""
    known = [pair for pair in keyed if pair[0][index] is not None]
    unknown = [pair for pair in keyed if pair[0][index] is None]
    known.sort(key=lambda pair: order_key(pair[0][index]), reverse=sort.descending)
    keyed[:] = unknown + known if sort.nulls_first else known + unknown


def _count(compiled: Compiled | None, about: Environment, bound: Bound | None) -> int | None:
    value = compiled((), about) if compiled is not None else None
    if value is None:
        return None
    if value < 0:
        position = bound.position if bound is not None else None
        raise DataError("LIMIT and OFFSET must not be negative", position=position)
    return min(int(value), 2**62)


def finisher(kinds: list[Any]) -> Callable[[list[Any]], tuple[object, ...]]:
    """Return the function that makes a result row of working values."""
    if all(kind.family in _PLAIN for kind in kinds):
        return tuple
    return lambda values: tuple(
        to_python(value, kind) for value, kind in zip(values, kinds, strict=True)
    )


class CompiledSource:
    """Which rows of a dataset a statement looks at and keeps."""

    def __init__(self, source: Source) -> None:
        self.table = source.table
        self._access = CompiledAccess(source.access) if source.access is not None else None
        self._where = compile_expression(source.where) if source.where is not None else None

    def rows(self, tables: Tables, about: Environment) -> Iterator[StoredRow]:
        """Return the rows that satisfy WHERE."""
        access = self.access(about)
        if access is None:
            return
        yield from self.kept(tables.scan(self.table, access), about)

    def kept(self, rows: Iterable[StoredRow], about: Environment) -> Iterator[StoredRow]:
        """Return those of some rows that satisfy WHERE."""
        where = self._where
        for row in rows:
            if where is not None:
                about.row = row
                if where(row.values, about) is not True:
                    continue
            yield row

    def access(self, about: Environment) -> Access | None:
        """Return how to find the rows, or None if there can be none."""
        return self._access.resolve(about) if self._access is not None else FullScan()


class CompiledAccess:
    """The key access of a statement, waiting for the values of its parameters."""

    def __init__(self, part: KeyPart) -> None:
        self._part = part
        self._equal = [compile_expression(bound) for bound in part.equal]
        self._low = _compiled(part.low)
        self._high = _compiled(part.high)
        self._choices = [compile_expression(bound) for bound in part.choices]

    def resolve(self, about: Environment) -> Access | None:
        """Return the access; None if a comparison with NULL leaves no row."""
        if self._choices:
            found = _chosen([choice((), about) for choice in self._choices])
            keys = tuple((to_storage(value),) for value in sorted(found))
            index = self._part.index
            return KeyLookup(keys) if index is None else IndexRange(index=index, prefixes=keys)
        prefix = tuple(to_storage(value((), about)) for value in self._equal)
        low = to_storage(self._low((), about)) if self._low is not None else None
        high = to_storage(self._high((), about)) if self._high is not None else None
        missing = (self._low is not None and low is None) or (
            self._high is not None and high is None
        )
        if missing or None in prefix:
            return None
        return self._found(prefix, low, high)

    def _found(self, prefix: tuple[Any, ...], low: Any, high: Any) -> Access:
        part = self._part
        if part.index is not None:
            return IndexRange(
                index=part.index,
                prefixes=(prefix,),
                low=low,
                low_open=part.low_open,
                high=high,
                high_open=part.high_open,
                reverse=part.reverse,
            )
        if part.whole:
            return KeyLookup((prefix,))
        return KeyRange(
            prefix=prefix,
            low=low,
            low_open=part.low_open,
            high=high,
            high_open=part.high_open,
            reverse=part.reverse,
        )


def _chosen(values: list[Any]) -> set[Any]:
    """Return the values that are looked for: each, or each of a list; NULL is never equal."""
    found: set[Any] = set()
    for value in values:
        if isinstance(value, frozenset):
            found |= value
        else:
            found.add(value)
    return found - {None}


def _compiled(bound: Bound | None) -> Compiled | None:
    return compile_expression(bound) if bound is not None else None
