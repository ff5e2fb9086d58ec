"""What the contracts of the simulated chain stand on: tables that roll back, and the token."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from mfdb.chain.port import Transferred
from mfdb.kernel.errors import TransactionReverted
from mfdb.kernel.ids import MFT, ZERO_ADDRESS, Address, Hash, Wei

if TYPE_CHECKING:
    from collections.abc import Callable

    from mfdb.chain.port import ChainEvent

K = TypeVar("K")
V = TypeVar("V")
SUPPLY = Wei(10_000_000_000 * MFT)


def require(holds: bool, reason: str) -> None:  # noqa: FBT001 - reads like the contracts' assert
    """Revert with a reason unless the condition holds."""
    if not holds:
        raise TransactionReverted(reason)


def fits_uint64(*numbers: int) -> None:
    """Revert unless all numbers fit 64 bits unsigned, as the ABI decoders of the contracts do."""
    require(all(0 <= number < 2**64 for number in numbers), "mfdb: number out of range")


def fits_uint256(*numbers: int) -> None:
    """Revert unless all numbers fit 256 bits unsigned."""
    require(all(0 <= number < 2**256 for number in numbers), "mfdb: number out of range")


@dataclass(slots=True, kw_only=True)
class Journal:
    """How to undo the running transaction, and the events it has emitted so far."""

    undo: list[Callable[[], object]] = field(default_factory=list)
    events: list[ChainEvent] = field(default_factory=list)

    def emit(self, event: ChainEvent) -> None:
        """Note an event of the running transaction."""
        self.events.append(event)

    def commit(self) -> list[ChainEvent]:
        """End the transaction for good and return its events."""
        events, self.events, self.undo = self.events, [], []
        return events

    def roll_back(self) -> None:
        """Undo everything the transaction did."""
        while self.undo:
            self.undo.pop()()
        self.events = []


class Table(Generic[K, V]):
    """A mapping like those of a contract: every key has a value, and writes roll back."""

    __slots__ = ("_default", "_journal", "_rows")

    def __init__(self, journal: Journal, default: V) -> None:
        self._journal = journal
        self._default = default
        self._rows: dict[K, V] = {}

    def __getitem__(self, key: K) -> V:
        return self._rows.get(key, self._default)

    def __setitem__(self, key: K, value: V) -> None:
        rows: dict[K, Any] = self._rows
        if key in rows:
            before = rows[key]
            self._journal.undo.append(lambda: rows.__setitem__(key, before))
        else:
            self._journal.undo.append(lambda: rows.pop(key, None))
        rows[key] = value

    def items(self) -> list[tuple[K, V]]:
        """Return all pairs that were ever set."""
        return list(self._rows.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """The block that a transaction is in."""

    number: int
    time_s: int


class Ledger:
    """The Mainframe Token: who holds how much."""

    __slots__ = ("_journal", "address", "balances")

    def __init__(self, journal: Journal, address: Address, faucet: Address) -> None:
        self._journal = journal
        self.address = address
        self.balances: Table[Address, int] = Table(journal, 0)
        self.balances[faucet] = SUPPLY
        journal.emit(Transferred(sender=ZERO_ADDRESS, to=faucet, amount=SUPPLY))

    def move(self, sender: Address, to: Address, amount: int) -> None:
        """Move tokens; to the zero address reverts, see `burn`."""
        fits_uint256(amount)
        require(to not in (ZERO_ADDRESS, self.address), "mfdb: bad recipient")
        self._take(sender, to, amount)
        self.balances[to] += amount

    def burn(self, owner: Address, amount: int) -> None:
        """Destroy tokens."""
        self._take(owner, ZERO_ADDRESS, amount)

    def _take(self, sender: Address, to: Address, amount: int) -> None:
        require(self.balances[sender] >= amount, "mfdb: balance too small")
        self.balances[sender] -= amount
        self._journal.emit(Transferred(sender=sender, to=to, amount=Wei(amount)))


def derived_address(seed: Hash, name: str, number: int = 0) -> Address:
    """Return the address of a contract of the simulated chain."""
    from mfdb.kernel.digest import tagged_hash

    return Address(tagged_hash(f"mfdb.sim.{name}", seed, number.to_bytes(8, "big"))[-20:])
