"""What dumps and restorations ask of a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.client.aio import open_remote
from mfdb.client.home import NAME as HOME
from mfdb.kernel.errors import AccessDenied
from mfdb.node.client.remote import NodeRemote

if TYPE_CHECKING:
    from mfdb.client.opening import Home
    from mfdb.node.client.moving import Moved
    from mfdb.rules.manifest import Manifest


async def bring_back_all(home: Home, network: str) -> list[tuple[str, Moved]]:
    """Bring own datasets of a network onto other providers as far as theirs are lost.

    Return each with what was moved.

    Raises:
        NetworkError, ChainError: the network is in the way; what was brought back stays so.
    """
    remote = await open_remote(home, network)
    session = home.session(remote)
    done = []
    try:
        assert isinstance(remote, NodeRemote), "it was opened here"
        known = [k.manifest for k in session.datasets() if k.manifest.network == remote.network.id]
        # The home dataset first: it is told where the others went.
        mine = sorted((m for m in known if m.owner == session.state.me), key=_home_first)
        for manifest in mine:
            moved = await remote.bring_back(manifest.dataset, session.state.replica)
            done.append((manifest.name, moved))
            if moved.joined or moved.left:
                await session.note_again(manifest)
    finally:
        await session.close()
    return done


def _home_first(manifest: Manifest) -> tuple[bool, str]:
    return manifest.name != HOME, manifest.name


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
