"""Results as Arrow tables and data frames.

arro3 makes the Arrow table; whoever reads the Arrow PyCapsule interface (pyarrow, polars, pandas,
DuckDB) takes it without a copy. DECIMAL becomes decimal128 or decimal256 where its digits fit;
UUID, IDENTITY and JSON become text, arrays lists; times are in microseconds.
"""

from __future__ import annotations

import datetime
from decimal import Decimal
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from mfdb.kernel.errors import NotSupportedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from mfdb.client.results import Column

    Rows = Sequence[tuple[Any, ...]]

_EPOCH_DAY = datetime.date(1970, 1, 1).toordinal()
_EPOCH = datetime.datetime(1970, 1, 1)
_EPOCH_UTC = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)
_DIGITS_128, _DIGITS_256 = 38, 76


def to_arrow(columns: Sequence[Column], rows: Rows) -> Any:
    """Return a `pyarrow.Table` where pyarrow is installed, else an `arro3.core.Table`."""
    import arro3.core as arrow

    turned: Sequence[Sequence[Any]] = list(zip(*rows, strict=True)) or [() for _ in columns]
    arrays = [_array(column.type, values) for column, values in zip(columns, turned, strict=True)]
    table = arrow.Table.from_arrays(arrays, names=_distinct(columns))
    if find_spec("pyarrow") is None:
        return table
    import pyarrow

    return pyarrow.table(table)


def to_pandas(columns: Sequence[Column], rows: Rows) -> Any:
    """Return a `pandas.DataFrame`; values are Python's own where pandas has no type for them.

    Raises:
        NotSupportedError: pandas is not installed.
    """
    _need("pandas")
    import pandas

    names = _distinct(columns)
    return pandas.DataFrame.from_records(list(rows), columns=names)


def to_polars(columns: Sequence[Column], rows: Rows) -> Any:
    """Return a `polars.DataFrame`.

    Raises:
        NotSupportedError: polars is not installed.
    """
    _need("polars")
    import polars

    return polars.DataFrame(to_arrow(columns, rows))


def _need(package: str) -> None:
    if find_spec(package) is None:
        raise NotSupportedError(
            f"{package} is not installed", hint=f"pip install 'mfdb[{package}]'"
        )


def _distinct(columns: Sequence[Column]) -> list[str]:
    """Return column names of which no two are equal: the second `a` becomes `a_2`."""
    names: list[str] = []
    for column in columns:
        name, number = column.name, 1
        while name in names:
            number += 1
            name = f"{column.name}_{number}"
        names.append(name)
    return names


def _lists(kind: str, values: Sequence[Any]) -> Any:
    """Return the Arrow array of a column of arrays of a SQL type."""
    import arro3.core as arrow
    import numpy as np

    sizes = np.array([0, *(0 if one is None else len(one) for one in values)], dtype=np.int32)
    missing = np.array([one is None for one in values], dtype=bool)
    elements = [element for one in values if one is not None for element in one]
    return arrow.list_array(
        arrow.Array.from_numpy(np.cumsum(sizes, dtype=np.int32)),
        _array(kind, elements),
        mask=arrow.Array.from_numpy(missing) if missing.any() else None,
    )


def _array(kind: str, values: Sequence[Any]) -> Any:
    """Return the Arrow array of a column of a SQL type."""
    import arro3.core as arrow

    if kind.endswith("[]"):
        return _lists(kind.removesuffix("[]"), values)
    types = arrow.DataType
    plain: dict[str, Any] = {
        "SMALLINT": types.int16(),
        "INTEGER": types.int32(),
        "BIGINT": types.int64(),
        "REAL": types.float32(),
        "DOUBLE PRECISION": types.float64(),
        "BOOLEAN": types.bool(),
        "BYTEA": types.binary(),
    }
    name = kind.partition("(")[0]
    if name in plain:
        return arrow.Array(list(values), type=plain[name])
    if name == "DATE":
        days = _each(values, lambda day: day.toordinal() - _EPOCH_DAY)
        return arrow.Array(days, type=types.int32()).cast(types.date32())
    if name in ("TIMESTAMP", "TIMESTAMPTZ"):
        zone, since = ("UTC", _EPOCH_UTC) if name == "TIMESTAMPTZ" else (None, _EPOCH)
        micros = _each(values, lambda moment: (moment - since) // _MICROSECOND)
        return arrow.Array(micros, type=types.int64()).cast(types.timestamp("us", tz=zone))
    if name == "TIME":
        clock = _each(values, lambda at: (_EPOCH.combine(_EPOCH, at) - _EPOCH) // _MICROSECOND)
        return arrow.Array(clock, type=types.int64()).cast(types.time64("us"))
    if name in ("DECIMAL", "MFT") and (fitting := _decimal_type(values)) is not None:
        # A cast makes NULL of what it cannot read, and exponents are among that.
        digits = _each(values, lambda value: format(value, "f"))
        return arrow.Array(digits, type=types.utf8()).cast(fitting)
    return arrow.Array(_each(values, str), type=types.utf8())


def _each(values: Iterable[Any], turn: Callable[[Any], Any]) -> list[Any]:
    return [None if value is None else turn(value) for value in values]


def _decimal_type(values: Iterable[Any]) -> Any:
    """Return the Arrow type that holds these decimals exactly, or None if none does."""
    import arro3.core as arrow

    scale = whole = 0
    for value in values:
        if isinstance(value, Decimal):
            if not value.is_finite():
                return None
            exponent = value.as_tuple().exponent
            assert isinstance(exponent, int), "finite decimals have a number here"
            scale = max(scale, -exponent)
            whole = max(whole, value.adjusted() + 1)
    digits = whole + scale
    if digits <= _DIGITS_128:
        return arrow.DataType.decimal128(_DIGITS_128, scale)
    return arrow.DataType.decimal256(_DIGITS_256, scale) if digits <= _DIGITS_256 else None
