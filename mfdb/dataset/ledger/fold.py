"""Following a ledger from its first operation on, wherever it is read from: a store or a dump.

headers    -> signature, numbers, the chain that they make
slots      -> well formed, their leaves give the root
operations -> each supersedes one that is there, once; what was destroyed, a DELETE destroyed
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.dataset.ledger.format import (
    FORMAT,
    Kind,
    LedgerEntry,
    LedgerHead,
    leaf_of,
    operation_in,
    parent_in,
    root_of,
)
from mfdb.kernel.ids import ZERO_HASH, Hash
from mfdb.rules.signing import check_signature

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from mfdb.rules.manifest import Manifest


class LedgerFold:
    """The state of one ledger as far as it was followed; `say` is told what is wrong."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._previous = ZERO_HASH
        self._hlc = 0
        self._base = 0
        self.number = 0
        self.sequence = 0
        self.superseded: dict[int, int] = {}
        """Operations by those that they supersede."""
        self._gone: dict[int, int] = {}
        self._updates: dict[int, int] = {}
        self._deleted: dict[int, tuple[int, int]] = {}

    @property
    def head(self) -> LedgerHead:
        """Where the ledger stands after what was followed."""
        return LedgerHead(self.number, self.sequence, self._previous, self._hlc)

    def resume(self) -> None:
        """What follows was written down later: its deletes destroy what came here before."""
        self._base = self.sequence

    # ---- headers

    def follow(self, entry: LedgerEntry, manifests: Collection[Manifest]) -> None:
        """Follow a header; `manifests` are all that the dataset has.

        Raises:
            BadSignature: it is not signed by whom it names.
        """
        header, number = entry.header, self.number
        self.number += 1
        self._check_header(entry, number, manifests)
        if (header.previous, header.first) != (self._previous, self.sequence + 1):
            self._say(f"changeset {number} does not follow the one before it")
        elif header.hlc < self._hlc:
            self._say(f"changeset {number} is older than the one before it")
        self._previous, self.sequence, self._hlc = Hash(entry.id), entry.last, header.hlc

    def skip(self, sequence: int) -> None:
        """Go on after a header that cannot be read, and its last operation."""
        self.number += 1
        self._previous, self.sequence = ZERO_HASH, sequence

    def _check_header(
        self, entry: LedgerEntry, number: int, manifests: Collection[Manifest]
    ) -> None:
        header = entry.header
        check_signature(header, entry.signature, header.signer)
        named = next((one for one in manifests if one.hash == header.manifest), None)
        owner = next(iter(manifests)).owner
        dataset = next(iter(manifests)).dataset
        if header.signer != owner or header.dataset != dataset:
            self._say(f"changeset {number} was not signed by the owner for this dataset")
        if header.format != FORMAT or named is None or header.network != named.network:
            self._say(f"changeset {number} names another format, network or manifest")
        if header.number != number:
            self._say(f"changeset {number} calls itself number {header.number}")

    def root(self, entry: LedgerEntry, leaves: Sequence[bytes]) -> None:
        """Hold the leaves of a header's operations against what it signed of them."""
        number, missing = entry.header.number, entry.header.count - len(leaves)
        if missing:
            self._say(f"changeset {number}: {missing} operations are missing")
        elif root_of(leaves) != entry.header.root:
            self._say(f"changeset {number}: the operations are not those that were signed")

    # ---- operations

    def note(self, sequence: int, slot: bytes) -> bytes:
        """Note how an operation hangs together with others; return its leaf.

        Raises:
            CorruptRecord: the slot holds neither an operation nor the hash of one.
        """
        operation, parent = operation_in(slot), parent_in(slot)
        if operation is None:
            self._gone[sequence] = parent
        elif (operation.kind is Kind.INSERT) != (parent == 0):
            self._say(f"operation {sequence} is malformed")
        elif operation.kind is Kind.DELETE:
            self._deleted[sequence] = parent, self._base
        elif operation.kind is Kind.UPDATE:
            self._updates[sequence] = parent
        if parent:
            if parent >= sequence or parent in self.superseded:
                self._say(f"operation {sequence} supersedes what it cannot: {parent}")
            self.superseded[parent] = sequence
        return leaf_of(slot)

    def finish(self) -> None:
        """Hold what is destroyed against the deletes.

        What a DELETE superseded, and all before that, is destroyed; nothing else ever is.
        """
        due = set(self._gone)
        for parent, base in self._deleted.values():
            at = parent
            while at:
                if at not in self._gone:
                    if at > base:
                        self._say(f"operation {at} of a deleted row was not destroyed")
                        break
                    self._gone[at] = self._updates.get(at, 0)
                due.discard(at)
                at = self._gone[at]
        for sequence in sorted(due):
            self._say(f"operation {sequence} was destroyed, but its row was not deleted")
