"""What was typed before: one file per data directory, for its owner's eyes, without secrets."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from prompt_toolkit.history import FileHistory

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_SECRET_WORDS = re.compile(
    r"pass(?:word|phrase|wd)|secret|private.?key|seed.?words?|mnemonic|credential|api.?key|token",
    re.IGNORECASE,
)
_SEED_WORDS = re.compile(r"(?:\b[a-z]{3,8}\b\s+){11,}\b[a-z]{3,8}\b")
"""Twelve short words in a row: no SQL reads so, seed words do."""
_SLACK = 1.2


def is_secret(text: str) -> bool:
    r"""Return whether a text must not be kept: it begins with a space, or looks like a secret.

    >>> is_secret(" SELECT 1"), is_secret("\set password x"), is_secret("SELECT 1")
    (True, True, False)
    """
    if text[:1].isspace():
        return True
    return _SECRET_WORDS.search(text) is not None or _SEED_WORDS.search(text) is not None


class PrivateHistory(FileHistory):
    """A history file of mode 0600 with at most so many entries."""

    def __init__(self, path: Path, size: int) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        super().__init__(str(path))
        self._path = path
        self._size = size
        self._last = ""

    def load_history_strings(self) -> Iterable[str]:
        """Return the entries, the newest first; a file that has grown too long is cut."""
        found = list(super().load_history_strings())
        if len(found) > self._size * _SLACK:
            del found[self._size :]
            self._rewrite(found)
        self._last = found[0] if found else ""
        return found

    def store_string(self, string: str) -> None:
        """Keep an entry, unless it is a secret or what was kept last."""
        if self._size == 0 or is_secret(string) or string == self._last:
            return
        self._last = string
        super().store_string(string)

    def _rewrite(self, newest_first: list[str]) -> None:
        fresh = self._path.with_name(self._path.name + ".new")
        fresh.unlink(missing_ok=True)
        os.close(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        writer = FileHistory(str(fresh))
        for entry in reversed(newest_first):
            writer.store_string(entry)
        fresh.replace(self._path)
