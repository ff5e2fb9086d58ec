"""Whether the owner may make these changes: `authorise` once, or row by row where it must."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mfdb.dataset.acceptance import too_long
from mfdb.dataset.visibility import unconditional
from mfdb.kernel.codec import encode
from mfdb.kernel.errors import AccessDenied
from mfdb.rules.authorise import Denied, RowView, authorise
from mfdb.rules.manifest import Action

if TYPE_CHECKING:
    from mfdb.dataset.pending import Pending, Values
    from mfdb.kernel.ids import Address
    from mfdb.rules.manifest import Manifest

_WRITES = (Action.INSERT, Action.UPDATE, Action.DELETE)


def check_allowed(manifest: Manifest, pending: Pending, identity: Address, now_s: float) -> None:
    """Return quietly if an identity may make these changes.

    Raises:
        AccessDenied: it may not, with the reason.
        SchemaViolation: a row takes more than the dataset's rules let it.
    """
    if identity != manifest.owner:
        raise AccessDenied(f"only its owner writes {manifest.name}, which lives on one machine")
    _check_sizes(manifest, pending)
    live = manifest.at(now_s)
    if _is_unconditional(live):
        return
    for handle, values in pending.after.items():
        before = pending.before.get(handle)
        action = (
            Action.INSERT if before is None else Action.DELETE if values is None else Action.UPDATE
        )
        verdict = authorise(
            live,
            action,
            None if before is None else clear_view(manifest, before.values),
            None if values is None else clear_view(manifest, values),
            identity,
        )
        if isinstance(verdict, Denied):
            raise AccessDenied(verdict.reason)


def allows_everything(manifest: Manifest) -> bool:
    """Return whether the owner may make any change at any time, so that nothing need be asked."""
    return not manifest.options and _is_unconditional(manifest.at(math.inf))


def _check_sizes(manifest: Manifest, pending: Pending) -> None:
    most = manifest.most_row_bytes
    if not most:
        return
    for values in pending.after.values():
        size = 0 if values is None else len(encode(values))
        if size > most:
            raise too_long(manifest, size)


def _is_unconditional(live: Manifest) -> bool:
    return all(unconditional(live, action, live.owner) for action in _WRITES)


def clear_view(manifest: Manifest, values: Values) -> RowView:
    """Return what the rules may look at of an owner's row."""
    named = zip(manifest.columns, values, strict=True)
    clear = {column.name: value for column, value in named if column.clear}
    return RowView(author=manifest.owner, clear=clear)
