"""`mfdb identity ...` as a person and as a program uses it."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pytest

from mfdb.kernel.errors import WrongPassphrase
from shell.__main__ import main
from shell.passphrase import PassphraseSource

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Identity = Callable[..., tuple[int, str, str]]

JUNK = "test test test test test test test test test test test junk"
JUNK_ADDRESS = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"


@pytest.fixture
def identity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Identity:
    monkeypatch.delenv("MFDB_PASSPHRASE_FILE", raising=False)

    def run(*argv: str, stdin: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        code = main(["--data", str(tmp_path), "identity", *argv])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_new_prints_words_that_restore_the_identity(identity: Identity, tmp_path: Path) -> None:
    code, out, _ = identity("new", "alice", "--json")
    made = json.loads(out)
    assert code == 0
    assert len(made["words"].split()) == 12
    other = str(tmp_path / "other")
    code, out, _ = identity("restore", "al", "--data", other, "--json", stdin=made["words"])
    assert code == 0
    assert json.loads(out) == {"name": "al", "address": made["address"], "protected": False}


def test_for_a_person_the_words_come_with_a_warning(identity: Identity) -> None:
    _, out, _ = identity("new", "alice")
    assert "seed words" in out
    assert "Write the words down" in out


def test_list_and_show(identity: Identity) -> None:
    assert "No identities here yet" in identity("list")[1]
    identity("restore", "junk", stdin=JUNK)
    identity("new", "bob")
    assert identity("list")[1].count("open") == 2
    assert [found["name"] for found in json.loads(identity("list", "--json")[1])] == ["bob", "junk"]
    assert JUNK_ADDRESS in identity("show")[1]  # the first made
    assert JUNK not in identity("show")[1]
    assert JUNK in identity("show", "junk", "--words")[1]
    assert json.loads(identity("show", JUNK_ADDRESS, "--json")[1])["name"] == "junk"


def test_wrong_words_are_explained(identity: Identity) -> None:
    code, out, err = identity("restore", "junk", stdin=JUNK.replace("junk", "jumk"))
    assert (code, out) == (1, "")
    assert "word 12" in err
    assert "HINT: did you mean junk" in err
    code, _, err = identity("restore", "junk", "--json")
    assert code == 1
    assert json.loads(err)["error"]["code"] == "BadSeedWords"


def test_show_without_identities_is_an_error(identity: Identity) -> None:
    assert identity("show")[0] == 1


def test_protect_reads_the_passphrase_file(
    identity: Identity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity("restore", "junk", stdin=JUNK)
    path = tmp_path / "passphrase"
    path.write_text("open sesame\n")
    monkeypatch.setenv("MFDB_PASSPHRASE_FILE", str(path))
    code, out, _ = identity("protect", "--json")
    assert (code, json.loads(out)["protected"]) == (0, True)
    assert JUNK in identity("show", "--words")[1]
    monkeypatch.delenv("MFDB_PASSPHRASE_FILE")
    code, out, err = identity("show", "--words")
    assert (code, out) == (1, "")
    assert "MFDB_PASSPHRASE_FILE" in err


def test_the_source_asks_twice_for_a_new_passphrase() -> None:
    typed = iter(["a", "a", "a", "b", "c"])
    source = PassphraseSource({}, terminal=True, ask=lambda _prompt: next(typed))
    assert source.new() == "a"
    with pytest.raises(WrongPassphrase, match="differ"):
        source.new()
    assert source() == "c"


def test_without_file_and_terminal_nobody_is_asked() -> None:
    with pytest.raises(WrongPassphrase, match="no terminal"):
        PassphraseSource({}, terminal=False, ask=lambda _prompt: "x")()
