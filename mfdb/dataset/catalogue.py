"""Which datasets a replica knows: their chains of signed manifests, and names that lead to them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from mfdb.dataset.blocks.records import TABLES as BLOCK_TABLES
from mfdb.dataset.layout import dropped_key, manifest_key, name_key, of_dataset
from mfdb.dataset.working import Working, load, parse, save
from mfdb.kernel.errors import BadProof, UnknownDataset
from mfdb.kernel.ids import Address, DatasetId, show
from mfdb.kernel.nearest import nearest_hint
from mfdb.rules.manifest import (
    Manifest,
    SignedManifest,
    check_manifest,
    check_successor,
)

if TYPE_CHECKING:
    from mfdb.kernel.ids import Hash
    from mfdb.store.port import Snapshot


class Known(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A dataset that a replica knows, with every manifest version, oldest first."""

    chain: tuple[SignedManifest, ...]

    @cached_property
    def by_hash(self) -> dict[Hash, Manifest]:
        """All manifests by hash, oldest first."""
        return {manifest.hash: manifest for manifest in self.manifests}

    @property
    def manifest(self) -> Manifest:
        """The manifest in force."""
        return self.chain[-1].manifest

    @cached_property
    def manifests(self) -> tuple[Manifest, ...]:
        """All manifests, oldest first."""
        return tuple(signed.manifest for signed in self.chain)


def known_dataset(source: Snapshot, dataset: DatasetId) -> Known:
    """Return what is known of a dataset.

    Raises:
        UnknownDataset: nothing is.
    """
    chain = tuple(
        parse(SignedManifest, value) for _, value in source.scan(of_dataset(b"m", dataset))
    )
    if not chain:
        raise UnknownDataset(f"no dataset {show(dataset)} is known here")
    return Known(chain=chain)


def manifest_of(source: Snapshot, dataset: DatasetId) -> Manifest | None:
    """Return the manifest that is in force, or None if nothing is known of a dataset."""
    newest = source.scan(of_dataset(b"m", dataset), reverse=True)
    return next((parse(SignedManifest, value).manifest for _, value in newest), None)


def rename(working: Working, before: Manifest, now: Manifest) -> None:
    """Let a dataset be found by its new name, and no longer by its old one."""
    if before.name == now.name:
        return
    if find_dataset(working, before.owner, before.name) == now.dataset:
        working.delete(name_key(before.owner, before.name))
    working.put(name_key(now.owner, now.name), now.dataset)


def is_dropped(source: Snapshot, dataset: DatasetId) -> bool:
    """Return whether a dataset was dropped here."""
    return source.get(dropped_key(dataset)) is not None


def find_dataset(source: Snapshot, owner: Address, name: str) -> DatasetId | None:
    """Return the id of an owner's dataset, or None."""
    found = source.get(name_key(owner, name))
    return None if found is None else DatasetId(found)


def named_dataset(source: Snapshot, owner: Address, name: str) -> DatasetId:
    """Return the id of an owner's dataset.

    Raises:
        UnknownDataset: there is none; the hint names the nearest.
    """
    found = find_dataset(source, owner, name)
    if found is not None:
        return found
    names = [known for known, _ in datasets_of(source, owner)]
    hint = nearest_hint(name, names, "SHOW DATASETS lists what is known here", shown='"{}"'.format)
    raise UnknownDataset(f'dataset "{name}" does not exist', hint=hint)


def datasets_of(source: Snapshot, owner: Address) -> list[tuple[str, DatasetId]]:
    """Return names and ids of an owner's datasets in name order."""
    prefix = name_key(owner, "")
    return [(key[len(prefix) :].decode(), DatasetId(value)) for key, value in source.scan(prefix)]


def all_datasets(source: Snapshot) -> list[DatasetId]:
    """Return the ids of all datasets, one owner's after the other, in name order."""
    return [DatasetId(value) for _, value in source.scan(b"n")]


def add_manifest(working: Working, signed: SignedManifest, network: Hash) -> bool:
    """Take a manifest into its chain; return whether it was new.

    Raises:
        WrongNetwork, BadSignature, BadProof, SchemaViolation: it may not stand, it does not fit
            its neighbours, or another manifest of its number stands.
    """
    manifest = signed.manifest
    stored = load(working, SignedManifest, manifest_key(manifest.dataset, manifest.number))
    if stored is not None and stored.manifest.hash == manifest.hash:
        return False
    check_manifest(signed, network)
    if stored is not None:
        raise BadProof(f"the owner signed two manifests of number {manifest.number}")
    _check_neighbours(working, manifest)
    save(working, manifest_key(manifest.dataset, manifest.number), signed)
    if find_dataset(working, manifest.owner, manifest.name) is None:
        working.put(name_key(manifest.owner, manifest.name), manifest.dataset)
    return True


def _check_neighbours(working: Working, manifest: Manifest) -> None:
    """The newest manifest may come first; whatever comes later must fit what is there."""
    for number in (manifest.number - 1, manifest.number + 1):
        if number < 0:
            continue
        other = load(working, SignedManifest, manifest_key(manifest.dataset, number))
        if other is not None:
            pair = sorted((manifest, other.manifest), key=lambda one: one.number)
            check_successor(*pair)


def forget(working: Working, known: Known, *, reason: str) -> None:
    """Remove a dataset and everything that is kept of it."""
    manifest = known.manifest
    for table in b"mgockzrpvxwhduijfslq" + BLOCK_TABLES:
        for key, _ in list(working.scan(bytes([table]) + manifest.dataset)):
            working.delete(key)
    if find_dataset(working, manifest.owner, manifest.name) == manifest.dataset:
        working.delete(name_key(manifest.owner, manifest.name))
    working.put(dropped_key(manifest.dataset), reason.encode())
