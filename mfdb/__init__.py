"""A database without a host: signed rows, paid providers, a court for lost data.

    import mfdb
    with mfdb.connect() as db:
        db.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT)")

`mfdb.aio.connect` is the same for asyncio. Names are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mfdb import aio as aio
    from mfdb.client.dbapi import Connection as Connection
    from mfdb.client.dbapi import apilevel as apilevel
    from mfdb.client.dbapi import connect as connect
    from mfdb.client.dbapi import paramstyle as paramstyle
    from mfdb.client.dbapi import threadsafety as threadsafety
    from mfdb.client.dbcursor import Cursor as Cursor
    from mfdb.client.results import Change as Change
    from mfdb.client.results import Column as Column
    from mfdb.client.results import Result as Result
    from mfdb.client.rows import class_row as class_row
    from mfdb.client.rows import dict_row as dict_row
    from mfdb.client.rows import namedtuple_row as namedtuple_row
    from mfdb.client.rows import scalar_row as scalar_row
    from mfdb.client.rows import tuple_row as tuple_row
    from mfdb.client.types import BINARY as BINARY
    from mfdb.client.types import DATETIME as DATETIME
    from mfdb.client.types import NUMBER as NUMBER
    from mfdb.client.types import ROWID as ROWID
    from mfdb.client.types import STRING as STRING
    from mfdb.client.types import Binary as Binary
    from mfdb.client.types import Date as Date
    from mfdb.client.types import DateFromTicks as DateFromTicks
    from mfdb.client.types import Time as Time
    from mfdb.client.types import TimeFromTicks as TimeFromTicks
    from mfdb.client.types import Timestamp as Timestamp
    from mfdb.client.types import TimestampFromTicks as TimestampFromTicks
    from mfdb.kernel.errors import DatabaseError as DatabaseError
    from mfdb.kernel.errors import DataError as DataError
    from mfdb.kernel.errors import IntegrityError as IntegrityError
    from mfdb.kernel.errors import InterfaceError as InterfaceError
    from mfdb.kernel.errors import InternalError as InternalError
    from mfdb.kernel.errors import MfdbError as MfdbError
    from mfdb.kernel.errors import NotSupportedError as NotSupportedError
    from mfdb.kernel.errors import OperationalError as OperationalError
    from mfdb.kernel.errors import ProgrammingError as ProgrammingError

    Error = MfdbError
    __version__: str

_HOMES = {
    "mfdb.client.dbapi": ("Connection", "apilevel", "connect", "paramstyle", "threadsafety"),
    "mfdb.client.dbcursor": ("Cursor",),
    "mfdb.client.results": ("Change", "Column", "Result"),
    "mfdb.client.rows": ("class_row", "dict_row", "namedtuple_row", "scalar_row", "tuple_row"),
    "mfdb.client.types": (
        "BINARY", "DATETIME", "NUMBER", "ROWID", "STRING", "Binary", "Date", "DateFromTicks",
        "Time", "TimeFromTicks", "Timestamp", "TimestampFromTicks",
    ),
}  # fmt: skip
_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for (PEP 562)."""
    if name == "aio":
        return import_module("mfdb.aio")
    if name == "__version__":
        return import_module("importlib.metadata").version("mfdb")
    if name == "Warning":
        return Warning
    module = _MODULE_OF.get(name)
    if module is not None:
        return getattr(import_module(module), name)
    errors = import_module("mfdb.kernel.errors")
    root = errors.MfdbError
    found = root if name == "Error" else getattr(errors, name, None)
    if isinstance(found, type) and issubclass(found, root):
        return found
    raise AttributeError(f"module 'mfdb' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*_MODULE_OF, "Error", "MfdbError", "Warning", "__version__", "aio"])
