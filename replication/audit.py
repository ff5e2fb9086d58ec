"""Which units a provider must show in an epoch, and whether what it shows is them.

The beacon is a block hash fixed after the provider committed to its shards; nobody chooses the
units. The draw is computed word for word as in the court contract, so that a failed draw off chain
is a case on chain. q = 30 units see the loss of 10 % of a shard with 96 % certainty, of half of it
with certainty.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from mfdb.kernel.codec import Record
from mfdb.kernel.errors import BadProof
from mfdb.kernel.ids import Hash
from mfdb.kernel.typed_data import word
from replication.shard import ShardTree, check_proof

if TYPE_CHECKING:
    from mfdb.kernel.ids import AgreementId, SegmentId
    from mfdb.rules.evidence import StoreReceipt

DRAWS = 30
BASIS_POINTS = 10_000
PROOF_LIMIT_BYTES = 64 * 2**10


class UnitProof(Record, frozen=True):
    """One unit of a shard (512 bytes) with its Merkle path."""

    unit: bytes
    path: tuple[Hash, ...]


class AuditAnswer(Record, frozen=True):
    """What a provider shows: one proof per draw, in order."""

    proofs: tuple[UnitProof, ...]


def unit_of_draw(
    beacon: Hash, agreement: AgreementId, segment: SegmentId, draw: int, units: int
) -> int:
    """Return which unit of a shard of `units` a draw asks for, as the court computes it.

    SHA-256 over beacon, agreement, segment and the draw's number as a 32-byte word, modulo units.
    """
    drawn = sha256(beacon + agreement + segment + word(draw)).digest()
    return int.from_bytes(drawn, "big") % units


def units_of(receipt: StoreReceipt, beacon: Hash, draws: int = DRAWS) -> tuple[int, ...]:
    """Return the units that an audit of a receipt asks for; one may come twice."""
    return tuple(
        unit_of_draw(beacon, receipt.agreement, receipt.segment, draw, receipt.units)
        for draw in range(draws)
    )


def is_audited(beacon: Hash, agreement: AgreementId, share_bp: int) -> bool:
    """Return whether an agreement is audited in the beacon's epoch.

    `share_bp` is the share of agreements audited per epoch, in basis points (1,000 = 10 %).
    """
    drawn = int.from_bytes(sha256(beacon + agreement).digest(), "big")
    return drawn * BASIS_POINTS < share_bp << 256


def answer(receipt: StoreReceipt, shard: bytes, beacon: Hash, draws: int = DRAWS) -> AuditAnswer:
    """Return a provider's answer to an audit.

    Raises:
        BadProof: the shard is not the one that the receipt promises; do not answer with it.
    """
    tree = ShardTree(shard)
    if (tree.root, tree.units) != (receipt.root, receipt.units):
        raise BadProof("the shard held is not the one promised")
    proofs = (tree.prove(unit) for unit in units_of(receipt, beacon, draws))
    return AuditAnswer(proofs=tuple(UnitProof(unit=unit, path=path) for unit, path in proofs))


def failed_draw(
    receipt: StoreReceipt, beacon: Hash, shown: AuditAnswer, draws: int = DRAWS
) -> int | None:
    """Return the first draw that an answer fails, to open a case with, or None if it is good."""
    for draw, unit in enumerate(units_of(receipt, beacon, draws)):
        if draw >= len(shown.proofs):
            return draw
        try:
            check_proof(receipt, unit, shown.proofs[draw].unit, shown.proofs[draw].path)
        except BadProof:
            return draw  # the answer asked for: this draw failed
    return None
