"""What a session does with a peer that keeps no rule; the peer is played frame by frame."""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING, Any

import pytest

from mfdb.kernel.errors import DeadlineExceeded, PeerUnreachable, StaleWrite
from mfdb.net.frames import FrameReader, Kind, encode_credit, encode_frame
from mfdb.net.proof import transport_key
from mfdb.net.refusal import decode_refusal
from mfdb.net.session import Session
from mfdb.net.settings import NetSettings
from mfdb.testing.suites.transport_suite import Probe
from mfdb.testing.virtual_loop import run_virtual

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from mfdb.net.frames import Frame


class Wire:
    """A channel that keeps what is sent; the test speaks for the peer."""

    def __init__(self, settings: NetSettings) -> None:
        self.sent: list[Frame] = []
        self._reader = FrameReader()
        self.probe = Probe()
        self.session = Session(
            transport_key(b"p" * 32), self, self.probe, settings, dialled_here=True
        )

    def send(self, frames: list[bytes]) -> None:
        for frame in frames:
            self.sent += self._reader.feed(frame)

    def close(self) -> None:
        asyncio.get_running_loop().call_soon(self.session.lost, "closed")

    def abort(self) -> None:
        self.close()

    def say(self, kind: Kind, number: int, body: bytes = b"") -> None:
        self.session.receive(encode_frame(kind, number, body))

    def of(self, kind: Kind) -> list[Frame]:
        return [frame for frame in self.sent if frame.kind is kind]

    async def settle(self) -> None:
        await asyncio.sleep(0.01)


def play(
    body: Callable[[Wire], Coroutine[Any, Any, None]], settings: NetSettings | None = None
) -> None:
    async def main() -> None:
        wire = Wire(settings or NetSettings())
        await body(wire)
        await wire.session.close()
        assert wire.probe.closed == [wire.session]
        assert len(asyncio.all_tasks()) == 1

    run_virtual(main())


@pytest.mark.parametrize(
    "attack",
    [
        struct.pack(">I", 2**30),
        b"\xff" * 40,
        b"GET / HTTP/1.1\r\n\r\n",
        encode_frame(Kind.CREDIT, 1, b"\x00"),
        encode_frame(Kind.REFUSAL, 1, b"not a refusal"),
        encode_frame(Kind.REQUEST, 1, b"hang") * 2,
        encode_frame(Kind.OPEN, 1, b"wait:0")
        + encode_frame(Kind.CREDIT, 1, encode_credit(2**30)) * 2,
    ],
)
def test_a_peer_that_breaks_the_protocol_is_cut_off(attack: bytes) -> None:
    async def body(wire: Wire) -> None:
        asked = asyncio.create_task(wire.session.request(b"x", timeout_s=5))
        await wire.settle()
        wire.session.receive(attack)
        assert not wire.session.is_open
        with pytest.raises(PeerUnreachable, match="protocol"):
            await asked

    play(body)


def test_an_item_without_credit_cuts_the_peer_off() -> None:
    async def body(wire: Wire) -> None:
        stream = wire.session.stream(b"x")
        first = asyncio.ensure_future(anext(stream))
        await wire.settle()
        number = wire.of(Kind.OPEN)[0].number
        for _ in range(3):
            wire.say(Kind.ITEM, number, bytes(600))
        assert not wire.session.is_open
        assert await first == bytes(600)
        assert await anext(stream) == bytes(600)
        with pytest.raises(PeerUnreachable):
            await anext(stream)

    play(body, NetSettings(window_bytes=1000))


def test_late_and_unasked_frames_are_ignored() -> None:
    async def body(wire: Wire) -> None:
        for kind in (Kind.ANSWER, Kind.ITEM, Kind.END, Kind.CANCEL, Kind.PONG):
            wire.say(kind, 77, b"" if kind is Kind.END else b"late")
        wire.say(Kind.CREDIT, 77, encode_credit(1))
        assert wire.session.is_open

    play(body)


def test_a_peer_that_asks_too_much_is_told_so() -> None:
    async def body(wire: Wire) -> None:
        for number in range(1, 6):
            wire.say(Kind.REQUEST, number, b"hang")
        wire.say(Kind.OPEN, 6, b"count:1")
        await wire.settle()
        refused = wire.of(Kind.REFUSAL) + wire.of(Kind.END)
        assert [frame.number for frame in refused] == [4, 5, 6]
        assert {type(decode_refusal(frame.body)).__name__ for frame in refused} == {"PeerBusy"}
        wire.say(Kind.CANCEL, 1)
        wire.say(Kind.REQUEST, 7, b"now")
        await wire.settle()
        assert wire.of(Kind.ANSWER)[0].number == 7

    play(body, NetSettings(requests=3))


def test_the_bytes_of_requests_under_way_are_bounded_too() -> None:
    async def body(wire: Wire) -> None:
        wire.say(Kind.REQUEST, 1, b"hang:" + bytes(900))
        wire.say(Kind.REQUEST, 2, b"hang:" + bytes(900))
        await wire.settle()
        assert [frame.number for frame in wire.of(Kind.REFUSAL)] == [2]

    play(body, NetSettings(requests_bytes=1000))


def test_a_peer_that_asks_on_without_reading_is_cut_off() -> None:
    async def body(wire: Wire) -> None:
        wire.session.hold()
        wire.say(Kind.REQUEST, 1, b"hang")
        assert wire.session.is_open
        wire.say(Kind.REQUEST, 2, b"hang")
        assert not wire.session.is_open

    play(body, NetSettings(requests=1))


def test_answers_and_items_wait_for_a_peer_that_does_not_read() -> None:
    async def body(wire: Wire) -> None:
        wire.session.hold()
        wire.say(Kind.REQUEST, 1, b"echo")
        wire.say(Kind.OPEN, 2, b"flood:100")
        wire.say(Kind.CREDIT, 2, encode_credit(2**20))
        await wire.settle()
        assert wire.sent == []
        assert wire.probe.produced <= 1
        wire.session.resume()
        await wire.settle()
        assert wire.of(Kind.ANSWER)
        assert wire.of(Kind.ITEM)

    play(body)


def test_a_stream_sends_no_more_than_its_credit() -> None:
    async def body(wire: Wire) -> None:
        wire.say(Kind.OPEN, 1, b"flood:1000")
        await wire.settle()
        assert wire.of(Kind.ITEM) == []
        wire.say(Kind.CREDIT, 1, encode_credit(5000))
        await wire.settle()
        assert len(wire.of(Kind.ITEM)) == 5
        assert wire.probe.produced == 5
        wire.say(Kind.CREDIT, 1, encode_credit(2000))
        await wire.settle()
        assert len(wire.of(Kind.ITEM)) == 7
        wire.say(Kind.CANCEL, 1)
        await wire.settle()
        assert wire.probe.streams_ended == 1
        assert wire.of(Kind.END) == []

    play(body)


def test_a_silent_peer_is_pinged_and_then_given_up() -> None:
    async def body(wire: Wire) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(12)
        assert wire.of(Kind.PING)
        wire.say(Kind.PONG, 0)
        asked = asyncio.create_task(wire.session.request(b"x", timeout_s=100))
        with pytest.raises(PeerUnreachable, match="silent"):
            await asked
        assert 27 <= loop.time() <= 32.1

    play(body)


def test_a_peer_that_answers_pings_lives_on() -> None:
    async def body(wire: Wire) -> None:
        for _ in range(100):
            await asyncio.sleep(5)
            for _ in wire.of(Kind.PING):
                wire.say(Kind.PONG, 0)
            wire.sent.clear()
        assert wire.session.is_open
        wire.say(Kind.PING, 3)
        await wire.settle()
        assert wire.of(Kind.PONG)[0].number == 3

    play(body)


def test_a_peer_that_takes_nothing_is_given_up_though_it_talks() -> None:
    async def body(wire: Wire) -> None:
        wire.session.hold()
        for _ in range(10):
            await asyncio.sleep(2.5)
            if wire.session.is_open:
                wire.say(Kind.PING, 0)
        assert not wire.session.is_open
        assert wire.of(Kind.PONG) == []

    play(body)


def test_a_handler_that_cancels_itself_still_answers() -> None:
    class Quitter(Probe):
        async def on_request(self, _peer: Any, _body: bytes) -> bytes:
            raise asyncio.CancelledError

    async def main() -> None:
        wire = Wire(NetSettings())
        wire.session = Session(
            transport_key(b"p" * 32), wire, Quitter(), NetSettings(), dialled_here=True
        )
        wire.say(Kind.REQUEST, 1, b"x")
        await wire.settle()
        assert [frame.number for frame in wire.of(Kind.REFUSAL)] == [1]
        await wire.session.close()

    run_virtual(main())


def test_a_handler_may_close_the_connection_it_serves() -> None:
    class Closer(Probe):
        async def on_request(self, peer: Any, _body: bytes) -> bytes:
            await peer.close()
            return b"never"

        async def on_closed(self, peer: Any) -> None:
            await peer.close()
            await super().on_closed(peer)

    async def main() -> None:
        wire = Wire(NetSettings())
        closer = Closer()
        wire.session = Session(
            transport_key(b"p" * 32), wire, closer, NetSettings(), dialled_here=True
        )
        wire.say(Kind.REQUEST, 1, b"x")
        await closer.until(lambda: len(closer.closed) == 1)
        await wire.session.wait_closed()
        assert wire.of(Kind.ANSWER) == []

    run_virtual(main())


# ---- what is posted, and what is answered by a future


def test_what_is_posted_goes_out_at_once_and_is_answered_by_its_future() -> None:
    async def body(wire: Wire) -> None:
        answer = wire.session.post(b"x", timeout_s=5)
        assert answer is not None
        (frame,) = wire.of(Kind.REQUEST)
        wire.say(Kind.ANSWER, frame.number, b"y")
        assert await answer == b"y"
        given_up = wire.session.post(b"x", timeout_s=5)
        assert given_up is not None
        given_up.cancel()
        await wire.settle()
        assert [frame.number for frame in wire.of(Kind.CANCEL)] == [2]
        await wire.session.close()
        with pytest.raises(PeerUnreachable):
            wire.session.post(b"x", timeout_s=5)

    play(body)


def test_nothing_is_posted_that_would_have_to_wait() -> None:
    async def body(wire: Wire) -> None:
        first = wire.session.post(b"x", timeout_s=5)
        assert first is not None
        assert wire.session.post(b"x", timeout_s=5) is None
        wire.say(Kind.ANSWER, 1)
        await first
        assert wire.session.post(b"x", timeout_s=5) is not None

    play(body, NetSettings(requests=1))


def test_each_request_has_a_deadline_of_its_own() -> None:
    async def body(wire: Wire) -> None:
        loop, start = asyncio.get_running_loop(), asyncio.get_running_loop().time()
        late, soon, later = (wire.session.post(b"x", timeout_s=at) for at in (3.0, 1.0, 4.0))
        assert late is not None
        assert soon is not None
        assert later is not None
        for answer, due_s in ((soon, 1.0), (late, 3.0)):
            with pytest.raises(DeadlineExceeded, match=f"{due_s:g} s"):
                await answer
            assert due_s <= loop.time() - start < due_s + 0.1
        wire.say(Kind.ANSWER, 3, b"in time")
        assert await later == b"in time"
        await wire.settle()
        assert [frame.number for frame in wire.of(Kind.CANCEL)] == [2, 1]

    play(body)


class Promiser(Probe):
    """A handler whose answers come later, of which no task waits."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: list[asyncio.Future[bytes]] = []

    def on_request(self, _peer: Any, body: bytes) -> asyncio.Future[bytes]:  # type: ignore[override] # as the port lets it
        if body == b"refuse":
            raise StaleWrite("too late")
        self.answers.append(asyncio.get_running_loop().create_future())
        return self.answers[-1]


def test_a_handler_may_give_a_future_for_an_answer() -> None:
    async def main() -> None:
        wire, handler = Wire(NetSettings()), Promiser()
        wire.session = Session(
            transport_key(b"p" * 32), wire, handler, NetSettings(), dialled_here=True
        )
        for number in (1, 2, 3):
            wire.say(Kind.REQUEST, number, b"x")
        wire.say(Kind.REQUEST, 4, b"refuse")
        wire.say(Kind.CANCEL, 2)
        handler.answers[0].set_result(b"first")
        handler.answers[2].set_exception(StaleWrite("old"))
        await wire.settle()
        assert handler.answers[1].cancelled()
        assert [(frame.number, frame.body) for frame in wire.of(Kind.ANSWER)] == [(1, b"first")]
        told = {frame.number: decode_refusal(frame.body).message for frame in wire.of(Kind.REFUSAL)}
        assert told == {3: "old", 4: "too late"}
        wire.say(Kind.REQUEST, 5, b"x")
        await wire.session.close()
        assert handler.answers[3].cancelled()

    run_virtual(main())


def test_an_answer_waits_for_a_peer_that_does_not_read() -> None:
    async def main() -> None:
        wire, handler = Wire(NetSettings()), Promiser()
        wire.session = Session(
            transport_key(b"p" * 32), wire, handler, NetSettings(), dialled_here=True
        )
        wire.say(Kind.REQUEST, 1, b"x")
        wire.session.hold()
        handler.answers[0].set_result(b"y")
        await wire.settle()
        assert wire.of(Kind.ANSWER) == []
        wire.session.resume()
        await wire.settle()
        assert [frame.body for frame in wire.of(Kind.ANSWER)] == [b"y"]
        await wire.session.close()

    run_virtual(main())
