"""The court of the simulated chain and its storage trial; twin of the contracts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mfdb.chain.contracts.deployment import MAX_CASES
from mfdb.chain.port import CaseClosed, CaseOpened, CaseState, CaseStatus
from mfdb.kernel.digest import sha256, tagged_hash
from mfdb.kernel.errors import BadProof
from mfdb.kernel.ids import Address, AgreementId, CaseId, Hash, Wei
from mfdb.kernel.limits import UNIT_BYTES
from mfdb.kernel.typed_data import word
from mfdb.rules.evidence import Release
from mfdb.rules.units import check_unit, path_length
from mfdb.testing.sim_chain_deposits import promise_of
from mfdb.testing.sim_chain_pay import signer_or_none
from mfdb.testing.sim_chain_state import Table, fits_uint64, fits_uint256, require

if TYPE_CHECKING:
    from mfdb.chain.port import AnswerCase, CourtTerms, ExcuseCase, OpenCase
    from mfdb.rules.evidence import Network, StoreReceipt
    from mfdb.testing.sim_chain_deposits import Deposits, Escrow
    from mfdb.testing.sim_chain_pay import Beacons
    from mfdb.testing.sim_chain_state import Block, Journal, Ledger

MAX_UNITS = 2**40


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    status: CaseStatus
    receipt: StoreReceipt
    accuser: Address
    unit: int
    deadline: int

    @property
    def key(self) -> tuple[object, ...]:
        return (self.receipt.agreement, promise_of(self.receipt), self.unit)


class Court:
    """Trials that whoever must move loses on silence."""

    def __init__(
        self,
        journal: Journal,
        ledger: Ledger,
        network: Network,
        *,
        address: Address,
        terms: CourtTerms,
        deposits: Deposits,
        escrow: Escrow,
        beacons: Beacons,
    ) -> None:
        self._journal = journal
        self._ledger = ledger
        self._network = network
        self._terms = terms
        self._deposits = deposits
        self._escrow = escrow
        self._beacons = beacons
        self.address = address
        self._number = 0
        self._cases: Table[CaseId, _Case | None] = Table(journal, None)
        self._pending: Table[tuple[object, ...], bool] = Table(journal, False)  # noqa: FBT003
        self._broken: Table[tuple[object, ...], bool] = Table(journal, False)  # noqa: FBT003
        self._filed: Table[tuple[object, ...], int] = Table(journal, 0)

    def state(self, case: CaseId) -> CaseState | None:
        """Return a case and what hangs on it."""
        found = self._cases[case]
        if found is None:
            return None
        return CaseState(
            id=case,
            status=found.status,
            agreement=found.receipt.agreement,
            accuser=found.accuser,
            unit=found.unit,
            deadline=found.deadline,
            compensation=self._escrow.held_for(case),
        )

    def convicted(self, case: CaseId) -> AgreementId:
        """Return the agreement convicted in a case."""
        found = self._cases[case]
        require(found is not None and found.status is CaseStatus.GUILTY, "mfdb: no conviction")
        assert found is not None
        return found.receipt.agreement

    def open_case(self, sender: Address, call: OpenCase, block: Block) -> CaseId:
        """Accuse the signer of a receipt."""
        receipt = call.receipt
        fits_uint64(receipt.shard, receipt.units, receipt.expiry)
        fits_uint256(call.epoch, call.draw)
        require(0 < receipt.units <= MAX_UNITS, "mfdb: bad unit count")
        require(block.time_s <= receipt.expiry, "mfdb: receipt expired")
        signer = signer_or_none(self._network.digest(receipt), call.signature)
        kept = self._deposits.case_opened(receipt.agreement, signer, block)
        unit = self._draw(call, kept.agreement.start, block)
        opened = _Case(
            status=CaseStatus.FILED,
            receipt=receipt,
            accuser=sender,
            unit=unit,
            deadline=block.time_s + kept.agreement.answer_window_s,
        )
        self._count(opened, block.time_s // self._terms.epoch_s)
        self._number += 1  # never rolled back: a number that was skipped repeats no id
        name = CaseId(tagged_hash("mfdb.sim.case", word(self._number), receipt.struct_hash()))
        self._cases[name] = opened
        self._journal.emit(_opened(name, opened, kept.agreement.provider))
        self._ledger.move(sender, self.address, self._terms.bond)
        return name

    def _draw(self, call: OpenCase, start: int, block: Block) -> int:
        epoch_s = self._terms.epoch_s
        require(call.epoch <= block.time_s // epoch_s, "mfdb: no beacon")
        require((call.epoch + 1) * epoch_s > start, "mfdb: epoch outside term")
        beacon = self._beacons.beacon(call.epoch)
        require(beacon is not None, "mfdb: no beacon")
        require(call.draw < self._terms.draws, "mfdb: no such draw")
        assert beacon is not None
        return unit_drawn(beacon, call.receipt, call.draw)

    def _count(self, case: _Case, epoch: int) -> None:
        filing = (case.receipt.agreement, case.accuser, epoch)
        require(self._filed[filing] < MAX_CASES, "mfdb: too many cases")
        require(not self._pending[case.key], "mfdb: case already open")
        require(not self._broken[case.key[:2]], "mfdb: already convicted")
        self._filed[filing] += 1
        self._pending[case.key] = True

    def _open(self, case: CaseId) -> _Case:
        found = self._cases[case]
        require(found is not None and found.status is CaseStatus.FILED, "mfdb: no open case")
        assert found is not None
        return found

    def answer(self, call: AnswerCase, block: Block) -> None:
        """Show the unit asked for: acquits."""
        case = self._open(call.case)
        require(block.time_s <= case.deadline, "mfdb: too late to answer")
        require(call.receipt == case.receipt, "mfdb: other claim")
        units = case.receipt.units
        require(len(call.unit) == UNIT_BYTES, "mfdb: wrong unit length")
        require(len(call.path) == path_length(units), "mfdb: wrong path length")
        try:
            check_unit(case.receipt.root, call.unit, call.path, index=case.unit, count=units)
        except BadProof:
            require(False, "mfdb: wrong unit or path")  # noqa: FBT003 - it never holds here
        self._acquit(call.case, case)

    def excuse(self, call: ExcuseCase, block: Block) -> None:
        """Show the client's release from what is asked for: acquits."""
        case = self._open(call.case)
        require(block.time_s <= case.deadline, "mfdb: too late to answer")
        require(call.receipt == case.receipt, "mfdb: other claim")
        kept = self._deposits.kept(case.receipt.agreement)
        assert kept is not None
        release = Release(case.receipt.agreement, case.receipt.segment)
        self._deposits.check_released(kept, release, call.client_signature)
        self._acquit(call.case, case)

    def _acquit(self, name: CaseId, case: _Case) -> None:
        kept = self._deposits.case_closed(case.receipt.agreement)
        self._close(name, case, CaseStatus.NOT_GUILTY, (0, 0))
        self._ledger.move(self.address, kept.agreement.provider, self._terms.bond)

    def verdict(self, name: CaseId, block: Block) -> None:
        """Close a case whose answer window passed in silence: guilty."""
        case = self._open(name)
        require(block.time_s > case.deadline, "mfdb: answer window open")
        self._deposits.case_closed(case.receipt.agreement)
        yielded = (0, 0)
        if not self._broken[case.key[:2]]:
            self._broken[case.key[:2]] = True
            size = case.receipt.units * UNIT_BYTES
            yielded = self._deposits.slash(name, case.accuser, case.receipt, size, block)
        self._close(name, case, CaseStatus.GUILTY, yielded)
        self._ledger.move(self.address, case.accuser, self._terms.bond)

    def _close(
        self, name: CaseId, case: _Case, status: CaseStatus, yielded: tuple[int, int]
    ) -> None:
        self._cases[name] = replace(case, status=status)
        self._pending[case.key] = False
        event = CaseClosed(
            case=name,
            agreement=case.receipt.agreement,
            status=status,
            slashed=Wei(yielded[0]),
            compensation=Wei(yielded[1]),
        )
        self._journal.emit(event)


def unit_drawn(beacon: Hash, receipt: StoreReceipt, draw: int) -> int:
    """Return the unit that draw number `draw` of a beacon asks of a receipt."""
    drawn = sha256(beacon, receipt.agreement, receipt.segment, word(draw))
    return int.from_bytes(drawn, "big") % receipt.units


def _opened(name: CaseId, case: _Case, provider: Address) -> CaseOpened:
    return CaseOpened(
        case=name,
        agreement=case.receipt.agreement,
        provider=provider,
        accuser=case.accuser,
        receipt=case.receipt,
        unit=case.unit,
        deadline=case.deadline,
    )
