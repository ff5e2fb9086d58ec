"""Statements and definitions as mfdb reads them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import cast
from sqlalchemy import types as sqltypes
from sqlalchemy.schema import Identity
from sqlalchemy.sql import compiler

from mfdb.sql.automaton import keywords
from mfdb.sql.scanner import RESERVED


class MfdbCompiler(compiler.SQLCompiler):
    """Writes statements."""

    def visit_getitem_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        """Return an element of an array, or some of them."""
        return f"{self.process(binary.left, **kw)}[{self.process(binary.right, **kw)}]"

    def visit_slice(self, element: Any, **kw: Any) -> str:
        """Return the bounds of some elements."""
        return f"{self.process(element.start, **kw)} : {self.process(element.stop, **kw)}"

    def visit_now_func(self, fn: Any, **kw: Any) -> str:
        """Return the time of the statement."""
        return "CURRENT_TIMESTAMP"

    def limit_clause(self, select: Any, **kw: Any) -> str:
        """Return LIMIT and OFFSET, each where it is asked for."""
        text = ""
        if select._limit_clause is not None:
            text += "\n LIMIT " + self.process(select._limit_clause, **kw)
        if select._offset_clause is not None:
            text += "\n OFFSET " + self.process(select._offset_clause, **kw)
        return text

    def for_update_clause(self, select: Any, **kw: Any) -> str:
        """Return nothing: a conflict is found at COMMIT, nobody holds locks."""
        return ""

    def visit_json_getitem_op_binary(
        self, binary: Any, operator: Any, *, _cast_applied: bool = False, **kw: Any
    ) -> str:
        """Return a member or an element: as JSON, or cast from its text to what is asked for."""
        if isinstance(binary.right.type, sqltypes.JSON.JSONIntIndexType):
            place = sqltypes.Integer()  # a parameter would be taken for a name
            binary = binary._clone()
            binary.right = cast(binary.right, place)
        return self._json_part(binary, "->", cast_applied=_cast_applied, **kw)

    def visit_json_path_getitem_op_binary(
        self, binary: Any, operator: Any, *, _cast_applied: bool = False, **kw: Any
    ) -> str:
        """Return what lies at the end of a path."""
        return self._json_part(binary, "#>", cast_applied=_cast_applied, **kw)

    def _json_part(self, binary: Any, sign: str, *, cast_applied: bool, **kw: Any) -> str:
        is_json = binary.type._type_affinity is sqltypes.JSON
        if not cast_applied and not is_json:
            text: str = self.process(cast(binary, binary.type), _cast_applied=True, **kw)
            return text
        kw["eager_grouping"] = True
        part: str = self._generate_generic_binary(
            binary, f" {sign if is_json else sign + chr(62)} ", **kw
        )
        return part

    def visit_is_distinct_from_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        """Return a comparison that knows NULL."""
        left, right = self.process(binary.left, **kw), self.process(binary.right, **kw)
        return f"{left} IS DISTINCT FROM {right}"

    def visit_is_not_distinct_from_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        """Return an equality that knows NULL."""
        left, right = self.process(binary.left, **kw), self.process(binary.right, **kw)
        return f"{left} IS NOT DISTINCT FROM {right}"


class MfdbDDLCompiler(compiler.DDLCompiler):
    """Writes definitions."""

    def get_column_specification(self, column: Any, **kw: Any) -> str:
        """Return a column; the integer key that SQLAlchemy expects to number itself does so."""
        words = [
            self.preparer.format_column(column),
            self.dialect.type_compiler_instance.process(column.type, type_expression=column),
        ]
        default = self.get_column_default_string(column)
        if column.identity is not None:
            words.append(self.process(column.identity))
        elif default is not None:
            words.append(f"DEFAULT {default}")
        elif column.table is not None and column is column.table._autoincrement_column:
            words.append(self.process(Identity()))
        if not column.nullable:
            words.append("NOT NULL")
        return " ".join(words)

    def visit_identity_column(self, identity: Any, **kw: Any) -> str:
        """Return how a column numbers itself; it always begins at 1."""
        return f"GENERATED {'ALWAYS' if identity.always else 'BY DEFAULT'} AS IDENTITY"

    def visit_computed_column(self, generated: Any, **kw: Any) -> str:
        """Refuse: mfdb has no computed columns."""
        raise compiler.exc.CompileError("mfdb has no computed columns")


_WORDS = {word.lower() for word in RESERVED | keywords()}


class MfdbIdentifierPreparer(compiler.IdentifierPreparer):
    """Quotes names that are words of the grammar, which is never wrong."""

    reserved_words = _WORDS
