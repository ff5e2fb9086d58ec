"""Whoever looks for literals in a text finds the same ones: scanner, fingerprints, splitter."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as hy

from mfdb.kernel.errors import SqlSyntax
from mfdb.sql import fingerprint
from mfdb.sql.scanner import is_open, outside, split, tokenise

_PIECES = hy.sampled_from(
    ["'", "''", "E'", "e'", "\\", "\\'", "\\\\", "\\n", ";", " ", "E", "date", "X'", "x'00'", "xE'",
     "$$", "$a$", "$1", '"', '"E"', "a", "E'a'", "'a'", "1", "1.5", "1e3", "--", "\n", "/*",
     "*/", "=", "(", ")", "é", "é'b'", "_E'c'"]
)  # fmt: skip
TEXTS = hy.lists(_PIECES, max_size=14).map("".join)


def tokens_of(text: str) -> list[tuple[str, int, int]] | None:
    try:
        return [(one.kind, one.position, one.position + len(one.text)) for one in tokenise(text)]
    except SqlSyntax:
        return None


@given(TEXTS)
def test_fingerprints_lift_whole_tokens(text: str) -> None:
    tokens = tokens_of(text)
    pieces = fingerprint._LITERAL.split(text)
    if tokens is None or fingerprint._UNFIT.search("\0".join(pieces[::2])) is not None:
        return  # no statement, or one that is parsed as it is
    known, at = {(start, end) for _, start, end in tokens}, 0
    for number, piece in enumerate(pieces):
        if number % 2 and fingerprint._mark(piece) in fingerprint._KINDS:
            assert (at, at + len(piece)) in known
        at += len(piece)


@given(TEXTS)
def test_scripts_are_cut_between_tokens_and_nowhere_else(text: str) -> None:
    tokens = tokens_of(text)
    if tokens is None:
        return
    cuts = [start for kind, start, _ in tokens if kind == ";"]
    assert list(outside(text, ";")) == cuts
    pieces = split(text)
    whole = [token[:2] for token in tokens if token[0] not in (";", "$END")]
    again = [
        (one.kind, piece.offset + one.position)
        for piece in pieces
        for one in tokenise(piece.text)[:-1]
    ]
    assert again == whole


@given(TEXTS)
def test_what_is_open_is_no_statement_yet(text: str) -> None:
    """An editor waits for the end of a quote; closed by what closes it, the text is whole."""
    if tokens_of(text) is not None and text.count("(") == text.count(")") == 0:
        assert not is_open(text)
