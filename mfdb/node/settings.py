"""What can be set on a node, with the defaults; times in seconds, money in wei."""

from __future__ import annotations

from dataclasses import dataclass

from mfdb.kernel.ids import MFT, Wei


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """What every node has."""

    dial_timeout_s: float = 5
    request_timeout_s: float = 15
    poll_s: float = 1.0
    """How often the chain is looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSettings:
    """What a provider offers and how watchful it is."""

    stake: Wei = Wei(1000 * MFT)
    chequebook_amount: Wei = Wei(10 * MFT)
    capacity_bytes: int = 2**30
    fee_per_mib_epoch: Wei = Wei(MFT // 10**6)
    deposit_per_mib: Wei = Wei(MFT)
    price_per_request: Wei = Wei(10**10)
    price_per_kib: Wei = Wei(10**10)
    payment_threshold: Wei = Wei(10**14)
    """The price of about 10 MiB; a peer that owes 125 % of it is served no more."""
    min_answer_window_s: int = 3600
    """The shortest answer window agreed to: within it every outage must be over."""
    epoch_s: int = 24 * 3600
    """The longest epoch that the fee is asked for."""
    audit_share: float = 0.1
    """Share of the segments that is audited in an epoch (a in reference/protocol 11)."""
    patience: int = 2
    """Audits in a row that a holder may leave unanswered before it is asked in court."""
    seal_age_s: float = 3600
    reconcile_s: float = 60
    collect_s: float = 3600
    cash_above: Wei = Wei(MFT // 100)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """What a client asks for when it places a dataset."""

    capacity_bytes: int = 2**22
    term_s: int = 90 * 24 * 3600
    epoch_s: int = 24 * 3600
    tail_s: int = 7 * 24 * 3600
    answer_window_s: int = 24 * 3600
    repair_fee: Wei = Wei(MFT // 100)
    fee_ceiling_per_mib: Wei = Wei(MFT // 1000)
    """What a provider may ask per MiB and epoch where the dataset sets no ceiling."""
    chequebook_amount: Wei = Wei(10 * MFT)
    write_deadline_s: float = 15
    trailing_s: float = 0.007
    """How long a write waits for more before it is sent to a replica beyond the write quorum."""
    receipts_linger_s: float = 0.2
    """How long receipts wait for more before they are handed to the other replicas."""
    move_deadline_s: float = 600
    """How long newcomers may take to catch up before a move is put off."""
    watch_s: float = 60
    """How often it is looked whether providers of own datasets ask to be let go."""
    drain_s: float = 3
    """How long leaving waits for writes to reach the last of their replicas."""
    refollow_s: float = 1.0
    """How long to wait before a lost feed is followed again."""
