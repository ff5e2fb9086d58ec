"""Statements about money move it on a real chain, for customers and for a provider that serves."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from mfdb import aio
from mfdb.kernel.errors import BalanceTooSmall, DepositTooSmall
from tests.fixtures.e2e_command import COMMAND_S

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fixtures.e2e_network import LiveNetwork

pytestmark = pytest.mark.e2e
OFFER = (
    "OFFER SERVICE storage WITH (capacity = '1 GiB') PRICE 0.001 MFT PER gib day "
    "FOR INTERVAL '300 days'"
)
"""As the providers of a devnet offer by their settings, so that other tests see no difference."""


def test_money_moves_by_statements(live: LiveNetwork, tmp_path: Path) -> None:
    alice = live.newcomer("alice", tmp_path)

    async def customer() -> None:
        async with await aio.connect(alice.data, network=alice.network) as db:
            before = await amounts(db)
            await db.execute("SET wait = 2")
            told = await db.execute(f"TRANSFER 0.5 MFT TO '0x{'ab' * 20}'")
            ((_, amount, transaction, block),) = told.rows
            assert amount == Decimal("0.5")
            assert len(str(transaction)) == 66
            assert isinstance(block, int)
            await db.execute("SET wait = 1")
            await db.execute("FUND chequebook WITH 2 MFT")
            await db.execute("WITHDRAW 1.5 MFT FROM chequebook")
            await db.execute("STAKE 3 MFT ON storage")
            with pytest.raises(DepositTooSmall):
                await db.execute("UNSTAKE 4 MFT")
            await db.execute("UNSTAKE ALL")
            with pytest.raises(BalanceTooSmall):
                await db.execute("TRANSFER 1000000 MFT TO alice")
            mine, book = await amounts(db)
            assert (mine - before[0], book - before[1]) == (Decimal(-1), Decimal("0.5"))

    async def provider() -> None:
        data = live.directory / "p1"
        async with await aio.connect(data, network=live.file) as db:
            await db.execute(OFFER)
            shown = await db.execute("SELECT provider, capacity_bytes, price FROM mf.offers")
            assert next(iter(shown.rows))[1:] == (2**30, Decimal("0.001"))

    async def both() -> None:
        async with asyncio.timeout(COMMAND_S):
            await asyncio.gather(customer(), provider())

    asyncio.run(both())


async def amounts(db: Any) -> list[Decimal]:
    """Return what the account and the chequebook hold."""
    return [row[1] for row in (await db.execute("SHOW BALANCES")).rows]
