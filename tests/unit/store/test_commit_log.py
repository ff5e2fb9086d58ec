"""The log before LMDB: what was acknowledged is read again, whatever was cut off is not."""

from __future__ import annotations

import os
import shutil
from contextlib import closing
from hashlib import blake2b
from struct import Struct
from typing import TYPE_CHECKING, Any

import lmdb
import pytest

from mfdb.kernel.errors import CorruptRecord, StoreFull, WrongVersion
from mfdb.store import commit_log
from mfdb.store.commit_log import LARGEST_BYTES, CommitLog
from mfdb.store.lmdb_store import LmdbStore
from mfdb.store.port import OWN_KEY
from mfdb.store.recent import Recent

if TYPE_CHECKING:
    from pathlib import Path

    from mfdb.store.port import Snapshot

FIRST = 4096
_HEAD_OF = Struct(">4sQII")
LARGE = bytes(LARGEST_BYTES + 1)


def logging(path: Path, **settings: Any) -> LmdbStore:
    """Open a store that logs from its first commit on."""
    return LmdbStore(path, log_after=0, **settings)


def pairs(snapshot: Snapshot) -> list[tuple[bytes, bytes]]:
    return list(snapshot.scan(b""))


def content(store: LmdbStore) -> list[tuple[bytes, bytes]]:
    with store.snapshot() as snapshot:
        return pairs(snapshot)


def found_in(path: Path) -> list[bytes]:
    """Return the keys that a store has which another process left so."""
    with closing(LmdbStore(path)) as store:
        return [key for key, _ in content(store)]


def as_left_by_a_crash(path: Path, to: Path) -> Path:
    """Return a copy of an open store's files: what SIGKILL would leave."""
    shutil.copytree(path, to)
    return to


def transactions(store: LmdbStore) -> int:
    return int(store._env.info()["last_txnid"])


def end_of(log: Path) -> int:
    """Return where the last of the records of a fresh log ends: behind it are zeros."""
    return len(log.read_bytes().rstrip(b"\x00"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store"


def three_commits(path: Path, to: Path) -> Path:
    """Return what a crash leaves of a store after three small commits."""
    with closing(logging(path)) as store:
        for name in (b"a", b"b", b"c"):
            store.write([(name, b"value of " + name), (name + b"2", b"\x01")])
        return as_left_by_a_crash(path, to)


# ---- commits


def test_small_commits_leave_lmdb_alone_and_are_there(path: Path) -> None:
    with closing(logging(path)) as store:
        store.write([])  # makes the log
        before = transactions(store)
        store.write([(b"a", b"1"), (b"b", b"2")])
        store.write([(b"a", None), (b"c", b"3")])
        assert transactions(store) == before
        assert content(store) == [(b"b", b"2"), (b"c", b"3")]
        assert store.first(b"c") == b"3"
        assert store.first(b"a") is None


def test_a_process_that_writes_little_makes_no_log(path: Path) -> None:
    with closing(LmdbStore(path)) as store:
        store.write([(b"a", b"1")])
        assert not (path / "log").exists()
        for _ in range(8):
            store.write([(b"a", b"2")])
        assert (path / "log").stat().st_size == commit_log.LOG_BYTES
        assert (path / "log").stat().st_mode & 0o777 == 0o600


def test_a_large_commit_takes_the_small_ones_before_it_along(path: Path, tmp_path: Path) -> None:
    with closing(logging(path)) as store:
        store.write([(b"a", b"1"), (b"gone", b"x")])
        store.write([(b"gone", None)])
        before = transactions(store)
        store.write([(b"large", LARGE)])
        assert transactions(store) == before + 1
        assert [key for key, _ in content(store)] == [b"a", b"large"]
        store.write([(b"b", b"2")])
        copy = as_left_by_a_crash(path, tmp_path / "copy")
    assert found_in(copy) == [b"a", b"b", b"large"]


def test_a_full_log_goes_to_lmdb_and_begins_anew(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit_log, "LOG_BYTES", FIRST + 2_000)
    expected = []
    with closing(logging(path)) as store:
        before = transactions(store)
        for n in range(40):
            expected.append(b"%02d" % n)
            store.write([(b"%02d" % n, bytes(150))])
            assert found_in(as_left_by_a_crash(path, tmp_path / f"{n}")) == expected
        assert 2 <= transactions(store) - before < 10
        assert (path / "log").stat().st_size == FIRST + 2_000


def test_what_takes_back_all_that_the_log_put_is_kept(path: Path, tmp_path: Path) -> None:
    """LMDB has nothing to do for it, and numbers no such transaction by itself."""
    keys = [b"%06d" % n * 50 for n in range(300)]
    with closing(logging(path)) as store:
        for at in range(0, 300, 100):
            store.write([(key, b"1") for key in keys[at : at + 100]])
        store.write([(key, None) for key in keys])
        assert content(store) == []
        store.write([(b"later", b"1")])
        copy = as_left_by_a_crash(path, tmp_path / "copy")
        assert content(store) == [(b"later", b"1")]
    assert found_in(copy) == [b"later"]


class _Meanwhile(bytes):
    """A key; while it is compared first, another thread puts one before those that are wanted."""

    recent: Recent | None = None

    def __gt__(self, other: bytes) -> bool:
        recent, self.recent = self.recent, None
        if recent is not None:
            recent.put([[(b"b", b"2")]], 2)
        return bytes.__gt__(self, other)


@pytest.mark.parametrize("moves", ["start", "stop"])
def test_no_key_is_missed_while_another_one_is_put(moves: str) -> None:
    recent = Recent(1)
    recent.put([[(b"a", b"1"), (b"c", b"3"), (b"d", b"4")]], 6)
    recent.publish()
    start, stop = _Meanwhile(b"c"), _Meanwhile(b"d\x00")
    (start if moves == "start" else stop).recent = recent
    assert list(recent.between(start, stop, 1)) == [(b"c", b"3"), (b"d", b"4")]


def test_a_snapshot_keeps_its_state_while_others_commit_here_and_there(path: Path) -> None:
    with closing(logging(path)) as store:
        store.write([(b"a", b"1"), (b"b", b"1")])
        first = store.snapshot()
        store.write([(b"a", b"2"), (b"b", None), (b"c", b"2")])
        second = store.snapshot()
        store.write([(b"large", LARGE), (b"a", b"3")])
        store.write([(b"a", b"4")])
        with first, second:
            assert pairs(first) == [(b"a", b"1"), (b"b", b"1")]
            assert pairs(second) == [(b"a", b"2"), (b"c", b"2")]
            assert list(second.scan(b"a", b"d", reverse=True)) == [(b"c", b"2"), (b"a", b"2")]
            assert (first.get(b"b"), second.get(b"b")) == (b"1", None)
            assert (first.last(b"a", b"z"), second.last(b"a", b"z")) == (
                (b"b", b"1"),
                (b"c", b"2"),
            )
        assert [value for key, value in content(store) if key == b"a"] == [b"4"]


def test_an_index_is_followed_over_both_places(path: Path) -> None:
    with closing(logging(path)) as store:
        store.write([(b"i1", b"x"), (b"i3", b"z"), (b"dx", b"row x"), (b"large", LARGE)])
        with store.snapshot() as snapshot:
            assert list(snapshot.follow(b"i", None, b"d")) == [b"row x", None]
        store.write([(b"i2", b"y"), (b"dy", b"row y")])
        store.write([(b"dz", b"row z")])
        with store.snapshot() as snapshot:
            assert list(snapshot.follow(b"i", None, b"d")) == [b"row x", b"row y", b"row z"]


# ---- what a crash leaves


def test_a_commit_that_was_cut_off_counts_for_nothing(path: Path, tmp_path: Path) -> None:
    left = three_commits(path, tmp_path / "left")
    end = end_of(left / "log")
    whole = (left / "log").read_bytes()
    for cut in range(1, 60, 7):
        torn = tmp_path / str(cut)
        shutil.copytree(left, torn)
        (torn / "log").write_bytes(whole[: end - cut] + bytes(len(whole) - end + cut))
        assert found_in(torn) == [b"a", b"a2", b"b", b"b2"], cut
    assert found_in(left) == [b"a", b"a2", b"b", b"b2", b"c", b"c2"]


def test_the_place_of_a_commit_that_was_cut_off_is_used_again(path: Path, tmp_path: Path) -> None:
    left = three_commits(path, tmp_path / "left")
    log = left / "log"
    whole = log.read_bytes()
    log.write_bytes(whole[: end_of(log) - 1] + b"\x00" + whole[end_of(log) :])
    with closing(logging(left)) as store:
        store.write([(b"d", b"4")])
        copy = as_left_by_a_crash(left, tmp_path / "copy")
    assert found_in(copy) == [b"a", b"a2", b"b", b"b2", b"d"]


def test_a_damaged_commit_with_others_behind_it_is_told(path: Path, tmp_path: Path) -> None:
    left = three_commits(path, tmp_path / "left")
    data = bytearray((left / "log").read_bytes())
    data[data.index(b"value of b")] ^= 1
    (left / "log").write_bytes(data)
    with pytest.raises(CorruptRecord, match="commits are missing") as caught:
        LmdbStore(left)
    assert caught.value.hint


def test_a_log_without_the_data_that_it_goes_on_from_is_told(path: Path, tmp_path: Path) -> None:
    with closing(logging(path)) as store:
        store.write([(b"a", b"1")])
        store.write([(b"large", LARGE)])
        shutil.copytree(path, tmp_path / "copy")
        store.write([(b"b", b"2"), (b"large", LARGE)])
        store.write([(b"c", b"3")])
        shutil.copy(path / "log", tmp_path / "copy" / "log")
    with pytest.raises(CorruptRecord, match="commits are missing"):
        LmdbStore(tmp_path / "copy")


def test_the_log_of_another_store_is_told(path: Path, tmp_path: Path) -> None:
    """Its transactions have the same numbers, and its commits are whole."""
    left = three_commits(path, tmp_path / "left")
    other = three_commits(tmp_path / "other", tmp_path / "other left")
    shutil.copy(other / "log", left / "log")
    with pytest.raises(CorruptRecord, match=r"log is not the log of the data\.mdb"):
        LmdbStore(left)
    with closing(LmdbStore(other)) as store:
        numbered = transactions(store)
    with closing(LmdbStore(tmp_path / "new")) as store:
        for n in range(numbered):
            store.write([(b"%d" % n, b"")])
    shutil.copy(other / "log", tmp_path / "new" / "log")
    with pytest.raises(CorruptRecord, match=r"log is not the log of the data\.mdb"):
        LmdbStore(tmp_path / "new")


def test_a_log_of_the_version_before_names_is_taken_in(path: Path, tmp_path: Path) -> None:
    left = three_commits(path, tmp_path / "left")
    with lmdb.open(str(left)) as env, env.begin(write=True) as txn:
        txn.delete(OWN_KEY)
    log = left / "log"
    data = log.read_bytes()
    key, mark = data[12:28], data[FIRST : FIRST + 4]
    records = bytearray(data)
    at = FIRST
    while data[at : at + 4] == mark:  # that LMDB has one more transaction now
        head, length = (
            _HEAD_OF.unpack_from(data, at),
            int.from_bytes(data[at + 16 : at + 20], "big"),
        )
        records[at : at + 20] = _HEAD_OF.pack(head[0], head[1] + 1, *head[2:])
        body = bytes(records[at + 36 : at + 36 + length])
        records[at + 20 : at + 36] = blake2b(
            bytes(records[at : at + 20]) + body, digest_size=16, key=key
        ).digest()
        at += 36 + length
    log.write_bytes(data[:8] + (2).to_bytes(4, "big") + bytes(records[12:]))
    assert found_in(left) == [b"a", b"a2", b"b", b"b2", b"c", b"c2"]
    assert not log.exists()
    assert found_in(left) == [b"a", b"a2", b"b", b"b2", b"c", b"c2"]


def test_a_value_never_passes_for_a_commit(path: Path, tmp_path: Path) -> None:
    """A log in a value, of the very state that is asked about, is but a value."""
    other = three_commits(tmp_path / "other", tmp_path / "left")
    record = (other / "log").read_bytes()[FIRST : end_of(other / "log")]
    with closing(logging(path)) as store:
        store.write([(b"k", record)])
        copy = as_left_by_a_crash(path, tmp_path / "copy")
    log = copy / "log"
    data = log.read_bytes()
    at = data.index(record)
    log.write_bytes(data[:FIRST] + data[at:] + bytes(at - FIRST))
    assert found_in(copy) == []


def test_no_value_makes_opening_slow(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What looks like the beginnings of newer commits in old ones is not looked at further."""
    begins = (b"mfLR" + bytes([255]) * 12 + LARGEST_BYTES.to_bytes(4, "big")) * 1000
    with closing(logging(path)) as store:
        store.write([(b"k", begins)])
        store.write([(b"large", LARGE)])
        copy = as_left_by_a_crash(path, tmp_path / "copy")
    asked: list[bytes] = []
    real = CommitLog._checksum

    def counted(self: CommitLog, head: bytes, body: bytes) -> bytes:
        asked.append(head)
        return real(self, head, body)

    monkeypatch.setattr(CommitLog, "_checksum", counted)
    assert found_in(copy) == [b"k", b"large"]
    assert len(asked) < 10


def test_a_log_that_was_cut_off_is_told(path: Path, tmp_path: Path) -> None:
    left = three_commits(path, tmp_path / "left")
    os.truncate(left / "log", end_of(left / "log") - 1)
    with pytest.raises(CorruptRecord, match="cut off"):
        LmdbStore(left)


@pytest.mark.parametrize(
    ("head", "error"), [(b"", CorruptRecord), (b"mfdb-log\0\0\0\1" + bytes(16), WrongVersion)]
)
def test_a_file_that_is_no_log_of_this_release_is_refused(
    path: Path, head: bytes, error: type[Exception]
) -> None:
    LmdbStore(path).close()
    (path / "log").write_bytes(head)
    with pytest.raises(error, match="log"):
        LmdbStore(path)
    (path / "log").unlink()
    LmdbStore(path).close()


def test_a_store_of_the_format_before_the_log_is_brought_up_to_date(path: Path) -> None:
    with closing(LmdbStore(path)) as store:
        store.write([(b"a", b"1")])
    (path / "FORMAT").write_bytes(b"mfdb-store 1\n")
    assert found_in(path) == [b"a"]
    assert (path / "FORMAT").read_bytes() == b"mfdb-store 2\n"


def test_closing_leaves_a_short_log_or_none(path: Path) -> None:
    with closing(logging(path)) as store:
        store.write([(b"a", b"1")])
        before = transactions(store)
    with closing(logging(path)) as store:
        assert transactions(store) == before, "to read it again costs less than two syncs"
        for n in range(5):
            store.write([(b"%d" % n, bytes(30_000))])
    with closing(logging(path)) as store:
        assert transactions(store) == before + 1
        assert len(content(store)) == 6


def test_compacting_takes_the_log_in(path: Path, tmp_path: Path) -> None:
    with closing(logging(path)) as store:
        for n in range(50):
            store.write([(b"a", b"%d" % n), (b"large", LARGE)])
        store.write([(b"b", b"2")])
        store.compact()
        assert not (path / "log").exists()
        store.write([(b"c", b"3")])
        copy = as_left_by_a_crash(path, tmp_path / "copy")
    assert found_in(copy) == [b"a", b"b", b"c", b"large"]


# ---- disks that refuse, people who interrupt


def test_a_disk_that_takes_no_log_still_takes_commits(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_self: CommitLog, _tie: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(CommitLog, "start", refuse)
    with closing(logging(path)) as store:
        before = transactions(store)
        store.write([(b"a", b"1")])
        assert transactions(store) == before + 1
        assert content(store) == [(b"a", b"1")]


def test_a_log_that_a_full_disk_takes_in_part_is_none(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write
    with closing(logging(path)) as store:
        monkeypatch.setattr(os, "write", lambda to, data: real(to, data[: LARGEST_BYTES // 2]))
        store.write([(b"a", b"1")])
        monkeypatch.undo()
        assert not {"log", "log.new"} & {file.name for file in path.iterdir()}
    assert found_in(path) == [b"a"]


def test_a_commit_that_lmdb_has_although_it_failed_loses_no_later_one(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = LmdbStore._begin_anew

    def fail(store: LmdbStore, base: int) -> None:
        raise StoreFull("the disk failed after it took the root")

    with closing(logging(path)) as store:
        store.write([(b"a", b"1")])
        monkeypatch.setattr(LmdbStore, "_begin_anew", fail)
        with pytest.raises(StoreFull):
            store.write([(b"large", LARGE)])
        monkeypatch.setattr(LmdbStore, "_begin_anew", real)
        store.write([(b"b", b"2")])
        copy = as_left_by_a_crash(path, tmp_path / "copy")
        assert [key for key, _ in content(store)] == [b"a", b"b", b"large"]
    assert found_in(copy) == [b"a", b"b", b"large"]


@pytest.mark.parametrize("written", [True, False])
def test_what_the_log_failed_to_take_is_told_and_gone(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, written: bool
) -> None:
    """The log fails, before or after it has the bytes, and LMDB has no room either."""
    store = logging(path)
    store.write([(b"kept", b"1")])
    real = os.pwrite

    def fail(descriptor: int, data: bytes, offset: int) -> int:
        if len(data) < 20_000:
            return real(descriptor, data, offset)
        if written:
            real(descriptor, data, offset)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "pwrite", fail)
    store._env.set_mapsize(2**15)
    with pytest.raises(StoreFull):
        store.write([(b"refused", bytes(60_000))])
    monkeypatch.undo()
    store.write([(b"later", b"2")])
    assert [key for key, _ in content(store)] == [b"kept", b"later"]
    copy = as_left_by_a_crash(path, tmp_path / "copy")
    store.close()
    assert found_in(copy) == [b"kept", b"later"]


@pytest.mark.parametrize("where", ["append", "put", "advance", "publish"])
def test_a_commit_that_was_interrupted_is_there_or_not_as_a_whole(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Ctrl-C after any step: the next commit begins with what the log says."""
    store = logging(path)
    store.write([(b"a", b"1")])
    owner: Any = CommitLog if where in ("append", "advance") else Recent
    real = getattr(owner, where)

    def interrupted(*arguments: Any) -> None:
        real(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(owner, where, interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.write([(b"b", b"2"), (b"c", b"2")])
    monkeypatch.undo()
    seen = [key for key, _ in content(store)]
    assert seen in ([b"a"], [b"a", b"b", b"c"])
    store.write([(b"d", b"3")])
    copy = as_left_by_a_crash(path, tmp_path / "copy")
    assert [key for key, _ in content(store)] == [b"a", b"b", b"c", b"d"]
    store.close()
    assert found_in(copy) == [b"a", b"b", b"c", b"d"]


def test_a_large_commit_that_was_interrupted_is_there_or_not_as_a_whole(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = logging(path)
    store.write([(b"a", b"1")])

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(LmdbStore, "_begin_anew", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.write([(b"b", LARGE)])
    monkeypatch.undo()
    assert [key for key, _ in content(store)] == [b"a", b"b"], "LMDB has both"
    store.write([(b"c", b"3")])
    store.close()
    assert found_in(path) == [b"a", b"b", b"c"]
