# pragma version 0.4.3
"""
@title Witness of storage trials
@notice Pure. A claim is a store receipt with its signature; what refutes it is the unit that was
        asked for, with its Merkle path. Trees are binary, SHA-256, leaves prefixed 0x00 and nodes
        0x01; units have 512 bytes; the leaf level is padded with zero hashes to a power of two, so
        the number of units fixes the depth, and an inner node never passes for a leaf.
"""

import evidence

UNIT: constant(uint256) = 512
MAX_DEPTH: constant(uint256) = 40

DEPOSITS: immutable(address)


@deploy
def __init__(deposits: address):
    DEPOSITS = deposits


@external
@view
def examine(claim: Bytes[1024]) -> evidence.Testimony:
    """
    @notice Read a claim and say what it accuses of.
    @param claim ABI encoding of (StoreReceipt, bytes signature)
    """
    receipt: evidence.StoreReceipt = empty(evidence.StoreReceipt)
    signature: Bytes[65] = b""
    receipt, signature = abi_decode(claim, (evidence.StoreReceipt, Bytes[65]))
    units: uint256 = convert(receipt.units, uint256)
    assert units > 0 and units <= 2**MAX_DEPTH, "mfdb: bad unit count"
    return evidence.Testimony(
        agreement=receipt.agreement,
        segment=receipt.segment,
        promise=evidence.promise_of(receipt),
        units=units,
        size=units * UNIT,
        expiry=convert(receipt.expiry, uint256),
        signer=evidence.signer_of(evidence.receipt_hash(receipt), signature, DEPOSITS),
    )


@external
@view
def refute(claim: Bytes[1024], index: uint256, proof: Bytes[2048]) -> bool:
    """
    @notice True if the proof shows unit `index` of the claim's shard; reverts if it does not.
    @param proof ABI encoding of (bytes unit, bytes32[] path)
    """
    receipt: evidence.StoreReceipt = empty(evidence.StoreReceipt)
    signature: Bytes[65] = b""
    receipt, signature = abi_decode(claim, (evidence.StoreReceipt, Bytes[65]))
    unit: Bytes[UNIT] = b""
    path: DynArray[bytes32, MAX_DEPTH] = []
    unit, path = abi_decode(proof, (Bytes[UNIT], DynArray[bytes32, MAX_DEPTH]))
    units: uint256 = convert(receipt.units, uint256)
    assert len(unit) == UNIT, "mfdb: wrong unit length"
    assert index < units, "mfdb: no such unit"
    assert len(path) == self._depth(units), "mfdb: wrong path length"
    at: bytes32 = sha256(concat(b"\x00", unit))
    side: uint256 = index
    for sibling: bytes32 in path:
        if side & 1 == 1:
            at = sha256(concat(b"\x01", sibling, at))
        else:
            at = sha256(concat(b"\x01", at, sibling))
        side >>= 1
    assert at == receipt.root, "mfdb: wrong unit or path"
    return True


@internal
@pure
def _depth(units: uint256) -> uint256:
    depth: uint256 = 0
    for _: uint256 in range(MAX_DEPTH):
        if (units - 1) >> depth == 0:
            break
        depth += 1
    return depth
