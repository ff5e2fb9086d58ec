"""Opening a data directory: keystore, identity, store, replica and session.

<data>/keystore/                         seed words, one file per identity
<data>/identities/<address>/replica/     what this identity owns, reads and has written
<data>/identities/<address>/node/        what its node remembers (only with a network)
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from mfdb.client.channels import Channels
from mfdb.client.compaction import Compaction
from mfdb.client.session import Session
from mfdb.dataset.replica import Replica
from mfdb.kernel.errors import InterfaceError, NotSupportedError, UnknownIdentity
from mfdb.kernel.ids import show
from mfdb.node.keystore import Keystore, read_passphrase_file
from mfdb.node.system import SystemClock, SystemEntropy
from mfdb.rules.evidence import EMBEDDED
from mfdb.store.lmdb_store import LmdbStore

if TYPE_CHECKING:
    from mfdb.client.expiry import Expiry
    from mfdb.client.remote import Remote
    from mfdb.kernel.ids import DatasetId, Hash
    from mfdb.kernel.seed import IdentityKeys
    from mfdb.node.keystore import IdentityEntry

Passphrase: TypeAlias = str | Callable[[], str] | None
"""A passphrase, or how to ask for one; None looks at MFDB_PASSPHRASE_FILE."""

FIRST_NAME = "me"
MEMORY = ":memory:"


class Home(msgspec.Struct):
    """A data directory with one identity opened."""

    keystore: Keystore
    keys: IdentityKeys
    directory: Path
    store: LmdbStore
    notices: list[str] = msgspec.field(default_factory=list)
    temporary: Path | None = None
    node_store: LmdbStore | None = None
    compaction: Compaction | None = None
    expiry: Expiry | None = None
    replica: Replica | None = None
    channels: Channels = msgspec.field(default_factory=Channels)
    users: int = 1
    """Connections that work on it; the last one to close gives it back."""
    lock: threading.Lock = msgspec.field(default_factory=threading.Lock)

    def open_node_store(self) -> LmdbStore:
        """Return the store that belongs to the identity's node."""
        if self.node_store is None:
            self.node_store = LmdbStore(self.directory / "node")
        return self.node_store

    def open_replica(self, networks: Sequence[Hash]) -> Replica:
        """Return the identity's replica, opened for these networks by whoever asks first."""
        if self.replica is None:
            self.replica = Replica(
                self.store,
                self.keys,
                clock=SystemClock(),
                entropy=SystemEntropy(),
                networks=networks,
            )
        return self.replica

    def session(self, remote: Remote | None) -> Session:
        """Return a session of the identity."""
        clock, entropy = SystemClock(), SystemEntropy()
        networks = [EMBEDDED] if remote is None else [EMBEDDED, remote.network.id]
        replica = self.open_replica(networks)
        if self.compaction is None:
            self.compaction = Compaction(replica.blocks)
        return Session(
            replica,
            self.keys,
            clock=clock,
            entropy=entropy,
            identities=self.keystore,
            remote=remote,
            channels=self.channels,
            retaining=self,
        )

    def expires(self, dataset: DatasetId) -> None:
        """Look after a dataset that does not keep its rows for ever."""
        with self.lock:
            if self.expiry is None and self.users:
                from mfdb.client.expiry import Expiry  # most keep everything for ever

                clock, entropy = SystemClock(), SystemEntropy()
                session = Session(
                    self.open_replica(()),
                    self.keys,
                    clock=clock,
                    entropy=entropy,
                    identities=self.keystore,
                )
                self.expiry = Expiry(session.expire, clock)
        if self.expiry is not None:
            self.expiry.expires(dataset)

    def settle(self) -> None:
        """Return when no rows are being deleted that were kept for long enough."""
        if self.expiry is not None:
            self.expiry.settle()

    def share(self) -> Session:
        """Return a session beside those there are, with batches of its own.

        Raises:
            InterfaceError: the directory was given back meanwhile.
        """
        with self.lock:
            if not self.users:
                raise InterfaceError("the connection is closed")
            self.users += 1
        return self.session(None)

    def become(self, identity: str, passphrase: Passphrase) -> Home:
        """Return the same data directory with another identity opened; this one stays open.

        Raises:
            UnknownIdentity, WrongPassphrase: the identity is not there or does not open.
            StoreLocked: somebody works as it already.
            NotSupportedError: a temporary directory has other connections.
        """
        if self.temporary is not None and self.users > 1:
            raise NotSupportedError(
                "a temporary database goes with its last connection",
                hint="close the other ones first",
            )
        entry = self.keystore.find(identity)
        return _opened(self.keystore, entry, self.directory.parent.parent, passphrase)

    def leave_to(self, other: Home) -> None:
        """Give the directory back, but not away: `other` goes on in it."""
        other.temporary, self.temporary = self.temporary, None
        self.close()

    def close(self) -> None:
        """Give the directory back, if nobody else works on it."""
        with self.lock:
            self.users -= 1
            if self.users:
                return
        if self.expiry is not None:
            self.expiry.close()
        if self.compaction is not None:
            self.compaction.close()
        self.store.close()
        if self.node_store is not None:
            self.node_store.close()
        if self.temporary is not None:
            _remove(self.temporary)


def _temporary() -> Path:
    import tempfile  # slow to load, and most keep what they have

    return Path(tempfile.mkdtemp(prefix="mfdb-"))


def _remove(temporary: Path) -> None:
    import shutil

    shutil.rmtree(temporary, ignore_errors=True)


def open_home(
    data: str | os.PathLike[str] | None, *, identity: str | None, passphrase: Passphrase
) -> Home:
    """Return a data directory, made if need be, with an identity opened.

    Raises:
        UnknownIdentity, WrongPassphrase: the identity is not there or does not open.
        StoreLocked: another process works on it.
        WrongVersion, CorruptRecord: the directory is another release's, or damaged.
    """
    temporary = _temporary() if data == MEMORY else None
    root = temporary or Path(data or default_directory())
    notices: list[str] = []
    try:
        keystore = Keystore(root / "keystore", SystemEntropy())
        entry = _entry(keystore, identity, notices)
        home = _opened(keystore, entry, root, passphrase)
    except BaseException:
        if temporary is not None:
            _remove(temporary)
        raise
    if temporary is None:
        home.notices.extend(notices)
    home.temporary = temporary
    return home


def _opened(keystore: Keystore, entry: IdentityEntry, root: Path, passphrase: Passphrase) -> Home:
    secret = _passphrase(passphrase) if entry.protected else None
    keys = keystore.unlock(show(entry.address), secret)
    directory = root / "identities" / show(entry.address)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Home(keystore, keys, directory, LmdbStore(directory / "replica"))


def default_directory() -> Path:
    """Return where data is kept when nobody says where."""
    named = os.environ.get("MFDB_DATA")
    if named:
        return Path(named)
    import platformdirs

    return Path(platformdirs.user_data_dir("mfdb"))


def _entry(keystore: Keystore, identity: str | None, notices: list[str]) -> IdentityEntry:
    if identity is not None:
        return keystore.find(identity)
    entry = keystore.default()
    if entry is not None:
        return entry
    if keystore.list():
        raise UnknownIdentity("there are several identities", hint="say which: identity=...")
    entry = keystore.create(FIRST_NAME)
    notices.append(
        f"identity {FIRST_NAME} {show(entry.address)} was made; its seed words are not encrypted "
        f"(`mfdb identity protect {FIRST_NAME}` encrypts them)"
    )
    return entry


def _passphrase(passphrase: Passphrase) -> str | None:
    if isinstance(passphrase, str):
        return passphrase
    named = os.environ.get("MFDB_PASSPHRASE_FILE")
    if named:
        return read_passphrase_file(named)
    return passphrase() if passphrase is not None else None
