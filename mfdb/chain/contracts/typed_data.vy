# pragma version 0.4.3
"""
@title EIP-712 digests and canonical signatures
@notice Stateless. A separator is computed at run time: a clone has its own address, and a fork of
        the chain its own id.
"""

DOMAIN_TYPE: constant(bytes32) = keccak256(
    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
VERSION: constant(bytes32) = keccak256("1")
# Half the order of secp256k1: a larger s is the twin of a signature that someone else made.
HALF_ORDER: constant(uint256) = (
    57896044618658097711785492504343953926418782139537452191302581570759080747168
)


@internal
@view
def digest(name_hash: bytes32, contract: address, struct_hash: bytes32) -> bytes32:
    """@notice What is signed for a struct in the domain of a contract on this chain."""
    separator: bytes32 = keccak256(abi_encode(DOMAIN_TYPE, name_hash, VERSION, chain.id, contract))
    return keccak256(concat(b"\x19\x01", separator, struct_hash))


@internal
@view
def signer_of(signed: bytes32, signature: Bytes[65]) -> address:
    """@notice Who signed; the zero address if the signature is not canonical or nobody's."""
    if len(signature) != 65:
        return empty(address)
    r: uint256 = convert(slice(signature, 0, 32), uint256)
    s: uint256 = convert(slice(signature, 32, 32), uint256)
    v: uint256 = convert(slice(signature, 64, 1), uint256)
    if s == 0 or s > HALF_ORDER or (v != 27 and v != 28):
        return empty(address)
    return ecrecover(signed, v, r, s)
