"""The one judgement of a changeset: the same for the provider that accepts it and every reader.

    1. format, signature, commitments, row ids          (rules.changeset)
    2. the manifest that the header names               (unknown: parked)
    3. revocations: inside the accepted frontier?       (outside: denied)
    4. the parents that the operations name             (unknown: parked)
    5. `authorise` per operation, over parent versions  (deny by default)

It never asks what a replica holds now, nor what time it is, so that every replica comes to the
same answer in whatever order changesets arrive (DESIGN 5). A changeset that cannot be judged yet is
parked, never refused. `check_fresh` is the provider's extra question about a *new* write.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from mfdb.dataset.visibility import unconditional
from mfdb.kernel.clock import Hlc, hlc_seconds
from mfdb.kernel.codec import Record, encode
from mfdb.kernel.errors import AccessDenied, BadProof, ReplicaBehind, SchemaViolation, StaleWrite
from mfdb.kernel.ids import ZERO_ADDRESS, Address, ChangesetId, Hash, RowId, VersionId
from mfdb.kernel.limits import HLC_AHEAD_S
from mfdb.rules.authorise import Denied, RowView, authorise
from mfdb.rules.changeset import (
    ORDER_BYTES,
    Changeset,
    Header,
    check_changeset,
    check_free_rows,
    order_of,
    version_ids,
)
from mfdb.rules.manifest import Action, Column, Manifest, Ordering
from mfdb.rules.operations import Operation, OperationKind
from mfdb.store.ordered import pack

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

ACTION_OF = {
    OperationKind.INSERT: Action.INSERT,
    OperationKind.UPDATE: Action.UPDATE,
    OperationKind.DELETE: Action.DELETE,
}

_INSERTS = frozenset({OperationKind.INSERT})
_NO_CLEAR: dict[str, Any] = {}

EVERYBODY = ZERO_ADDRESS
"""The signer of a revocation that is for all signers but the owner (REVOKE ... FROM PUBLIC)."""


class VersionMeta(Record, frozen=True, gc=False):
    """What everybody can see of a row version.

    `author` is the author of the row's *first* version, empty when the sender was sealed; `clear`
    holds the clear columns by name; `parent` is empty for an insert.
    """

    version: VersionId
    row: RowId
    changeset: ChangesetId
    index: int
    kind: OperationKind
    parent: bytes
    author: bytes
    hlc: int
    clear: dict[str, Any]

    @property
    def stamp(self) -> Hlc:
        """The hybrid logical time of the write."""
        return Hlc(self.hlc)

    @property
    def is_tombstone(self) -> bool:
        """Whether the version deletes its row."""
        return self.kind is OperationKind.DELETE

    @property
    def view(self) -> RowView:
        """What `authorise` judges by."""
        return RowView(author=Address(self.author) if self.author else None, clear=self.clear)


class Knowledge(msgspec.Struct, frozen=True, kw_only=True):
    """What a judge knows of a dataset so far; each look-up gives None for what is not known yet.

    `manifests` is the chain of manifests, oldest first; `header_of` is asked only when a signer's
    rights were revoked.
    """

    manifests: tuple[Manifest, ...]
    version_of: Callable[[VersionId], VersionMeta | None]
    header_of: Callable[[ChangesetId], Header | None]
    version_in: Callable[[RowId, VersionId], VersionMeta | None] | None = None
    """Like `version_of`, where versions are kept by row; one of another row is not known then."""
    by_hash: Mapping[Hash, Manifest] | None = None
    """The manifests by hash, for who has computed that."""

    def manifest_of(self, hash_: Hash) -> Manifest | None:
        """Return the manifest of a hash."""
        if self.by_hash is not None:
            return self.by_hash.get(hash_)
        return next((known for known in reversed(self.manifests) if known.hash == hash_), None)


class Accepted:
    """The changeset is valid, for ever, unless a later manifest revokes its signer.

    `clears` holds the clear columns by name, one mapping per operation.
    """

    def __init__(
        self,
        changeset: Changeset,
        parents: list[VersionMeta | None],
        clears: list[dict[str, Any]],
    ) -> None:
        self.changeset = changeset
        self.parents = parents
        self.clears = clears

    @cached_property
    def versions(self) -> tuple[VersionMeta, ...]:
        """The row versions that it makes; hashed only for those who ask."""
        header, own = self.changeset.header, self.changeset.id
        ids = version_ids(own, self.changeset.count)
        return tuple(
            VersionMeta(
                version=ids[index],
                row=operation.row,
                changeset=own,
                index=index,
                kind=operation.kind,
                parent=operation.parent,
                author=parent.author if parent is not None else header.identity,
                hlc=header.hlc,
                clear=clear,
            )
            for index, (operation, parent, clear) in enumerate(
                zip(self.changeset.operations, self.parents, self.clears, strict=True)
            )
        )


class Parked(msgspec.Struct, frozen=True):
    """It cannot be judged before these manifests, versions or changesets are known.

    With nothing missing it is from the future: judge it again at `not_before_s`.
    """

    missing: tuple[Hash, ...]
    not_before_s: float = 0.0


def judge(
    changeset: Changeset, known: Knowledge, *, network: Hash, now_s: float | None = None
) -> Accepted | Parked:
    """Return the versions that a changeset makes, or what is missing to judge it.

    `now_s` only parks what is from the future (`limits.HLC_AHEAD_S`); it never decides validity.

    Raises:
        WrongNetwork, BadSignature, BadProof: the changeset is not good.
        AccessDenied, SchemaViolation: the rules do not allow its signer to do that.
    """
    header = changeset.header
    check_changeset(changeset, network=network, dataset=header.dataset)
    if now_s is not None and hlc_seconds(header.stamp) > now_s + HLC_AHEAD_S:
        return Parked((), hlc_seconds(header.stamp) - HLC_AHEAD_S)
    return admit(changeset, known)


def admit(changeset: Changeset, known: Knowledge) -> Accepted | Parked:
    """Return what `judge` does of a changeset whose signature and commitments are known good.

    Raises:
        BadProof, AccessDenied, SchemaViolation: the rules do not allow its signer to do that.
    """
    header = changeset.header
    manifest = known.manifest_of(header.manifest)
    if manifest is None:
        return Parked((header.manifest,))
    _check_header(changeset, manifest)
    _check_sizes(changeset, manifest)
    unknown = _outside_frontier(header, changeset.id, manifest, known)
    if unknown:
        return Parked(unknown)
    parents, missing = _parents(changeset, known)
    if missing:
        return Parked(missing)
    accepted = Accepted(changeset, parents, _clears(changeset, parents, manifest))
    _authorise_all(accepted, manifest)
    if manifest.has_ordered_rows:
        _check_order(accepted, manifest)
    return accepted


def as_named(changeset: Changeset, known: Knowledge) -> Knowledge:
    """Return what was known while the manifest that a changeset names was the newest.

    By that a provider judges what others took when it was fresh. Had each the right to refuse what
    a later manifest revokes, replicas would never be equal again: who took it first owes its bytes.
    Whether it counts for readers is decided by all manifests, as ever.
    """
    named = known.manifest_of(changeset.header.manifest)
    if named is None or named.number == known.manifests[-1].number:
        return known
    until = tuple(one for one in known.manifests if one.number <= named.number)
    return msgspec.structs.replace(known, manifests=until)


def check_frontier(changeset: Changeset, known: Knowledge) -> None:
    """Return quietly unless a later manifest than the one it names leaves a changeset out.

    Raises:
        AccessDenied: its signer's rights were revoked before it was known.
    """
    named = known.manifest_of(changeset.header.manifest)
    if named is not None:
        _outside_frontier(changeset.header, changeset.id, named, known)


def heads_left(versions: Iterable[VersionMeta], known: Knowledge) -> dict[VersionId, VersionMeta]:
    """Return the heads of a row among all its versions, each after its parent.

    What a revocation leaves out supersedes nothing, and neither does what builds on it.
    """
    counted: dict[VersionId, VersionMeta] = {}
    for meta in versions:
        is_orphan = bool(meta.parent) and meta.parent not in counted
        header = known.header_of(meta.changeset)
        if is_orphan or (header is not None and is_left_out(meta.changeset, header, known)):
            continue
        counted[meta.version] = meta
    superseded = {meta.parent for meta in counted.values()}
    return {version: meta for version, meta in counted.items() if version not in superseded}


def is_left_out(id_: ChangesetId, header: Header, known: Knowledge) -> bool:
    """Return whether a revocation is known that leaves a changeset out."""
    named = known.manifest_of(header.manifest)
    if named is None:
        return False
    try:
        _outside_frontier(header, id_, named, known)
    except AccessDenied:
        return True  # the answer asked for
    return False


def check_fresh(
    accepted: Accepted,
    known: Knowledge,
    *,
    heads_of: Callable[[RowId], Collection[VersionId]],
    now_s: float,
) -> None:
    """Return quietly if a provider may take a changeset as a *new* write, right now.

    Validity does not depend on this: a write that another provider took counts all the same.

    Raises:
        StaleWrite: a parent is no longer a head, or the manifest is not the one in force.
        ReplicaBehind: the manifest that it names has not come here yet.
        AccessDenied: the grant that it needs has expired.
    """
    changeset, newest = accepted.changeset, known.manifests[-1]
    if changeset.header.acl_epoch != newest.acl_epoch:
        raise StaleWrite(
            f"the rules of {newest.name} changed", hint="fetch the manifest and write again"
        )
    for operation in () if changeset.kinds == _INSERTS else changeset.operations:
        if operation.parent and operation.parent not in heads_of(operation.row):
            raise StaleWrite(
                f"a row of {newest.name} changed since it was read", hint="read it again and retry"
            )
    named = known.manifest_of(changeset.header.manifest)
    if named is None:
        raise ReplicaBehind(f"the write names what is not known here yet of {newest.name}")
    live = named.at(now_s)
    if live is not named:  # else `admit` has asked already
        _authorise_all(accepted, live)


def wins(one: VersionMeta, other: VersionMeta) -> bool:
    """Return whether a head decides the row's state against another: greater (HLC, version id)."""
    return (one.hlc, one.version) > (other.hlc, other.version)


def winner(heads: Iterable[VersionMeta]) -> VersionMeta:
    """Return the head that decides a row's state."""
    return max(heads, key=lambda head: (head.hlc, head.version))


def _check_header(changeset: Changeset, manifest: Manifest) -> None:
    header = changeset.header
    if manifest.dataset != header.dataset or manifest.acl_epoch != header.acl_epoch:
        raise BadProof("the header names a manifest of another dataset or access epoch")
    if header.key_epoch not in {key.epoch for key in manifest.read_keys}:
        raise BadProof("the header names a key epoch that its manifest does not have")
    if manifest.ordering is Ordering.FREE:
        check_free_rows(changeset)
    elif header.signer != manifest.owner:
        raise AccessDenied(
            f"writes to {manifest.name} are ordered by its owner's node",
            hint="send the write to the owner's node, or create the dataset with ordering = 'free'",
        )


def _check_sizes(changeset: Changeset, manifest: Manifest) -> None:
    most = manifest.most_row_bytes
    if not most:
        return
    for operation in changeset.operations:
        size = len(operation.sealed) + len(encode(operation.clear))
        if size > most:
            raise too_long(manifest, size)


def too_long(manifest: Manifest, size: int) -> SchemaViolation:
    """Return what to raise of a row that is longer than its dataset takes."""
    return SchemaViolation(
        f"a row of {manifest.name} takes {manifest.most_row_bytes // 1024} KiB at most, "
        f"this one would take {-(-size // 1024)}",
        hint="send less at a time, or a link; its owner may ALTER ... SET (max_message = ...)",
    )


def _outside_frontier(
    header: Header, id_: ChangesetId, named: Manifest, known: Knowledge
) -> tuple[Hash, ...]:
    """Return what is missing to tell whether a changeset lies inside every accepted frontier."""
    signer = header.signer
    if signer == named.owner:
        return ()
    missing: list[Hash] = []
    for later in known.manifests:
        if later.number <= named.number:
            continue
        for revocation in later.revocations:
            if revocation.signer in (signer, EVERYBODY):
                missing += _missing_links(header, id_, revocation.frontier, known)
    return tuple(missing)


def _missing_links(
    header: Header, id_: ChangesetId, frontier: tuple[Hash, ...], known: Knowledge
) -> tuple[Hash, ...]:
    """Walk back from each accepted head of the same chain to the changeset.

    Raises:
        AccessDenied: no head's chain contains it.
    """
    own = Hash(id_)
    missing = []
    for head in frontier:
        at = Hash(head)
        while True:
            if at == own:
                return ()
            link = known.header_of(ChangesetId(at))
            if link is None:
                missing.append(at)
                break
            same_chain = (link.signer, link.run) == (header.signer, header.run)
            if not same_chain or link.number <= header.number:
                break
            at = link.previous
    if not missing:
        raise AccessDenied(
            f"the rights of 0x{header.signer.hex()} were revoked before this write was known"
        )
    return tuple(missing)


def _parents(
    changeset: Changeset, known: Knowledge
) -> tuple[list[VersionMeta | None], tuple[Hash, ...]]:
    if changeset.kinds == _INSERTS:
        return [None] * changeset.count, ()
    found: list[VersionMeta | None] = []
    missing: list[Hash] = []
    for operation in changeset.operations:
        if not operation.parent:
            found.append(None)
            continue
        named = VersionId(operation.parent)
        if known.version_in is not None:
            parent = known.version_in(operation.row, named)
        else:
            parent = known.version_of(named)
        if parent is None:
            missing.append(Hash(operation.parent))
        found.append(parent)
    return found, tuple(missing)


def _clears(
    changeset: Changeset, parents: list[VersionMeta | None], manifest: Manifest
) -> list[dict[str, Any]]:
    """Return the clear columns of every operation by name, checked."""
    columns = manifest.clear_columns
    body = changeset.columns
    if body is not None and changeset.kinds == _INSERTS:
        if not columns and not body.clear:
            return [_NO_CLEAR] * changeset.count
        return [_named(one, manifest, columns) for one in body.clear or ((),) * changeset.count]
    clears = []
    for index, (operation, parent) in enumerate(zip(changeset.operations, parents, strict=True)):
        if parent is not None and (parent.row != operation.row or parent.is_tombstone):
            raise BadProof(f"operation {index} names a parent of another row, or a deleted one")
        clears.append(_clear(operation, manifest, columns, parent))
    return clears


def _clear(
    operation: Operation,
    manifest: Manifest,
    columns: tuple[Column, ...],
    parent: VersionMeta | None,
) -> dict[str, Any]:
    if operation.kind is OperationKind.DELETE:
        if operation.clear or operation.sealed:
            raise BadProof("a delete carries no values")
        return {}
    clear = _named(operation.clear, manifest, columns)
    if parent is not None and manifest.ordering is Ordering.FREE:
        _check_unchanged(clear, parent, manifest)
    return clear


def _named(
    values: tuple[Any, ...], manifest: Manifest, columns: tuple[Column, ...]
) -> dict[str, Any]:
    if len(columns) != len(values):
        raise BadProof("an operation carries another number of clear values than its manifest has")
    clear = {c.name: value for c, value in zip(columns, values, strict=True)}
    for column in columns:
        if column.not_null and clear[column.name] is None:
            raise SchemaViolation(f"column {column.name} of {manifest.name} must not be NULL")
    return clear


def _check_unchanged(clear: dict[str, Any], parent: VersionMeta, manifest: Manifest) -> None:
    """Clear columns decide who may do what, so without an orderer they are fixed for ever."""
    for name, value in parent.clear.items():
        if name in clear and clear[name] != value:
            raise AccessDenied(
                f"the clear column {name} of {manifest.name} cannot change",
                hint="clear columns may change only in a dataset with ordering = 'owner'",
            )


def _check_order(accepted: Accepted, manifest: Manifest) -> None:
    """A row that stands elsewhere than its key would be left out of ranges that are shown whole."""
    keys = [column.name for column in manifest.key_columns]
    for operation, clear in zip(accepted.changeset.operations, accepted.clears, strict=True):
        if operation.kind is OperationKind.DELETE:
            continue
        if operation.row[:ORDER_BYTES] != order_of(pack(*[clear[name] for name in keys])):
            raise BadProof(f"a row of {manifest.name} does not stand where its key belongs")


def _authorise_all(accepted: Accepted, manifest: Manifest) -> None:
    header = accepted.changeset.header
    caller = Address(header.identity) if header.identity else None
    actions = [ACTION_OF[kind] for kind in accepted.changeset.kinds]
    if not [one for one in actions if not unconditional(manifest, one, caller)]:
        return  # no row could change the answer, so that none is asked about
    for parent, version in zip(accepted.parents, accepted.versions, strict=True):
        verdict = authorise(
            manifest,
            ACTION_OF[version.kind],
            parent.view if parent is not None else None,
            None if version.is_tombstone else version.view,
            caller,
        )
        if isinstance(verdict, Denied):
            raise AccessDenied(verdict.reason)
