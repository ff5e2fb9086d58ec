"""`authorise` against a naive reading of the rules, over random grants, rows and callers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mfdb.rules.authorise import Allowed, RowView, authorise
from mfdb.rules.manifest import Action, Grant, Grantee
from tests.factories import AUTHOR, OWNER, STRANGER, grant, manifest

if TYPE_CHECKING:
    from mfdb.kernel.ids import Address

PEOPLE = (OWNER.address, AUTHOR.address, STRANGER.address)
WHO = st.sampled_from([None, *PEOPLE])
CONDITIONS = (
    None,
    ["=", ["author"], ["caller"]],
    ["<", ["column", "stars"], ["value", 2]],
    ["is_null", ["column", "label"]],
    ["value", None],
)
GRANTS = st.lists(
    st.builds(
        lambda grantee, identity, actions, columns, condition: grant(
            grantee, actions, identity, columns=columns, condition=condition
        ),
        st.sampled_from(Grantee),
        st.sampled_from([b"", *PEOPLE]),
        st.integers(0, 31),
        st.sampled_from([(), (), ("stars",), ("label",), ("stars", "label")]),
        st.sampled_from(CONDITIONS),
    ),
    max_size=4,
)
ROWS = st.builds(
    lambda author, stars, label: RowView(author=author, clear={"stars": stars, "label": label}),
    WHO,
    st.sampled_from([None, 1, 2, 3]),
    st.sampled_from([None, "a"]),
)
MAYBE_ROW = st.none() | ROWS


def holds(condition: Any, row: RowView, who: Address | None) -> bool:
    match CONDITIONS.index(condition):
        case 0:
            return True
        case 1:
            return row.author is not None and row.author == who
        case 2:
            stars = row.clear["stars"]
            return isinstance(stars, int) and stars < 2
        case 3:
            return row.clear["label"] is None
        case _:
            return False


def is_meant(given_: Grant, rows: list[RowView], who: Address | None) -> bool:
    if given_.grantee is Grantee.PUBLIC:
        return True
    if given_.grantee is Grantee.OWNER:
        return who == OWNER.address
    if given_.grantee is Grantee.IDENTITY:
        return who is not None and who == given_.identity
    return who is not None and (not rows or rows[0].author == who)


def naive(
    grants: list[Grant],
    action: Action,
    before: RowView | None,
    after: RowView | None,
    who: Address | None,
) -> bool:
    rows = [row for row in (before, after) if row is not None]
    for given_ in grants:
        if not given_.actions & action.value or not is_meant(given_, rows, who):
            continue
        if given_.columns and before is not None and after is not None:
            changed = {name for name in after.clear if after.clear[name] != before.clear[name]}
            if not changed <= set(given_.columns):
                continue
        if all(holds(given_.condition, row, who) for row in rows):
            return True
    return False


@settings(max_examples=600)
@given(GRANTS, st.sampled_from(Action), MAYBE_ROW, MAYBE_ROW, WHO)
def test_the_answer_is_that_of_the_naive_reading(
    grants: list[Grant],
    action: Action,
    before: RowView | None,
    after: RowView | None,
    who: Address | None,
) -> None:
    found = authorise(manifest(grants=tuple(grants)), action, before, after, who)
    assert isinstance(found, Allowed) == naive(grants, action, before, after, who)


@given(GRANTS, GRANTS, st.sampled_from(Action), MAYBE_ROW, MAYBE_ROW, WHO)
def test_more_grants_never_allow_less(
    few: list[Grant],
    more: list[Grant],
    action: Action,
    before: RowView | None,
    after: RowView | None,
    who: Address | None,
) -> None:
    def allowed(grants: list[Grant]) -> bool:
        rules = manifest(grants=tuple(grants))
        return isinstance(authorise(rules, action, before, after, who), Allowed)

    assert allowed(few) <= allowed(few + more)
    assert allowed(few + more) == allowed(more + few)
