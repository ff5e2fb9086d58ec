"""docs/errors.md and the classes say the same; every error survives a process boundary whole."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest

from mfdb.kernel import errors
from mfdb.kernel.errors import InternalError, MfdbError
from mfdb.net.refusal import decode_refusal, encode_refusal

PAPER = (Path(__file__).parents[2] / "docs" / "errors.md").read_text("utf-8")
_ROW = re.compile(
    r"^\| `(\w+)` \| `(\w+)` \| (\w{5}) \| (yes|no) \| ([^|]+) \|(?: ([^|]+) \|)?$", re.MULTILINE
)
ROWS = {row[0]: row for row in _ROW.findall(PAPER)}
KINDS = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, MfdbError)
}
LEAVES = {name: kind for name, kind in KINDS.items() if ROWS.get(name, ("",) * 6)[5]}


def test_the_paper_names_every_class_and_no_other() -> None:
    assert set(ROWS) == set(KINDS)
    assert len(_ROW.findall(PAPER)) == len(ROWS)


@pytest.mark.parametrize("name", KINDS)
def test_the_row_is_what_the_class_says(name: str) -> None:
    kind = KINDS[name]
    assert kind.__doc__ is not None
    meaning = kind.__doc__.strip().splitlines()[0]
    retryable = "yes" if kind.retryable else "no"
    parent = kind.__mro__[1].__name__
    assert ROWS[name][1:5] == (parent, kind.sqlstate, retryable, meaning)


def test_every_fact_says_what_its_hint_is_and_only_groups_have_kinds() -> None:
    for name, kind in KINDS.items():
        below = [other for other in KINDS.values() if kind in other.__mro__[1:]]
        if not below:
            assert ROWS[name][5], f"{name} is a fact: say what its hint tells"


def test_no_two_facts_share_a_meaning_or_a_state() -> None:
    assert len({kind.__doc__ for kind in KINDS.values()}) == len(KINDS)
    states = [kind.sqlstate for kind in LEAVES.values()]
    assert sorted(set(states)) == sorted(states)


@pytest.mark.parametrize("name", KINDS)
def test_an_error_is_pickled_and_sent_with_all_its_fields(name: str) -> None:
    made = KINDS[name]("what happened", hint="what to do", position=7)
    back = pickle.loads(pickle.dumps(made))
    assert type(back) is KINDS[name]
    assert (back.message, back.hint, back.position) == ("what happened", "what to do", 7)
    assert (str(back), back.code) == ("what happened", name)
    told = decode_refusal(encode_refusal(made))
    assert (type(told), told.message, told.hint) == (KINDS[name], "what happened", "what to do")


def test_states_have_five_signs_and_ours_begin_with_mf() -> None:
    for kind in KINDS.values():
        assert re.fullmatch(r"[0-9A-Z]{5}", kind.sqlstate)
        if issubclass(kind, errors.ProtocolViolation):
            assert kind.sqlstate.startswith("MF3")


def test_an_unknown_fact_of_another_release_is_an_internal_error() -> None:
    class Later(MfdbError):
        """A fact of tomorrow."""

    assert type(decode_refusal(encode_refusal(Later("new", hint="h")))) is MfdbError
    from mfdb.kernel.codec import encode
    from mfdb.net.refusal import Refusal

    told = decode_refusal(encode(Refusal("Tomorrow", "new", "h")))
    assert type(told) is InternalError
