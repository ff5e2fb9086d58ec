"""What every service of a client's node works with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mfdb.chain.port import Chain
    from mfdb.kernel.clock import Clock
    from mfdb.kernel.entropy import Entropy
    from mfdb.kernel.ids import Address
    from mfdb.kernel.seed import IdentityKeys
    from mfdb.node.commit import Committer
    from mfdb.node.directory import Directory
    from mfdb.node.settings import ClientSettings, NodeSettings
    from mfdb.node.tasks import Tasks
    from mfdb.rules.evidence import Network
    from mfdb.store.port import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientContext:
    """Ports, keys and settings of one client."""

    keys: IdentityKeys
    network: Network
    chain: Chain
    clock: Clock
    entropy: Entropy
    store: Store
    committer: Committer
    directory: Directory
    tasks: Tasks
    node: NodeSettings
    settings: ClientSettings

    @property
    def me(self) -> Address:
        """This client's identity."""
        return self.keys.account.address
