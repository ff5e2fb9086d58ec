"""What row versions hold: plaintext from the visible table, else opened from the envelope."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mfdb.dataset.layout import (
    Envelope,
    StoredRow,
    envelope_key,
    shown_key,
)
from mfdb.dataset.layouts import renamer
from mfdb.dataset.opener import NO_KEY, Opened, Unreadable, open_changeset_rows
from mfdb.dataset.row_runs import load_state
from mfdb.dataset.salts import load_entry
from mfdb.dataset.schema import fitter
from mfdb.dataset.working import load

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nacl.public import PrivateKey

    from mfdb.dataset.acceptance import VersionMeta
    from mfdb.dataset.catalogue import Known
    from mfdb.kernel.ids import ChangesetId
    from mfdb.rules.manifest import Manifest
    from mfdb.store.port import Snapshot

_Rows = tuple[Opened | Unreadable | None, ...]


class Contents:
    """Opens versions of one dataset; changesets are opened once, whole."""

    def __init__(
        self,
        source: Snapshot,
        known: Known,
        private_key: Callable[[Manifest, int], PrivateKey | None],
        *,
        plain: Mapping[ChangesetId, _Rows] | None = None,
    ) -> None:
        """`plain` holds what a writer just sealed itself and need not open again."""
        self._source = source
        self._known = known
        self._private_key = private_key
        self._misfit = fitter(known.manifest)
        self._opened: dict[ChangesetId, _Rows] = dict(plain or {})

    def of(self, version: VersionMeta) -> Opened | Unreadable | None:
        """Return what a version holds: values, why not, or None for a delete."""
        if version.is_tombstone:
            return None
        rows = self._opened.get(version.changeset)
        if rows is None:
            rows = self._open(version.changeset)
            self._opened = {version.changeset: rows}
        found = rows[version.index]
        if isinstance(found, Opened):
            wrong = self._misfit(found.values)
            return Unreadable(wrong) if wrong else found
        return found

    def shown(self, version: VersionMeta) -> dict[str, Any] | None:
        """Return the values of a version by column name, or None when they cannot be had."""
        dataset = self._known.manifest.dataset
        state = load_state(self._source, dataset, version.row)
        if state is not None and state.shown == version.version:
            row = load(self._source, StoredRow, shown_key(dataset, state.locator))
            if row is not None:
                names = (column.name for column in self._known.manifest.columns)
                return dict(zip(names, row.values, strict=True))
        found = self.of(version)
        return dict(found.values) if isinstance(found, Opened) else None

    def _open(self, changeset: ChangesetId) -> _Rows:
        manifest = self._known.manifest
        envelope = load(self._source, Envelope, envelope_key(manifest.dataset, changeset))
        if envelope is None:
            return _Nothing()
        header = envelope.changeset.header
        named = next((m for m in self._known.manifests if m.hash == header.manifest), manifest)
        rows = open_changeset_rows(
            envelope.changeset,
            load_entry(self._source, manifest.dataset, changeset),
            named,
            lambda epoch: self._private_key(manifest, epoch),
        )
        rename = renamer(named, manifest)
        if rename is None:
            return rows
        return tuple(
            Opened(values=rename(row.values), author=row.author) if isinstance(row, Opened) else row
            for row in rows
        )


class _Nothing(tuple[Opened | Unreadable | None, ...]):
    """Stands for the rows of a changeset whose envelope is gone."""

    __slots__ = ()

    def __getitem__(self, index: Any) -> Any:
        return NO_KEY
