"""The operations of a changeset, and the body that holds them column by column (format 2).

A changeset of a thousand new rows is judged, hashed and kept as one thing that way: its body is one
string of bytes, and what is the same for all rows is said once, or not at all.
"""

from __future__ import annotations

import hashlib
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from mfdb.kernel.codec import Record, decode, encode
from mfdb.kernel.errors import MalformedMessage
from mfdb.kernel.ids import ZERO_HASH, Hash, RowId
from mfdb.kernel.limits import CHANGESET_BYTES, OPERATIONS
from mfdb.rules.columns import check_values
from mfdb.rules.merkle import MerkleTree, leaf_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HASH_BYTES = 32
BODY_DOMAIN = "mfdb.body.v2"
_ROOT_PREFIX = BODY_DOMAIN.encode() + b"\x00"


class OperationKind(IntEnum):
    """What an operation does to a row."""

    INSERT = 0
    UPDATE = 1
    DELETE = 2


class Operation(Record, frozen=True, gc=False):
    """One change of one row.

    `parent` is the version it supersedes (empty for an insert). `sealed` is the ciphertext of the
    sealed columns, `clear` the values of the clear ones. `salt_commitment` binds the row salt. In
    format 1 `commitment` binds row key and plaintext; in format 2, where it is zero, the
    ciphertext binds its key (`columns`). So a disclosed row can be verified.
    """

    kind: OperationKind
    row: RowId
    parent: bytes
    sealed: bytes
    clear: tuple[Any, ...]
    salt_commitment: Hash
    commitment: Hash


class Body(Record, frozen=True, gc=False):
    """Operations, column by column; what is empty is the same for all of them.

    `kinds` has a byte for each (empty: all are inserts), `rows` 32 (empty: all are inserts of the
    rows that are due to them in a free dataset), `parents` 32 for each that is no insert, `clear`
    the clear values of each (empty: none has any), `salt_commitments` 32 for each.
    """

    kinds: bytes
    rows: bytes
    parents: bytes
    sealed: tuple[bytes, ...]
    clear: tuple[tuple[Any, ...], ...]
    salt_commitments: bytes

    @property
    def has_due_rows(self) -> bool:
        """Whether all operations insert the rows that are due to them."""
        return not self.rows

    @property
    def row_ids(self) -> list[bytes]:
        """The ids of the rows, where they are said."""
        return _cut(self.rows)

    @property
    def committed_salts(self) -> list[bytes]:
        """What is said of each row salt."""
        return _cut(self.salt_commitments)

    def operations(self, due: Callable[[int], Sequence[RowId]]) -> tuple[Operation, ...]:
        """Return the operations one by one; `due` gives the ids of a changeset's first rows."""
        count = len(self.sealed)
        kinds = list(map(OperationKind, self.kinds or bytes(count)))
        rows = self.row_ids if self.rows else due(count)
        parents = iter(_cut(self.parents))
        return tuple(
            Operation(
                kind,
                RowId(Hash(row)),
                b"" if kind is OperationKind.INSERT else next(parents),
                sealed,
                clear,
                Hash(salt_commitment),
                ZERO_HASH,
            )
            for kind, row, sealed, clear, salt_commitment in zip(
                kinds,
                rows,
                self.sealed,
                self.clear or ((),) * count,
                self.committed_salts,
                strict=True,
            )
        )


class _PlainBody(Body, frozen=True, gc=False):
    """A body without clear values, as nearly all are: its types bound how deep it is."""

    kinds: bytes
    rows: bytes
    parents: bytes
    sealed: tuple[bytes, ...]
    clear: tuple[()]
    salt_commitments: bytes


def open_body(data: bytes) -> Body:
    """Return the body that these bytes encode.

    Raises:
        MalformedMessage: they encode none, or not in the one form that they have.
        ValueTooLarge: they are too many.
    """
    try:
        body: Body = decode(_PlainBody, data, limit_bytes=CHANGESET_BYTES)
    except MalformedMessage:
        body = decode(Body, data, limit_bytes=CHANGESET_BYTES)
    _check_form(body)
    return body


def _check_form(body: Body) -> None:
    count = len(body.sealed)
    if not 1 <= count <= OPERATIONS:
        raise MalformedMessage(f"a changeset has 1 to {OPERATIONS} operations")
    changes = count - body.kinds.count(OperationKind.INSERT) if body.kinds else 0
    if body.kinds and (len(body.kinds) != count or max(body.kinds) > OperationKind.DELETE):
        raise MalformedMessage("a body has one kind for each operation")
    if body.kinds and not (changes and body.rows):
        raise MalformedMessage("a body says no more of its inserts than it has to")
    if len(body.rows) not in (0, HASH_BYTES * count) or len(body.parents) != HASH_BYTES * changes:
        raise MalformedMessage("a body has one row for each operation, and parents for changes")
    if len(body.salt_commitments) != HASH_BYTES * count:
        raise MalformedMessage("a body has one commitment to a salt for each operation")
    if body.clear:
        if len(body.clear) != count or not any(body.clear):
            raise MalformedMessage("a body has clear values for each operation, or none")
        for values in body.clear:
            check_values(values)


def operations_root(operations: bytes | tuple[Operation, ...]) -> Hash:
    """Return what a header says of its operations.

    Of a body it is one BLAKE2b hash; in format 1 it is the Merkle root over encoded operations.
    """
    if isinstance(operations, bytes):
        return Hash(hashlib.blake2b(_ROOT_PREFIX + operations, digest_size=HASH_BYTES).digest())
    return MerkleTree([leaf_hash(encode(operation)) for operation in operations]).root


def _cut(data: bytes) -> list[bytes]:
    return [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]
