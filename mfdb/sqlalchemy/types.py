"""SQLAlchemy's types as column types of mfdb, and back."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import types as sqltypes
from sqlalchemy.exc import CompileError
from sqlalchemy.sql import compiler, type_api
from sqlalchemy.sql import sqltypes as bases

_NUMBERS = re.compile(r"(?P<name>[A-Z ]+?)\s*(?:\((?P<numbers>[\d, ]+)\))?\Z")


class INTERVAL(type_api.NativeForEmulated, bases._AbstractInterval):
    """An interval that the database keeps, where SQLAlchemy would make a TIMESTAMP of it."""

    __visit_name__ = "INTERVAL"
    native = True

    @classmethod
    def adapt_emulated_to_native(cls, impl: Any, **kw: Any) -> INTERVAL:
        """Return this type for SQLAlchemy's Interval."""
        return cls()

    @property
    def _type_affinity(self) -> Any:
        return sqltypes.Interval


class JSON(sqltypes.JSON):
    """JSON, which the connection has made an object of already."""

    def result_processor(self, dialect: Any, coltype: Any) -> None:
        """Leave values as they come."""


class JSONPath(sqltypes.JSON.JSONPathType):
    """A way into JSON, as the operators take it: `{"a","b",0}`."""

    def bind_processor(self, dialect: Any) -> Any:
        """Return what writes a way as text."""
        return path_text

    def literal_processor(self, dialect: Any) -> Any:
        """Return what writes a way into a statement."""
        quoted = self.string_literal_processor(dialect)
        return lambda value: quoted(path_text(value))


def path_text(steps: Any) -> str:
    r"""Return a way into JSON as text; a text is one already.

    >>> print(path_text(("tags", 0, 'a "b"')))
    {"tags","0","a \"b\""}
    """
    if isinstance(steps, str):
        return steps
    written = (str(step).replace("\\", r"\\").replace('"', r"\"") for step in steps)
    return "{" + ",".join(f'"{step}"' for step in written) + "}"


class MfdbTypeCompiler(compiler.GenericTypeCompiler):
    """Writes column types."""

    def visit_FLOAT(self, type_: Any, **kw: Any) -> str:  # noqa: N802 - SQLAlchemy's name
        """A float of up to 24 bits is a REAL, as in PostgreSQL."""
        precision = getattr(type_, "precision", None)
        return "REAL" if precision is not None and precision <= 24 else "DOUBLE PRECISION"

    def visit_DOUBLE(self, type_: Any, **kw: Any) -> str:  # noqa: N802 - SQLAlchemy's name
        """Return DOUBLE PRECISION."""
        return "DOUBLE PRECISION"

    def visit_NUMERIC(self, type_: Any, **kw: Any) -> str:  # noqa: N802 - SQLAlchemy's name
        """Return DECIMAL with what is known of its digits."""
        if type_.precision is None:
            return "DECIMAL"
        return f"DECIMAL({type_.precision}, {type_.scale or 0})"

    visit_DECIMAL = visit_NUMERIC  # noqa: N815 - SQLAlchemy's name

    def visit_DATETIME(self, type_: Any, **kw: Any) -> str:  # noqa: N802 - SQLAlchemy's name
        """Return the type of a moment, with a zone or without."""
        return "TIMESTAMPTZ" if type_.timezone else "TIMESTAMP"

    visit_TIMESTAMP = visit_DATETIME  # noqa: N815 - SQLAlchemy's name

    def visit_TIME(self, type_: Any, **kw: Any) -> str:  # noqa: N802 - SQLAlchemy's name
        """Return the type of a time of day; there is none with a zone."""
        if type_.timezone:
            raise CompileError("mfdb has no times of day with a zone: use TIME or TIMESTAMPTZ")
        return "TIME"

    def visit_INTERVAL(self, type_: Any, **kw: Any) -> str:  # noqa: N802 - SQLAlchemy's name
        """Return INTERVAL."""
        return "INTERVAL"

    def visit_CHAR(self, type_: Any, **kw: Any) -> str:  # noqa: N802 - SQLAlchemy's name
        """Return VARCHAR: mfdb pads nothing."""
        return self._text(type_)

    visit_VARCHAR = visit_NCHAR = visit_NVARCHAR = visit_CHAR  # noqa: N815 - SQLAlchemy's names

    def visit_CLOB(self, type_: Any, **kw: Any) -> str:  # noqa: N802 - SQLAlchemy's name
        """Return TEXT."""
        return "TEXT"

    visit_NCLOB = visit_TEXT = visit_CLOB  # noqa: N815 - SQLAlchemy's names

    def visit_BLOB(self, type_: Any, **kw: Any) -> str:  # noqa: N802 - SQLAlchemy's name
        """Return BYTEA."""
        return "BYTEA"

    visit_BINARY = visit_VARBINARY = visit_BLOB  # noqa: N815 - SQLAlchemy's names

    def visit_large_binary(self, type_: Any, **kw: Any) -> str:
        """Return BYTEA."""
        return "BYTEA"

    def visit_JSON(self, type_: Any, **kw: Any) -> str:  # noqa: N802 - SQLAlchemy's name
        """Return JSON."""
        return "JSON"

    def visit_ARRAY(self, type_: Any, **kw: Any) -> str:  # noqa: N802 - SQLAlchemy's name
        """Return the type of arrays, which have one dimension."""
        if type_.dimensions not in (None, 1):
            raise CompileError("mfdb has arrays of one dimension: use JSON for lists of lists")
        return f"{self.process(type_.item_type, **kw)}[]"

    def visit_uuid(self, type_: Any, **kw: Any) -> str:
        """Return UUID."""
        return "UUID"

    visit_UUID = visit_uuid  # noqa: N815 - SQLAlchemy's name

    def _text(self, type_: Any) -> str:
        return f"VARCHAR({type_.length})" if type_.length else "TEXT"


_PLAIN: dict[str, Any] = {
    "SMALLINT": sqltypes.SMALLINT,
    "INTEGER": sqltypes.INTEGER,
    "BIGINT": sqltypes.BIGINT,
    "REAL": sqltypes.REAL,
    "DOUBLE PRECISION": sqltypes.DOUBLE_PRECISION,
    "TEXT": sqltypes.TEXT,
    "BOOLEAN": sqltypes.BOOLEAN,
    "BYTEA": sqltypes.LargeBinary,
    "DATE": sqltypes.DATE,
    "TIME": sqltypes.TIME,
    "INTERVAL": INTERVAL,
    "TIMESTAMP": sqltypes.TIMESTAMP,
    "JSON": sqltypes.JSON,
    "UUID": sqltypes.UUID,
    "IDENTITY": sqltypes.VARCHAR,
}


def reflected(text: str) -> Any:
    """Return SQLAlchemy's type for the text of a column type."""
    if text.endswith("[]"):
        return sqltypes.ARRAY(reflected(text.removesuffix("[]")))
    found = _NUMBERS.match(text)
    name = found["name"] if found else text
    numbers = (
        [int(one) for one in found["numbers"].split(",")] if found and found["numbers"] else []
    )
    if name in ("DECIMAL", "MFT"):
        precision, scale = (*numbers, None, None)[:2] if name == "DECIMAL" else (38, 18)
        return sqltypes.NUMERIC(precision, scale)
    if name == "VARCHAR":
        return sqltypes.VARCHAR(*numbers)
    if name == "TIMESTAMPTZ":
        return sqltypes.TIMESTAMP(timezone=True)
    return _PLAIN.get(name, sqltypes.NullType)()
