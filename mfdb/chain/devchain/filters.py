"""Which logs somebody asks for: a block range or a block hash, addresses and topics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mfdb.chain.devchain.faults import InvalidParams
from mfdb.chain.devchain.quantities import read_address, read_data

if TYPE_CHECKING:
    from mfdb.chain.devchain.records import LogEntry

MAX_ADDRESSES = 1_000
MAX_TOPICS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFilter:
    """Addresses (none: any) and, by position, the topics that pass (None: any)."""

    addresses: frozenset[bytes]
    topics: tuple[frozenset[bytes] | None, ...]

    def passes(self, entry: LogEntry) -> bool:
        """Return whether a log is asked for."""
        if self.addresses and entry.address not in self.addresses:
            return False
        if len(entry.topics) < len(self.topics):
            return False
        return all(
            wanted is None or found in wanted
            for wanted, found in zip(self.topics, entry.topics, strict=False)
        )


def read_filter(found: dict[str, object]) -> LogFilter:
    """Return the filter that a JSON object asks for.

    Raises:
        InvalidParams: addresses or topics are malformed, or too many.
    """
    topics = found.get("topics") or []
    if not isinstance(topics, list) or len(topics) > MAX_TOPICS:
        raise InvalidParams(f"topics is a list of at most {MAX_TOPICS}")
    return LogFilter(
        addresses=frozenset(read_address(item) for item in _listed(found.get("address"))),
        topics=tuple(_topic(item) for item in topics),
    )


def _topic(item: object) -> frozenset[bytes] | None:
    if item is None or item == []:
        return None
    return frozenset(read_data(choice, size=32) for choice in _listed(item))


def _listed(item: object) -> list[object]:
    if item is None:
        return []
    if not isinstance(item, list):
        return [item]
    if len(item) > MAX_ADDRESSES:
        raise InvalidParams(f"at most {MAX_ADDRESSES} alternatives")
    return item
