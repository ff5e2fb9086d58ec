"""SHOW CREATE prints what makes the same dataset again: columns, constraints, indexes, policies."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

import mfdb

NAMES = ("a", "b c", "select", "Ünï", "d")
TYPES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "SMALLINT": (("1", "-7"), ("{} > -3", "{} IN (1, 2, NULL)", "- {} < 4", "{} IS NOT NULL")),
    "BIGINT": (("9223372036854775807",), ("{} % 2 = 1", "abs({}) <> 5")),
    "REAL": (("1.5", "'NaN'", "'-Infinity'"), ("{} > 0.25",)),
    "DOUBLE PRECISION": (("1e300", "'Infinity'"), ("{} <> 'Infinity'", "{} < 1.5")),
    "DECIMAL(8,2)": (("1.50", "-0.01"), ("{} >= 0.10 OR {} IS NULL",)),
    "VARCHAR(9)": (("'it''s'", "''"), ("{} LIKE 'a\\%%' ESCAPE '\\'", "upper({}) || 'x' <> 'AX'")),
    "TEXT": (("'x'",), ("CASE WHEN {} = 'a' THEN FALSE ELSE length({}) < 9 END",)),
    "BOOLEAN": (("TRUE",), ("{}", "NOT {} OR {} IS TRUE")),
    "BYTEA": (("X'00ff'",), ("octet_length({}) < 3", "{} <> X''")),
    "DATE": (("'2020-01-31'",), ("{} BETWEEN '0001-01-01' AND '9999-12-31'",)),
    "TIMESTAMP": (("'2020-01-31 01:02:03.000004'",), ("{} > '1969-12-31'",)),
    "TIMESTAMPTZ": (
        ("now()", "'2020-01-31 00:00+02'"),
        ("coalesce({}, '2020-01-01') < '2030-01-01'",),
    ),
    "UUID": (
        ("gen_random_uuid()", "'00000000-0000-0000-0000-000000000007'"),
        ("{} IS DISTINCT FROM '00000000-0000-0000-0000-000000000001'",),
    ),
    "IDENTITY": (("current_identity()",), ("{} = current_identity()",)),
    "JSON": (("'[1]'",), ()),
    "MFT": (("0.5",), ("{} < 1000000",)),
}  # fmt: skip
KEYS = ("SMALLINT", "BIGINT", "TEXT", "VARCHAR(9)", "DATE", "UUID", "BYTEA", "BOOLEAN", "IDENTITY")


def quoted(name: str) -> str:
    return '"' + name + '"'


def _flip(draw: some.DrawFn) -> bool:
    return draw(some.booleans())


@some.composite
def statements(draw: some.DrawFn) -> list[str]:
    names = draw(some.lists(some.sampled_from(NAMES), min_size=1, unique=True))
    kinds = [draw(some.sampled_from(sorted(TYPES))) for _ in names]
    parts = [_column(draw, name, kind) for name, kind in zip(names, kinds, strict=True)]
    keyable = [name for name, kind in zip(names, kinds, strict=True) if kind in KEYS]
    if keyable and _flip(draw):
        key = draw(some.permutations(keyable))[: draw(some.integers(1, len(keyable)))]
        parts.append(f"PRIMARY KEY ({', '.join(map(quoted, key))})")
    if len(keyable) > 1 and _flip(draw):
        parts.append(f"UNIQUE ({', '.join(map(quoted, keyable[:2]))})")
    for name, kind in zip(names, kinds, strict=True):
        forms = [form for form in TYPES[kind][1] if _flip(draw)]
        parts += [f"CHECK ({form.replace('{}', quoted(name))})" for form in forms]
    made = [f"CREATE TABLE t ({', '.join(parts)})"]
    if keyable and _flip(draw):
        made.append(f"CREATE INDEX ON t ({', '.join(quoted(one) + ' DESC' for one in keyable)})")
    if "CLEAR" in parts[0] and _flip(draw):
        column = quoted(names[0])
        made.append(f"CREATE POLICY p ON t FOR UPDATE USING ({column} IS NULL) WITH CHECK (TRUE)")
    return made


def _column(draw: some.DrawFn, name: str, kind: str) -> str:
    words = [quoted(name), kind]
    words += ["CLEAR"] if _flip(draw) else []
    words += ["NOT NULL"] if _flip(draw) else []
    words += ["UNIQUE"] if kind in KEYS and _flip(draw) else []
    if _flip(draw):
        words.append(f"DEFAULT {draw(some.sampled_from(TYPES[kind][0]))}")
    return " ".join(words)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=60)
@given(statements())
def test_what_it_prints_makes_the_same(made: list[str]) -> None:
    connection = mfdb.connect(":memory:", autocommit=True)
    try:
        for text in made:
            connection.execute(text)
        before = _told(connection)
        connection.execute("DROP TABLE t")
        for (text,) in before["SHOW CREATE TABLE t"]:
            connection.execute(text)
        assert _told(connection) == before
    finally:
        connection.close()


def _told(connection: Any) -> dict[str, list[Any]]:
    asked = (
        "SHOW CREATE TABLE t",
        "DESCRIBE t",
        "SHOW INDEXES",
        "SHOW POLICIES",
        "SHOW GRANTS ON t",
    )
    return {text: connection.execute(text).fetchall() for text in asked}
