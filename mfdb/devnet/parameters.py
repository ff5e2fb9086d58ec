"""Parameters of a development network: real windows and epochs, short enough to watch.

The answer window is longer than any planned outage of a provider in the demonstration, so that
only a provider that really lost data is convicted (DESIGN 13.5).
"""

from __future__ import annotations

from dataclasses import dataclass

from mfdb.chain.port import CourtTerms
from mfdb.kernel.ids import MFT, Wei
from mfdb.node.settings import ClientSettings, NodeSettings, ProviderSettings

TERMS = CourtTerms(
    bond=Wei(MFT),
    draws=30,
    epoch_s=3,
    repair_window_s=120,
    compensation_bp=7500,
    accuser_bp=500,
)
NODE = NodeSettings(poll_s=0.5)
PROVIDER = ProviderSettings(
    min_answer_window_s=10,
    audit_share=1.0,
    patience=6,
    reconcile_s=5,
    payment_threshold=Wei(2 * 10**12),
    cash_above=Wei(10**11),
)
CLIENT = ClientSettings(
    capacity_bytes=2**25,
    term_s=30 * 24 * 3600,
    epoch_s=3600,
    tail_s=600,
    answer_window_s=12,
    # Slashing is in proportion to the bytes lost, and the repair is paid first: even for a segment
    # of a few letters something must be left for its owner.
    repair_fee=Wei(MFT // 10_000),
)
PROVIDER_FUNDS = Wei(2000 * MFT)
GAS_FUNDS = 10**18


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What a devnet's contracts and nodes start with."""

    terms: CourtTerms = TERMS
    node: NodeSettings = NODE
    provider: ProviderSettings = PROVIDER
    client: ClientSettings = CLIENT


MIN_PROVIDERS = 7
"""Four of six shards, and a seventh provider to take over a lost one."""
