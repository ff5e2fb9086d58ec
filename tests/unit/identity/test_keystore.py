"""The keystore: what it keeps, what it shows, what opens it, and what damage it notices."""

from __future__ import annotations

import errno
import os
import stat
import threading
from typing import TYPE_CHECKING

import pytest

from mfdb.kernel import codec
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
from mfdb.kernel.ids import DatasetId, show
from mfdb.node.keystore import (
    WEAKEST,
    IdentityFile,
    Keystore,
    SealedWords,
    read_passphrase_file,
)
from mfdb.node.system import SystemEntropy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

JUNK = "test test test test test test test test test test test junk"
JUNK_ADDRESS = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"
ABANDON = "abandon " * 11 + "about"


@pytest.fixture
def store(tmp_path: Path) -> Keystore:
    return Keystore(tmp_path / "keys", SystemEntropy(), strength=WEAKEST)


def only_file(store: Keystore) -> Path:
    (path,) = store.directory.glob("*.identity")
    return path


def test_a_new_store_is_empty_and_has_no_default(store: Keystore) -> None:
    assert store.list() == []
    assert store.default() is None


def test_a_created_identity_unlocks_to_its_address(store: Keystore) -> None:
    entry = store.create("alice")
    assert store.list() == [entry]
    assert not entry.protected
    assert store.unlock("alice").address == entry.address
    assert store.unlock(show(entry.address)).address == entry.address


def test_the_words_restore_the_identity_elsewhere(store: Keystore, tmp_path: Path) -> None:
    entry = store.create("alice", "open sesame")
    other = Keystore(tmp_path / "elsewhere", SystemEntropy(), strength=WEAKEST)
    restored = other.restore("alice", store.words("alice", "open sesame"))
    assert restored.address == entry.address


def test_restore_takes_known_words_to_the_known_address(store: Keystore) -> None:
    assert show(store.restore("junk", JUNK.upper()).address) == JUNK_ADDRESS


def test_restore_refuses_wrong_words_and_writes_nothing(store: Keystore) -> None:
    with pytest.raises(BadSeedWords):
        store.restore("junk", JUNK.replace("junk", "jumk"))
    assert store.list() == []


def test_the_first_identity_stays_the_default(store: Keystore) -> None:
    first = store.create("zoe")
    store.create("alice")
    assert store.default() == first


def test_a_lone_identity_is_the_default_without_a_mark(store: Keystore) -> None:
    entry = store.create("alice")
    (store.directory / "default").unlink()
    assert store.default() == entry
    store.create("bob")
    assert store.default() == entry


def test_names_and_identities_are_unique(store: Keystore) -> None:
    store.restore("junk", JUNK)
    with pytest.raises(DuplicateObject):
        store.create("junk")
    with pytest.raises(DuplicateObject, match="junk"):
        store.restore("other", JUNK)
    assert [entry.name for entry in store.list()] == ["junk"]


@pytest.mark.parametrize("name", ["", "0xabc", "7up", "a b", "../up", "a" * 64, "-f", ".hidden"])
def test_a_bad_name_is_refused(store: Keystore, name: str) -> None:
    with pytest.raises(BadType):
        store.create(name)


@pytest.mark.parametrize("name", ["alice", "Ödön", "a", "a.b-c_d9", "名前"])
def test_good_names(store: Keystore, name: str) -> None:
    assert store.find(store.create(name).name).name == name


def test_an_unknown_identity_is_named(store: Keystore) -> None:
    for unknown in ("nobody", JUNK_ADDRESS):
        with pytest.raises(UnknownIdentity, match=unknown):
            store.unlock(unknown)


def test_files_are_for_their_owner_only(store: Keystore) -> None:
    store.create("alice")
    assert stat.S_IMODE(only_file(store).stat().st_mode) == 0o600
    assert stat.S_IMODE(store.directory.stat().st_mode) == 0o700
    assert not list(store.directory.glob("*.tmp"))


def test_a_protected_file_holds_no_word(store: Keystore) -> None:
    store.restore("junk", JUNK, "open sesame")
    data = only_file(store).read_bytes()
    assert b"test" not in data
    assert b"junk" in data  # the petname is no secret
    assert store.unlock("junk", "open sesame").address.hex() in only_file(store).name


@pytest.mark.parametrize("passphrase", [None, "open Sesame", "", "x" * 1025])
def test_a_wrong_passphrase_opens_nothing(store: Keystore, passphrase: str | None) -> None:
    store.create("alice", "open sesame")
    with pytest.raises(WrongPassphrase) as caught:
        store.unlock("alice", passphrase)
    assert caught.value.hint


def test_listing_needs_no_passphrase(store: Keystore) -> None:
    entry = store.create("alice", "open sesame")
    assert store.list() == [entry]
    assert entry.protected


def test_composed_and_decomposed_accents_are_one_passphrase(store: Keystore) -> None:
    store.create("alice", "caf\u00e9")
    assert store.unlock("alice", "cafe\u0301")


def test_protect_seals_an_open_identity(store: Keystore) -> None:
    entry = store.restore("junk", JUNK)
    assert b"test test" in only_file(store).read_bytes()
    assert store.protect("junk", "open sesame").protected
    assert b"test test" not in only_file(store).read_bytes()
    assert store.unlock("junk", "open sesame").address == entry.address


def test_protect_changes_a_passphrase_only_with_the_old_one(store: Keystore) -> None:
    store.create("alice", "old")
    with pytest.raises(WrongPassphrase):
        store.protect("alice", "new")
    with pytest.raises(WrongPassphrase):
        store.protect("alice", "new", current="odl")
    store.protect("alice", "new", current="old")
    assert store.unlock("alice", "new")
    with pytest.raises(WrongPassphrase):
        store.unlock("alice", "old")


def test_an_empty_passphrase_protects_nothing(store: Keystore) -> None:
    with pytest.raises(WrongPassphrase):
        store.create("alice", "")
    assert store.list() == []


def test_every_changed_byte_of_a_protected_file_is_noticed(store: Keystore) -> None:
    store.create("alice", "open sesame")
    path = only_file(store)
    whole = path.read_bytes()
    for index in range(len(whole)):
        path.write_bytes(whole[:index] + bytes([whole[index] ^ 1]) + whole[index + 1 :])
        with pytest.raises(MfdbError):
            store.unlock("alice", "open sesame")
    path.write_bytes(whole)
    assert store.unlock("alice", "open sesame")


@pytest.mark.parametrize("keep", [0, 3, 8, 20, -1])
def test_a_cut_file_is_damage(store: Keystore, keep: int) -> None:
    store.create("alice")
    path = only_file(store)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CorruptRecord) as caught:
        store.list()
    assert "restore" in caught.value.hint


def test_another_version_is_named(store: Keystore) -> None:
    store.create("alice")
    only_file(store).write_bytes(b"mfdbkey9 whatever comes then")
    with pytest.raises(WrongVersion):
        store.list()


def test_an_oversized_file_is_not_read_whole(store: Keystore) -> None:
    store.create("alice")
    path = only_file(store)
    path.write_bytes(path.read_bytes() + bytes(10_000))
    with pytest.raises(CorruptRecord):
        store.list()


def rewrite(store: Keystore, file: IdentityFile) -> None:
    only_file(store).write_bytes(b"mfdbkey1" + codec.encode(file))


@pytest.mark.parametrize(("ops", "mem_bytes"), [(10**9, 8192), (1, 2**50), (0, 8192), (1, 1)])
def test_a_file_cannot_order_endless_work(store: Keystore, ops: int, mem_bytes: int) -> None:
    entry = store.create("alice", "open sesame")
    sealed = SealedWords(ops=ops, mem_bytes=mem_bytes, salt=bytes(16), nonce=bytes(24), box=b"x")
    rewrite(store, IdentityFile(name="alice", address=entry.address, secret=sealed))
    with pytest.raises(CorruptRecord):
        store.unlock("alice", "open sesame")


def test_words_of_another_identity_are_noticed(store: Keystore) -> None:
    entry = store.restore("junk", JUNK)
    for words in (ABANDON, "not even words"):
        rewrite(store, IdentityFile(name="junk", address=entry.address, secret=words))
        with pytest.raises(CorruptRecord):
            store.words("junk")


def test_no_key_comes_out_of_another_identity_s_words(store: Keystore) -> None:
    entry = store.restore("junk", JUNK)
    rewrite(store, IdentityFile(name="junk", address=entry.address, secret=ABANDON))
    keys = store.unlock("junk")
    dataset = DatasetId(bytes(32))
    uses: list[Callable[[], object]] = [
        lambda: keys.account,
        lambda: keys.signer,
        lambda: keys.recovery,
        lambda: keys.transport_key,
        lambda: keys.seal_key(1),
        lambda: keys.read_key(dataset, 1),
        lambda: keys.row_id_key(dataset),
        lambda: keys.dataset_nonce("home"),
    ]
    for use in uses:
        with pytest.raises(CorruptRecord, match="not those of"):
            use()


@pytest.mark.parametrize(
    ("number", "kind"),
    [(errno.ENOSPC, StoreFull), (errno.EDQUOT, StoreFull), (errno.EIO, OperationalError)],
)
def test_a_failing_disk_keeps_the_old_file(
    store: Keystore, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[MfdbError]
) -> None:
    store.create("alice", "old")

    def fail(_handle: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:  # a disk that fails cannot be injected any other way
        patch.setattr(os, "fsync", fail)
        with pytest.raises(kind):
            store.protect("alice", "new", current="old")
    assert store.unlock("alice", "old")
    assert not list(store.directory.glob("*.tmp"))


def test_two_writers_never_make_one_name_twice(store: Keystore) -> None:
    outcomes: list[str] = []

    def create() -> None:
        try:
            store.create("alice")
            outcomes.append("made")
        except DuplicateObject:
            outcomes.append("refused")

    threads = [threading.Thread(target=create) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["made", "refused", "refused", "refused"]
    assert len(store.list()) == 1


def test_a_passphrase_file_loses_its_line_break_only(tmp_path: Path) -> None:
    path = tmp_path / "passphrase"
    for written, read in ((b" a b \r\n", " a b "), (b"x", "x"), ("é\n\n".encode(), "é\n")):
        path.write_bytes(written)
        assert read_passphrase_file(path) == read


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff\xfe", b"x" * 1025])
def test_a_useless_passphrase_file_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "passphrase"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WrongPassphrase):
        read_passphrase_file(path)
