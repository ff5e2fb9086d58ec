"""Options: precedence, sources, errors with hints, what `mfdb config` shows."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from mfdb.kernel.errors import InvalidDefinition, MfdbError, OperationalError
from shell.__main__ import main
from shell.config import default_path, load, parse
from shell.config_command import example
from shell.dsn import target_of
from shell.options import DECLARED, NAMES, Options, default_of, read_as
from shell.settings import Target


def found(
    text: str | None, tmp_path: Path, flags: dict[str, object] | None = None, **environ: str
) -> dict[str, tuple[object, str]]:
    path = tmp_path / "config.toml"
    if text is not None:
        path.write_text(text)
    config = load(flags or {}, environ, path, must_be=text is not None)
    return {name: (one.value, one.source) for name, one in config.found.items()}


def test_every_option_is_declared_with_a_default_it_takes() -> None:
    assert tuple(DECLARED) == NAMES
    for name in NAMES:
        default = default_of(name)
        if default is not None:
            assert read_as(name, default) == default


def test_without_anything_the_defaults_hold(tmp_path: Path) -> None:
    values = found(None, tmp_path)
    assert {source for _, source in values.values()} == {"default"}
    assert Options(**{name: value for name, (value, _) in values.items()}) == Options()  # type: ignore[arg-type]  # just read


def test_flag_before_variable_before_file(tmp_path: Path) -> None:
    text = 'format = "box"\n'
    assert found(text, tmp_path)["format"] == ("box", str(tmp_path / "config.toml"))
    assert found(text, tmp_path, MFDB_FORMAT="csv")["format"] == ("csv", "MFDB_FORMAT")
    flagged = found(text, tmp_path, {"format": "json"}, MFDB_FORMAT="csv")
    assert flagged["format"] == ("json", "--format")


def test_other_programs_variables_come_before_the_default_only(tmp_path: Path) -> None:
    assert found("", tmp_path, PAGER="more")["pager"] == ("more", "PAGER")
    assert found('pager = "most"', tmp_path, PAGER="more")["pager"][0] == "most"
    assert found("", tmp_path, VISUAL="a", EDITOR="b")["editor"] == ("a", "VISUAL")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ('formt = "box"', "did you mean format?"),
        ('format = "boxes"', "format takes table, box"),
        ("column_width = -1", "a whole number from 0"),
        ("timing = 3", "on or off"),
        ("pager = 3", "a text in quotes"),
        ("format = box", "format ="),
        ("aliases = 3", "[aliases]"),
        ("[aliases]\na = 1", "[aliases]"),
        ("zzz = 1", "mfdb config"),
    ],
)
def test_what_no_option_takes_is_an_error_with_a_hint(text: str, hint: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidDefinition) as caught:
        found(text, tmp_path)
    assert hint in caught.value.hint
    assert str(tmp_path) in caught.value.message


def test_a_variable_with_a_wrong_value_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidDefinition, match="MFDB_EDITING"):
        found("", tmp_path, MFDB_EDITING="ed")


def test_a_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(OperationalError, match="no configuration file"):
        load({}, {}, tmp_path / "nothing", must_be=True)
    (tmp_path / "bytes").write_bytes(b"\xff")
    with pytest.raises(InvalidDefinition, match="not UTF-8"):
        load({}, {}, tmp_path / "bytes", must_be=True)


def test_where_the_file_is(tmp_path: Path) -> None:
    assert default_path({"MFDB_CONFIG": "x.toml"}) == Path("x.toml")
    assert default_path({"XDG_CONFIG_HOME": str(tmp_path)}).name == "config.toml"


def test_the_example_is_the_defaults_once_uncommented() -> None:
    text = "".join(example())
    assert tomllib.loads(text) == {}
    lines = [line[2:] for line in text.splitlines() if line.startswith("# ") and " = " in line]
    options = [line for line in lines if line.split(" = ")[0] in NAMES]
    assert len(options) == len(NAMES)
    usable = [line for line in options if not line.endswith('= ""')]
    values, _ = parse("\n".join(usable), "example")
    assert all(read_as(name, value) == default_of(name) for name, value in values.items())


def test_the_configuration_is_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "c.toml"
    path.write_text('format = "box"\n[aliases]\nwork = "mfdb:///srv/work"\n')
    monkeypatch.setenv("MFDB_TIMING", "on")
    assert main(["config", "--explain", "--config", str(path)]) == 0
    shown = capsys.readouterr().out
    assert f"| {path}" in shown
    assert "MFDB_TIMING" in shown
    assert "alias: work = mfdb:///srv/work" in shown
    assert main(["config", "--json", "--config", str(path)]) == 0
    told = json.loads(capsys.readouterr().out)
    by_name = {one["option"]: one for one in told["options"]}
    assert by_name["timing"]["value"] == "on"
    assert by_name["format"] == {
        "option": "format",
        "value": "box",
        "source": str(path),
        "meaning": "how results are written",
    }
    assert main(["config", "--path", "--config", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}\n"


def test_a_wrong_configuration_is_code_two_and_can_be_skipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "c.toml"
    path.write_text("nonsense = 1\n")
    base = ["--data", str(tmp_path / "box"), "--config", str(path), "-c", "SELECT 1 AS a"]
    assert main(base) == 2
    assert "there is no option 'nonsense'" in capsys.readouterr().err
    assert main([*base, "-X"]) == 0
    assert main([*base, "-X", "-P", "colour"]) == 2
    assert main([*base, "-X", "-P", "colur=never"]) == 2
    assert "did you mean colour?" in capsys.readouterr().err


ALIASES = {"work": "mfdb:////srv/work?identity=alice&network=/srv/n.json", "rel": "mfdb:///here"}


def test_names_of_databases(tmp_path: Path) -> None:
    assert target_of("work", ALIASES) == Target(
        data=Path("/srv/work"), identity="alice", network=Path("/srv/n.json")
    )
    assert target_of("rel", ALIASES).data == Path("here")
    assert target_of(str(tmp_path), {}).data == tmp_path
    assert target_of("./new", {}).data == Path("new")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("wrok", "did you mean work?"),
        ("elsewhere", "a new directory: ./elsewhere"),
        ("mfdb://host/x", "mfdb:///DIR"),
        ("mfdb:///x?identiy=a", "did you mean identity?"),
    ],
)
def test_names_that_mean_nothing(name: str, hint: str) -> None:
    with pytest.raises(MfdbError) as caught:
        target_of(name, ALIASES)
    assert hint in caught.value.hint
