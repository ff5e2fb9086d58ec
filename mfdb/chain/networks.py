"""What differs between chains: ids, block times, how deep a block must lie to be believed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainProfile:
    """One kind of chain. `log_range` is how many blocks one log query may span."""

    name: str
    chain_id: int
    block_s: float
    confirmations: int
    log_range: int


DEVCHAIN = ChainProfile(
    name="devchain", chain_id=31337, block_s=1.0, confirmations=0, log_range=20_000
)
PROFILES = {
    profile.chain_id: profile
    for profile in (
        DEVCHAIN,
        ChainProfile(name="dev-1337", chain_id=1337, block_s=1, confirmations=0, log_range=20_000),
        ChainProfile(name="ethereum", chain_id=1, block_s=12, confirmations=5, log_range=1_000),
        ChainProfile(
            name="sepolia", chain_id=11155111, block_s=12, confirmations=2, log_range=1_000
        ),
        ChainProfile(name="rootstock", chain_id=30, block_s=30, confirmations=6, log_range=1_000),
        ChainProfile(
            name="rootstock-testnet", chain_id=31, block_s=30, confirmations=2, log_range=1_000
        ),
        ChainProfile(name="etherlink", chain_id=42793, block_s=1, confirmations=2, log_range=1_000),
    )
}
"""Profiles by chain id. All of them take legacy transactions, so nothing else differs."""


def profile_of(chain_id: int) -> ChainProfile:
    """Return the profile of a chain; a careful one if the chain is unknown."""
    known = PROFILES.get(chain_id)
    if known is not None:
        return known
    return ChainProfile(
        name=f"chain-{chain_id}", chain_id=chain_id, block_s=12, confirmations=5, log_range=1_000
    )
