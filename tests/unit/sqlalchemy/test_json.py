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
