"""Full disks at providers, and two processes on one directory."""

from __future__ import annotations

import asyncio
import json
import os
import resource
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from mfdb.kernel.codec import encode
from mfdb.kernel.errors import StoreFull
from mfdb.node.requests import PutChangeset
from tests.fixtures.e2e_command import mfdb, start_mfdb
from tests.fixtures.e2e_mail import Mail
from tests.fixtures.e2e_stranger import ANSWER_S, stranger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fixtures.e2e_network import LiveNetwork

pytestmark = pytest.mark.e2e

TEST_S = 60
LETTER_CHARS = 2**16
"""Larger than what a store can put into the pages that it has free."""


@pytest.fixture(scope="module")
def mail(live: LiveNetwork, tmp_path_factory: pytest.TempPathFactory) -> Mail:
    return Mail.opened(live, tmp_path_factory.mktemp("full"))


@contextmanager
def full_disk(mail: Mail, *names: str) -> Iterator[None]:
    """Let the stores of these providers grow no further; after that they have room again."""
    pids = mail.live.pids()
    for name in names:
        size = (mail.live.directory / name / "store" / "data.mdb").stat().st_size
        resource.prlimit(pids[name], resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        for name in names:
            unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
            resource.prlimit(pids[name], resource.RLIMIT_FSIZE, unlimited)
        assert mail.live.pids() == pids, "a full disk ends no process"


def letter(name: str) -> str:
    """Return a long letter that is told from others by its first word."""
    return f"{name} {os.urandom(LETTER_CHARS // 2).hex()}"


def first_words(mail: Mail) -> list[str]:
    return [body.split()[0] for body in mail.bodies()]


def test_one_full_disk_says_so_and_the_other_two_acknowledge(mail: Mail) -> None:
    name, address = mail.replicas()[0]
    with full_disk(mail, name):
        with pytest.raises(StoreFull) as refusal:
            asyncio.run(write_to(mail, address, letter("refused")))
        assert refusal.value.hint
        assert refusal.value.retryable
        mail.send(letter("carried"))
        assert first_words(mail) == ["carried", "first"]
    mail.send(letter("afterwards"))
    assert first_words(mail) == ["afterwards", "carried", "first"]


async def write_to(mail: Mail, provider: str, body: str) -> None:
    """Let one provider alone be asked to keep a letter."""
    async with asyncio.timeout(TEST_S), stranger(mail.live.file, provider) as someone:
        with mail.drafting(someone.network) as (_, alice):
            draft = alice.letter(body)
        request = PutChangeset(data=encode(draft.changeset), entry=draft.entry)
        await (await someone.greeted()).request(encode(request), timeout_s=ANSWER_S)


def test_without_a_quorum_of_disks_a_letter_waits_in_the_outbox(mail: Mail) -> None:
    before = first_words(mail)
    names = [name for name, _ in mail.replicas()[:2]]
    with full_disk(mail, *names):
        done = mail.alice.mfdb(mail.statement(letter("waiting")))
        assert done.code == 1
        assert done.error["code"] == "QuorumNotReached"
        assert "disk" in done.error["message"], "the reason of the providers is told"
        assert done.error["hint"]
        assert done.error["retryable"]
    mail.send(letter("later"))
    assert first_words(mail) == sorted([*before, "waiting", "later"]), "each exactly once"


def test_a_second_process_on_a_providers_directory(mail: Mail) -> None:
    pids = mail.live.pids()
    second = mfdb(
        *("provider", "run", "--data", mail.live.directory / "p1"),
        *("--network", mail.live.file, "--json"),
    )
    assert second.code == 1
    assert second.error["code"] == "StoreLocked"
    assert str(pids["p1"]) in second.error["message"]
    assert second.error["hint"]
    assert mail.live.pids() == pids


def test_a_second_process_on_a_clients_directory(mail: Mail) -> None:
    with start_mfdb(*mail.bob.arguments, "-c", "SUBSCRIBE TO inbox") as subscriber:
        assert subscriber.stdout is not None
        assert json.loads(subscriber.stdout.readline())["op"] == "insert"
        second = mail.bob.mfdb("SELECT count(*) FROM inbox")
        assert second.code == 2
        assert second.error["code"] == "StoreLocked"
        assert str(subscriber.pid) in second.error["message"]
        subscriber.terminate()
    assert "first" in first_words(mail)
