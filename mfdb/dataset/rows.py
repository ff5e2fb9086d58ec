"""Visible rows as every reader of this machine sees them, whatever kind of dataset they are of.

A sealed dataset stores `StoredRow` whole. A ledger stores less: there a row's *handle* (`row`) is
its locator, and `version` is its sequence and place, 8 bytes each; the author is the owner. Ids
that mean something elsewhere are made when somebody asks (`lasting_id`).
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Any

import msgspec

from mfdb.dataset.layout import StoredRow
from mfdb.dataset.ledger.format import LedgerRow, has_ledger
from mfdb.dataset.schema import has_key
from mfdb.kernel.codec import own_decoder
from mfdb.kernel.digest import tagged_hash
from mfdb.kernel.errors import CorruptRecord
from mfdb.kernel.ids import RowId, VersionId
from mfdb.store.ordered import pack

if TYPE_CHECKING:
    from collections.abc import Callable

    from mfdb.dataset.keyring import Keyring
    from mfdb.kernel.ids import DatasetId
    from mfdb.rules.manifest import Manifest

_VERSION = Struct(">QQ")
PLACE_BYTES = 8


def row_reader(manifest: Manifest) -> Callable[[bytes, bytes], StoredRow]:
    """Return what makes a row of its locator and what is stored under it.

    It raises CorruptRecord if that is no row.
    """
    if not has_ledger(manifest):
        sealed = own_decoder(StoredRow)

        def whole(_locator: bytes, data: bytes) -> StoredRow:
            try:
                return sealed(data)
            except (msgspec.DecodeError, ValueError, RecursionError) as error:
                raise CorruptRecord("a stored row does not decode") from error

        return whole
    local, owner, version = own_decoder(LedgerRow), manifest.owner, _VERSION.pack

    def made(locator: bytes, data: bytes) -> StoredRow:
        try:
            row = local(data)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise CorruptRecord("a stored row does not decode") from error
        named = VersionId(version(row.sequence, row.place))
        return StoredRow(RowId(locator), named, owner, row.hlc, row.values)

    return made


def values_reader(manifest: Manifest) -> Callable[[bytes], Any]:
    """Return what decodes a stored row to something with `values`; errors come as from msgspec."""
    return own_decoder(LedgerRow) if has_ledger(manifest) else own_decoder(StoredRow)


def stored_values(manifest: Manifest) -> Callable[[bytes], tuple[Any, ...]]:
    """Return what gives the values of a stored row; it raises CorruptRecord if that is none."""
    read = values_reader(manifest)

    def values_of(data: bytes) -> tuple[Any, ...]:
        try:
            return read(data).values  # type: ignore[no-any-return] # a tuple in both kinds
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise CorruptRecord("a stored row does not decode") from error

    return values_of


def version_handle(sequence: int, place: int) -> VersionId:
    """Return what names a row's version within a ledger."""
    return VersionId(_VERSION.pack(sequence, place))


def sequence_and_place(version: bytes) -> tuple[int, int]:
    """Return by which operation a version of a ledger's row came, and which first showed it."""
    return _VERSION.unpack(version)


def place_handle(place: int) -> RowId:
    """Return the handle of a row without a key: the number of the change that first showed it."""
    return RowId(place.to_bytes(PLACE_BYTES, "big"))


def handle_maker(manifest: Manifest, keyring: Keyring) -> Callable[[tuple[Any, ...]], RowId] | None:
    """Return what makes a row's handle of its values, or None where they do not tell it."""
    if not has_key(manifest):
        return None
    packed = key_packer(manifest)
    if has_ledger(manifest):
        return packed  # type: ignore[return-value] # a handle is its packed key
    dataset, ordered = manifest.dataset, manifest.has_ordered_rows
    return lambda values: keyring.row_id(dataset, packed(values), in_order=ordered)


def key_packer(manifest: Manifest) -> Callable[[tuple[Any, ...]], bytes]:
    """Return what packs the primary key of a row's values."""
    places = {column.name: at for at, column in enumerate(manifest.columns)}
    at = [places[column.name] for column in manifest.key_columns]
    if len(at) == 1:
        only = at[0]
        return lambda values: pack(values[only])
    return lambda values: pack(*[values[place] for place in at])


def lasting_id(manifest: Manifest, handle: RowId, keyring: Keyring) -> RowId:
    """Return the id by which everybody knows a row, given its handle here."""
    if not has_ledger(manifest):
        return handle
    return local_row_id(manifest.dataset, handle, keyring, keyed=has_key(manifest))


def local_row_id(dataset: DatasetId, handle: bytes, keyring: Keyring, *, keyed: bool) -> RowId:
    """Return the id of a ledger's row: of its key, or of its place where it has no key."""
    if keyed:
        return keyring.row_id(dataset, handle)
    return RowId(tagged_hash("mfdb.row.local.v1", dataset, handle))
