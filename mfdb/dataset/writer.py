"""Composing changesets: one random data key each, one salt per row, chained per writing run.

    changes -> values in schema order -> sealed rows, salts, commitments -> signed header
                                      -> key log entry (envelope, salts), beside it

A writer's chain (`Chain`) is data: whoever writes takes it out of the store before the first write
and puts it back at rest, so that a restart continues the run or begins one, and never forks it.
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any

import msgspec

from mfdb.dataset.data_keys import DataKeys
from mfdb.dataset.row_changes import FreshRows, RowDelete, RowInsert, RowUpdate
from mfdb.kernel.account import Account
from mfdb.kernel.clock import Hlc
from mfdb.kernel.codec import Record, encode
from mfdb.kernel.errors import ValueTooLarge
from mfdb.kernel.ids import ZERO_HASH, Hash
from mfdb.kernel.limits import CHANGESET_BYTES, OPERATIONS, ROW_BYTES
from mfdb.rules.changeset import FORMAT, Header, changeset_id, composed, due_row_ids
from mfdb.rules.columns import (
    SALT_BYTES,
    SEALING_BYTES,
    SealedRow,
    author_digest,
    key_commitment,
    row_keys,
    salt_commitments,
    seal_rows,
)
from mfdb.rules.key_log import KeyLogEntry
from mfdb.rules.operations import Body, OperationKind, operations_root
from mfdb.rules.signing import digest_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from mfdb.dataset.row_changes import RowChange
    from mfdb.kernel.clock import HlcClock
    from mfdb.kernel.entropy import Entropy
    from mfdb.kernel.ids import RowId
    from mfdb.rules.changeset import Changeset
    from mfdb.rules.manifest import Manifest

RUN_BYTES = 16
NONCE_BYTES = 16
_SEALED_HEAD, _SEALED_END = b"\x93", encode(b"") * 2
"""What stands around the values in a `SealedRow` that names no author."""


class Chain(Record, frozen=True):
    """Where a writer stands in a dataset: its run, next number, last changeset and stamp."""

    run: bytes
    number: int = 0
    previous: Hash = ZERO_HASH
    hlc: int = 0


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A signed changeset, what opens it, its plaintext values and the writer's next place.

    `changes` is what it was made of, `data` are the changeset's bytes.
    """

    changeset: Changeset
    data: bytes
    entry: KeyLogEntry
    changes: Sequence[RowChange]
    chain: Chain

    @property
    def values(self) -> tuple[Mapping[str, Any] | None, ...]:
        """The plaintext values of each operation, None for a delete."""
        return tuple(None if isinstance(c, RowDelete) else c.values for c in self.changes)


class ChangesetWriter:
    """Composes and signs changesets for one identity."""

    def __init__(self, account: Account, clock: HlcClock, entropy: Entropy) -> None:
        self._account = account
        self._clock = clock
        self._entropy = entropy
        self._data_keys = DataKeys(entropy)

    def get_ready(self, manifest: Manifest) -> None:
        """Do what the next changeset needs and what does not depend on it."""
        self._data_keys.make_ready(manifest.read_key.public)

    def new_chain(self) -> Chain:
        """Return the start of a new writing run."""
        return Chain(self.new_run())

    def new_run(self) -> bytes:
        """Return the name of a new writing run."""
        return self._entropy.token(RUN_BYTES)

    def compose(
        self,
        manifest: Manifest,
        changes: Sequence[RowChange],
        chain: Chain,
        *,
        sealed_sender: bool = False,
    ) -> Draft:
        """Return one changeset that makes all these changes, atomically.

        With `sealed_sender` a one-time key signs it, in a run of its own, and the identity's
        signature lies inside each sealed row.

        Raises:
            ValueTooLarge: the changes do not fit into one changeset.
        """
        if not 1 <= len(changes) <= OPERATIONS:
            raise ValueTooLarge(f"a changeset has 1 to {OPERATIONS} operations")
        signer = Account(self._entropy.token(32)) if sealed_sender else self._account
        place = self.new_chain() if sealed_sender else chain
        self._clock.saw(Hlc(chain.hlc))
        read_key = manifest.read_key
        data_key, envelope = self._data_keys.take(read_key.public)
        bare = self._bare_header(manifest, signer, place, data_key)
        author = self._account if sealed_sender else None
        salts = _salts(changes, self._entropy)
        sealing = _Sealing(manifest, bare, data_key, author)
        columns, rows = sealing.body(changes, salts)
        body = encode(columns)
        header = msgspec.structs.replace(
            bare, operation_count=len(changes), operations_root=operations_root(body)
        )
        digest = digest_of(header)
        changeset = composed(header, signer.sign(digest), body, columns=columns, rows=rows)
        data = encode(changeset)
        if len(data) > CHANGESET_BYTES:
            raise ValueTooLarge(
                f"the write is over {CHANGESET_BYTES} bytes", hint="write fewer rows at a time"
            )
        entry = KeyLogEntry(
            dataset=manifest.dataset,
            changeset=changeset_id(digest, changeset.signature),
            key_epoch=read_key.epoch,
            envelope=envelope,
            salts=salts,
        )
        after = Chain(place.run, place.number + 1, Hash(entry.changeset), header.hlc)
        return Draft(
            changeset=changeset,
            data=data,
            entry=entry,
            changes=changes,
            chain=chain if sealed_sender else after,
        )

    def _bare_header(
        self, manifest: Manifest, signer: Account, place: Chain, data_key: bytes
    ) -> Header:
        return Header(
            format=FORMAT,
            network=manifest.network,
            dataset=manifest.dataset,
            manifest=manifest.hash,
            acl_epoch=manifest.acl_epoch,
            key_epoch=manifest.read_key.epoch,
            signer=signer.address,
            identity=b"" if signer is not self._account else signer.address,
            run=place.run,
            number=place.number,
            previous=place.previous,
            hlc=self._clock.tick(),
            nonce=self._entropy.token(NONCE_BYTES),
            key_commitment=key_commitment(data_key),
            operation_count=0,
            operations_root=ZERO_HASH,
        )


class _Sealing:
    """What all operations of one changeset share."""

    def __init__(
        self, manifest: Manifest, header: Header, data_key: bytes, author: Account | None
    ) -> None:
        self._header = header
        self._context = header.seal_context
        self._data_key = data_key
        self._author = author
        self._sealed_names = tuple([column.name for column in manifest.sealed_columns])
        self._clear_names = tuple([column.name for column in manifest.clear_columns])
        self._sealed_of = picker(self._sealed_names)
        self._clear_of = picker(self._clear_names)
        self._has_clear = bool(manifest.clear_columns)

    def body(
        self, changes: Sequence[RowChange], salts: Sequence[bytes]
    ) -> tuple[Body, Sequence[RowId]]:
        """Return the operations of some changes, one salt each (a delete has none), and the rows.

        Raises:
            ValueTooLarge: a row is too long.
        """
        kinds, parents = b"", b""
        if not isinstance(changes, FreshRows):
            kinds = bytes([_KINDS[type(change)] for change in changes])
            parents = b"".join([c.parent for c in changes if not isinstance(c, RowInsert)])
        rows, are_due = self._rows(changes)
        clear = self._clear(changes)
        body = Body(
            kinds=kinds if any(kinds) else b"",
            rows=b"" if are_due else b"".join(rows),
            parents=parents,
            sealed=self._sealed(changes, salts, rows),
            clear=clear if any(clear) else (),
            salt_commitments=b"".join(salt_commitments(salts)),
        )
        return body, rows

    def _rows(self, changes: Sequence[RowChange]) -> tuple[Sequence[RowId], bool]:
        """Return the rows that changes touch, and whether all are inserts of those due to them."""
        named = changes.ids if isinstance(changes, FreshRows) else [c.row for c in changes]
        due = due_row_ids(self._header, len(changes))
        if not any(named):
            return due, True
        return [one or own for one, own in zip(named, due, strict=True)], False

    def _clear(self, changes: Sequence[RowChange]) -> tuple[tuple[Any, ...], ...]:
        if not self._has_clear:
            return ()
        if isinstance(changes, FreshRows):
            return _picked(changes, self._clear_names)
        return tuple(
            () if isinstance(change, RowDelete) else self._clear_of(change.values)
            for change in changes
        )

    def _sealed(
        self, changes: Sequence[RowChange], salts: Sequence[bytes], rows: Sequence[RowId]
    ) -> tuple[bytes, ...]:
        keys = row_keys(self._data_key, salts)
        sealed = seal_rows(self._plain(changes), keys, context=self._context, row_ids=rows)
        if max(map(len, sealed)) > ROW_BYTES + SEALING_BYTES:
            raise ValueTooLarge(f"a row is over {ROW_BYTES} bytes")
        return sealed

    def _plain(self, changes: Sequence[RowChange]) -> Sequence[bytes | None]:
        """Return the encoded `SealedRow` of each change, None of a delete."""
        if isinstance(changes, FreshRows) and self._author is None:
            return self._plain_columns(changes)
        values = [None if isinstance(c, RowDelete) else self._sealed_of(c.values) for c in changes]
        return [None if one is None else self._plaintext(one) for one in values]

    def _plain_columns(self, fresh: FreshRows) -> list[bytes]:
        packed = fresh.packed
        if fresh.names != self._sealed_names:
            packed = list(map(encode, _picked(fresh, self._sealed_names)))
        return [_SEALED_HEAD + one + _SEALED_END for one in packed]

    def _plaintext(self, values: tuple[Any, ...]) -> bytes:
        if self._author is None:
            return encode(SealedRow(values))
        address = self._author.address
        signature = self._author.sign(author_digest(self._context, values, address))
        return encode(SealedRow(values, address, signature))


_KINDS: dict[type, OperationKind] = {
    RowInsert: OperationKind.INSERT,
    RowUpdate: OperationKind.UPDATE,
    RowDelete: OperationKind.DELETE,
}


def _salts(changes: Sequence[RowChange], entropy: Entropy) -> tuple[bytes, ...]:
    """Return a salt for each operation, all of one draw; a delete has an empty one."""
    drawn = entropy.token(SALT_BYTES * len(changes))
    salts = [drawn[at : at + SALT_BYTES] for at in range(0, len(drawn), SALT_BYTES)]
    if isinstance(changes, FreshRows):
        return tuple(salts)
    kept = zip(changes, salts, strict=True)
    return tuple([b"" if type(change) is RowDelete else salt for change, salt in kept])


def _picked(fresh: FreshRows, names: tuple[str, ...]) -> tuple[tuple[Any, ...], ...]:
    """Return the values of some columns, row by row."""
    if not names:
        return ((),) * len(fresh)
    columns = dict(zip(fresh.names, zip(*fresh.rows, strict=True), strict=True))
    return tuple(zip(*[columns[name] for name in names], strict=True))


def picker(names: Iterable[str]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    """Return what gives the values of these names as a tuple."""
    wanted = tuple(names)
    if len(wanted) < 2:
        return lambda values: tuple(values[name] for name in wanted)
    return itemgetter(*wanted)
