"""Legacy transactions, signed by hand: the one kind that every EVM chain takes (Rootstock too)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import rlp

from mfdb.kernel.digest import keccak256

if TYPE_CHECKING:
    from mfdb.kernel.account import Account
    from mfdb.kernel.ids import Hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Legacy:
    """An unsigned transaction; `to` is empty to deploy, prices are wei of the chain's coin."""

    chain_id: int
    nonce: int
    gas_price: int
    gas: int
    to: bytes
    data: bytes
    value: int = 0


def sign(transaction: Legacy, account: Account) -> tuple[bytes, Hash]:
    """Return a transaction's signed bytes and its hash (EIP-155: good on its chain only)."""
    fields: list[int | bytes] = [
        transaction.nonce,
        transaction.gas_price,
        transaction.gas,
        transaction.to,
        transaction.value,
        transaction.data,
    ]
    digest = keccak256(rlp.encode([*fields, transaction.chain_id, 0, 0]))
    signature = account.sign(digest)
    v = transaction.chain_id * 2 + 35 + (signature[64] - 27)
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    raw: bytes = rlp.encode([*fields, v, r, s])
    return raw, keccak256(raw)
