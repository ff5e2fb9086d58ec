"""A receipt promises exactly these bytes, by this provider, at this place of its log."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from mfdb.kernel.codec import encode
from mfdb.kernel.errors import BadProof, BadSignature, MalformedMessage, ProtocolViolation
from mfdb.kernel.ids import AgreementId, ChangesetId, Hash
from mfdb.rules.evidence import Network, WriteAck
from mfdb.rules.receipt import (
    FIRST_LOG_HEAD,
    Promised,
    WriteReceipt,
    acknowledge,
    check_write_receipt,
    log_head,
    sign_batch,
)
from tests.factories import NETWORK, PROVIDERS, STRANGER, changeset, hash_of, header, insert, token

HOT = STRANGER
BARE = [header(number=number) for number in range(5)]
MADE = [changeset(insert(bare, 0, b"x" * 600), bare=bare) for bare in BARE]
DATA = [encode(made) for made in MADE]


def acks(count: int) -> list[WriteAck]:
    found, head = [], FIRST_LOG_HEAD
    for number in range(count):
        head = log_head(head, number, MADE[number].id)
        found.append(
            acknowledge(
                AgreementId(token("agreement")),
                MADE[number].id,
                Promised.of(DATA[number]),
                place=(number, head),
                expiry=1_900_000_000,
            )
        )
    return found


def batch(count: int) -> tuple[WriteReceipt, ...]:
    return sign_batch(
        acks(count), provider=PROVIDERS[0].address, number=9, signer=HOT, network=NETWORK
    )


def check(receipt: WriteReceipt, data: bytes = DATA[0], network: Network = NETWORK) -> None:
    check_write_receipt(receipt, data, network=network, signer=HOT.address)


@pytest.mark.parametrize("count", range(1, 6))
def test_one_signature_serves_a_whole_group(count: int) -> None:
    receipts = batch(count)
    for receipt, data in zip(receipts, DATA, strict=False):
        check(receipt, data)
    assert len({receipt.signature for receipt in receipts}) == 1
    assert all((receipt.path == ()) == (count == 1) for receipt in receipts)


@pytest.mark.parametrize("count", range(1, 6))
def test_a_receipt_is_for_its_own_bytes(count: int) -> None:
    for at, receipt in enumerate(batch(count)):
        for other in range(5):
            if other != at:
                with pytest.raises(BadProof, match="other bytes"):
                    check(receipt, DATA[other])
        for data in (DATA[at] + b"\x00" * 600, DATA[at][:-1] + b"\xff", b""):
            with pytest.raises(BadProof, match="other bytes"):
                check(receipt, data)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("field", WriteAck.__struct_fields__)
def test_each_field_of_the_ack_is_promised(field: str, count: int) -> None:
    receipt = batch(count)[0]
    value = getattr(receipt.ack, field)
    for other in _others(value):
        ack = msgspec.structs.replace(receipt.ack, **{field: other})
        with pytest.raises((BadProof, MalformedMessage)):
            check(msgspec.structs.replace(receipt, ack=ack))


def _others(value: Any) -> list[Any]:
    if isinstance(value, int):
        return [value + 1, value - 1, -1, 2**64]
    return [bytes([value[0] ^ 1]) + value[1:], value[:-1], value + b"\x00", b""]


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("provider", PROVIDERS[1].address, BadSignature),
        ("provider", bytes(12) + PROVIDERS[0].address, MalformedMessage),
        ("number", 10, BadSignature),
        ("number", -1, MalformedMessage),
        ("root", hash_of("other"), BadProof),
        ("count", 2, BadProof),
        ("count", 4, BadSignature),
        ("count", 0, BadProof),
        ("count", -3, BadProof),
        ("count", 2**63, BadProof),
    ],
)
def test_each_field_of_the_batch_is_signed(
    field: str, value: Any, error: type[ProtocolViolation]
) -> None:
    receipt = batch(3)[0]
    changed = msgspec.structs.replace(receipt.batch, **{field: value})
    with pytest.raises(error):
        check(msgspec.structs.replace(receipt, batch=changed))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("index", 1), ("index", -1), ("index", 3), ("index", 2**62),
        ("path", ()), ("path", (Hash(bytes(32)),) * 2), ("path", (Hash(bytes(32)),) * 41),
    ],
)  # fmt: skip
def test_index_and_path_are_the_leafs(field: str, value: Any) -> None:
    with pytest.raises(BadProof):
        check(msgspec.structs.replace(batch(3)[0], **{field: value}))


def test_only_the_providers_key_on_its_network_signs() -> None:
    receipt = batch(1)[0]
    with pytest.raises(BadSignature, match="AckBatch signed by"):
        check_write_receipt(receipt, DATA[0], network=NETWORK, signer=PROVIDERS[0].address)
    for other in (
        Network(chain_id=1, deposits=NETWORK.deposits),
        Network(chain_id=NETWORK.chain_id, deposits=PROVIDERS[0].address),
    ):
        with pytest.raises(BadSignature):
            check(receipt, network=other)


def test_log_heads_chain_number_and_changeset() -> None:
    one, two = ChangesetId(token("one")), ChangesetId(token("two"))
    first = log_head(FIRST_LOG_HEAD, 0, one)
    heads = {
        first,
        log_head(FIRST_LOG_HEAD, 0, two),
        log_head(FIRST_LOG_HEAD, 1, one),
        log_head(first, 1, two),
        log_head(log_head(FIRST_LOG_HEAD, 0, two), 1, one),
    }
    assert len(heads) == 5
