from __future__ import annotations

import signal
import stat
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mfdb.kernel.errors import (
    CorruptRecord,
    InterfaceError,
    OperationalError,
    StoreFull,
    StoreLocked,
    WrongVersion,
)
from mfdb.store.lmdb_store import LmdbStore

ROOT = Path(__file__).parents[3]


def start(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def keys(store: LmdbStore) -> list[bytes]:
    with store.snapshot() as snapshot:
        return [key for key, _ in snapshot.scan(b"")]


# ---- the directory


def test_everything_is_private_to_the_user(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "store"
    store = LmdbStore(path)
    store.write([(b"k", b"v")])
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    names = sorted(file.name for file in path.iterdir())
    assert names == ["FORMAT", "LOCK", "data.mdb", "lock.mdb"]
    for file in path.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file.name
    store.close()


def test_a_second_opening_in_this_process_is_told_so(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path)
    try:
        with pytest.raises(StoreLocked, match=r"this process has .* open already"):
            LmdbStore(tmp_path)
    finally:
        store.close()


def test_another_process_is_named_when_it_holds_the_directory(tmp_path: Path) -> None:
    holder = start(
        """
        import sys
        from mfdb.store.lmdb_store import LmdbStore
        store = LmdbStore(sys.argv[1])
        print("ready", flush=True)
        sys.stdin.read()
        """,
        str(tmp_path),
    )
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "ready\n"
        with pytest.raises(
            StoreLocked, match=rf"another process works on .*{holder.pid}"
        ) as caught:
            LmdbStore(tmp_path)
        assert caught.value.hint
    finally:
        holder.kill()
        holder.communicate()
    LmdbStore(tmp_path).close()


def test_the_directory_is_free_after_the_last_snapshot_of_a_closed_store(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path)
    with store.snapshot():
        store.close()
        with pytest.raises(StoreLocked):
            LmdbStore(tmp_path)
    LmdbStore(tmp_path).close()


@pytest.mark.parametrize("text", [b"mfdb-store 3\n", b"", b"something else", b"mfdb-store 2\n\n"])
def test_a_directory_of_another_version_is_refused(tmp_path: Path, text: bytes) -> None:
    LmdbStore(tmp_path).close()
    (tmp_path / "FORMAT").write_bytes(text)
    with pytest.raises(WrongVersion) as caught:
        LmdbStore(tmp_path)
    assert caught.value.hint
    (tmp_path / "FORMAT").write_bytes(b"mfdb-store 2\n")
    LmdbStore(tmp_path).close()


def test_data_without_a_format_is_refused(tmp_path: Path) -> None:
    LmdbStore(tmp_path).close()
    (tmp_path / "FORMAT").unlink()
    with pytest.raises(WrongVersion):
        LmdbStore(tmp_path)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    LmdbStore(tmp_path).close()
    (tmp_path / "data.mdb").write_bytes(b"not a database" * 1000)
    with pytest.raises(CorruptRecord, match=r"data\.mdb"):
        LmdbStore(tmp_path)


def test_a_path_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OperationalError, match="cannot be used"):
        LmdbStore(tmp_path / "file")


# ---- a full disk


def test_a_full_map_refuses_the_batch_and_keeps_the_rest(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path, map_bytes=2**20)
    store.write([(b"before", b"v")])
    with pytest.raises(StoreFull) as caught:
        store.write([(b"half", b"v"), (b"large", bytes(2**21))])
    assert caught.value.hint
    store.write([(b"after", b"v")])
    assert keys(store) == [b"after", b"before"]
    store.close()


def test_a_full_disk_refuses_the_batch_and_keeps_the_rest(tmp_path: Path) -> None:
    """A limit on file sizes makes the kernel refuse writes just as a full disk does."""
    child = start(
        """
        import resource, signal, sys
        from mfdb.kernel.errors import StoreFull
        from mfdb.store.lmdb_store import LmdbStore
        store = LmdbStore(sys.argv[1])
        store.write([(b"before", b"v")])
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
        for _ in range(2):
            try:
                store.write([(b"half", b"v"), (b"large", bytes(2**21))])
            except StoreFull as error:
                print("full", bool(error.hint))
        store.write([(b"after", b"v")])
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        store.write([(b"large", bytes(2**21))])
        with store.snapshot() as snapshot:
            print([key for key, _ in snapshot.scan(b"")])
        """,
        str(tmp_path),
    )
    output, _ = child.communicate(timeout=30)
    assert output.splitlines() == ["full True", "full True", "[b'after', b'before', b'large']"]


def test_only_the_batch_that_does_not_fit_fails(tmp_path: Path) -> None:
    """Small batches that share a commit with one that is too large are still kept."""
    store = LmdbStore(tmp_path, map_bytes=2**20)

    def write(n: int) -> str:
        try:
            store.write([(b"%02d" % n, bytes(2**21) if n % 4 == 0 else b"v")])
        except StoreFull:
            return "full"
        return "kept"

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(write, range(24)))
    assert outcomes == ["full" if n % 4 == 0 else "kept" for n in range(24)]
    assert keys(store) == [b"%02d" % n for n in range(24) if n % 4]
    store.close()


# ---- crashes

WRITER = """
    import sys, threading
    from mfdb.store.lmdb_store import LmdbStore
    store = LmdbStore(sys.argv[1])
    run = sys.argv[2].encode()
    out = threading.Lock()
    def work(thread):
        for n in range(1_000_000):
            key = b"%s/%d/%06d" % (run, thread, n)
            store.write([(key + b"/a", b"v" * 300), (key + b"/b", b"w" * 9000)])
            with out:
                print(key.decode(), flush=True)
    for thread in range(3):
        threading.Thread(target=work, args=(thread,)).start()
"""


def test_sigkill_loses_no_acknowledged_write(tmp_path: Path) -> None:
    acknowledged: list[bytes] = []
    for run in range(5):
        child = start(WRITER, str(tmp_path), str(run))
        assert child.stdout is not None
        heard = [child.stdout.readline() for _ in range(20 + 37 * run)]
        child.send_signal(signal.SIGKILL)
        rest, _ = child.communicate(timeout=30)
        # The last line may be cut short by the kill; only whole ones were acknowledged.
        heard += [line for line in rest.splitlines(keepends=True) if line.endswith("\n")]
        acknowledged += [line.strip().encode() for line in heard]
        store = LmdbStore(tmp_path)
        with store.snapshot() as snapshot:
            lost = [
                key
                for key in acknowledged
                if snapshot.get(key + b"/a") != b"v" * 300
                or snapshot.get(key + b"/b") != b"w" * 9000
            ]
            found = [key for key, _ in snapshot.scan(b"")]
        assert lost == []
        assert found[0::2] == [key[:-1] + b"a" for key in found[1::2]], "half a batch"
        store.close()
    assert len(acknowledged) > 400


# ---- group commit, snapshots


def test_concurrent_writers_share_commits(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path)
    barrier = threading.Barrier(16)

    def write(thread: int) -> None:
        barrier.wait(30)
        for n in range(25):
            store.write([(b"%d/%d" % (thread, n), b"v")])

    with ThreadPoolExecutor(16) as pool:
        for future in [pool.submit(write, thread) for thread in range(16)]:
            future.result(60)
    assert len(keys(store)) == 400
    assert store.commits < 300, "no two writers ever shared a commit"
    store.close()


def test_a_forgotten_snapshot_is_reaped_when_collected(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path)
    snapshot = store.snapshot()
    snapshot.get(b"k")
    store.close()
    del snapshot
    LmdbStore(tmp_path).close()


def test_a_scan_left_open_does_not_keep_the_directory(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path)
    store.write([(b"a", b"1"), (b"b", b"2")])
    with store.snapshot() as snapshot:
        scan = snapshot.scan(b"")
        assert next(scan) == (b"a", b"1")
    store.close()
    with pytest.raises(InterfaceError):
        next(scan)
    LmdbStore(tmp_path).close()


def test_close_leaves_no_descriptor_behind(tmp_path: Path) -> None:
    LmdbStore(tmp_path / "warm-up").close()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for n in range(5):
        LmdbStore(tmp_path / str(n)).close()
        with pytest.raises(OperationalError):
            LmdbStore(tmp_path / str(n) / "FORMAT")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_snapshot_that_is_held_while_much_is_written_is_given_up(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path, snapshot_age_bytes=50_000)
    store.write([(b"a", b"1"), (b"b", b"2"), (b"c", b"3")])
    with store.snapshot() as idle, store.snapshot() as scanning:
        rows = scanning.scan(b"")
        assert next(rows) == (b"a", b"1")
        store.write([(b"d", bytes(40_000))])
        assert next(rows) == (b"b", b"2"), "young enough"
        store.write([(b"d", bytes(40_000))])
        for use in (lambda: next(rows), lambda: idle.get(b"a"), lambda: idle.last(b"a", b"z")):
            with pytest.raises(OperationalError, match="held for too long"):
                use()
    with store.snapshot() as fresh:
        assert fresh.get(b"a") == b"1"
    store.close()


def test_the_file_stops_growing_once_an_old_snapshot_is_given_up(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path, snapshot_age_bytes=200_000)
    held = store.snapshot()

    def overwrite(times: int) -> int:
        for _ in range(times):
            store.write([(b"key %d" % n, bytes(1_000)) for n in range(20)])
        return (tmp_path / "data.mdb").stat().st_size

    overwrite(20)
    with pytest.raises(OperationalError):
        held.get(b"key 1")
    after_it = overwrite(20)
    assert overwrite(60) == after_it, "pages are used again"
    store.close()


def test_a_log_full_of_commits_without_a_write_is_brought_up(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path, log_after=0)
    store.write([])
    store.compact()
    store.write([(b"k", b"v")])
    store.close()
    store = LmdbStore(tmp_path)
    assert store.first(b"k") == b"v"
    store.close()
