"""Who may do what to a row: one pure function, deny by default, used unchanged everywhere.

Providers ask it when they accept, readers when they materialise, feeds when they filter, exports
when they write (DESIGN 5). It knows header facts and clear columns only, no clock, no other row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

import msgspec

from mfdb.rules.expression import evaluate
from mfdb.rules.manifest import Action, Grant, Grantee, Manifest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mfdb.kernel.ids import Address
    from mfdb.rules.clauses import Policy
    from mfdb.rules.columns import Stored


class Allowed(msgspec.Struct, frozen=True):
    """A grant allows it."""


class Denied(msgspec.Struct, frozen=True):
    """No grant allows it, and why."""

    reason: str


class RowView(msgspec.Struct, frozen=True, kw_only=True):
    """What everybody can see of a row version: its author and its clear columns."""

    author: Address | None
    clear: Mapping[str, Stored]


def authorise(
    manifest: Manifest,
    action: Action,
    row_before: RowView | None,
    row_after: RowView | None,
    identity: Address | None,
) -> Allowed | Denied:
    """Return whether an identity may do one action to one row.

    `row_before` is the version that the operation names as its parent, never what a replica
    happens to hold. For SELECT and SUBSCRIBE on a whole dataset both rows are None: then it is
    allowed if some grant could allow it for some row.
    """
    named = [grant for grant in manifest.grants if grant.actions & action]
    if not named:
        return Denied(f"nobody is granted {action.name} on {manifest.name}")
    for grant in named:
        if _is_for(grant, manifest, row_before or row_after, identity) and _holds(
            grant, row_before, row_after, identity
        ):
            return _judged(manifest, action, row_before, row_after, identity)
    who = "PUBLIC" if identity is None else f"0x{identity.hex()}"
    return Denied(f"no grant allows {who} to {action.name} on {manifest.name}")


def _judged(
    manifest: Manifest,
    action: Action,
    before: RowView | None,
    after: RowView | None,
    identity: Address | None,
) -> Allowed | Denied:
    """Return what the policies say of what a grant allows.

    Where any permissive policy is about the action, one that is for this identity must hold; every
    restrictive one that is for it must. Nobody is above them, the owner neither.
    """
    policies = manifest.policies(action)
    if not policies:
        return Allowed()
    row = before or after
    ours = [one for one in policies if _applies(one, manifest, row, identity)]
    for one in ours:
        if one.restrictive and not _satisfies(one, before, after, identity):
            return Denied(f"policy {one.name} of {manifest.name} forbids that {action.name}")
    permissive = [one for one in ours if not one.restrictive]
    if any(_satisfies(one, before, after, identity) for one in permissive):
        return Allowed()
    if all(one.restrictive for one in policies):
        return Allowed()
    return Denied(f"no policy of {manifest.name} permits that {action.name}")


def _applies(
    policy: Policy, manifest: Manifest, row: RowView | None, identity: Address | None
) -> bool:
    return any(_is(Grantee(kind), who, manifest, row, identity) for kind, who in policy.grantees)


def _satisfies(
    policy: Policy, before: RowView | None, after: RowView | None, identity: Address | None
) -> bool:
    """USING is asked about the row before; WITH CHECK, or else USING, about the row after."""
    later = policy.using if policy.check is None else policy.check
    return all(
        evaluate(condition, row.clear, author=row.author, caller=identity) is True
        for condition, row in ((policy.using, before), (later, after))
        if row is not None and condition is not None
    )


def _is_for(
    grant: Grant, manifest: Manifest, row: RowView | None, identity: Address | None
) -> bool:
    return _is(grant.grantee, grant.identity, manifest, row, identity)


def _is(
    grantee: Grantee,
    named: bytes,
    manifest: Manifest,
    row: RowView | None,
    identity: Address | None,
) -> bool:
    match grantee:
        case Grantee.PUBLIC:
            return True
        case Grantee.OWNER:
            return identity == manifest.owner
        case Grantee.AUTHOR:
            return identity is not None and (row is None or row.author == identity)
        case Grantee.IDENTITY:
            return identity == named
        case _:
            assert_never(grantee)


def _holds(
    grant: Grant, before: RowView | None, after: RowView | None, identity: Address | None
) -> bool:
    """An UPDATE must satisfy the condition before and after, else one could move rows away."""
    if grant.columns and before and after and not _changes_only(grant.columns, before, after):
        return False
    if grant.condition is None:
        return True
    return all(
        evaluate(grant.condition, row.clear, author=row.author, caller=identity) is True
        for row in (before, after)
        if row is not None
    )


def _changes_only(names: tuple[str, ...], before: RowView, after: RowView) -> bool:
    """Sealed columns cannot be compared, so a grant on columns must name all of those."""
    return all(
        name in names or before.clear.get(name) == value for name, value in after.clear.items()
    )
