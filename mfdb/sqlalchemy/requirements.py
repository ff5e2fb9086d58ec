"""Which parts of SQLAlchemy's own dialect suite apply to mfdb."""

from __future__ import annotations

from typing import Any

from sqlalchemy.testing import exclusions
from sqlalchemy.testing.requirements import SuiteRequirements

_YES, _NO = exclusions.open(), exclusions.closed()
_HAS = [
    "identity_columns",
    "window_functions",
    "ctes",
    "ctes_on_dml",
    "json_type",
    "legacy_unconditional_json_extract",
    "uuid_data_type",
    "views",
    "foreign_key_constraint_option_reflection_ondelete",
    "check_constraint_reflection",
    "unique_constraint_reflection",
    "inline_check_constraint_reflection",
    "savepoints",
    "isolation_level",
    "autocommit",
    "intersect",
    "except_",
    "datetime_microseconds",
    "timestamp_microseconds",
    "precision_numerics_many_significant_digits",
    "precision_numerics_retains_significant_digits",
    "insert_returning",
    "update_returning",
    "delete_returning",
    "bound_limit_offset",
    "parens_in_union_selectable_no_limit_offset",
    "sql_expression_limit_offset",
    "boolean_col_expressions",
    "nulls_ordering",
]
_LACKS = [
    "temporary_tables",
    "temp_table_names",
    "temp_table_reflection",
    "schemas",
    "schema_reflection",
    "sequences",
    "time",
    "time_microseconds",
    "datetime_historic",
    "date_historic",
    "views_in_schema",
    "comment_reflection",
    "computed_columns",
    "indexes_with_expressions",
    "reflects_pk_names",
    "tuple_in",
    "update_from",
    "delete_from",
    "fetch_first",
    "unbounded_integer",
    "array_type",
    "reflect_indexes_with_expressions",
    "cross_schema_fk_reflection",
    "table_value_constructor",
    "regexp_match",
    "regexp_replace",
]


class Requirements(SuiteRequirements):
    """What mfdb has and what it lacks; everything else is SQLAlchemy's default."""

    def __getattribute__(self, name: str) -> Any:
        """Answer by the lists above."""
        if name in _HAS:
            return _YES
        return _NO if name in _LACKS else super().__getattribute__(name)
