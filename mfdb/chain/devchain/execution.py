"""py-evm behind three questions: what a transaction does, what a call says, what gas it needs.

The only file that knows py-evm's classes. Rules are Prague's, the newest that py-evm 0.12.1b1 has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import rlp
from eth.consensus.context import ConsensusContext
from eth.db.chain import ChainDB
from eth.db.trie import make_trie_root_and_nodes
from eth.exceptions import VMError
from eth.vm.chain_context import ChainContext
from eth.vm.forks.prague import PragueVM
from eth.vm.forks.prague.blocks import PragueBlockHeader
from eth.vm.message import Message
from eth.vm.spoof import SpoofTransaction
from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError
from eth_hash.auto import keccak
from eth_typing import Address as EvmAddress
from eth_typing import BlockNumber
from eth_utils.exceptions import ValidationError

from mfdb.chain.devchain.faults import ExecutionReverted, Refused
from mfdb.chain.devchain.records import LogEntry, MinedTransaction
from mfdb.kernel.keccak import load

if TYPE_CHECKING:
    from eth.db.atomic import AtomicDB

    from mfdb.kernel.ids import Address

GAS_LIMIT = 60_000_000
BASE_FEE = 7
"""Smallest base fee that does not move while blocks are less than half full."""
CALL_STIPEND = 2_300
CALL_SHARE = 64
"""A nested call gets all but one part in so many of the gas that is left (EIP-150)."""
ENOUGH = 1 << 200

# Slots, trie nodes and the SHA3 opcode: py-evm hashes with this object, a tenth of its time.
keccak.hasher = load()  # type: ignore[assignment]  # it is never given a bytearray

_TYPES = (0, 1, 2)
_NEW_CONTRACT = EvmAddress(bytes(20))
_REVERT = bytes.fromhex("08c379a0")


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRequest:
    """The parameters of eth_call and eth_estimateGas; `to` is empty to deploy."""

    sender: bytes
    to: bytes
    value: int
    data: bytes
    gas: int


class Execution:
    """Runs transactions and calls on the state of a header."""

    def __init__(self, state: AtomicDB, chain_id: int) -> None:
        self._database = state
        self._chain_id = chain_id
        self._headers = ChainDB(state)
        self._context = ChainContext(chain_id)
        self._consensus = ConsensusContext(state)

    def genesis(self, *, time_s: int, balances: dict[Address, int]) -> Any:
        """Return a genesis header after writing the accounts' balances."""
        header = PragueBlockHeader(
            difficulty=0,
            block_number=BlockNumber(0),
            gas_limit=GAS_LIMIT,
            timestamp=time_s,
            base_fee_per_gas=BASE_FEE,
            nonce=bytes(8),
        )
        state = self._vm(header).state
        for address, balance in balances.items():
            state.set_balance(address, balance)
        state.persist()
        return header.copy(state_root=state.state_root)

    def load_header(self, encoded: bytes) -> Any:
        """Return a header from its RLP."""
        return rlp.decode(encoded, PragueBlockHeader)

    def keep_header(self, header: Any) -> None:
        """Write a header where BLOCKHASH finds it."""
        self._database[header.hash] = rlp.encode(header)

    def child(self, parent: Any, *, time_s: int, mark: bytes) -> Any:
        """Return the header of an empty block on top of another."""
        return PragueVM.create_header_from_parent(
            parent, timestamp=time_s, gas_limit=GAS_LIMIT, extra_data=mark
        ).copy(state_root=parent.state_root)

    def decode(self, raw: bytes) -> Any:
        """Return a signed transaction from its bytes.

        Raises:
            Refused: the bytes are none, or of a type or chain that is not taken here.
        """
        try:
            transaction = PragueVM.get_transaction_builder().decode(raw)
            transaction.validate()
            transaction.check_signature_validity()
        except Exception as error:  # rlp, eth_keys and py-evm share no base for bad bytes
            raise Refused(f"not a valid transaction: {str(error)[:200]}") from error
        kind = transaction.type_id or 0
        if kind not in _TYPES:
            raise Refused(f"transaction type {kind} not supported")
        if transaction.chain_id != self._chain_id:
            raise Refused(
                f"invalid chain id for signer: have {transaction.chain_id} want {self._chain_id}"
            )
        return transaction

    def apply(self, header: Any, transaction: Any, raw: bytes) -> tuple[Any, MinedTransaction]:
        """Return the sealed header of a block with one transaction, and what it did.

        Raises:
            Refused: the transaction cannot be in this block.
        """
        vm = self._vm(header)
        try:
            receipt, computation = vm.apply_transaction(header, transaction)
        except (ValidationError, VMError) as error:
            raise Refused(str(error)[:300]) from error
        vm.state.persist()
        created = b"" if transaction.to else bytes(computation.msg.storage_address)
        mined = MinedTransaction(
            raw=raw,
            hash=bytes(transaction.hash),
            sender=bytes(transaction.sender),
            to=bytes(transaction.to),
            succeeded=not computation.is_error,
            gas_used=int(receipt.gas_used),
            gas_price=int(vm.state.get_gas_price(transaction)),
            created=b"" if computation.is_error else created,
            logs=tuple(_log(entry) for entry in receipt.logs),
        )
        sealed = header.copy(
            gas_used=receipt.gas_used,
            bloom=int(receipt.bloom),
            state_root=vm.state.state_root,
            transaction_root=make_trie_root_and_nodes((transaction,))[0],
            receipt_root=make_trie_root_and_nodes((receipt,))[0],
        )
        return sealed, mined

    def account(self, header: Any, address: bytes) -> tuple[int, int, bytes]:
        """Return balance, nonce and code of an account after a block."""
        state = self._vm(header).state
        return (
            int(state.get_balance(address)),
            int(state.get_nonce(address)),
            bytes(state.get_code(address)),
        )

    def storage(self, header: Any, address: bytes, slot: int) -> int:
        """Return a storage word of a contract after a block."""
        return int(self._vm(header).state.get_storage(address, slot))

    def call(self, header: Any, request: CallRequest) -> bytes:
        """Return what a call gives on top of a header's state.

        Raises:
            ExecutionReverted: the contract refused.
        """
        state = self._vm(header).state
        kind = state.computation_class
        context = state.get_transaction_context_class()(gas_price=0, origin=request.sender)
        message = Message(
            gas=request.gas,
            to=EvmAddress(request.to),
            sender=EvmAddress(request.sender),
            value=request.value,
            data=request.data if request.to else b"",
            code=state.get_code(request.to) if request.to else request.data,
            create_address=_NEW_CONTRACT if not request.to else None,  # type: ignore[arg-type]  # py-evm's own default is None
        )
        run = kind.apply_message if request.to else kind.apply_create_message
        try:
            computation = run(state, message, context)
        except VMError as error:
            raise Refused(str(error)[:300]) from error
        _check(computation)
        return bytes(computation.output)

    def estimate(self, header: Any, request: CallRequest) -> int:
        """Return gas with which a transaction on top of a header's state succeeds.

        Raises:
            ExecutionReverted: the contract refuses whatever the gas.
        """
        computation, spent, used = self._try(header, request)
        _check(computation)
        needed = max(spent, used) + CALL_STIPEND
        for _ in range(_depth(computation)):
            needed += needed // (CALL_SHARE - 1) + 1
        return min(request.gas, needed)

    def _try(self, header: Any, request: CallRequest) -> tuple[Any, int, int]:
        """Return a run's computation, the gas before refunds, and the gas charged."""
        gas = request.gas
        vm = self._vm(header)
        state = vm.state
        state.set_balance(request.sender, ENOUGH)
        signed = PragueVM.get_transaction_builder().new_transaction(
            nonce=state.get_nonce(request.sender),
            gas_price=BASE_FEE,
            gas=gas,
            to=EvmAddress(request.to),
            value=request.value,
            data=request.data,
            v=27,
            r=1,
            s=1,
        )
        sender = request.sender
        transaction = SpoofTransaction(signed, sender=sender, get_sender=lambda: sender)
        try:
            computation = state.apply_transaction(transaction)
        except (ValidationError, VMError) as error:
            raise Refused(str(error)[:300]) from error
        spent = gas - int(computation.get_gas_remaining())
        return computation, spent, int(vm.finalize_gas_used(transaction, computation))

    def _vm(self, header: Any) -> Any:
        return PragueVM(header, self._headers, self._context, self._consensus)


def _log(entry: Any) -> LogEntry:
    return LogEntry(
        address=bytes(entry.address),
        topics=tuple(topic.to_bytes(32, "big") for topic in entry.topics),
        data=bytes(entry.data),
    )


def _depth(computation: Any) -> int:
    """Return how deep the calls of a run were nested."""
    return max((1 + _depth(child) for child in computation.children), default=0)


def _check(computation: Any) -> None:
    if not computation.is_error:
        return
    output = bytes(computation.output)
    reason = reason_of(output)
    if not output:
        message = f"execution reverted: {type(computation.error).__name__}"
    else:
        message = f"execution reverted: {reason}" if reason else "execution reverted"
    raise ExecutionReverted(message, data="0x" + output.hex())


def reason_of(output: bytes) -> str:
    """Return the text in revert data, or nothing if the contract gave none."""
    if output[:4] != _REVERT:
        return ""
    try:
        (text,) = decode(["string"], output[4:])
    except (DecodingError, OverflowError):
        return ""
    return str(text)


def call_request(
    *, sender: bytes = bytes(20), to: bytes = b"", value: int = 0, data: bytes = b"", gas: int = 0
) -> CallRequest:
    """Return a call's parameters; no gas means as much as a block holds."""
    limit = min(gas, GAS_LIMIT) if gas else GAS_LIMIT
    return CallRequest(sender=sender, to=to, value=value, data=data, gas=limit)
