"""What a dump takes from an identity's node, and gives back to it: where its datasets stand.

The node's store remembers the newest answer about each dataset (`Lookup`), its network and the
records of the providers that it has met.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.chain.port import RecordKind
from mfdb.dataset.dump.parts import NetworkPart, NodePart, PlacementPart, SegmentPart
from mfdb.kernel.codec import decode_own, encode
from mfdb.node.answers import DatasetState
from mfdb.rules.evidence import Network
from mfdb.rules.records import SignedNodeRecord, open_record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mfdb.dataset.dump.parts import Keyed
    from mfdb.kernel.ids import Address, DatasetId
    from mfdb.node.client.context import ClientContext
    from mfdb.node.commit import Transaction
    from mfdb.rules.manifest import SignedManifest
    from mfdb.store.port import Store, Write

_STATE = b"P"
_NETWORK = b"N"
_RECORD = b"R"


async def remember_providers(context: ClientContext, datasets: Iterable[DatasetId]) -> None:
    """Keep network and node records of the providers of datasets, so that a dump has them.

    Raises:
        ChainUnavailable: the registry cannot be read.
    """
    with context.store.snapshot() as view:
        kept = [view.get(_STATE + dataset) for dataset in datasets]
    states = [decode_own(DatasetState, data) for data in kept if data is not None]
    writes = [network_write(context.network)]
    for provider in sorted({one for state in states for one in _providers(state)}):
        data = await context.chain.record(provider, RecordKind.NODE)
        if data is not None:
            signed = open_record(SignedNodeRecord, data, network=context.network.id)
            writes.append(record_write(signed))

    def change(transaction: Transaction) -> None:
        for key, value in writes:
            transaction.put(key, value or b"")

    await context.committer.submit(change)


def network_write(network: Network) -> Write:
    """Return what remembers a network in a node's store."""
    return _NETWORK, encode(network)


def record_write(signed: SignedNodeRecord) -> Write:
    """Return what remembers a provider's record in a node's store."""
    return _RECORD + signed.record.identity, encode(signed)


class DumpedNode:
    """The part of a dump that an identity's node knows (`mfdb.dataset.dump.taking.Outside`)."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def parts(self, dataset: DatasetId) -> Iterator[Keyed]:
        """Yield network, node records, placement and segments of a dataset, if it is known."""
        with self._store.snapshot() as view:
            state_data, network_data = view.get(_STATE + dataset), view.get(_NETWORK)
            if state_data is None:
                return
            state = decode_own(DatasetState, state_data)
            if network_data is not None:
                yield NetworkPart(dataset, decode_own(Network, network_data))
                for provider in _providers(state):
                    record = view.get(_RECORD + provider)
                    if record is not None:
                        yield NodePart(dataset, decode_own(SignedNodeRecord, record))
        for placed in state.placements:
            yield PlacementPart(placed)
        for bundle in state.segments:
            yield SegmentPart(dataset, bundle)


def _providers(state: DatasetState) -> list[Address]:
    """Return everybody who ever had an agreement for a dataset."""
    made = (one.agreement.provider for s in state.placements for one in s.entry.agreements)
    return sorted(set(made))


def install_node(
    store: Store,
    outside: Mapping[DatasetId, Sequence[Keyed]],
    manifests: Mapping[DatasetId, tuple[SignedManifest, ...]],
) -> None:
    """Let a node's store remember what a dump tells of where datasets stand.

    Raises:
        StoreFull: the disk is full; nothing was kept.
    """
    writes: list[Write] = []
    for dataset, parts in outside.items():
        placed = [part.signed for part in parts if isinstance(part, PlacementPart)]
        placements = {signed.entry.number: signed for signed in placed}
        sealed = [part.bundle for part in parts if isinstance(part, SegmentPart)]
        segments = {bundle.certificate.segment: bundle for bundle in sealed}
        ordered = sorted(segments.values(), key=lambda bundle: bundle.certificate.number)
        state = DatasetState(
            manifests=manifests[dataset],
            placements=tuple(placements[number] for number in sorted(placements)),
            segments=tuple(ordered),
        )
        writes.append((_STATE + dataset, encode(state)))
        writes += [record_write(p.signed) for p in parts if isinstance(p, NodePart)]
        writes += [network_write(p.network) for p in parts if isinstance(p, NetworkPart)]
    store.write(writes)
