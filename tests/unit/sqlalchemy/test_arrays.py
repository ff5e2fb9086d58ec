"""SQLAlchemy's ARRAY: made, written, read, asked for elements, and reflected."""

from __future__ import annotations

from sqlalchemy import ARRAY, Column, Integer, MetaData, Table, Text, create_engine, inspect, select


def test_columns_of_arrays() -> None:
    engine = create_engine("mfdb:///:memory:")
    metadata = MetaData()
    talks = Table(
        "talks", metadata, Column("id", Integer, primary_key=True), Column("tags", ARRAY(Text))
    )
    metadata.create_all(engine)
    with engine.begin() as connection:
        rows = [{"id": 1, "tags": ["sql", None]}, {"id": 2, "tags": None}]
        connection.execute(talks.insert(), rows)
        found = connection.execute(select(talks).order_by(talks.c.id)).all()
        assert [tuple(row) for row in found] == [(1, ["sql", None]), (2, None)]
        same = select(talks.c.id).where(talks.c.tags == ["sql", None])
        assert connection.execute(same).scalars().all() == [1]
        assert connection.execute(select(talks.c.tags[1])).scalars().all() == ["sql", None]
        assert connection.execute(select(talks.c.tags[1:1])).scalars().first() == ["sql"]
    kinds = [str(column["type"]) for column in inspect(engine).get_columns("talks")]
    assert kinds == ["INTEGER", "ARRAY"]
    engine.dispose()
