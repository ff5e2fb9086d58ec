"""Transactions that were signed and may have been sent, until somebody learnt how they ended.

Each is written down before it goes out. So a repeated call after a time-out or a crash finds the
transaction it made and finishes that one, instead of paying twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from mfdb.kernel.codec import Record, decode, encode
from mfdb.kernel.errors import CorruptRecord, MalformedMessage, ValueTooLarge
from mfdb.kernel.ids import Address, Hash

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

PREFIX = b"chain-outbox/"
ENTRY_BYTES = 256 * 2**10


class Readable(Protocol):
    """What the outbox reads of `mfdb.store.port.Snapshot`."""

    def scan(
        self, start: bytes, stop: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield the pairs whose key begins with `start`."""
        ...


class Writable(Protocol):
    """What the outbox needs of `mfdb.store.port.Store`; rooms beside this one are not imported."""

    def snapshot(self) -> AbstractContextManager[Readable]:
        """Return a context that holds one committed state."""
        ...

    def write(self, batch: Sequence[tuple[bytes, bytes | None]]) -> None:
        """Apply all writes durably, or none."""
        ...


class Outgoing(Record, frozen=True):
    """A signed transaction. `purpose` is the same for the same call of the same sender."""

    sender: Address
    nonce: int
    hash: Hash
    purpose: Hash
    raw: bytes


class Outbox:
    """The outgoing transactions of one network; in memory only if there is no store."""

    def __init__(self, store: Writable | None, scope: bytes) -> None:
        """Load what was left of an earlier process. `scope` names the network.

        Raises:
            CorruptRecord: the store holds something else under our keys.
        """
        self._store = store
        self._prefix = PREFIX + scope + b"/"
        self._entries: dict[Hash, Outgoing] = {}
        self._owned: set[Hash] = set()
        if store is not None:
            with store.snapshot() as snapshot:
                for _, value in snapshot.scan(self._prefix):
                    entry = _stored(value)
                    self._entries[entry.hash] = entry

    def of(self, sender: Address) -> list[Outgoing]:
        """Return a sender's transactions in the order of their nonces."""
        found = [entry for entry in self._entries.values() if entry.sender == sender]
        return sorted(found, key=lambda entry: entry.nonce)

    def orphan(self, sender: Address, purpose: Hash) -> Outgoing | None:
        """Return a transaction of that purpose which nobody is waiting for, or None."""
        for entry in self.of(sender):
            if entry.purpose == purpose and entry.hash not in self._owned:
                return entry
        return None

    def save(self, entry: Outgoing) -> None:
        """Write a transaction down; it is on disk when this returns."""
        if self._store is not None:
            self._store.write([(self._key(entry), encode(entry))])
        self._entries[entry.hash] = entry

    def forget(self, entry: Outgoing) -> None:
        """Strike a transaction whose end is known."""
        if self._entries.pop(entry.hash, None) is not None and self._store is not None:
            self._store.write([(self._key(entry), None)])

    def own(self, entry: Outgoing) -> None:
        """Note that somebody waits for a transaction, so that no other call adopts it."""
        self._owned.add(entry.hash)

    def disown(self, entry: Outgoing) -> None:
        """Note that nobody waits any more."""
        self._owned.discard(entry.hash)

    def _key(self, entry: Outgoing) -> bytes:
        return self._prefix + entry.hash


def _stored(value: bytes) -> Outgoing:
    try:
        return decode(Outgoing, value, limit_bytes=ENTRY_BYTES)
    except (MalformedMessage, ValueTooLarge) as error:
        raise CorruptRecord("the outbox holds something that is no transaction") from error
