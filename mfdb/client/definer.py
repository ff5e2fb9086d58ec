"""From bound definitions to signed manifests; whoever asks puts them where they belong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.client import definitions
from mfdb.client.identities import address_of
from mfdb.client.names import owner_of
from mfdb.client.options import parse_options
from mfdb.kernel.errors import (
    AccessDenied,
    DuplicateDataset,
    DuplicateObject,
    InvalidDefinition,
    NotSupportedError,
    UnknownIdentity,
    UnknownObject,
)
from mfdb.kernel.ids import Hash, show
from mfdb.kernel.nearest import nearest_hint
from mfdb.kernel.seed import MAILBOX_NONCE
from mfdb.rules.clauses import Policy, plain
from mfdb.rules.evidence import EMBEDDED
from mfdb.rules.given_up import is_given_up
from mfdb.rules.manifest import Action, Grant, Grantee, Kind, Manifest, dataset_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfdb.client.options import DatasetOptions
    from mfdb.client.state import SessionState
    from mfdb.rules.clauses import View
    from mfdb.rules.manifest import SignedManifest, WrappedKey
    from mfdb.sql import statement as st
    from mfdb.sql.bound import BoundCreate, BoundGrant, BoundPolicy, BoundRevoke

SALT_BYTES = 32
_GRANTEES = {
    "PUBLIC": Grantee.PUBLIC,
    "OWNER": Grantee.OWNER,
    "AUTHOR": Grantee.AUTHOR,
    "IDENTITY": Grantee.IDENTITY,
}


class Definer:
    """Makes the manifests that one session's definitions ask for."""

    def __init__(self, state: SessionState) -> None:
        self._state = state

    def create(
        self, bound: BoundCreate, options: DatasetOptions, network: Hash
    ) -> SignedManifest | None:
        """Return the first manifest of a new dataset, or None if IF NOT EXISTS finds it there.

        Raises:
            DuplicateDataset: the name is taken.
            AccessDenied: the name, or the mailbox, has another owner.
            UnknownIdentity: the mailbox is for nobody known.
        """
        node, state = bound.statement, self._state
        self._check_for(node)
        if not self.is_free(node.table, if_not_exists=node.if_not_exists):
            return None
        manifest = definitions.first_manifest(
            bound,
            options,
            keyring=state.replica.keyring,
            network=network,
            nonce=self._free_nonce(node.table.name, mailbox=node.mailbox),
            salt=Hash(state.entropy.token(SALT_BYTES)),
        )
        return self.sign(manifest)

    def is_free(self, name: st.TableName, *, if_not_exists: bool) -> bool:
        """Return whether a name may be taken; False if it is, and IF NOT EXISTS was said.

        Raises:
            DuplicateDataset: the name is taken.
            AccessDenied: the name has another owner.
        """
        self._own_name(name)
        taken = self._state.replica.find(self._state.me, name.name)
        if taken is None or is_given_up(taken.manifest):
            return True
        if if_not_exists:
            return False
        raise DuplicateDataset(
            f"{taken.manifest.kind.name.lower()} {name.name} exists already",
            hint="choose another name, or CREATE ... IF NOT EXISTS",
            position=name.position,
        )

    def view(
        self,
        name: st.TableName,
        columns: Sequence[tuple[str, str]],
        view: View,
        replaces: Manifest | None,
    ) -> SignedManifest:
        """Return the manifest of a new view, or the next one of the view that it replaces."""
        state = self._state
        if replaces is not None:
            changes = {"columns": definitions.plain_columns(columns), "clauses": (plain(view),)}
            return self.sign(definitions.successor(replaces, **changes))
        return self.sign(
            definitions.view_manifest(
                name.name,
                columns,
                view,
                keyring=state.replica.keyring,
                network=EMBEDDED,
                nonce=self._free_nonce(name.name, mailbox=False),
                salt=Hash(state.entropy.token(SALT_BYTES)),
            )
        )

    def grants(self, bound: BoundGrant) -> list[Grant]:
        """Return the grants that a statement gives.

        Raises:
            UnknownIdentity: a grantee is nobody known.
        """
        return [
            Grant(
                grantee=_GRANTEES[grantee.kind],
                identity=self._identity(grantee),
                actions=actions,
                columns=columns,
                condition=bound.condition,
                until=bound.until,
            )
            for grantee in bound.statement.grantees
            for actions, columns in bound.rights
        ]

    def grant(
        self, manifest: Manifest, grants: Sequence[Grant], wrapped: Sequence[WrappedKey]
    ) -> SignedManifest | None:
        """Return the manifest that gives these grants, or None if they stand already.

        Raises:
            AccessDenied, NotSupportedError: they may not be given.
        """
        self.own(manifest)
        for grant in grants:
            _check_readable(manifest, grant)
            _check_whole(manifest, grant)
        after = definitions.granted(manifest, grants, wrapped)
        return None if after is manifest else self.sign(after)

    def revoke(self, manifest: Manifest, bound: BoundRevoke) -> Manifest:
        """Return the manifest without the rights that a statement takes back, not signed yet.

        Raises:
            AccessDenied: the dataset is somebody else's.
        """
        self.own(manifest)
        lost = [
            (_GRANTEES[grantee.kind], self._identity(grantee), actions, columns)
            for grantee in bound.statement.grantees
            for actions, columns in bound.rights
        ]
        replica = self._state.replica
        with replica.reading() as reading:
            known = reading.known(manifest.dataset)
            return definitions.revoked(
                manifest,
                lost,
                frontier_of=lambda signer: reading.frontier(known, signer),
                keyring=replica.keyring,
            )

    def policy(self, manifest: Manifest, bound: BoundPolicy) -> SignedManifest:
        """Return the manifest with a policy more; what was written before it stays.

        Raises:
            AccessDenied: the dataset is somebody else's.
            DuplicateObject: it has a policy of that name.
            NotSupportedError: providers cannot keep it.
        """
        self.own(manifest)
        node = bound.statement
        if any(one.name == node.name.text for one in manifest.of_kind(Policy)):
            raise DuplicateObject(
                f"dataset {manifest.name} has a policy {node.name.text} already",
                hint="choose another name, or DROP POLICY",
                position=node.name.position,
            )
        reads = bound.actions & int(Action.SELECT | Action.SUBSCRIBE)
        if reads and manifest.network != EMBEDDED:
            raise NotSupportedError(
                "a right to read some of the rows cannot be kept by providers yet",
                hint="FOR INSERT, UPDATE or DELETE; or put such rows into a dataset of their own",
                position=node.position,
            )
        policy = Policy(
            node.name.text,
            node.restrictive,
            bound.actions,
            tuple((int(_GRANTEES[one.kind]), self._identity(one)) for one in node.grantees),
            bound.using,
            bound.check,
        )
        replica = self._state.replica
        with replica.reading() as reading:
            known = reading.known(manifest.dataset)
            after = definitions.with_policy(manifest, policy, lambda: reading.frontier(known, None))
        return self.sign(after)

    def without_policy(self, manifest: Manifest, node: st.DropPolicy) -> SignedManifest | None:
        """Return the manifest without a policy, None if there is none and IF EXISTS was said.

        Raises:
            AccessDenied: the dataset is somebody else's.
            UnknownObject: it has no such policy.
        """
        self.own(manifest)
        names = [one.name for one in manifest.of_kind(Policy)]
        if node.name.text in names:
            return self.sign(definitions.without_policy(manifest, node.name.text))
        if node.if_exists:
            return None
        raise UnknownObject(
            f"dataset {manifest.name} has no policy {node.name.text}",
            hint=nearest_hint(node.name.text, names, f"SHOW POLICIES ON {manifest.name}"),
            position=node.name.position,
        )

    def alter(self, manifest: Manifest, node: st.AlterOptions) -> SignedManifest:
        """Return the manifest with other options.

        Raises:
            AccessDenied, InvalidDefinition, SchemaViolation: they may not be set.
        """
        self.own(manifest)
        options = parse_options(node.options, manifest.profile, creates=False)
        definitions.check_message(options, mailbox=manifest.kind is Kind.MAILBOX)
        changes: dict[str, object] = {
            "profile": options.profile,
            "revocations": (),
            "options": definitions.kept_options(manifest.options, options),
        }
        if options.max_message_kib is not None:
            # Else whoever has not heard of it could go on by the version that he names.
            changes["acl_epoch"] = manifest.acl_epoch + 1
        if options.retention_s is not None:
            changes["retention_s"] = options.retention_s or definitions.RETENTION_S
        if options.price_ceiling is not None:
            changes["price_ceiling"] = options.price_ceiling
        return self.sign(definitions.successor(manifest, **changes))

    def drop(self, manifest: Manifest) -> SignedManifest:
        """Return the manifest that gives a dataset up.

        Raises:
            AccessDenied: the dataset is somebody else's.
        """
        self.own(manifest)
        return self.sign(definitions.given_up(manifest))

    def own(self, manifest: Manifest) -> None:
        """Return quietly if this identity may change the rules of a dataset.

        Raises:
            AccessDenied: it is not the owner.
        """
        if manifest.owner != self._state.me:
            raise AccessDenied(
                f"only its owner {show(manifest.owner)} changes the rules of {manifest.name}"
            )

    def sign(self, manifest: Manifest) -> SignedManifest:
        """Return a manifest with this identity's signature."""
        return definitions.signed(manifest, self._state.keys.account)

    def _check_for(self, node: st.CreateDataset) -> None:
        """A mailbox is made by whom it is for: its rules are signed by that key."""
        owner = node.mailbox_of
        if owner is None:
            return
        if owner.kind != "IDENTITY":
            raise InvalidDefinition(
                f"a mailbox is for one identity, and {owner.kind} is none",
                hint="write FOR and a petname, or leave it out: it is yours then",
                position=owner.position,
            )
        if self._identity(owner) != self._state.me:
            raise AccessDenied(
                f"only {owner.name} can make a mailbox for {owner.name}: its owner signs its rules",
                hint=f"USE IDENTITY {owner.name} first, if its keys are here",
                position=owner.position,
            )

    def _own_name(self, name: st.TableName) -> None:
        if name.owner is None:
            return
        if owner_of(name, self._state.me, self._state.identities) != self._state.me:
            raise AccessDenied(
                "a dataset belongs to the identity that creates it",
                hint="leave the owner out of the name"
                if not self._state.settings.owner
                else "USE DEFAULT, to make it among your own",
                position=name.position,
            )

    def _free_nonce(self, name: str, *, mailbox: bool) -> Hash:
        state = self._state
        return definitions.free_nonce(
            name,
            state.keys.dataset_nonce,
            lambda nonce: state.replica.is_used(dataset_id(state.me, nonce)),
            mailbox=mailbox,
        )

    def _identity(self, grantee: st.Grantee) -> bytes:
        if grantee.kind != "IDENTITY":
            return b""
        try:
            return address_of(grantee.name, self._state.identities)
        except UnknownIdentity as error:
            error.position = grantee.position
            raise


def _check_whole(manifest: Manifest, grant: Grant) -> None:
    """Providers serve logs and segments whole, so nobody can be given some of the rows to read."""
    reads = grant.actions & int(Action.SELECT | Action.SUBSCRIBE)
    if reads and manifest.network != EMBEDDED and not grant.is_for_all_rows:
        raise NotSupportedError(
            "a right to read some of the rows cannot be kept by providers yet",
            hint="put what others may read into a dataset of its own",
        )


def _check_readable(manifest: Manifest, grant: Grant) -> None:
    """A right to read is worth nothing without a key, and the mailbox's key opens other keys."""
    if not grant.actions & Action.SELECT or grant.grantee is Grantee.OWNER:
        return
    if manifest.nonce == MAILBOX_NONCE:
        raise NotSupportedError(
            "nobody but its owner reads a mailbox: its key is the owner's own",
            hint="copy what others may read into a dataset",
        )
    if grant.grantee is Grantee.AUTHOR and manifest.sealed_columns:
        raise InvalidDefinition(
            "authors hold no key to the sealed columns of their rows",
            hint="grant SELECT to the identity, or make the columns CLEAR",
        )
