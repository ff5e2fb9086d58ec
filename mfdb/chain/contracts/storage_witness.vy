# pragma version 0.4.3
"""
@title Witness of storage trials
@notice Pure. A claim is a store receipt with its signature; what refutes it is the unit that was
        asked for, with its Merkle path. Trees are binary, BLAKE2b with digests of 32 bytes; a leaf
        is the hash of a unit, 512 bytes, a node that of the two hashes below it, 64 bytes: what is
        hashed counts its bytes, so an inner node never passes for a leaf. The leaf level is padded
        with zero hashes to a power of two, so the number of units fixes the depth.
"""

import evidence

UNIT: constant(uint256) = 512
BLOCK: constant(uint256) = 128
MAX_DEPTH: constant(uint256) = 40
# The compression function of BLAKE2b (EIP-152), and what it begins with: the initial vector, with
# the parameters "digest of 32 bytes, no key, no tree" in its first word.
BLAKE2F: constant(address) = 0x0000000000000000000000000000000000000009
ROUNDS: constant(Bytes[4]) = x"0000000c"
START: constant(Bytes[64]) = x"28c9bdf267e6096a3ba7ca8485ae67bb2bf894fe72f36e3cf1361d5f3af54fa5d182e6ad7f520e511f6c3e2b8c68059b6bbd41fbabd9831f79217e1319cde05b"
OF_ZEROS: constant(bytes32) = 0x0eb923b0cbd24df54401d998531feead35a47a99f4deed205de4af81120f9761

DEPOSITS: immutable(address)


@deploy
def __init__(deposits: address):
    """
    @notice Reverts where there is no BLAKE2b: a provider that kept its promise could not show it.
    """
    assert self._node_hash(empty(bytes32), empty(bytes32)) == OF_ZEROS, "mfdb: no BLAKE2b here"
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
    at: bytes32 = self._unit_hash(unit)
    side: uint256 = index
    for sibling: bytes32 in path:
        if side & 1 == 1:
            at = self._node_hash(sibling, at)
        else:
            at = self._node_hash(at, sibling)
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


@internal
@view
def _unit_hash(unit: Bytes[UNIT]) -> bytes32:
    state: Bytes[64] = START
    for at: uint256 in range(UNIT // BLOCK):
        hashed: uint256 = (at + 1) * BLOCK
        state = self._compress(state, slice(unit, at * BLOCK, BLOCK), hashed, hashed == UNIT)
    return convert(slice(state, 0, 32), bytes32)


@internal
@view
def _node_hash(left: bytes32, right: bytes32) -> bytes32:
    pair: Bytes[BLOCK] = concat(left, right, empty(bytes32), empty(bytes32))
    return convert(slice(self._compress(START, pair, 64, True), 0, 32), bytes32)


@internal
@view
def _compress(
    state: Bytes[64], message: Bytes[BLOCK], hashed: uint256, is_last: bool
) -> Bytes[64]:
    """@notice The state after one more block; `hashed` bytes, at most 512, came up to its end."""
    # Two words of 64 bits, the lowest byte first, and a byte that says whether it is the last.
    counted: uint256 = (hashed & 255) << 248 | (hashed >> 8) << 240 | convert(is_last, uint256) << 120
    return raw_call(
        BLAKE2F,
        concat(ROUNDS, state, message, slice(convert(counted, bytes32), 0, 17)),
        max_outsize=64,
        is_static_call=True,
    )
