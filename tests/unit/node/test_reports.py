"""What SHOW asks the network for: names, types and rows of every table, in a town of providers."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from mfdb.kernel.errors import NotSupportedError
from mfdb.kernel.ids import show
from mfdb.node.client import reports
from mfdb.sql.convert import to_stored
from mfdb.sql.types import parse_type
from tests.fixtures.node_town import Town, in_town, sealed_town
from tests.fixtures.repairs import convict, repaired

if TYPE_CHECKING:
    from mfdb.kernel.ids import DatasetId
    from mfdb.node.client.remote import NodeRemote

OF_DATASETS = ("segments", "receipts", "health", "repairs")
OF_NETWORK = (
    "providers",
    "peers",
    "balances",
    "cheques",
    "deposits",
    "court cases",
    "reputation",
)


async def told(
    remote: NodeRemote, what: str, dataset: DatasetId | None = None
) -> list[dict[str, object]]:
    """Return rows by name, after each value was held against the type of its column."""
    columns, rows = await remote.status(what, dataset)
    for row in rows:
        for value, kind in zip(row, columns.values(), strict=True):
            to_stored(value, parse_type(kind))
    return [dict(zip(columns, row, strict=True)) for row in rows]


@in_town
async def test_every_table_tells_typed_rows(town: Town) -> None:
    bob, dataset, segment = await sealed_town(town)
    remote = await bob.remote()
    await remote._lookup.look(dataset, [stand.me for stand in town.stands[:3]])
    for what in OF_DATASETS:
        assert await told(remote, what) == [], "without a dataset there are columns only"
    (sealed,) = await told(remote, "segments", dataset)
    assert (sealed["segment"], sealed["shards_stored"]) == (show(segment), 6)
    receipts = await told(remote, "receipts", dataset)
    assert receipts
    assert all(isinstance(row["expires"], datetime.datetime) for row in receipts)
    holders = [show(stand.me) for stand in town.stands]
    assert {row["provider"] for row in receipts} <= set(holders)
    peers = {row["peer"]: row["connected"] for row in await told(remote, "peers")}
    assert peers
    assert set(peers) <= set(holders)
    assert any(peers.values())
    (balance, *_) = await told(remote, "balances")
    assert isinstance(balance["amount"], Decimal)
    for what in OF_NETWORK:
        await told(remote, what)


@in_town
async def test_reputation_is_what_the_court_found(town: Town) -> None:
    bob, dataset, segment = await sealed_town(town)
    remote = await bob.remote()
    assert {row["score"] for row in await told(remote, "reputation")} == {0.5}
    assert await told(remote, "court cases") == []
    await convict(town, dataset, segment)
    (case,) = await told(remote, "court cases")
    found = {row["provider"]: row for row in await told(remote, "reputation")}
    guilty = found.pop(case["accused"])
    assert (guilty["score"], guilty["convicted"], guilty["open"]) == (pytest.approx(1 / 3), 1, 0)
    assert isinstance(guilty["slashed"], Decimal)
    assert guilty["slashed"] > 0
    assert {row["score"] for row in found.values()} == {0.5}
    await repaired(town)


@in_town
async def test_there_is_no_other_table(town: Town) -> None:
    bob, _, _ = await sealed_town(town)
    remote = await bob.remote()
    with pytest.raises(NotSupportedError, match="WEATHER"):
        await remote.status("weather", None)
    assert len(reports.PEERS) == 5
