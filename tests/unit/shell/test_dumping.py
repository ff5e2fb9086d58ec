"""`mfdb dump|verify|restore` as a person calls them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from mfdb.client.opening import open_home
from mfdb.dataset.dump import file_form
from mfdb.node.keystore import keystore_in
from mfdb.node.system import SystemEntropy
from shell.__main__ import main
from shell.dumping.told import told_size

if TYPE_CHECKING:
    from pathlib import Path


def run(data: Path, *argv: str) -> int:
    return main(["--data", str(data), *argv])


def sql(data: Path, *statements: str) -> int:
    return run(data, "-q", *(word for text in statements for word in ("-c", text)))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    home = tmp_path / "a"
    assert sql(home, "CREATE DATASET t (id SERIAL PRIMARY KEY, b TEXT)") == 0
    assert sql(home, "INSERT INTO t (b) VALUES ('one'), ('two')") == 0
    return home


def same_identity(data: Path, other: Path) -> None:
    words = keystore_in(data, SystemEntropy()).words("me")
    keystore_in(other, SystemEntropy()).restore("me", words)


def test_dumped_verified_and_restored_on_another_machine(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two, other = tmp_path / "one.dump", tmp_path / "two.dump", tmp_path / "b"
    assert run(data, "dump", str(one)) == 0
    assert "full dump, 1 datasets, 1 new changesets" in capsys.readouterr().out
    assert one.stat().st_mode & 0o777 == 0o600
    sql(data, "INSERT INTO t (b) VALUES ('three')")
    assert run(data, "dump", str(two), "--since", str(one), "--json") == 0
    assert json.loads(capsys.readouterr().out)["number"] == 1
    assert run(other, "verify", str(two), str(one)) == 0
    assert capsys.readouterr().out.endswith("good: everything verifies\n")
    assert run(other, "restore", str(one), str(two)) == 1
    assert "mfdb identity restore" in capsys.readouterr().err
    same_identity(data, other)
    assert run(other, "restore", str(one), str(two), "--json") == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 3
    for home in (data, other):
        assert sql(home, "INSERT INTO t (b) VALUES ('four')") == 0
        assert run(home, "--format", "csv", "-t", "-c", "SELECT * FROM t ORDER BY id") == 0
        assert capsys.readouterr().out.split() == ["1,one", "2,two", "3,three", "4,four"]
    assert run(other, "restore", str(one)) == 1
    assert "datasets of this identity here already" in capsys.readouterr().err


def test_a_file_that_is_there_is_not_overwritten_unasked(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "one.dump"
    target.write_bytes(b"precious")
    assert run(data, "dump", str(target)) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert target.read_bytes() == b"precious"
    assert run(data, "dump", str(target), "--overwrite") == 0
    assert run(data, "verify", str(target)) == 0


def test_a_dataset_that_is_not_there_is_named(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(data, "dump", str(tmp_path / "one.dump"), "nope") == 1
    assert 'dataset "nope" does not exist' in capsys.readouterr().err


def test_a_damaged_file_is_placed_and_restores_nothing(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target, other = tmp_path / "one.dump", tmp_path / "b"
    assert run(data, "dump", str(target)) == 0
    whole = bytearray(target.read_bytes())
    whole[len(whole) // 2] ^= 4
    target.write_bytes(whole)
    same_identity(data, other)
    for command in ("verify", "restore"):
        assert run(other, command, str(target)) == 1
        assert f"{target}: at byte" in capsys.readouterr().err
    assert sorted(path.name for path in other.iterdir()) == ["keystore"]
    assert run(data, "verify", str(tmp_path / "none.dump")) == 1
    assert "cannot read" in capsys.readouterr().err


def test_ctrl_c_leaves_nothing_half(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, other = tmp_path / "one.dump", tmp_path / "b"
    assert run(data, "dump", str(target)) == 0
    same_identity(data, other)

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("mfdb.dataset.replica.Replica.check", interrupted)
        assert run(other, "restore", str(target)) == 130
        patched.setattr(file_form.DumpWriter, "end", interrupted)
        assert run(data, "dump", str(tmp_path / "two.dump")) == 130
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "one.dump"]
    home = open_home(other, identity=None, passphrase=None)
    home.close()
    assert sorted(path.name for path in home.directory.iterdir()) == ["replica"]
    assert run(other, "restore", str(target)) == 0


def test_sizes_are_told_as_people_read_them() -> None:
    assert [told_size(size) for size in (1, 1023, 1024, 3 * 2**30, 2**60)] == [
        "1 bytes",
        "1023 bytes",
        "1.0 KiB",
        "3.0 GiB",
        "1048576.0 TiB",
    ]
