"""The faults of the simulated network: each does what it says, in virtual time, by the seed."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mfdb.kernel.errors import DeadlineExceeded, NetworkError, PeerUnreachable
from mfdb.net.proof import transport_key
from mfdb.net.settings import DEFAULTS
from mfdb.testing.memory_transport import LinkFaults, MemoryNetwork, MemoryTransport
from mfdb.testing.suites.transport_suite import Probe
from mfdb.testing.virtual_loop import run_virtual

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mfdb.net.port import Peer

ROOT = Path(__file__).parents[3]
ALICE, BOB = b"a" * 32, b"b" * 32
A, B = transport_key(ALICE), transport_key(BOB)


class World:
    def __init__(self, seed: int, faults: LinkFaults) -> None:
        self.network = MemoryNetwork(seed)
        self.final_faults = faults
        self.alice_probe, self.bob_probe = Probe(), Probe()
        self.alice = self.network.transport(ALICE, self.alice_probe)
        self.bob = self.network.transport(BOB, self.bob_probe)
        self.address = ""

    async def dial(self) -> Peer:
        return await self.alice.dial(B, self.address, timeout_s=5)

    @property
    def now_s(self) -> float:
        return asyncio.get_running_loop().time()


def play(
    body: Callable[[World, Peer], Awaitable[None]],
    faults: LinkFaults | None = None,
    seed: int = 1,
) -> None:
    """Connect on a sound network, then let the faults begin."""

    async def main() -> None:
        world = World(seed, faults or LinkFaults())
        world.address = await world.bob.listen("127.0.0.1:0")
        peer = await world.dial()
        world.network.set_faults(world.final_faults)
        await body(world, peer)
        await asyncio.gather(world.alice.close(), world.bob.close())
        assert len(asyncio.all_tasks()) == 1

    run_virtual(main())


def test_messages_take_the_time_of_their_link() -> None:
    async def body(world: World, peer: Peer) -> None:
        world.network.set_faults(LinkFaults(min_delay_s=3, max_delay_s=4), A, B)
        started = world.now_s
        await peer.request(b"x", timeout_s=20)
        assert 6 <= world.now_s - started <= 8

    play(body)


def test_a_lost_message_means_that_the_asker_times_out() -> None:
    async def body(world: World, peer: Peer) -> None:
        started = world.now_s
        with pytest.raises(DeadlineExceeded):
            await peer.request(b"x", timeout_s=3)
        assert world.now_s - started == pytest.approx(3)
        assert peer.is_open
        assert world.bob_probe.peers == []

    play(body, LinkFaults(loss=1, breaks=0))


def test_a_loss_that_cannot_be_hidden_breaks_the_connection_for_both() -> None:
    async def body(world: World, peer: Peer) -> None:
        with pytest.raises(PeerUnreachable):
            await anext(peer.stream(b"count:5"))
        await world.alice_probe.until(lambda: len(world.alice_probe.closed) == 1)
        await world.bob_probe.until(lambda: len(world.bob_probe.closed) == 1)

    play(body, LinkFaults(loss=1, breaks=0))


def test_streams_are_whole_or_broken_whatever_is_lost() -> None:
    async def body(world: World, peer: Peer) -> None:
        whole = broken = 0
        for _ in range(200):
            items: list[bytes] = []
            try:
                async for item in peer.stream(b"count:40"):
                    items.append(item)  # noqa: PERF401 - the items before the error count
                whole += 1
                assert len(items) == 40
            except PeerUnreachable:
                broken += 1
            assert items == [b"%d" % n for n in range(len(items))]
            while not peer.is_open:
                try:
                    peer = await world.dial()
                except NetworkError:
                    continue
        assert whole > 10
        assert broken > 10

    play(body, LinkFaults(loss=0.01, reorder=0.1, duplicate=0.1))


def test_a_duplicated_request_is_served_twice_and_answered_once() -> None:
    async def body(world: World, peer: Peer) -> None:
        assert await peer.request(b"x", timeout_s=5) == b"x"
        await world.bob_probe.until(lambda: len(world.bob_probe.peers) == 2)

    play(body, LinkFaults(duplicate=1))


def test_reordered_requests_overtake_each_other_and_answers_find_their_asker() -> None:
    async def body(world: World, peer: Peer) -> None:
        arrived: list[bytes] = []
        respond = world.bob_probe.on_request

        async def record(peer: Peer, body: bytes) -> bytes:
            arrived.append(body)
            return await respond(peer, body)

        world.bob_probe.on_request = record  # type: ignore[method-assign] # to see the order
        bodies = [b"%d" % n for n in range(50)]
        answers = await asyncio.gather(*(peer.request(it, timeout_s=5) for it in bodies))
        assert answers == bodies
        assert sorted(arrived) == sorted(bodies)
        assert arrived != bodies

    play(body, LinkFaults(reorder=0.5))


def test_what_was_sent_into_a_short_partition_arrives_after_it_in_order() -> None:
    async def body(world: World, peer: Peer) -> None:
        stream = peer.stream(b"flood:10")
        await anext(stream)
        world.network.partition(A, B)
        asked = asyncio.create_task(peer.request(b"x", timeout_s=30))
        await asyncio.sleep(9)
        assert not asked.done()
        assert world.bob_probe.peers == [world.bob_probe.peers[0]]
        world.network.heal(A, B)
        assert await asked == b"x"
        for n in range(1, 2000):
            assert (await anext(stream))[:4] == n.to_bytes(4, "big")
        await stream.aclose()  # type: ignore[attr-defined] # the port promises an iterator only

    play(body)


def test_a_one_way_partition_lets_questions_through_but_no_answers() -> None:
    async def body(world: World, peer: Peer) -> None:
        world.network.partition(B, A, one_way=True)
        with pytest.raises(DeadlineExceeded):
            await peer.request(b"x", timeout_s=3)
        assert len(world.bob_probe.peers) == 1

    play(body)


def test_a_long_partition_ends_the_connection_on_both_sides_and_dials_fail_until_it_heals() -> None:
    async def body(world: World, peer: Peer) -> None:
        world.network.partition(A, B)
        started = world.now_s
        with pytest.raises(PeerUnreachable):
            await peer.request(b"x", timeout_s=100)
        assert DEFAULTS.dead_after_s - 5 <= world.now_s - started <= DEFAULTS.dead_after_s + 5
        await world.bob_probe.until(lambda: len(world.bob_probe.closed) == 1)
        with pytest.raises(DeadlineExceeded):
            await world.dial()
        world.network.heal()
        peer = await world.dial()
        assert await peer.request(b"x", timeout_s=5) == b"x"

    play(body)


@pytest.mark.parametrize(("power_loss", "least_s", "most_s"), [(False, 0, 0.01), (True, 10, 21)])
def test_a_killed_node_is_noticed(power_loss: bool, least_s: float, most_s: float) -> None:  # noqa: FBT001 - a parameter of the test
    async def body(world: World, peer: Peer) -> None:
        asked = asyncio.create_task(peer.request(b"hang", timeout_s=100))
        await world.bob_probe.until(lambda: world.bob_probe.inside == 1)
        started = world.now_s
        world.network.kill(B, power_loss=power_loss)
        with pytest.raises(PeerUnreachable):
            await asked
        assert least_s <= world.now_s - started <= most_s
        assert world.bob_probe.closed == [], "a dead process hears nothing"
        with pytest.raises(NetworkError):
            await world.dial()
        again = world.network.transport(BOB, Probe())
        await again.listen(world.address)
        peer = await world.dial()
        assert await peer.request(b"x", timeout_s=5) == b"x"
        await again.close()

    play(body)


def test_a_node_that_came_back_replaces_the_connection_it_lost() -> None:
    async def body(world: World, peer: Peer) -> None:
        alice_address = await world.alice.listen("127.0.0.1:0")
        await asyncio.sleep(6)
        started = world.now_s
        world.network.kill(B, power_loss=True)
        assert world.alice_probe.closed == [], "nobody told Alice"
        again = world.network.transport(BOB, Probe())
        to_alice = await again.dial(A, alice_address, timeout_s=5)
        assert await to_alice.request(b"x", timeout_s=5) == b"x"
        assert not peer.is_open
        await world.alice_probe.until(lambda: world.alice_probe.closed == [peer])
        assert world.now_s - started < 1
        to_bob = await world.dial()
        assert await to_bob.request(b"y", timeout_s=5) == b"y"
        await again.close()

    play(body)


def test_a_peer_that_reads_slowly_holds_its_sender_back() -> None:
    """A partition fills the simulated link; past its buffer nothing more is taken."""

    async def body(world: World, peer: Peer) -> None:
        world.network.partition(A, B, one_way=True)
        tasks = [asyncio.create_task(peer.request(bytes(2**19), timeout_s=4)) for _ in range(40)]
        await asyncio.sleep(1)
        queued = sum(end._queued_bytes for end in world.network._ends if end.own == A)
        assert queued <= 4 * 2**20
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(it) for it in results} == {DeadlineExceeded}

    play(body)


# ---- determinism


def trace(seed: int) -> list[str]:
    """What six nodes see of each other on a bad network, with the times."""
    lines: list[str] = []

    class Teller(Probe):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        async def on_request(self, peer: Peer, body: bytes) -> bytes:
            now_s = asyncio.get_running_loop().time()
            lines.append(f"{now_s:.9f} {self.name} {peer.key.hex()[:8]} {body.decode()}")
            return body

    async def chat(me: MemoryTransport, others: dict[Any, str]) -> None:
        for n in range(8):
            for key, address in others.items():
                try:
                    peer = await me.dial(key, address, timeout_s=1)
                    await peer.request(b"%d" % n, timeout_s=1)
                except NetworkError as error:
                    lines.append(f"{asyncio.get_running_loop().time():.9f} {error.code}")

    async def main() -> None:
        faults = LinkFaults(loss=0.05, duplicate=0.1, reorder=0.2)
        network = MemoryNetwork(seed, faults)
        seeds = [b"%032d" % n for n in range(6)]
        nodes = [network.transport(it, Teller(it.decode()[-1])) for it in seeds]
        addresses = {node.key: await node.listen("127.0.0.1:0") for node in nodes}
        network.partition(nodes[0].key, nodes[1].key)
        asyncio.get_running_loop().call_later(0.5, network.kill, nodes[5].key)
        asyncio.get_running_loop().call_later(1.5, network.heal)
        await asyncio.gather(
            *(
                chat(node, {key: it for key, it in addresses.items() if key != node.key})
                for node in nodes[:5]
            )
        )
        for node in nodes:
            await node.close()

    run_virtual(main())
    return lines


def test_one_seed_is_one_run_and_another_seed_another() -> None:
    first = trace(3)
    assert len(first) > 100
    assert trace(3) == first
    assert trace(4) != first


def test_a_run_does_not_depend_on_the_hash_seed() -> None:
    code = (
        "import runpy, sys; names = runpy.run_path(sys.argv[1]);"
        "print('\\n'.join(names['trace'](5)))"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", code, __file__],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        for hash_seed in ("0", "1", "4242")
    ]
    assert len(outputs[0].splitlines()) > 100
    assert outputs[0] == outputs[1] == outputs[2]
