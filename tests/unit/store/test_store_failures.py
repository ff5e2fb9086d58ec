"""What a store is after the disk failed it, or after Ctrl-C: usable, or it says that it is not."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
from contextlib import closing
from pathlib import Path

import pytest

from mfdb.kernel.errors import OperationalError
from mfdb.store import lmdb_store
from mfdb.store.commit_log import LARGEST_BYTES, CommitLog
from mfdb.store.lmdb_store import LmdbStore

LARGE = bytes(LARGEST_BYTES + 1)


def logging(path: Path) -> LmdbStore:
    """Open a store that logs from its first commit on."""
    return LmdbStore(path, log_after=0)


def keys(store: LmdbStore) -> list[bytes]:
    with store.snapshot() as snapshot:
        return [key for key, _ in snapshot.scan(b"")]


def found_in(path: Path) -> list[bytes]:
    """Return the keys that a store has which another process left so."""
    with closing(LmdbStore(path)) as store:
        return keys(store)


def as_left_by_a_crash(path: Path, to: Path) -> Path:
    """Return a copy of an open store's files: what SIGKILL would leave."""
    shutil.copytree(path, to)
    return to


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store"


def test_once_lmdb_could_not_write_its_root_nothing_more_is_promised(
    path: Path, tmp_path: Path
) -> None:
    """The log would take it, but nobody could read it before the store is opened anew."""
    store = logging(path)
    store.write([(b"kept", b"1")])
    (root,) = (
        int(file.name)
        for file in Path("/proc/self/fd").iterdir()
        if os.path.realpath(file) == str(path / "data.mdb")
        and fcntl.fcntl(int(file.name), fcntl.F_GETFL) & os.O_DSYNC
    )
    unwritable = os.open(path / "FORMAT", os.O_RDONLY)
    os.dup2(unwritable, root)
    os.close(unwritable)
    with pytest.raises(OperationalError, match="the disk failed"):
        store.write([(b"large", LARGE)])
    with pytest.raises(OperationalError, match="failed before") as caught:
        store.write([(b"small", b"1")])
    assert "open it again" in caught.value.hint
    with pytest.raises(OperationalError, match="the disk failed"):
        store.snapshot()
    copy = as_left_by_a_crash(path, tmp_path / "copy")
    store.close()
    assert found_in(copy) == [b"kept"]


@pytest.mark.parametrize("call", ["replace", "sync"])
def test_a_compaction_that_fails_at_the_end_goes_on_with_the_one_file_or_the_other(
    path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def fail(*_: object, **_named: object) -> None:
        raise OSError(5, "Input/output error")

    with closing(logging(path)) as store:
        store.write([(b"a", b"1")])
        store.write([(b"large", LARGE)])
        if call == "replace":
            monkeypatch.setattr(Path, "replace", fail)
        else:
            answers = iter([fail])
            monkeypatch.setattr(
                lmdb_store, "sync_directory", lambda _: next(answers, lambda: None)()
            )
        with pytest.raises(OperationalError, match="the disk failed"):
            store.compact()
        monkeypatch.undo()
        store.write([(b"b", b"2")])
        assert keys(store) == [b"a", b"b", b"large"]
    assert found_in(path) == [b"a", b"b", b"large"]


def test_a_store_that_cannot_be_opened_after_a_compaction_says_so(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OperationalError("the disk failed")

    with closing(logging(path)) as store:
        store.write([(b"a", b"1")])
        monkeypatch.setattr(lmdb_store, "_open_environment", fail)
        with pytest.raises(OperationalError):
            store.compact()
        monkeypatch.undo()
        with pytest.raises(OperationalError, match="could not be opened again"):
            store.write([(b"b", b"2")])
        with pytest.raises(OperationalError):
            store.snapshot()
    assert found_in(path) == [b"a"]


def test_ctrl_c_inside_close_keeps_the_directory_from_nobody(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: LmdbStore) -> None:
        raise KeyboardInterrupt

    store = logging(path)
    store.write([(b"a", bytes(50_000))])
    store.write([(b"b", bytes(50_000))])
    for where in ("_leave_log_short", "_release"):
        monkeypatch.setattr(LmdbStore, where, interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.close()
        monkeypatch.undo()
        store.close()
        store.close()
        assert found_in(path) == [b"a", b"b"]
        store = LmdbStore(path)
    store.close()


def test_a_log_that_cannot_be_read_leaves_nothing_open(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever stops the opening, Ctrl-C too."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with closing(logging(path)) as store:
        store.write([(b"a", b"1")])
    before = len(list(Path("/proc/self/fd").iterdir()))
    monkeypatch.setattr(CommitLog, "replay", interrupted)
    with pytest.raises(KeyboardInterrupt):
        LmdbStore(path)
    monkeypatch.undo()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert found_in(path) == [b"a"]


@pytest.mark.skipif(sys.platform != "linux", reason="no call allocates blocks elsewhere")
def test_what_is_written_through_a_map_has_its_blocks_before_the_disk_is_full(path: Path) -> None:
    """A page of the readers' table without a block ends the process by SIGBUS on a full disk."""
    with closing(LmdbStore(path)):
        status = (path / "lock.mdb").stat()
    assert status.st_blocks * 512 >= status.st_size > 64 * 1024
