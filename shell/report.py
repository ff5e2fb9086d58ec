"""Errors and notices for the person or program at the other end; always on standard error."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mfdb.sql.caret import explain_error
from shell.values import safe

if TYPE_CHECKING:
    from mfdb.kernel.errors import MfdbError


def error_text(
    error: MfdbError, statement: str = "", *, place: str = "", colour: bool = False
) -> str:
    """Return an error for a person: where, what, the place in the statement, what to do."""
    lines = [safe(line) for line in explain_error(statement, error).split("\n")]
    if colour:
        lines[0] = f"\x1b[31m{lines[0]}\x1b[0m"
    return (f"{safe(place)}: " if place else "") + "\n".join(lines) + "\n"


def head_of(error: MfdbError) -> str:
    """Return the first line of an error."""
    return f"ERROR {error.sqlstate}: {safe(error.message)}"


def error_whole(error: MfdbError, statement: str = "") -> str:
    r"""Return an error with its name, and the errors that caused it (`\errverbose`)."""
    lines = [head_of(error), *error_text(error, statement).splitlines()[1:]]
    lines.append(f"NAME: {error.code} ({'try again' if error.retryable else 'not retryable'})")
    cause = error.__cause__
    while cause is not None:
        lines.append(f"CAUSE: {type(cause).__name__}: {safe(str(cause))[:500]}")
        cause = cause.__cause__
    if statement:
        lines.append(f"STATEMENT: {safe(statement[:1000])}")
    return "\n".join(lines) + "\n"


def error_json(error: MfdbError, statement: str = "", *, place: str = "") -> str:
    """Return an error for a program: one JSON object on one line."""
    found = {
        "code": error.code,
        "sqlstate": error.sqlstate,
        "message": error.message,
        "hint": error.hint,
        "retryable": error.retryable,
        "position": error.position,
        "statement": statement[:1000],
        "place": place,
    }
    return json.dumps({"error": found}, ensure_ascii=True) + "\n"
