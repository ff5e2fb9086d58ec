"""Words of evidence: what does not fit its type is refused, by name, before it is hashed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from mfdb.kernel.errors import MalformedMessage
from mfdb.kernel.ids import Wei
from mfdb.kernel.typed_data import struct_hash, word, words
from mfdb.rules.evidence import AckBatch, WriteAck
from tests.factories import NETWORK, agreement, certificate, cheque, hash_of, mandate, store_receipt
from tests.factories import PROVIDERS as P

if TYPE_CHECKING:
    from collections.abc import Callable

TYPE = "T(address who,bytes32 what,uint64 small,uint256 large)"
GOOD = (b"a" * 20, b"b" * 32, 2**64 - 1, 2**256 - 1)


def test_words_stand_in_order_and_right_aligned() -> None:
    assert words(TYPE, *GOOD) == (
        bytes(12) + b"a" * 20 + b"b" * 32 + (2**64 - 1).to_bytes(32, "big") + b"\xff" * 32
    )


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, b"a" * 19),
        (0, bytes(12) + b"a" * 20),
        (0, 7),
        (1, b"b" * 20),
        (1, b""),
        (1, 7),
        (2, -1),
        (2, 2**64),
        (2, b"c" * 32),
        (3, -1),
        (3, 2**256),
        (3, b"c" * 20),
    ],
)
def test_a_field_that_is_not_of_its_type_is_refused(place: int, value: int | bytes) -> None:
    fields: list[int | bytes] = list(GOOD)
    fields[place] = value
    with pytest.raises(MalformedMessage):
        struct_hash(TYPE, *fields)


@pytest.mark.parametrize("value", [-1, 2**256, b"", b"a" * 19, b"a" * 21, b"a" * 33])
def test_what_is_no_word_is_refused(value: int | bytes) -> None:
    with pytest.raises(MalformedMessage):
        word(value)


def test_a_struct_with_a_field_too_few_is_our_own_bug() -> None:
    with pytest.raises(ValueError, match="shorter"):
        struct_hash(TYPE, *GOOD[:3])


ACK = WriteAck(
    agreement=store_receipt().agreement,
    changeset=hash_of("c"),
    root=hash_of("r"),
    units=3,
    log_number=9,
    log_head=hash_of("l"),
    expiry=1_900_000_000,
)
BATCH = AckBatch(provider=P[0].address, number=4, root=hash_of("r"), count=2)
EVIDENCE: list[Any] = [agreement(), mandate(), store_receipt(), certificate(), cheque(), BATCH, ACK]


@pytest.mark.parametrize("evidence", EVIDENCE, ids=lambda one: type(one).__name__)
def test_every_field_of_evidence_counts_and_is_checked(evidence: Any) -> None:
    """Each field changed gives another hash; each field of a wrong kind a named error."""
    hash_it: Callable[[Any], bytes] = (
        (lambda one: bytes(one.words()))
        if isinstance(evidence, WriteAck)
        else (lambda one: bytes(one.struct_hash()))
    )
    seen = {hash_it(evidence)}
    for name in evidence.__struct_fields__:
        value = getattr(evidence, name)
        changed = _other(value)
        seen.add(hash_it(msgspec.structs.replace(evidence, **{name: changed})))
        for bad in (-1, 2**300) if isinstance(value, int) else (b"", value[:-1], value + b"\x00"):
            with pytest.raises(MalformedMessage):
                hash_it(msgspec.structs.replace(evidence, **{name: bad}))
    assert len(seen) == 1 + len(evidence.__struct_fields__)


def _other(value: Any) -> Any:
    if isinstance(value, Wei):
        return Wei(value + 1)
    return value + 1 if isinstance(value, int) else bytes([value[0] ^ 1]) + value[1:]


def test_no_two_kinds_of_evidence_share_a_digest() -> None:
    digests = {NETWORK.digest(one) for one in EVIDENCE if not isinstance(one, WriteAck)}
    digests.add(cheque().digest(NETWORK.chain_id))
    assert len(digests) == len(EVIDENCE)
