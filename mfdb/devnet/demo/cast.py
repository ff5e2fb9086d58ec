"""Who takes part in the story: people with a data directory and seed words of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import mfdb.aio
from mfdb.node.keystore import keystore_in
from mfdb.node.system import SystemEntropy

if TYPE_CHECKING:
    from pathlib import Path

    from mfdb.aio import Connection
    from mfdb.kernel.ids import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody with seed words. `data` is the directory of one of their machines."""

    name: str
    words: str
    address: Address
    data: Path

    @classmethod
    def born(cls, name: str, data: Path) -> Person:
        """Return a new person with seed words of their own."""
        keystore = keystore_in(data, SystemEntropy())
        entry = keystore.create(name)
        return cls(name=name, words=keystore.words(name), address=entry.address, data=data)

    def on_another_machine(self, data: Path) -> Person:
        """Return the same person on a fresh directory, who brings nothing but the words."""
        entry = keystore_in(data, SystemEntropy()).restore(self.name, self.words)
        return Person(name=self.name, words=self.words, address=entry.address, data=data)

    async def connect(self, network: Path) -> Connection:
        """Return a connection of this person to a network."""
        return await mfdb.aio.connect(self.data, identity=self.name, network=network)
