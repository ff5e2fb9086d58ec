"""The storage witness on every position of small trees, and on what must not pass."""

from __future__ import annotations

import pytest

from mfdb.chain.contracts.words import decode_claim, encode_answer, encode_claim
from mfdb.kernel.errors import MalformedMessage
from mfdb.kernel.ids import AgreementId, Hash, SegmentId
from mfdb.rules.evidence import Network, StoreReceipt
from mfdb.rules.units import UnitTree, unit_hash, unit_of
from tests.fixtures.court_scene import PROVIDER
from tests.fixtures.evm import Evm, Reverted


def data_of(units: int) -> bytes:
    return b"".join(bytes([n + 1]) * 512 for n in range(units))


def claim_of(root: bytes, units: int, signature: bytes = bytes(65)) -> bytes:
    receipt = StoreReceipt(
        agreement=AgreementId(b"a" * 32),
        segment=SegmentId(b"g" * 32),
        shard=1,
        root=Hash(root),
        units=units,
        expiry=2**40,
    )
    return encode_claim(receipt, signature)


def refute(evm: Evm, claim: bytes, index: int, proof: bytes) -> bool:
    return bool(evm.call("storage_witness", "refute", claim, index, proof))


@pytest.mark.parametrize("units", [1, 2, 3, 4, 5, 6, 9, 17])
def test_every_unit_is_accepted_at_its_place_only(evm: Evm, units: int) -> None:
    data = data_of(units)
    tree = UnitTree(data)
    claim = claim_of(tree.root, units)
    for index in range(units):
        proof = encode_answer(unit_of(data, index), tree.path(index))
        assert refute(evm, claim, index, proof)
        for other in set(range(units)) - {index}:
            with pytest.raises(Reverted, match="wrong unit or path"):
                refute(evm, claim, other, proof)
        with pytest.raises(Reverted, match="no such unit"):
            refute(evm, claim, units, proof)


def test_a_changed_byte_is_refused(evm: Evm) -> None:
    data = data_of(5)
    tree = UnitTree(data)
    claim = claim_of(tree.root, 5)
    for place in (0, 255, 511):
        unit = bytearray(unit_of(data, 4))
        unit[place] ^= 1
        with pytest.raises(Reverted, match="wrong unit or path"):
            refute(evm, claim, 4, encode_answer(bytes(unit), tree.path(4)))
    for step in range(6):
        path = [bytearray(sibling) for sibling in tree.path(4)]
        path[step][31] ^= 128
        with pytest.raises(Reverted, match="wrong unit or path"):
            refute(evm, claim, 4, encode_answer(unit_of(data, 4), [bytes(s) for s in path]))


def test_an_inner_node_never_passes_for_a_leaf(evm: Evm) -> None:
    # A tree whose two "units" are the concatenated children of its inner nodes, padded as a forger
    # would: the length keeps it out, and is in the hash, so that filling it up does not help.
    tree = UnitTree(data_of(8))
    inner = b"".join(unit_hash(unit_of(data_of(8), n)) for n in range(4))
    claim = claim_of(tree.root, 2)
    for unit in (inner, inner + bytes(1)):
        with pytest.raises(Reverted, match="wrong unit length"):
            refute(evm, claim, 0, encode_answer(unit, tree.path(0)[3:]))
    padded = inner.ljust(512, b"\x00")
    with pytest.raises(Reverted, match="wrong unit or path"):
        refute(evm, claim, 0, encode_answer(padded, tree.path(0)[3:]))
    for length in (0, 1, 2, 3, 5, 7, 9):
        path = (*tree.path(0), *[bytes(32)] * 3)[:length]
        with pytest.raises(Reverted, match="wrong path length"):
            refute(evm, claim_of(tree.root, 8), 0, encode_answer(bytes(512), path))


def test_padding_is_no_unit(evm: Evm) -> None:
    tree = UnitTree(data_of(3))
    with pytest.raises(Reverted, match="no such unit"):
        refute(evm, claim_of(tree.root, 3), 3, encode_answer(bytes(512), tree.path(2)))


def test_the_witness_says_who_signed_what(evm: Evm) -> None:
    tree = UnitTree(data_of(6))
    network = Network(chain_id=evm.chain_id, deposits=evm.deposits)
    receipt, _ = decode_claim(claim_of(tree.root, 6))
    signature = PROVIDER.sign(network.digest(receipt))
    testimony = evm.call("storage_witness", "examine", encode_claim(receipt, signature))
    agreement, segment, promise, units, size, expiry, signer = testimony
    assert (agreement, segment) == (receipt.agreement, receipt.segment)
    assert (units, size, expiry) == (6, 6 * 512, 2**40)
    assert signer == PROVIDER.address
    longer = StoreReceipt(**{f: getattr(receipt, f) for f in receipt.__struct_fields__}
                          | {"expiry": 7})  # fmt: skip
    again = evm.call("storage_witness", "examine", encode_claim(longer, signature))
    assert again[2] == promise, "the same promise, however long it lasts"
    assert again[6] != PROVIDER.address
    foreign = Network(chain_id=evm.chain_id + 1, deposits=evm.deposits)
    elsewhere = encode_claim(receipt, PROVIDER.sign(foreign.digest(receipt)))
    assert evm.call("storage_witness", "examine", elsewhere)[6] != PROVIDER.address


def test_the_deepest_tree_fits_an_answer(evm: Evm) -> None:
    path = [bytes([n]) * 32 for n in range(60)]
    at = unit_hash(bytes(512))
    for beside in range(0, 60, 3):
        at = unit_hash(at + b"".join(path[beside : beside + 3]))
    claim = claim_of(at, 2**40)
    assert refute(evm, claim, 0, encode_answer(bytes(512), path))


def test_claims_decode_or_are_malformed() -> None:
    claim = claim_of(b"r" * 32, 6, b"s" * 65)
    receipt, signature = decode_claim(claim)
    assert (receipt.units, signature) == (6, b"s" * 65)
    for bad in (b"", claim[:-40], b"\xff" * 320, claim + bytes(1024)):
        with pytest.raises(MalformedMessage):
            decode_claim(bad)
