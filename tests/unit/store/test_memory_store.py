from __future__ import annotations

import pytest

from mfdb.kernel.errors import InterfaceError, StoreFull
from mfdb.testing.memory_store import MemoryDisk, MemoryStore


def contents(store: MemoryStore) -> dict[bytes, bytes]:
    with store.snapshot() as snapshot:
        return dict(snapshot.scan(b""))


def test_a_crash_of_an_honest_disk_loses_nothing_and_kills_the_store() -> None:
    store = MemoryStore()
    store.write([(b"k", b"v")])
    disk = store.crash()
    with pytest.raises(InterfaceError):
        store.write([(b"late", b"v")])
    assert contents(MemoryStore(disk)) == {b"k": b"v"}


@pytest.mark.parametrize(("surviving", "expected"), [(0, 1), (1, 2), (3, 4)])
def test_a_lying_disk_loses_the_batches_that_came_last(surviving: int, expected: int) -> None:
    disk = MemoryDisk()
    store = MemoryStore(disk)
    store.write([(b"0", b"synced")])
    disk.lying = True
    for n in (1, 2, 3):
        store.write([(b"%d" % n, b"v"), (b"pair %d" % n, b"v")])
    assert disk.unsynced == 3
    store.crash(surviving=surviving)
    after = contents(MemoryStore(disk))
    assert sorted(key for key in after if not key.startswith(b"pair")) == [
        b"%d" % n for n in range(expected)
    ]
    assert sum(key.startswith(b"pair") for key in after) == expected - 1, "half a batch"


def test_an_honest_write_syncs_what_the_disk_held_back() -> None:
    disk = MemoryDisk()
    store = MemoryStore(disk)
    disk.lying = True
    store.write([(b"a", b"1")])
    disk.lying = False
    store.write([(b"b", b"2")])
    store.crash()
    assert contents(MemoryStore(disk)) == {b"a": b"1", b"b": b"2"}


def test_a_full_disk_refuses_writes_and_takes_deletions() -> None:
    disk = MemoryDisk()
    store = MemoryStore(disk)
    store.write([(b"a", b"1"), (b"b", b"2")])
    disk.full = True
    with pytest.raises(StoreFull):
        store.write([(b"a", None), (b"c", b"3")])
    store.write([(b"a", None)])
    assert contents(store) == {b"b": b"2"}
    assert disk.used_bytes() == 2


def test_a_flipped_bit_stays_flipped_after_a_crash() -> None:
    disk = MemoryDisk()
    store = MemoryStore(disk)
    store.write([(b"k", b"\x00\x00")])
    disk.flip_bit(b"k", 9)
    assert contents(store) == {b"k": b"\x00\x02"}
    store.crash()
    assert contents(MemoryStore(disk)) == {b"k": b"\x00\x02"}


def test_a_disk_knows_what_rots_until_it_is_written_again() -> None:
    disk = MemoryDisk()
    disk.write([(b"Mk", b"abc"), (b"Xk", b"abc")], shared=False)
    before = disk.version
    for key in (b"Mk", b"Mk", b"Xk"):
        disk.flip_bit(key, 9 if disk.rotten() else 0)
    assert disk.version > before
    assert disk.rotten() == [b"Mk", b"Xk"]
    seen = disk.before_rot(except_tables=(b"X",)).values
    assert (seen[b"Mk"], seen[b"Xk"]) == (b"abc", disk.state.values[b"Xk"])
    disk.flip_bit(b"Mk", 9)
    disk.flip_bit(b"Mk", 0)
    disk.write([(b"Xk", b"abc")], shared=False)
    assert disk.rotten() == []
    assert disk.before_rot(except_tables=()) is disk.state


@pytest.mark.parametrize("surviving", [1, 2])
def test_damage_outlasts_the_crash_of_a_disk_that_had_not_synced_what_it_hit(
    surviving: int,
) -> None:
    disk = MemoryDisk()
    store = MemoryStore(disk)
    disk.lying = True
    store.write([(b"k", b"\x00"), (b"gone", b"v")])
    disk.flip_bit(b"k", 0)
    disk.lose(b"gone")
    store.write([(b"later", b"v")])
    store.crash(surviving=surviving)
    after = contents(MemoryStore(disk))
    assert (after[b"k"], b"gone" in after) == (b"\x01", False)


def test_closing_gives_the_disk_to_the_next_process() -> None:
    store = MemoryStore()
    store.write([(b"k", b"v")])
    store.close()
    assert contents(MemoryStore(store.disk)) == {b"k": b"v"}
