# pragma version 0.4.3
"""
@title The structs that contracts read, and their EIP-712 hashes
@notice The same words in the same order as `mfdb/rules/evidence.py`. Times are seconds of block
        time, amounts wei of MFT, capacities bytes.
"""

import typed_data

NAME: constant(bytes32) = keccak256("mfdb")
AGREEMENT: constant(bytes32) = keccak256(
    "Agreement(bytes32 subject,address client,address provider,uint64 capacity,uint256 feePerEpoch,uint64 epochSeconds,uint64 start,uint64 end,uint64 tail,uint256 deposit,uint64 answerWindow,bytes32 mandate,bytes32 nonce)"
)
REPAIR_MANDATE: constant(bytes32) = keccak256(
    "RepairMandate(bytes32 subject,address owner,uint256 feeCapPerEpoch,uint256 repairFee,uint256 budget,uint256 minDeposit,uint64 capacity,uint64 expiry,bytes32 nonce)"
)
STORE_RECEIPT: constant(bytes32) = keccak256(
    "StoreReceipt(bytes32 agreement,bytes32 segment,uint64 shard,bytes32 root,uint64 units,uint64 expiry)"
)
RELEASE: constant(bytes32) = keccak256("Release(bytes32 agreement,bytes32 segment)")


struct Agreement:
    subject: bytes32
    client: address
    provider: address
    capacity: uint64
    feePerEpoch: uint256
    epochSeconds: uint64
    start: uint64
    end: uint64
    tail: uint64
    deposit: uint256
    answerWindow: uint64
    mandate: bytes32
    nonce: bytes32


struct RepairMandate:
    subject: bytes32
    owner: address
    feeCapPerEpoch: uint256
    repairFee: uint256
    budget: uint256
    minDeposit: uint256
    capacity: uint64
    expiry: uint64
    nonce: bytes32


struct StoreReceipt:
    agreement: bytes32
    segment: bytes32
    shard: uint64
    root: bytes32
    units: uint64
    expiry: uint64


# What the deposits contract keeps of an agreement.
struct Kept:
    client: address
    provider: address
    subject: bytes32
    initial: uint256
    earmarked: uint256
    capacity: uint256
    start: uint256
    end: uint256
    tail: uint256
    answerWindow: uint256
    epochSeconds: uint256
    registered: uint256
    openCases: uint256


# What a witness says of a claim it found to be well-formed and signed by `signer`.
struct Testimony:
    agreement: bytes32
    segment: bytes32
    promise: bytes32
    units: uint256
    size: uint256
    expiry: uint256
    signer: address


@internal
@pure
def agreement_hash(agreement: Agreement) -> bytes32:
    return keccak256(abi_encode(AGREEMENT, agreement))


@internal
@pure
def mandate_hash(mandate: RepairMandate) -> bytes32:
    return keccak256(abi_encode(REPAIR_MANDATE, mandate))


@internal
@pure
def receipt_hash(receipt: StoreReceipt) -> bytes32:
    return keccak256(abi_encode(STORE_RECEIPT, receipt))


@internal
@pure
def release_hash(agreement: bytes32, segment: bytes32) -> bytes32:
    return keccak256(abi_encode(RELEASE, agreement, segment))


@internal
@pure
def promise_of(receipt: StoreReceipt) -> bytes32:
    """@notice What is promised, whoever promises it and for how long: one shard's bytes."""
    return keccak256(abi_encode(receipt.segment, receipt.shard, receipt.root, receipt.units))


@internal
@view
def signer_of(struct_hash: bytes32, signature: Bytes[65], deposits: address) -> address:
    """@notice Who signed a struct in the domain of our deposits contract; zero for nobody."""
    return typed_data.signer_of(typed_data.digest(NAME, deposits, struct_hash), signature)
