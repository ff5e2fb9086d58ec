# pragma version 0.4.3
"""
@title Witness of storage trials
@notice Pure. A claim is a store receipt with its signature; what refutes it is the unit that was
        asked for, with its Merkle path. Trees are of BLAKE2b with digests of 32 bytes; a leaf is
        the hash of a unit, 512 bytes, a node that of the four hashes below it, 128 bytes: what is
        hashed counts its bytes, so an inner node never passes for a leaf. The leaf level is padded
        with zero hashes to a power of four, so the number of units fixes the depth.
"""

import evidence

UNIT: constant(uint256) = 512
BLOCK: constant(uint256) = 128
MAX_DEPTH: constant(uint256) = 20
MAX_PATH: constant(uint256) = 60
# The compression function of BLAKE2b (EIP-152), and what it begins with: the initial vector, with
# the parameters "digest of 32 bytes, no key, no tree" in its first word.
BLAKE2F: constant(address) = 0x0000000000000000000000000000000000000009
ROUNDS: constant(Bytes[4]) = x"0000000c"
START: constant(Bytes[64]) = x"28c9bdf267e6096a3ba7ca8485ae67bb2bf894fe72f36e3cf1361d5f3af54fa5d182e6ad7f520e511f6c3e2b8c68059b6bbd41fbabd9831f79217e1319cde05b"
OF_ZEROS: constant(bytes32) = 0x378d0caaaa3855f1b38693c1d6ef004fd118691c95c959d4efa950d6d6fcf7c1

DEPOSITS: immutable(address)


@deploy
def __init__(deposits: address):
    """
    @notice Reverts where there is no BLAKE2b: a provider that kept its promise could not show it.
    """
    assert self._node_hash(empty(bytes32[4])) == OF_ZEROS, "mfdb: no BLAKE2b here"
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
    assert units > 0 and units <= 4**MAX_DEPTH, "mfdb: bad unit count"
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
def refute(claim: Bytes[1024], index: uint256, proof: Bytes[2560]) -> bool:
    """
    @notice True if the proof shows unit `index` of the claim's shard; reverts if it does not.
    @param proof ABI encoding of (bytes unit, bytes32[] path)
    """
    receipt: evidence.StoreReceipt = empty(evidence.StoreReceipt)
    signature: Bytes[65] = b""
    receipt, signature = abi_decode(claim, (evidence.StoreReceipt, Bytes[65]))
    unit: Bytes[UNIT] = b""
    path: DynArray[bytes32, MAX_PATH] = []
    unit, path = abi_decode(proof, (Bytes[UNIT], DynArray[bytes32, MAX_PATH]))
    units: uint256 = convert(receipt.units, uint256)
    assert len(unit) == UNIT, "mfdb: wrong unit length"
    assert index < units, "mfdb: no such unit"
    depth: uint256 = self._depth(units)
    assert len(path) == 3 * depth, "mfdb: wrong path length"
    at: bytes32 = self._unit_hash(unit)
    for height: uint256 in range(depth, bound=MAX_DEPTH):
        at = self._node_hash(self._children(at, (index >> (2 * height)) & 3, path, 3 * height))
    assert at == receipt.root, "mfdb: wrong unit or path"
    return True


@internal
@pure
def _depth(units: uint256) -> uint256:
    depth: uint256 = 0
    for _: uint256 in range(MAX_DEPTH):
        if (units - 1) >> (2 * depth) == 0:
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
@pure
def _children(
    own: bytes32, place: uint256, path: DynArray[bytes32, MAX_PATH], beside: uint256
) -> bytes32[4]:
    """@notice Four hashes in order: `own` at its place, the next three of the path around it."""
    found: bytes32[4] = empty(bytes32[4])
    taken: uint256 = beside
    for child: uint256 in range(4):
        if child == place:
            found[child] = own
        else:
            found[child] = path[taken]
            taken += 1
    return found


@internal
@view
def _node_hash(children: bytes32[4]) -> bytes32:
    message: Bytes[BLOCK] = concat(children[0], children[1], children[2], children[3])
    return convert(slice(self._compress(START, message, BLOCK, True), 0, 32), bytes32)


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
