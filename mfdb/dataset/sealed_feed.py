"""The past of a dataset of sealed changesets: row states, versions and the changelog."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from mfdb.dataset.acceptance import VersionMeta, winner
from mfdb.dataset.contents import Contents
from mfdb.dataset.feed_blocks import entries_after
from mfdb.dataset.layout import (
    Envelope,
    FeedEntry,
    StoredRow,
    Verdict,
    feed_key,
    former_version_key,
    of_dataset,
    shown_key,
)
from mfdb.dataset.opener import Unreadable
from mfdb.dataset.outcome import Conflict, RowChanged
from mfdb.dataset.row_runs import load_state, scan_states
from mfdb.dataset.states import version_in
from mfdb.dataset.table import last_sequence
from mfdb.dataset.working import load, parse
from mfdb.kernel.ids import Hash, RowId, VersionId
from mfdb.rules.changeset import version_at, version_ids
from mfdb.rules.manifest import Ordering

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mfdb.dataset.catalogue import Known
    from mfdb.dataset.keyring import Keyring
    from mfdb.dataset.pending import Before
    from mfdb.dataset.visibility import Visibility
    from mfdb.kernel.ids import Address, DatasetId
    from mfdb.rules.authorise import RowView
    from mfdb.store.port import Snapshot


class SealedFeed:
    """`mfdb.dataset.feed.Feed` of a dataset of sealed changesets."""

    def __init__(
        self,
        snapshot: Snapshot,
        known: Known,
        keyring: Keyring,
        recent: Mapping[tuple[DatasetId, int], Before],
    ) -> None:
        self._snapshot = snapshot
        self._known = known
        self._dataset = known.manifest.dataset
        self._private_key = keyring.private_read_key
        self._recent = recent

    def last_sequence(self) -> int:
        """Return the number of the newest change, 0 if there is none."""
        return last_sequence(self._snapshot, self._dataset)

    def changes(self, after: int, sees: Visibility) -> Iterator[RowChanged]:
        """Yield the changes that may be seen, with a sequence number above `after`."""
        contents = Contents(self._snapshot, self._known, self._private_key)
        start, stop = feed_key(self._dataset, after + 1), feed_key(self._dataset, 2**64 - 1)
        for key, value in self._snapshot.scan(start, stop):
            for sequence, entry in entries_after(value, int.from_bytes(key[-8:], "big"), after):
                old = self._side(contents, sees, entry, entry.old)
                new = self._side(contents, sees, entry, entry.new)
                is_partial = False
                if old is not None and not entry.new:
                    recent = self._recently(sequence)
                    old, is_partial = recent or _kept(self._known, entry), recent is None
                change = _change(entry, old, new, sequence)
                if change is not None:
                    yield replace(change, is_partial=is_partial)

    def places(self, sees: Visibility) -> list[tuple[int, RowId, VersionId]]:
        """Return the rows that may be seen, in the order in which they were first shown."""
        found = []
        dataset = self._dataset
        for row, state in scan_states(self._snapshot, dataset):
            version = VersionId(state.shown)
            if not version:
                continue
            meta = None if sees.all else version_in(self._snapshot, dataset, state, version)
            if sees.all or (meta is not None and sees.row(meta.view)):
                found.append((int.from_bytes(state.place, "big"), row, version))
        return sorted(found)

    def of_version(self, row: RowId, version: VersionId) -> StoredRow | None:
        """Return a row as it is or was in a version, or None if that was destroyed since."""
        meta = self._former_meta(row, version)
        if meta is None:
            return None
        values = Contents(self._snapshot, self._known, self._private_key).shown(meta)
        if values is None:
            return None
        state = load_state(self._snapshot, self._dataset, meta.row)
        stored = None
        if state is not None and state.shown == version:
            stored = load(self._snapshot, StoredRow, shown_key(self._dataset, state.locator))
        return stored or StoredRow(
            row=meta.row,
            origin=version,
            author=meta.author,
            hlc=meta.hlc,
            values=tuple(values.get(column.name) for column in self._known.manifest.columns),
        )

    def _side(
        self,
        contents: Contents,
        sees: Visibility,
        entry: FeedEntry,
        version: bytes,
    ) -> dict[str, Any] | None:
        """Return one side of a change: None if there is none or this identity may not see it."""
        meta = self._former_meta(entry.row, version_at(version)) if version else None
        if meta is None or not (sees.all or sees.row(meta.view)):
            return None
        return contents.shown(meta) or {}

    def _recently(self, sequence: int) -> dict[str, Any] | None:
        row = self._recent.get((self._dataset, sequence))
        return None if row is None else named(self._known, row)

    # ---- conflicts

    def conflicts(self) -> Iterator[Conflict]:
        """Yield the heads that lost, what cannot be read, and what still waits."""
        contents = Contents(self._snapshot, self._known, self._private_key)
        dataset = self._dataset
        for _, state in scan_states(self._snapshot, dataset):
            if state.versions:
                yield from _row_conflicts(self._known, list(state.versions), contents)
        for _, value in self._snapshot.scan(of_dataset(b"c", dataset)):
            envelope = parse(Envelope, value)
            if envelope.verdict is not Verdict.APPLIED:
                yield from _waiting(envelope)

    def shown_version(self, row: RowId) -> VersionId | None:
        """Return the version in which a row is shown, or None."""
        state = load_state(self._snapshot, self._dataset, row)
        return VersionId(state.shown) if state and state.shown else None

    # ---- headers, for revocations

    def frontier(self, signer: Address | None) -> tuple[Hash, ...]:
        """Return the heads of a signer's chains (None: of everybody's but the owner's)."""
        previous: set[bytes] = set()
        heads: list[Hash] = []
        for _, value in self._snapshot.scan(of_dataset(b"c", self._dataset)):
            envelope = parse(Envelope, value)
            header = envelope.changeset.header
            wanted = (
                header.signer != self._known.manifest.owner
                if signer is None
                else (header.signer == signer)
            )
            if wanted and envelope.verdict is Verdict.APPLIED:
                previous.add(header.previous)
                heads.append(Hash(envelope.changeset.id))
        return tuple(head for head in heads if head not in previous)

    # ---- inside

    def view(self, row: StoredRow) -> RowView | None:
        """Return what the rules may look at of a visible row."""
        meta = self._meta(row.row, row.version)
        return None if meta is None else meta.view

    def _meta(self, row: RowId, version: VersionId) -> VersionMeta | None:
        """Return what everybody can see of a row's version, or None if it is not known."""
        state = load_state(self._snapshot, self._dataset, row)
        return version_in(self._snapshot, self._dataset, state, version)

    def _former_meta(self, row: RowId, version: VersionId) -> VersionMeta | None:
        """The changelog tells of versions, too, that a revocation has taken back since."""
        key = former_version_key(self._dataset, version)
        return self._meta(row, version) or load(self._snapshot, VersionMeta, key)


def named(known: Known, row: Before) -> dict[str, Any]:
    """Return a row's values by column name."""
    names = (column.name for column in known.manifest.columns)
    return dict(zip(names, row.values, strict=True))


def _kept(known: Known, entry: FeedEntry) -> dict[str, Any]:
    return {column.name: entry.kept.get(column.name) for column in known.manifest.columns}


def _change(
    entry: FeedEntry, old: dict[str, Any] | None, new: dict[str, Any] | None, sequence: int
) -> RowChanged | None:
    if new == {}:
        return None  # destroyed since: a later entry tells that the row is gone
    if old is None and new is None:
        return None
    return RowChanged(
        op="insert" if old is None else "delete" if new is None else "update",
        row=entry.row,
        version=version_at(entry.new or entry.old),
        old=old,
        new=new,
        author=entry.author,
        hlc=entry.hlc,
        sequence=sequence,
    )


def _row_conflicts(
    known: Known, heads: list[VersionMeta], contents: Contents
) -> Iterator[Conflict]:
    first = winner(heads)
    for head in sorted(heads, key=lambda one: (one.hlc, one.version)):
        if head.version != first.version:
            if not (head.is_tombstone and known.manifest.ordering is Ordering.OWNER):
                yield _conflict(head, "a later version of the row won")
            continue
        opened = contents.of(head)
        if isinstance(opened, Unreadable):
            yield _conflict(head, f"the row cannot be shown: {opened.reason}")


def _conflict(head: VersionMeta, reason: str) -> Conflict:
    return Conflict(
        row=head.row, version=head.version, author=head.author, hlc=head.hlc, reason=reason
    )


def _waiting(envelope: Envelope) -> Iterator[Conflict]:
    parked = envelope.verdict is Verdict.PARKED
    reason = "what it builds on is not here yet" if parked else "its signer's rights were revoked"
    header = envelope.changeset.header
    operations = envelope.changeset.operations
    ids = version_ids(envelope.changeset.id, len(operations))
    for version, operation in zip(ids, operations, strict=True):
        yield Conflict(
            row=RowId(operation.row),
            version=version,
            author=header.identity,
            hlc=header.hlc,
            reason=reason,
        )
