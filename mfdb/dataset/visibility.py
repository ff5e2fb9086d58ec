"""Which rows an identity may see: `authorise` once for the dataset, per row where it must."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mfdb.kernel.errors import AccessDenied
from mfdb.rules.authorise import Allowed, Denied, authorise
from mfdb.rules.manifest import Action, Grantee

if TYPE_CHECKING:
    from mfdb.kernel.ids import Address
    from mfdb.rules.authorise import RowView
    from mfdb.rules.manifest import Manifest


class Visibility(msgspec.Struct, frozen=True, kw_only=True):
    """What one identity may see by one action; `all` when no row needs to be asked about."""

    manifest: Manifest
    action: Action
    identity: Address
    all: bool

    @classmethod
    def of(cls, manifest: Manifest, action: Action, identity: Address) -> Visibility:
        """Return the visibility of a dataset's rows for an identity."""
        return cls(
            manifest=manifest,
            action=action,
            identity=identity,
            all=unconditional(manifest, action, identity),
        )

    def row(self, view: RowView) -> bool:
        """Return whether one row may be seen."""
        verdict = authorise(self.manifest, self.action, view, None, self.identity)
        return isinstance(verdict, Allowed)


def demand(manifest: Manifest, action: Action, identity: Address) -> None:
    """Return quietly if an identity may do an action to some row of a dataset.

    Raises:
        AccessDenied: no row could ever be allowed, with the reason.
    """
    verdict = authorise(manifest, action, None, None, identity)
    if isinstance(verdict, Denied):
        raise AccessDenied(verdict.reason)


def unconditional(manifest: Manifest, action: Action, identity: Address | None) -> bool:
    """Return whether `authorise` would allow an action whatever the row holds."""
    if manifest.policies(action):
        return False
    wanted = int(action)  # a flag is much slower to compare
    for grant in manifest.grants:
        if not grant.actions & wanted or grant.condition is not None or grant.columns:
            continue
        if grant.grantee is Grantee.PUBLIC:
            return True
        if grant.grantee is Grantee.OWNER and identity == manifest.owner:
            return True
        if grant.grantee is Grantee.IDENTITY and identity == grant.identity:
            return True
    return False
