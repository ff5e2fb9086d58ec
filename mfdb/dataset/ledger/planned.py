"""Changes that name rows and versions by their handles, as a batch for a ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.dataset.layout import shown_key
from mfdb.dataset.pending import Pending, changed_since
from mfdb.dataset.row_changes import RowDelete, RowInsert
from mfdb.dataset.rows import key_packer, row_reader
from mfdb.dataset.schema import fitter, has_key
from mfdb.dataset.table import ordered_values
from mfdb.kernel.errors import SchemaViolation
from mfdb.kernel.ids import RowId

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from mfdb.dataset.layout import StoredRow
    from mfdb.dataset.pending import Values
    from mfdb.dataset.row_changes import RowChange
    from mfdb.dataset.working import Working
    from mfdb.rules.manifest import Manifest


def planned(working: Working, manifest: Manifest, changes: Sequence[RowChange]) -> Pending:
    """Return the batch that makes these changes.

    Raises:
        SchemaViolation: values do not fit the columns.
        StaleWrite: a row is not what its change starts from.
    """
    pending, fit = Pending(), _fitting(manifest)
    pack = key_packer(manifest) if has_key(manifest) else None
    for change in changes:
        if isinstance(change, RowInsert):
            values = fit(change.values)
            row = pending.fresh_id() if pack is None else RowId(pack(values))
            pending.insert(row, values)
            continue
        before = _row(working, manifest, change.row)
        if before is None or before.version != change.parent:
            raise changed_since(manifest)
        if isinstance(change, RowDelete):
            pending.delete(change.row, before)
        else:
            pending.update(change.row, before, fit(change.values))
    return pending


def _row(working: Working, manifest: Manifest, handle: RowId) -> StoredRow | None:
    data = working.get(shown_key(manifest.dataset, handle))
    return None if data is None else row_reader(manifest)(handle, data)


def _fitting(manifest: Manifest) -> Callable[[Mapping[str, Any]], Values]:
    in_order, misfit = ordered_values(manifest), fitter(manifest)

    def fit(values: Mapping[str, Any]) -> Values:
        wrong = misfit(values)
        if wrong:
            raise SchemaViolation(wrong)
        return in_order(values)

    return fit
