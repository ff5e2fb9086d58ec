"""Listeners: what they are told, and what becomes of those that do not listen."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from mfdb.chain.devchain.faults import InvalidParams, LimitExceeded
from mfdb.chain.devchain.subscriptions import MAX_SUBSCRIPTIONS, QUEUE, Listener
from mfdb.kernel.ids import show

if TYPE_CHECKING:
    from tests.fixtures.dev_engine import DevEngine


def _told(listener: Listener) -> list[Any]:
    found = []
    while not listener.outbox.empty():
        found.append(listener.outbox.get_nowait()["params"])
    return found


def test_each_subscription_hears_what_it_asked_for(dev: DevEngine) -> None:
    async def scenario() -> None:
        listener = Listener()
        heads = listener.subscribe(["newHeads"])
        logs = listener.subscribe(["logs", {"address": show(dev.token)}])
        other = listener.subscribe(["logs", {"address": show(bytes(20))}])
        dev.engine.listen(listener.heard)
        dev.transfer(5)
        dev.engine.mine()
        told = _told(listener)
        assert [one["subscription"] for one in told] == [heads, logs, heads]
        assert other not in {one["subscription"] for one in told}
        assert told[0]["result"]["hash"] == told[1]["result"]["blockHash"]
        assert listener.unsubscribe([heads])
        dev.engine.mine()
        assert _told(listener) == []

    asyncio.run(scenario())


def test_who_does_not_keep_up_is_given_up(dev: DevEngine) -> None:
    async def scenario() -> None:
        listener = Listener()
        listener.subscribe(["newHeads"])
        dev.engine.listen(listener.heard)
        for _ in range(QUEUE):
            dev.engine.mine()
        assert not listener.overrun.is_set()
        dev.engine.mine()
        assert listener.overrun.is_set()

    asyncio.run(scenario())


@pytest.mark.parametrize("params", [[], ["nonsense"], [7], ["logs", 7], ["logs", {"topics": 1}]])
def test_what_cannot_be_listened_to_is_refused(params: list[Any]) -> None:
    with pytest.raises(InvalidParams):
        Listener().subscribe(params)


def test_a_connection_has_a_bounded_number_of_subscriptions() -> None:
    listener = Listener()
    for _ in range(MAX_SUBSCRIPTIONS):
        listener.subscribe(["newHeads"])
    with pytest.raises(LimitExceeded):
        listener.subscribe(["newHeads"])
