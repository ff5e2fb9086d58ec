"""What the writer of a ledger knows of its dataset, made once for each state of the catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.dataset.indexes import indexes_of
from mfdb.dataset.layout import chain_key, of_dataset
from mfdb.dataset.ledger.allowed import allows_everything
from mfdb.dataset.rows import row_reader
from mfdb.dataset.schema import has_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from mfdb.dataset.catalogue import Known
    from mfdb.dataset.pending import Values
    from mfdb.rules.manifest import Manifest
    from mfdb.store.port import Snapshot


class Form:
    """The columns, indexes and rules of one dataset, as its writer asks for them."""

    __slots__ = (
        "asks",
        "chain",
        "dataset",
        "entries",
        "indexes",
        "is_free",
        "keep",
        "keyed",
        "known",
        "manifest",
        "manifest_hash",
        "read",
        "rows",
        "slots",
        "unique",
    )

    def __init__(self, source: Snapshot, known: Known) -> None:
        manifest = known.manifest
        self.known = known
        self.manifest = manifest
        self.manifest_hash = manifest.hash
        self.dataset = manifest.dataset
        self.rows = of_dataset(b"d", manifest.dataset)
        self.slots = of_dataset(b"q", manifest.dataset)
        self.entries = of_dataset(b"l", manifest.dataset)
        self.chain = chain_key(manifest.dataset)
        self.read = row_reader(manifest)
        self.keyed = has_key(manifest)
        self.unique = [at for at, column in enumerate(manifest.columns) if column.unique]
        self.keep = _keeper(manifest)
        self.is_free = allows_everything(manifest)
        self.indexes = indexes_of(source, manifest)
        self.asks = [index for index in self.indexes if index.info.unique]


def _keeper(manifest: Manifest) -> Callable[[Sequence[Values]], Iterable[Values]]:
    """Return what leaves of deleted rows' values those of clear and key columns."""
    wanted = [column.clear or bool(column.key) for column in manifest.columns]

    def keep(rows: Sequence[Values]) -> Iterable[Values]:
        columns = zip(*rows, strict=True)
        nothing = (None,) * len(rows)
        kept = [column if wants else nothing for column, wants in zip(columns, wanted, strict=True)]
        return zip(*kept, strict=True)

    return keep
