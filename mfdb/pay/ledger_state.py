"""The stored form of an account with a peer, so that no debt is forgotten in a restart.

Amounts are 32-byte big-endian words: MessagePack integers end at 64 bits, which is 18.4 MFT.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.kernel.codec import Record, decode, encode
from mfdb.kernel.errors import CorruptRecord, MalformedMessage, ValueTooLarge
from mfdb.kernel.typed_data import word
from mfdb.pay.ledger import Account

if TYPE_CHECKING:
    from collections.abc import Mapping

STATE_FORMAT = 1
STATE_LIMIT_BYTES = 2**20


class Reserved(Record, frozen=True):
    """One open reservation."""

    number: int
    amount: bytes


class LedgerState(Record, frozen=True):
    """Everything of an account that survives a restart, reservations in ascending order."""

    format: int
    consumed: bytes
    paid: bytes
    served: bytes
    received: bytes
    bounced: bytes
    doubt: bytes
    ghost: bytes
    next_id: int
    consuming: tuple[Reserved, ...]
    serving: tuple[Reserved, ...]


def save(account: Account) -> bytes:
    """Return the stored form of an account."""
    return encode(
        LedgerState(
            format=STATE_FORMAT,
            consumed=word(account.consumed),
            paid=word(account.paid),
            served=word(account.served),
            received=word(account.received),
            bounced=word(account.bounced),
            doubt=word(account.doubt),
            ghost=word(account.ghost),
            next_id=account.next_id,
            consuming=_listed(account.consuming),
            serving=_listed(account.serving),
        )
    )


def load(data: bytes) -> Account:
    """Return a stored account; after a restart call `Ledger.resume` on its ledger.

    Raises:
        CorruptRecord: the bytes are not what `save` made.
    """
    try:
        state = decode(LedgerState, data, limit_bytes=STATE_LIMIT_BYTES)
    except (MalformedMessage, ValueTooLarge) as error:
        raise CorruptRecord("a peer's ledger does not decode", hint="restore it") from error
    if state.format != STATE_FORMAT:
        raise CorruptRecord(f"a peer's ledger has the unknown format {state.format}")
    return Account(
        consumed=_amount(state.consumed),
        paid=_amount(state.paid),
        served=_amount(state.served),
        received=_amount(state.received),
        bounced=_amount(state.bounced),
        doubt=_amount(state.doubt),
        ghost=_amount(state.ghost),
        next_id=state.next_id,
        consuming={kept.number: _amount(kept.amount) for kept in state.consuming},
        serving={kept.number: _amount(kept.amount) for kept in state.serving},
    )


def _listed(reservations: Mapping[int, int]) -> tuple[Reserved, ...]:
    ordered = sorted(reservations.items())
    return tuple(Reserved(number=number, amount=word(amount)) for number, amount in ordered)


def _amount(raw: bytes) -> int:
    if len(raw) != 32:
        raise CorruptRecord("an amount in a peer's ledger is not a 32-byte word")
    return int.from_bytes(raw, "big")
