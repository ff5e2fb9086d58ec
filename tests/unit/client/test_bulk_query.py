"""INSERT ... SELECT in bulk does what it does row by row."""

from __future__ import annotations

from typing import Any

import pytest

from mfdb.client.bulk_query import BulkQuery
from mfdb.kernel.errors import MfdbError
from tests.fixtures.users import User

INTO = (
    "CREATE TABLE target (id INTEGER PRIMARY KEY, s TEXT NOT NULL DEFAULT 'new', d DECIMAL(6,2), "
    "n BIGINT"
)


def outcome(user: User, text: str) -> str:
    """Return how a statement ends."""
    try:
        return user.now(text).tag
    except MfdbError as error:
        return f"{error.sqlstate} {error.message}"


@pytest.mark.parametrize(
    "text",
    [
        "SELECT id, s, d, n FROM source",
        "SELECT id + 10, s || 'x', d * 2, id FROM source ORDER BY id DESC",
        "SELECT id, s FROM source WHERE id > 1",
        "SELECT id, s, id, d FROM source",
        "SELECT 7, s, NULL, 1 FROM source",
        "SELECT 3000000000, 'a'",
        "SELECT id, NULL, d, n FROM source",
        "SELECT id, s, d * 10000, n FROM source",
        "SELECT id FROM source WHERE id < 0",
        "SELECT id, 's', 1.005 FROM target",
        "VALUES (4, 'v', 1.5, 2), (5, 'w', NULL, NULL)",
    ],
)
def test_rows_of_a_query_go_in_together_as_they_go_one_by_one(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[bool] = []
    whole = BulkQuery.of

    def noticed(*args: Any) -> BulkQuery | None:
        found = whole(*args)
        taken.append(found is not None)
        return found

    monkeypatch.setattr(BulkQuery, "of", noticed)
    said = []
    for check in (")", ", CHECK (id < 1000000))"):  # rows with a CHECK are asked one by one
        user = User("bob", None)
        user.now(INTO + check)
        user.now("CREATE TABLE source (id INTEGER PRIMARY KEY, s TEXT, d DECIMAL(6,2), n BIGINT)")
        user.now("INSERT INTO source VALUES (1, 'a', 1.50, 5), (2, 'b', NULL, -1), (3, 'ö', 0, 0)")
        user.now("INSERT INTO target (id, s) VALUES (1001, 'there')")
        ends = [outcome(user, f"INSERT INTO target {text}") for _ in range(2)]  # its keys are taken
        said.append((ends, user.now("SELECT * FROM target ORDER BY id").rows))
    assert said[0] == said[1]
    assert set(taken) in ({True, False}, set())  # none: it has no meaning at all
    assert taken == sorted(taken, reverse=True)


def test_a_batch_sees_what_a_query_brought() -> None:
    user = User("bob", None)
    user.now(INTO + ")")
    user.now("BEGIN")
    user.now("INSERT INTO target (id, n) SELECT n, n FROM generate_series(1, 5) AS n")
    user.now("INSERT INTO target (id, n) SELECT id + 5, n FROM target")
    assert outcome(user, "INSERT INTO target (id) SELECT 10") == (
        "23505 dataset target has a row with (id) = (10) already"
    )
    user.now("ROLLBACK")
    user.now("DELETE FROM target")
    user.now("BEGIN")
    user.now("INSERT INTO target (id, n) SELECT n, n FROM generate_series(1, 5) AS n")
    user.now("COMMIT")
    assert user.now("SELECT sum(n), min(s) FROM target").rows == [(15, "new")]
