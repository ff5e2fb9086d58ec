"""What every `mfdb.store.port.Store` must do.

Inherit in a test module and say how a store over a place is opened:

    class TestMyStore(StoreSuite):
        def open_store(self, place: Path) -> Store:
            return MyStore(place)

Opening a place again after `close` must find what was written there.
"""

# ruff: noqa: D102 - the name of a test is its sentence
from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from mfdb.kernel.errors import InterfaceError, StoreLocked, ValueTooLarge
from mfdb.store.port import KEY_BYTES, OWN_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mfdb.store.port import Store

_HANG_S = 30
_SAMPLE = [b"a", b"a\x00", b"a\x00b", b"ab", b"b", b"\xfe\xff", b"\xff", b"\xff\xff"]


class StoreSuite:
    """Conformance of one store; see the module docstring."""

    def open_store(self, place: Path) -> Store:
        """Return a store over the data kept at a place, which is a path that need not exist."""
        raise NotImplementedError

    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        """Where this test's data lies."""
        return tmp_path / "store"

    @pytest.fixture
    def store(self, place: Path) -> Iterator[Store]:
        """An empty store that is closed after the test."""
        store = self.open_store(place)
        yield store
        store.close()

    # ---- one batch

    def test_a_written_value_is_read_back(self, store: Store) -> None:
        store.write([(b"k", b"v")])
        assert _all(store) == [(b"k", b"v")]
        with store.snapshot() as snapshot:
            assert snapshot.get(b"k") == b"v"
            assert snapshot.get(b"other") is None

    def test_a_batch_is_applied_in_its_order(self, store: Store) -> None:
        store.write([(b"k", b"1"), (b"k", None), (b"k", b"2"), (b"gone", b"x"), (b"gone", None)])
        assert _all(store) == [(b"k", b"2")]

    def test_deleting_what_is_not_there_is_no_error(self, store: Store) -> None:
        store.write([(b"k", None)])
        assert _all(store) == []

    def test_an_empty_batch_changes_nothing(self, store: Store) -> None:
        store.write([])
        assert _all(store) == []

    def test_an_empty_value_is_a_value(self, store: Store) -> None:
        store.write([(b"k", b"")])
        with store.snapshot() as snapshot:
            assert snapshot.get(b"k") == b""

    # ---- limits, and that nothing of a refused batch stays

    @pytest.mark.parametrize("size", [1, KEY_BYTES])
    def test_keys_at_the_limits_are_kept(self, store: Store, size: int) -> None:
        store.write([(b"k" * size, b"v")])
        with store.snapshot() as snapshot:
            assert snapshot.get(b"k" * size) == b"v"

    def test_a_key_over_the_limit_refuses_the_whole_batch(self, store: Store) -> None:
        with pytest.raises(ValueTooLarge):
            store.write([(b"kept?", b"1"), (b"k" * (KEY_BYTES + 1), b"2")])
        assert _all(store) == []

    def test_a_value_over_the_limit_refuses_the_whole_batch(self, store: Store) -> None:
        with pytest.raises(ValueTooLarge):
            store.write([(b"kept?", b"1"), (b"k", bytes(64 * 2**20 + 1))])
        assert _all(store) == []

    @pytest.mark.parametrize("key", [b"", OWN_KEY])
    def test_a_key_that_is_none_refuses_the_whole_batch(self, store: Store, key: bytes) -> None:
        with pytest.raises(InterfaceError):
            store.write([(b"kept?", b"1"), (key, b"2")])
        assert _all(store) == []
        with store.snapshot() as snapshot:
            assert snapshot.get(key) is None

    def test_a_large_value_comes_back_whole(self, store: Store) -> None:
        value = bytes(range(256)) * (8 * 4096) + b"end"
        store.write([(b"large", value), (b"small", b"s")])
        with store.snapshot() as snapshot:
            assert snapshot.get(b"large") == value
            assert snapshot.get(b"small") == b"s"

    @pytest.mark.parametrize("key", [b"", b"k" * (KEY_BYTES + 1)])
    def test_a_key_that_cannot_exist_is_not_there(self, store: Store, key: bytes) -> None:
        store.write([(b"k", b"v")])
        with store.snapshot() as snapshot:
            assert snapshot.get(key) is None

    # ---- scans

    def test_a_scan_yields_keys_in_byte_order(self, store: Store) -> None:
        store.write([(key, key[::-1]) for key in reversed(_SAMPLE)])
        assert _all(store) == [(key, key[::-1]) for key in _SAMPLE]

    @pytest.mark.parametrize("prefix", [b"", b"a", b"a\x00", b"\xff", b"\xff\xff", b"zz"])
    @pytest.mark.parametrize("reverse", [False, True])
    def test_a_prefix_scan(self, store: Store, prefix: bytes, *, reverse: bool) -> None:
        store.write([(key, b"v") for key in _SAMPLE])
        expected = [key for key in _SAMPLE if key.startswith(prefix)]
        with store.snapshot() as snapshot:
            found = [key for key, _ in snapshot.scan(prefix, reverse=reverse)]
        assert found == (expected[::-1] if reverse else expected)

    @pytest.mark.parametrize("reverse", [False, True])
    @pytest.mark.parametrize(
        ("start", "stop"),
        [
            (b"a\x00", b"b"),
            (b"a", b"a"),
            (b"b", b"a"),
            (b"", b""),
            (b"", b"a\x00a"),
            (b"aa", b"zz"),
            (b"\xff", b"\xff" * 600),
            (b"k" * 600, b"\xff"),
        ],
    )
    def test_a_range_scan(self, store: Store, start: bytes, stop: bytes, *, reverse: bool) -> None:
        store.write([(key, b"v") for key in _SAMPLE])
        expected = [key for key in _SAMPLE if start <= key < stop]
        with store.snapshot() as snapshot:
            found = [key for key, _ in snapshot.scan(start, stop, reverse=reverse)]
        assert found == (expected[::-1] if reverse else expected)
        if reverse:
            with store.snapshot() as snapshot:
                last = snapshot.last(start, stop)
            assert last == ((expected[-1], b"v") if expected else None)

    def test_a_scan_may_be_left_early_and_run_beside_another(self, store: Store) -> None:
        store.write([(b"%03d" % n, b"v") for n in range(100)])
        with store.snapshot() as snapshot:
            first, second = snapshot.scan(b""), snapshot.scan(b"05", reverse=True)
            assert [next(first)[0], next(second)[0], next(first)[0]] == [b"000", b"059", b"001"]

    # ---- isolation

    def test_a_snapshot_does_not_see_later_writes(self, store: Store) -> None:
        store.write([(b"a", b"1"), (b"b", b"1")])
        with store.snapshot() as before:
            store.write([(b"a", b"2"), (b"b", None), (b"c", b"2")])
            assert before.get(b"a") == b"1"
            assert list(before.scan(b"")) == [(b"a", b"1"), (b"b", b"1")]
        assert _all(store) == [(b"a", b"2"), (b"c", b"2")]

    def test_a_scan_under_way_does_not_see_later_writes(self, store: Store) -> None:
        store.write([(b"%02d" % n, b"old") for n in range(50)])
        with store.snapshot() as snapshot:
            scan = snapshot.scan(b"")
            next(scan)
            store.write([(b"%02d" % n, None) for n in range(50)])
            assert [value for _, value in scan] == [b"old"] * 49

    def test_a_left_snapshot_serves_no_more(self, store: Store) -> None:
        store.write([(b"k", b"v")])
        with store.snapshot() as snapshot:
            scan = snapshot.scan(b"")
        with pytest.raises(InterfaceError):
            snapshot.get(b"k")
        with pytest.raises(InterfaceError):
            next(scan)

    def test_readers_see_each_batch_whole(self, store: Store) -> None:
        """Two keys are always written together with equal values; no reader sees them differ."""
        store.write([(b"left", b"0"), (b"right", b"0")])
        done = threading.Event()

        def read() -> int:
            seen = 0
            while not done.is_set() or seen == 0:
                with store.snapshot() as snapshot:
                    assert snapshot.get(b"left") == snapshot.get(b"right")
                seen += 1
            return seen

        with ThreadPoolExecutor(2) as pool:
            readers = [pool.submit(read) for _ in range(2)]
            try:
                for n in range(100):
                    store.write([(b"left", b"%d" % n), (b"right", b"%d" % n)])
            finally:
                done.set()
            assert all(reader.result(_HANG_S) for reader in readers)

    def test_concurrent_writers_lose_nothing(self, store: Store) -> None:
        """Writes of several threads may share a commit; each returns only when its own is in."""

        def write(thread: int) -> None:
            for n in range(50):
                key = b"%d/%03d" % (thread, n)
                store.write([(key, b"v"), (b"last/%d" % thread, key)])
                with store.snapshot() as snapshot:
                    assert snapshot.get(key) == b"v"

        with ThreadPoolExecutor(8) as pool:
            for future in [pool.submit(write, thread) for thread in range(8)]:
                future.result(_HANG_S)
        keys = [key for key, _ in _all(store)]
        assert len(keys) == 8 * 51
        assert all(left < right for left, right in pairwise(keys))

    def test_a_bad_batch_beside_good_ones_fails_alone(self, store: Store) -> None:
        def write(n: int) -> str:
            key = b"k" * (KEY_BYTES + 1) if n % 5 == 0 else b"%03d" % n
            try:
                store.write([(key, b"v")])
            except ValueTooLarge:
                return "refused"
            return "kept"

        with ThreadPoolExecutor(8) as pool:
            outcomes = list(pool.map(write, range(40)))
        assert outcomes == ["refused" if n % 5 == 0 else "kept" for n in range(40)]
        assert len(_all(store)) == 32

    # ---- opening and closing

    def test_what_was_written_is_there_after_opening_again(self, place: Path) -> None:
        store = self.open_store(place)
        store.write([(b"k", b"v")])
        store.close()
        store = self.open_store(place)
        assert _all(store) == [(b"k", b"v")]
        store.close()

    def test_a_place_has_one_owner(self, place: Path, store: Store) -> None:
        with pytest.raises(StoreLocked):
            self.open_store(place)
        store.write([(b"still", b"mine")])
        assert _all(store) == [(b"still", b"mine")]

    def test_a_closed_store_serves_no_more(self, store: Store) -> None:
        store.close()
        with pytest.raises(InterfaceError), store.snapshot():
            pass
        with pytest.raises(InterfaceError):
            store.write([(b"k", b"v")])
        store.close()

    def test_an_open_snapshot_outlives_close(self, store: Store) -> None:
        store.write([(b"k", b"v")])
        with store.snapshot() as snapshot:
            store.close()
            assert snapshot.get(b"k") == b"v"
            assert list(snapshot.scan(b"")) == [(b"k", b"v")]


def _all(store: Store) -> list[tuple[bytes, bytes]]:
    with store.snapshot() as snapshot:
        return list(snapshot.scan(b""))
