from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfdb.kernel.errors import ProtocolViolation
from mfdb.net.window import ITEM_COST_BYTES, ReceiveWindow, SendWindow


@given(st.lists(st.integers(0, 5000), max_size=200), st.integers(1, 4000), st.data())
def test_an_honest_sender_never_stalls_for_ever_and_never_overruns(
    sizes: list[int], window_bytes: int, data: st.DataObject
) -> None:
    sender, receiver = SendWindow(window_bytes), ReceiveWindow(window_bytes)
    unread: list[int] = []
    waiting = sizes[::-1]
    while waiting or unread:
        if waiting and sender.is_open and (not unread or data.draw(st.booleans())):
            size = waiting.pop()
            sender.sent(size)
            receiver.received(size)
            unread.append(size)
        else:
            assert unread, "nothing to read and no credit: the stream is stuck"
            credit = receiver.taken(unread.pop(0))
            if credit:
                sender.granted(credit)
        assert receiver.unread_bytes == sum(unread)
        assert receiver.unread_bytes < window_bytes + 5000


def test_an_item_without_credit_is_a_violation() -> None:
    window = ReceiveWindow(100)
    window.received(100)
    with pytest.raises(ProtocolViolation):
        window.received(0)


def test_empty_items_use_up_credit_too() -> None:
    window = SendWindow(10 * ITEM_COST_BYTES)
    for _ in range(10):
        assert window.is_open
        window.sent(0)
    assert not window.is_open


def test_absurd_credit_is_a_violation() -> None:
    window = SendWindow(0)
    window.granted(2**30)
    with pytest.raises(ProtocolViolation):
        window.granted(1)
