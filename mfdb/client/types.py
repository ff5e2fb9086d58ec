"""Type codes and constructors of the Python Database API (PEP 249)."""

from __future__ import annotations

import datetime

Date = datetime.date
Time = datetime.time
Timestamp = datetime.datetime
Binary = bytes


class TypeCode(str):
    """The SQL type of a result column; equal to the type object of its family."""

    __slots__ = ()


class TypeObject:
    """STRING, NUMBER and so on: equal to the codes of the types it stands for."""

    def __init__(self, *names: str) -> None:
        self._names = frozenset(names)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, TypeObject):
            return self._names == other._names
        return isinstance(other, str) and other.partition("(")[0] in self._names

    def __hash__(self) -> int:
        return hash(self._names)

    def __repr__(self) -> str:
        return f"TypeObject({', '.join(sorted(self._names))})"


STRING = TypeObject("TEXT", "VARCHAR", "UUID", "IDENTITY", "UNKNOWN")
BINARY = TypeObject("BYTEA")
NUMBER = TypeObject(
    "SMALLINT", "INTEGER", "BIGINT", "REAL", "DOUBLE PRECISION", "DECIMAL", "MFT", "BOOLEAN"
)
DATETIME = TypeObject("DATE", "TIMESTAMP", "TIMESTAMPTZ", "TIME", "INTERVAL")
ROWID = TypeObject()


def type_code(name: str) -> TypeCode:
    """Return the type code of a SQL type's text."""
    return TypeCode(name)


def DateFromTicks(ticks: float) -> datetime.date:  # noqa: N802 - PEP 249 names it so
    """Return the UTC date of a time in seconds since 1970."""
    return TimestampFromTicks(ticks).date()


def TimeFromTicks(ticks: float) -> datetime.time:  # noqa: N802 - PEP 249 names it so
    """Return the UTC time of day of a time in seconds since 1970."""
    return TimestampFromTicks(ticks).time()


def TimestampFromTicks(ticks: float) -> datetime.datetime:  # noqa: N802 - PEP 249 names it so
    """Return the UTC time of a time in seconds since 1970."""
    return datetime.datetime.fromtimestamp(ticks, datetime.UTC)
