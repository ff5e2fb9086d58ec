"""What dumps and restorations ask of a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.client.aio import open_remote
from mfdb.kernel.errors import AccessDenied
from mfdb.node.client.remote import NodeRemote

if TYPE_CHECKING:
    from mfdb.client.opening import Home


async def sync_all(home: Home, network: str) -> list[str]:
    """Bring all datasets of a network here that may be read; return the names of the others.

    Raises:
        NetworkError, ChainError: the network is in the way.
    """
    remote = await open_remote(home, network)
    session = home.session(remote)
    refused = []
    try:
        await session.restore()
        here = [k.manifest for k in session.datasets() if k.manifest.network == remote.network.id]
        for manifest in here:
            try:
                await remote.sync(manifest.dataset, session.state.replica)
            except AccessDenied:  # who may only write it has nothing of it but its rules
                refused.append(manifest.name)
        if isinstance(remote, NodeRemote):
            await remote.remember_providers([manifest.dataset for manifest in here])
    finally:
        await session.close()
    return refused
