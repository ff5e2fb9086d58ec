"""COPY: every form there and back, what is wrong with a row, and all of a load or nothing."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as hy

import mfdb
from mfdb.kernel.errors import (
    BadCopyData,
    BatchFailed,
    DataError,
    DuplicateRow,
    InterfaceError,
    InvalidText,
    MfdbError,
    NotNullViolation,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    SchemaViolation,
    SqlSyntax,
    StatementCancelled,
    UnknownColumn,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mfdb.client.dbapi import Connection

COLUMNS = (
    "id INTEGER PRIMARY KEY, a TEXT, n DECIMAL(8,2), w TIMESTAMPTZ, d DATE, j JSON, b BYTEA, "
    "u UUID, f DOUBLE PRECISION, o BOOLEAN, s TIMESTAMP, m SMALLINT"
)
LETTERS = hy.characters(codec="utf-8", exclude_characters="\0\r")
ROWS = """INSERT INTO t VALUES
    (1, 'x, "y"\nz', 1.5, '2020-01-01 12:00:00.25+00', '1999-12-31', '{"a": [1, null]}',
     '\\x00ff', '12345678123456781234567812345678', 1e300, true, '1969-12-31 23:59:59', -7),
    (2, '', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    (3, NULL, -1000, NULL, NULL, '"s"', '', NULL, 'NaN', false, NULL, 0),
    (4, 'NULL', 0.01, NULL, NULL, '3.10', NULL, NULL, '-Infinity', NULL, NULL, 32767)"""


@pytest.fixture
def database() -> Iterator[Connection]:
    with mfdb.connect(":memory:", autocommit=True) as connection:
        connection.execute(f"CREATE TABLE t ({COLUMNS})")
        connection.execute("CREATE TABLE p (id INTEGER PRIMARY KEY, a TEXT NOT NULL, n INTEGER)")
        yield connection


def count(database: Connection, table: str = "p") -> object:
    return database.execute(f"SELECT count(*) FROM {table}").fetchone() or ()


def load(database: Connection, data: bytes | str, options: str = "") -> int:
    stream = io.BytesIO(data) if isinstance(data, bytes) else io.StringIO(data)
    return database.copy(f"COPY p (id, a, n) FROM STDIN {options}", stream).rowcount


def unload(database: Connection, text: str) -> bytes:
    sink = io.BytesIO()
    database.copy(text, sink)
    return sink.getvalue()


@pytest.mark.parametrize(
    "options",
    [
        "FORMAT csv",
        "FORMAT csv, HEADER, DELIMITER '|', QUOTE '''', NULL 'nothing'",
        "FORMAT csv, ESCAPE '\\', ENCODING 'utf-16'",
        "FORMAT json",
        "FORMAT jsonl",
        "FORMAT parquet",
    ],
)
def test_every_type_comes_back_in_every_form(database: Connection, options: str) -> None:
    database.execute(ROWS)
    data = unload(database, f"COPY t TO STDOUT ({options})")
    database.execute(f"CREATE TABLE back ({COLUMNS})")
    assert database.copy(f"COPY back FROM STDIN ({options})", io.BytesIO(data)).rowcount == 4
    shown = "SELECT * FROM {} ORDER BY id"
    there, back = (
        [tuple(str(value).replace(" ", "") for value in row) for row in database.execute(text)]
        for text in (shown.format("t"), shown.format("back"))
    )
    assert back == there


def test_files_are_named_by_their_form_and_appear_whole(
    database: Connection, tmp_path: Path
) -> None:
    database.execute(ROWS)
    for ending in ("csv", "json", "jsonl", "parquet"):
        path = tmp_path / f"it's.{ending}"
        quoted = str(path).replace("'", "''")
        assert database.execute(f"COPY (SELECT id, a FROM t) TO '{quoted}'").rowcount == 4
        database.execute("DELETE FROM p")
        query = f"COPY p (id, a) FROM '{quoted}'"
        with pytest.raises(NotNullViolation):
            database.execute(query)
        database.execute(f"COPY (SELECT id, a FROM t WHERE a > '') TO '{quoted}'")
        assert database.execute(query).rowcount == 2
    assert sorted(one.suffix for one in tmp_path.iterdir()) == [
        ".csv",
        ".json",
        ".jsonl",
        ".parquet",
    ]
    before = (tmp_path / "it's.csv").read_bytes()
    with pytest.raises(DataError):
        database.execute(f"COPY (SELECT 1 / 0) TO '{tmp_path}/it''s.csv'")
    with pytest.raises(OperationalError):
        database.execute(f"COPY (SELECT 'ö') TO '{tmp_path}/it''s.csv' (ENCODING 'ascii')")
    assert (tmp_path / "it's.csv").read_bytes() == before


def test_what_postgresql_writes_is_what_we_write(database: Connection) -> None:
    database.execute("INSERT INTO p VALUES (1, 'a', NULL), (2, '', 7), (3, 'b\"c,\n', 8)")
    assert unload(database, "COPY p TO STDOUT CSV HEADER") == (
        b'id,a,n\n1,a,\n2,"",7\n3,"b""c,\n",8\n'
    )
    assert unload(database, "COPY (SELECT id, a FROM p WHERE id < 3) TO STDOUT (FORMAT json)") == (
        b'[\n{"id": 1, "a": "a"},\n{"id": 2, "a": ""}\n]\n'
    )
    assert unload(database, "COPY (SELECT 1.10, true, 'x') TO STDOUT (FORMAT jsonl)") == (
        b'{"?column?": 1.10, "?column?": true, "?column?": "x"}\n'
    )
    text = io.StringIO()
    database.copy("COPY p (a) TO STDOUT (FORMAT csv, DELIMITER ';', NULL 'a')", text)
    assert text.getvalue() == '"a"\n""\n'.replace('""\n', "\n") + '"b""c,\n"\n'


def test_lines_may_end_and_values_may_be_quoted_as_they_like(database: Connection) -> None:
    data = '\ufeffn,ID,a\r\n"7",1,"x"\r\n\r\n,2,"a ""b"",\r\nc"\r\n9,3,""'
    assert load(database, data, "CSV HEADER") == 3
    rows = database.execute("SELECT * FROM p ORDER BY id").fetchall()
    assert rows == [(1, "x", 7), (2, 'a "b",\nc', None), (3, "", 9)]


@settings(max_examples=60, deadline=None)
@given(
    hy.lists(
        hy.tuples(
            hy.one_of(
                hy.none(),
                hy.text(hy.characters(codec="utf-8", exclude_characters="\0\r"), max_size=6),
            ),
            hy.one_of(hy.none(), hy.text(hy.sampled_from("\"'\\,;|\nNx"), max_size=5)),
        ),
        max_size=5,
    ),
    hy.sampled_from([",", ";", "|", "\t"]),
    hy.sampled_from(['"', "'"]),
    hy.sampled_from(["", "\\", "^"]),
    hy.sampled_from(["", "N", "NULL"]),
)
def test_any_text_comes_back_from_csv(
    rows: list[tuple[str | None, str | None]], delimiter: str, quote: str, escape: str, null: str
) -> None:
    from mfdb.client.copying.csv_form import CsvReader, CsvWriter
    from mfdb.client.copying.options import CopyOptions

    options = CopyOptions(delimiter=delimiter, quote=quote, escape=escape, null=null)
    text = "".join(map(CsvWriter(options, ["a", "b"]).row, rows))
    pieces = [text[at : at + 3] for at in range(0, len(text), 3)]
    found = [tuple(values) for _, values in CsvReader(options).records(pieces)]
    assert found == rows


@pytest.mark.parametrize(
    ("data", "said", "kind"),
    [
        (b"1,a,2\nx,b,3\n", "row 2 (line 2), column 1 (id): 'x' is no INTEGER", InvalidText),
        (b"1,a,2\n2,b,99999999999\n", "row 2 (line 2), column 3 (n): ", DataError),
        (b"1,a,2\n2,b\n", "row 2 (line 2) has 2 values for 3 columns", BadCopyData),
        (b'1,"a\nb",2\n2,b,3,4\n', "row 2 (line 3) has 4 values for 3 columns", BadCopyData),
        (b"1,a,2\n2,,3\n", "row 2 (line 2): column a of p needs a value", NotNullViolation),
        (b"1,a,2\n1,b,3\n", "row 2 (line 2): dataset p has a row with", DuplicateRow),
        (b'1,a,2\n2,"b,3\n', "a quote that line 2 opens is not closed", BadCopyData),
        (b'1,a,2\n2,b"c",3\n', "line 2: value 2 is quoted only in part", BadCopyData),
        (b'1,a,2\n2,"b"c,3\n', "line 2: value 2 is quoted only in part", BadCopyData),
        (b"1,a,2\n2,\xff,3\n", "byte 8 (0xff) is no utf-8", BadCopyData),
        (b"1,a,2\n2,\xc3", "byte 8 (0xc3) is no utf-8", BadCopyData),
    ],
)
def test_a_wrong_row_is_named_and_nothing_of_it_is_kept(
    database: Connection, data: bytes, said: str, kind: type[MfdbError]
) -> None:
    with pytest.raises(kind) as caught:
        load(database, data)
    assert caught.value.message.startswith(said)
    assert count(database) == (0,)
    assert load(database, b"1,a,2\n") == 1


@pytest.mark.parametrize(
    ("form", "data", "said"),
    [
        ("jsonl", '{"id": 1, "a": "x"}\n{"id": 2', "line 2 is no JSON"),
        ("jsonl", "[1]", "line 1 is no object"),
        ("jsonl", '{"id": 1, "b": "x"}', "line 1 has a key b, which is no column"),
        ("jsonl", '{"id": "q", "a": "x"}', "line 1, column id: 'q' is no INTEGER"),
        ("jsonl", '{"id": [1], "a": "x"}', "line 1, column id: [1] is no INTEGER"),
        ("json", '{"id": 1}', "the text is no array of objects"),
        ("json", '[{"id": 1, "a": "x"}, 7]', "object 2 is no object"),
        ("json", '[{"id": 1, "a": "x"}', "neither a comma nor ] follows object 1"),
        ("json", '[{"id": 1, "a": "x"},]', "nothing follows the comma after object 1"),
        ("json", '[{"id": 1, "a": "x"}] x', "something follows the array"),
        ("json", '[{"id": 1, "a": "x"}, {"id": ', "object 2 is no JSON"),
        ("json", '[{"id": 1, "a": "x"}, {"id": 1.5, "a": "y"}]', "object 2: parameter 1: "),
        ("json", "[" * 100_000, "object 1 is nested deeper than 256 levels"),
        ("json", '[{"id": 1, "a": ' + "[" * 300 + "]" * 300 + "}]", "object 1 is nested deeper"),
        ("jsonl", "[{" * 200, "line 1 is nested deeper than 256 levels"),
        ("parquet", "PAR1 not quite", "stdin.parquet is no Parquet file"),
    ],
)
def test_a_wrong_object_is_named(database: Connection, form: str, data: str, said: str) -> None:
    with pytest.raises(DataError) as caught:
        load(database, data.encode(), f"(FORMAT {form})")
    assert caught.value.message.startswith(said)
    assert count(database) == (0,)


def test_numbers_of_json_stay_exact(database: Connection) -> None:
    for form, data in (("json", '[{"id": 8, "n": 123456.78}]'), ("jsonl", '{"id": 9, "n": 0.10}')):
        database.copy(f"COPY t (id, n) FROM STDIN (FORMAT {form})", io.StringIO(data))
    rows = database.execute("SELECT id, n FROM t ORDER BY id").fetchall()
    assert [(one, str(other)) for one, other in rows] == [(8, "123456.78"), (9, "0.10")]


def test_wrong_columns_at_row_10001_import_nothing(database: Connection) -> None:
    lines = [f"{number},name,{number}\n" for number in range(1, 10_001)]
    with pytest.raises(BadCopyData) as caught:
        load(database, "".join([*lines, "10001,name\n"]))
    assert caught.value.message == "row 10001 (line 10001) has 2 values for 3 columns"
    assert count(database) == (0,)
    with pytest.raises(DuplicateRow) as again:
        load(database, "".join([*lines, "7,name,1\n"]))
    assert again.value.message.startswith("row 10001 (line 10001): ")
    assert count(database) == (0,)


def test_values_of_ten_megabytes_go_in_and_out(database: Connection) -> None:
    value = 'long "text",\n' * (10 * 2**20 // 13)
    assert load(database, '1,"' + value.replace('"', '""') + '",\n') == 1
    assert database.execute("SELECT a FROM p").fetchone() == (value,)
    sink = io.BytesIO()
    database.copy("COPY p TO STDOUT (FORMAT json)", sink)
    database.execute("DELETE FROM p")
    assert load(database, sink.getvalue(), "(FORMAT json)") == 1
    assert database.execute("SELECT a FROM p").fetchone() == (value,)


def test_a_load_is_part_of_the_open_batch(database: Connection) -> None:
    database.execute("BEGIN")
    assert load(database, "1,a,2\n2,b,3\n") == 2
    database.execute("SAVEPOINT s")
    with pytest.raises(DuplicateRow):
        load(database, "3,a,2\n1,b,3\n")
    with pytest.raises(BatchFailed):
        load(database, "3,a,2\n")
    database.execute("ROLLBACK TO s")
    assert load(database, "3,c,4\n") == 1
    database.execute("COMMIT")
    assert database.execute("SELECT id FROM p ORDER BY id").fetchall() == [(1,), (2,), (3,)]


def test_checks_and_defaults_are_those_of_an_insert(database: Connection) -> None:
    database.execute(
        "CREATE TABLE c (id INTEGER PRIMARY KEY, n INTEGER CHECK (n < 9), d TEXT DEFAULT 'x')"
    )
    rows = "".join(f"{number},{number % 9}\n" for number in range(50))
    database.copy("COPY c (id, n) FROM STDIN", io.StringIO(rows))
    assert database.execute("SELECT DISTINCT d FROM c").fetchall() == [("x",)]
    with pytest.raises(SchemaViolation) as caught:
        database.copy("COPY c (id, n) FROM STDIN", io.StringIO("60,1\n61,9\n"))
    assert caught.value.message.startswith("row 2 (line 2): a row of c violates CHECK")


def test_progress_is_told_and_a_cancelled_load_keeps_nothing(database: Connection) -> None:
    data = "".join(f"{number},name,\n" for number in range(5_000))
    told: list[tuple[int, int]] = []
    text = "COPY p FROM STDIN"
    database.copy(text, io.StringIO(data), progress=lambda *so_far: told.append(so_far))
    assert [rows for rows, _ in told] == [1_000, 2_000, 3_000, 4_000, 5_000]
    assert told[-1][1] == len(data)
    database.execute("DELETE FROM p")

    def cancel(_rows: int, _bytes: int) -> None:
        database.cancel()

    def give_up(_rows: int, _bytes: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(StatementCancelled):
        database.copy(text, io.StringIO(data), progress=cancel)
    with pytest.raises(KeyboardInterrupt):
        database.copy(text, io.StringIO(data), progress=give_up)
    assert count(database) == (0,)
    assert load(database, data) == 5_000


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("COPY p FROM STDIN (FORMAT text)", NotSupportedError),
        ("COPY p FROM STDIN (FORMAT xml)", SqlSyntax),
        ("COPY p FROM STDIN (DELIMITER ',,')", SqlSyntax),
        ("COPY p FROM STDIN (DELIMITER '\"')", SqlSyntax),
        ("COPY p FROM STDIN (NULL ',')", SqlSyntax),
        ("COPY p FROM STDIN (ENCODING 'klingon')", SqlSyntax),
        ("COPY p FROM STDIN (ENCODING 'base64')", SqlSyntax),
        ("COPY p FROM STDIN (HEADER maybe)", SqlSyntax),
        ("COPY p FROM STDIN (FREEZE)", SqlSyntax),
        ("COPY p FROM STDIN (FORMAT json, HEADER)", SqlSyntax),
        ("COPY p FROM STDIN (DELIMITER 7)", SqlSyntax),
        ("COPY p (nix) FROM STDIN", UnknownColumn),
        ("SELECT 1", ProgrammingError),
    ],
)
def test_what_copy_cannot_mean_is_said(
    database: Connection, text: str, kind: type[MfdbError]
) -> None:
    with pytest.raises(kind) as caught:
        database.copy(text, io.BytesIO(b"1,a,2\n"))
    assert type(caught.value) is kind


def test_streams_and_files_that_are_missing_are_named(database: Connection, tmp_path: Path) -> None:
    for text in ("COPY p FROM STDIN", "COPY p TO STDOUT"):
        with pytest.raises(InterfaceError):
            database.execute(text)
    for text in (f"COPY p FROM '{tmp_path}/none'", f"COPY p TO '{tmp_path}/none/x.csv'"):
        with pytest.raises(OperationalError, match=str(tmp_path)):
            database.execute(text)
    with pytest.raises(OperationalError):
        database.execute(f"COPY p TO '{tmp_path}/none/x.parquet'")


def test_uncommitted_loads_go_with_the_connection_without_autocommit(tmp_path: Path) -> None:
    with mfdb.connect(tmp_path) as database:
        database.execute("CREATE TABLE p (id INTEGER PRIMARY KEY, a TEXT, n INTEGER)")
        database.copy("COPY p FROM STDIN", io.StringIO("1,a,2\n"))
        database.rollback()
        assert count(database) == (0,)
        database.cursor().copy("COPY p FROM STDIN", io.StringIO("1,a,2\n"))
    with mfdb.connect(tmp_path) as database:
        assert count(database) == (1,)


def test_the_asyncio_api_copies_too() -> None:
    async def main() -> bytes:
        async with await mfdb.aio.connect(":memory:") as database:
            await database.execute("CREATE TABLE p (id INTEGER PRIMARY KEY, a TEXT)")
            result = await database.copy("COPY p FROM STDIN", io.BytesIO(b"1,a\n2,b\n"))
            assert (result.tag, result.count) == ("COPY 2", 2)
            sink = io.BytesIO()
            await database.copy("COPY (SELECT a FROM p WHERE id = ?) TO STDOUT", sink, [2])
            return sink.getvalue()

    assert asyncio.run(main()) == b"b\n"


LOADER = """
import sys, mfdb
class Slow:
    left = 30
    def read(self, _):
        self.left -= 1
        if self.left == 15:
            print("half", flush=True)
        rows = range(self.left * 200, self.left * 200 + 200)
        return "".join(f"{n},name {n},{n}\\n" for n in rows) if self.left >= 0 else ""
with mfdb.connect(sys.argv[1], autocommit=True) as database:
    print("open", flush=True)
    database.copy("COPY p FROM STDIN", Slow())
    print("done", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("mark", ["open", "half", "done"])
def test_a_load_that_is_killed_is_all_there_or_not_at_all(tmp_path: Path, mark: str) -> None:
    with mfdb.connect(tmp_path, autocommit=True) as database:
        database.execute("CREATE TABLE p (id INTEGER PRIMARY KEY, a TEXT, n INTEGER)")
    child = subprocess.Popen(
        [sys.executable, "-c", LOADER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    while child.stdout.readline().strip() != mark:
        assert child.poll() is None
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    with mfdb.connect(tmp_path, autocommit=True) as database:
        found = count(database)
        assert found in ((0,), (6_000,))
        assert found == (6_000,) or mark != "done"
        assert database.execute("CHECK DATABASE").fetchall() is not None
