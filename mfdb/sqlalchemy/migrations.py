"""Alembic's part: a definition is durable at once here, so migrations run outside transactions."""

from __future__ import annotations

from typing import Any

from alembic.ddl.impl import DefaultImpl


class MfdbImpl(DefaultImpl):
    """How Alembic changes definitions."""

    __dialect__ = "mfdb"
    transactional_ddl = False

    def correct_for_autogen_constraints(
        self,
        conn_unique_constraints: Any,
        conn_indexes: Any,
        metadata_unique_constraints: Any,
        metadata_indexes: Any,
    ) -> None:
        """Leave unnamed UNIQUE constraints alone: mfdb names them, the model need not."""
        unnamed = {
            tuple(column.name for column in one.columns)
            for one in metadata_unique_constraints
            if one.name is None
        }
        for found in list(conn_unique_constraints):
            if tuple(column.name for column in found.columns) in unnamed:
                conn_unique_constraints.discard(found)
        for one in list(metadata_unique_constraints):
            if one.name is None:
                metadata_unique_constraints.discard(one)
