"""Regular expressions: which are refused, what they match, and that nothing takes for ever."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfdb.rules.regular.matching import TooMuchWork, regular
from mfdb.rules.regular.parse import CHARACTERS, NoFlag, NoPattern, parse

LETTERS = st.sampled_from(["a", "b", "[ab]", "[^a]", ".", "^", "$", "(?:a|bc)", "(a*)", "(b|ab)"])
QUANTIFIERS = st.sampled_from(["", "", "*", "+?", "?", "{1,2}", "{0,3}?"])


@st.composite
def patterns(draw: st.DrawFn) -> str:
    parts = []
    for letter in draw(st.lists(LETTERS, max_size=5)):
        quantifier = "" if letter in ("^", "$") else draw(QUANTIFIERS)
        parts.append(letter + quantifier)
    return "".join(parts)


@given(patterns(), st.text("abc\n", max_size=8))
def test_it_matches_where_the_standard_library_does(pattern: str, text: str) -> None:
    theirs = pattern.replace("$", r"\Z")
    assert regular(pattern).test(text) is (re.search(theirs, text, re.DOTALL) is not None)


@given(patterns(), st.text("abc\n", max_size=8))
def test_matches_stand_apart_and_begin_where_something_matches(pattern: str, text: str) -> None:
    last = -1
    for spans in regular(pattern).find(text):
        begin, end = spans[0] or (-1, -1)
        assert max(last, 0) <= begin <= end
        whole = re.compile(pattern.replace("$", r"\Z"), re.DOTALL)
        assert whole.match(text, begin) is not None or pattern.startswith("^")
        assert all(span is None or begin <= span[0] <= span[1] <= end for span in spans)
        last = end


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("(a|ab)(c|bcd)(d*)", "abcd", ["abcd", "ab", "c", "d"]),
        ("Y*?([0-9]{1,3})", "XY1234Z", ["Y1", "1"]),
        ("Y*([0-9]{1,3})", "XY1234Z", ["Y123", "123"]),
        ("(?:((c|[ab]{2,})|(.))){1,2}", "bb", ["bb", "b", None, "b"]),
        ("((a*?){2}){1,2}", "abbc", ["a", "", ""]),
        ("(\\w+)@(\\w+)(\\.org)?", "<ann@home>", ["ann@home", "ann", "home", None]),
        ("(?x) a  # one\n b", "ab", ["ab"]),
        ("***=a.b", "xa.b", ["a.b"]),
        ("[[:<:]]b[]a-]", "ab b]", ["b]"]),
        ("\\u00e4\\x41", "\u00e4A", ["\u00e4A"]),
    ],
)
def test_groups_share_a_match_as_in_postgresql(
    pattern: str, text: str, found: list[str | None]
) -> None:
    spans = next(regular(pattern).find(text))
    assert [None if span is None else text[slice(*span)] for span in spans] == found


@pytest.mark.parametrize(
    "pattern",
    ["(", ")", "[a", "a**", "*", "a{2,1}", "a{256}", "^*", "(?=a)", "(a)\\1", "\\", "\\q", "[b-a]",
     "[[:none:]]", "\\uD800", "***x", "a" * (CHARACTERS + 1), "(" * 200 + ")" * 200, "(?#"],
)  # fmt: skip
def test_what_is_no_pattern_says_so(pattern: str) -> None:
    with pytest.raises(NoPattern):
        parse(pattern)


def test_flags_that_nobody_knows_are_told() -> None:
    with pytest.raises(NoFlag):
        parse("a", "y")


def test_what_takes_others_for_ever_takes_one_pass() -> None:
    text = "a" * 5_000
    assert not regular("(a+)+$").test(text + "b")
    assert not regular("(a|a)*b").test(text)
    assert regular("(x+x+)+y").test("x" * 3_000 + "y")


def test_work_and_size_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mfdb.rules.regular.matching.STEPS", 10**5)
    with pytest.raises(TooMuchWork):
        regular("(ab?){0,200}c").test("a" * 10**6)
    with pytest.raises(TooMuchWork):
        list(regular("a|a.*b").find("a" * 1_000))
    with pytest.raises(NoPattern, match="too large"):
        regular("((a{200}){200})").test("a")
