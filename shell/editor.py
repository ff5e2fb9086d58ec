"""A text in the person's own editor."""

from __future__ import annotations

import shlex
import subprocess
import tempfile
from pathlib import Path

from mfdb.kernel.errors import DataError, OperationalError


def edited(text: str, file: str, command: str) -> str:
    """Return what the editor leaves of a text, or of a file if one is named.

    Raises:
        OperationalError: the editor cannot be started, or failed.
        DataError: what it left is not UTF-8.
    """
    if file:
        return _opened(Path(file).expanduser(), command)
    with tempfile.TemporaryDirectory(prefix="mfdb-") as directory:
        path = Path(directory) / "statement.sql"  # 0700: statements may hold secrets
        path.write_text(text, encoding="utf-8")
        return _opened(path, command)


def _opened(path: Path, command: str) -> str:
    try:
        code = subprocess.run([*shlex.split(command), str(path)], check=False).returncode
    except (OSError, ValueError) as error:
        raise OperationalError(
            f"cannot start the editor {command[:80]!r}: {error}", hint="EDITOR names another"
        ) from error
    if code:
        raise OperationalError(f"the editor ended with {code}", hint="the statement is as it was")
    try:
        return path.read_text("utf-8").strip()
    except UnicodeDecodeError as error:
        raise DataError(f"the text is not UTF-8 (byte {error.start})") from error
    except OSError as error:
        raise OperationalError(f"cannot read {path}: {error.strerror}") from error
