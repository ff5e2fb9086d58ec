"""JSON through SQLAlchemy: made an object once, by the engine's own reader if it has one."""

from __future__ import annotations

import json
from decimal import Decimal
from functools import partial

import pytest
import sqlalchemy as sa


@pytest.mark.parametrize("reader", [None, partial(json.loads, parse_float=Decimal)])
def test_values_are_read_once(reader: partial[object] | None) -> None:
    engine = sa.create_engine("mfdb://", json_deserializer=reader)
    table = sa.Table("t", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True),
                     sa.Column("doc", sa.JSON))  # fmt: skip
    kept: list[object] = [{"a": [1, 0.5]}, "a text", 7, None, ["x"], "{}"]
    with engine.begin() as connection:
        table.drop(connection, checkfirst=True)
        table.create(connection)
        connection.execute(table.insert(), [{"id": n, "doc": d} for n, d in enumerate(kept)])
        found = connection.scalars(sa.select(table.c.doc).order_by(table.c.id)).all()
        plain = connection.execute(sa.text("SELECT doc FROM t ORDER BY id")).scalars().all()
        half = connection.scalar(sa.text("SELECT doc -> 'a' -> 1 FROM t WHERE id = 0"))
    assert found == plain
    assert found[1:] == kept[1:]
    assert half == Decimal("0.5")
    assert type(half) is (float if reader is None else Decimal)
    engine.dispose()


def test_parts_are_found_by_name_place_and_path() -> None:
    engine = sa.create_engine("mfdb://")
    table = sa.Table("t", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True),
                     sa.Column("doc", sa.JSON))  # fmt: skip
    doc = table.c.doc
    kept = [{"a": {"b c": [1, 'x"y']}, "n": 7, "ok": True}, [{"n": 8}, "two"]]
    with engine.begin() as connection:
        table.drop(connection, checkfirst=True)
        table.create(connection)
        connection.execute(table.insert(), [{"id": n, "doc": d} for n, d in enumerate(kept)])

        def one(what: sa.ColumnElement[object], number: int = 0) -> object:
            return connection.scalar(sa.select(what).where(table.c.id == number))

        assert one(doc["a"]) == {"b c": [1, 'x"y']}
        assert one(doc["a"]["b c"][1]) == 'x"y'
        assert one(doc[("a", "b c", 1)].as_string()) == 'x"y'
        assert one(doc["n"].as_integer()) == 7
        assert one(doc["ok"].as_boolean()) is True
        assert one(doc[0]["n"].as_float(), 1) == 8.0
        assert one(doc[-1].as_string(), 1) == "two"
        assert one(doc["none"]) is None
        found = connection.scalars(sa.select(table.c.id).where(doc["n"].as_integer() == 7)).all()
    assert found == [0]
    engine.dispose()
