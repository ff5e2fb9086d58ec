"""A provider process among hostile peers: each gets a named error, everybody else is served on."""

from __future__ import annotations

import asyncio
import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from mfdb.kernel.codec import encode
from mfdb.kernel.errors import (
    AccessDenied,
    BadProof,
    BadSignature,
    MalformedMessage,
    MfdbError,
    UnknownDataset,
    WrongNetwork,
    WrongVersion,
)
from mfdb.kernel.ids import ChangesetId, DatasetId, Hash
from mfdb.node.answers import Acknowledged, open_answer
from mfdb.node.requests import GetReceipts, Hello, PutChangeset
from tests.fixtures.e2e_mail import Mail, readdressed
from tests.fixtures.e2e_stranger import ANSWER_S, Stranger, is_closed, stranger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from mfdb.dataset.writer import Draft
    from mfdb.net.port import Peer
    from mfdb.rules.receipt import WriteReceipt
    from tests.fixtures.e2e_network import LiveNetwork

pytestmark = pytest.mark.e2e

TEST_S = 60
HANDSHAKE_S = 5
"""How long a provider waits for a proof (mfdb.net.settings)."""
GIB = 2**30
GREW_BYTES = 64 * 2**20
CROWD = 40
QUESTION = GetReceipts(dataset=DatasetId(b"\x01" * 32), changeset=ChangesetId(b"\x02" * 32))
"""What any provider is asked, about a dataset that it does not keep."""


@pytest.fixture(scope="module")
def mail(live: LiveNetwork, tmp_path_factory: pytest.TempPathFactory) -> Mail:
    return Mail.opened(live, tmp_path_factory.mktemp("hostile"))


@pytest.fixture(scope="module")
def replica(mail: Mail) -> tuple[str, str]:
    """A provider that keeps Bob's mailbox: its name in the devnet, its address."""
    return mail.replicas()[0]


@pytest.fixture(autouse=True)
def serves_on(mail: Mail, replica: tuple[str, str]) -> Iterator[None]:
    """Whatever was said to them: all processes are the same ones, and the provider answers."""
    before = mail.live.pids()
    yield
    assert mail.live.pids() == before
    talk(mail, replica, answers)


def talk(mail: Mail, replica: tuple[str, str], what: Callable[[Stranger], Awaitable[None]]) -> None:
    """Let a stranger say something to the provider."""

    async def said() -> None:
        async with asyncio.timeout(TEST_S), stranger(mail.live.file, replica[1]) as someone:
            await what(someone)

    asyncio.run(said())


async def answers(someone: Stranger) -> None:
    peer = await someone.greeted()
    with pytest.raises(UnknownDataset):  # a request that was looked into, and an answer to it
        await peer.request(encode(QUESTION), timeout_s=ANSWER_S)


# ---- below the messages


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 4096, b"\x16\x03\x01"])
def test_garbage_on_the_port(mail: Mail, replica: tuple[str, str], garbage: bytes) -> None:
    async def say(someone: Stranger) -> None:
        reader, writer = await someone.wire()
        writer.write(garbage)
        writer.write_eof()
        assert await is_closed(reader, 3 * HANDSHAKE_S)
        writer.close()

    talk(mail, replica, say)


def test_garbage_instead_of_a_proof(mail: Mail, replica: tuple[str, str]) -> None:
    async def say(someone: Stranger) -> None:
        reader, writer = await someone.channel()
        writer.write(os.urandom(4096))
        assert await is_closed(reader, 3 * HANDSHAKE_S)
        writer.close()

    talk(mail, replica, say)


def test_a_frame_of_a_gibibyte_is_refused_at_its_length(
    mail: Mail, replica: tuple[str, str]
) -> None:
    pid = mail.live.pids()[replica[0]]
    before = resident_bytes(pid)

    async def say(someone: Stranger) -> None:
        reader, writer = await someone.session()
        writer.write(struct.pack(">IBQ", GIB, 1, 1) + b"\x00" * 4096)
        assert await is_closed(reader, HANDSHAKE_S), "refused before its bytes are waited for"
        writer.close()

    talk(mail, replica, say)
    assert resident_bytes(pid) < before + GREW_BYTES
    log = (mail.live.directory / "run" / f"{replica[0]}.log").read_text()
    assert f"a frame of {GIB} bytes is over the limit" in log


def resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


def test_a_crowd_of_slow_peers_keeps_nobody_waiting(mail: Mail, replica: tuple[str, str]) -> None:
    async def say(someone: Stranger) -> None:
        crowd = [await someone.wire() for _ in range(CROWD)]
        for _, writer in crowd:
            writer.write(b"\x16")  # the first byte of a TLS handshake, and then nothing
        await asyncio.wait_for(answers(someone), HANDSHAKE_S)
        closed = await asyncio.gather(*(is_closed(reader, 3 * HANDSHAKE_S) for reader, _ in crowd))
        assert all(closed)
        for _, writer in crowd:
            writer.close()

    talk(mail, replica, say)


# ---- introductions


def test_requests_before_hello_and_unknown_ones(mail: Mail, replica: tuple[str, str]) -> None:
    async def say(someone: Stranger) -> None:
        peer = await someone.dial()
        with pytest.raises(AccessDenied, match="hello") as refusal:
            await peer.request(encode(QUESTION), timeout_s=ANSWER_S)
        assert refusal.value.hint
        peer = await someone.greeted()
        unknown = msgspec.msgpack.encode(["give me everything", 1])
        for body in (b"", unknown, os.urandom(300), encode(QUESTION) + b"\x00", b"\x91" * 9999):
            with pytest.raises(MalformedMessage):
                await peer.request(body, timeout_s=ANSWER_S)
        assert peer.is_open, "a refusal costs the peer its request only"

    talk(mail, replica, say)


def test_introductions_that_are_not_believed(mail: Mail, replica: tuple[str, str]) -> None:
    async def say(someone: Stranger) -> None:
        peer = await someone.dial()
        other = os.urandom(32)
        await refused(peer, someone.hello(network=Hash(other)), WrongNetwork)
        await refused(peer, someone.hello(transport_key=other), BadProof)
        await refused(peer, someone.hello(identity=os.urandom(20)), BadSignature)
        await refused(peer, someone.hello(version=2), WrongVersion)
        good = someone.hello()
        for index in range(0, 65, 8):
            signature = flipped(good.record.signature, index)
            record = msgspec.structs.replace(good.record, signature=signature)
            await refused(peer, Hello(version=good.version, record=record), BadSignature)

    talk(mail, replica, say)


async def refused(peer: Peer, request: Hello | PutChangeset, *kinds: type[MfdbError]) -> None:
    with pytest.raises(MfdbError) as refusal:
        await peer.request(encode(request), timeout_s=ANSWER_S)
    assert isinstance(refusal.value, kinds), refusal.value
    assert refusal.value.message


def flipped(data: bytes, index: int) -> bytes:
    return data[:index] + bytes([data[index] ^ 1]) + data[index + 1 :]


# ---- changesets


def put(draft: Draft) -> PutChangeset:
    return PutChangeset(data=encode(draft.changeset), entry=draft.entry)


async def written(peer: Peer, draft: Draft) -> WriteReceipt:
    reply = await peer.request(encode(put(draft)), timeout_s=ANSWER_S)
    return open_answer(Acknowledged, reply).receipt


def test_a_replayed_changeset_gets_the_same_receipt_and_no_second_entry(
    mail: Mail, replica: tuple[str, str]
) -> None:
    async def say(someone: Stranger) -> None:
        with mail.drafting(someone.network) as (_, alice):
            letters = [alice.letter("replayed"), alice.letter("the next one")]
        peer = await someone.greeted()  # who carries a changeset does not matter
        first = await written(peer, letters[0])
        assert await written(peer, letters[0]) == first
        again = await asyncio.gather(*(written(peer, letters[0]) for _ in range(5)))
        assert again == [first] * 5
        following = await written(peer, letters[1])
        assert following.ack.log_number == first.ack.log_number + 1

    talk(mail, replica, say)
    assert mail.bodies() == ["first", "replayed", "the next one"]


def test_changesets_for_elsewhere_and_forged_ones(mail: Mail, replica: tuple[str, str]) -> None:
    before = mail.bodies()

    async def say(someone: Stranger) -> None:
        with mail.drafting(someone.network) as (keys, alice):
            draft = alice.letter("forged")
        peer = await someone.greeted()
        for kind, changes in (
            (WrongNetwork, {"network": Hash(os.urandom(32))}),
            (UnknownDataset, {"dataset": DatasetId(os.urandom(32))}),
        ):
            moved = readdressed(draft.changeset, keys.account, **changes)
            entry = msgspec.structs.replace(
                draft.entry, changeset=moved.id, dataset=moved.header.dataset
            )
            await refused(peer, PutChangeset(data=encode(moved), entry=entry), kind)
        good = encode(draft.changeset)
        for index in range(0, len(good), len(good) // 24):
            forged = PutChangeset(data=flipped(good, index), entry=draft.entry)
            kinds = (BadSignature, BadProof, MalformedMessage, WrongNetwork, AccessDenied)
            await refused(peer, forged, *kinds)

    talk(mail, replica, say)
    assert mail.bodies() == before
