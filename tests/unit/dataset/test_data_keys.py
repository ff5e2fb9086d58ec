"""Data keys that are made ahead: each is given once, in an envelope for the reader asked for."""

from __future__ import annotations

from mfdb.dataset.data_keys import DataKeys
from mfdb.rules.columns import unwrap_key
from tests.fixtures.datasets import Counter, keys_of

BOB, CAROL = (keys_of(name).seal_key(0) for name in ("bob", "carol"))


def test_a_key_that_was_made_ready_is_given_once() -> None:
    keys = DataKeys(Counter("entropy"))
    public = bytes(BOB.public_key)
    keys.make_ready(public)
    keys.make_ready(public)
    given = [keys.take(public) for _ in range(3)]
    assert len({one.key for one in given}) == 3
    assert [unwrap_key(one.envelope, BOB) for one in given] == [one.key for one in given]


def test_a_key_for_another_reader_is_made_anew() -> None:
    keys = DataKeys(Counter("entropy"))
    keys.make_ready(bytes(BOB.public_key))
    given = keys.take(bytes(CAROL.public_key))
    assert unwrap_key(given.envelope, CAROL) == given.key
