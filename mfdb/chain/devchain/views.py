"""Blocks, transactions, receipts and logs as JSON-RPC shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eth.vm.forks.prague import PragueVM

from mfdb.chain.devchain.quantities import data, quantity

if TYPE_CHECKING:
    from mfdb.chain.devchain.records import Block, LogEntry, MinedTransaction

Json = dict[str, Any]

_TYPE_NAMES = {0: "0x0", 1: "0x1", 2: "0x2"}


def block_view(block: Block, *, full: bool) -> Json:
    """Return a block, with whole transactions or their hashes."""
    head = block.header
    held = [] if block.transaction is None else [block.transaction]
    return {
        "number": quantity(block.number),
        "hash": data(block.hash),
        "parentHash": data(head.parent_hash),
        "nonce": data(head.nonce),
        "sha3Uncles": data(head.uncles_hash),
        "logsBloom": data(head.bloom.to_bytes(256, "big")),
        "transactionsRoot": data(head.transaction_root),
        "stateRoot": data(head.state_root),
        "receiptsRoot": data(head.receipt_root),
        "miner": data(head.coinbase),
        "mixHash": data(head.mix_hash),
        "difficulty": quantity(head.difficulty),
        "totalDifficulty": quantity(0),
        "extraData": data(head.extra_data),
        "size": quantity(1_000 + sum(len(transaction.raw) for transaction in held)),
        "gasLimit": quantity(head.gas_limit),
        "gasUsed": quantity(head.gas_used),
        "baseFeePerGas": quantity(head.base_fee_per_gas),
        "timestamp": quantity(block.time_s),
        "withdrawalsRoot": data(head.withdrawals_root),
        "withdrawals": [],
        "blobGasUsed": quantity(head.blob_gas_used),
        "excessBlobGas": quantity(head.excess_blob_gas),
        "parentBeaconBlockRoot": data(head.parent_beacon_block_root),
        "requestsHash": data(head.requests_hash),
        "uncles": [],
        "transactions": [
            transaction_view(block, held[0]) if full else data(transaction.hash)
            for transaction in held
        ],
    }


def transaction_view(block: Block, mined: MinedTransaction) -> Json:
    """Return a mined transaction."""
    signed: Any = PragueVM.get_transaction_builder().decode(mined.raw)
    kind = signed.type_id or 0
    shown: Json = {
        "hash": data(mined.hash),
        "type": _TYPE_NAMES[kind],
        "chainId": quantity(signed.chain_id),
        "nonce": quantity(signed.nonce),
        "from": data(mined.sender),
        "to": data(mined.to) if mined.to else None,
        "value": quantity(signed.value),
        "gas": quantity(signed.gas),
        "gasPrice": quantity(mined.gas_price),
        "input": data(signed.data),
        "v": quantity(signed.v if kind == 0 else signed.y_parity),
        "r": quantity(signed.r),
        "s": quantity(signed.s),
        "blockHash": data(block.hash),
        "blockNumber": quantity(block.number),
        "transactionIndex": quantity(0),
    }
    if kind == 2:
        shown["maxFeePerGas"] = quantity(signed.max_fee_per_gas)
        shown["maxPriorityFeePerGas"] = quantity(signed.max_priority_fee_per_gas)
    if kind > 0:
        shown["yParity"] = quantity(signed.y_parity)
        shown["accessList"] = [
            {"address": data(address), "storageKeys": [data(k.to_bytes(32, "big")) for k in keys]}
            for address, keys in signed.access_list
        ]
    return shown


def receipt_view(block: Block, mined: MinedTransaction) -> Json:
    """Return the receipt of a mined transaction."""
    kind = 0 if mined.raw[0] >= 0xC0 else mined.raw[0]
    return {
        "transactionHash": data(mined.hash),
        "transactionIndex": quantity(0),
        "blockHash": data(block.hash),
        "blockNumber": quantity(block.number),
        "from": data(mined.sender),
        "to": data(mined.to) if mined.to else None,
        "contractAddress": data(mined.created) if mined.created else None,
        "cumulativeGasUsed": quantity(mined.gas_used),
        "gasUsed": quantity(mined.gas_used),
        "effectiveGasPrice": quantity(mined.gas_price),
        "status": quantity(int(mined.succeeded)),
        "type": _TYPE_NAMES[kind],
        "logsBloom": data(block.header.bloom.to_bytes(256, "big")),
        "logs": [log_view(block, index) for index in range(len(mined.logs))],
    }


def log_view(block: Block, index: int, *, removed: bool = False) -> Json:
    """Return event number `index` of a block."""
    assert block.transaction is not None, "a log belongs to a transaction"
    entry: LogEntry = block.logs[index]
    return {
        "address": data(entry.address),
        "topics": [data(topic) for topic in entry.topics],
        "data": data(entry.data),
        "blockNumber": quantity(block.number),
        "blockHash": data(block.hash),
        "blockTimestamp": quantity(block.time_s),
        "transactionHash": data(block.transaction.hash),
        "transactionIndex": quantity(0),
        "logIndex": quantity(index),
        "removed": removed,
    }
