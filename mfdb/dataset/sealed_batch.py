"""One batch of sealed changesets to one dataset: judged, opened, and shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.dataset import indexes
from mfdb.dataset.contents import Contents
from mfdb.dataset.history import Admitted, History
from mfdb.dataset.new_runs import NewRuns
from mfdb.dataset.opener import Opened
from mfdb.dataset.outcome import Applied
from mfdb.dataset.table import Table
from mfdb.kernel.errors import BadProof
from mfdb.rules.columns import key_commitment, unwrap_key

if TYPE_CHECKING:
    from mfdb.dataset.blocks.tail import Tail
    from mfdb.dataset.catalogue import Known
    from mfdb.dataset.keyring import Keyring
    from mfdb.dataset.layout import StoredRow
    from mfdb.dataset.working import Working
    from mfdb.dataset.writer import Draft
    from mfdb.kernel.ids import ChangesetId
    from mfdb.rules.changeset import Changeset
    from mfdb.rules.key_log import KeyLogEntry


class SealedBatch:
    """What one batch of changesets to one dataset works with."""

    def __init__(
        self, working: Working, known: Known, keyring: Keyring, tail: Tail, *, now_s: float
    ) -> None:
        """`tail` is told of every row that is shown or hidden."""
        self.tail = tail
        self._working = working
        self._known = known
        self._keyring = keyring
        self._plain: dict[ChangesetId, tuple[Opened | None, ...]] = {}
        self._runs = NewRuns(working, known, tail)
        self.history = History(working, known, now_s=now_s, opens=self._opens)
        self.gone: dict[int, StoredRow] = {}
        """The rows that were replaced or removed, by the sequence number of the change."""

    def add_own(self, draft: Draft, admitted: Admitted | None = None) -> None:
        """Take in what this process composed itself, and need not open again."""
        self.history.add_own(
            draft.changeset, draft.data, draft.entry, admitted, show=lambda: self._shows(draft)
        )

    def _shows(self, draft: Draft) -> bool:
        """Show the rows of a draft in one go, or note what need not be opened to show them."""
        if not self.history.touched and self._runs.show(draft):
            return True
        author = draft.changeset.header.identity
        self._plain[draft.entry.changeset] = tuple(
            None if values is None else Opened(values=values, author=author)
            for values in draft.values
        )
        return False

    def add_acknowledged(self, draft: Draft, admitted: Admitted | None = None) -> None:
        """Take in what this process composed, and a quorum acknowledged since.

        A feed may have brought it here first. What was sealed for somebody else only, or names
        its author inside only, is opened like anything that the network brings, or not at all.
        """
        entry = draft.entry
        if self.history.knows(entry.changeset):
            self.history.add(draft.changeset, entry)
        elif draft.changeset.header.identity and self._reads(entry.key_epoch):
            self.add_own(draft, admitted)
        else:
            self.history.add_own(draft.changeset, draft.data, entry, admitted)

    def finish(self, *, is_own: bool = False) -> Applied:
        """Bring rows, indexes and the changelog up to date.

        Raises:
            DuplicateRow: the batch is our own, and repeats values of a UNIQUE index.
        """
        if self.history.touched:
            self._refresh(is_own=is_own)
        return Applied(applied=tuple(self.history.applied), shred=tuple(self.history.shredded))

    def _refresh(self, *, is_own: bool) -> None:
        contents = Contents(
            self._working, self._known, self._keyring.private_read_key, plain=self._plain
        )
        table = Table(self._working, self._known, contents, self.history.states, self.tail)
        for row in self.history.touched:
            table.refresh(row)
        table.finish()
        if is_own:
            self._check_unique(table)
        self.gone = table.gone

    def _check_unique(self, table: Table) -> None:
        """Only own writes can be refused; what others wrote is there (DESIGN 5)."""
        for index in table.indexes:
            if index.info.unique:
                indexes.check_unique(
                    self._working.under, self._working, self._known.manifest, index, table.fresh
                )

    def _reads(self, key_epoch: int) -> bool:
        return self._keyring.private_read_key(self._known.manifest, key_epoch) is not None

    def _opens(self, entry: KeyLogEntry, changeset: Changeset) -> bool:
        private = self._keyring.private_read_key(self._known.manifest, entry.key_epoch)
        if private is None:
            return False
        try:
            data_key = unwrap_key(entry.envelope, private)
        except BadProof:
            return False
        return key_commitment(data_key) == changeset.header.key_commitment
