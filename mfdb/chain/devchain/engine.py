"""The chain: blocks one after the other, each with one transaction or none.

Single-threaded and synchronous; every public method leaves a committed state behind. Listeners
hear of each block after it is on disk, and of blocks that a reorganisation took back.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from mfdb.chain.devchain.accounts import DEV_BALANCE, dev_accounts
from mfdb.chain.devchain.execution import CallRequest, Execution
from mfdb.chain.devchain.faults import InvalidParams, Refused
from mfdb.chain.devchain.records import Block, MinedTransaction
from mfdb.kernel.codec import decode, encode
from mfdb.kernel.errors import WrongChain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mfdb.chain.devchain.storage import ChainStorage
    from mfdb.kernel.clock import Clock

_LOG = logging.getLogger(__name__)

RECORD_LIMIT = 32 * 2**20
MAX_REORG = 256
MAX_SNAPSHOTS = 1_000
LOADED_BLOCKS = 1_024
MAX_TIME_S = 1 << 40

_HEAD = b"m/head"
_CHAIN = b"m/chain"
_CLOCK = b"m/clock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A block that became part of the chain, or (removed) is no longer."""

    block: Block
    removed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mark:
    """A snapshot: the head it was taken at, and how far block time was ahead."""

    head: bytes
    ahead_s: int


class Engine:
    """A chain in a directory."""

    def __init__(self, storage: ChainStorage, *, chain_id: int, clock: Clock) -> None:
        """Open the chain of a directory, or begin it with the development accounts.

        Raises:
            WrongChain: the directory holds the chain of another id.
        """
        self.chain_id = chain_id
        self._storage = storage
        self._clock = clock
        self._execution = Execution(storage.state, chain_id)
        self._listeners: list[Callable[[Change], None]] = []
        self._snapshots: list[_Mark] = []
        self._next_time_s: int | None = None
        # A hash names one content for ever; reading a header takes py-evm a millisecond.
        self._load = lru_cache(maxsize=LOADED_BLOCKS)(self._read)
        # How far block time is ahead of the wall clock, and how often the chain was rewound.
        self._ahead_s, self._branch = self._load_clock()
        self.head = self._open()

    def _open(self) -> Block:
        found = self._storage.get(_CHAIN)
        if found is None:
            return self._begin()
        if found != str(self.chain_id).encode():
            raise WrongChain(
                f"the directory holds chain {found.decode()}, not {self.chain_id}",
                hint="use another --dir or the --chain-id it was made with",
            )
        head = self._storage.get(_HEAD)
        assert head is not None, "the head is written with the chain id"
        return self._load(head)

    def _begin(self) -> Block:
        balances = {account.address: int(DEV_BALANCE) for account in dev_accounts(self.chain_id)}
        header = self._execution.genesis(time_s=int(self._clock.now_s()), balances=balances)
        self._storage.put(_CHAIN, str(self.chain_id).encode())
        return self._keep(header, None)

    # ---- reading

    def listen(self, listener: Callable[[Change], None]) -> None:
        """Call a function with every change of the chain from now on."""
        self._listeners.append(listener)

    def now_s(self) -> int:
        """Return the time that a block mined now would have; never before the head's."""
        if self._next_time_s is not None:
            return self._next_time_s
        return max(self.head.time_s, int(self._clock.now_s()) + self._ahead_s)

    def block(self, number: int) -> Block | None:
        """Return the block at a height, or None."""
        found = self._storage.get(_number_key(number))
        return None if found is None else self._load(found)

    def block_by_hash(self, block: bytes) -> Block | None:
        """Return a block of the chain by its hash, or None; also None once it was removed."""
        if self._storage.get(_block_key(block)) is None:
            return None
        found = self._load(block)
        return found if self._storage.get(_number_key(found.number)) == block else None

    def transaction(self, transaction: bytes) -> Block | None:
        """Return the block that holds a transaction, or None."""
        found = self._storage.get(_transaction_key(transaction))
        return None if found is None else self._load(found)

    def blocks_with_logs(self, first: int, last: int) -> Iterator[Block]:
        """Yield the blocks of a range that hold logs, in order."""
        for _, block in self._storage.scan(_logs_key(first), _logs_key(last + 1)):
            yield self._load(bytes(block))

    def account(self, block: Block, address: bytes) -> tuple[int, int, bytes]:
        """Return balance, nonce and code of an account after a block."""
        return self._execution.account(block.header, address)

    def storage_word(self, block: Block, address: bytes, slot: int) -> int:
        """Return a storage word of a contract after a block."""
        return self._execution.storage(block.header, address, slot)

    def call(self, block: Block, request: CallRequest) -> bytes:
        """Return what a call gives; at the head it sees the time of the next block.

        Raises:
            ExecutionReverted: the contract refused.
        """
        try:
            return self._execution.call(self._stage(block), request)
        finally:
            self._storage.discard()

    def estimate(self, block: Block, request: CallRequest) -> int:
        """Return gas with which a transaction would succeed.

        Raises:
            ExecutionReverted: the contract refuses.
        """
        try:
            return self._execution.estimate(self._stage(block), request)
        finally:
            self._storage.discard()

    def _stage(self, block: Block) -> Any:
        if block.hash != self.head.hash:
            return block.header
        return self._execution.child(block.header, time_s=self.now_s(), mark=b"")

    # ---- mining

    def submit(self, raw: bytes) -> bytes:
        """Mine a signed transaction and return its hash.

        Raises:
            Refused: it is not valid here and now; nothing changed.
        """
        transaction = self._execution.decode(raw)
        if self._storage.get(_transaction_key(bytes(transaction.hash))) is not None:
            raise Refused("already known")
        self._check_sender(transaction)
        self._mine(transaction, raw)
        return bytes(transaction.hash)

    def _check_sender(self, transaction: Any) -> None:
        balance, nonce, _ = self.account(self.head, bytes(transaction.sender))
        if transaction.nonce < nonce:
            raise Refused(f"nonce too low: next nonce {nonce}, tx nonce {transaction.nonce}")
        if transaction.nonce > nonce:
            # One transaction per block leaves nothing to wait in a queue.
            raise Refused(f"nonce too high: next nonce {nonce}, tx nonce {transaction.nonce}")
        cost = transaction.gas * transaction.max_fee_per_gas + transaction.value
        if cost > balance:
            raise Refused(f"insufficient funds for gas * price + value: have {balance} want {cost}")

    def mine(self) -> Block:
        """Mine an empty block and return it."""
        return self._mine(None, b"")

    def tick(self) -> None:
        """Mine an empty block if time has passed since the head.

        A time that was set is left for the block that somebody means to give it.
        """
        if self._next_time_s is None and self.now_s() > self.head.time_s:
            self._mine(None, b"")

    def _mine(self, transaction: Any, raw: bytes) -> Block:
        mark = b"mfdb" + self._branch.to_bytes(8, "big")
        header = self._execution.child(self.head.header, time_s=self.now_s(), mark=mark)
        mined: MinedTransaction | None = None
        try:
            if transaction is not None:
                header, mined = self._execution.apply(header, transaction, raw)
            block = self._keep(header, mined)
        except BaseException:
            self._storage.discard()
            raise
        self.head = block
        self._settle_time(block)
        self._tell(Change(block=block))
        return block

    def _settle_time(self, block: Block) -> None:
        if self._next_time_s is None:
            return
        # Time goes on from a time that was set, as if the clock had been moved.
        self._next_time_s = None
        self._ahead_s = block.time_s - int(self._clock.now_s())
        self._save_clock()

    def _keep(self, header: Any, transaction: MinedTransaction | None) -> Block:
        storage = self._storage
        block = Block(header=header, hash=bytes(header.hash), transaction=transaction)
        self._execution.keep_header(header)
        body = b"" if block.transaction is None else encode(block.transaction)
        storage.put(_block_key(block.hash), body)
        storage.put(_number_key(block.number), block.hash)
        storage.put(_HEAD, block.hash)
        if block.transaction is not None:
            storage.put(_transaction_key(block.transaction.hash), block.hash)
        if block.logs:
            storage.put(_logs_key(block.number), block.hash)
        storage.commit()
        return block

    def _read(self, block: bytes) -> Block:
        header = self._execution.load_header(self._storage.state[block])
        body = self._storage.get(_block_key(block))
        held = decode(MinedTransaction, body, limit_bytes=RECORD_LIMIT) if body else None
        return Block(header=header, hash=block, transaction=held)

    def _tell(self, change: Change) -> None:
        for listener in self._listeners:
            listener(change)

    # ---- time travel, for development and tests

    def increase_time(self, seconds: int) -> int:
        """Move block time ahead and return by how much it is ahead of the wall clock."""
        if self._ahead_s + seconds > MAX_TIME_S:
            raise InvalidParams("that is too far in the future")
        self._ahead_s = max(self._ahead_s, self.head.time_s - int(self._clock.now_s())) + seconds
        self._save_clock()
        return self._ahead_s

    def set_next_time(self, time_s: int) -> None:
        """Give the next block this time; time goes on from there.

        Raises:
            InvalidParams: it is before the head's.
        """
        if not self.head.time_s <= time_s <= MAX_TIME_S:
            raise InvalidParams(f"the time is before the head's, {self.head.time_s}")
        self._next_time_s = time_s

    def snapshot(self) -> int:
        """Return the number of a snapshot of now; they are forgotten when the process ends."""
        if len(self._snapshots) >= MAX_SNAPSHOTS:
            raise InvalidParams(f"there are {MAX_SNAPSHOTS} snapshots already")
        self._snapshots.append(_Mark(head=self.head.hash, ahead_s=self._ahead_s))
        return len(self._snapshots)

    def revert(self, number: int) -> bool:
        """Go back to a snapshot; it and the later ones are used up. False if there is none."""
        if not 1 <= number <= len(self._snapshots):
            return False
        mark = self._snapshots[number - 1]
        del self._snapshots[number - 1 :]
        target = self.block_by_hash(mark.head)
        if target is None:
            return False
        self._ahead_s = mark.ahead_s
        self._rewind(target)
        return True

    def reorganise(self, depth: int, *, resend: bool) -> list[Block]:
        """Replace the newest blocks by one more empty ones, and return what was removed.

        With `resend`, the transactions are mined again on the new branch if they still can be.

        Raises:
            InvalidParams: the depth is not between 1 and 256 and below the head.
        """
        if not 1 <= depth <= min(MAX_REORG, self.head.number):
            raise InvalidParams(f"a reorganisation has a depth of 1 to {MAX_REORG}, below the head")
        target = self.block(self.head.number - depth)
        assert target is not None, "the chain has no gaps"
        removed = self._rewind(target)
        for _ in range(depth + 1):
            self.mine()
        for block in removed if resend else ():
            if block.transaction is not None:
                self._resend(block.transaction)
        return removed

    def _resend(self, transaction: MinedTransaction) -> None:
        try:
            self.submit(transaction.raw)
        except Refused as refusal:
            _LOG.info("dropped by the reorganisation reason=%s", refusal.message)

    def _rewind(self, target: Block) -> list[Block]:
        """Take back all blocks above one and return them, oldest first."""
        removed: list[Block] = []
        for number in range(target.number + 1, self.head.number + 1):
            block = self.block(number)
            assert block is not None, "the chain has no gaps"
            removed.append(block)
            self._storage.put(_number_key(number), None)
            self._storage.put(_logs_key(number), None)
            if block.transaction is not None:
                self._storage.put(_transaction_key(block.transaction.hash), None)
        self._storage.put(_HEAD, target.hash)
        self._branch += 1
        self._next_time_s = None
        self._save_clock()
        self.head = target
        for block in reversed(removed):
            self._tell(Change(block=block, removed=True))
        return removed

    def _load_clock(self) -> tuple[int, int]:
        found = self._storage.get(_CLOCK)
        return (0, 0) if found is None else decode(tuple[int, int], found, limit_bytes=64)

    def _save_clock(self) -> None:
        self._storage.put(_CLOCK, encode((self._ahead_s, self._branch)))
        self._storage.commit()


def _number_key(number: int) -> bytes:
    return b"n/" + number.to_bytes(8, "big")


def _logs_key(number: int) -> bytes:
    return b"l/" + number.to_bytes(8, "big")


def _block_key(block: bytes) -> bytes:
    return b"b/" + block


def _transaction_key(transaction: bytes) -> bytes:
    return b"t/" + transaction
