"""Policies: on top of grants, for their actions and grantees, before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from mfdb.dataset.visibility import unconditional
from mfdb.rules.authorise import Allowed, RowView, authorise
from mfdb.rules.clauses import Policy, plain
from mfdb.rules.manifest import ALL_ACTIONS, Action, Grantee, Manifest
from tests.factories import AUTHOR, OWNER, STRANGER, grant, manifest

if TYPE_CHECKING:
    from mfdb.kernel.ids import Address

OWN, MINE, OTHER = OWNER.address, AUTHOR.address, STRANGER.address
HIGH = [">", ["column", "stars"], ["value", 3]]
LOW = ["<", ["column", "stars"], ["value", 2]]
PUBLIC = ((int(Grantee.PUBLIC), b""),)
EVERYTHING = grant(Grantee.PUBLIC)


def policy(name: str = "p", /, *, restrictive: bool = False, **changes: Any) -> Policy:
    values: dict[str, Any] = {
        "actions": ALL_ACTIONS,
        "grantees": PUBLIC,
        "using": HIGH,
        "check": None,
    }
    values |= changes
    return Policy(name, restrictive, **values)


def rules(*policies: Policy, grants: Any = (EVERYTHING,)) -> Manifest:
    return manifest(format=2, clauses=tuple(map(plain, policies)), grants=grants)


def row(stars: int | None, author: Address | None = MINE) -> RowView:
    return RowView(author=author, clear={"stars": stars})


def allows(
    made: Manifest,
    action: Action,
    before: RowView | None,
    after: RowView | None = None,
    who: Address | None = OTHER,
) -> bool:
    return isinstance(authorise(made, action, before, after, who), Allowed)


def test_without_policies_grants_decide() -> None:
    assert allows(rules(), Action.SELECT, row(1))


def test_a_policy_grants_nothing() -> None:
    assert not allows(rules(policy(), grants=()), Action.SELECT, row(5))


@pytest.mark.parametrize("who", [OWN, MINE, None])
def test_a_permissive_policy_must_hold_for_the_row_whoever_asks(who: Address | None) -> None:
    assert allows(rules(policy()), Action.SELECT, row(5), who=who)
    assert not allows(rules(policy()), Action.SELECT, row(1), who=who)
    assert not allows(rules(policy()), Action.SELECT, row(None), who=who)


def test_one_permissive_policy_of_several_is_enough() -> None:
    made = rules(policy(), policy("q", using=LOW))
    assert [allows(made, Action.SELECT, row(stars)) for stars in (1, 2, 5)] == [True, False, True]


def test_every_restrictive_policy_must_hold() -> None:
    made = rules(policy("a", restrictive=True), policy("b", restrictive=True, using=LOW))
    assert not any(allows(made, Action.SELECT, row(stars)) for stars in (1, 2, 5))
    assert allows(rules(policy(restrictive=True)), Action.SELECT, row(5))


def test_a_policy_is_for_its_actions_only() -> None:
    made = rules(policy(actions=int(Action.DELETE)))
    assert allows(made, Action.SELECT, row(1))
    assert not allows(made, Action.DELETE, row(1))


def test_where_others_have_a_permissive_policy_the_rest_has_nothing() -> None:
    made = rules(policy(grantees=((int(Grantee.IDENTITY), bytes(MINE)),)))
    assert allows(made, Action.SELECT, row(5), who=MINE)
    assert not allows(made, Action.SELECT, row(5), who=OTHER)


def test_a_restrictive_policy_for_others_binds_nobody_else() -> None:
    made = rules(policy(restrictive=True, grantees=((int(Grantee.OWNER), b""),)))
    assert allows(made, Action.SELECT, row(1), who=OTHER)
    assert not allows(made, Action.SELECT, row(1), who=OWN)


def test_authors_are_told_by_the_row() -> None:
    made = rules(policy(using=["value", True], grantees=((int(Grantee.AUTHOR), b""),)))
    assert allows(made, Action.UPDATE, row(1, MINE), row(1, MINE), who=MINE)
    assert not allows(made, Action.UPDATE, row(1, MINE), row(1, MINE), who=OTHER)


def test_using_is_asked_before_and_check_after() -> None:
    made = rules(policy(check=LOW))
    assert allows(made, Action.UPDATE, row(5), row(1))
    assert not allows(made, Action.UPDATE, row(5), row(5))
    assert not allows(made, Action.UPDATE, row(1), row(1))
    assert allows(made, Action.INSERT, None, row(1))
    assert not allows(made, Action.INSERT, None, row(5))


def test_using_stands_in_for_a_check_that_is_not_there() -> None:
    assert not allows(rules(policy()), Action.UPDATE, row(5), row(1))
    assert not allows(rules(policy()), Action.INSERT, None, row(1))


def test_some_row_could_be_allowed() -> None:
    assert allows(rules(policy()), Action.SELECT, None)


def test_no_action_with_a_policy_is_unconditional() -> None:
    made = rules(policy(actions=int(Action.DELETE)))
    assert unconditional(made, Action.SELECT, OTHER)
    assert not unconditional(made, Action.DELETE, OTHER)
