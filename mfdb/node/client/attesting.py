"""Showing that the local copy of a dataset lacks nothing: against roots that replicas sign.

    every replica: "sign which rows you have, now; show those in these spans"
      a scope    -> what the proof shows there is here, and nothing that it promised is left out
      everything -> the root is that of the rows here; or else, since it has others:
                    "sign where your log stands" -> its log from where it was read last
                    -> the chain of heads leads to the signed one, every entry is here

Ids of rows with sealed keys are hashes (keyed by the owner's seed), so that no provider learns the
order of keys: a range of those is whole if the tree of all rows is, which one root of 32 bytes
shows. Where keys are clear, ids have their order and a range is shown alone (`mfdb.dataset.scope`).
What a replica signed stays with the copy: another history under the same number is evidence.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from mfdb.dataset.outcome import Proven
from mfdb.kernel.codec import encode
from mfdb.kernel.errors import (
    BadProof,
    MfdbError,
    ProtocolViolation,
    QuorumNotReached,
    ValueTooLarge,
)
from mfdb.kernel.ids import ChangesetId, Hash
from mfdb.node.answers import LogPage, Root, Rows
from mfdb.node.requests import SPANS, GetRoot, GetRows, ReadLog
from mfdb.rules.receipt import FIRST_LOG_HEAD, check_write_receipt, log_head
from mfdb.rules.row_tree import check_rows
from mfdb.rules.signing import check_signature

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfdb.dataset.replica import Replica
    from mfdb.kernel.ids import Address, DatasetId
    from mfdb.node.client.context import ClientContext
    from mfdb.node.client.lookup import Lookup
    from mfdb.rules.evidence import Network
    from mfdb.rules.receipt import LogRoot, WriteReceipt
    from mfdb.rules.row_tree import RowLeaf, RowProof, RowRoot, Span

log = logging.getLogger(__name__)
PAGE_BYTES = 2**20
_NUMBER_BYTES = 8
LARGEST_NUMBER = 2**63 - 1


class Attesting:
    """The service that holds a local copy against the replicas' signed log roots."""

    def __init__(self, context: ClientContext, lookup: Lookup) -> None:
        self._context = context
        self._lookup = lookup

    async def attest(
        self, dataset: DatasetId, replica: Replica, spans: Sequence[Span] = ()
    ) -> tuple[Proven, ...]:
        """Return what replicas have signed and shown of rows of which nothing is missing here.

        Of all rows, or of those in some spans: which are there, and that there are no others. Too
        many spans, or rows in them, are held against the root of all. New rules are here then.

        Raises:
            BadProof: a replica shows another log than it signs, or signed before, or denies a row
                that it promised.
            QuorumNotReached: fewer than a read quorum of replicas can be held against.
        """
        found = await self._lookup.look(dataset)
        replica.add_manifests(found.manifests)
        replicas = found.placement.replica_set
        asked = tuple(spans) if len(spans) <= SPANS else ()
        answers = await asyncio.gather(
            *(self._attested(provider, dataset, replica, asked) for provider in replicas),
            return_exceptions=True,
        )
        if asked and any(isinstance(answer, ValueTooLarge) for answer in answers):
            return await self.attest(dataset, replica)
        for answer in answers:
            if isinstance(answer, ProtocolViolation):
                raise answer  # a lie that can be shown outweighs any quorum
            if isinstance(answer, BaseException) and not isinstance(answer, MfdbError):
                raise answer
        good = tuple(answer for answer in answers if isinstance(answer, Proven))
        needed = found.manifest.profile.read_quorum
        if len(good) < needed:
            reasons = [str(answer) for answer in answers if not isinstance(answer, Proven)]
            raise QuorumNotReached(
                f"{len(good)} of {needed} replicas could be held against: " + "; ".join(reasons),
                hint="wait until more replicas answer",
            )
        return good

    async def _attested(
        self, provider: Address, dataset: DatasetId, replica: Replica, spans: tuple[Span, ...]
    ) -> Proven:
        shown = await self._shown(provider, dataset, spans)
        root = shown.signed.root
        leaves = check_rows(shown.proof, root.rows, spans)
        number, head = _read(replica, dataset, provider)
        if root.number < number or (root.number == number and root.head != head):
            raise _rewound(provider)
        if spans:
            is_walked = await self._hold(replica, root, leaves, spans)
            return _proven(root, len(leaves), shown.proof, is_walked=is_walked)
        tree = replica.leaves(dataset).tree()
        if root.rows == tree.hash:
            _keep(replica, root, encode(shown.signed))
            return _proven(root, tree.count)
        await self._walk(provider, dataset, replica)
        return _proven(root, tree.count, is_walked=True)

    async def _shown(self, provider: Address, dataset: DatasetId, spans: tuple[Span, ...]) -> Rows:
        """Return a root that a replica signed just now, and its proof of what is in some spans."""
        correspondent = await self._context.directory.reach(provider)
        nonce = Hash(self._context.entropy.token(32))
        request = GetRows(dataset=dataset, spans=spans, nonce=nonce)
        answer = await correspondent.read(request, Rows)
        root = answer.signed.root
        check_signature(root, answer.signed.signature, correspondent.record.signer)
        self._check_named(root, dataset, provider, nonce)
        return answer

    async def _walk(self, provider: Address, dataset: DatasetId, replica: Replica) -> None:
        """Hold a replica against its log: it has other rows than are here."""
        correspondent = await self._context.directory.reach(provider)
        nonce = Hash(self._context.entropy.token(32))
        signed = (await correspondent.read(GetRoot(dataset=dataset, nonce=nonce), Root)).signed
        check_signature(signed.root, signed.signature, correspondent.record.signer)
        self._check_named(signed.root, dataset, provider, nonce)
        await self._follow(signed.root, replica)
        _keep(replica, signed.root, encode(signed))

    def _check_named(
        self, root: LogRoot | RowRoot, dataset: DatasetId, provider: Address, nonce: Hash
    ) -> None:
        named = (root.network, root.dataset, root.provider, root.nonce)
        if named != (self._context.network.id, dataset, provider, nonce):
            raise BadProof("a replica signed another root than was asked for")
        if root.number > LARGEST_NUMBER:
            raise BadProof("a replica signed a log that nobody could have written")

    async def _hold(
        self, replica: Replica, root: RowRoot, leaves: Sequence[RowLeaf], spans: Sequence[Span]
    ) -> bool:
        """Hold the rows that a replica shows in some spans against those that are here.

        Return whether its log had to be walked for that.

        Raises:
            QuorumNotReached: it has changesets that are not here.
            BadProof: it denies a row that it acknowledged before.
        """
        dataset, provider = root.dataset, root.provider
        here = replica.leaves(dataset)
        is_walked = bool(here.unknown_in(leaves))
        if is_walked:  # they are missing, or count no more since a revocation
            await self._walk(provider, dataset, replica)
        shown = {(leaf.place, version) for leaf in leaves for version in leaf.heads}
        known = here.heads_in(spans)
        absent = [head for place, head in known if (place, head.version) not in shown]
        # A replica keeps what was written over them, though it counts no more.
        over = here.superseded_by(one for _, one in shown) if absent and is_walked else set()
        for head in absent:
            if head.version not in over and await self._has_promised(replica, root, head.changeset):
                raise BadProof(f"replica 0x{provider.hex()} denies a row that it acknowledged")
        return is_walked

    async def _has_promised(self, replica: Replica, root: RowRoot, id_: ChangesetId) -> bool:
        """Return whether a receipt shows that a changeset stands in a replica's log.

        Receipts come from whoever handed the changeset over, so that each must prove itself.
        """
        dataset, provider = root.dataset, root.provider
        data = replica.changeset_data(dataset, id_)
        due = (await self._lookup.look(dataset)).placement.agreement_of(provider)
        signer = (await self._context.directory.reach(provider)).record.signer
        return data is not None and any(
            receipt.batch.provider == provider
            and receipt.ack.agreement == due
            and ChangesetId(receipt.ack.changeset) == id_
            and receipt.ack.log_number <= root.number
            and _is_good(receipt, data, self._context.network, signer)
            for receipt in replica.receipts(dataset, id_)
        )

    async def _follow(self, root: LogRoot, replica: Replica) -> None:
        """Read a log from where it was read last up to its root."""
        dataset, provider = root.dataset, root.provider
        number, head = _read(replica, dataset, provider)
        if root.number < number:
            raise _rewound(provider)
        correspondent = await self._context.directory.reach(provider)
        lacking = 0
        while number < root.number:
            request = ReadLog(dataset=dataset, after=number, limit_bytes=PAGE_BYTES)
            page = await correspondent.read(request, LogPage)
            if not page.items:
                raise BadProof(f"replica 0x{provider.hex()} does not show the log that it signs")
            for item in page.items:
                if number == root.number:
                    break
                if item.number != number + 1:
                    raise BadProof(f"replica 0x{provider.hex()} leaves out entries of its log")
                number += 1
                head = log_head(head, number, item.changeset)
                lacking += not replica.has(dataset, item.changeset)
        if head != root.head:
            raise BadProof(f"replica 0x{provider.hex()} shows another log than the one it signs")
        if lacking:
            raise QuorumNotReached(f"{lacking} changesets of 0x{provider.hex()[:8]} are not here")


def _proven(
    root: RowRoot, rows: int, proof: RowProof | None = None, *, is_walked: bool = False
) -> Proven:
    return Proven(
        provider=root.provider,
        root=root.rows,
        number=root.number,
        hlc=root.hlc,
        is_whole=proof is None,
        rows=rows,
        proof_bytes=0 if proof is None else len(encode(proof)),
        is_walked=is_walked,
    )


def _is_good(receipt: WriteReceipt, data: bytes, network: Network, signer: Address) -> bool:
    try:
        check_write_receipt(receipt, data, network=network, signer=signer)
    except ProtocolViolation:
        return False
    return True


def _rewound(provider: Address) -> BadProof:
    return BadProof(
        f"replica 0x{provider.hex()} signs another or an older log than it signed before"
    )


def _keep(replica: Replica, root: LogRoot | RowRoot, signed: bytes) -> None:
    """Keep up to where a replica's log is here, and what it signed of that."""
    at = root.number.to_bytes(_NUMBER_BYTES, "big", signed=True) + root.head
    replica.set_mark(root.dataset, _mark(root.provider), at + signed)


def _mark(provider: Address) -> str:
    return f"root/{provider.hex()}"


def _read(replica: Replica, dataset: DatasetId, provider: Address) -> tuple[int, Hash]:
    """Return number and head up to which a log was read, followed and found here."""
    kept = replica.mark(dataset, _mark(provider))
    if kept is None:
        return -1, FIRST_LOG_HEAD
    number = int.from_bytes(kept[:_NUMBER_BYTES], "big", signed=True)
    return number, Hash(kept[_NUMBER_BYTES : _NUMBER_BYTES + 32])
