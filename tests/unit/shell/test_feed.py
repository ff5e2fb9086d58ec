"""Bounded notifications: nothing is lost without being said, nothing floods the prompt."""

from __future__ import annotations

import json

from shell.feed import Feed, change_json, change_line
from tests.unit.shell.fake_database import FakeChange


def test_a_slow_feed_prints_everything() -> None:
    feed = Feed(lines_per_s=2)
    assert [feed.offer(str(second), float(second)) for second in range(5)] == [
        ["0"],
        ["1"],
        ["2"],
        ["3"],
        ["4"],
    ]
    assert feed.held == 0


def test_a_burst_prints_a_few_and_says_once_that_there_are_more() -> None:
    feed = Feed(lines_per_s=2)
    printed = [line for number in range(10) for line in feed.offer(str(number), 5.0)]
    assert printed[:2] == ["0", "1"]
    assert len(printed) == 2
    assert feed.unreported == 8
    assert feed.report() == "… 8 more, \\notifications shows them"
    assert feed.report() == ""
    assert feed.take() == [str(number) for number in range(2, 10)]
    assert feed.held == 0


def test_the_next_second_prints_again() -> None:
    feed = Feed(lines_per_s=1)
    feed.offer("a", 1.0)
    feed.offer("b", 1.5)
    assert feed.offer("c", 2.0) == ["c"]


def test_nothing_is_printed_into_a_pager_and_nothing_forgotten_after_it() -> None:
    feed = Feed(lines_per_s=2)
    feed.pause()
    assert [feed.offer(name, 1.0) for name in "abc"] == [[], [], []]
    resumed = feed.resume(2.0)
    assert resumed[:2] == ["a", "b"]
    assert "\\notifications" in resumed[2]
    assert feed.take() == ["c"]
    assert feed.resume(3.0) == []
    assert feed.offer("d", 4.0) == ["d"]


def test_the_oldest_are_dropped_and_counted() -> None:
    feed = Feed(lines_per_s=0, held_lines=3)
    for number in range(5):
        feed.offer(str(number), 1.0)
    assert feed.take() == ["(2 older ones were dropped)", "2", "3", "4"]
    assert feed.take() == []


def test_a_change_for_programs() -> None:
    change = FakeChange("insert", {"body": b"hi", "n": 1}, "c7")
    assert json.loads(change_json(change)) == {
        "op": "insert",
        "old": None,
        "new": {"body": "aGk=", "n": 1},
        "author": "alice",
        "cursor": "c7",
        "key": "k",
    }


def test_a_change_for_people_is_one_safe_line() -> None:
    deleted = FakeChange("delete", None, "c1", old={"body": "x\x1b[2J\ny"}, author="bob")
    line = change_line(deleted)
    assert change_line(deleted, {"bob": "Robert"}).startswith("- Robert ")
    assert line.startswith("- bob ")
    assert "\n" not in line
    assert "\x1b" not in line
