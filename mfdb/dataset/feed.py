"""What is known of a dataset's past, by whatever means it is kept: the one port to it.

`SealedFeed` tells it from row states and the changelog of sealed changesets, `LedgerFeed` from the
signed operations of a dataset that lives on this machine only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mfdb.dataset.layout import StoredRow
    from mfdb.dataset.outcome import Conflict, RowChanged
    from mfdb.dataset.visibility import Visibility
    from mfdb.kernel.ids import Address, Hash, RowId, VersionId
    from mfdb.rules.authorise import RowView


class Feed(Protocol):
    """The past of one dataset in one committed state."""

    def last_sequence(self) -> int:
        """Return the number of the newest change, 0 if there is none."""
        ...

    def changes(self, after: int, sees: Visibility) -> Iterator[RowChanged]:
        """Yield the changes that may be seen, with a sequence number above `after`.

        A row that moves out of view is deleted for this reader, one that moves in is inserted. A
        version that was destroyed since is passed over: what became of its row follows.
        """
        ...

    def places(self, sees: Visibility) -> list[tuple[int, RowId, VersionId]]:
        """Return the rows that may be seen, in the order in which they were first shown.

        Each as the sequence number of the change that first showed it, and the handles of the row
        and of its version now.
        """
        ...

    def of_version(self, row: RowId, version: VersionId) -> StoredRow | None:
        """Return a row, by its lasting ids, as it is or was in a version that a handle names.

        None if that was destroyed since.
        """
        ...

    def conflicts(self) -> Iterator[Conflict]:
        """Yield the heads that lost, what cannot be read, and what still waits."""
        ...

    def shown_version(self, row: RowId) -> VersionId | None:
        """Return the handle of the version in which a row is shown, or None."""
        ...

    def frontier(self, signer: Address | None) -> tuple[Hash, ...]:
        """Return the heads of a signer's chains (None: of everybody's but the owner's)."""
        ...

    def view(self, row: StoredRow) -> RowView | None:
        """Return what the rules may look at of a visible row."""
        ...
