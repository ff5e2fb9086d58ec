"""Which statements are asked about."""

from __future__ import annotations

import pytest

from shell.danger import question_about


@pytest.mark.parametrize(
    "text",
    [
        "DROP TABLE letters",
        "delete from letters",
        "DELETE FROM letters RETURNING (SELECT 1 FROM x WHERE a = 1)",
        "UPDATE letters SET a = 1",
        "UPDATE letters SET a = (SELECT max(b) FROM c WHERE d = 1)",
        "/* oh */ DROP INDEX i",
        "ALTER TABLE letters DROP COLUMN body",
        "TRUNCATE letters",
    ],
)
def test_what_destroys_is_asked_about(text: str) -> None:
    question = question_about(text)
    assert question is not None
    assert "letters" in question or "DROP INDEX i" in question


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1",
        "DELETE FROM letters WHERE id = 1",
        "UPDATE letters SET a = 1 WHERE id = 1",
        "INSERT INTO letters VALUES (1)",
        "ALTER TABLE letters ADD COLUMN a INTEGER",
        "ALTER DATASET letters SEAL",
        "DELETE FROM 'open",
        "",
    ],
)
def test_what_does_not_is_not(text: str) -> None:
    assert question_about(text) is None


def test_a_question_is_one_short_safe_line() -> None:
    question = question_about('DROP TABLE "' + "x" * 500 + '\n\x1b[2J"')
    assert question is not None
    assert len(question) < 120
    assert question.isprintable()
