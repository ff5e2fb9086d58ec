"""Grants one by one: whom they are for, which rows, which columns; and nothing without one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from mfdb.rules.authorise import Allowed, Denied, RowView, authorise
from mfdb.rules.manifest import Action, Grant, Grantee, Manifest
from tests.factories import AUTHOR, OWNER, STRANGER, grant, manifest

if TYPE_CHECKING:
    from mfdb.kernel.ids import Address

OWN, MINE, OTHER = OWNER.address, AUTHOR.address, STRANGER.address


def rules(*grants: Grant) -> Manifest:
    return manifest(grants=grants)


def row(author: Address | None = MINE, **clear: Any) -> RowView:
    return RowView(author=author, clear=clear)


def allows(
    who: Address | None,
    action: Action,
    before: RowView | None,
    after: RowView | None,
    *grants: Grant,
) -> bool:
    return isinstance(authorise(rules(*grants), action, before, after, who), Allowed)


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("who", [OWN, MINE, None])
def test_nothing_is_allowed_without_a_grant_not_even_to_the_owner(
    action: Action, who: Address | None
) -> None:
    found = authorise(rules(), action, row(), row(), who)
    assert found == Denied(f"nobody is granted {action.name} on mailbox")


def test_a_denial_names_who_and_what() -> None:
    found = authorise(rules(grant(Grantee.OWNER)), Action.DELETE, row(), None, OTHER)
    assert isinstance(found, Denied)
    assert OTHER.hex() in found.reason
    assert "DELETE on mailbox" in found.reason
    nobody = authorise(rules(grant(Grantee.OWNER)), Action.DELETE, row(), None, None)
    assert isinstance(nobody, Denied)
    assert "PUBLIC" in nobody.reason


@pytest.mark.parametrize("action", Action)
def test_a_grant_is_for_its_actions_only(action: Action) -> None:
    for granted in Action:
        assert allows(OTHER, action, row(), row(), grant(Grantee.PUBLIC, int(granted))) == (
            granted is action
        )


@pytest.mark.parametrize(
    ("grantee", "identity", "allowed"),
    [
        (Grantee.PUBLIC, b"", {OWN, MINE, OTHER, None}),
        (Grantee.OWNER, b"", {OWN}),
        (Grantee.AUTHOR, b"", {MINE}),
        (Grantee.IDENTITY, OTHER, {OTHER}),
        (Grantee.IDENTITY, b"", set()),
    ],
)
def test_whom_a_grant_is_for(grantee: Grantee, identity: bytes, allowed: set[Any]) -> None:
    found = {
        who
        for who in (OWN, MINE, OTHER, None)
        if allows(who, Action.UPDATE, row(), row(), grant(grantee, identity=identity))
    }
    assert found == allowed


def test_the_author_of_an_update_is_that_of_the_row_before() -> None:
    mine, theirs = row(MINE), row(OTHER)
    right = grant(Grantee.AUTHOR)
    assert allows(MINE, Action.UPDATE, mine, theirs, right)
    assert not allows(MINE, Action.UPDATE, theirs, mine, right)


def test_a_row_of_a_sealed_sender_has_no_author_who_could_ask() -> None:
    assert not allows(None, Action.SELECT, row(None), None, grant(Grantee.AUTHOR))
    assert not allows(MINE, Action.SELECT, row(None), None, grant(Grantee.AUTHOR))


def test_a_condition_must_hold_before_and_after() -> None:
    """Else one could move rows out of the rows that one may change, or into them."""
    right = grant(Grantee.PUBLIC, condition=["=", ["column", "stars"], ["value", 1]])
    low, high = row(stars=1), row(stars=2)
    assert allows(OTHER, Action.UPDATE, low, low, right)
    assert not allows(OTHER, Action.UPDATE, low, high, right)
    assert not allows(OTHER, Action.UPDATE, high, low, right)
    assert allows(OTHER, Action.INSERT, None, low, right)
    assert not allows(OTHER, Action.INSERT, None, high, right)
    assert allows(OTHER, Action.DELETE, low, None, right)
    assert not allows(OTHER, Action.DELETE, high, None, right)


@pytest.mark.parametrize(
    "condition",
    [
        ["column", "stars"],
        ["value", 1],
        ["value", None],
        ["=", ["column", "missing"], ["value", 1]],
        ["no such operator"],
        ["/", ["value", 1], ["value", 0]],
        [],
        7,
    ],
)
def test_only_true_allows(condition: Any) -> None:
    """A number, NULL, an error or nonsense is not true."""
    right = grant(Grantee.PUBLIC, condition=condition)
    assert not allows(OTHER, Action.UPDATE, row(stars=1), row(stars=1), right)


def test_author_and_caller_in_a_condition() -> None:
    same = grant(Grantee.PUBLIC, condition=["=", ["author"], ["caller"]])
    assert allows(MINE, Action.DELETE, row(MINE), None, same)
    assert not allows(OTHER, Action.DELETE, row(MINE), None, same)
    assert not allows(None, Action.DELETE, row(None), None, same)


def test_columns_limit_what_an_update_may_change() -> None:
    right = grant(Grantee.PUBLIC, columns=("stars",))
    before = row(stars=1, label="a")
    assert allows(OTHER, Action.UPDATE, before, row(stars=2, label="a"), right)
    assert not allows(OTHER, Action.UPDATE, before, row(stars=2, label="b"), right)
    assert not allows(OTHER, Action.UPDATE, before, row(stars=1, label="a", new=1), right)


def test_one_of_several_grants_is_enough_but_their_halves_do_not_add_up() -> None:
    for_one = grant(Grantee.PUBLIC, condition=["=", ["column", "stars"], ["value", 1]])
    for_two = grant(Grantee.PUBLIC, condition=["=", ["column", "stars"], ["value", 2]])
    assert allows(OTHER, Action.UPDATE, row(stars=2), row(stars=2), for_one, for_two)
    assert not allows(OTHER, Action.UPDATE, row(stars=1), row(stars=2), for_one, for_two)


def test_on_a_whole_dataset_it_is_allowed_if_some_row_could_be() -> None:
    right = grant(Grantee.AUTHOR, condition=["=", ["column", "stars"], ["value", 1]])
    assert allows(MINE, Action.SELECT, None, None, right)
    assert not allows(None, Action.SELECT, None, None, right)
    assert not allows(MINE, Action.SELECT, None, None, grant(Grantee.OWNER))


def test_a_grant_that_is_over_does_not_count() -> None:
    until = rules(grant(Grantee.PUBLIC, until=1000), grant(Grantee.OWNER))
    early, late = until.at(999.9), until.at(1000.0)
    assert isinstance(authorise(early, Action.SELECT, row(), None, OTHER), Allowed)
    assert isinstance(authorise(late, Action.SELECT, row(), None, OTHER), Denied)
    assert isinstance(authorise(late, Action.SELECT, row(), None, OWN), Allowed)
