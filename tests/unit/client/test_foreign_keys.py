"""Foreign keys hold between sessions, too: what one judged by must not have changed at COMMIT."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mfdb.client.session import Session
from mfdb.kernel.errors import ForeignKeyViolation, StaleWrite
from tests.fixtures.users import Names

if TYPE_CHECKING:
    from tests.fixtures.users import User


class Two:
    """Two sessions of one identity over one replica."""

    def __init__(self, user: User) -> None:
        self.one = user.session
        self.other = Session(
            user.replica, user.keys, clock=user.world, entropy=user.world, identities=Names()
        )


def run(session: Session, text: str) -> list[tuple[object, ...]]:
    result = session.start(text)
    return list(result.rows)  # type: ignore[union-attr] # no network here


@pytest.fixture
def pair(local: User) -> Two:
    made = Two(local)
    run(made.one, "CREATE TABLE p (id INTEGER PRIMARY KEY)")
    run(made.one, "CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p)")
    run(made.one, "INSERT INTO p VALUES (1), (2)")
    return made


def test_a_child_does_not_come_to_a_parent_that_went_meanwhile(pair: Two) -> None:
    one, other = pair.one, pair.other
    run(one, "BEGIN")
    run(one, "INSERT INTO c VALUES (1, 1)")
    run(other, "DELETE FROM p WHERE id = 1")
    with pytest.raises(StaleWrite):
        run(one, "COMMIT")
    assert run(one, "SELECT count(*) FROM c") == [(0,)]


def test_a_parent_does_not_go_when_a_child_came_meanwhile(pair: Two) -> None:
    one, other = pair.one, pair.other
    run(one, "BEGIN")
    run(one, "DELETE FROM p WHERE id = 2")
    run(other, "INSERT INTO c VALUES (1, 2)")
    with pytest.raises(StaleWrite):
        run(one, "COMMIT")
    assert run(one, "SELECT count(*) FROM p") == [(2,)]


def test_nothing_is_in_the_way_of_batches_that_nobody_disturbs(pair: Two) -> None:
    one, other = pair.one, pair.other
    run(one, "BEGIN")
    run(one, "INSERT INTO p VALUES (3)")
    run(one, "INSERT INTO c VALUES (1, 3)")
    run(one, "DELETE FROM p WHERE id = 1")
    run(one, "COMMIT")
    assert run(other, "SELECT id FROM p ORDER BY id") == [(2,), (3,)]


def test_what_was_planned_before_an_alter_is_planned_again(pair: Two) -> None:
    one, other = pair.one, pair.other
    run(one, "BEGIN")
    run(one, "INSERT INTO p VALUES (9)")
    run(other, "ALTER TABLE p ADD COLUMN more TEXT")
    with pytest.raises(StaleWrite):
        run(one, "COMMIT")
    run(one, "INSERT INTO p VALUES (9, 'x')")
    assert run(other, "SELECT more FROM p WHERE id = 9") == [("x",)]


def test_a_row_that_refers_to_nothing_is_no_conflict_when_the_statement_is_tried_again(
    pair: Two,
) -> None:
    one = pair.one
    run(one, "BEGIN")
    with pytest.raises(ForeignKeyViolation):
        run(one, "INSERT INTO c VALUES (50, 99) ON CONFLICT DO NOTHING")
    assert one.start("COMMIT").tag == "ROLLBACK"  # type: ignore[union-attr] # no network here
    assert run(one, "SELECT count(*) FROM c") == [(0,)]
