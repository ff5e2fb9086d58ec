"""What mfdb can, and how an engine connects to it."""

from __future__ import annotations

import json
import sys
import threading
from typing import Any
from weakref import WeakSet

from sqlalchemy import exc, pool
from sqlalchemy import types as sqltypes
from sqlalchemy.engine import default

from mfdb.sqlalchemy.compiler import MfdbCompiler, MfdbDDLCompiler, MfdbIdentifierPreparer
from mfdb.sqlalchemy.reflection import MfdbReflection
from mfdb.sqlalchemy.types import INTERVAL, JSON, JSONPath, MfdbTypeCompiler

_opening = threading.Lock()
_open: dict[Any, WeakSet[Any]] = {}
"""The connections of all engines of this process by what they were asked for: a directory is opened
once, and whoever comes next gets a further connection to it."""


class MfdbDialect(MfdbReflection, default.DefaultDialect):
    """`mfdb://`: one database of one identity; its connections share the open directory."""

    name = "mfdb"
    driver = "mfdb"
    default_paramstyle = "qmark"
    supports_statement_cache = True
    statement_compiler = MfdbCompiler
    ddl_compiler = MfdbDDLCompiler
    type_compiler_cls = MfdbTypeCompiler
    preparer = MfdbIdentifierPreparer
    colspecs = {  # noqa: RUF012 - SQLAlchemy's way
        sqltypes.Interval: INTERVAL,
        sqltypes.JSON: JSON,
        sqltypes.JSON.JSONPathType: JSONPath,
    }

    max_identifier_length = 63
    supports_alter = True
    supports_sequences = False
    supports_identity_columns = True
    supports_default_values = True
    supports_empty_insert = False
    supports_multivalues_insert = True
    supports_native_boolean = True
    supports_native_decimal = True
    supports_native_enum = False
    supports_native_uuid = True
    supports_sane_rowcount = True
    supports_sane_multi_rowcount = True
    supports_schemas = False
    postfetch_lastrowid = False
    insert_returning = True
    update_returning = True
    delete_returning = True
    use_insertmanyvalues = True
    requires_name_normalize = False
    div_is_floordiv = True

    def __init__(
        self, json_serializer: Any = None, json_deserializer: Any = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self._json_serializer = json_serializer
        self._json_deserializer = json_deserializer
        if "alembic" in sys.modules:
            import mfdb.sqlalchemy.migrations  # noqa: F401 - Alembic finds it by having it loaded

    @classmethod
    def import_dbapi(cls) -> Any:
        """Return the DB-API module."""
        import mfdb

        return mfdb

    @classmethod
    def get_pool_class(cls, url: Any) -> Any:
        """Return the usual pool: an open directory carries many connections."""
        return pool.QueuePool

    def create_connect_args(self, url: Any) -> tuple[list[Any], dict[str, Any]]:
        """Return the URL as `mfdb.connect` takes it."""
        plain = url.set(drivername="mfdb")
        return [plain.render_as_string(hide_password=False)], {}

    def connect(self, *args: Any, **options: Any) -> Any:
        """Return a connection: a further one to a directory that is open, else the first."""
        key = (type(self), args, tuple(sorted(options.items(), key=lambda item: item[0])))
        with _opening:
            alive = _open.setdefault(key, WeakSet())
            found = next((one for one in alive if not one.closed), None)
            made = self._connected(*args, **options) if found is None else found.another()
            alive.add(made)
            made.json_loads = self._json_deserializer or json.loads
            return made

    def _connected(self, *args: Any, **options: Any) -> Any:
        return self.loaded_dbapi.connect(*args, **options)

    def do_ping(self, dbapi_connection: Any) -> bool:
        """Return whether a connection is open; nothing else can have happened to it."""
        return not dbapi_connection.closed

    def is_disconnect(self, e: Any, connection: Any, cursor: Any) -> bool:
        """Return whether an error means that the connection was closed."""
        return connection is not None and bool(connection.closed)

    def get_isolation_level_values(self, dbapi_conn: Any) -> list[str]:
        """Return what `isolation_level` may be: a batch is always serializable."""
        return ["SERIALIZABLE", "AUTOCOMMIT"]

    def get_default_isolation_level(self, dbapi_conn: Any) -> str:
        """Return the level of a new connection."""
        return "SERIALIZABLE"

    def get_isolation_level(self, dbapi_connection: Any) -> str:
        """Return the level of a connection."""
        return "AUTOCOMMIT" if dbapi_connection.autocommit else "SERIALIZABLE"

    def set_isolation_level(self, dbapi_connection: Any, level: str) -> None:
        """Let each change be durable at once, or wait for COMMIT."""
        if level not in self.get_isolation_level_values(dbapi_connection):
            raise exc.ArgumentError(f"isolation level {level!r} is not SERIALIZABLE or AUTOCOMMIT")
        dbapi_connection.autocommit = level == "AUTOCOMMIT"

    def _get_server_version_info(self, connection: Any) -> tuple[int, ...]:
        from importlib.metadata import version

        return tuple(int(part) for part in version("mfdb").split(".") if part.isdigit())

    def _get_default_schema_name(self, connection: Any) -> None:
        return None


dialect = MfdbDialect
