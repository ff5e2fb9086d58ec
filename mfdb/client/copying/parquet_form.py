"""Parquet, by a DuckDB of its own that may touch one file and nothing else.

Nothing of a statement reaches it: names of columns are quoted, the file is a parameter, and before
it is opened every other path, extension and setting is locked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mfdb.kernel.errors import BadCopyData, OperationalError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_ROWS = 1_000
_MEMORY = "512MB"
_TYPES = {
    "SMALLINT": "SMALLINT",
    "INTEGER": "INTEGER",
    "BIGINT": "BIGINT",
    "REAL": "FLOAT",
    "DOUBLE PRECISION": "DOUBLE",
    "BOOLEAN": "BOOLEAN",
    "BYTEA": "BLOB",
    "DATE": "DATE",
    "TIMESTAMP": "TIMESTAMP",
    "TIMESTAMPTZ": "TIMESTAMPTZ",
    "TIME": "TIME",
    "UUID": "UUID",
}
_DUCK_DIGITS = 38


def _confined(path: Path) -> Any:
    """Return a DuckDB that may touch this file only."""
    import duckdb

    connection = duckdb.connect(":memory:")
    quoted = str(path).replace("'", "''")
    for setting in (
        f"memory_limit = '{_MEMORY}'",
        "temp_directory = ''",
        "python_enable_replacements = false",
        "TimeZone = 'UTC'",
        "autoinstall_known_extensions = false",
        "autoload_known_extensions = false",
        "allow_community_extensions = false",
        f"allowed_paths = ['{quoted}']",
        "enable_external_access = false",
        "lock_configuration = true",
    ):
        connection.execute(f"SET {setting}")
    return connection


def read_parquet(path: Path) -> tuple[list[str], Iterator[tuple[Any, ...]]]:
    """Return the names of a file's columns, and its rows.

    Raises:
        BadCopyData: it is no such file, or holds what no column of ours can.
    """
    import duckdb

    connection = _confined(path)
    try:
        described = connection.execute(
            "DESCRIBE SELECT * FROM read_parquet(?)", [str(path)]
        ).fetchall()
    except duckdb.Error as error:
        connection.close()
        raise BadCopyData(f"{path.name} is no Parquet file: {_first(error)}") from error
    names = [str(row[0]) for row in described]
    items = ", ".join(_read_item(str(row[0]), str(row[1])) for row in described)

    def rows() -> Iterator[tuple[Any, ...]]:
        try:
            cursor = connection.execute(f"SELECT {items} FROM read_parquet(?)", [str(path)])
            while found := cursor.fetchmany(_ROWS):
                yield from found
        except duckdb.Error as error:
            raise BadCopyData(f"{path.name} cannot be read: {_first(error)}") from error
        finally:
            connection.close()

    return names, rows()


def _read_item(name: str, kind: str) -> str:
    quoted = _quoted(name)
    if kind == "TIMESTAMP WITH TIME ZONE":
        return f"CAST({quoted} AS TIMESTAMP)"  # in UTC, as the session's zone is
    if kind.startswith(("STRUCT", "MAP", "UNION")) or kind.endswith("]"):
        return f"CAST(to_json({quoted}) AS VARCHAR)"
    if kind.startswith("TIMESTAMP_"):
        return f"CAST({quoted} AS TIMESTAMP)"
    if kind in ("TIME", "INTERVAL", "BIT") or kind.startswith("ENUM"):
        return f"CAST({quoted} AS VARCHAR)"
    return quoted


def write_parquet(
    path: Path, names: Sequence[str], kinds: Sequence[str], rows: Iterator[Sequence[Any]]
) -> int:
    """Write rows of columns of these types; return how many.

    Raises:
        OperationalError: the file cannot be written.
    """
    import duckdb

    columns = ", ".join(
        f"{_quoted(name)} {_written_type(kind)}" for name, kind in zip(names, kinds, strict=True)
    )
    count = 0
    connection = _confined(path)
    try:
        connection.execute(f"CREATE TABLE t ({columns})")
        marks = ", ".join("?" for _ in names)
        page: list[Sequence[Any]] = []
        for row in rows:
            page.append(row)
            count += 1
            if len(page) == _ROWS:
                connection.executemany(f"INSERT INTO t VALUES ({marks})", page)
                page = []
        if page:
            connection.executemany(f"INSERT INTO t VALUES ({marks})", page)
        target = str(path).replace("'", "''")
        connection.execute(f"COPY t TO '{target}' (FORMAT parquet, USE_TMP_FILE false)")
    except duckdb.Error as error:
        raise OperationalError(f"cannot write {path.name}: {_first(error)}") from error
    finally:
        connection.close()
    return count


def _written_type(kind: str) -> str:
    if kind.endswith("[]"):
        return f"{_written_type(kind.removesuffix('[]'))}[]"
    if kind.startswith("DECIMAL("):
        digits = int(kind[8:].split(",", maxsplit=1)[0].rstrip(")"))
        return kind if digits <= _DUCK_DIGITS else "VARCHAR"
    return _TYPES.get(kind, "VARCHAR")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _first(error: Exception) -> str:
    return str(error).split("\n", 1)[0][:200]
