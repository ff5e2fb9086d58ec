"""With whom this provider keeps which datasets: looked up by peer, never by going through them all.

Made once from all placements, then only of those that have changed since (`Committer.redefined_at`)
is the placement read again. A stranger's Hello costs one look-up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.kernel.errors import MfdbError
from mfdb.kernel.ids import DatasetId, Hash

if TYPE_CHECKING:
    from mfdb.kernel.ids import Address
    from mfdb.node.provider.context import Context


class Fellows:
    """The other replicas of the datasets of which this provider is one."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._read_at = -1
        self._shared: dict[Address, set[DatasetId]] = {}
        self._replicas: dict[DatasetId, tuple[Address, ...]] = {}

    def shared_with(self, peer: Address) -> frozenset[DatasetId]:
        """Return the datasets of which a peer and this provider are replicas."""
        self._refresh()
        return frozenset(self._shared.get(peer, ()))

    def everybody(self) -> tuple[Address, ...]:
        """Return every peer with whom this provider shares a dataset."""
        self._refresh()
        return tuple(self._shared)

    def _refresh(self) -> None:
        committer = self._context.committer
        if self._read_at == committer.redefined:
            return
        since, self._read_at = self._read_at, committer.redefined
        changed = self._context.kept() if since < 0 else committer.redefined_since(since)
        for dataset in changed:
            self._read(DatasetId(Hash(dataset)))

    def _read(self, dataset: DatasetId) -> None:
        for peer in self._replicas.pop(dataset, ()):
            self._shared[peer].discard(dataset)
            if not self._shared[peer]:
                del self._shared[peer]
        try:
            replicas = self._context.placement(dataset).replica_set
        except MfdbError as error:
            # It was forgotten, or is damaged: whoever mends it says that it was redefined.
            self._context.damage.note(error)
            return
        me = self._context.me
        if me in replicas:
            self._replicas[dataset] = tuple(one for one in replicas if one != me)
            for peer in self._replicas[dataset]:
                self._shared.setdefault(peer, set()).add(dataset)
