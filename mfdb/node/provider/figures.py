"""What a provider tells of itself in numbers, gathered when somebody asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mfdb.node.provider import shelf
from mfdb.node.provider.records import DamagedRecord

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mfdb.kernel.ids import DatasetId
    from mfdb.node.commit import Committer
    from mfdb.node.provider.completing import Completing
    from mfdb.node.provider.damage import Damage
    from mfdb.node.provider.healing import Healing
    from mfdb.node.provider.repairing import Repairing
    from mfdb.node.provider.server import Server
    from mfdb.node.provider.shelf import View
    from mfdb.store.port import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The numbers of one moment; times in seconds."""

    datasets: int
    stored_bytes: int
    """Unsealed changesets and shards."""
    commits: int
    committed_changes: int
    answered: Mapping[str, int]
    """Requests answered since the start, by kind."""
    refused: Mapping[str, int]
    """Requests refused since the start, by kind."""
    under_replicated: int
    """Segments of which not all shards are promised."""
    reconciled_age_s: float
    """Since every dataset was reconciled last."""
    repairs_due: int
    """Convictions that are not settled."""
    repair_lag_s: float
    """How long the oldest of them waits."""
    repaired: int
    repair_s: float
    """How long all repairs since the start took together, from the conviction on."""
    damaged: int
    """Records on the disk that are damaged and not mended yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauges:
    """Where the numbers are kept."""

    store: Store
    committer: Committer
    server: Server
    completing: Completing
    healing: Healing
    repairing: Repairing
    damage: Damage

    def read(self) -> Figures:
        """Return the numbers of now; it costs a scan over the datasets, not over their history."""
        with self.store.snapshot() as view:
            datasets = shelf.datasets(view)
            stored = sum(self._used_bytes(view, dataset) for dataset in datasets)
        return Figures(
            datasets=len(datasets),
            stored_bytes=stored,
            commits=self.committer.commits,
            committed_changes=self.committer.changes,
            answered=dict(self.server.answered),
            refused=dict(self.server.refused),
            under_replicated=sum(self.completing.lacking.values()),
            reconciled_age_s=self.healing.age_s(),
            repairs_due=self.repairing.due,
            repair_lag_s=self.repairing.lag_s(),
            repaired=self.repairing.repaired,
            repair_s=self.repairing.repair_s,
            damaged=len(self.damage),
        )

    def _used_bytes(self, view: View, dataset: DatasetId) -> int:
        try:
            return shelf.used_bytes(view, dataset)
        except DamagedRecord as error:
            self.damage.note(error)  # it is counted again, and told then
            return 0
