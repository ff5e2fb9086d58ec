"""The TCP port against strangers: garbage, silence, wrong certificates, wrong proofs, SIGKILL."""

from __future__ import annotations

import asyncio
import signal
import ssl
import struct
import subprocess
import sys
import tempfile
import textwrap
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mfdb.kernel.errors import DeadlineExceeded, OperationalError, PeerUnreachable
from mfdb.net.certificate import certified_key, client_context, server_context
from mfdb.net.frames import Kind, encode_frame
from mfdb.net.proof import (
    HELLO_BYTES,
    check_proof,
    make_hello,
    make_proof,
    read_hello,
    transport_key,
)
from mfdb.net.settings import NetSettings
from mfdb.net.tls_transport import TlsTransport
from mfdb.testing.sim_clock import SeededEntropy
from mfdb.testing.suites.transport_suite import Probe

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROOT = Path(__file__).parents[3]
ALICE, BOB = b"a" * 32, b"b" * 32
SOON_S = 60.0
PATIENT = NetSettings(handshake_s=600, strangers=4)
"""For tests that are about anything but that deadline: a busy machine takes its time."""
QUICK = NetSettings(handshake_s=1.5, strangers=4)

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def node(seed: bytes, settings: NetSettings = PATIENT) -> TlsTransport:
    return TlsTransport(seed, Probe(), entropy=SeededEntropy(seed), settings=settings)


@asynccontextmanager
async def serving_bob(settings: NetSettings = PATIENT) -> AsyncIterator[tuple[TlsTransport, str]]:
    """Bob, who must still serve Alice after whatever the test did to his port."""
    bob = node(BOB, settings)
    address = await bob.listen("127.0.0.1:0")
    yield bob, address
    bob._settings = PATIENT
    alice = node(ALICE)
    peer = await alice.dial(bob.key, address, timeout_s=SOON_S)
    assert await peer.request(b"still here", timeout_s=SOON_S) == b"still here"
    await alice.close()
    await bob.close()
    assert len(asyncio.all_tasks()) == 1


async def plain(address: str) -> Stream:
    host, port = address.rsplit(":", 1)
    return await asyncio.open_connection(host, int(port))


async def inside(address: str, context: ssl.SSLContext | None = None) -> Stream:
    """Connect as far as TLS goes, with the key not proven yet."""
    host, port = address.rsplit(":", 1)
    context = context or client_context()
    return await asyncio.open_connection(host, int(port), ssl=context, server_hostname="")


async def is_closed(stream: Stream) -> bool:
    """Whether the other side ends the connection soon."""
    reader, writer = stream
    with suppress(ConnectionError, ssl.SSLError):
        async with asyncio.timeout(SOON_S):
            while await reader.read(65536):
                pass
    writer.close()
    with suppress(ConnectionError, ssl.SSLError):
        await writer.wait_closed()
    return True


# ---- strangers at the port


@pytest.mark.parametrize("data", [b"\x00", b"GET / HTTP/1.1\r\n\r\n", bytes(range(256)) * 100])
def test_garbage_closes_that_connection_only(data: bytes) -> None:
    async def main() -> None:
        async with serving_bob(QUICK) as (_, address):
            stream = await plain(address)
            stream[1].write(data)
            assert await is_closed(stream)

    asyncio.run(main())


def test_silence_before_and_inside_tls_ends_at_the_deadline() -> None:
    async def main() -> None:
        async with serving_bob(QUICK) as (_, address):
            streams = [await plain(address), await inside(address)]
            for stream in streams:
                assert await is_closed(stream)

    asyncio.run(main())


async def until_the_end(reader: asyncio.StreamReader) -> bytes:
    """Return what comes; a connection that is closed with unread bytes ends by a reset."""
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""


def test_a_slow_loris_ends_at_the_deadline_though_it_keeps_sending() -> None:
    async def main() -> None:
        async with serving_bob(QUICK) as (_, address):
            reader, writer = await inside(address)
            await reader.readexactly(HELLO_BYTES)
            end = asyncio.ensure_future(until_the_end(reader))
            sent = 0
            while not end.done() and sent < 95:
                writer.write(b"x")
                sent += 1
                await asyncio.wait([end], timeout=0.05)
            assert await end == b""
            assert sent < 95
            assert await is_closed((reader, writer))

    asyncio.run(main())


def test_too_many_strangers_are_turned_away_and_peers_are_not() -> None:
    async def main() -> None:
        async with serving_bob() as (bob, address):
            alice = node(ALICE)
            peer = await alice.dial(bob.key, address, timeout_s=SOON_S)
            bob._settings = QUICK
            streams = [await plain(address) for _ in range(20)]
            assert await peer.request(b"on", timeout_s=SOON_S) == b"on"
            assert len(bob._strangers) <= QUICK.strangers
            for stream in streams:
                assert await is_closed(stream)
            await alice.close()

    asyncio.run(main())


def test_close_does_not_wait_for_strangers() -> None:
    async def main() -> None:
        bob = node(BOB, NetSettings(handshake_s=60))
        address = await bob.listen("127.0.0.1:0")
        streams = [await plain(address), await inside(address)]
        async with asyncio.timeout(3):
            await bob.close()
        for stream in streams:
            assert await is_closed(stream)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


# ---- keys


@pytest.mark.parametrize("damage", ["nonce", "server", "signature", "key", "size"])
def test_a_wrong_proof_is_refused(damage: str) -> None:
    async def main() -> None:
        # Only what is too short is waited for until the deadline.
        settings = NetSettings(handshake_s=3) if damage == "size" else PATIENT
        async with serving_bob(settings) as (bob, address):
            reader, writer = await inside(address)
            nonce = read_hello(await reader.readexactly(HELLO_BYTES))
            server = transport_key(ALICE) if damage == "server" else bob.key
            proof = make_proof(ALICE, server, bytes(32) if damage == "nonce" else nonce)
            if damage == "signature":
                proof = proof[:-1] + bytes([proof[-1] ^ 1])
            if damage == "key":
                proof = transport_key(b"c" * 32) + proof[32:]
            writer.write(proof[:-1] if damage == "size" else proof)
            assert await reader.read() == b""
            assert await is_closed((reader, writer))
            assert bob._table.sessions() == []

    asyncio.run(main())


def test_a_frame_of_1_gib_from_a_proven_peer_closes_its_connection_only() -> None:
    async def main() -> None:
        async with serving_bob() as (bob, address):
            reader, writer = await inside(address)
            nonce = read_hello(await reader.readexactly(HELLO_BYTES))
            writer.write(make_proof(b"c" * 32, bob.key, nonce))
            assert await reader.readexactly(1) == b"\x00"
            writer.write(encode_frame(Kind.PING, 1))
            assert len(await reader.readexactly(13)) == 13
            writer.write(struct.pack(">I", 2**30) + bytes(1000))
            assert await is_closed((reader, writer))

    asyncio.run(main())


def test_a_server_with_another_key_never_sees_our_proof() -> None:
    async def main() -> None:
        impostor = node(b"i" * 32)
        address = await impostor.listen("127.0.0.1:0")
        alice = node(ALICE)
        with pytest.raises(PeerUnreachable, match="another node"):
            await alice.dial(transport_key(BOB), address, timeout_s=SOON_S)
        assert impostor._table.sessions() == []
        await asyncio.gather(alice.close(), impostor.close())

    asyncio.run(main())


def test_older_tls_and_other_protocols_are_refused() -> None:
    async def main() -> None:
        async with serving_bob() as (_, address):
            old = client_context()
            old.minimum_version = ssl.TLSVersion.TLSv1_2
            old.maximum_version = ssl.TLSVersion.TLSv1_2
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await inside(address, old)
            other = client_context()
            other.set_alpn_protocols(["h2"])
            with suppress(ssl.SSLError, ConnectionError):  # newer ones refuse inside the handshake
                assert await is_closed(await inside(address, other))

    asyncio.run(main())


def test_a_certificate_carries_the_key_and_leaves_no_file(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    context = server_context(BOB, SeededEntropy(1))
    assert list(tmp_path.iterdir()) == []
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3

    async def main() -> None:
        server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        _, writer = await inside(f"127.0.0.1:{port}")
        tls = writer.get_extra_info("ssl_object")
        assert certified_key(tls.getpeercert(binary_form=True)) == transport_key(BOB)
        assert tls.version() == "TLSv1.3"
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    asyncio.run(main())


@pytest.mark.parametrize("certificate", [None, b"", b"\x30\x82", bytes(1000)])
def test_bytes_that_are_no_certificate_name_no_key(certificate: bytes | None) -> None:
    with pytest.raises(PeerUnreachable):
        certified_key(certificate)


def test_a_proof_is_good_for_one_server_and_one_nonce() -> None:
    _, nonce = make_hello(SeededEntropy(1))
    server = transport_key(BOB)
    assert check_proof(make_proof(ALICE, server, nonce), server, nonce) == transport_key(ALICE)


# ---- dialling what is not a node


@asynccontextmanager
async def stranger(answer: bytes | None) -> AsyncIterator[str]:
    """A server that is no node: says something and hangs up, or says nothing at all."""
    ended = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if answer is None:
                await reader.read()
            else:
                await reader.read(10)
                writer.write(answer)
            writer.close()
            await writer.wait_closed()
        except ConnectionError:
            pass
        finally:
            ended.set()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    await ended.wait()
    server.close()
    await server.wait_closed()


def test_dialling_a_silent_host_ends_in_time() -> None:
    async def main() -> None:
        alice = node(ALICE)
        async with stranger(None) as address:
            with pytest.raises(DeadlineExceeded):
                await alice.dial(transport_key(BOB), address, timeout_s=0.2)
            await alice.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", b"\x16\x03\x03\x00\x00"]
)
def test_dialling_something_else_is_unreachable(answer: bytes) -> None:
    async def main() -> None:
        alice = node(ALICE)
        async with stranger(answer) as address:
            with pytest.raises(PeerUnreachable):
                await alice.dial(transport_key(BOB), address, timeout_s=SOON_S)
            await alice.close()

    asyncio.run(main())


def test_an_address_that_is_not_ours_cannot_be_bound() -> None:
    async def main() -> None:
        alice = node(ALICE)
        with pytest.raises(OperationalError, match="cannot listen"):
            await alice.listen("192.0.2.1:0")
        await alice.close()

    asyncio.run(main())


# ---- a peer in another process

CHILD = """
    import asyncio
    from mfdb.net.tls_transport import TlsTransport
    from mfdb.testing.sim_clock import SeededEntropy
    from mfdb.testing.suites.transport_suite import Probe
    async def main():
        bob = TlsTransport(b"b" * 32, Probe(), entropy=SeededEntropy(1))
        print(await bob.listen("127.0.0.1:0"), flush=True)
        await asyncio.get_running_loop().create_future()
    asyncio.run(main())
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_dead_or_frozen_process_is_noticed(how: signal.Signals) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CHILD)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None

    async def main(address: str) -> float:
        loop = asyncio.get_running_loop()
        alice = node(ALICE, NetSettings(ping_s=0.2, closing_s=0.2, handshake_s=600))
        peer = await alice.dial(transport_key(BOB), address, timeout_s=SOON_S)
        assert await peer.request(b"hello", timeout_s=SOON_S) == b"hello"
        asked = asyncio.create_task(peer.request(b"hang", timeout_s=SOON_S))
        await asyncio.sleep(0)
        child.send_signal(how)
        started = loop.time()
        with pytest.raises(PeerUnreachable):
            await asked
        took = loop.time() - started
        await alice.close()
        return took

    try:
        assert asyncio.run(main(child.stdout.readline().strip())) < 2
    finally:
        child.kill()
        child.communicate()
