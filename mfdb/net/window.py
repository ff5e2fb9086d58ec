"""Flow control of one stream, as two pure counters: what may be sent, what may arrive.

The receiver grants credit in bytes as its consumer takes items. The sender sends whole items while
its credit is positive, so it overshoots by less than one item; the receiver checks exactly that.
Every item costs `ITEM_COST_BYTES` on top, so that a flood of empty items is bounded too.
"""

from __future__ import annotations

from mfdb.kernel.errors import ProtocolViolation
from mfdb.net.frames import CREDIT_LIMIT

ITEM_COST_BYTES = 64


class SendWindow:
    """The sender's side of a stream's credit."""

    __slots__ = ("_credit",)

    def __init__(self, window_bytes: int) -> None:
        self._credit = window_bytes

    @property
    def is_open(self) -> bool:
        """Whether another item may be sent."""
        return self._credit > 0

    def sent(self, item_bytes: int) -> None:
        """Take note that an item was sent."""
        self._credit -= item_bytes + ITEM_COST_BYTES

    def granted(self, credit: int) -> None:
        """Take note of credit from the receiver.

        Raises:
            ProtocolViolation: the credit adds up to more than any receiver keeps.
        """
        self._credit += credit
        if self._credit > CREDIT_LIMIT:
            raise ProtocolViolation("more credit than a stream can have")


class ReceiveWindow:
    """The receiver's side of a stream's credit."""

    __slots__ = ("_credit", "_taken", "_threshold", "unread_bytes")

    def __init__(self, window_bytes: int) -> None:
        self._credit = window_bytes
        self._threshold = max(1, window_bytes // 4)
        self._taken = 0
        self.unread_bytes = 0

    def received(self, item_bytes: int) -> None:
        """Take note that an item arrived.

        Raises:
            ProtocolViolation: the sender had no credit for it.
        """
        if self._credit <= 0:
            raise ProtocolViolation("a stream's item without credit")
        self._credit -= item_bytes + ITEM_COST_BYTES
        self.unread_bytes += item_bytes

    def taken(self, item_bytes: int) -> int:
        """Take note that the consumer took an item; return the credit to send now, 0 for none."""
        self.unread_bytes -= item_bytes
        self._taken += item_bytes + ITEM_COST_BYTES
        if self._taken < self._threshold:
            return 0
        credit, self._taken = self._taken, 0
        self._credit += credit
        return credit
