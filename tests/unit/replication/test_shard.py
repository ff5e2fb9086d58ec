from __future__ import annotations

import hashlib

import msgspec
import pytest

from mfdb.kernel.errors import BadProof
from mfdb.kernel.ids import AgreementId, SegmentId
from replication.shard import ShardTree, check_proof, prove, store_receipt

SHARD = hashlib.shake_128(b"shard").digest(2_308)
RECEIPT = store_receipt(
    AgreementId(b"\x01" * 32), SegmentId(b"\x02" * 32), SHARD, index=3, expiry=900
)


def test_every_unit_of_a_shard_can_be_proven() -> None:
    tree = ShardTree(SHARD)
    assert (tree.units, tree.root) == (RECEIPT.units, RECEIPT.root) == (5, tree.root)
    for index in range(5):
        unit, path = tree.prove(index)
        assert unit == SHARD[index * 512 : (index + 1) * 512].ljust(512, b"\x00")
        check_proof(RECEIPT, index, unit, path)


def test_an_empty_shard_has_one_unit() -> None:
    receipt = store_receipt(RECEIPT.agreement, RECEIPT.segment, b"", index=0, expiry=1)
    unit, path = prove(b"", 0)
    check_proof(receipt, 0, unit, path)
    assert (receipt.units, unit, path) == (1, bytes(512), ())


def test_a_proof_holds_for_its_unit_index_and_receipt_only() -> None:
    unit, path = prove(SHARD, 2)
    spoilt = bytes([unit[0] ^ 1]) + unit[1:]
    other = msgspec.structs.replace(RECEIPT, units=17)
    for receipt, index, shown, hashes in (
        (RECEIPT, 3, unit, path),
        (RECEIPT, 5, unit, path),
        (RECEIPT, -1, unit, path),
        (RECEIPT, 2, spoilt, path),
        (RECEIPT, 2, unit[:-1], path),
        (RECEIPT, 2, unit, path[:-1]),
        (RECEIPT, 2, unit, (*path[:-1], path[-1][:31])),
        (other, 2, unit, path),
    ):
        with pytest.raises(BadProof):
            check_proof(receipt, index, shown, hashes)


def test_there_is_no_unit_beyond_the_last() -> None:
    with pytest.raises(BadProof, match="5 units"):
        prove(SHARD, 5)
    with pytest.raises(BadProof):
        prove(SHARD, -1)
