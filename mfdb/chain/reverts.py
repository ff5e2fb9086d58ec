"""Why a contract refused, and what one can do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.kernel.errors import MalformedMessage, TransactionReverted

if TYPE_CHECKING:
    from mfdb.chain.rpc import RpcRefused

ERROR_SELECTOR = bytes.fromhex("08c379a0")
REVERTED = 3
"""JSON-RPC code of a revert; other nodes say it in words only."""

HINTS = {
    "mfdb: balance too small": "the sender has too little MFT; a devnet's faucet has plenty",
    "mfdb: deposit too small": "the provider's free deposit is too small: it must stake more",
    "mfdb: deposit earmarked": "agreements hold it; release those whose end and tail have passed",
    "mfdb: agreement exists": "this agreement was registered before",
    "mfdb: agreement still binds": "wait until its end and tail have passed",
    "mfdb: case open": "a case must be answered or judged first",
    "mfdb: too late to answer": "the answer window has passed",
    "mfdb: answer window open": "wait until the case's deadline has passed",
    "mfdb: no beacon": "record the epoch's beacon first",
    "mfdb: nothing due": "it was paid already",
    "mfdb: newer cheque cashed": "cash the newest cheque only",
    "mfdb: repair window open": "wait until the repair window has passed",
}


def is_revert(refusal: RpcRefused) -> bool:
    """Return whether a refusal is a contract's, not the endpoint's."""
    return refusal.number == REVERTED or "revert" in refusal.message.lower()


def reason_of(refusal: RpcRefused) -> str:
    """Return the reason that a contract gave, or what the endpoint said of it."""
    from eth_abi.abi import decode
    from eth_abi.exceptions import DecodingError

    try:
        raw = bytes.fromhex(refusal.data.removeprefix("0x"))
        if raw[:4] == ERROR_SELECTOR:
            return str(decode(["string"], raw[4:])[0])[:200]
    except (ValueError, DecodingError, OverflowError, MalformedMessage):
        pass  # the message below says it, only less exactly
    _, _, said = refusal.message.partition("execution reverted: ")
    return said[:200] or refusal.message[:200]


def reverted(refusal: RpcRefused) -> TransactionReverted:
    """Return the error for a contract's refusal."""
    reason = reason_of(refusal)
    return TransactionReverted(reason, hint=HINTS.get(reason, ""))
