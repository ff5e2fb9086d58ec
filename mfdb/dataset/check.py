"""CHECK DATABASE: every signature, hash, visible row and index entry against the signed log.

    manifests -> signatures and the chain they make
    changesets -> signature, Merkle root, commitments, the key log entry beside each
               -> which versions there are and which are heads
    row states -> exactly those heads; what is shown is what the head's ciphertext opens to
    indexes    -> an entry for each visible row, and none besides
    blocks     -> the visible rows as they are, but for those that the tail marks

Nothing is repaired here: `Replica.rebuild` makes everything but the log anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mfdb.dataset import catalogue
from mfdb.dataset.acceptance import winner
from mfdb.dataset.blocks.check import check_blocks, same_values
from mfdb.dataset.contents import Contents
from mfdb.dataset.indexes import indexes_of
from mfdb.dataset.layout import (
    Envelope,
    StoredRow,
    Verdict,
    envelope_key,
    of_dataset,
    shown_key,
    unique_prefix,
)
from mfdb.dataset.ledger.check import LedgerCheck
from mfdb.dataset.ledger.format import has_ledger
from mfdb.dataset.opener import Opened
from mfdb.dataset.row_leaves import LAST
from mfdb.dataset.row_runs import load_state, scan_states
from mfdb.dataset.rows import row_reader
from mfdb.dataset.salts import load_entry
from mfdb.dataset.table import ordered_values
from mfdb.dataset.working import load, parse
from mfdb.kernel.errors import MfdbError
from mfdb.kernel.ids import ChangesetId, RowId, VersionId
from mfdb.rules.changeset import Changeset, check_changeset, version_ids
from mfdb.rules.key_log import check_entry
from mfdb.rules.manifest import Manifest, check_manifest, check_successor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nacl.public import PrivateKey

    from mfdb.dataset.acceptance import VersionMeta
    from mfdb.dataset.catalogue import Known
    from mfdb.dataset.scope import Scope
    from mfdb.kernel.ids import DatasetId
    from mfdb.store.port import Snapshot

PROBLEMS = 1_000
"""Problems that are listed; beyond, they are only counted."""


class Findings(msgspec.Struct):
    """What a check found wrong: nothing, if `is_good`."""

    wrong: int = 0
    problems: list[str] = msgspec.field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Whether nothing is wrong."""
        return self.wrong == 0

    def say(self, problem: str) -> None:
        """Note a problem."""
        self.wrong += 1
        if len(self.problems) < PROBLEMS:
            self.problems.append(problem)


class CheckReport(Findings):
    """What was looked at, and what is wrong."""

    datasets: int = 0
    changesets: int = 0
    rows: int = 0
    index_entries: int = 0


def check_store(
    snapshot: Snapshot,
    private_key: Callable[[Manifest, int], PrivateKey | None],
    only: DatasetId | None = None,
) -> CheckReport:
    """Return what a check of everything in a replica found, or of one dataset in it."""
    report = CheckReport()
    for dataset in catalogue.all_datasets(snapshot) if only is None else (only,):
        try:
            known = catalogue.known_dataset(snapshot, dataset)
        except MfdbError as error:
            report.say(f"dataset {dataset.hex()[:16]}: its manifests cannot be read: {error}")
            continue
        report.datasets += 1
        _Check(snapshot, known, private_key, report).run()
    return report


def check_scope(
    snapshot: Snapshot,
    private_key: Callable[[Manifest, int], PrivateKey | None],
    known: Known,
    scope: Scope,
) -> CheckReport:
    """Return what a check found of a scope of a sealed dataset: its rows, and what is visible."""
    report = CheckReport(datasets=1)
    _Check(snapshot, known, private_key, report).run_scope(scope)
    return report


class _Check:
    """The check of one dataset."""

    def __init__(
        self,
        snapshot: Snapshot,
        known: Known,
        private_key: Callable[[Manifest, int], PrivateKey | None],
        report: CheckReport,
    ) -> None:
        self._snapshot = snapshot
        self._known = known
        self._report = report
        self._dataset = known.manifest.dataset
        self._contents = Contents(snapshot, known, private_key)
        self._in_order = ordered_values(known.manifest)
        self._heads: dict[RowId, set[VersionId]] = {}

    def run(self) -> None:
        """Check everything, as far as it can be read."""
        sealed = (self._changesets, self._states)
        log = (self._ledger,) if has_ledger(self._known.manifest) else sealed
        for part in (self._manifests, *log, self._indexes, self._blocks):
            try:
                part()
            except MfdbError as error:
                self._say(f"the check ended early: {error}")

    def run_scope(self, scope: Scope) -> None:
        """Check what is shown of some rows, and the changesets that it comes from."""
        try:
            self._manifests()
            heads = self._heads_shown(scope)
            for changeset, rows in heads.items():  # opening one opens all its rows
                self._report.changesets += 1
                self._of_changeset(changeset, rows)
            self._visible(scope, {row.row for rows in heads.values() for row in rows})
        except MfdbError as error:
            self._say(f"the check ended early: {error}")

    def _heads_shown(self, scope: Scope) -> dict[ChangesetId, list[VersionMeta]]:
        """Return the heads by which the rows of a scope are shown, by their changesets."""
        found: dict[ChangesetId, list[VersionMeta]] = {}
        for first, last in scope.spans:
            for row, state in scan_states(self._snapshot, self._dataset, first, last + LAST):
                if not state.shown:
                    continue
                head = winner(state.versions)
                if head.version != state.shown:
                    self._say(f"row {row.hex()[:16]} is not visible in its newest version")
                found.setdefault(head.changeset, []).append(head)
        return found

    def _of_changeset(self, named: ChangesetId, rows: list[VersionMeta]) -> None:
        envelope = load(self._snapshot, Envelope, envelope_key(self._dataset, named))
        if envelope is None or envelope.verdict is not Verdict.APPLIED:
            self._say(f"changeset {named.hex()[:16]} of the log is missing")
            return
        self._changeset(named, envelope.changeset)
        operations = envelope.changeset.operations
        versions = version_ids(envelope.changeset.id, envelope.changeset.count)
        for head in rows:
            if (operations[head.index].row, versions[head.index]) != (head.row, head.version):
                self._say(f"row {head.row.hex()[:16]} has other heads than the log gives it")
            self._shown(head.row, head.version)

    def _visible(self, scope: Scope, rows: set[RowId]) -> None:
        """Check that nothing is visible between the keys of a scope but its rows."""
        read, skip = row_reader(self._known.manifest), len(shown_key(self._dataset, b""))
        for start, stop in scope.keys:
            above = None if stop is None else shown_key(self._dataset, stop)
            for key, value in self._snapshot.scan(shown_key(self._dataset, start), above):
                self._report.rows += 1
                if read(key[skip:], value).row not in rows:
                    self._say(f"a row is visible under {key[skip:].hex()[:16]} that nobody signed")

    def _say(self, problem: str) -> None:
        self._report.say(f"dataset {self._known.manifest.name}: {problem}")

    def _manifests(self) -> None:
        before: Manifest | None = None
        for signed in self._known.chain:
            manifest = signed.manifest
            try:
                check_manifest(signed, manifest.network)
                if before is not None and before.number + 1 == manifest.number:
                    check_successor(before, manifest)
            except MfdbError as error:
                self._say(f"manifest {manifest.number}: {error}")
            before = manifest

    # ---- the log

    def _ledger(self) -> None:
        found = LedgerCheck(self._snapshot, self._known, self._say)
        found.run()
        self._report.changesets += found.changesets
        self._report.rows += found.rows

    def _changesets(self) -> None:
        superseded: set[VersionId] = set()
        for key, value in self._snapshot.scan(of_dataset(b"c", self._dataset)):
            self._report.changesets += 1
            named = ChangesetId(key[33:])
            try:
                envelope = parse(Envelope, value)
                self._changeset(named, envelope.changeset)
            except MfdbError as error:
                self._say(f"changeset {named.hex()[:16]}: {error}")
                continue
            if envelope.verdict is Verdict.APPLIED:
                self._note(envelope.changeset, superseded)
        for heads in self._heads.values():
            heads.difference_update(superseded)

    def _changeset(self, named: ChangesetId, changeset: Changeset) -> None:
        check_changeset(changeset, network=self._known.manifest.network, dataset=self._dataset)
        if changeset.id != named:
            self._say(f"changeset {named.hex()[:16]} is kept under another's name")
        entry = load_entry(self._snapshot, self._dataset, named)
        if entry is not None:
            check_entry(entry, changeset)

    def _note(self, changeset: Changeset, superseded: set[VersionId]) -> None:
        versions = version_ids(changeset.id, changeset.count)
        for version, operation in zip(versions, changeset.operations, strict=True):
            self._heads.setdefault(operation.row, set()).add(version)
            if operation.parent:
                superseded.add(VersionId(operation.parent))
            self._shown(RowId(operation.row), version)

    # ---- what was made of it

    def _states(self) -> None:
        shown = 0
        for row, state in scan_states(self._snapshot, self._dataset):
            if set(state.heads) != self._heads.pop(row, set()):
                self._say(f"row {row.hex()[:16]} has other heads than the log gives it")
            elif state.shown:
                shown += 1
                if state.shown != winner(state.versions).version:
                    self._say(f"row {row.hex()[:16]} is not visible in its newest version")
        for row, heads in self._heads.items():
            if heads:
                self._say(f"row {row.hex()[:16]} of the log is missing")
        visible = sum(1 for _ in self._snapshot.scan(of_dataset(b"d", self._dataset)))
        self._report.rows += visible
        if visible != shown:
            self._say(f"{visible} rows are visible, {shown} should be")

    def _shown(self, row: RowId, version: VersionId) -> None:
        """Compare a row that is visible in a version with what that version's ciphertext holds.

        Called changeset by changeset, because opening one opens all its rows.
        """
        state = load_state(self._snapshot, self._dataset, row)
        if state is None or state.shown != version:
            return
        stored = load(self._snapshot, StoredRow, shown_key(self._dataset, state.locator))
        head = next((one for one in state.versions if one.version == version), None)
        if stored is None or head is None or stored.version != version:
            self._say(f"row {row.hex()[:16]} is not visible where it should be")
            return
        opened = self._contents.of(head)
        if not isinstance(opened, Opened):
            self._say(f"row {row.hex()[:16]} is visible, but its signed version does not open")
        elif not same_values(self._in_order(opened.values), stored.values):
            self._say(f"row {row.hex()[:16]} shows other values than were signed")

    # ---- indexes

    def _indexes(self) -> None:
        manifest = self._known.manifest
        due, read = 0, row_reader(manifest)
        indexes = [i for i in indexes_of(self._snapshot, manifest) if i.info.is_ready]
        for key, value in self._snapshot.scan(of_dataset(b"d", self._dataset)):
            locator = key[33:]
            row = read(locator, value)
            for entry in self._unique_keys(locator, row):
                due += 1
                if self._snapshot.get(entry) is None:
                    self._say(
                        f"row {row.row.hex()[:16]} is missing in the index of a UNIQUE column"
                    )
            for index in indexes:
                due += 1
                if self._snapshot.get(index.entry(row)) != locator:
                    self._say(f"row {row.row.hex()[:16]} is missing in index {index.info.name}")
        there = sum(1 for _ in self._snapshot.scan(of_dataset(b"u", self._dataset)))
        there += sum(1 for index in indexes for _ in self._snapshot.scan(index.prefix))
        self._report.index_entries += there
        if there != due:
            self._say(f"the indexes have {there} entries, {due} are due")

    def _blocks(self) -> None:
        for problem in check_blocks(self._snapshot, self._known.manifest):
            self._say(problem)

    def _unique_keys(self, locator: bytes, row: StoredRow) -> Iterator[bytes]:
        for at, column in enumerate(self._known.manifest.columns):
            if column.unique and row.values[at] is not None:
                yield unique_prefix(self._dataset, at, row.values[at]) + locator
