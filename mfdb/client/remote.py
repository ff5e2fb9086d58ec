"""What a session asks of its node when datasets live on a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from mfdb.dataset.outcome import Proven, SealOutcome, WriteOutcome
    from mfdb.dataset.replica import Replica
    from mfdb.kernel.ids import Address, CaseId, ChangesetId, DatasetId
    from mfdb.node.client.accusing import Accusing
    from mfdb.node.client.money import Money
    from mfdb.node.client.moving import Change, Moved
    from mfdb.node.client.offers import Offers
    from mfdb.rules.changeset import Changeset
    from mfdb.rules.evidence import Network
    from mfdb.rules.key_log import KeyLogEntry
    from mfdb.rules.manifest import SignedManifest
    from mfdb.rules.row_tree import Span

StatusRows = tuple[dict[str, str], list[tuple[object, ...]]]
"""Columns (SQL types by name) and rows of a SHOW statement about the network."""


class Remote(Protocol):
    """The network as one identity's node reaches it."""

    @property
    def network(self) -> Network:
        """Which network it is."""
        ...

    @property
    def money(self) -> Money:
        """What moves this identity's MFT."""
        ...

    @property
    def offers(self) -> Offers:
        """What tells others what this identity's provider asks."""
        ...

    @property
    def accusing(self) -> Accusing:
        """What takes the signers of receipts to court."""
        ...

    async def publish(self, signed: SignedManifest) -> None:
        """Place a new dataset and bind its providers, or hand a new manifest version to them.

        Raises:
            NoProviders: fewer than the profile asks for satisfy it.
            NetworkError, ChainError: the world is in the way.
        """
        ...

    async def find(self, owner: Address, name: str | None) -> SignedManifest:
        """Return the newest manifest of an owner's dataset (None: its mailbox).

        Raises:
            UnknownDataset, UnknownIdentity: there is none.
        """
        ...

    async def write(
        self, dataset: DatasetId, changeset: Changeset, entry: KeyLogEntry
    ) -> WriteOutcome:
        """Return the receipts once W providers have made a changeset durable.

        Raises:
            QuorumNotReached: fewer have; it may still spread.
            AccessDenied, StaleWrite: the providers refuse it.
        """
        ...

    async def shred(self, dataset: DatasetId, salts: Sequence[tuple[ChangesetId, int]]) -> None:
        """Have row salts destroyed at every provider."""
        ...

    async def sync(self, dataset: DatasetId, replica: Replica) -> int:
        """Bring the replica up to date; return how many changesets were applied."""
        ...

    async def attest(
        self, dataset: DatasetId, replica: Replica, spans: Sequence[Span] = ()
    ) -> tuple[Proven, ...]:
        """Hold the replica, or spans of its rows, against what providers sign; return that.

        Raises:
            BadProof: a provider shows another log than it signs, or denies what it promised.
            QuorumNotReached: fewer than a read quorum can be held against.
        """
        ...

    async def fetch(self, dataset: DatasetId, replica: Replica, spans: Sequence[Span]) -> int:
        """Bring what made the rows in some spans here; return how many changesets were applied."""
        ...

    def follow(self, dataset: DatasetId, replica: Replica) -> AsyncIterator[None]:
        """Apply what comes to the replica; yield after each batch, for as long as one listens."""
        ...

    async def lag_s(self, dataset: DatasetId, replica: Replica) -> float:
        """Return how old the oldest changeset is that providers have and the replica has not."""
        ...

    async def seal(self, dataset: DatasetId) -> SealOutcome:
        """Erasure-code what was written so far."""
        ...

    async def challenge(self, dataset: DatasetId, shard: int) -> CaseId:
        """Accuse the holder of a shard on chain; it must show the unit that is drawn.

        Raises:
            UnknownDataset: nothing of the dataset is sealed.
            ChainError: the court does not take the case.
        """
        ...

    async def restore(self, replica: Replica) -> list[SignedManifest]:
        """Return the newest manifests of all datasets of this identity, from its keys alone."""
        ...

    async def providers(self, dataset: DatasetId) -> tuple[Address, ...]:
        """Return who keeps a dataset."""
        ...

    async def adopt(
        self, dataset: DatasetId, providers: Sequence[Address], replica: Replica
    ) -> SignedManifest:
        """Bring a dataset here that these providers (or some of them) are known to keep.

        Raises:
            NetworkError: none of them can be reached.
        """
        ...

    async def move(self, dataset: DatasetId, change: Change) -> Moved:
        """Bring an own dataset to other providers, or into another code; return what moved.

        Raises:
            NoProviders: too few providers would do; nothing has changed.
            NetworkError, ChainError: the world is in the way; repeated, it goes on.
        """
        ...

    async def status(self, what: str, dataset: DatasetId | None) -> StatusRows:
        """Return the rows of SHOW `what` (lower case): providers, receipts, balances and so on.

        What is told of single datasets has no rows where none is named.
        """
        ...

    async def close(self) -> None:
        """Leave the network; returns when nothing is left running."""
        ...
