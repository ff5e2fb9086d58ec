"""Reading definitions back: each method answers one question of SQLAlchemy's inspector."""

from __future__ import annotations

from typing import Any

from sqlalchemy.engine import reflection
from sqlalchemy.exc import NoSuchTableError

from mfdb.kernel.errors import UnknownIdentity
from mfdb.sqlalchemy.types import reflected


class MfdbReflection:
    """The questions that SQLAlchemy asks about what is there."""

    @reflection.cache
    def get_table_names(self, connection: Any, schema: str | None = None, **kw: Any) -> list[str]:
        """Return the names of the datasets that this identity owns."""
        return _names(connection, "dataset", schema)

    @reflection.cache
    def get_view_names(self, connection: Any, schema: str | None = None, **kw: Any) -> list[str]:
        """Return the names of its views."""
        return _names(connection, "view", schema)

    def get_schema_names(self, connection: Any, **kw: Any) -> list[str]:
        """Return none: an owner may stand for a schema, but nobody can list all owners."""
        return []

    def has_table(
        self, connection: Any, table_name: str, schema: str | None = None, **kw: Any
    ) -> bool:
        """Return whether there is a dataset or view of that name."""
        return _looked_up(connection, table_name, schema) is not None

    def has_index(
        self, connection: Any, table_name: str, index_name: str, schema: Any = None, **kw: Any
    ) -> bool:
        """Return whether a dataset has an index of that name."""
        found = _looked_up(connection, table_name, schema)
        return found is not None and any(one.name == index_name for one in found.indexes)

    def has_sequence(
        self, connection: Any, sequence_name: str, schema: Any = None, **kw: Any
    ) -> bool:
        """Return no: mfdb has no sequences, columns number themselves."""
        return False

    @reflection.cache
    def get_columns(
        self, connection: Any, table_name: str, schema: str | None = None, **kw: Any
    ) -> list[dict[str, Any]]:
        """Return the columns in their order."""
        return [
            {
                "name": column.name,
                "type": reflected(column.type),
                "nullable": column.nullable,
                "default": column.default,
                "autoincrement": column.generated is not None,
            }
            | ({"identity": _identity(column.generated)} if column.generated else {})
            for column in _table(connection, table_name, schema).columns
        ]

    @reflection.cache
    def get_pk_constraint(
        self, connection: Any, table_name: str, schema: str | None = None, **kw: Any
    ) -> dict[str, Any]:
        """Return the primary key, which has no name."""
        key = _table(connection, table_name, schema).primary_key
        return {"constrained_columns": list(key), "name": None}

    @reflection.cache
    def get_unique_constraints(
        self, connection: Any, table_name: str, schema: str | None = None, **kw: Any
    ) -> list[dict[str, Any]]:
        """Return the UNIQUE constraints."""
        found = _table(connection, table_name, schema).uniques
        return [{"name": one.name, "column_names": list(one.columns)} for one in found]

    @reflection.cache
    def get_foreign_keys(
        self, connection: Any, table_name: str, schema: str | None = None, **kw: Any
    ) -> list[dict[str, Any]]:
        """Return the foreign keys."""
        return [
            {
                "name": one.name,
                "constrained_columns": list(one.columns),
                "referred_schema": schema,
                "referred_table": one.table,
                "referred_columns": list(one.references),
                "options": {
                    event: rule
                    for event, rule in (("ondelete", one.on_delete), ("onupdate", one.on_update))
                    if rule != "NO ACTION"
                },
            }
            for one in _table(connection, table_name, schema).foreign_keys
        ]

    @reflection.cache
    def get_check_constraints(
        self, connection: Any, table_name: str, schema: str | None = None, **kw: Any
    ) -> list[dict[str, Any]]:
        """Return the CHECK constraints."""
        found = _table(connection, table_name, schema).checks
        return [{"name": one.name, "sqltext": one.condition} for one in found]

    @reflection.cache
    def get_indexes(
        self, connection: Any, table_name: str, schema: str | None = None, **kw: Any
    ) -> list[dict[str, Any]]:
        """Return the secondary indexes of this machine."""
        return [
            {
                "name": one.name,
                "column_names": list(one.columns),
                "unique": one.unique,
                "dialect_options": {},
            }
            for one in _table(connection, table_name, schema).indexes
        ]

    @reflection.cache
    def get_view_definition(
        self, connection: Any, view_name: str, schema: str | None = None, **kw: Any
    ) -> str:
        """Return the query that a view stands for."""
        query: str = _table(connection, view_name, schema).query
        return query

    def get_table_comment(
        self, connection: Any, table_name: str, schema: str | None = None, **kw: Any
    ) -> dict[str, Any]:
        """Return none: mfdb keeps no comments."""
        _table(connection, table_name, schema)
        return {"text": None}


def _driver(connection: Any) -> Any:
    return connection.connection.dbapi_connection


def _names(connection: Any, kind: str, owner: str | None) -> list[str]:
    try:
        found: list[str] = _driver(connection).inspect_names(kind, owner=owner)
    except UnknownIdentity:
        return []  # a schema that nobody here bears has no tables
    return found


def _looked_up(connection: Any, name: str, owner: str | None) -> Any:
    try:
        return _driver(connection).inspect(name, owner=owner)
    except UnknownIdentity:
        return None


def _table(connection: Any, name: str, owner: str | None) -> Any:
    found = _looked_up(connection, name, owner)
    if found is None:
        raise NoSuchTableError(f"{owner}.{name}" if owner else name)
    return found


def _identity(generated: str) -> dict[str, Any]:
    return {"always": generated == "ALWAYS", "start": 1, "increment": 1}
