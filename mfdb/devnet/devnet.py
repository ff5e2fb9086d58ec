"""A network on this machine: brought up until it is ready, described, taken down, thrown away.

<directory>/devnet.json     format, chain kind, ports, number of providers
<directory>/network.json    what `--network` takes: chain, contracts, parameters
<directory>/chain/          the development chain
<directory>/p1 .. pN/       one directory per provider: keystore, store
<directory>/run/            pid files and logs
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import shutil
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from mfdb.chain.anvil import anvil_command, require_anvil
from mfdb.chain.deploy import deploy
from mfdb.chain.devchain.accounts import dev_accounts
from mfdb.chain.faucet import give_coin
from mfdb.chain.port import TransferMft, Transferred
from mfdb.chain.rpc import Endpoint
from mfdb.chain.web3_chain import Web3Chain
from mfdb.devnet import processes
from mfdb.devnet.nursery import Nursery, open_nursery
from mfdb.devnet.parameters import GAS_FUNDS, PROVIDER_FUNDS, Parameters
from mfdb.devnet.processes import Process
from mfdb.kernel.errors import (
    ChainUnavailable,
    DevnetFailed,
    NoProviders,
    PortTaken,
    StoreLocked,
    WrongVersion,
)
from mfdb.node.network_file import NetworkFile
from mfdb.node.provider_cli import provider_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from mfdb.kernel.account import Account
    from mfdb.kernel.clock import Clock
    from mfdb.kernel.ids import Address, Wei

FORMAT = 1
CHAIN_ID = 31337
CHAIN_READY_S = 60
PROVIDER_READY_S = 120


class DevnetFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a devnet's directory is. `chain` is "devchain", "anvil" or a URL; port 0: any."""

    format: int
    chain: str
    chain_port: int
    provider_ports: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One process of a devnet, as `status` shows it."""

    name: str
    pid: int | None
    address: str


class Devnet:
    """The devnet in a directory. `say` is told what is going on, a line each.

    `parameters` count when it is brought up for the first time.
    """

    def __init__(
        self,
        directory: Path,
        clock: Clock,
        say: Callable[[str], None] = lambda _: None,
        *,
        parameters: Parameters | None = None,
    ) -> None:
        self.directory = directory
        self._parameters = parameters or Parameters()
        self._clock = clock
        self._say = say

    @property
    def network_file(self) -> Path:
        """The file that `--network` takes."""
        return self.directory / "network.json"

    @property
    def _run_directory(self) -> Path:
        """Where pid files and logs lie."""
        return self.directory / "run"

    def exists(self) -> bool:
        """Return whether a devnet was ever brought up here."""
        return (self.directory / "devnet.json").exists()

    # ---- up

    async def up(
        self, *, providers: int, chain: str | None = None, base_port: int | None = None
    ) -> None:
        """Start what is not running and wait until all of it is ready.

        `chain` is "devchain" (also if None, on first start), "anvil" or a URL. With `base_port`,
        chain and providers take that port and the next ones; else any free ones.

        Raises:
            PortTaken: another process listens on a port of ours.
            WrongVersion: the directory belongs to another release.
            StoreLocked: another command works on the directory.
            NoProviders: fewer than one is asked for.
            DevnetFailed: a process did not get ready; what was started is stopped again.
        """
        if providers < 1:
            raise NoProviders(f"a network has at least one provider, not {providers}")
        self._make_directory()
        with self._alone():
            started: list[Process] = []
            try:
                file = self._open(providers, chain, base_port)
                async with open_nursery(self._run_directory) as nursery:
                    await self._up_chain(file, started)
                    await self._deploy(file)
                    await self._fund(file)
                    await self._up_providers(file, nursery, started)
            except BaseException:
                await processes.stop(started, self._clock)
                raise

    def _make_directory(self) -> None:
        try:
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise DevnetFailed(
                f"the directory {self.directory} cannot be made: {error.strerror}",
                hint="check path and rights, or name another --directory",
            ) from error

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other commands off the directory.

        Raises:
            StoreLocked: one works on it.
        """
        with (self.directory / "lock").open("wb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise StoreLocked(
                    f"another `mfdb devnet` command works on {self.directory}",
                    hint="wait until it is done",
                ) from error
            yield

    def _open(self, providers: int, chain: str | None, base_port: int | None) -> DevnetFile:
        if self.exists():
            file = self.file()
            if chain not in (None, file.chain):
                raise DevnetFailed(
                    f"this devnet is on the chain {file.chain}, not {chain}",
                    hint="name another --directory for another chain",
                )
            if len(file.provider_ports) < providers:
                more = _ports(providers - len(file.provider_ports), None)
                file = msgspec.structs.replace(file, provider_ports=(*file.provider_ports, *more))
                self._save(file)
            return file
        ports = _ports(providers + 1, base_port)
        for port in ports:  # looked at before they are kept for ever
            _demand_free(port, "the devnet")
        file = DevnetFile(
            format=FORMAT,
            chain=chain or "devchain",
            chain_port=ports[0],
            provider_ports=tuple(ports[1:]),
        )
        self._save(file)
        return file

    def file(self) -> DevnetFile:
        """Return what the directory is.

        Raises:
            DevnetFailed: there is no devnet here.
            WrongVersion: it belongs to another release.
        """
        path = self.directory / "devnet.json"
        try:
            file = msgspec.json.decode(path.read_bytes(), type=DevnetFile)
        except FileNotFoundError as error:
            raise DevnetFailed(
                f"there is no devnet in {self.directory}", hint="`mfdb devnet up` makes one"
            ) from error
        except msgspec.DecodeError as error:
            raise WrongVersion(
                f"{path} is not of this release: {error}",
                hint="`mfdb devnet reset` removes it, with all its data",
            ) from error
        if file.format != FORMAT:
            raise WrongVersion(
                f"{path} is of format {file.format}, this release reads {FORMAT}",
                hint="`mfdb devnet reset` removes it, with all its data",
            )
        return file

    def _save(self, file: DevnetFile) -> None:
        fresh = self.directory / "devnet.new"
        fresh.write_bytes(msgspec.json.format(msgspec.json.encode(file)) + b"\n")
        fresh.replace(self.directory / "devnet.json")

    async def _up_chain(self, file: DevnetFile, started: list[Process]) -> None:
        process = self._chain_process(file)
        if process is None or process.pid is not None:
            return
        _demand_free(file.chain_port, "the chain")
        self._say(f"starting the chain on port {file.chain_port}")
        child = processes.start(process)
        started.append(process)
        if file.chain == "devchain":
            await processes.wait_ready(process, child.pid, self._clock, timeout_s=CHAIN_READY_S)
        else:
            await _await_chain(_url(file))

    async def _deploy(self, file: DevnetFile) -> None:
        if self.network_file.exists():
            return
        self._say("deploying the contracts")
        given = self._parameters
        deployment = await deploy(_url(file), self.faucet(), given.terms)
        network = NetworkFile(
            deployment=deployment, node=given.node, provider=given.provider, client=given.client
        )
        network.save(self.network_file)

    async def _fund(self, file: DevnetFile) -> None:
        """Give every new provider MFT to stake and coin for gas."""
        accounts = [self.provider_address(index) for index in _indexes(file)]
        await self.fund(accounts, PROVIDER_FUNDS, once=True)

    async def fund(self, accounts: Sequence[Address], amount: Wei, *, once: bool = False) -> None:
        """Send MFT and coin from the faucet; with `once`, only to accounts that never had any.

        Raises:
            DevnetFailed: there is no devnet here.
            ChainUnavailable: it is down.
        """
        deployment = NetworkFile.load(self.network_file).deployment
        chain = await Web3Chain.connect(deployment)
        try:
            events = [seen.event for seen in await chain.events()] if once else []
            paid = {event.to for event in events if isinstance(event, Transferred)}
            new = [account for account in accounts if account not in paid]
            await give_coin(deployment.rpc_url, self.faucet(), new, amount=GAS_FUNDS)
            for account in new:
                await chain.send(TransferMft(to=account, amount=amount), self.faucet())
        finally:
            await chain.close()

    async def _up_providers(
        self, file: DevnetFile, nursery: Nursery, started: list[Process]
    ) -> None:
        starting = []
        for index, port in enumerate(file.provider_ports, start=1):
            process = self.provider_process(file, index)
            if process.pid is None:
                _demand_free(port, process.name)
                started.append(process)
                starting.append((process, await nursery.start(process)))
        if starting:
            self._say(f"starting {len(starting)} providers, each stakes its deposit")
        for process, pid in starting:
            await processes.wait_ready(process, pid, self._clock, timeout_s=PROVIDER_READY_S)
        self._say(f"ready: {len(file.provider_ports)} providers")

    async def restart(self, index: int) -> None:
        """Start one provider that is not running and wait until it is ready.

        Raises:
            DevnetFailed: it runs already, or did not get ready.
        """
        process = self.provider_process(self.file(), index)
        child = processes.start(process)
        await processes.wait_ready(process, child.pid, self._clock, timeout_s=PROVIDER_READY_S)

    # ---- down

    async def down(self) -> None:
        """Stop every process of this devnet; its data stays."""
        if not self.exists():
            return
        file = self.file()
        with self._alone():
            providers = [self.provider_process(file, index) for index in _indexes(file)]
            await processes.stop(providers, self._clock)
            chain = self._chain_process(file)
            await processes.stop([chain] if chain else [], self._clock)

    async def down_providers(self) -> None:
        """Stop the providers; the chain goes on."""
        file = self.file()
        with self._alone():
            providers = [self.provider_process(file, index) for index in _indexes(file)]
            await processes.stop(providers, self._clock)

    async def reset(self) -> None:
        """Stop everything and remove the directory, whatever release it is of.

        Raises:
            DevnetFailed: it is a directory, but not a devnet's; it is left alone.
            StoreLocked: another command works on it.
        """
        if not self.directory.exists():
            return
        if not self.exists():
            raise DevnetFailed(
                f"{self.directory} is not a devnet's directory", hint="nothing was removed"
            )
        with self._alone():
            run = self._run_directory
            found = [
                Process(name=pid.stem, command=(), directory=run)
                for pid in sorted(run.glob("*.pid"))
            ]
            await processes.stop(found, self._clock)
            shutil.rmtree(self.directory)

    # ---- what there is

    def parts(self) -> list[Part]:
        """Return every process of the devnet, running or not."""
        file = self.file()
        found = []
        chain = self._chain_process(file)
        pid = chain.pid if chain else None
        found.append(Part(name="chain", pid=pid, address=_url(file)))
        for index in _indexes(file):
            process = self.provider_process(file, index)
            address = f"127.0.0.1:{file.provider_ports[index - 1]}"
            found.append(Part(name=process.name, pid=process.pid, address=address))
        return found

    def faucet(self) -> Account:
        """Return the account that holds the MFT supply of a development network."""
        return dev_accounts(CHAIN_ID)[0]

    def provider_directory(self, index: int) -> Path:
        """Return the directory of a provider, counted from 1."""
        return self.directory / f"p{index}"

    def provider_address(self, index: int) -> Address:
        """Return the identity of a provider, counted from 1."""
        return provider_keys(self.provider_directory(index)).address

    def provider_process(self, file: DevnetFile, index: int) -> Process:
        """Return the process of a provider, counted from 1."""
        command = [
            *processes.module_command("shell"),
            *("provider", "run"),
            *("--data", str(self.provider_directory(index))),
            *("--network", str(self.network_file)),
            *("--listen", f"127.0.0.1:{file.provider_ports[index - 1]}"),
        ]
        return Process(name=f"p{index}", command=command, directory=self._run_directory)

    def _chain_process(self, file: DevnetFile) -> Process | None:
        run, port = self._run_directory, file.chain_port
        if file.chain == "devchain":
            command = [
                *processes.module_command("mfdb.chain.devchain"),
                *("--dir", str(self.directory / "chain"), "--port", str(port)),
            ]
            return Process(name="chain", command=command, directory=run)
        if file.chain == "anvil":
            directory = self.directory / "chain"
            command = anvil_command(require_anvil(), directory=directory, port=port, block_time_s=1)
            return Process(name="chain", command=command, directory=run)
        return None


def _indexes(file: DevnetFile) -> Iterable[int]:
    return range(1, len(file.provider_ports) + 1)


def _url(file: DevnetFile) -> str:
    if file.chain in ("devchain", "anvil"):
        return f"http://127.0.0.1:{file.chain_port}"
    return file.chain


async def _await_chain(url: str) -> None:
    """Wait until a chain that does not announce itself answers.

    Raises:
        DevnetFailed: it does not in time.
    """
    endpoint = await Endpoint.open(url)
    try:
        async with asyncio.timeout(CHAIN_READY_S):
            while True:
                with contextlib.suppress(ChainUnavailable):
                    await endpoint.height()
                    return
                await asyncio.sleep(processes.POLL_S)
    except TimeoutError as error:
        raise DevnetFailed(f"no chain answers at {url}") from error
    finally:
        await endpoint.close()


def _ports(count: int, base: int | None) -> list[int]:
    """Return ports: the next ones from a base, or free ones that the system picks."""
    if base is not None:
        return list(range(base, base + count))
    with contextlib.ExitStack() as stack:
        picked = []
        for _ in range(count):
            listener = stack.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            picked.append(int(listener.getsockname()[1]))
        return picked


def _demand_free(port: int, name: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise PortTaken(
                f"port {port}, which is for {name}, is taken by another process",
                hint="stop it, or choose another --base-port; a devnet keeps its ports until reset",
            ) from error
