"""USE: names without an owner mean somebody's datasets; on one machine and on a network."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as hs

import mfdb
import mfdb.aio
from mfdb.kernel.errors import (
    AccessDenied,
    InvalidDefinition,
    NotSupportedError,
    UnknownDataset,
    UnknownIdentity,
    WrongPassphrase,
)
from mfdb.node.keystore import WEAKEST, Keystore
from mfdb.node.system import SystemEntropy
from mfdb.sql.owners import of_owner
from mfdb.sql.parse import parse
from mfdb.sql.query import tables_named

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mfdb.client.dbapi import Connection
    from tests.fixtures.users import User

OWNER = "0x" + "11" * 20


@pytest.fixture
def database() -> Iterator[Connection]:
    with mfdb.connect(":memory:", autocommit=True) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        connection.execute("INSERT INTO t VALUES (1)")
        yield connection


def test_names_mean_the_owner_in_use(database: Connection) -> None:
    query = "SELECT id FROM t WHERE id = 1"
    assert database.execute(query).fetchall() == [(1,)]
    database.execute(f"USE '{OWNER}'")
    assert database.owner == OWNER
    assert database.execute("SHOW owner").fetchall() == [(OWNER,)]
    for text in (query, query, "SELECT count(*) FROM t GROUP BY id", "DELETE FROM t", "DESCRIBE t"):
        with pytest.raises(UnknownDataset):
            database.execute(text)
    own = database.identity
    assert database.execute(f'SELECT t.id FROM "{own}".t').fetchall() == [(1,)]
    assert database.execute("WITH t AS (SELECT 7 AS id) SELECT id FROM t").fetchall() == [(7,)]
    assert database.execute("SELECT count(*) FROM mf.datasets").fetchall() == [(1,)]
    database.execute("USE DEFAULT")
    assert database.execute(query).fetchall() == [(1,)]
    database.execute(f'USE "{own}"')
    assert (database.owner, database.execute(query).fetchall()) == ("", [(1,)])


def test_what_is_created_is_our_own(database: Connection) -> None:
    database.execute("CREATE IDENTITY carol")
    database.execute("USE carol")
    with pytest.raises(AccessDenied) as refused:
        database.execute("CREATE TABLE u (id INTEGER)")
    assert "USE DEFAULT" in refused.value.hint
    with pytest.raises(NotSupportedError):
        database.execute(f'CREATE VIEW "{database.identity}".v AS SELECT * FROM t')
    database.execute(f'CREATE TABLE "{database.identity}".u (id INTEGER)')
    database.execute("USE DEFAULT")
    database.execute("INSERT INTO u VALUES (3)")


def test_what_is_wrong_is_pointed_at(database: Connection) -> None:
    with pytest.raises(UnknownIdentity) as nobody:
        database.execute("USE nobody")
    assert nobody.value.position == 4
    with pytest.raises(InvalidDefinition):
        database.execute("SET owner = 'nobody'")
    assert database.owner == ""


def test_what_is_prepared_keeps_its_meaning(database: Connection) -> None:
    database.execute("USE mf")
    text = "PREPARE p AS SELECT count(*) FROM datasets"
    database.execute(text)
    assert database.execute("SELECT name FROM datasets").fetchall() == [("t",)]
    database.execute("USE DEFAULT")
    assert database.execute("EXECUTE p").fetchall() == [(1,)]
    with pytest.raises(UnknownDataset):
        database.execute("PREPARE q AS SELECT count(*) FROM datasets")


def test_the_same_text_is_answered_for_each_owner(alice: User, bob: User) -> None:
    async def main() -> None:
        for user in (alice, bob):
            await user.run("CREATE MAILBOX m (name TEXT)")
            await user.run("INSERT INTO m VALUES ('own')")
        queries = ("SELECT name FROM m", "SELECT name, count(*) FROM m GROUP BY name")
        for number in range(1, 3):
            for query in queries:
                assert (await alice.rows(query))[0][0] == "own"
            await alice.run("USE bob")
            for query in queries:
                with pytest.raises(AccessDenied):
                    await alice.run(query)
            await alice.run("INSERT INTO m VALUES ('from alice')")
            await alice.run("USE DEFAULT")
            assert await alice.rows("SELECT count(*) FROM m") == [(1,)]
            assert await bob.rows("SELECT count(*) FROM m") == [(1 + number,)]

    asyncio.run(main())


@given(
    hs.sampled_from(
        (
            "SELECT * FROM a, b.c JOIN d ON EXISTS (SELECT 1 FROM e)",
            "WITH a AS (SELECT * FROM a), b AS (SELECT * FROM a) SELECT * FROM a, b, c",
            "WITH RECURSIVE a AS (SELECT 1 UNION SELECT * FROM a) SELECT * FROM a, c",
            "INSERT INTO t SELECT * FROM u RETURNING (SELECT 1 FROM v)",
            "WITH t AS (SELECT 1) UPDATE t SET a = (SELECT 1 FROM t) FROM u WHERE a IN (SELECT 1)",
            "EXPLAIN DELETE FROM t USING u WHERE t.a = u.a",
            "SHOW COLUMNS FROM t WHERE name IN (SELECT 1 FROM u)",
            "COPY t TO STDOUT",
            "SELECT 1",
        )
    )
)
def test_every_dataset_that_a_statement_names_gets_the_owner(text: str) -> None:
    statement = parse(text)
    before = list(tables_named(statement))
    after = list(tables_named(of_owner(statement, OWNER)))
    assert [one.name for one in after] == [one.name for one in before]
    assert [one.owner for one in after] == [one.owner or OWNER for one in before]
    assert of_owner(of_owner(statement, OWNER), "another") == of_owner(statement, OWNER)


def test_use_identity_goes_on_as_somebody_else(database: Connection) -> None:
    database.execute("CREATE IDENTITY carol")
    me = database.identity
    database.execute("BEGIN")
    with pytest.raises(mfdb.ProgrammingError, match="batch"):
        database.execute("USE IDENTITY carol")
    database.execute("ROLLBACK")
    with pytest.raises(UnknownIdentity) as nobody:
        database.execute("USE IDENTITY nobody")
    assert nobody.value.position == 13
    assert database.identity == me
    changes = database.subscribe("SUBSCRIBE TO t")
    assert next(changes).new == {"id": 1}
    database.execute("USE IDENTITY carol")
    assert list(changes) == [], "the subscription belonged to the session"
    carol = database.identity
    assert database.execute("SELECT current_identity()").fetchall() == [(carol,)]
    assert carol != me
    with pytest.raises(UnknownDataset):
        database.execute("SELECT * FROM t")
    database.execute("CREATE TABLE t (name TEXT)")
    database.execute("INSERT INTO t VALUES ('mine')")
    database.execute(f"USE IDENTITY '{me}'")
    assert database.execute("SELECT * FROM t").fetchall() == [(1,)]
    database.execute("USE IDENTITY carol")
    assert database.execute("SELECT * FROM t").fetchall() == [("mine",)]
    database.execute("USE IDENTITY carol")


def test_use_identity_asks_for_the_passphrase(tmp_path: Path) -> None:
    with mfdb.connect(tmp_path) as database:
        database.execute("CREATE IDENTITY carol")
    keystore = Keystore(tmp_path / "keystore", SystemEntropy(), strength=WEAKEST)
    keystore.protect("carol", "open sesame")
    asked: list[int] = []

    def passphrase() -> str:
        asked.append(1)
        return "open sesame" if len(asked) > 1 else "wrong"

    async def main() -> None:
        async with await mfdb.aio.connect(tmp_path, identity="me", passphrase=passphrase) as db:
            me = db.identity
            with pytest.raises(WrongPassphrase):
                await db.execute("USE IDENTITY carol")
            assert (db.identity, await db.fetchval("SELECT 1")) == (me, 1)
            await db.execute("USE IDENTITY carol")
            assert db.identity != me
            assert await db.fetchval("SELECT current_identity()") == db.identity

    asyncio.run(main())
    assert len(asked) == 2


def test_a_temporary_database_of_several_connections_keeps_its_identity(
    database: Connection,
) -> None:
    database.execute("CREATE IDENTITY carol")
    with database.another() as other:
        with pytest.raises(NotSupportedError):
            other.execute("USE IDENTITY carol")
        assert other.execute("SELECT * FROM t").fetchall() == [(1,)]
