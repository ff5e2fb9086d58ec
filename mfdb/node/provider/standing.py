"""What every write to a dataset is judged by, read once: its rules, and whom it is placed with.

Rules and placement change now and then, writes come a thousand times a second. Whoever changes the
first says so (`Transaction.redefines`), and what is remembered here is read anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mfdb.dataset.acceptance import Knowledge
from mfdb.kernel.errors import AccessDenied, UnknownDataset
from mfdb.node.provider import rows, shelf

if TYPE_CHECKING:
    from mfdb.kernel.ids import AgreementId, DatasetId, Hash
    from mfdb.node.commit import Transaction
    from mfdb.node.provider.context import Context
    from mfdb.node.provider.shelf import View
    from mfdb.rules.evidence import Agreement
    from mfdb.rules.manifest import Manifest


class Standing(NamedTuple):
    """Where a dataset stands: its manifests, and this provider's agreement."""

    by_hash: dict[Hash, Manifest]
    """The manifests by hash, oldest first."""
    manifests: tuple[Manifest, ...]
    agreement: Agreement
    agreement_id: AgreementId

    def knowledge(self, view: View, dataset: DatasetId) -> Knowledge:
        """Return what this provider knows of a dataset, for the judge."""
        return Knowledge(
            manifests=self.manifests,
            by_hash=self.by_hash,
            version_of=lambda _: None,
            header_of=lambda id_: shelf.header(view, dataset, id_),
            version_in=lambda row, id_: rows.version_in(view, dataset, row, id_),
        )


class Standings:
    """What is remembered of the datasets that were written to."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._read_at = -1
        self._found: dict[DatasetId, Standing] = {}

    def of(self, transaction: Transaction, dataset: DatasetId) -> Standing:
        """Return where a dataset stands, as an open transaction sees it.

        Raises:
            UnknownDataset: this provider keeps no such dataset.
            AccessDenied: it is none of the dataset's replicas.
        """
        if dataset in transaction.redefines:
            return self._read(transaction, dataset)
        redefined = self._context.committer.redefined
        if redefined != self._read_at:
            self._found.clear()
            self._read_at = redefined
        found = self._found.get(dataset)
        if found is None:
            found = self._found[dataset] = self._read(transaction, dataset)
        return found

    def _read(self, view: View, dataset: DatasetId) -> Standing:
        manifests = tuple([signed.manifest for signed in shelf.manifests(view, dataset)])
        if not manifests:
            raise UnknownDataset("this provider keeps no such dataset")
        placement, me = shelf.placement(view, dataset, self._context.network), self._context.me
        made = placement.agreements.get(me)
        if made is None or me not in placement.replica_set:
            raise AccessDenied(
                "this provider is not a replica of the dataset",
                hint="the placement log names the replicas",
            )
        by_hash = {manifest.hash: manifest for manifest in manifests}
        return Standing(by_hash, manifests, made.agreement, made.agreement.id)
