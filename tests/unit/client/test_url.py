"""Connection strings: what they say, and what they may not."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mfdb
from mfdb.client.url import Location, locate

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("data/box", Location(data="data/box")),
        (":memory:", Location(data=":memory:")),
        ("mfdb://", Location(data=":memory:")),
        ("mfdb:///", Location(data=":memory:")),
        ("mfdb:///data/box", Location(data="data/box")),
        ("mfdb:////var/lib/box", Location(data="/var/lib/box")),
        ("mfdb://alice@/box", Location(data="box", identity="alice")),
        ("mfdb:///a%20b?identity=al%40ice", Location(data="a b", identity="al@ice")),
        (
            "mfdb:///box?timeout=2.5&autocommit=true&network=net.json",
            Location(data="box", timeout_s=2.5, autocommit=True, network="net.json"),
        ),
    ],
)
def test_what_a_string_says(text: str, found: Location) -> None:
    assert locate(text) == found


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("mfdb:///box?timeuot=5", "no option 'timeuot'"),
        ("mfdb:///box?timeout=soon", "number of seconds"),
        ("mfdb:///box?timeout=-1", "number of seconds"),
        ("mfdb:///box?timeout=nan", "number of seconds"),
        ("mfdb:///box?autocommit=perhaps", "true or false"),
        ("mfdb:///box?timeout=1&timeout=2", "twice"),
        ("mfdb://alice@/box?identity=bob", "twice"),
        ("mfdb://alice:secret@/box", "no passphrase"),
        ("mfdb://alice@example.org:4000/bob/inbox", "cannot name the host"),
        ("mfdb://localhost.localdomain/box", "cannot name the host"),
        ("mfdb://devnet:4000/box", "cannot name the host devnet:4000"),
        ("mfdb://[::1]/box", "cannot name the host"),
        ("mfdb://host:99999999/box", "no connection string"),
        ("mfdb://[half/box", "no connection string"),
    ],
)
def test_what_a_string_may_not_say(text: str, says: str) -> None:
    with pytest.raises(mfdb.Error, match=says) as caught:
        locate(text)
    assert "secret" not in str(caught.value)


def test_a_network_that_this_machine_knows_has_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MFDB_DATA", str(tmp_path))
    with pytest.raises(
        mfdb.InterfaceError, match=r"no network devnet here \(known: none\)"
    ) as none:
        locate("mfdb://devnet/box")
    assert "devnet up" in none.value.hint
    for name in ("devnet/network.json", "networks/town.json"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("{}")
    found = locate("mfdb://alice@devnet/box?timeout=5")
    network = str(tmp_path / "devnet" / "network.json")
    assert found == Location(data="box", identity="alice", network=network, timeout_s=5)
    assert locate("mfdb://Town/box").network == str(tmp_path / "networks" / "town.json")
    with pytest.raises(mfdb.InterfaceError, match="known: town, devnet") as other:
        locate("mfdb://city/box")
    assert "city.json" in other.value.hint
    with pytest.raises(mfdb.InterfaceError, match="twice"):
        locate("mfdb://town/box?network=net.json")


@given(st.text(max_size=40))
def test_any_text_is_a_location_or_our_error(text: str) -> None:
    with contextlib.suppress(mfdb.Error):
        locate("mfdb://" + text)


def test_connecting_by_a_string(tmp_path: Path) -> None:
    with mfdb.connect(f"mfdb:///{tmp_path}/box?autocommit=true&timeout=60") as db:
        assert (db.autocommit, db.timeout_s) == (True, 60.0)
        db.execute("CREATE TABLE t (a INTEGER)")
        assert not db.in_transaction
    with mfdb.connect(tmp_path / "box") as db:
        assert db.execute("SELECT count(*) FROM t").fetchall() == [(0,)]
    with mfdb.connect("mfdb://", autocommit=False) as db:
        assert not db.autocommit
