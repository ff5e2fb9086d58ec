"""Dumping an identity's datasets into a file, verifying such files, and restoring them.

    dump:     one state of the replica -> a file beside the target -> renamed
    restore:  judge the files -> a store beside the identity's own -> checked -> renamed

Whatever goes wrong on the way, and Ctrl-C, leaves what was there before and nothing else.
"""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mfdb.client.copying.streams import replacing
from mfdb.client.opening import open_home
from mfdb.dataset.dump.chain import DumpFile, former_of
from mfdb.dataset.dump.judging import DumpReport, judge_dumps
from mfdb.dataset.dump.restoring import restore
from mfdb.dataset.dump.taking import Taken, take
from mfdb.dataset.replica import Replica
from mfdb.kernel.errors import (
    DuplicateObject,
    OperationalError,
    StoreFull,
    UnknownDataset,
    UnknownIdentity,
)
from mfdb.kernel.ids import show
from mfdb.node.client.dumped import DumpedNode, install_node
from mfdb.node.keystore import keystore_in
from mfdb.node.system import SystemClock, SystemEntropy
from mfdb.rules.evidence import EMBEDDED
from mfdb.store.lmdb_store import LmdbStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import BinaryIO

    from mfdb.client.opening import Home, Passphrase
    from mfdb.dataset.check import CheckReport
    from mfdb.kernel.ids import Address, DatasetId
    from mfdb.kernel.seed import IdentityKeys

    Tell = Callable[[float], object]

_ASIDE = "replica.restoring"


def _quiet(_: float) -> None:
    """Hear of progress and do nothing."""


def dump_file(path: Path | str) -> DumpFile:
    """Return a dump on the disk.

    Raises:
        OperationalError: there is no such file.
    """
    path = Path(path)

    @contextmanager
    def opened() -> Iterator[BinaryIO]:
        with path.open("rb") as file:
            yield file

    try:
        size = path.stat().st_size
    except OSError as error:
        raise OperationalError(f"cannot read {path}: {error.strerror}") from error
    return DumpFile(str(path), size, opened)


def verify(paths: Sequence[Path | str], tell: Tell = _quiet) -> DumpReport:
    """Return what judging a chain of dumps found; needs no key and no network.

    Raises:
        BadDump: a file is no whole dump, or they are no chain.
        WrongVersion: another release wrote it.
        OperationalError: a file cannot be read.
    """
    return judge_dumps([dump_file(path) for path in paths], tell).report


class DumpOptions(msgspec.Struct, frozen=True, kw_only=True):
    """After which dump, which datasets (none named: all), and whether over an older file."""

    since: Path | None = None
    names: tuple[str, ...] = ()
    overwrite: bool = False


def dump(home: Home, target: Path, options: DumpOptions, tell: Tell = _quiet) -> Taken:
    """Write a dump of an open directory's identity; return what it holds.

    Raises:
        DuplicateObject: there is a file already.
        BadDump: the former dump is no whole dump of this identity.
        UnknownDataset: there is no dataset of such a name.
        StoreFull, OperationalError: the file cannot be written.
    """
    if target.exists() and not options.overwrite:
        raise DuplicateObject(
            f"{target} is there already", hint="choose another name, or say --overwrite"
        )
    former = former_of(dump_file(options.since)) if options.since is not None else None
    replica = home.open_replica([EMBEDDED])
    only = [_named(replica, name) for name in options.names] or None
    node = DumpedNode(home.open_node_store()) if (home.directory / "node").is_dir() else None
    with _disk_errors(target), replacing(target, mode=0o600) as part, part.open("wb") as file:
        with home.store.snapshot() as snapshot:
            taken = take(
                file,
                snapshot,
                home.keys.account,
                time_s=int(SystemClock().now_s()),
                former=former,
                only=only,
                outside=node,
                progress=tell,
            )
        file.flush()
        os.fsync(file.fileno())
    return taken


def _named(replica: Replica, name: str) -> DatasetId:
    known = replica.find(replica.identity, name)
    if known is None:
        raise UnknownDataset(f'dataset "{name}" does not exist', hint="SHOW DATASETS lists them")
    return known.manifest.dataset


class Restored(msgspec.Struct):
    """What was restored, where."""

    identity: Address
    directory: Path
    check: CheckReport
    names: list[str]


def restore_dumps(
    paths: Sequence[Path | str],
    data: Path,
    *,
    passphrase: Passphrase = None,
    tell: Tell = _quiet,
) -> Restored:
    """Restore a chain of dumps into a data directory in which their identity has no datasets.

    Half of the progress is judging.

    Raises:
        BadDump: the files do not verify; nothing was restored.
        UnknownIdentity: the dump's identity is not in the keystore.
        WrongPassphrase: it does not open.
        DuplicateObject: it has datasets there.
        StoreFull, OperationalError: the disk is in the way.
    """
    judged = judge_dumps([dump_file(path) for path in paths], lambda done: tell(done / 2))
    identity = judged.report.identity
    assert identity is not None, "every chain has one"
    _need_identity(data, identity)
    with ExitStack() as stack:
        home = open_home(data, identity=show(identity), passphrase=passphrase)
        stack.callback(home.close)
        _need_empty(home)
        aside = home.directory / _ASIDE
        shutil.rmtree(aside, ignore_errors=True)  # of a restoration that was killed
        stack.callback(shutil.rmtree, aside, ignore_errors=True)
        store = LmdbStore(aside)
        stack.callback(store.close)
        replica = _replica(store, home.keys, judged.report)
        done = restore(replica, judged, lambda part: tell(0.5 + part / 2))
        if any(done.outside.values()):
            chains = {dataset: replica.known(dataset).chain for dataset in done.outside}
            install_node(home.open_node_store(), done.outside, chains)
        with replica.reading() as reading:
            names = sorted(known.manifest.name for known in reading.datasets())
        store.close()
        _swap(aside, home.directory / "replica")
    return Restored(identity, home.directory, done.check, names)


def _need_identity(data: Path, identity: Address) -> None:
    try:
        keystore_in(data, SystemEntropy()).find(show(identity))
    except UnknownIdentity as error:
        raise UnknownIdentity(
            f"the dump is of identity {show(identity)}, which is not here",
            hint="bring it here from its seed words: mfdb identity restore NAME",
        ) from error


def _need_empty(home: Home) -> None:
    with home.store.snapshot() as snapshot:
        if any(True for _ in snapshot.scan(b"n")):
            raise DuplicateObject(
                "there are datasets of this identity here already",
                hint="restore into a directory of its own: --data DIR",
            )


def _replica(store: LmdbStore, keys: IdentityKeys, report: DumpReport) -> Replica:
    networks = {EMBEDDED} | {one.network for one in report.datasets}
    return Replica(store, keys, clock=SystemClock(), entropy=SystemEntropy(), networks=networks)


def _swap(aside: Path, target: Path) -> None:
    """Put a directory in the place of one that holds nothing."""
    old = target.with_name("replica.empty")
    with _disk_errors(target):
        shutil.rmtree(old, ignore_errors=True)
        target.rename(old)
        aside.rename(target)
        handle = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreFull(
                f"no room for {path}", hint="free some disk space and try again"
            ) from error
        raise OperationalError(f"cannot write {path}: {error.strerror}") from error
