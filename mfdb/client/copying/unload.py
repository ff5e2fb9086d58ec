"""COPY TO: the answer of a query, row by row, to a file or stream.

A file appears under its name when all of it is written, or not at all.
"""

from __future__ import annotations

import codecs
import tempfile
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mfdb.client.copying.csv_form import CsvWriter, texts_of
from mfdb.client.copying.json_form import JsonWriter
from mfdb.client.copying.options import copy_options
from mfdb.client.copying.streams import opened_sink, replacing
from mfdb.kernel.errors import OperationalError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mfdb.client.copying.load import Progress
    from mfdb.client.copying.streams import Sink
    from mfdb.client.streams import Stream
    from mfdb.sql import statement as st

PAGE = 1_000
"""Rows that are written at once."""


class Unload:
    """One COPY TO."""

    def __init__(self, statement: st.CopyTo) -> None:
        self._statement = statement
        self._options = copy_options(statement.options, statement.path)

    def write(self, answer: Stream, stream: Any, progress: Progress | None) -> int:
        """Write the rows of an answer to the file, or to a stream; return how many.

        Raises:
            OperationalError: the file cannot be written.
        """
        if self._options.form == "parquet":
            return self._parquet(answer, stream)
        count = written = 0
        with opened_sink(self._statement.path, stream) as sink:
            for count, data in self._pages(answer):
                sink.write(data)
                written += len(data)
                if progress is not None:
                    progress(count, written)
        return count

    def _pages(self, answer: Stream) -> Iterator[tuple[int, bytes]]:
        names = [column.name for column in answer.columns]
        kinds = [column.type for column in answer.columns]
        encode = _encoder(self._options.encoding)
        if self._options.form == "csv":
            writer: CsvWriter | JsonWriter = CsvWriter(self._options, names)
            row_of = _csv_row(writer, texts_of(kinds))
        else:
            writer = JsonWriter(names, kinds, array=self._options.form == "json")
            row_of = writer.row
        waiting, count = writer.begin(), 0
        while page := list(islice(answer.rows, PAGE)):
            count += len(page)
            yield count, encode(waiting + "".join(map(row_of, page)))
            waiting = ""
        yield count, encode(waiting + writer.end())

    def _parquet(self, answer: Stream, stream: Any) -> int:
        from mfdb.client.copying.parquet_form import write_parquet

        names = [column.name for column in answer.columns]
        kinds = [column.type for column in answer.columns]
        if self._statement.path is not None:
            target = Path(self._statement.path).expanduser().resolve()
            try:
                with replacing(target) as part:
                    return write_parquet(part, names, kinds, answer.rows)
            except OSError as error:
                raise OperationalError(f"cannot write {target}: {error.strerror}") from error
        with tempfile.TemporaryDirectory(prefix="mfdb-") as directory:
            part = Path(directory).resolve() / "stdout.parquet"
            count = write_parquet(part, names, kinds, answer.rows)
            with opened_sink(None, stream) as sink:
                _pass_on(part, sink)
        return count


def _pass_on(part: Path, sink: Sink) -> None:
    with part.open("rb") as file:
        while chunk := file.read(2**18):
            sink.write(chunk)


def _csv_row(
    writer: CsvWriter | JsonWriter, texts: list[Callable[[Any], str | None]]
) -> Callable[[Sequence[Any]], str]:
    return lambda row: writer.row([text(value) for text, value in zip(texts, row, strict=True)])


def _encoder(encoding: str) -> Callable[[str], bytes]:
    """Return what encodes one text after the other, with one mark of byte order at most."""
    encode = codecs.getincrementalencoder(encoding)().encode

    def encoded(text: str) -> bytes:
        try:
            return encode(text)
        except UnicodeEncodeError as error:
            letter = error.object[error.start]
            raise OperationalError(
                f"{encoding} has no {letter!r}", hint="ENCODING 'utf-8' has every letter"
            ) from None

    return encoded
