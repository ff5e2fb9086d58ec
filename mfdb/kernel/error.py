"""What every error of mfdb carries; the tree itself stands in `mfdb.kernel.errors`."""

from __future__ import annotations

from typing import ClassVar


class MfdbError(Exception):
    """Root of all errors that mfdb raises on purpose."""

    sqlstate: ClassVar[str] = "XX000"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str = "", position: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.position = position

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle the fields too, so that an error survives a process boundary whole."""
        return (_rebuild, (type(self), self.message, self.hint, self.position))

    @property
    def code(self) -> str:
        """Name of the fact, stable across releases: the class name."""
        return type(self).__name__

    @property
    def diag(self) -> Diagnostics:
        """The parts of the error by the names that psycopg uses."""
        return Diagnostics(self)


class Diagnostics:
    """What is known of an error, under psycopg's names; what nobody knows is None."""

    severity = "ERROR"

    def __init__(self, error: MfdbError) -> None:
        self.sqlstate = error.sqlstate
        self.message_primary = error.message
        self.message_hint = error.hint or None
        self.message_detail = str(error.__cause__) if error.__cause__ is not None else None
        self.statement_position = None if error.position is None else str(error.position + 1)
        """1-based, as text: PostgreSQL's way."""


def _rebuild(kind: type[MfdbError], message: str, hint: str, position: int | None) -> MfdbError:
    return kind(message, hint=hint, position=position)
