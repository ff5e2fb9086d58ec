"""A whole client's node: accounts, directory and services wired to each other."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from mfdb.kernel.errors import MalformedMessage, MfdbError
from mfdb.node.accounts import Accounts
from mfdb.node.chequebook import open_chequebook
from mfdb.node.client.context import ClientContext
from mfdb.node.client.remote import NodeRemote
from mfdb.node.commit import Committer
from mfdb.node.directory import Directory
from mfdb.node.sessions import Sessions
from mfdb.node.tasks import Tasks
from mfdb.rules.records import NodeRecord, SignedNodeRecord
from mfdb.rules.signing import sign

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mfdb.kernel.seed import IdentityKeys
    from mfdb.net.port import Peer
    from mfdb.node.ports import Ports
    from mfdb.node.settings import ClientSettings, NodeSettings

log = logging.getLogger(__name__)
FLUSH_S = 1.0


class Unserving:
    """The transport's handler at a client: it asks, it does not answer."""

    async def on_request(self, peer: Peer, body: bytes) -> bytes:
        """Refuse."""
        raise _unserved(peer, body)

    def on_stream(self, peer: Peer, body: bytes) -> AsyncIterator[bytes]:
        """Refuse."""
        raise _unserved(peer, body)

    async def on_closed(self, peer: Peer) -> None:
        """Nothing is kept of a connection here; the directory dials anew when it needs one."""


def _unserved(peer: Peer, body: bytes) -> MalformedMessage:
    log.info("refused a request of %d bytes peer=0x%s", len(body), peer.key.hex())
    return MalformedMessage("a client's node answers no requests")


async def start_client(
    keys: IdentityKeys, ports: Ports, *, node: NodeSettings, settings: ClientSettings
) -> NodeRemote:
    """Return a client's node, ready to be used; `close` it when done.

    Raises:
        ChainUnavailable, TransactionReverted: the chain is in the way.
    """
    tasks = Tasks()
    committer = Committer(ports.store, ports.run_blocking)
    tasks.spawn("committer", committer.run())
    accounts = Accounts(
        keys, chain=ports.chain, clock=ports.clock, store=ports.store, committer=committer
    )
    accounts.restore_all()
    transport = ports.make_transport(keys.transport_seed, Unserving())

    async def close() -> None:
        async with AsyncExitStack() as rest:  # carried out even if one of them fails
            rest.push_async_callback(ports.chain.close)
            rest.push_async_callback(transport.close)
            rest.push_async_callback(tasks.close)
            await accounts.flush()

    try:
        accounts.chequebook = await open_chequebook(
            keys, ports, committer, settings.chequebook_amount
        )
    except BaseException:
        await close()
        raise
    me = _record(keys, ports, accounts)
    directory = Directory(
        me,
        transport=transport,
        chain=ports.chain,
        sessions=Sessions(ports.chain.network.id),
        accounts=accounts,
        settings=node,
    )
    context = ClientContext(
        keys=keys,
        network=ports.chain.network,
        chain=ports.chain,
        clock=ports.clock,
        entropy=ports.entropy,
        store=ports.store,
        committer=committer,
        directory=directory,
        tasks=tasks,
        node=node,
        settings=settings,
    )
    tasks.spawn("accounts", _flush(accounts))
    remote = NodeRemote(context, accounts, on_close=close)
    tasks.spawn("watch", _look_after(remote, settings.watch_s))
    return remote


def _record(keys: IdentityKeys, ports: Ports, accounts: Accounts) -> SignedNodeRecord:
    """Return what a client introduces itself by; it gives no address to be dialled at."""
    record = NodeRecord(
        network=ports.chain.network.id,
        identity=keys.address,
        signer=keys.signer.address,
        transport_key=keys.transport_key,
        seal_key=bytes(keys.seal_key(0).public_key),
        underlays=(),
        chequebook=accounts.chequebook,
        roles=0,
        time_s=int(ports.clock.now_s()),
    )
    return SignedNodeRecord(record=record, signature=sign(record, keys.account))


async def _look_after(remote: NodeRemote, every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        try:
            await remote.look_after()
        except MfdbError as error:
            log.warning("own datasets not looked after, will be tried again: %s", error)


async def _flush(accounts: Accounts) -> None:
    while True:
        await asyncio.sleep(FLUSH_S)
        try:
            await accounts.flush()
        except MfdbError as error:
            log.warning("accounts not stored, will be tried again: %s", error)
