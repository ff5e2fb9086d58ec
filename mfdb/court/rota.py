"""Who audits whom: one auditor per promise and epoch, the same in everybody's eyes.

The auditor is elected by rendezvous over the epoch's beacon among the dataset's other providers;
if it is away or lies, the next epoch elects another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from replication.audit import is_audited
from replication.repair import elect

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mfdb.kernel.ids import Address, Hash
    from mfdb.rules.placement import Placement
    from replication.segment import SealedSegment, SignedStoreReceipt


def audits_of(
    me: Address,
    placement: Placement,
    bundles: Iterable[SealedSegment],
    beacon: Hash,
    *,
    share_bp: int,
) -> Iterator[tuple[Address, SignedStoreReceipt]]:
    """Yield the promises that `me` audits in the beacon's epoch, each with who gave it.

    `share_bp` is the share of agreements that are audited per epoch, in basis points. Who audits a
    holder is elected once for all its promises: an election takes 0.2 ms, and a dataset of some
    gigabytes has thousands of segments.
    """
    holders = {made.agreement.id: provider for provider, made in placement.agreements.items()}
    elected: dict[Address, bool] = {}
    for signed in (signed for bundle in bundles for signed in bundle.receipts):
        holder = holders.get(signed.receipt.agreement)
        if holder is None or not is_audited(beacon, signed.receipt.agreement, share_bp):
            continue
        if holder not in elected:
            others = [provider for provider in placement.providers if provider != holder]
            elected[holder] = bool(others) and elect(others, beacon + holder) == me
        if elected[holder]:
            yield holder, signed
