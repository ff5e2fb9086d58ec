"""In what order the contracts are deployed, with which arguments, and how they learn of each other.

Pure data, so that every adapter deploys the same network. Contracts that know each other
(deposits, escrow, court) are wired once by the deployer and then frozen for ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mfdb.chain.port import CourtTerms

STORAGE_TRIAL = 1
"""Kind of case that `storage_witness` judges."""
MAX_CASES = 3
"""Cases one accuser may open per agreement and audit epoch, unless a network says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ref:
    """Stands for the address of a contract deployed earlier in the same plan."""

    contract: str


Argument = int | Ref


@dataclass(frozen=True, slots=True, kw_only=True)
class Deploy:
    """Deploy an artefact with these constructor arguments."""

    contract: str
    arguments: tuple[Argument, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """Call a function of a deployed contract, as the deployer."""

    contract: str
    function: str
    arguments: tuple[Argument, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All transactions that make a network: first the deployments, then the wiring, in order."""

    deployments: tuple[Deploy, ...]
    wiring: tuple[Wire, ...]


def plan(terms: CourtTerms, *, max_cases: int = MAX_CASES) -> Plan:
    """Return how to deploy a network with these terms.

    The deployer ends up with the whole MFT supply. The contracts refuse terms that are out of
    bounds: bond, draws (at most 1000), epoch and repair window (at most 365 days) are positive,
    the accuser gets at most 1000 basis points, and at least 1000 are burnt.
    """
    token, deposits, escrow = Ref(contract="mft"), Ref(contract="deposits"), Ref(contract="escrow")
    beacon, court = Ref(contract="beacon"), Ref(contract="court")
    master, witness = Ref(contract="chequebook"), Ref(contract="storage_witness")
    trial = (token, deposits, escrow, beacon, terms.bond, terms.draws, max_cases)
    deployments: tuple[tuple[str, tuple[Argument, ...]], ...] = (
        ("mft", ()),
        ("chequebook", (token,)),
        ("chequebook_factory", (token, master)),
        ("registry", ()),
        ("beacon", (terms.epoch_s,)),
        ("deposits", (token, terms.compensation_bp, terms.accuser_bp)),
        ("escrow", (token, terms.repair_window_s)),
        ("storage_witness", (deposits,)),
        ("court", trial),
    )
    wiring: tuple[tuple[str, str, tuple[Argument, ...]], ...] = (
        ("deposits", "wire", (court, escrow)),
        ("escrow", "wire", (deposits,)),
        ("court", "add_kind", (STORAGE_TRIAL, witness)),
        ("court", "freeze", ()),
    )
    return Plan(
        deployments=tuple(Deploy(contract=name, arguments=args) for name, args in deployments),
        wiring=tuple(
            Wire(contract=name, function=function, arguments=args)
            for name, function, args in wiring
        ),
    )
