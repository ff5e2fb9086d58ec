"""The JSON-RPC methods: read the parameters, ask the engine, show the answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mfdb.chain.devchain.execution import BASE_FEE, GAS_LIMIT, CallRequest, call_request
from mfdb.chain.devchain.faults import InvalidParams, LimitExceeded, Refused, UnknownMethod
from mfdb.chain.devchain.filters import read_filter
from mfdb.chain.devchain.quantities import data, quantity, read_address, read_data, read_quantity
from mfdb.chain.devchain.views import block_view, log_view, receipt_view, transaction_view

if TYPE_CHECKING:
    from mfdb.chain.devchain.engine import Engine
    from mfdb.chain.devchain.records import Block

GAS_PRICE = 1_000
"""Wei; trivially cheap, as everybody here is rich."""
LOG_RANGE = 50_000
LOG_LIMIT = 20_000
HISTORY_BLOCKS = 1_024
MINE_BLOCKS = 10_000
CLIENT = "mfdb-devchain/1"

Method = Callable[["Engine", list[Any]], Any]


def run(engine: Engine, method: str, params: list[Any]) -> Any:
    """Return the result of a method.

    Raises:
        RpcFault: there is no such method, its parameters are wrong, or the chain refused.
    """
    found = METHODS.get(method)
    if found is None:
        raise UnknownMethod(f"the method {method[:60]} does not exist")
    return found(engine, params)


def _at(params: list[Any], index: int, default: Any = None) -> Any:
    return params[index] if len(params) > index else default


def _block(engine: Engine, tag: object) -> Block | None:
    """Return the block that a tag, a number or an EIP-1898 object names."""
    if isinstance(tag, dict):
        if "blockHash" in tag:
            return engine.block_by_hash(read_data(tag["blockHash"], size=32))
        tag = tag.get("blockNumber")
    if tag is None or tag in ("latest", "pending", "safe", "finalized"):
        return engine.head
    if tag == "earliest":
        return engine.block(0)
    return engine.block(read_quantity(tag, bits=63))


def _known(engine: Engine, tag: object) -> Block:
    found = _block(engine, tag)
    if found is None:
        raise Refused("header not found")
    return found


def _account(engine: Engine, params: list[Any]) -> tuple[int, int, bytes]:
    return engine.account(_known(engine, _at(params, 1)), read_address(_at(params, 0)))


def _balance(engine: Engine, params: list[Any]) -> str:
    return quantity(_account(engine, params)[0])


def _transaction_count(engine: Engine, params: list[Any]) -> str:
    return quantity(_account(engine, params)[1])


def _code(engine: Engine, params: list[Any]) -> str:
    return data(_account(engine, params)[2])


def _storage_at(engine: Engine, params: list[Any]) -> str:
    block = _known(engine, _at(params, 2))
    slot = read_quantity(_at(params, 1))
    return data(engine.storage_word(block, read_address(_at(params, 0)), slot).to_bytes(32, "big"))


def _request(found: object) -> CallRequest:
    if not isinstance(found, dict):
        raise InvalidParams("expected a transaction object")
    called = found.get("input") or found.get("data") or "0x"
    return call_request(
        sender=read_address(found["from"]) if found.get("from") else bytes(20),
        to=read_address(found["to"]) if found.get("to") else b"",
        value=read_quantity(found.get("value") or 0),
        data=read_data(called),
        gas=read_quantity(found.get("gas") or 0, bits=64),
    )


def _call(engine: Engine, params: list[Any]) -> str:
    return data(engine.call(_known(engine, _at(params, 1)), _request(_at(params, 0))))


def _estimate(engine: Engine, params: list[Any]) -> str:
    return quantity(engine.estimate(_known(engine, _at(params, 1)), _request(_at(params, 0))))


def _send_raw(engine: Engine, params: list[Any]) -> str:
    return data(engine.submit(read_data(_at(params, 0))))


def _receipt(engine: Engine, params: list[Any]) -> Any:
    block = engine.transaction(read_data(_at(params, 0), size=32))
    if block is None or block.transaction is None:
        return None
    return receipt_view(block, block.transaction)


def _transaction(engine: Engine, params: list[Any]) -> Any:
    block = engine.transaction(read_data(_at(params, 0), size=32))
    if block is None or block.transaction is None:
        return None
    return transaction_view(block, block.transaction)


def _block_by_number(engine: Engine, params: list[Any]) -> Any:
    block = _block(engine, _at(params, 0))
    return None if block is None else block_view(block, full=bool(_at(params, 1)))


def _block_by_hash(engine: Engine, params: list[Any]) -> Any:
    block = engine.block_by_hash(read_data(_at(params, 0), size=32))
    return None if block is None else block_view(block, full=bool(_at(params, 1)))


def _logs(engine: Engine, params: list[Any]) -> list[Any]:
    asked = _at(params, 0)
    if not isinstance(asked, dict):
        raise InvalidParams("expected a filter object")
    wanted = read_filter(asked)
    found: list[Any] = []
    for block in _log_blocks(engine, asked):
        for index, entry in enumerate(block.logs):
            if wanted.passes(entry):
                found.append(log_view(block, index))
        if len(found) > LOG_LIMIT:
            raise LimitExceeded(f"more than {LOG_LIMIT} logs; ask for a smaller block range")
    return found


def _log_blocks(engine: Engine, asked: dict[str, Any]) -> Any:
    if asked.get("blockHash") is not None:
        if asked.get("fromBlock") is not None or asked.get("toBlock") is not None:
            raise InvalidParams("give a block hash or a block range, not both")
        block = engine.block_by_hash(read_data(asked["blockHash"], size=32))
        if block is None:
            raise Refused("unknown block")
        return [block]
    first = _height(engine, asked.get("fromBlock"))
    last = min(_height(engine, asked.get("toBlock")), engine.head.number)
    if last - first >= LOG_RANGE:
        raise LimitExceeded(f"a block range has at most {LOG_RANGE} blocks")
    return engine.blocks_with_logs(first, last)


def _height(engine: Engine, tag: object) -> int:
    if tag is None or (isinstance(tag, str) and not tag.startswith("0x")):
        return _known(engine, tag).number
    return read_quantity(tag, bits=63)


def _fee_history(engine: Engine, params: list[Any]) -> Any:
    count = min(read_quantity(_at(params, 0, 1), bits=32), HISTORY_BLOCKS)
    newest = _known(engine, _at(params, 1)).number
    oldest = max(0, newest - count + 1)
    percentiles = _at(params, 2) or []
    if not isinstance(percentiles, list) or len(percentiles) > 100:
        raise InvalidParams("percentiles is a list of at most 100 numbers")
    blocks = [engine.block(number) for number in range(oldest, newest + 1)]
    used = [block.header.gas_used / GAS_LIMIT for block in blocks if block is not None]
    return {
        "oldestBlock": quantity(oldest),
        "baseFeePerGas": [quantity(BASE_FEE)] * (len(used) + 1),
        "gasUsedRatio": used,
        "reward": [[quantity(GAS_PRICE - BASE_FEE)] * len(percentiles) for _ in used],
    }


def _mine(engine: Engine, params: list[Any]) -> str:
    asked = _at(params, 0)
    count = read_quantity(asked, bits=32) if not isinstance(asked, dict | None) else 1
    if count > MINE_BLOCKS:
        raise InvalidParams(f"at most {MINE_BLOCKS} blocks at once")
    for _ in range(count):
        engine.mine()
    return quantity(engine.head.number)


def _increase_time(engine: Engine, params: list[Any]) -> str:
    return quantity(engine.increase_time(read_quantity(_at(params, 0), bits=40)))


def _set_next_time(engine: Engine, params: list[Any]) -> str:
    time_s = read_quantity(_at(params, 0), bits=41)
    engine.set_next_time(time_s)
    return quantity(time_s)


def _revert(engine: Engine, params: list[Any]) -> bool:
    return engine.revert(read_quantity(_at(params, 0), bits=32))


def _reorganise(engine: Engine, params: list[Any]) -> list[str]:
    depth = read_quantity(_at(params, 0), bits=16)
    return [data(b.hash) for b in engine.reorganise(depth, resend=bool(_at(params, 1)))]


METHODS: dict[str, Method] = {
    "web3_clientVersion": lambda _engine, _params: CLIENT,
    "net_version": lambda engine, _params: str(engine.chain_id),
    "eth_chainId": lambda engine, _params: quantity(engine.chain_id),
    "eth_syncing": lambda _engine, _params: False,
    "eth_accounts": lambda _engine, _params: [],
    "eth_blockNumber": lambda engine, _params: quantity(engine.head.number),
    "eth_gasPrice": lambda _engine, _params: quantity(GAS_PRICE),
    "eth_maxPriorityFeePerGas": lambda _engine, _params: quantity(GAS_PRICE - BASE_FEE),
    "eth_feeHistory": _fee_history,
    "eth_getBalance": _balance,
    "eth_getTransactionCount": _transaction_count,
    "eth_getCode": _code,
    "eth_getStorageAt": _storage_at,
    "eth_call": _call,
    "eth_estimateGas": _estimate,
    "eth_sendRawTransaction": _send_raw,
    "eth_getTransactionReceipt": _receipt,
    "eth_getTransactionByHash": _transaction,
    "eth_getBlockByNumber": _block_by_number,
    "eth_getBlockByHash": _block_by_hash,
    "eth_getLogs": _logs,
    "evm_mine": _mine,
    "evm_increaseTime": _increase_time,
    "evm_setNextBlockTimestamp": _set_next_time,
    "evm_snapshot": lambda engine, _params: quantity(engine.snapshot()),
    "evm_revert": _revert,
    "mfdb_reorg": _reorganise,
}
