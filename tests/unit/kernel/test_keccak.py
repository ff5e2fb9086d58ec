"""The quick keccak is the EVM's, on every thread, and does without its private function."""

from __future__ import annotations

import hashlib
import importlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from eth_hash.auto import keccak as reference

from mfdb.kernel import keccak

if TYPE_CHECKING:
    import pytest

EMPTY = bytes.fromhex("c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470")
MESSAGES = [hashlib.shake_128(b"%d" % size).digest(size) for size in (0, 1, 135, 136, 137, 272)]


def test_it_is_the_hash_of_the_evm() -> None:
    quick = keccak.load()
    assert quick(b"") == EMPTY
    assert [quick(data) for data in MESSAGES] == [reference(data) for data in MESSAGES]


def test_threads_do_not_disturb_each_other() -> None:
    quick, due = keccak.load(), [reference(data) for data in MESSAGES]

    def right(_: int) -> bool:
        return [quick(data) for data in MESSAGES] == due

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(right, range(200)))


def test_another_release_of_the_library_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    room = importlib.import_module("Crypto.Hash.keccak")
    monkeypatch.delattr(room, "_raw_keccak_lib")
    other = keccak.load()
    assert not isinstance(other, keccak._Quick)
    assert other is reference
