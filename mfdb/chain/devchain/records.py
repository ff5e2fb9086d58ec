"""What the chain keeps of a block besides py-evm's state: its transaction and the logs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mfdb.kernel.codec import Record


class LogEntry(Record, frozen=True):
    """One event of a contract."""

    address: bytes
    topics: tuple[bytes, ...]
    data: bytes


class MinedTransaction(Record, frozen=True):
    """A transaction with its receipt. `created` is empty unless it deployed a contract."""

    raw: bytes
    hash: bytes
    sender: bytes
    to: bytes
    succeeded: bool
    gas_used: int
    gas_price: int
    created: bytes
    logs: tuple[LogEntry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A block of this chain: py-evm's header, and at most one transaction."""

    header: Any
    hash: bytes
    """Hash of the header; py-evm computes it anew whenever it is asked."""
    transaction: MinedTransaction | None

    @property
    def number(self) -> int:
        """Height of the block."""
        return int(self.header.block_number)

    @property
    def time_s(self) -> int:
        """Block time in seconds."""
        return int(self.header.timestamp)

    @property
    def logs(self) -> tuple[LogEntry, ...]:
        """Events of the block in order."""
        return self.transaction.logs if self.transaction else ()
