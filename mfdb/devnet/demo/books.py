"""What the chain says of the whole run: who gained and lost how much MFT, what each kind cost."""

from __future__ import annotations

from collections import Counter
from statistics import median
from typing import TYPE_CHECKING

from mfdb.chain.port import (
    AgreementRegistered,
    CaseClosed,
    CaseOpened,
    CaseStatus,
    ChequeCashed,
    CompensationPaid,
    RecordPublished,
    Transferred,
)
from mfdb.kernel.ids import ZERO_ADDRESS, show

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mfdb.chain.port import Chain, ChainEvent, Seen
    from mfdb.kernel.ids import Address


def flows(events: Sequence[Seen], names: Mapping[Address, str]) -> dict[str, int]:
    """Return what every party gained, in wei; parties without a name go by their address.

    The mint is no flow: it is where the faucet's holdings come from. What is burnt goes to "burn",
    so that all flows sum to zero.
    """
    gained: Counter[str] = Counter(dict.fromkeys(names.values(), 0))
    for seen in events:
        moved = seen.event
        if isinstance(moved, Transferred) and moved.sender != ZERO_ADDRESS:
            gained[names.get(moved.sender, show(moved.sender))] -= moved.amount
            gained[names.get(moved.to, show(moved.to))] += moved.amount
    return dict(sorted(gained.items()))


async def gas_by_kind(chain: Chain, events: Sequence[Seen]) -> dict[str, int]:
    """Return the median gas of each kind of transaction that left an event."""
    used: dict[str, dict[bytes, int]] = {}
    for seen in events:
        kind = _kind(seen.event)
        if kind and seen.transaction not in used.setdefault(kind, {}):
            used[kind][seen.transaction] = await chain.gas_used(seen.transaction)
    return {kind: int(median(gas.values())) for kind, gas in sorted(used.items())}


def _kind(event: ChainEvent) -> str | None:
    match event:
        case ChequeCashed():
            return "cash_cheque"
        case AgreementRegistered(case=None):
            return "register_agreement"
        case AgreementRegistered():
            return "register_by_mandate"
        case CaseOpened():
            return "open_case"
        case CaseClosed(status=CaseStatus.NOT_GUILTY):
            return "answer"
        case CaseClosed():
            return "verdict"
        case CompensationPaid():
            return "settle_repair"
        case RecordPublished():
            return "set_record"
        case _:
            return None
