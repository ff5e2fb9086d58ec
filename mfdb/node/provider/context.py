"""What every service of a provider works with."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from mfdb.kernel.errors import AccessDenied, MfdbError
from mfdb.node.provider import shelf
from mfdb.rules.authorise import Allowed, Denied, authorise
from mfdb.rules.manifest import Action

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mfdb.chain.port import Chain
    from mfdb.kernel.clock import Clock
    from mfdb.kernel.entropy import Entropy
    from mfdb.kernel.ids import Address, DatasetId
    from mfdb.kernel.seed import IdentityKeys
    from mfdb.node.commit import Committer, RunBlocking
    from mfdb.node.directory import Directory
    from mfdb.node.provider.damage import Damage
    from mfdb.node.settings import NodeSettings, ProviderSettings
    from mfdb.rules.evidence import Network
    from mfdb.rules.manifest import Manifest
    from mfdb.rules.placement import Placement
    from mfdb.store.port import Store

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Ports, keys and settings of one provider."""

    keys: IdentityKeys
    network: Network
    chain: Chain
    clock: Clock
    entropy: Entropy
    store: Store
    committer: Committer
    run_blocking: RunBlocking
    directory: Directory
    node: NodeSettings
    settings: ProviderSettings
    damage: Damage
    invited: set[tuple[DatasetId, Address]]
    """Which spare providers are just asked to take over a part of which dataset."""

    @property
    def me(self) -> Address:
        """This provider's identity."""
        return self.keys.account.address

    def kept(self) -> tuple[DatasetId, ...]:
        """Return every dataset that this provider keeps something of."""
        with self.store.snapshot() as view:
            return shelf.datasets(view)

    @contextmanager
    def sparing(self, dataset: DatasetId) -> Iterator[None]:
        """Let nothing that is wrong with one dataset keep others from being looked after."""
        try:
            yield
        except MfdbError as error:
            self.damage.note(error)
            log.warning("not looked after dataset=0x%s %s", dataset.hex(), error)

    def placement(self, dataset: DatasetId) -> Placement:
        """Return where a dataset stands, as this provider knows it."""
        with self.store.snapshot() as view:
            return shelf.placement(view, dataset, self.network)

    def demand_part(self, dataset: DatasetId, identity: Address) -> tuple[Manifest, bool]:
        """Return the manifest in force, for whoever has a part in a dataset; and if he serves it.

        A part is any right at all, or an agreement: also who is replaced must hear that it is. An
        owner has one in what it has dropped, too.

        Raises:
            AccessDenied: nothing in it is granted to him.
            UnknownDataset: the dataset is not kept here.
        """
        with self.store.snapshot() as view:
            manifest = shelf.manifest(view, dataset)
            placement = shelf.placement(view, dataset, self.network)
        serves = identity in placement.providers
        manifest = manifest.at(self.clock.now_s())
        takes_part = identity == manifest.owner or identity in placement.agreements
        if not takes_part and not _has_any_right(manifest, identity):
            raise AccessDenied(f"nothing in this dataset is granted to 0x{identity.hex()}")
        return manifest, serves

    def demand(self, action: Action, dataset: DatasetId, identity: Address) -> None:
        """Return quietly if an identity may do this to a dataset, or is one of its providers.

        A log or segment is served whole, so a right to read some of the rows opens none of it.

        Raises:
            AccessDenied: it may not, with the reason.
            UnknownDataset: the dataset is not kept here.
        """
        with self.store.snapshot() as view:
            manifest = shelf.manifest(view, dataset)
            placement = shelf.placement(view, dataset, self.network)
        if identity in placement.providers:
            return
        live = manifest.at(self.clock.now_s())
        whole = tuple(grant for grant in live.grants if grant.is_for_all_rows)
        rules = msgspec.structs.replace(live, grants=whole)
        if identity != live.owner and live.policies(action):
            raise AccessDenied(f"policies of {live.name} let nobody {action.name} all of it")
        verdict = authorise(rules, action, None, None, identity)
        if isinstance(verdict, Denied):
            raise AccessDenied(verdict.reason, hint="the dataset's owner can GRANT it")


def _has_any_right(manifest: Manifest, identity: Address) -> bool:
    return any(
        isinstance(authorise(manifest, action, None, None, identity), Allowed) for action in Action
    )
