"""The keystore: a directory with one small file per identity, readable by its owner only.

A file holds the petname, the address and the seed words, either open (the embedded identity made
on first use) or sealed by a passphrase: Argon2id makes the key, XChaCha20-Poly1305 seals the
words, with name, address and cost as associated data. Listing never opens a secret.

    file = magic "mfdbkey1" + canonical IdentityFile      mode 0600, replaced atomically
    default = address of the identity used when none is named
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import nacl.bindings
import nacl.exceptions

from mfdb.kernel import codec, limits
from mfdb.kernel.errors import (
    BadSeedWords,
    BadType,
    CorruptRecord,
    DuplicateObject,
    MfdbError,
    OperationalError,
    StoreFull,
    UnknownIdentity,
    WrongPassphrase,
    WrongVersion,
)
from mfdb.kernel.ids import Address, parse_address, show
from mfdb.kernel.seed import IdentityKeys, Seed, checked_words, new_words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mfdb.kernel.entropy import Entropy

_MAGIC_FAMILY = b"mfdbkey"
_MAGIC = _MAGIC_FAMILY + b"1"
_SUFFIX = ".identity"
_DEFAULT_FILE = "default"
DIRECTORY = "keystore"
"""Where a data directory keeps its identities."""
_NAME = re.compile(r"[^\W\d][\w.-]{0,62}\Z")
_PASSPHRASE_BYTES = 1024
_NONCE_BYTES = nacl.bindings.crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
_KEY_BYTES = nacl.bindings.crypto_aead_xchacha20poly1305_ietf_KEYBYTES
_SALT_BYTES = nacl.bindings.crypto_pwhash_SALTBYTES
_OPS_LIMIT = 16
_MEM_LIMIT_BYTES = 2**30


class Strength(msgspec.Struct, frozen=True, kw_only=True):
    """What one guess at the passphrase costs: Argon2id passes and bytes of memory."""

    ops: int
    mem_bytes: int


MODERATE = Strength(ops=3, mem_bytes=256 * 2**20)
"""libsodium's moderate setting: 0.7 s and 256 MiB a guess."""
WEAKEST = Strength(ops=1, mem_bytes=8192)
"""For tests only."""


class IdentityEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What may be shown of an identity without opening it."""

    name: str
    address: Address
    protected: bool


class SealedWords(codec.Record, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Seed words under a passphrase."""

    ops: int
    mem_bytes: int
    salt: bytes
    nonce: bytes
    box: bytes


class IdentityFile(codec.Record, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Content of one file: `secret` is the words themselves or their sealed form."""

    name: str
    address: Address
    secret: str | SealedWords


class Keystore:
    """The identities of one directory. Several processes may use it at once."""

    def __init__(
        self, directory: Path | str, entropy: Entropy, *, strength: Strength = MODERATE
    ) -> None:
        self.directory = Path(directory)
        self._entropy = entropy
        self._strength = strength

    def create(self, name: str, passphrase: str | None = None) -> IdentityEntry:
        """Make an identity with fresh seed words; without a passphrase they are stored open.

        Raises:
            DuplicateObject: the name is taken.
            StoreFull: the disk is full.
        """
        return self._add(name, new_words(self._entropy), passphrase)

    def restore(self, name: str, words: str, passphrase: str | None = None) -> IdentityEntry:
        """Store the identity of these seed words under a name.

        Raises:
            BadSeedWords: a word is unknown or the checksum fails.
            DuplicateObject: the name or the identity is here already.
        """
        return self._add(name, checked_words(words), passphrase)

    def list(self) -> list[IdentityEntry]:
        """Return the identities by name; opens no secret.

        Raises:
            CorruptRecord: a file is damaged.
            WrongVersion: a file was written by another release.
        """
        if not self.directory.is_dir():
            return []
        files = [_read(path) for path in sorted(self.directory.glob("*" + _SUFFIX))]
        return sorted((_entry(file) for file in files), key=lambda entry: entry.name)

    def find(self, name_or_address: str) -> IdentityEntry:
        """Return one identity; opens no secret.

        Raises:
            UnknownIdentity: there is none of that name or address.
        """
        return _entry(self._load(name_or_address))

    def default(self) -> IdentityEntry | None:
        """Return the identity used when none is named (the first made), or None in a new store."""
        entries = self.list()
        marked = self.directory / _DEFAULT_FILE
        chosen = marked.read_text("ascii", "replace").strip() if marked.is_file() else ""
        named = [entry for entry in entries if show(entry.address) == chosen]
        if named or len(entries) == 1:
            return (named or entries)[0]
        return None

    def unlock(self, name_or_address: str, passphrase: str | None = None) -> IdentityKeys:
        """Return the keys of an identity.

        Raises:
            UnknownIdentity: there is none of that name or address.
            WrongPassphrase: the identity is protected and this does not open it.
            CorruptRecord: the file's words are damaged. If they are whole, but those of another
                address, the first use of a key says so.
        """
        file = self._load(name_or_address)
        return IdentityKeys(_seed(file, _words(file, passphrase)), file.address)

    def words(self, name_or_address: str, passphrase: str | None = None) -> str:
        """Return the seed words of an identity, for writing them down.

        Raises:
            CorruptRecord: the file's words are not those of its address; else as `unlock`.
        """
        file = self._load(name_or_address)
        words = _words(file, passphrase)
        IdentityKeys(_seed(file, words), file.address).prove()
        return words

    def protect(self, name: str, passphrase: str, *, current: str | None = None) -> IdentityEntry:
        """Seal the words of an identity with a (new) passphrase; `current` opens a sealed one.

        Raises:
            WrongPassphrase: the identity is protected and `current` does not open it.
        """
        with self._locked():
            words = self.words(name, current)
            file = self._load(name)
            return self._write(file.name, file.address, words, passphrase)

    def _add(self, name: str, words: str, passphrase: str | None) -> IdentityEntry:
        _check_name(name)
        address = Seed.from_words(words).keys().address
        with self._locked():
            for entry in self.list():
                if entry.name == name or entry.address == address:
                    raise DuplicateObject(
                        f"{entry.name} ({show(entry.address)}) is here already",
                        hint="choose another name, or use the identity that is here",
                    )
            default = self.default()
            entry = self._write(name, address, words, passphrase)
            if default is None or not (self.directory / _DEFAULT_FILE).is_file():
                self._mark(default or entry)
            return entry

    def _mark(self, entry: IdentityEntry) -> None:
        self._replace(self.directory / _DEFAULT_FILE, show(entry.address).encode())

    def _write(
        self, name: str, address: Address, words: str, passphrase: str | None
    ) -> IdentityEntry:
        secret = words if passphrase is None else self._seal(name, address, words, passphrase)
        file = IdentityFile(name=name, address=address, secret=secret)
        path = self.directory / (show(address) + _SUFFIX)
        self._replace(path, _MAGIC + codec.encode(file))
        return _entry(file)

    def _seal(self, name: str, address: Address, words: str, passphrase: str) -> SealedWords:
        salt = self._entropy.token(_SALT_BYTES)
        nonce = self._entropy.token(_NONCE_BYTES)
        key = _stretch(passphrase, salt, self._strength)
        bound = _associated(name, address, self._strength)
        box = nacl.bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(
            words.encode(), bound, nonce, key
        )
        ops, mem_bytes = self._strength.ops, self._strength.mem_bytes
        return SealedWords(ops=ops, mem_bytes=mem_bytes, salt=salt, nonce=nonce, box=box)

    def _load(self, name_or_address: str) -> IdentityFile:
        if name_or_address.startswith("0x"):
            wanted = parse_address(name_or_address)
            path = self.directory / (show(wanted) + _SUFFIX)
            if path.is_file():
                return _read(path)
        for path in sorted(self.directory.glob("*" + _SUFFIX)):
            file = _read(path)
            if file.name == name_or_address:
                return file
        raise UnknownIdentity(
            f"no identity {name_or_address[:64]!r} here", hint="mfdb identity list shows them"
        )

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the directory's lock, so that two processes never write at once."""
        with _named_disk_errors(self.directory):
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self.directory / ".lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _replace(self, path: Path, data: bytes) -> None:
        """Write a file whole or not at all: temporary file, fsync, rename, fsync of the folder."""
        temporary = path.with_name(path.name + ".tmp")
        with _named_disk_errors(path):
            try:
                _write_synced(temporary, data)
                temporary.replace(path)
            except OSError:
                temporary.unlink(missing_ok=True)
                raise
            _sync_directory(path.parent)


def keystore_in(data: Path | str, entropy: Entropy) -> Keystore:
    """Return the keystore of a data directory."""
    return Keystore(Path(data) / DIRECTORY, entropy)


def read_passphrase_file(path: Path | str) -> str:
    """Return the passphrase that a file holds (its last line break is not part of it).

    Raises:
        WrongPassphrase: the file cannot be read, is no UTF-8, or is empty or too long.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(_PASSPHRASE_BYTES + 1)
        text = data.decode().removesuffix("\n").removesuffix("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise WrongPassphrase(f"cannot read the passphrase file {path}: {error}") from error
    _passphrase_bytes(text)
    return text


def _write_synced(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _named_disk_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreFull(
                f"no room for {path.name}", hint="free some disk space and try again"
            ) from error
        raise OperationalError(
            f"cannot write {path}: {error.strerror}", hint="check the directory and its rights"
        ) from error


def _read(path: Path) -> IdentityFile:
    with path.open("rb") as file:
        data = file.read(limits.RECORD_BYTES + 1)
    if not data.startswith(_MAGIC):
        raise _not_ours(path, data)
    try:
        return codec.decode(IdentityFile, data[len(_MAGIC) :], limit_bytes=limits.RECORD_BYTES)
    except MfdbError as error:
        raise CorruptRecord(
            f"the identity file {path.name} is damaged: {error}",
            hint="restore it from its seed words: mfdb identity restore",
        ) from error


def _not_ours(path: Path, data: bytes) -> MfdbError:
    if data.startswith(_MAGIC_FAMILY):
        return WrongVersion(
            f"{path.name} was written by another version of mfdb", hint="use that version"
        )
    return CorruptRecord(
        f"{path.name} is not an identity file", hint="restore it: mfdb identity restore"
    )


def _entry(file: IdentityFile) -> IdentityEntry:
    protected = isinstance(file.secret, SealedWords)
    return IdentityEntry(name=file.name, address=file.address, protected=protected)


def _open(file: IdentityFile, passphrase: str | None) -> str:
    """Return the sealed words of a file; every number in it is hostile until it opened."""
    sealed = file.secret
    assert isinstance(sealed, SealedWords)
    if passphrase is None:
        raise WrongPassphrase(
            f"identity {file.name} is protected by a passphrase",
            hint="type it at the prompt, or name a file that holds it in MFDB_PASSPHRASE_FILE",
        )
    sizes_fit = len(sealed.salt) == _SALT_BYTES and len(sealed.nonce) == _NONCE_BYTES
    cost_fits = 1 <= sealed.ops <= _OPS_LIMIT and 8192 <= sealed.mem_bytes <= _MEM_LIMIT_BYTES
    if not (sizes_fit and cost_fits):
        raise CorruptRecord(f"the identity file of {file.name} is damaged", hint="restore it")
    strength = Strength(ops=sealed.ops, mem_bytes=sealed.mem_bytes)
    key = _stretch(passphrase, sealed.salt, strength)
    try:
        plain = nacl.bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(
            sealed.box, _associated(file.name, file.address, strength), sealed.nonce, key
        )
    except nacl.exceptions.CryptoError as error:
        raise WrongPassphrase(
            f"that passphrase does not open identity {file.name}",
            hint="if it is lost, the seed words restore the identity: mfdb identity restore",
        ) from error
    return plain.decode()


def _words(file: IdentityFile, passphrase: str | None) -> str:
    return file.secret if isinstance(file.secret, str) else _open(file, passphrase)


def _seed(file: IdentityFile, words: str) -> Seed:
    try:
        return Seed.from_words(words)
    except BadSeedWords as error:
        raise CorruptRecord(f"the words of {file.name} are damaged", hint="restore it") from error


def _stretch(passphrase: str, salt: bytes, strength: Strength) -> bytes:
    import nacl.pwhash.argon2id  # only protected identities need it

    return nacl.pwhash.argon2id.kdf(
        _KEY_BYTES,
        _passphrase_bytes(passphrase),
        salt,
        opslimit=strength.ops,
        memlimit=strength.mem_bytes,
    )


def _passphrase_bytes(passphrase: str) -> bytes:
    """Return the one encoding of a passphrase, however the keyboard composed its accents."""
    data = unicodedata.normalize("NFKC", passphrase).encode()
    if not 0 < len(data) <= _PASSPHRASE_BYTES:
        raise WrongPassphrase(
            f"a passphrase has 1 to {_PASSPHRASE_BYTES} bytes, not {len(data)}",
            hint="leave the passphrase out to store the identity open",
        )
    return data


def _associated(name: str, address: Address, strength: Strength) -> bytes:
    """Return what is bound beside the words; Argon2 itself rounds the memory to whole KiB."""
    return _MAGIC + codec.encode((address, name, strength.ops, strength.mem_bytes))


def _check_name(name: str) -> None:
    if not _NAME.match(name):
        raise BadType(
            f"not a name for an identity: {name[:64]!r}",
            hint="a letter first, then letters, digits, '_', '-' or '.', 63 at most",
        )
