"""Evidence as the contracts take it: ABI tuples, claims and answers.

Tuples have the order of the structs in `evidence.vy`. A claim and an answer are ABI encodings that
the court passes on to the witness of the case's kind unread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.kernel.errors import MalformedMessage
from mfdb.kernel.ids import AgreementId, Hash, SegmentId
from mfdb.rules.evidence import StoreReceipt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfdb.rules.evidence import Agreement, RepairMandate

RECEIPT_TYPE = "(bytes32,bytes32,uint64,bytes32,uint64,uint64)"
CLAIM_BYTES = 1024
"""Longest claim that the court takes."""


def agreement_words(agreement: Agreement) -> tuple[int | bytes, ...]:
    """Return an agreement as the tuple that `deposits` takes; addresses are 20 bytes."""
    return (
        agreement.subject,
        agreement.client,
        agreement.provider,
        agreement.capacity_bytes,
        agreement.fee_per_epoch,
        agreement.epoch_s,
        agreement.start,
        agreement.end,
        agreement.tail_s,
        agreement.deposit,
        agreement.answer_window_s,
        agreement.mandate,
        agreement.nonce,
    )


def mandate_words(mandate: RepairMandate) -> tuple[int | bytes, ...]:
    """Return a repair mandate as the tuple that `deposits` takes."""
    return (
        mandate.subject,
        mandate.owner,
        mandate.fee_cap_per_epoch,
        mandate.repair_fee,
        mandate.budget,
        mandate.min_deposit,
        mandate.capacity_bytes,
        mandate.expiry,
        mandate.nonce,
    )


def receipt_words(receipt: StoreReceipt) -> tuple[int | bytes, ...]:
    """Return a store receipt as the tuple that `escrow` takes."""
    return (
        receipt.agreement,
        receipt.segment,
        receipt.shard,
        receipt.root,
        receipt.units,
        receipt.expiry,
    )


def encode_claim(receipt: StoreReceipt, signature: bytes) -> bytes:
    """Return the claim of a storage trial: the receipt and its signature."""
    from eth_abi.abi import encode

    return encode([RECEIPT_TYPE, "bytes"], [receipt_words(receipt), signature])


def decode_claim(claim: bytes) -> tuple[StoreReceipt, bytes]:
    """Return receipt and signature of a claim, as `CaseOpened` tells it.

    Raises:
        MalformedMessage: it is no claim of a storage trial.
    """
    from eth_abi.abi import decode
    from eth_abi.exceptions import DecodingError

    if len(claim) > CLAIM_BYTES:
        raise MalformedMessage(f"a claim of {len(claim)} bytes")
    try:
        words, signature = decode([RECEIPT_TYPE, "bytes"], claim)
    except (DecodingError, OverflowError) as error:
        raise MalformedMessage("not a claim of a storage trial") from error
    agreement, segment, shard, root, units, expiry = words
    receipt = StoreReceipt(
        agreement=AgreementId(agreement),
        segment=SegmentId(segment),
        shard=shard,
        root=Hash(root),
        units=units,
        expiry=expiry,
    )
    return receipt, signature


def encode_answer(unit: bytes, path: Sequence[bytes]) -> bytes:
    """Return the answer in a storage trial: the unit asked for and its Merkle path."""
    from eth_abi.abi import encode

    return encode(["bytes", "bytes32[]"], [unit, list(path)])
