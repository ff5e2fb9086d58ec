"""Who shall hold what: weighted rendezvous hashing over the offers that satisfy the profile.

A candidate's score is -w / ln(u) with u = H(seed, provider) / 2^256: the one with the highest
scores is chosen, each with a chance in proportion to its weight, and when a candidate comes or
goes nobody else's score changes, so as little as possible moves. Scores are integers (fixed-point
logarithm to base 2, which only scales them): every machine ranks alike. Ties fall to the lower
address.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mfdb.kernel.digest import tagged_hash
from mfdb.kernel.errors import NoProviders
from mfdb.kernel.ids import Wei

if TYPE_CHECKING:
    from collections.abc import Iterable, Set

    from mfdb.kernel.ids import Address

_FRACTION_BITS = 64
_MANTISSA_BITS = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A provider with an offer.

    `owner_hint` names who runs it (empty: unknown, counts as its own); `capacity_weight` is its
    free capacity in any unit, `price` wei per GiB and epoch, `deposit` its free deposit in wei.
    """

    provider: Address
    owner_hint: bytes = b""
    capacity_weight: int = 1
    price: Wei = Wei(0)
    deposit: Wei = Wei(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a dataset asks of a provider; None for no bound."""

    price_ceiling: Wei | None = None
    min_deposit: Wei = Wei(0)


_ANY_TERMS = Terms()


def score(candidate: Candidate, seed: bytes) -> int:
    """Return a candidate's rendezvous score under a seed: the higher the better."""
    drawn = tagged_hash("mfdb.rendezvous.v1", seed, candidate.provider)
    # u = (drawn + 1) / 2^256 is in (0, 1], so that its logarithm exists; -log2(u) is at least
    # one step of the fixed point, so that the quotient does too.
    cost = max(1, (256 << _FRACTION_BITS) - _log2(int.from_bytes(drawn, "big") + 1))
    return (candidate.capacity_weight << 192) // cost


def _log2(number: int) -> int:
    """Return log2 of a positive integer in fixed point, rounded down, by repeated squaring."""
    whole = number.bit_length() - 1
    shift = _MANTISSA_BITS - whole
    mantissa = number << shift if shift >= 0 else number >> -shift
    fraction = 0
    for _ in range(_FRACTION_BITS):
        mantissa = mantissa * mantissa >> _MANTISSA_BITS
        carry = mantissa >> (_MANTISSA_BITS + 1)
        mantissa >>= carry
        fraction = fraction << 1 | carry
    return whole << _FRACTION_BITS | fraction


def rank(candidates: Iterable[Candidate], seed: bytes) -> list[Candidate]:
    """Return the candidates, best first; those without capacity are left out."""
    able = (candidate for candidate in candidates if candidate.capacity_weight > 0)
    return sorted(able, key=lambda candidate: (-score(candidate, seed), candidate.provider))


def choose(
    candidates: Iterable[Candidate],
    seed: bytes,
    count: int,
    *,
    exclude: Set[Address] = frozenset(),
    terms: Terms = _ANY_TERMS,
) -> list[Candidate]:
    """Return the `count` best candidates that satisfy the terms, at most one per owner.

    `exclude` names providers that hold a part already or were convicted; their owners' other
    nodes are left out with them.

    Raises:
        NoProviders: too few are left; the hint says what excluded whom.
    """
    offers = sorted({c.provider: c for c in candidates}.values(), key=lambda c: c.provider)
    barred = {c.owner_hint for c in offers if c.provider in exclude and c.owner_hint}
    reasons = {c.provider: _objection(c, exclude, barred, terms) for c in offers}
    chosen: list[Candidate] = []
    owners: set[bytes] = set()
    for candidate in rank((c for c in offers if not reasons[c.provider]), seed):
        if candidate.owner_hint and candidate.owner_hint in owners:
            reasons[candidate.provider] = "owner has another node that ranks before"
        elif len(chosen) < count:
            chosen.append(candidate)
            owners.add(candidate.owner_hint)
    if len(chosen) < count:
        raise _no_providers(count, len(chosen), len(offers), reasons)
    return chosen


def _objection(
    candidate: Candidate, exclude: Set[Address], barred: Set[bytes], terms: Terms
) -> str:
    if candidate.provider in exclude:
        return "holds a part already or is excluded"
    if candidate.owner_hint in barred:
        return "owner has an excluded node"
    if candidate.capacity_weight <= 0:
        return "no capacity"
    if terms.price_ceiling is not None and candidate.price > terms.price_ceiling:
        return f"price over {terms.price_ceiling} wei"
    if candidate.deposit < terms.min_deposit:
        return f"free deposit under {terms.min_deposit} wei"
    return ""


def _no_providers(count: int, found: int, offers: int, reasons: dict[Address, str]) -> NoProviders:
    counted = Counter(reason for reason in reasons.values() if reason)
    listed = []
    for reason in sorted(counted):
        names = [f"0x{address.hex()[:8]}" for address in reasons if reasons[address] == reason]
        more = f" and {len(names) - 4} more" if len(names) > 4 else ""
        listed.append(f"{reason}: {', '.join(names[:4])}{more}")
    return NoProviders(
        f"{count} providers are needed, {found} of {offers} offers will do",
        hint="; ".join(listed) or "no other offers are known: start or discover more providers",
    )
