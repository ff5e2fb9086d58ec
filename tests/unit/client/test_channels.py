"""LISTEN and NOTIFY: what is heard by whom, when, and how much of it is kept."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as hs

import mfdb
import mfdb.aio
from mfdb.client.channels import WAITING, Channels, Ear, Said
from mfdb.kernel.errors import (
    BatchFailed,
    InvalidParameter,
    InvalidText,
    MfdbError,
    NotificationsLost,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mfdb.client.dbapi import Connection


@pytest.fixture
def alice() -> Iterator[Connection]:
    with mfdb.connect(":memory:", autocommit=True) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        yield connection


@pytest.fixture
def bob(alice: Connection) -> Iterator[Connection]:
    with alice.another() as connection:
        yield connection


def heard(connection: Connection) -> list[tuple[str, str]]:
    return [(one.channel, one.payload) for one in connection.notifies(timeout_s=0)]


def taken(ear: Ear) -> list[tuple[str, str]]:
    return [(one.channel, one.payload) for one in iter(ear.take, None)]


def test_a_notification_reaches_whoever_listens(alice: Connection, bob: Connection) -> None:
    alice.execute("NOTIFY news, 'too early'")
    bob.execute("LISTEN news")
    alice.execute("LISTEN News")
    alice.execute("NOTIFY news, 'hello'")
    alice.execute("NOTIFY other, 'nobody'")
    bob.execute("NOTIFY news")
    assert heard(alice) == heard(bob) == [("news", "hello"), ("news", "")]
    assert heard(bob) == []
    alice.execute("NOTIFY news, ?", ["by a parameter"])
    (one,) = bob.notifies(stop_after=1)
    assert one.payload == "by a parameter"
    alice.execute("NOTIFY news, $1", [None])
    (other,) = alice.notifies(stop_after=1)
    assert other.payload == "by a parameter"
    assert one.sender == other.sender, "both tell who sent it"
    alice.execute("NOTIFY news, 'last'")
    for first in alice.notifies():
        assert first.payload == ""
        break
    assert heard(alice) == [("news", "last")], "who stops in between loses nothing"
    assert list(bob.notifies(stop_after=0)) == []


def test_channels_are_told(alice: Connection) -> None:
    for text in ('LISTEN "B"', "LISTEN a", "LISTEN a", "LISTEN c", "UNLISTEN c", "UNLISTEN never"):
        alice.execute(text)
    assert alice.execute("SHOW CHANNELS").fetchall() == [("B",), ("a",)]
    assert alice.execute("SELECT channel FROM mf.channels WHERE channel > 'a'").fetchall() == []
    alice.execute("NOTIFY b, 'folded'")
    alice.execute("""NOTIFY "B", 'it''s kept'""")
    assert heard(alice) == [("B", "it's kept")]
    alice.execute("UNLISTEN *")
    alice.execute("NOTIFY a")
    assert heard(alice) == []
    assert alice.execute("SHOW CHANNELS").fetchall() == []


def test_a_batch_notifies_at_its_end_and_each_text_once(alice: Connection, bob: Connection) -> None:
    bob.execute("LISTEN c")
    for text in ("BEGIN", "NOTIFY c, 'x'", "INSERT INTO t VALUES (1)", "NOTIFY c, 'y'"):
        alice.execute(text)
    alice.execute("NOTIFY c, 'x'")
    assert heard(bob) == []
    alice.execute("COMMIT")
    assert heard(bob) == [("c", "x"), ("c", "y")]
    for text in ("BEGIN", "NOTIFY c, 'lost'", "ROLLBACK"):
        alice.execute(text)
    assert heard(bob) == []
    for text in (
        "BEGIN",
        "NOTIFY c, 'kept'",
        "SAVEPOINT s",
        "NOTIFY c, 'given up'",
        "ROLLBACK TO s",
        "NOTIFY c, 'after'",
        "COMMIT",
    ):
        alice.execute(text)
    assert heard(bob) == [("c", "kept"), ("c", "after")]


def test_a_batch_that_fails_notifies_nobody(alice: Connection, bob: Connection) -> None:
    bob.execute("LISTEN c")
    alice.execute("INSERT INTO t VALUES (1)")
    alice.execute("BEGIN")
    alice.execute("NOTIFY c, 'no'")
    with pytest.raises(MfdbError):
        alice.execute("INSERT INTO t VALUES (1)")
    with pytest.raises(BatchFailed):
        alice.execute("NOTIFY c, 'neither'")
    alice.execute("COMMIT")
    alice.execute("DELETE FROM t")
    # Both write the row; the second to commit is told, and its notification goes with it.
    with alice.another() as other:
        for one in (alice, other):
            one.execute("BEGIN")
            one.execute("INSERT INTO t VALUES (7)")
            one.execute("NOTIFY c, ?", ["first" if one is alice else "second"])
        alice.execute("COMMIT")
        with pytest.raises(MfdbError):
            other.execute("COMMIT")
    assert heard(bob) == [("c", "first")]


def test_what_is_listened_to_changes_with_the_batch(alice: Connection, bob: Connection) -> None:
    bob.execute("LISTEN old")
    for text in ("BEGIN", "LISTEN c", "UNLISTEN old"):
        bob.execute(text)
    alice.execute("NOTIFY c, 'before the COMMIT'")
    alice.execute("NOTIFY old, 'still heard'")
    assert heard(bob) == [], "nothing is delivered inside a batch"
    bob.execute("COMMIT")
    assert heard(bob) == [("old", "still heard")]
    for text in ("BEGIN", "LISTEN d", "ROLLBACK", "BEGIN", "UNLISTEN c", "NOTIFY c", "ROLLBACK"):
        bob.execute(text)
    assert bob.execute("SHOW CHANNELS").fetchall() == [("c",)]
    for text in ("BEGIN", "LISTEN e", "NOTIFY e, 'own'", "COMMIT"):
        bob.execute(text)
    assert heard(bob) == [("e", "own")], "a batch hears itself if it listens"


def test_without_autocommit_a_notification_waits_for_commit(bob: Connection) -> None:
    bob.execute("LISTEN c")
    with bob.another() as plain:
        plain.autocommit = False
        plain.execute("NOTIFY c, 'later'")
        assert heard(bob) == []
        plain.commit()
        assert heard(bob) == [("c", "later")]
        plain.execute("NOTIFY c, 'never'")
        plain.rollback()
    assert heard(bob) == []


def test_payloads_are_texts_of_limited_length(alice: Connection) -> None:
    alice.execute("LISTEN c")
    alice.execute("NOTIFY c, ?", ["ü" * 3_999])
    for wrong in ("x" * 8_000, "ü" * 4_000):
        with pytest.raises(InvalidParameter) as caught:
            alice.execute("NOTIFY c, ?", [wrong])
        assert caught.value.sqlstate == "22023"
        assert caught.value.position == 10
    with pytest.raises((InvalidText, MfdbError)):
        alice.execute("NOTIFY c, ?", [b"bytes"])
    with pytest.raises(MfdbError):
        alice.execute("NOTIFY c, ?")
    assert [len(payload) for _, payload in heard(alice)] == [3_999]


def test_who_does_not_look_is_told_what_it_missed() -> None:
    channels = Channels()
    ear = Ear(channels)
    ear.say(Said(wishes=[("c", True)]))
    ear.say(Said(told=dict.fromkeys(("c", str(number)) for number in range(WAITING + 2))))
    with pytest.raises(NotificationsLost, match=r"^2 notifications"):
        ear.take()
    assert taken(ear) == [("c", str(number)) for number in range(2, WAITING + 2)]
    assert taken(ear) == []


def test_a_listener_on_another_thread_is_woken_and_ends_with_its_connection(
    alice: Connection, bob: Connection
) -> None:
    bob.execute("LISTEN c")
    texts: list[str] = []
    first = threading.Event()

    def listen() -> None:
        for one in bob.notifies():
            texts.append(one.payload)
            first.set()

    thread = threading.Thread(target=listen)
    thread.start()
    alice.execute("NOTIFY c, 'woken'")
    assert first.wait(30)
    bob.close()
    thread.join(30)
    assert not thread.is_alive()
    assert texts == ["woken"]


def test_asyncio_yields_notifications_beside_statements() -> None:
    async def main() -> None:
        async with await mfdb.aio.connect(":memory:") as db:
            await db.execute("LISTEN c")
            async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
                listening = tasks.create_task(_all(db, stop_after=3))
                await db.execute("NOTIFY c, 'a'")
                async with db.transaction():
                    await db.execute("NOTIFY c, 'b'")
                    await db.execute("NOTIFY c, 'c'")
            assert listening.result() == ["a", "b", "c"]
            await db.execute("NOTIFY c, 'd'")
            assert [one.payload async for one in db.notifies(timeout_s=0)] == ["d"]

    asyncio.run(main())


def test_a_task_that_listens_ends_when_the_connection_closes() -> None:
    async def main() -> None:
        db = await mfdb.aio.connect(":memory:")
        await db.execute("LISTEN c")
        await db.execute("NOTIFY c, 'x'")
        got = asyncio.Event()

        async def listen() -> list[str]:
            texts = []
            async for one in db.notifies():
                texts.append(one.payload)
                got.set()
            return texts

        async with asyncio.timeout(60):
            waiting = asyncio.create_task(listen())
            await got.wait()
            await db.close()
            assert await waiting == ["x"]

    asyncio.run(main())


async def _all(db: mfdb.aio.Connection, *, stop_after: int) -> list[str]:
    return [one.payload async for one in db.notifies(stop_after=stop_after)]


@given(
    hs.lists(
        hs.tuples(
            hs.integers(0, 2),
            hs.sampled_from(["listen", "unlisten", "notify"]),
            hs.sampled_from("ab"),
        ),
        max_size=40,
    )
)
def test_everybody_hears_what_a_simple_model_says(steps: list[tuple[int, str, str]]) -> None:
    channels = Channels()
    ears = [Ear(channels) for _ in range(3)]
    wanted: list[set[str]] = [set(), set(), set()]
    expected: list[list[tuple[str, str]]] = [[], [], []]
    for number, (who, what, channel) in enumerate(steps):
        if what == "notify":
            ears[who].say(Said(told={(channel, str(number)): None}))
            for names, texts in zip(wanted, expected, strict=True):
                if channel in names:
                    texts.append((channel, str(number)))
        else:
            ears[who].say(Said(wishes=[(channel, what == "listen")]))
            (wanted[who].add if what == "listen" else wanted[who].discard)(channel)
    assert list(map(taken, ears)) == expected
