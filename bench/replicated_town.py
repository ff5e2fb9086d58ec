"""What `bench.replicated` measures on: a devnet of provider processes, and who checks them.

Nodes run with the settings of a real network, not with the hasty ones of `mfdb devnet`: a chain
that is asked again and again for a whole network's epochs would take a third of a small machine.
"""

from __future__ import annotations

import shutil
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mfdb.client.aio import Connection
from mfdb.client.opening import Home, open_home
from mfdb.dataset.layout import Receipts
from mfdb.devnet import processes
from mfdb.devnet.devnet import Devnet
from mfdb.devnet.parameters import TERMS, Parameters
from mfdb.kernel.codec import decode_own
from mfdb.kernel.ids import MFT, ChangesetId, Wei
from mfdb.node.provider import sealed_shelf, shelf
from mfdb.node.settings import ClientSettings, NodeSettings, ProviderSettings
from mfdb.node.system import SystemClock
from mfdb.node.wiring import build_remote
from mfdb.store.lmdb_store import LmdbStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mfdb.kernel.ids import DatasetId
    from mfdb.node.client.remote import NodeRemote
    from mfdb.node.provider.shelf import View
    from mfdb.rules.receipt import WriteReceipt

COLUMNS = "(id BIGINT, sender TEXT, sent_at TIMESTAMP, subject TEXT, body TEXT)"
CAPACITY_BYTES = 2**28
FUNDS = Wei(1000 * MFT)
PARAMETERS = Parameters(
    terms=replace(TERMS, epoch_s=24 * 3600),
    node=NodeSettings(),
    provider=ProviderSettings(capacity_bytes=2**32, deposit_per_mib=Wei(MFT // 100)),
    client=ClientSettings(capacity_bytes=CAPACITY_BYTES, epoch_s=24 * 3600),
)


@asynccontextmanager
async def open_town(directory: Path, providers: int) -> AsyncIterator[Town]:
    """Bring everything up, and down again whatever happens."""
    devnet = Devnet(directory / "devnet", SystemClock(), parameters=PARAMETERS)
    try:
        await devnet.up(providers=providers)
        home = open_home(directory / "user", identity=None, passphrase=None)
        await devnet.fund([home.keys.address], FUNDS)
        remote = await build_remote(devnet.network_file, home.keys, home.open_node_store())
        async with Connection(home.session(remote), home) as db:
            yield Town(directory, devnet, home, remote, db)
    finally:
        await devnet.down()


class RowsMissing(SystemExit):
    """An acknowledged row is not there: no figure counts."""


@dataclass(slots=True)
class Town:
    """A network in a directory, and its user."""

    directory: Path
    devnet: Devnet
    home: Home
    remote: NodeRemote
    db: Connection
    witnesses: int = 0
    next_victim: int = 0

    async def create(self, name: str, options: str) -> DatasetId:
        """Create a dataset that anybody who may can write to without an order."""
        await self.db.execute(
            f"CREATE DATASET {name} {COLUMNS} WITH (ordering = 'free', {options})"
        )
        return self.dataset(name)

    def dataset(self, name: str) -> DatasetId:
        """Return the id of one of the user's datasets."""
        session, _ = self.db.parts()
        known = session.state.replica.find(self.home.keys.address, name)
        assert known is not None, f"there is no dataset {name}"
        return known.manifest.dataset

    # ---- providers

    def index_of(self, identity: bytes) -> int:
        """Return the number of a provider, counted from 1."""
        count = len(self.devnet.file().provider_ports)
        return next(
            at for at in range(1, count + 1) if self.devnet.provider_address(at) == identity
        )

    def kill(self, index: int) -> None:
        """End a provider as a crash would."""
        processes.kill(self.devnet.provider_process(self.devnet.file(), index))

    async def restart(self, index: int) -> None:
        """Start a provider again."""
        await self.devnet.restart(index)

    def cpu_s(self) -> float:
        """Return the processor time that the providers have used so far."""
        parts = [part.pid for part in self.devnet.parts() if part.pid and part.name != "chain"]
        return sum(map(_cpu_s, parts))

    # ---- is everything there

    async def check(self, name: str, acknowledged: set[int]) -> None:
        """Kill a provider, then look for every acknowledged row.

        1. What the dead one gave receipts for must lie in its store, as it was left.
        2. What was acknowledged must be readable from the others, with nothing but the seed words.

        Raises:
            RowsMissing: something is not there.
        """
        dataset = self.dataset(name)
        replicas = list(await self.remote.providers(dataset))[:3]
        self.next_victim = (self.next_victim + 1) % len(replicas)
        index = self.index_of(replicas[self.next_victim])
        self.kill(index)
        try:
            self._check_store(dataset, index)
            await self._check_rows(name, acknowledged)
        finally:
            await self.restart(index)

    def _check_store(self, dataset: DatasetId, index: int) -> None:
        session, _ = self.db.parts()
        session.state.replica.show()
        with self.home.store.snapshot() as mine:
            kept = [decode_own(Receipts, data) for _, data in mine.scan(b"r" + dataset)]
        provider = self.devnet.provider_address(index)
        given = [one for many in kept for one in many.receipts if one.batch.provider == provider]
        store = LmdbStore(self.devnet.provider_directory(index) / "store")
        try:
            with store.snapshot() as view:
                lost = [receipt for receipt in given if not _is_kept(view, dataset, receipt)]
        finally:
            store.close()
        if lost:
            raise RowsMissing(f"p{index} lost {len(lost)} of {len(given)} receipted changesets")

    async def _check_rows(self, name: str, acknowledged: set[int]) -> None:
        self.witnesses += 1
        directory = self.directory / f"witness{self.witnesses}"
        shutil.copytree(self.home.keystore.directory, directory / "keystore")
        home = open_home(directory, identity=None, passphrase=None)
        remote = await build_remote(self.devnet.network_file, home.keys, home.open_node_store())
        async with Connection(home.session(remote), home) as db:
            session, _ = db.parts()
            await session.restore()
            found = {row[0] for row in await db.fetch(f"SELECT id FROM {name}")}
        shutil.rmtree(directory)
        if not acknowledged <= found:
            raise RowsMissing(f"{len(acknowledged - found)} acknowledged rows of {name} are gone")


def _is_kept(view: View, dataset: DatasetId, receipt: WriteReceipt) -> bool:
    """Return whether a provider holds what it acknowledged: its bytes, or a segment that does."""
    id_ = ChangesetId(receipt.ack.changeset)
    if shelf.changeset_data(view, dataset, id_) is not None:
        return True
    return any(id_ in bundle.changesets for bundle in sealed_shelf.segments(view, dataset))


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100
