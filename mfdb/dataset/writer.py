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
from mfdb.kernel.account import Account
from mfdb.kernel.clock import Hlc
from mfdb.kernel.codec import Record, encode
from mfdb.kernel.errors import ValueTooLarge
from mfdb.kernel.ids import ZERO_HASH, Hash, RowId, VersionId
from mfdb.kernel.limits import CHANGESET_BYTES, OPERATIONS, ROW_BYTES
from mfdb.rules.changeset import FORMAT, Changeset, Header, changeset_id, due_row_ids
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
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from mfdb.kernel.clock import HlcClock
    from mfdb.kernel.entropy import Entropy
    from mfdb.rules.manifest import Manifest

RUN_BYTES = 16
NONCE_BYTES = 16
_OVERHEAD_BYTES = 1024
_OPERATION_BYTES = 256
"""Room for what an operation holds besides its values: ids, commitments, the cipher's tag."""


class RowInsert(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A new row; `row` is given in owner-ordered datasets only (the keyed hash of the key)."""

    values: Mapping[str, Any]
    row: RowId | None = None


class RowUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """A row's new values, all of them, and the version that they supersede."""

    row: RowId
    parent: VersionId
    values: Mapping[str, Any]


class RowDelete(msgspec.Struct, frozen=True, kw_only=True):
    """A row that goes, and the version that is superseded."""

    row: RowId
    parent: VersionId


RowChange = RowInsert | RowUpdate | RowDelete


class Chain(Record, frozen=True):
    """Where a writer stands in a dataset: its run, next number, last changeset and stamp."""

    run: bytes
    number: int = 0
    previous: Hash = ZERO_HASH
    hlc: int = 0


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A signed changeset, what opens it, its plaintext values and the writer's next place.

    `values` holds one mapping per operation, None for a delete; `data` are the changeset's bytes.
    """

    changeset: Changeset
    data: bytes
    entry: KeyLogEntry
    values: tuple[Mapping[str, Any] | None, ...]
    chain: Chain


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
        return Chain(self._entropy.token(RUN_BYTES))

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
        body = _Sealing(manifest, bare, data_key, author).body(changes, salts)
        header = msgspec.structs.replace(
            bare, operation_count=len(changes), operations_root=operations_root(body)
        )
        digest = digest_of(header)
        changeset = Changeset(header, signer.sign(digest), body)
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
            values=tuple(None if isinstance(c, RowDelete) else c.values for c in changes),
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
        self._sealed_of = picker(column.name for column in manifest.sealed_columns)
        self._clear_of = picker(column.name for column in manifest.clear_columns)
        self._has_clear = bool(manifest.clear_columns)

    def body(self, changes: Sequence[RowChange], salts: Sequence[bytes]) -> bytes:
        """Return the operations of some changes, one salt each (a delete has none)."""
        kinds = bytes([_KINDS[type(change)] for change in changes])
        due: Sequence[RowId] = due_row_ids(self._header, len(changes))
        rows = [own if one.row is None else one.row for one, own in zip(changes, due, strict=True)]
        has_due_rows = not any(kinds) and all(one.row is None for one in changes)
        clear = self._clear(changes)
        return encode(
            Body(
                kinds=kinds if any(kinds) else b"",
                rows=b"" if has_due_rows else b"".join(rows),
                parents=b"".join([c.parent for c in changes if not isinstance(c, RowInsert)]),
                sealed=self._sealed(changes, salts, rows),
                clear=clear if any(clear) else (),
                salt_commitments=b"".join(salt_commitments(salts)),
            )
        )

    def _clear(self, changes: Sequence[RowChange]) -> tuple[tuple[Any, ...], ...]:
        if not self._has_clear:
            return ()
        return tuple(
            () if isinstance(change, RowDelete) else self._clear_of(change.values)
            for change in changes
        )

    def _sealed(
        self, changes: Sequence[RowChange], salts: Sequence[bytes], rows: Sequence[RowId]
    ) -> tuple[bytes, ...]:
        keys = row_keys(self._data_key, salts)
        values = [None if isinstance(c, RowDelete) else self._sealed_of(c.values) for c in changes]
        plain = [None if one is None else self._plaintext(one) for one in values]
        sealed = seal_rows(plain, keys, context=self._context, row_ids=rows)
        if max(map(len, sealed)) > ROW_BYTES + SEALING_BYTES:
            raise ValueTooLarge(f"a row is over {ROW_BYTES} bytes")
        return sealed

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
    return tuple(
        [
            b"" if type(change) is RowDelete else drawn[at : at + SALT_BYTES]
            for change, at in zip(changes, range(0, len(drawn), SALT_BYTES), strict=True)
        ]
    )


def picker(names: Iterable[str]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    """Return what gives the values of these names as a tuple."""
    wanted = tuple(names)
    if len(wanted) < 2:
        return lambda values: tuple(values[name] for name in wanted)
    return itemgetter(*wanted)


def cost_bytes(change: RowChange) -> int:
    """Return how many bytes of a changeset a change takes at most."""
    values = () if isinstance(change, RowDelete) else tuple(change.values.values())
    return len(encode(values)) + _OPERATION_BYTES


def split(changes: Sequence[RowChange]) -> Iterator[list[RowChange]]:
    """Yield the changes in runs that each fit into one changeset."""
    if 0 < len(changes) <= OPERATIONS and cost_of_all(changes) + _OVERHEAD_BYTES <= CHANGESET_BYTES:
        yield list(changes)
        return
    run: list[RowChange] = []
    size = _OVERHEAD_BYTES
    for change in changes:
        cost = cost_bytes(change)
        if run and (len(run) == OPERATIONS or size + cost > CHANGESET_BYTES):
            yield run
            run, size = [], _OVERHEAD_BYTES
        run.append(change)
        size += cost
    if run:
        yield run


def cost_of_all(changes: Sequence[RowChange]) -> int:
    """Return how many bytes of a changeset some changes take at most, encoded in one go."""
    values = [tuple(c.values.values()) for c in changes if not isinstance(c, RowDelete)]
    return len(encode(values)) + _OPERATION_BYTES * len(changes)
