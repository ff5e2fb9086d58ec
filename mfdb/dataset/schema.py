"""Whether stored values fit a dataset's columns: what a stranger sealed may be anything at all.

The writer's own node judges more strictly (`mfdb.sql.types`); this is what reading must be able to
rely on whoever wrote.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from mfdb.rules.manifest import Ordering

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mfdb.rules.manifest import Column, Manifest

_DAY_US = 86_400_000_000
_DAYS = range(-719_162, 2_932_897)
"""Years 1 to 9999, in days since 1970."""
_MICROSECONDS = range(_DAYS.start * _DAY_US, _DAYS.stop * _DAY_US)
_INTERVAL = re.compile(
    r"\d{23}!(-?[1-9]\d{0,10}|0),(-?[1-9]\d{0,9}|0),(-?[1-9]\d{0,19}|0)\Z", re.ASCII
)
_DECIMAL = re.compile(r"-?\d{1,1001}(\.\d{1,1000})?\Z", re.ASCII)


_BY_VALUE = frozenset({"DECIMAL", "MFT", "INTERVAL"})
_TEXTS = frozenset({"TEXT", "VARCHAR", "JSON"})


def _integer(bounds: range) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and value in bounds


def _exact(kind: type) -> Callable[[Any], bool]:
    return lambda value: type(value) is kind


def _octets(size: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is bytes and len(value) == size


def _decimal(value: Any) -> bool:
    return type(value) is str and _DECIMAL.match(value) is not None


def _interval(value: Any) -> bool:
    return type(value) is str and _INTERVAL.match(value) is not None


def _never(_value: Any) -> bool:
    return False


_FITS: dict[str, Callable[[Any], bool]] = {
    "BOOLEAN": _exact(bool),
    "SMALLINT": _integer(range(-(2**15), 2**15)),
    "INTEGER": _integer(range(-(2**31), 2**31)),
    "BIGINT": _integer(range(-(2**63), 2**63)),
    "REAL": _exact(float),
    "DOUBLE PRECISION": _exact(float),
    "DECIMAL": _decimal,
    "MFT": _decimal,
    "TEXT": _exact(str),
    "VARCHAR": _exact(str),
    "JSON": _exact(str),
    "BYTEA": _exact(bytes),
    "DATE": _integer(_DAYS),
    "TIMESTAMP": _integer(_MICROSECONDS),
    "TIMESTAMPTZ": _integer(_MICROSECONDS),
    "TIME": _integer(range(_DAY_US)),
    "INTERVAL": _interval,
    "UUID": _octets(16),
    "IDENTITY": _octets(20),
}


def all_fit(manifest: Manifest, rows: Sequence[tuple[Any, ...]]) -> bool:
    """Return whether the values of many rows, in the order of the columns, fit all columns."""
    return all(
        _column_fits(column, values)
        for column, values in zip(manifest.columns, zip(*rows, strict=True), strict=True)
    )


def _column_fits(column: Column, values: Sequence[Any]) -> bool:
    found = set(map(type, values))
    if type(None) in found:
        if column.not_null:
            return False
        found.remove(type(None))
        values = [value for value in values if value is not None]
    fit, name = _fit_of(column.type), _plain_name(column.type)
    if found == {int} and name not in _BY_VALUE:
        return fit(min(values)) and fit(max(values))
    if found == {str} and name in _TEXTS:
        return True
    return all(map(fit, values))


@lru_cache(maxsize=256)
def _plain_name(kind: str) -> str:
    """Return the name of a type without its numbers, nothing of an array."""
    return "" if kind.endswith("[]") else kind.partition("(")[0]


@lru_cache(maxsize=256)
def _fit_of(kind: str) -> Callable[[Any], bool]:
    """Return what says whether a stored value is one of a column type."""
    fit = _FITS.get(kind.removesuffix("[]").partition("(")[0], _never)
    return _array(fit) if kind.endswith("[]") else fit


def _array(fit: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """An array is the canonical MessagePack of its elements, each NULL or of their type."""

    def fits_array(value: Any) -> bool:
        if type(value) is not bytes:
            return False
        try:
            elements = msgspec.msgpack.decode(value, type=list[Any])
        except (msgspec.DecodeError, RecursionError):
            return False
        if not all(one is None or fit(one) for one in elements):
            return False
        return msgspec.msgpack.encode(elements) == value

    return fits_array


def fitter(manifest: Manifest) -> Callable[[Mapping[str, Any]], str]:
    """Return what says why values do not fit the columns; an empty text if they do."""
    columns = [(column.name, _fit_of(column.type), column) for column in manifest.columns]

    def misfit(values: Mapping[str, Any]) -> str:
        for name, fit, column in columns:
            value = values.get(name)
            if value is None:
                if column.not_null:
                    return f"column {name} must not be NULL"
            elif not fit(value):
                return f"column {name} holds a {type(value).__name__} that is no {column.type}"
        return ""

    return misfit


def misfit(manifest: Manifest, values: Mapping[str, Any]) -> str:
    """Return why values do not fit the columns, or an empty text if they do."""
    return fitter(manifest)(values)


def has_key(manifest: Manifest) -> bool:
    """Return whether rows are found by a primary key (else by where they were first seen)."""
    return manifest.ordering is Ordering.OWNER and any(column.key for column in manifest.columns)


def fits(column: Column, value: object) -> bool:
    """Return whether a stored value is one of the column's type."""
    return _fit_of(column.type)(value)
