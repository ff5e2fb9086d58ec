"""What one party must do about the cases on chain: a pure state machine over events and time.

    CaseOpened against me  -> Answer, until the deadline has passed
    CaseOpened by anybody  -> DemandVerdict, once the deadline has passed (the accuser first)
    CaseClosed as guilty   -> Convicted: the survivors repair

Everything follows from the chain's events, so a restart only reads again those since the oldest
case that is not settled.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from mfdb.chain.port import CaseClosed, CaseOpened, CaseStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mfdb.chain.port import ChainEvent
    from mfdb.kernel.ids import Address, CaseId

GRACE_S = 60
"""How long an accuser has the verdict to itself before everybody else asks for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Show the unit that a case asks for."""

    opened: CaseOpened


@dataclass(frozen=True, slots=True, kw_only=True)
class DemandVerdict:
    """Close a case whose accused kept silent."""

    case: CaseId


@dataclass(frozen=True, slots=True, kw_only=True)
class Convicted:
    """A provider was found guilty of having lost what it promised."""

    opened: CaseOpened
    closed: CaseClosed


Effect = Answer | DemandVerdict | Convicted


@dataclass(frozen=True, slots=True, kw_only=True)
class Docket:
    """The open cases, as one party sees them."""

    me: Address
    open: Mapping[CaseId, CaseOpened] = field(default_factory=dict)


def on_chain_saw(docket: Docket, event: ChainEvent) -> tuple[Docket, tuple[Effect, ...]]:
    """Return the docket after an event of the chain, and what follows from it at once."""
    match event:
        case CaseOpened() as opened:
            return replace(docket, open={**docket.open, opened.case: opened}), ()
        case CaseClosed() as closed:
            return _on_closed(docket, closed)
        case _:
            return docket, ()


def on_taken_back(docket: Docket, event: ChainEvent) -> Docket:
    """Return the docket after a reorganisation took an event back that was seen.

    A verdict that is taken back comes again; until then there is nothing to do about its case.
    """
    if not isinstance(event, CaseOpened):
        return docket
    left = {case: other for case, other in docket.open.items() if case != event.case}
    return replace(docket, open=left)


def on_ticked(docket: Docket, now_s: int) -> tuple[Effect, ...]:
    """Return what is due at a block time; due again at every tick until the chain shows it done."""
    effects: list[Effect] = []
    for opened in docket.open.values():
        if opened.provider == docket.me and now_s <= opened.deadline:
            effects.append(Answer(opened=opened))
        is_ours = opened.accuser == docket.me
        over_s = now_s - opened.deadline
        if over_s > (0 if is_ours else GRACE_S) and (is_ours or opened.provider != docket.me):
            effects.append(DemandVerdict(case=opened.case))
    return tuple(effects)


def _on_closed(docket: Docket, closed: CaseClosed) -> tuple[Docket, tuple[Effect, ...]]:
    opened = docket.open.get(closed.case)
    left = {case: other for case, other in docket.open.items() if case != closed.case}
    after = replace(docket, open=left)
    if opened is None or closed.status is not CaseStatus.GUILTY:
        return after, ()
    return after, (Convicted(opened=opened, closed=closed),)
