"""Where a passphrase comes from: the file that MFDB_PASSPHRASE_FILE names, else the terminal."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING

from mfdb.kernel.errors import WrongPassphrase
from mfdb.node.keystore import read_passphrase_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class PassphraseSource:
    """Asks for passphrases without echo; only when one is needed, never from the command line."""

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        terminal: bool,
        ask: Callable[[str], str] = getpass.getpass,
    ) -> None:
        self._file = environ.get("MFDB_PASSPHRASE_FILE")
        self._terminal = terminal
        self._ask = ask

    def __call__(self) -> str:
        """Return the passphrase of an identity that is protected.

        Raises:
            WrongPassphrase: there is neither a file nor a terminal to ask at.
        """
        return read_passphrase_file(self._file) if self._file else self._asked("Passphrase: ")

    def new(self) -> str:
        """Return a passphrase to set; a person types it twice.

        Raises:
            WrongPassphrase: the two differ, or there is nobody to ask.
        """
        if self._file:
            return read_passphrase_file(self._file)
        return self.new_at_terminal()

    def new_at_terminal(self) -> str:
        """Return a passphrase typed twice, whatever file is named; raises as `new`."""
        first = self._asked("New passphrase: ")
        if self._asked("Once more: ") != first:
            raise WrongPassphrase("the two passphrases differ", hint="nothing was changed")
        return first

    def _asked(self, prompt: str) -> str:
        if not self._terminal:
            raise WrongPassphrase(
                "a passphrase is needed and there is no terminal to ask at",
                hint="name a file that holds it in MFDB_PASSPHRASE_FILE",
            )
        return self._ask(prompt)
