"""What the machine itself allows: a bare commit of some bytes, a bare echo over the transport."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from mfdb.net.tls_transport import TlsTransport
from mfdb.node.system import SystemEntropy
from mfdb.store.lmdb_store import LmdbStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from multiprocessing.connection import Connection

    from mfdb.net.port import Peer

COMMITS = 50
ECHOES = 100
TIMEOUT_S = 10
SERVER, CLIENT = b"\x01" * 32, b"\x02" * 32


def commit_s(directory: Path, row_bytes: int, rows: int) -> float:
    """Return the median seconds of a durable LMDB commit of so many rows under random keys."""
    place = Path(tempfile.mkdtemp(dir=directory))
    store = LmdbStore(place)
    times = []
    try:
        for _ in range(COMMITS):
            batch = [(os.urandom(32), os.urandom(row_bytes)) for _ in range(rows)]
            start = time.perf_counter()
            store.write(batch)
            times.append(time.perf_counter() - start)
    finally:
        store.close()
        shutil.rmtree(place)
    return statistics.median(times)


class _Echo:
    """Answers every request with nothing."""

    async def on_request(self, _peer: Peer, _body: bytes) -> bytes:
        return b""

    def on_stream(self, peer: Peer, body: bytes) -> AsyncIterator[bytes]:
        raise NotImplementedError

    async def on_closed(self, peer: Peer) -> None:
        """Nothing is kept of it."""


def _serve(told: Connection) -> None:
    async def serve() -> None:
        transport = TlsTransport(SERVER, _Echo(), entropy=SystemEntropy())
        told.send((await transport.listen("127.0.0.1:0"), transport.key))
        await asyncio.Event().wait()

    asyncio.run(serve())


async def echo_s(size_bytes: int) -> float:
    """Return the median seconds of one request of so many bytes to another process."""
    spawning = multiprocessing.get_context("spawn")
    ours, theirs = spawning.Pipe()
    child = spawning.Process(target=_serve, args=(theirs,), daemon=True)
    child.start()
    transport = TlsTransport(CLIENT, _Echo(), entropy=SystemEntropy())
    try:
        address, key = await asyncio.to_thread(ours.recv)
        peer = await transport.dial(key, address, timeout_s=TIMEOUT_S)
        body, times = bytes(size_bytes), []
        for _ in range(ECHOES):
            start = time.perf_counter()
            await peer.request(body, timeout_s=TIMEOUT_S)
            times.append(time.perf_counter() - start)
    finally:
        await transport.close()
        child.terminate()
        child.join()
    return statistics.median(times)
