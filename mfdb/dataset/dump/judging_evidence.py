"""Judging the providers' side of a dump: receipts, placement log and seal certificates.

They are signed by providers' hot keys, which their node records name. A record that was replaced
since, or never came here, leaves a signature that is good but of an unknown key: that is noted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.dataset.dump.parts import NetworkPart, NodePart, PlacementPart, SegmentPart
from mfdb.kernel.account import recover
from mfdb.kernel.codec import encode
from mfdb.kernel.errors import BadProof, MfdbError
from mfdb.kernel.ids import Hash
from mfdb.rules.manifest import certifying_quorum
from mfdb.rules.placement import fold
from mfdb.rules.receipt import Promised, check_promise
from mfdb.rules.signing import check_network, check_signature
from replication.segment import check_certificate, check_receipt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mfdb.dataset.dump.parts import Keyed, Stock
    from mfdb.kernel.ids import Address
    from mfdb.rules.changeset import Changeset
    from mfdb.rules.evidence import Network
    from mfdb.rules.manifest import Manifest
    from mfdb.rules.placement import SignedPlacement
    from mfdb.rules.receipt import WriteReceipt
    from replication.segment import SealedSegment


class EvidenceJudge:
    """The judgement of what providers signed for one dataset."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._network: Network | None = None
        self._placements: dict[int, SignedPlacement] = {}
        self._segments: dict[bytes, SealedSegment] = {}
        self._signers: dict[Address, set[Address]] = {}
        self.checked = 0
        """Receipts that were held against their changesets."""
        self._strange = 0
        self._unchecked = 0
        self.notes: list[str] = []

    def take(self, part: Keyed, manifest: Manifest | None) -> None:
        """Take in one part.

        Raises:
            MfdbError: it is not good.
        """
        match part:
            case NetworkPart(network=network):
                if manifest is not None and manifest.network != network.id:
                    raise BadProof("the network is another than that of the dataset")
                self._network = network
            case NodePart(signed=signed):
                if self._network is None:
                    raise BadProof("a node record comes without its network")
                check_network(signed.record.network, self._network.id)
                check_signature(signed.record, signed.signature, signed.record.identity)
                known = self._signers.setdefault(signed.record.identity, set())
                known.update((signed.record.signer, signed.record.identity))
            case PlacementPart(signed=signed):
                self._placements[signed.entry.number] = signed
            case SegmentPart(bundle=bundle):
                self._segments[bundle.certificate.segment] = bundle

    def receipts(self, receipts: Sequence[WriteReceipt], changeset: Changeset) -> None:
        """Hold receipts against their changeset.

        Raises:
            BadProof, BadSignature: one does not promise it.
        """
        if self._network is None:
            self._unchecked += len(receipts)
            return
        promised = Promised.of(encode(changeset))
        for receipt in receipts:
            if receipt.ack.changeset != Hash(changeset.id):
                raise BadProof("a receipt is for another changeset")
            signer = recover(self._network.digest(receipt.batch), receipt.signature)
            check_promise(receipt, promised, network=self._network, signer=signer)
            self.checked += 1
            self._strange += signer not in self._signers.get(receipt.batch.provider, ())

    def finish(self, stock: Stock, chain: Sequence[Manifest]) -> None:
        """Hold placement and certificates against inventory and rules, of which the last hold."""
        for part in (self._placement, self._certificates):
            try:
                part(stock, chain)
            except MfdbError as error:
                self._say(str(error))
        if self._unchecked:
            self.notes.append(
                f"{self._unchecked} receipts were not checked: the dump does not name its network"
            )
        if self._strange:
            self.notes.append(
                f"{self._strange} signatures of providers are by keys that no record here names"
            )

    def _placement(self, _: Stock, chain: Sequence[Manifest]) -> None:
        manifest = chain[-1]
        if self._network is not None and self._placements:
            entries = [self._placements[number] for number in sorted(self._placements)]
            fold(entries, owner=manifest.owner, subject=manifest.subject, network=self._network)

    def _certificates(self, stock: Stock, chain: Sequence[Manifest]) -> None:
        subject, quorum = chain[-1].subject, certifying_quorum(chain)
        known = {signer for signers in self._signers.values() for signer in signers}
        for segment, bundle in self._segments.items():
            if b"s" + segment not in stock.items:
                continue
            certificate = bundle.certificate
            check_certificate(certificate, bundle.changesets, bundle.shard_roots)
            if certificate.subject != subject:
                raise BadProof(f"segment {certificate.number} is of another dataset")
            for signed in bundle.receipts:
                check_receipt(bundle, signed.receipt)
            if self._network is not None:
                digest = self._network.digest(certificate)
                signers = {recover(digest, signature) for signature in bundle.signatures}
                if len(signers) < quorum:
                    raise BadProof(f"segment {certificate.number} is certified by too few replicas")
                self._strange += len(signers - known)
            lacking = sum(b"c" + one not in stock.items for one in bundle.changesets)
            if lacking:
                self._say(f"{lacking} changesets of segment {certificate.number} are missing")
