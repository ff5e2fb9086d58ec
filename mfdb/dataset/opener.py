"""Opening changesets: from ciphertext and key log to plaintext values, checked row by row.

What does not open is no error of the reader: a stranger may have sealed nonsense into a mailbox,
and a shredded row is gone for good. Such rows come out as `Unreadable` with the reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from mfdb.kernel.account import verify
from mfdb.kernel.errors import BadProof, BadSignature, MalformedMessage, ValueTooLarge
from mfdb.kernel.ids import Address
from mfdb.rules.changeset import FORMAT_1, Changeset
from mfdb.rules.columns import (
    SealedRow,
    author_digest,
    open_row,
    open_row_1,
    row_key,
    row_key_1,
)
from mfdb.rules.key_log import KeyLogEntry, check_entry, open_envelope
from mfdb.rules.operations import OperationKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nacl.public import PrivateKey

    from mfdb.kernel.ids import Hash
    from mfdb.rules.manifest import Manifest
    from mfdb.rules.operations import Operation

ReadKeyOf: TypeAlias = "Callable[[int], PrivateKey | None]"
"""The private read key of a key epoch, or None for somebody who is no reader."""


class Opened(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The values of a row version by column name; `author` is proven inside a sealed row."""

    values: Mapping[str, Any]
    author: bytes = b""


class Unreadable(msgspec.Struct, frozen=True):
    """A row version whose values cannot be had, and why."""

    reason: str


SHREDDED = Unreadable("its salt was destroyed")
NO_KEY = Unreadable("no key for it is held here")


def open_changeset_rows(
    changeset: Changeset, entry: KeyLogEntry | None, manifest: Manifest, read_key: ReadKeyOf
) -> tuple[Opened | Unreadable | None, ...]:
    """Return what each operation holds: values, why not, or None for a delete."""
    data_key = _data_key(changeset, entry, read_key)
    if isinstance(data_key, Unreadable):
        return tuple(
            None if operation.kind is OperationKind.DELETE else data_key
            for operation in changeset.operations
        )
    assert entry is not None
    context = changeset.header.seal_context
    return tuple(
        _open_operation(changeset, index, data_key, entry.salts[index], context, manifest)
        for index in range(changeset.count)
    )


def _data_key(
    changeset: Changeset, entry: KeyLogEntry | None, read_key: ReadKeyOf
) -> bytes | Unreadable:
    if entry is None:
        return NO_KEY
    private = read_key(entry.key_epoch)
    if private is None:
        return NO_KEY
    try:
        check_entry(entry, changeset)
        return open_envelope(entry, changeset, private)
    except BadProof as error:
        return Unreadable(error.message)


def _open_operation(
    changeset: Changeset,
    index: int,
    data_key: bytes,
    salt: bytes,
    context: Hash,
    manifest: Manifest,
) -> Opened | Unreadable | None:
    operation = changeset.operations[index]
    if operation.kind is OperationKind.DELETE:
        return None
    if not salt:
        return SHREDDED
    try:
        row = _open_row(changeset, operation, context, data_key, salt)
    except (BadProof, MalformedMessage, ValueTooLarge) as error:
        return Unreadable(error.message)
    sealed = iter(row.values)
    clear = iter(operation.clear)
    if len(row.values) != len(manifest.sealed_columns):
        return Unreadable("it holds another number of sealed values than its manifest has columns")
    values = {c.name: next(clear if c.clear else sealed) for c in manifest.columns}
    return Opened(values=values, author=_proven_author(changeset, row, context))


def _open_row(
    changeset: Changeset, operation: Operation, context: Hash, data_key: bytes, salt: bytes
) -> SealedRow:
    sealed, row_id = operation.sealed, operation.row
    if changeset.header.format != FORMAT_1:
        return open_row(sealed, row_key(data_key, salt), context=context, row_id=row_id)
    return open_row_1(
        sealed,
        row_key_1(data_key, salt),
        context=context,
        row_id=row_id,
        commitment=operation.commitment,
    )


def _proven_author(changeset: Changeset, row: SealedRow, context: Hash) -> bytes:
    """Return the author of a sealed sender's row, or nothing if it cannot be proven."""
    if changeset.header.identity or not row.author:
        return changeset.header.identity
    author = Address(row.author)
    try:
        verify(author_digest(context, row.values, author), row.author_signature, author)
    except BadSignature:
        return b""
    return row.author
