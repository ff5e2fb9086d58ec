"""Chequebooks, identities' records and beacons of the simulated chain; twins of the contracts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mfdb.chain.port import ChequebookState, ChequeCashed, RecordKind, RecordPublished
from mfdb.kernel.account import recover
from mfdb.kernel.errors import BadSignature
from mfdb.kernel.ids import ZERO_HASH, Address, Hash, Wei
from mfdb.testing.sim_chain_state import Table, derived_address, fits_uint64, fits_uint256, require

if TYPE_CHECKING:
    from collections.abc import Callable

    from mfdb.rules.evidence import Cheque
    from mfdb.testing.sim_chain_state import Block, Journal, Ledger

RECORD_BYTES = 4096


def signer_or_none(digest: Hash, signature: bytes) -> Address | None:
    """Return who signed, or None for a signature that the contracts take for nobody's."""
    try:
        return recover(digest, signature)
    except BadSignature:
        return None


@dataclass(frozen=True, slots=True)
class _Account:
    paid_out: int = 0
    serial: int = 0
    shortfall: int = 0


class Chequebooks:
    """The factory and all chequebooks it made."""

    def __init__(self, journal: Journal, ledger: Ledger, seed: Hash, chain_id: int) -> None:
        self._journal = journal
        self._ledger = ledger
        self._seed = seed
        self._chain_id = chain_id
        self._issuers: Table[Address, Address | None] = Table(journal, None)
        self._accounts: Table[tuple[Address, Address], _Account] = Table(journal, _Account())
        self._unpaid: Table[Address, int] = Table(journal, 0)
        self._newest: Table[Address, Address | None] = Table(journal, None)

    def create(self, sender: Address, amount: int) -> Address:
        """Make the sender's chequebook and fund it."""
        made = derived_address(self._seed, "chequebook", len(self._issuers.items()))
        self._issuers[made] = sender
        self._newest[sender] = made
        if amount > 0:
            self._ledger.move(sender, made, amount)
        return made

    def cash(self, cheque: Cheque, signature: bytes, block: Block) -> None:
        """Pay a beneficiary what is due, or what there is."""
        issuer = self._issuers[cheque.chequebook]
        require(issuer is not None, "mfdb: no such chequebook")
        fits_uint64(cheque.serial, cheque.valid_from, cheque.valid_until)
        fits_uint256(cheque.cumulative_payout)
        key = (cheque.chequebook, cheque.beneficiary)
        account = self._accounts[key]
        signer = signer_or_none(cheque.digest(self._chain_id), signature)
        require(signer == issuer, "mfdb: bad cheque signature")
        require(block.time_s >= cheque.valid_from, "mfdb: cheque not yet valid")
        require(block.time_s <= cheque.valid_until, "mfdb: cheque expired")
        require(cheque.serial >= account.serial, "mfdb: newer cheque cashed")
        due = cheque.cumulative_payout - account.paid_out
        require(due > 0, "mfdb: nothing due")
        paid = min(due, self._ledger.balances[cheque.chequebook])
        missing = due - paid
        self._unpaid[cheque.chequebook] += (missing > 0) - (account.shortfall > 0)
        self._accounts[key] = _Account(account.paid_out + paid, cheque.serial, missing)
        event = ChequeCashed(
            chequebook=cheque.chequebook, beneficiary=cheque.beneficiary, amount=Wei(paid)
        )
        self._journal.emit(event)
        if paid > 0:
            self._ledger.move(cheque.chequebook, cheque.beneficiary, paid)

    def withdraw(self, sender: Address, chequebook: Address, amount: int) -> None:
        """Give an issuer back what is in its chequebook."""
        issuer = self._issuers[chequebook]
        require(issuer is not None, "mfdb: no such chequebook")
        fits_uint256(amount)
        require(sender == issuer, "mfdb: not the issuer")
        require(amount <= self._ledger.balances[chequebook], "mfdb: not liquid")
        self._ledger.move(chequebook, sender, amount)

    def newest_of(self, issuer: Address) -> Address | None:
        """Return the newest chequebook that an identity made."""
        return self._newest[issuer]

    def state(self, chequebook: Address, beneficiary: Address) -> ChequebookState | None:
        """Return a chequebook's state towards a beneficiary."""
        issuer = self._issuers[chequebook]
        if issuer is None:
            return None
        return ChequebookState(
            issuer=issuer,
            balance=Wei(self._ledger.balances[chequebook]),
            paid_out=Wei(self._accounts[chequebook, beneficiary].paid_out),
            bounced=self._unpaid[chequebook] > 0,
        )


class Registry:
    """The records that identities publish. Keys are never changed here: identities sign."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._records: Table[tuple[Address, RecordKind], bytes | None] = Table(journal, None)

    def set_record(self, identity: Address, kind: RecordKind, record: bytes) -> None:
        """Publish a record; it replaces the one before."""
        require(len(record) <= RECORD_BYTES, "mfdb: record too long")
        self._records[identity, RecordKind(kind)] = record
        self._journal.emit(RecordPublished(identity=identity, kind=kind, record=record))

    def record(self, identity: Address, kind: RecordKind) -> bytes | None:
        """Return an identity's newest record of a kind."""
        return self._records[identity, kind]

    def records(self, kind: RecordKind) -> dict[Address, bytes]:
        """Return the newest record of a kind of everybody."""
        return {
            identity: record
            for (identity, found), record in self._records.items()
            if found == kind and record is not None
        }


class Beacons:
    """One block hash per audit epoch."""

    def __init__(self, journal: Journal, epoch_s: int, hash_of: Callable[[int], Hash]) -> None:
        self.epoch_s = epoch_s
        self._hash_of = hash_of
        self._beacons: Table[int, Hash] = Table(journal, ZERO_HASH)
        self._targets: Table[int, int] = Table(journal, 0)

    def record(self, epoch: int, block: Block) -> None:
        """Take the next step: fix a block, or record its hash once it has passed."""
        fits_uint256(epoch)
        require(epoch <= block.time_s // self.epoch_s, "mfdb: epoch not begun")
        target = self._targets[epoch]
        if self._beacons[epoch] != ZERO_HASH:
            return
        if target == 0 or block.number > target + 256:
            self._targets[epoch] = block.number
        elif block.number > target:
            self._beacons[epoch] = self._hash_of(target)

    def beacon(self, epoch: int) -> Hash | None:
        """Return an epoch's beacon, or None before it is recorded."""
        found = self._beacons[epoch]
        return None if found == ZERO_HASH else found
