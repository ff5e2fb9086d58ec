"""Manifests: the first one of a dataset, and its successors by GRANT, REVOKE and ALTER."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mfdb.dataset.acceptance import EVERYBODY
from mfdb.kernel.errors import InvalidDefinition, NotSupportedError
from mfdb.kernel.ids import ZERO_HASH, Address, DatasetId, Hash, Wei
from mfdb.kernel.seed import MAILBOX_NONCE
from mfdb.rules.clauses import AnyClause, ForeignKey, Policy, View, plain
from mfdb.rules.evidence import EMBEDDED
from mfdb.rules.given_up import DROPPED
from mfdb.rules.manifest import (
    ALL_ACTIONS,
    FORMAT,
    LEAST_DEPOSIT,
    MOST_MESSAGE,
    ROWS_IN_ORDER,
    ROWS_KEPT,
    Action,
    Column,
    Grant,
    Grantee,
    Kind,
    Manifest,
    Ordering,
    Profile,
    Revocation,
    SignedManifest,
    dataset_id,
)
from mfdb.rules.signing import sign
from mfdb.sql.bind_definition import SELF

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from mfdb.client.options import DatasetOptions
    from mfdb.dataset.keyring import Keyring
    from mfdb.kernel.account import Account
    from mfdb.rules.manifest import WrappedKey
    from mfdb.sql.bound import BoundCreate

DAY_S = 86_400
RETENTION_S = 365 * DAY_S
WRITES = int(Action.INSERT | Action.UPDATE | Action.DELETE)

MAILBOX_COLUMNS = (
    ("sent_at", "TIMESTAMPTZ"),
    ("sender", "TEXT"),
    ("subject", "TEXT"),
    ("headers", "JSON"),
    ("body", "BYTEA"),
)
"""What a mailbox holds unless its CREATE says otherwise."""


def first_manifest(
    bound: BoundCreate,
    options: DatasetOptions,
    *,
    keyring: Keyring,
    network: Hash,
    nonce: Hash,
    salt: Hash,
) -> Manifest:
    """Return the first manifest of a dataset that a statement creates.

    Raises:
        InvalidDefinition, NotSupportedError: it promises what its ordering cannot keep.
    """
    node = bound.statement
    mailbox = node.mailbox
    ordering = options.ordering
    if ordering is None:
        ordering = Ordering.FREE if mailbox else Ordering.OWNER
    columns = bound.columns if node.elements or not mailbox else plain_columns(MAILBOX_COLUMNS)
    _check_ordering(columns, ordering, mailbox=mailbox)
    check_message(options, mailbox=mailbox)
    owner = keyring.address
    dataset = dataset_id(owner, nonce)
    return Manifest(
        format=FORMAT,
        network=network,
        dataset=dataset,
        owner=owner,
        nonce=nonce,
        number=0,
        previous=ZERO_HASH,
        name=node.table.name,
        kind=Kind.MAILBOX if mailbox else Kind.DATASET,
        ordering=ordering,
        columns=columns,
        clauses=tuple(plain(own(clause, dataset)) for clause in bound.clauses),
        grants=_first_grants(mailbox=mailbox),
        acl_epoch=0,
        revocations=(),
        read_keys=(keyring.public_read_key(nonce, 0),),
        wrapped_keys=(),
        profile=options.profile,
        salt=salt,
        price_ceiling=options.price_ceiling or Wei(0),
        retention_s=options.retention_s or RETENTION_S,
        options=kept_options(_first_options(columns, ordering, network), options),
    )


def _first_options(
    columns: Sequence[Column], ordering: Ordering, network: Hash
) -> tuple[tuple[str, str], ...]:
    """Where providers read whole keys, they may also show that a range of them is whole."""
    keyed = [column.clear for column in columns if column.key]
    if network == EMBEDDED or ordering is Ordering.FREE or not keyed or not all(keyed):
        return ()
    return ((ROWS_IN_ORDER, "1"),)


def kept_options(
    before: Sequence[tuple[str, str]], options: DatasetOptions
) -> tuple[tuple[str, str], ...]:
    """Return the options that a manifest keeps by name, with those that a statement sets."""
    kept = dict(before)
    if options.deposit is not None:
        kept[LEAST_DEPOSIT] = str(int(options.deposit))
    if options.max_message_kib is not None:
        kept[MOST_MESSAGE] = str(options.max_message_kib)
    if options.retention_s is not None:
        kept[ROWS_KEPT] = str(options.retention_s)
    if kept.get(ROWS_KEPT) == "0":
        del kept[ROWS_KEPT]
    return tuple(kept.items())


def check_message(options: DatasetOptions, *, mailbox: bool) -> None:
    """Return quietly if a statement bounds messages of a mailbox only.

    Raises:
        InvalidDefinition: it is about another dataset.
    """
    if options.max_message_kib is not None and not mailbox:
        raise InvalidDefinition(
            "max_message bounds the rows that others send to a mailbox",
            hint="CHECK (length(column) <= ...) bounds those of a dataset",
        )


def view_manifest(
    name: str,
    columns: Sequence[tuple[str, str]],
    view: View,
    *,
    keyring: Keyring,
    network: Hash,
    nonce: Hash,
    salt: Hash,
) -> Manifest:
    """Return the first manifest of a view; its columns are (name, type) pairs."""
    owner = keyring.address
    return Manifest(
        format=FORMAT,
        network=network,
        dataset=dataset_id(owner, nonce),
        owner=owner,
        nonce=nonce,
        number=0,
        previous=ZERO_HASH,
        name=name,
        kind=Kind.VIEW,
        ordering=Ordering.OWNER,
        columns=plain_columns(columns),
        clauses=(plain(view),),
        grants=owner_grants(),
        acl_epoch=0,
        revocations=(),
        read_keys=(keyring.public_read_key(nonce, 0),),
        wrapped_keys=(),
        profile=Profile(),
        salt=salt,
        price_ceiling=Wei(0),
        retention_s=RETENTION_S,
        options=(),
    )


def free_nonce(
    name: str,
    keyring_nonce: Callable[[str], Hash],
    is_used: Callable[[Hash], bool],
    *,
    mailbox: bool,
) -> Hash:
    """Return a nonce that no dataset of the identity has used: the seed alone finds it again."""
    if mailbox and not is_used(MAILBOX_NONCE):
        return MAILBOX_NONCE
    number = 0
    while True:
        nonce = keyring_nonce(f"dataset/{name}/{number}")
        if not is_used(nonce):
            return nonce
        number += 1


def successor(manifest: Manifest, **changes: object) -> Manifest:
    """Return the next version of a manifest, in the format of this release."""
    if manifest.format != FORMAT and "clauses" not in changes:
        changes["clauses"] = tuple(plain(clause) for clause in manifest.parsed_clauses)
    return msgspec.structs.replace(
        manifest, format=FORMAT, number=manifest.number + 1, previous=manifest.hash, **changes
    )


def own(clause: AnyClause, dataset: DatasetId) -> AnyClause:
    """Return a clause with the dataset's id where it refers to itself."""
    if isinstance(clause, ForeignKey) and clause.dataset == SELF:
        return msgspec.structs.replace(clause, dataset=dataset)
    return clause


def signed(manifest: Manifest, account: Account) -> SignedManifest:
    """Return a manifest with its owner's signature."""
    return SignedManifest(manifest, sign(manifest, account))


def given_up(manifest: Manifest) -> Manifest:
    """Return the manifest that gives a dataset up: nobody is granted anything any more."""
    return successor(
        manifest,
        grants=(),
        acl_epoch=manifest.acl_epoch + 1,
        revocations=(),
        options=(*manifest.options, DROPPED),
    )


def granted(manifest: Manifest, grants: Iterable[Grant], wrapped: Sequence[WrappedKey]) -> Manifest:
    """Return the manifest that gives rights.

    Raises:
        NotSupportedError: a grant names columns, but not all that providers cannot compare.
    """
    fresh = tuple(grant for grant in grants if grant not in manifest.grants)
    sealed = {column.name for column in manifest.sealed_columns}
    for grant in fresh:
        left_out = sorted(sealed - set(grant.columns))
        if grant.columns and left_out:
            raise NotSupportedError(
                f"a grant on columns must name the sealed column {left_out[0]} too",
                hint="nobody but readers can see whether a sealed column changed; make it CLEAR",
            )
    if not fresh:
        return manifest
    return successor(
        manifest,
        grants=manifest.grants + fresh,
        revocations=(),
        wrapped_keys=(*manifest.wrapped_keys, *wrapped),
    )


def revoked(
    manifest: Manifest,
    lost: Sequence[tuple[Grantee, bytes, int, tuple[str, ...]]],
    *,
    frontier_of: Callable[[Address | None], tuple[Hash, ...]],
    keyring: Keyring,
) -> Manifest:
    """Return the manifest that takes rights back; `lost` is (grantee, identity, actions, columns).

    Who loses the right to write keeps what lies inside the frontier that is known here, no more.
    Who loses the right to read gets no key of the next epoch; what he read, he has read.
    """
    grants = tuple(
        left for grant in manifest.grants for left in _without(grant, lost) if left.actions
    )
    if grants == manifest.grants:
        return manifest
    actions = 0
    revocations: list[Revocation] = []
    for grantee, identity, taken, _ in lost:
        actions |= taken
        if taken & WRITES:
            revocations += _revocations(grantee, identity, frontier_of)
    changes: dict[str, object] = {
        "grants": grants,
        "acl_epoch": manifest.acl_epoch + 1,
        "revocations": tuple(revocations),
    }
    if actions & Action.SELECT:
        epoch = manifest.read_key.epoch + 1
        fresh_key = keyring.public_read_key(manifest.nonce, epoch)
        changes["read_keys"] = (*manifest.read_keys, fresh_key)
    return successor(manifest, **changes)


def with_policy(
    manifest: Manifest, policy: Policy, frontier: Callable[[], tuple[Hash, ...]]
) -> Manifest:
    """Return the manifest with a policy more, which takes rights away as a REVOKE does.

    What others wrote inside the frontier that is known here stays; nobody can back-date more.
    """
    revocations: tuple[Revocation, ...] = ()
    if policy.actions & WRITES and manifest.ordering is Ordering.FREE:
        revocations = (Revocation(EVERYBODY, frontier()),)
    clauses = (*manifest.parsed_clauses, policy)
    return successor(
        manifest,
        clauses=tuple(map(plain, clauses)),
        acl_epoch=manifest.acl_epoch + 1,
        revocations=revocations,
    )


def without_policy(manifest: Manifest, name: str) -> Manifest:
    """Return the manifest without a policy."""
    kept = [
        one for one in manifest.parsed_clauses if not (isinstance(one, Policy) and one.name == name)
    ]
    return successor(
        manifest,
        clauses=tuple(map(plain, kept)),
        acl_epoch=manifest.acl_epoch + 1,
        revocations=(),
    )


def readers(manifest: Manifest) -> list[tuple[Grantee, bytes]]:
    """Return who, besides the owner, is granted SELECT."""
    found = [
        (grant.grantee, grant.identity)
        for grant in manifest.grants
        if grant.actions & Action.SELECT and grant.grantee is not Grantee.OWNER
    ]
    return list(dict.fromkeys(found))


def plain_columns(columns: Iterable[tuple[str, str]]) -> tuple[Column, ...]:
    """Return columns of a name and a type each, and nothing else."""
    return tuple(
        Column(name=name, type=kind, clear=False, not_null=False, key=0, default=None, unique=False)
        for name, kind in columns
    )


def _check_ordering(columns: tuple[Column, ...], ordering: Ordering, *, mailbox: bool) -> None:
    if ordering is Ordering.OWNER:
        if mailbox:
            raise InvalidDefinition(
                "a mailbox takes writes from everybody, so nobody can order them",
                hint="leave out ordering, or create a dataset",
            )
        return
    for column in columns:
        if column.key or column.unique:
            what = "PRIMARY KEY" if column.key else "UNIQUE"
            raise NotSupportedError(
                f"{what} on {column.name} needs one node that orders all writes",
                hint="use ordering = 'owner', or leave it out: rows keep ids of their own",
            )


def _first_grants(*, mailbox: bool) -> tuple[Grant, ...]:
    if not mailbox:
        return owner_grants()
    owner = _grant(Grantee.OWNER, ALL_ACTIONS & ~int(Action.INSERT))
    return (_grant(Grantee.PUBLIC, int(Action.INSERT)), owner)


def owner_grants() -> tuple[Grant, ...]:
    """Return what a dataset of one's own begins with: everything to its owner, nothing else."""
    return (_grant(Grantee.OWNER, ALL_ACTIONS),)


def _grant(grantee: Grantee, actions: int) -> Grant:
    return Grant(
        grantee=grantee, identity=b"", actions=actions, columns=(), condition=None, until=0
    )


def _without(
    grant: Grant, lost: Sequence[tuple[Grantee, bytes, int, tuple[str, ...]]]
) -> tuple[Grant, ...]:
    actions = grant.actions
    for grantee, identity, taken, columns in lost:
        same = (grant.grantee, grant.identity) == (grantee, identity)
        if same and (not columns or columns == grant.columns):
            actions &= ~taken
    return (msgspec.structs.replace(grant, actions=actions),)


def _revocations(
    grantee: Grantee,
    identity: bytes,
    frontier_of: Callable[[Address | None], tuple[Hash, ...]],
) -> list[Revocation]:
    """The owner is never revoked: its own next manifest would have to say so."""
    if grantee is Grantee.OWNER:
        return []
    if grantee is Grantee.IDENTITY:
        return [Revocation(Address(identity), frontier_of(Address(identity)))]
    return [Revocation(EVERYBODY, frontier_of(None))]
