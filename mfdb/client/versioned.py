"""A replica's rows as statements read them: each knows its version and its lasting id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.dataset.ledger.format import has_ledger
from mfdb.dataset.rows import lasting_id
from mfdb.kernel.ids import Address, RowId
from mfdb.rules.changeset import version_at
from mfdb.sql.tables import StoredRow

if TYPE_CHECKING:
    from collections.abc import Callable

    from mfdb.dataset.catalogue import Known
    from mfdb.dataset.keyring import Keyring
    from mfdb.dataset.layout import StoredRow as ReplicaRow
    from mfdb.kernel.ids import VersionId

    Naming = Callable[[RowId], RowId]


class VersionedRow(StoredRow, frozen=True):
    """A stored row that also knows its version, which a change of it must name.

    `row_id` and `version` are the handles by which the replica knows them; `naming` makes the
    lasting id of a handle, where that is another. `origin` is what a version is made of.
    """

    origin: bytes
    naming: Callable[[RowId], RowId] | None = None

    @property
    def version(self) -> VersionId:
        """The version that a change of the row supersedes."""
        return version_at(self.origin)

    @property
    def lasting_id(self) -> RowId:
        """The id by which the row is known everywhere."""
        return self.row_id if self.naming is None else self.naming(self.row_id)


def versioned(row: ReplicaRow, row_id: RowId, naming: Naming | None = None) -> VersionedRow:
    """Return a replica's row as statements read it."""
    author = Address(row.author) if row.author else None
    return VersionedRow(row_id, row.values, author, row.hlc, row.origin, naming)


def naming(known: Known, keyring: Keyring) -> Naming | None:
    """Return what makes lasting ids of the handles of rows, or None where those are the same."""
    if not has_ledger(known.manifest):
        return None
    return lambda handle: lasting_id(known.manifest, handle, keyring)
