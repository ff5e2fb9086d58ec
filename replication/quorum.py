"""One write: pushed until all N replicas hold it, acknowledged at W durable receipts.

    start -> SendChangeset to all N
    W receipts -> Acknowledged (once)          N receipts -> Replicated (once), done
    deadline before W -> Indeterminate (once): the write may still spread, and is pushed on
    all have answered and W is out of reach -> Refused if nobody holds it, else Indeterminate

A provider that does not answer, is lost or refuses for the moment is asked again after a wait that
doubles. The caller sets a timer for every `Retry` and then feeds `Ticked`. Receipts are verified
before they come here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, assert_never

import msgspec
from msgspec.structs import replace

from mfdb.kernel.errors import IntegrityError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mfdb.kernel.errors import MfdbError
    from mfdb.kernel.ids import Address, ChangesetId

FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0


# ---- inputs


class ReceivedReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """A provider's write receipt came and is good."""

    provider: Address


class ReceivedRefusal(msgspec.Struct, frozen=True, kw_only=True):
    """A provider refuses the changeset, for good if the rows or rules forbid it as it is."""

    provider: Address
    error: MfdbError


class PeerLost(msgspec.Struct, frozen=True, kw_only=True):
    """The connection to a provider is gone, or the request on it failed."""

    provider: Address


class Ticked(msgspec.Struct, frozen=True, kw_only=True):
    """Time has passed."""


Input = ReceivedReceipt | ReceivedRefusal | PeerLost | Ticked


# ---- effects


class SendChangeset(msgspec.Struct, frozen=True, kw_only=True):
    """Send the changeset to a provider (again)."""

    provider: Address


class Acknowledged(msgspec.Struct, frozen=True, kw_only=True):
    """W providers hold it durably: tell the application."""

    providers: tuple[Address, ...]


class Replicated(msgspec.Struct, frozen=True, kw_only=True):
    """All N providers hold it: the write is done."""


class Indeterminate(msgspec.Struct, frozen=True, kw_only=True):
    """Fewer than W hold it so far; it may still spread. Tell the application."""

    have: int
    need: int


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """Every provider refused for good, so nobody holds it: it failed."""

    errors: tuple[tuple[Address, MfdbError], ...]


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """Feed `Ticked` at this time."""

    at_s: float


Effect = SendChangeset | Acknowledged | Replicated | Indeterminate | Refused | Retry


# ---- the state


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """A provider that has not answered: when to ask again, and how long to wait after that."""

    at_s: float
    wait_s: float


class Write(msgspec.Struct, frozen=True, kw_only=True):
    """Where one write stands."""

    changeset: ChangesetId
    need: int
    deadline_s: float
    pending: Mapping[Address, Pending]
    holders: frozenset[Address] = frozenset()
    refused: Mapping[Address, MfdbError] = msgspec.field(default_factory=dict)
    is_acknowledged: bool = False
    is_reported: bool = False

    @property
    def is_done(self) -> bool:
        """Whether there is nobody left to ask."""
        return not self.pending


def start(
    changeset: ChangesetId,
    providers: tuple[Address, ...],
    *,
    need: int,
    now_s: float,
    deadline_s: float,
) -> tuple[Write, tuple[Effect, ...]]:
    """Return a new write and its first effects; `deadline_s` is when the application wants word.

    Providers of a write that is resumed after a restart are simply asked again: a replica answers
    the same changeset with the same receipt.
    """
    distinct = tuple(dict.fromkeys(providers))
    if not 1 <= need <= len(distinct):
        raise ValueError(f"a write quorum of {need} among {len(distinct)} providers cannot be")
    first = Pending(at_s=now_s + FIRST_WAIT_S, wait_s=FIRST_WAIT_S)
    write = Write(
        changeset=changeset,
        need=need,
        deadline_s=deadline_s,
        pending=dict.fromkeys(distinct, first),
    )
    sends = tuple(SendChangeset(provider=provider) for provider in distinct)
    return write, (*sends, *_timer(write))


def step(write: Write, event: Input, now_s: float) -> tuple[Write, tuple[Effect, ...]]:
    """Return the write after an input, and what to do about it."""
    match event:
        case ReceivedReceipt(provider=provider):
            return _on_received_receipt(write, provider)
        case ReceivedRefusal(provider=provider, error=error):
            return _on_received_refusal(write, provider, error, now_s)
        case PeerLost(provider=provider):
            return _on_peer_lost(write, provider, now_s)
        case Ticked():
            return _on_ticked(write, now_s)
        case _:
            assert_never(event)


def _on_received_receipt(write: Write, provider: Address) -> tuple[Write, tuple[Effect, ...]]:
    if provider in write.pending:
        left = _without(write.pending, provider)
        return _settled(replace(write, holders=write.holders | {provider}, pending=left))
    if provider in write.refused:
        rest = _without(write.refused, provider)
        return _settled(replace(write, holders=write.holders | {provider}, refused=rest))
    return write, ()  # a repeated receipt, or one of a stranger


def _on_received_refusal(
    write: Write, provider: Address, error: MfdbError, now_s: float
) -> tuple[Write, tuple[Effect, ...]]:
    if provider not in write.pending:
        return write, ()
    # A stale write is worth another try only by whoever reads the row again, not as it is.
    if error.retryable and not isinstance(error, IntegrityError):
        return _on_peer_lost(write, provider, now_s)
    refused = {**write.refused, provider: error}
    return _settled(replace(write, pending=_without(write.pending, provider), refused=refused))


def _on_peer_lost(
    write: Write, provider: Address, now_s: float
) -> tuple[Write, tuple[Effect, ...]]:
    waiting = write.pending.get(provider)
    if waiting is None:
        return write, ()
    later = replace(waiting, at_s=now_s + waiting.wait_s)
    write = replace(write, pending={**write.pending, provider: later})
    return write, _timer(write)


def _on_ticked(write: Write, now_s: float) -> tuple[Write, tuple[Effect, ...]]:
    effects: list[Effect] = []
    if not (write.is_acknowledged or write.is_reported) and now_s >= write.deadline_s:
        effects.append(Indeterminate(have=len(write.holders), need=write.need))
        write = replace(write, is_reported=True)
    due = [provider for provider, left in write.pending.items() if left.at_s <= now_s]
    again = {provider: _next(write.pending[provider], now_s) for provider in due}
    write = replace(write, pending={**write.pending, **again})
    effects += [SendChangeset(provider=provider) for provider in due]
    return write, (*effects, *_timer(write))


def _settled(write: Write) -> tuple[Write, tuple[Effect, ...]]:
    """Return what an answer has decided, if anything."""
    effects: list[Effect] = []
    if len(write.holders) >= write.need and not write.is_acknowledged:
        write = replace(write, is_acknowledged=True)
        effects.append(Acknowledged(providers=tuple(sorted(write.holders))))
    if write.pending:
        return write, tuple(effects)
    if not write.refused:
        effects.append(Replicated())
    elif not write.holders:
        effects.append(Refused(errors=tuple(sorted(write.refused.items(), key=lambda e: e[0]))))
    elif not (write.is_acknowledged or write.is_reported):
        effects.append(Indeterminate(have=len(write.holders), need=write.need))
        write = replace(write, is_reported=True)
    return write, tuple(effects)


def _next(left: Pending, now_s: float) -> Pending:
    wait_s = min(2 * left.wait_s, LONGEST_WAIT_S)
    return Pending(at_s=now_s + wait_s, wait_s=wait_s)


def _timer(write: Write) -> tuple[Effect, ...]:
    times = [left.at_s for left in write.pending.values()]
    if times and not (write.is_acknowledged or write.is_reported):
        times.append(write.deadline_s)
    return (Retry(at_s=min(times)),) if times else ()


V = TypeVar("V")


def _without(table: Mapping[Address, V], provider: Address) -> dict[Address, V]:
    left = dict(table)
    left.pop(provider, None)
    return left
