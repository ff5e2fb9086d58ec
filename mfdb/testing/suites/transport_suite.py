"""What every `mfdb.net.port.Transport` must do.

Inherit in a test module and say how transports are made, how a coroutine is run and how a node is
killed (its process ends without a word):

    class TestMyTransport(TransportSuite):
        def run(self, main): asyncio.run(main)
        def make(self, seed, handler, settings): return MyTransport(seed, handler, settings)
        async def kill(self, transport): ...

`make` is called inside the running loop. Every test ends by checking that no task is left.
"""

# ruff: noqa: D102 - the name of a test is its sentence
from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from mfdb.kernel import errors
from mfdb.kernel.errors import (
    DeadlineExceeded,
    InterfaceError,
    InternalError,
    MfdbError,
    PeerUnreachable,
    PortTaken,
    StaleWrite,
    StoreFull,
    ValueTooLarge,
)
from mfdb.net.frames import BODY_BYTES
from mfdb.net.proof import transport_key
from mfdb.net.settings import DEFAULTS, NetSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from mfdb.net.port import Handler, Peer, Transport

ALICE, BOB, CAROL = b"a" * 32, b"b" * 32, b"c" * 32
_SOON_S = 10.0
_LOCAL = "127.0.0.1:0"


class _PrivateError(StoreFull):
    """An error class that the other side cannot know."""


class Probe:
    """A handler that does what the first word of a body says and counts what happens."""

    def __init__(self) -> None:
        self.peers: list[Peer] = []
        self.closed: list[Peer] = []
        self.inside = 0
        self.most_inside = 0
        self.cancelled = 0
        self.produced = 0
        self.streams_ended = 0
        self.crowd = 1
        self._waiters: list[asyncio.Future[None]] = []

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until the counters satisfy a condition."""
        async with asyncio.timeout(_SOON_S):
            while not condition():
                waiter = asyncio.get_running_loop().create_future()
                self._waiters.append(waiter)
                await waiter

    def note(self) -> None:
        """Let those who wait look again."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def on_request(self, peer: Peer, body: bytes) -> bytes:
        self.peers.append(peer)
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        self.note()
        try:
            return await self._do(peer, body)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.inside -= 1
            self.note()

    async def _do(self, peer: Peer, body: bytes) -> bytes:
        word, _, rest = body.partition(b":")
        match word:
            case b"raise":
                raise getattr(errors, rest.decode())("the reason", hint="the hint")
            case b"private":
                raise _PrivateError("the reason", hint="the hint")
            case b"long":
                raise StaleWrite("m" * 10**6, hint="h" * 10**6)
            case b"bug":
                raise ZeroDivisionError("secret detail")
            case b"hang":
                await asyncio.get_running_loop().create_future()
            case b"crowd":
                await self.until(lambda: self.most_inside >= self.crowd)
            case b"ask-back":
                return b"back:" + await peer.request(rest, timeout_s=_SOON_S)
            case b"large":
                return bytes(int(rest))
        return body

    async def on_stream(self, peer: Peer, body: bytes) -> AsyncIterator[bytes]:
        self.peers.append(peer)
        word, _, rest = body.partition(b":")
        try:
            if word == b"flood":
                size = int(rest)
                for n in range(10**9):
                    self.produced += 1
                    self.note()
                    yield n.to_bytes(4, "big") + bytes(size - 4)
            for n in range(int(rest or b"0")):
                yield b"%d" % n
            if word == b"fail":
                raise StaleWrite("the reason", hint="the hint")
            if word == b"bug":
                raise ZeroDivisionError("secret detail")
            if word == b"wait":
                await asyncio.get_running_loop().create_future()
        finally:
            self.streams_ended += 1
            self.note()

    async def on_closed(self, peer: Peer) -> None:
        self.closed.append(peer)
        self.note()


class TransportSuite:
    """Conformance of one transport; see the module docstring."""

    def run(self, main: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine in an event loop of its own."""
        raise NotImplementedError

    def make(self, seed: bytes, handler: Handler, settings: NetSettings) -> Transport:
        """Return a transport of the node with this Ed25519 seed."""
        raise NotImplementedError

    async def kill(self, transport: Transport) -> None:
        """End a node as SIGKILL does; nothing of it needs to be closed afterwards."""
        raise NotImplementedError

    # ---- requests

    def test_a_request_is_answered_both_ways(self) -> None:
        async def main(pair: Pair) -> None:
            assert await pair.to_bob.request(b"hello", timeout_s=_SOON_S) == b"hello"
            assert await pair.to_bob.request(b"", timeout_s=_SOON_S) == b""
            answer = await pair.to_bob.request(b"ask-back:hello", timeout_s=_SOON_S)
            assert answer == b"back:hello"
            assert pair.to_bob.key == transport_key(BOB)
            assert pair.bob_probe.peers[0].key == transport_key(ALICE)

        self._pair(main)

    def test_64_requests_run_at_once(self) -> None:
        async def main(pair: Pair) -> None:
            pair.bob_probe.crowd = 64
            bodies = [b"crowd:%d" % n for n in range(64)]
            answers = await asyncio.gather(
                *(pair.to_bob.request(body, timeout_s=_SOON_S) for body in bodies)
            )
            assert answers == bodies

        self._pair(main)

    def test_a_body_of_10_mb_comes_back_whole(self) -> None:
        async def main(pair: Pair) -> None:
            body = bytes(range(256)) * 40_000
            small = asyncio.create_task(pair.to_bob.request(b"small", timeout_s=_SOON_S))
            assert await pair.to_bob.request(body, timeout_s=_SOON_S) == body
            assert await small == b"small"

        self._pair(main)

    def test_a_body_over_the_limit_is_refused_and_the_connection_stands(self) -> None:
        async def main(pair: Pair) -> None:
            with pytest.raises(ValueTooLarge):
                await pair.to_bob.request(bytes(BODY_BYTES + 1), timeout_s=_SOON_S)
            with pytest.raises(ValueTooLarge):
                await pair.to_bob.request(b"large:%d" % (BODY_BYTES + 1), timeout_s=_SOON_S)
            answer = await pair.to_bob.request(b"large:%d" % BODY_BYTES, timeout_s=_SOON_S)
            assert len(answer) == BODY_BYTES

        self._pair(main)

    @pytest.mark.parametrize("name", ["StaleWrite", "BadProof", "PeerBusy", "MfdbError"])
    def test_an_error_arrives_as_the_class_that_was_raised(self, name: str) -> None:
        async def main(pair: Pair) -> None:
            with pytest.raises(MfdbError) as caught:
                await pair.to_bob.request(b"raise:" + name.encode(), timeout_s=_SOON_S)
            assert type(caught.value) is getattr(errors, name)
            assert (caught.value.message, caught.value.hint) == ("the reason", "the hint")

        self._pair(main)

    def test_an_error_of_an_unknown_class_arrives_as_its_nearest_known_one(self) -> None:
        async def main(pair: Pair) -> None:
            with pytest.raises(StoreFull) as caught:
                await pair.to_bob.request(b"private", timeout_s=_SOON_S)
            assert type(caught.value) is StoreFull

        self._pair(main)

    def test_a_bug_arrives_as_internal_error_without_its_details(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def main(pair: Pair) -> None:
            with pytest.raises(InternalError) as caught:
                await pair.to_bob.request(b"bug", timeout_s=_SOON_S)
            assert "secret" not in caught.value.message + caught.value.hint
            assert "ZeroDivision" not in caught.value.message + caught.value.hint
            assert await pair.to_bob.request(b"on", timeout_s=_SOON_S) == b"on"

        self._pair(main)
        assert "secret detail" in caplog.text

    def test_a_long_error_is_cut(self) -> None:
        async def main(pair: Pair) -> None:
            with pytest.raises(StaleWrite) as caught:
                await pair.to_bob.request(b"long", timeout_s=_SOON_S)
            assert 0 < len(caught.value.message) <= 1000
            assert 0 < len(caught.value.hint) <= 1000

        self._pair(main)

    def test_a_request_without_answer_ends_in_time_and_is_cancelled_there(self) -> None:
        async def main(pair: Pair) -> None:
            with pytest.raises(DeadlineExceeded):
                await pair.to_bob.request(b"hang", timeout_s=0.05)
            await pair.bob_probe.until(lambda: pair.bob_probe.cancelled == 1)
            assert await pair.to_bob.request(b"on", timeout_s=_SOON_S) == b"on"

        self._pair(main)

    def test_a_request_given_up_is_cancelled_there(self) -> None:
        async def main(pair: Pair) -> None:
            task = asyncio.create_task(pair.to_bob.request(b"hang", timeout_s=_SOON_S))
            await pair.bob_probe.until(lambda: pair.bob_probe.inside == 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await pair.bob_probe.until(lambda: pair.bob_probe.cancelled == 1)
            assert await pair.to_bob.request(b"on", timeout_s=_SOON_S) == b"on"

        self._pair(main)

    def test_requests_over_the_number_allowed_wait_their_turn(self) -> None:
        async def main(pair: Pair) -> None:
            bodies = [b"%d" % n for n in range(100)]
            answers = await asyncio.gather(
                *(pair.to_bob.request(body, timeout_s=_SOON_S) for body in bodies)
            )
            assert answers == bodies
            assert pair.bob_probe.most_inside <= 4
            stuck = [pair.to_bob.request(b"hang", timeout_s=0.05) for _ in range(9)]
            results = await asyncio.gather(*stuck, return_exceptions=True)
            assert {type(result) for result in results} == {DeadlineExceeded}
            assert await pair.to_bob.request(b"on", timeout_s=_SOON_S) == b"on"

        self._pair(main, NetSettings(requests=4))

    # ---- streams

    def test_a_stream_yields_its_items_in_order_and_ends(self) -> None:
        async def main(pair: Pair) -> None:
            assert [item async for item in pair.to_bob.stream(b"count:0")] == []
            items = [item async for item in pair.to_bob.stream(b"count:5000")]
            assert items == [b"%d" % n for n in range(5000)]

        self._pair(main)

    @pytest.mark.parametrize(("word", "kind"), [(b"fail", StaleWrite), (b"bug", InternalError)])
    def test_a_stream_may_end_with_an_error(self, word: bytes, kind: type[MfdbError]) -> None:
        async def main(pair: Pair) -> None:
            stream = pair.to_bob.stream(word + b":3")
            assert [await anext(stream) for _ in range(3)] == [b"0", b"1", b"2"]
            with pytest.raises(kind) as caught:
                await anext(stream)
            assert "secret" not in str(caught.value)

        self._pair(main)

    def test_a_stream_that_is_left_ends_at_the_peer(self) -> None:
        async def main(pair: Pair) -> None:
            stream = pair.to_bob.stream(b"wait:2")
            assert [await anext(stream), await anext(stream)] == [b"0", b"1"]
            await _leave(stream)
            await pair.bob_probe.until(lambda: pair.bob_probe.streams_ended == 1)
            assert await pair.to_bob.request(b"on", timeout_s=_SOON_S) == b"on"

        self._pair(main)

    def test_a_reader_that_stalls_holds_back_the_sender_and_nobody_else(self) -> None:
        async def main(pair: Pair) -> None:
            size, window = 50_000, DEFAULTS.window_bytes
            probe = pair.bob_probe
            stalled = pair.to_bob.stream(b"flood:%d" % size)
            await anext(stalled)
            await probe.until(lambda: probe.produced * size >= window)
            for _ in range(50):
                assert await pair.to_bob.request(b"on", timeout_s=_SOON_S) == b"on"
            assert [item async for item in pair.to_bob.stream(b"count:9")][-1] == b"8"
            held_at = probe.produced
            assert held_at * size <= 2 * window
            for n in range(1, 200):
                assert int.from_bytes((await anext(stalled))[:4], "big") == n
            assert probe.produced > held_at
            await _leave(stalled)

        self._pair(main)

    def test_streams_run_beside_each_other(self) -> None:
        async def main(pair: Pair) -> None:
            streams = [pair.to_bob.stream(b"count:200") for _ in range(20)]
            for n in range(200):
                for stream in streams:
                    assert await anext(stream) == b"%d" % n

        self._pair(main)

    # ---- the end of a connection

    def test_closing_fails_what_is_under_way_and_tells_both_handlers(self) -> None:
        async def main(pair: Pair) -> None:
            asked = asyncio.create_task(pair.to_bob.request(b"hang", timeout_s=_SOON_S))
            back = asyncio.create_task(pair.to_bob.request(b"ask-back:hang", timeout_s=_SOON_S))
            stream = pair.to_bob.stream(b"wait:1")
            assert await anext(stream) == b"0"
            await pair.bob_probe.until(lambda: pair.bob_probe.inside == 2)
            await pair.alice_probe.until(lambda: pair.alice_probe.inside == 1)
            await pair.to_bob.close()
            assert not pair.to_bob.is_open
            for task in (asked, back):
                with pytest.raises(PeerUnreachable):
                    await task
            with pytest.raises(PeerUnreachable):
                await anext(stream)
            with pytest.raises(PeerUnreachable):
                await pair.to_bob.request(b"late", timeout_s=_SOON_S)
            assert pair.alice_probe.closed == [pair.to_bob]
            await pair.bob_probe.until(lambda: len(pair.bob_probe.closed) == 1)
            assert not pair.bob_probe.closed[0].is_open
            assert pair.bob_probe.inside == 0
            assert pair.alice_probe.cancelled == 1

        self._pair(main)

    def test_a_killed_peer_is_noticed_at_once(self) -> None:
        async def main(pair: Pair) -> None:
            loop = asyncio.get_running_loop()
            asked = asyncio.create_task(pair.to_bob.request(b"hang", timeout_s=_SOON_S))
            stream = pair.to_bob.stream(b"wait:1")
            assert await anext(stream) == b"0"
            await pair.bob_probe.until(lambda: pair.bob_probe.inside == 1)
            started = loop.time()
            await self.kill(pair.bob)
            with pytest.raises(PeerUnreachable):
                await asked
            with pytest.raises(PeerUnreachable):
                await anext(stream)
            assert loop.time() - started < 2
            assert not pair.to_bob.is_open
            await pair.alice_probe.until(lambda: pair.alice_probe.closed == [pair.to_bob])

        self._pair(main)

    def test_a_peer_that_came_back_is_dialled_again(self) -> None:
        async def main(pair: Pair) -> None:
            await self.kill(pair.bob)
            await pair.alice_probe.until(lambda: len(pair.alice_probe.closed) == 1)
            again = self.make(BOB, Probe(), DEFAULTS)
            address = await again.listen(pair.address)
            peer = await pair.alice.dial(transport_key(BOB), address, timeout_s=_SOON_S)
            assert await peer.request(b"hello again", timeout_s=_SOON_S) == b"hello again"
            await again.close()

        self._pair(main)

    def test_close_during_a_request_leaves_nothing_running(self) -> None:
        async def main(pair: Pair) -> None:
            asked = asyncio.create_task(pair.to_bob.request(b"hang", timeout_s=_SOON_S))
            await pair.bob_probe.until(lambda: pair.bob_probe.inside == 1)
            await asyncio.gather(pair.alice.close(), pair.bob.close())
            with pytest.raises(PeerUnreachable):
                await asked
            assert pair.bob_probe.cancelled == 1
            await pair.alice.close()

        self._pair(main)

    def test_a_closed_transport_serves_no_more(self) -> None:
        async def main(pair: Pair) -> None:
            await pair.alice.close()
            with pytest.raises(InterfaceError):
                await pair.alice.dial(transport_key(BOB), pair.address, timeout_s=_SOON_S)
            with pytest.raises(InterfaceError):
                await pair.alice.listen(_LOCAL)
            await pair.bob.close()
            carol = self.make(CAROL, Probe(), DEFAULTS)
            with pytest.raises(PeerUnreachable):
                await carol.dial(transport_key(BOB), pair.address, timeout_s=_SOON_S)
            await carol.close()

        self._pair(main)

    # ---- dialling and listening

    def test_dialling_again_returns_the_same_connection(self) -> None:
        async def main(pair: Pair) -> None:
            key = transport_key(BOB)
            more = await asyncio.gather(
                *(pair.alice.dial(key, pair.address, timeout_s=_SOON_S) for _ in range(5))
            )
            assert all(peer is pair.to_bob for peer in more)

        self._pair(main)

    def test_concurrent_dials_share_one_connection(self) -> None:
        async def main(pair: Pair) -> None:
            carol = self.make(CAROL, Probe(), DEFAULTS)
            key = transport_key(BOB)
            peers = await asyncio.gather(
                *(carol.dial(key, pair.address, timeout_s=_SOON_S) for _ in range(5))
            )
            assert all(peer is peers[0] for peer in peers)
            await carol.close()
            await pair.bob_probe.until(lambda: len(pair.bob_probe.closed) == 1)

        self._pair(main)

    def test_nodes_that_dial_each_other_end_with_one_connection(self) -> None:
        async def main(_pair: Pair) -> None:
            probes = [Probe() for _ in range(6)]
            nodes = [self.make(b"%032d" % n, probe, DEFAULTS) for n, probe in enumerate(probes)]
            keys = [transport_key(b"%032d" % n) for n in range(6)]
            addresses = [await node.listen(_LOCAL) for node in nodes]
            links = [(i, j) for i in range(6) for j in range(6) if i != j]
            peers = await asyncio.gather(
                *(nodes[i].dial(keys[j], addresses[j], timeout_s=_SOON_S) for i, j in links)
            )
            for (i, j), peer in zip(links, peers, strict=True):
                again = await nodes[i].dial(keys[j], addresses[j], timeout_s=_SOON_S)
                assert again is peer
                assert await peer.request(b"%d-%d" % (i, j), timeout_s=_SOON_S)
            # One connection per pair: what j asks arrives over the connection that i asks over.
            for (i, j), peer in zip(links, peers, strict=True):
                seen = [it for it in probes[i].peers if it.key == keys[j]]
                assert all(it is peer for it in seen), (i, j)
            await asyncio.gather(*(node.close() for node in nodes))

        self._pair(main)

    def test_a_node_with_another_key_is_refused(self) -> None:
        async def main(pair: Pair) -> None:
            with pytest.raises(PeerUnreachable, match="another"):
                await pair.alice.dial(transport_key(CAROL), pair.address, timeout_s=_SOON_S)
            with pytest.raises(PeerUnreachable):
                await pair.alice.dial(transport_key(ALICE), pair.address, timeout_s=_SOON_S)
            assert pair.to_bob.is_open

        self._pair(main)

    @pytest.mark.parametrize("address", ["127.0.0.1:1", "", "nonsense", "host:port", "::1:99999"])
    def test_an_address_without_a_node_is_unreachable(self, address: str) -> None:
        async def main(pair: Pair) -> None:
            with pytest.raises(PeerUnreachable):
                await pair.alice.dial(transport_key(CAROL), address, timeout_s=_SOON_S)

        self._pair(main)

    def test_a_port_has_one_listener(self) -> None:
        async def main(pair: Pair) -> None:
            with pytest.raises(PortTaken) as caught:
                await pair.alice.listen(pair.address)
            assert pair.address in str(caught.value)
            with pytest.raises(InterfaceError):
                await pair.alice.listen("nowhere")

        self._pair(main)

    def test_a_full_node_refuses_one_more_peer_and_serves_on(self) -> None:
        async def main(pair: Pair) -> None:
            carol = self.make(CAROL, Probe(), DEFAULTS)
            key = transport_key(BOB)
            with pytest.raises(PeerUnreachable, match="takes no connection"):
                await carol.dial(key, pair.address, timeout_s=_SOON_S)
            assert await pair.to_bob.request(b"on", timeout_s=_SOON_S) == b"on"
            await pair.to_bob.close()
            await pair.bob_probe.until(lambda: len(pair.bob_probe.closed) == 1)
            peer = await carol.dial(key, pair.address, timeout_s=_SOON_S)
            assert await peer.request(b"room", timeout_s=_SOON_S) == b"room"
            await carol.close()

        self._pair(main, NetSettings(connections=1))

    # ---- machinery

    def _pair(
        self,
        body: Callable[[Pair], Coroutine[Any, Any, None]],
        settings: NetSettings = DEFAULTS,
    ) -> None:
        """Run a test between Alice and Bob, connected, and see that nothing is left of it."""

        async def main() -> None:
            pair = await Pair.connect(self, settings)
            await body(pair)
            await asyncio.gather(pair.alice.close(), pair.bob.close())
            left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            assert left == []

        self.run(main())


class Pair:
    """Alice, connected to Bob."""

    def __init__(self, suite: TransportSuite, settings: NetSettings) -> None:
        self.alice_probe, self.bob_probe = Probe(), Probe()
        self.alice = suite.make(ALICE, self.alice_probe, settings)
        self.bob = suite.make(BOB, self.bob_probe, settings)
        self.address = ""
        self.to_bob: Peer

    @classmethod
    async def connect(cls, suite: TransportSuite, settings: NetSettings) -> Pair:
        """Return a pair whose connection stands."""
        pair = cls(suite, settings)
        pair.address = await pair.bob.listen(_LOCAL)
        key = transport_key(BOB)
        pair.to_bob = await pair.alice.dial(key, pair.address, timeout_s=_SOON_S)
        return pair


async def _leave(stream: AsyncIterator[bytes]) -> None:
    close = getattr(stream, "aclose", None)
    assert close is not None, "a stream must be closable"
    await close()
