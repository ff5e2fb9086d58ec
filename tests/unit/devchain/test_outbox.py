"""The outbox: what it remembers, for whom, and across a restart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mfdb.chain.outbox import Outbox, Outgoing
from mfdb.kernel.errors import CorruptRecord
from mfdb.kernel.ids import Address, Hash
from mfdb.store.lmdb_store import LmdbStore

if TYPE_CHECKING:
    from pathlib import Path

ONE, TWO = Address(b"1" * 20), Address(b"2" * 20)
PURPOSE = Hash(b"p" * 32)


def _entry(number: int, *, sender: Address = ONE, purpose: Hash = PURPOSE) -> Outgoing:
    return Outgoing(
        sender=sender, nonce=number, hash=Hash(bytes([number]) * 32), purpose=purpose, raw=b"raw"
    )


def test_it_outlives_the_process_and_keeps_networks_apart(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path)
    first = Outbox(store, b"net")
    for number in (3, 1, 2):
        first.save(_entry(number))
    first.save(_entry(4, sender=TWO))
    first.forget(_entry(2))
    store.close()
    store = LmdbStore(tmp_path)
    again = Outbox(store, b"net")
    assert again.of(ONE) == [_entry(1), _entry(3)]
    assert again.of(TWO) == [_entry(4, sender=TWO)]
    assert Outbox(store, b"other").of(ONE) == []
    store.close()


def test_only_what_nobody_waits_for_is_adopted() -> None:
    outbox = Outbox(None, b"net")
    outbox.save(_entry(1))
    outbox.save(_entry(2))
    outbox.own(_entry(1))
    assert outbox.orphan(ONE, PURPOSE) == _entry(2)
    assert outbox.orphan(TWO, PURPOSE) is None
    assert outbox.orphan(ONE, Hash(b"q" * 32)) is None
    outbox.disown(_entry(1))
    assert outbox.orphan(ONE, PURPOSE) == _entry(1)
    outbox.forget(_entry(1))
    outbox.forget(_entry(2))
    assert outbox.orphan(ONE, PURPOSE) is None


def test_a_damaged_entry_is_said_so(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path)
    store.write([(b"chain-outbox/net/x", b"rubbish")])
    with pytest.raises(CorruptRecord):
        Outbox(store, b"net")
    store.close()
