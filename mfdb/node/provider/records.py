"""Records as they lie on a provider's disk: with a checksum, and told by their key if damaged.

value = MessagePack of the record, or plain bytes || CRC-32 of that, big-endian

One turned bit leaves many a record decodable, and wrong. Stores of older releases hold records
without a checksum; those are read as long as they are in canonical form, and plain values as long
as they have the length that is due.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar
from zlib import crc32

from mfdb.kernel.codec import Record, decode, decode_own, encode
from mfdb.kernel.errors import CorruptRecord, MfdbError
from mfdb.kernel.limits import FRAME_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mfdb.node.commit import Transaction

K = TypeVar("K", bound=Record)
CHECKSUM_BYTES = 4


class View(Protocol):
    """What a snapshot and a transaction have in common."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key, or None."""
        ...

    def scan(self, start: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield the pairs whose key begins with `start`."""
        ...


class DamagedRecord(CorruptRecord):
    """A record on this provider's disk is damaged; `key` says where it lies."""

    def __init__(
        self, message: str, *, hint: str = "", position: int | None = None, key: bytes = b""
    ) -> None:
        super().__init__(message, hint=hint, position=position)
        self.key = key


def put(transaction: Transaction, key: bytes, record: Record) -> None:
    """Keep a record."""
    transaction.put(key, checked(encode(record)))


def get(view: View, key: bytes, kind: type[K]) -> K | None:
    """Return the record under a key, or None.

    Raises:
        DamagedRecord: it is damaged.
    """
    data = view.get(key)
    return opened(kind, key, data) if data else None


def every(view: View, prefix: bytes, kind: type[K]) -> Iterator[K]:
    """Yield the records under all keys that begin with a prefix.

    Raises:
        DamagedRecord: one is damaged.
    """
    return (opened(kind, key, data) for key, data in view.scan(prefix))


def sound(
    view: View, prefix: bytes, kind: type[K], note: Callable[[DamagedRecord], None]
) -> Iterator[K]:
    """Yield the records under all keys that begin with a prefix; a damaged one is only noted."""
    for key, data in view.scan(prefix):
        try:
            found = opened(kind, key, data)
        except DamagedRecord as error:
            note(error)
        else:
            yield found


def opened(kind: type[K], key: bytes, data: bytes) -> K:
    """Return the record that lies under a key.

    Raises:
        DamagedRecord: it is damaged.
    """
    body = unchecked(data)
    try:
        if body is not None:
            return decode_own(kind, body)
        return decode(kind, data, limit_bytes=FRAME_BYTES)
    except MfdbError as error:
        raise damaged(key, kind.__name__) from error


def put_plain(transaction: Transaction, key: bytes, body: bytes) -> None:
    """Keep a value that is no record."""
    transaction.put(key, checked(body))


def plain(key: bytes, data: bytes, unit_bytes: int, what: str, *, many: bool = False) -> bytes:
    """Return the plain value that lies under a key: one unit, or any number of them.

    Raises:
        DamagedRecord: it is damaged.
    """
    body, is_checked = data, len(data) % unit_bytes == CHECKSUM_BYTES % unit_bytes
    if is_checked:
        body = data[:-CHECKSUM_BYTES]
        if crc32(body) != int.from_bytes(data[-CHECKSUM_BYTES:], "big"):
            raise damaged(key, what)
    if len(body) % unit_bytes or (len(body) != unit_bytes and not many):
        raise damaged(key, what)
    return body


def checked(body: bytes) -> bytes:
    """Return bytes with their checksum."""
    return body + crc32(body).to_bytes(CHECKSUM_BYTES, "big")


def unchecked(data: bytes) -> bytes | None:
    """Return what bytes with a checksum hold; None if it does not match, or there is none."""
    body = memoryview(data)[:-CHECKSUM_BYTES]
    is_sound = crc32(body) == int.from_bytes(data[-CHECKSUM_BYTES:], "big")
    return bytes(body) if is_sound else None


def damaged(key: bytes, what: str) -> DamagedRecord:
    """Return the error that says what is damaged, and where."""
    hint = "it is fetched from the dataset's other providers"
    return DamagedRecord(f"a stored {what} is damaged", hint=hint, key=key)
