"""Any shard, any unit: the right answer passes, any change of it does not."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfdb.chain.contracts.words import decode_claim, encode_answer, encode_claim
from mfdb.kernel.ids import AgreementId, Hash, SegmentId
from mfdb.rules.evidence import Network, StoreReceipt
from mfdb.rules.units import UnitTree, unit_of
from tests.fixtures.court_scene import PROVIDER, TERMS
from tests.fixtures.evm import Evm, Reverted

uint64 = st.integers(0, 2**64 - 1)
words = st.binary(min_size=32, max_size=32)
receipts = st.builds(
    StoreReceipt,
    agreement=words.map(AgreementId),
    segment=words.map(SegmentId),
    shard=uint64,
    root=words.map(Hash),
    units=st.integers(1, 2**40),
    expiry=uint64,
)


@cache
def evm() -> Evm:
    return Evm(TERMS)


@settings(max_examples=60, deadline=None)
@given(receipt=receipts)
def test_contract_and_library_hash_alike(receipt: StoreReceipt) -> None:
    network = Network(chain_id=evm().chain_id, deposits=evm().deposits)
    claim = encode_claim(receipt, PROVIDER.sign(network.digest(receipt)))
    assert decode_claim(claim)[0] == receipt
    found = evm().call("storage_witness", "examine", claim)
    assert found[0] == receipt.agreement
    assert found[5:] == (receipt.expiry, PROVIDER.address)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), length=st.integers(1, 40 * 512), seed=st.integers(0, 255))
def test_only_the_very_unit_answers(data: st.DataObject, length: int, seed: int) -> None:
    shard = bytes((seed + n // 512 * 7 + n % 3) % 256 for n in range(length))
    tree = UnitTree(shard)
    index = data.draw(st.integers(0, tree.count - 1))
    receipt = StoreReceipt(
        agreement=AgreementId(bytes(32)),
        segment=SegmentId(bytes(32)),
        shard=0,
        root=tree.root,
        units=tree.count,
        expiry=0,
    )
    claim = encode_claim(receipt, bytes(65))
    shown = [unit_of(shard, index), *tree.path(index)]
    proof = encode_answer(shown[0], shown[1:])
    assert evm().call("storage_witness", "refute", claim, index, proof) is True
    part = data.draw(st.integers(0, len(shown) - 1))
    bit = data.draw(st.integers(0, len(shown[part]) * 8 - 1))
    changed = bytearray(shown[part])
    changed[bit // 8] ^= 1 << bit % 8
    shown[part] = bytes(changed)
    wrong = encode_answer(shown[0], shown[1:])
    with pytest.raises(Reverted, match="wrong unit or path"):
        evm().call("storage_witness", "refute", claim, index, wrong)
