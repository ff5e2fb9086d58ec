"""COPY FROM: rows of a file or stream, page by page into one batch, by one prepared INSERT.

What an INSERT checks is checked, in the same words; an error also says which row and column it is
about. The caller writes the batch, or leaves it open: all rows come, or none.
"""

from __future__ import annotations

import tempfile
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mfdb.client.copying.csv_form import CsvReader
from mfdb.client.copying.json_form import read_array, read_lines
from mfdb.client.copying.options import CopyOptions, copy_options
from mfdb.client.copying.streams import CHUNK_BYTES, ReadSource, opened_source
from mfdb.kernel.errors import BadCopyData, MfdbError
from mfdb.sql import statement as st
from mfdb.sql.arrays import element_of
from mfdb.sql.bind import table_of
from mfdb.sql.convert import parse_text, to_python
from mfdb.sql.json_making import decoded
from mfdb.sql.types import SqlType, cut_short

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from mfdb.client.changes import Changes
    from mfdb.client.ground import Ground
    from mfdb.client.state import Batch
    from mfdb.sql.catalogue import ColumnSchema

    Progress = Callable[[int, int], object]
    Numbered = tuple[str, Sequence[Any]]

PAGE = 1_000
"""Rows that are planned at once."""
_AS_READ = frozenset({"text", "unknown"})


class Load:
    """One COPY FROM."""

    def __init__(self, ground: Ground, changes: Changes, statement: st.CopyFrom) -> None:
        self._ground = ground
        self._changes = changes
        self._statement = statement
        self._options = copy_options(statement.options, statement.path)
        self._columns = self._targets()
        self._insert = _insert(statement, self._columns)
        names = ", ".join(column.name for column in self._columns)
        self._text = f"\0COPY {statement.table} ({names})"
        self._source: ReadSource | None = None

    def into(self, batch: Batch, stream: Any, progress: Progress | None) -> int:
        """Note the rows of the file, or of a stream, in a batch; return how many.

        `progress` is called with the rows and bytes so far.

        Raises:
            BadCopyData, DataError, IntegrityError: a row is wrong; the message says which.
            OperationalError: the file cannot be read.
            StatementCancelled: somebody cancelled it.
        """
        count = 0
        with opened_source(self._statement.path, stream) as source:
            rows = self._rows(source)
            while page := list(islice(rows, PAGE)):
                self._ground.state.watch.check()
                self._plan(page, batch)
                count += len(page)
                if progress is not None:
                    progress(count, 0 if self._source is None else self._source.bytes_read)
        return count

    def _targets(self) -> list[ColumnSchema]:
        statement = self._statement
        with self._ground.state.replica.reading() as reading:
            table = table_of(statement.table, self._ground.catalogue(reading))
        if statement.columns is None:
            return list(table.columns)
        from mfdb.sql.bind_change import place_of

        return [table.columns[place_of(name, table)] for name in statement.columns]

    # ---- rows

    def _rows(self, source: Any) -> Iterator[Numbered]:
        """Yield what each row is called in errors, and its values as an application gives them."""
        if self._options.form == "parquet":
            yield from self._of_parquet(source)
            return
        self._source = ReadSource(source, self._options.encoding)
        chunks = self._source.chunks()
        if self._options.form == "csv":
            yield from self._of_csv(chunks, self._options)
            return
        read = read_array if self._options.form == "json" else read_lines
        what = "object" if self._options.form == "json" else "line"
        for number, found in read(chunks):
            yield f"{what} {number}", self._of_object(found, f"{what} {number}")

    def _of_csv(self, chunks: Iterable[str], options: CopyOptions) -> Iterator[Numbered]:
        columns = self._columns
        records = CsvReader(options).records(chunks)
        if options.header:
            columns = self._headed(next(records, None))
        casts = [_cast_text(column.type) for column in columns]
        order = [columns.index(column) for column in self._columns]
        number = 0
        for line, values in records:
            if not values:
                if len(columns) > 1:
                    continue  # an empty line
                values = [None if options.null == "" else ""]  # noqa: PLW2901 - the line's only value
            number += 1
            where = f"row {number} (line {line})"
            if len(values) != len(columns):
                raise BadCopyData(
                    f"{where} has {len(values)} values for {len(columns)} columns",
                    hint=f"columns: {', '.join(column.name for column in columns)}",
                )
            try:
                found = [
                    None if value is None else cast_text(value)
                    for value, cast_text in zip(values, casts, strict=True)
                ]
            except MfdbError:
                found = _one_by_one(values, casts, columns, where)
            yield where, [found[at] for at in order]

    def _headed(self, record: tuple[int, list[str | None]] | None) -> list[ColumnSchema]:
        """Return the columns in the order of a header; it must name just those that are loaded."""
        names = [(name or "").strip() for name in record[1]] if record is not None else []
        known = {column.name: column for column in self._columns}
        folded = {column.name.lower(): column for column in self._columns}
        found = [known.get(name) or folded.get(name.lower()) for name in names]
        columns = [column for column in found if column is not None]
        if len(columns) != len(names) or {id(one) for one in columns} != {
            id(one) for one in self._columns
        }:
            raise BadCopyData(
                f"the header names ({', '.join(names)}), the columns are ({', '.join(known)})",
                hint="name the columns that the file has: COPY t (a, b) FROM ...",
            )
        return columns

    def _of_object(self, found: dict[str, Any], where: str) -> list[Any]:
        names = {column.name for column in self._columns}
        unknown = next((key for key in found if key not in names), None)
        if unknown is not None:
            raise BadCopyData(
                f"{where} has a key {unknown}, which is no column",
                hint=f"columns: {', '.join(column.name for column in self._columns)}",
            )
        values: list[Any] = []
        for column in self._columns:
            try:
                values.append(_from_json(found.get(column.name), column.type))
            except MfdbError as error:
                raise _said(error, f"{where}, column {column.name}") from None
        return values

    def _of_parquet(self, source: Any) -> Iterator[Numbered]:
        from mfdb.client.copying.parquet_form import read_parquet

        if self._statement.path is not None:
            path = Path(self._statement.path).expanduser().resolve()
            yield from self._of_columns(*read_parquet(path))
            return
        with tempfile.TemporaryDirectory(prefix="mfdb-") as directory:
            spooled = Path(directory).resolve() / "stdin.parquet"
            with spooled.open("wb") as file:
                while chunk := source.read(CHUNK_BYTES):
                    file.write(chunk)
            yield from self._of_columns(*read_parquet(spooled))

    def _of_columns(self, names: list[str], rows: Iterator[tuple[Any, ...]]) -> Iterator[Numbered]:
        columns = self._headed((1, list(names)))
        order = [columns.index(column) for column in self._columns]
        for number, row in enumerate(rows, 1):
            where = f"row {number}"
            values = []
            for value, column in zip(row, columns, strict=True):
                try:
                    values.append(_from_parquet(value, column.type))
                except MfdbError as error:
                    raise _said(error, f"{where}, column {column.name}") from None
            yield where, [values[at] for at in order]

    # ---- planning

    def _plan(self, page: list[Numbered], batch: Batch) -> None:
        rows = [values for _, values in page]
        try:
            self._changes.plan(self._insert, rows, self._text, batch)
        except MfdbError as error:
            self._blame(error, page, batch)

    def _blame(self, error: MfdbError, page: list[Numbered], batch: Batch) -> None:
        """Raise the error of the first row that is wrong, with its place; the batch is lost."""
        for where, values in page[self._changes.noted :]:
            try:
                self._changes.plan(self._insert, [values], self._text, batch)
            except MfdbError as found:
                raise _said(found, where) from error
        raise error


def _insert(statement: st.CopyFrom, columns: list[ColumnSchema]) -> st.Insert:
    at = statement.position
    names = tuple(st.Name(position=at, text=column.name) for column in columns)
    values = tuple(st.Parameter(position=at, style="$", key=key) for key in range(len(columns)))
    return st.Insert(position=at, table=statement.table, columns=names, rows=(values,))


def _said(error: MfdbError, where: str) -> MfdbError:
    """Return an error that says where in the data it arose; a place in the text would mislead."""
    error.message = f"{where}: {error.message}"
    error.args = (error.message,)
    error.position = None
    return error


def _one_by_one(
    values: Sequence[str | None],
    casts: Sequence[Callable[[str], Any]],
    columns: Sequence[ColumnSchema],
    where: str,
) -> list[Any]:
    found = []
    for place, (value, cast_text, column) in enumerate(zip(values, casts, columns, strict=True), 1):
        try:
            found.append(None if value is None else cast_text(value))
        except MfdbError as error:
            raise _said(error, f"{where}, column {place} ({column.name})") from None
    return found


def _cast_text(kind: SqlType) -> Callable[[str], Any]:
    """Return what makes an application's value of a text."""
    if kind.family in _AS_READ and not kind.numbers:
        return str
    if kind.family == "integer":
        return lambda text: parse_text(text, kind)
    return lambda text: to_python(parse_text(text, kind), kind)


def _from_parquet(value: Any, kind: SqlType) -> Any:
    """Return an application's value of what Parquet says; its nested values come as JSON texts."""
    if kind.family == "array" and isinstance(value, str):
        value = decoded(value)
    return value if kind.family == "json" else _from_json(value, kind)


def _from_json(value: Any, kind: SqlType) -> Any:
    """Return an application's value of what JSON says."""
    if value is None:
        return None
    if kind.family == "json":
        import msgspec

        if isinstance(value, str):
            return msgspec.json.encode(value).decode()
        return msgspec.json.Encoder(decimal_format="number").encode(value).decode()
    if isinstance(value, str):
        return to_python(parse_text(value, kind), kind)
    if kind.family == "array" and isinstance(value, list):
        element = element_of(kind)
        return [_from_json(one, element) for one in value]
    if isinstance(value, dict | list):
        raise BadCopyData(
            f"{cut_short(value)} is no {kind}",
            hint="a column of JSON or of an array holds such values",
        )
    if kind.family == "text" and not isinstance(value, bool | bytes):
        return str(value)
    return value
