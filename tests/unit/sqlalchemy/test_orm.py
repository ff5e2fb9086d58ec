"""SQLAlchemy's ORM and core over a real directory, synchronous and on asyncio."""

from __future__ import annotations

import asyncio
import datetime
import threading
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

sa = pytest.importorskip("sqlalchemy")
from sqlalchemy import orm  # noqa: E402 - only where SQLAlchemy is installed
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Base(orm.DeclarativeBase):
    """What the models share."""


class Author(Base):
    """A person with books."""

    __tablename__ = "authors"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    name: orm.Mapped[str] = orm.mapped_column(sa.String(40), unique=True)
    born: orm.Mapped[datetime.date | None]
    books: orm.Mapped[list[Book]] = orm.relationship(
        back_populates="author", cascade="all, delete-orphan"
    )


class Book(Base):
    """A book of one author."""

    __tablename__ = "books"
    __table_args__ = (
        sa.CheckConstraint("price >= 0", name="books_price_ok"),
        sa.UniqueConstraint("author_id", "title", name="books_title_once"),
        sa.Index("books_by_price", "price"),
    )
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    title: orm.Mapped[str]
    price: orm.Mapped[Decimal] = orm.mapped_column(sa.Numeric(8, 2), default=Decimal("9.50"))
    tags: orm.Mapped[dict[str, Any] | None] = orm.mapped_column(sa.JSON)
    number: orm.Mapped[uuid.UUID] = orm.mapped_column(default=uuid.uuid4)
    cover: orm.Mapped[bytes | None]
    sold: orm.Mapped[bool] = orm.mapped_column(default=False)
    weight: orm.Mapped[float | None]
    printed: orm.Mapped[datetime.datetime | None]
    read_at: orm.Mapped[datetime.time | None]
    takes: orm.Mapped[datetime.timedelta | None]
    stamped: orm.Mapped[datetime.datetime | None] = orm.mapped_column(sa.DateTime(timezone=True))
    author_id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey("authors.id"))
    author: orm.Mapped[Author] = orm.relationship(back_populates="books")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Any]:
    made = sa.create_engine(f"mfdb:///{tmp_path}/box")
    Base.metadata.create_all(made)
    yield made
    made.dispose()


def test_objects_come_back_as_they_were(engine: Any) -> None:
    moment = datetime.datetime(2024, 2, 29, 12, 0, 0, 7)
    with orm.Session(engine) as session:
        author = Author(name="Ada", born=datetime.date(1815, 12, 10))
        author.books = [
            Book(title="Notes", tags={"a": [1, None]}, cover=b"\x00\xff", weight=0.5),
            Book(
                title="More",
                price=Decimal("0.10"),
                printed=moment,
                sold=True,
                read_at=datetime.time(21, 30),
                takes=datetime.timedelta(days=1, hours=2),
            ),
        ]
        author.books[1].stamped = moment.replace(tzinfo=datetime.UTC)
        session.add(author)
        session.commit()
        assert author.id == 1
    with orm.Session(engine) as session:
        found = session.scalars(
            sa.select(Author).options(orm.selectinload(Author.books)).where(Author.name == "Ada")
        ).one()
        assert found.born == datetime.date(1815, 12, 10)
        notes, more = sorted(found.books, key=lambda book: book.id)
        assert (notes.tags, notes.cover, notes.weight) == ({"a": [1, None]}, b"\x00\xff", 0.5)
        assert (notes.price, notes.sold) == (Decimal("9.50"), False)
        assert (more.price, more.printed, more.sold) == (Decimal("0.10"), moment, True)
        assert more.read_at == datetime.time(21, 30)
        assert more.takes == datetime.timedelta(days=1, hours=2)
        assert more.stamped == moment.replace(tzinfo=datetime.UTC)
        assert isinstance(more.number, uuid.UUID)


def test_joins_aggregates_and_expressions(engine: Any) -> None:
    with orm.Session(engine) as session:
        for name, count in (("Ada", 2), ("Bob", 3)):
            books = [Book(title=f"b{n}", price=Decimal(n + 1)) for n in range(count)]
            session.add(Author(name=name, books=books))
        session.commit()
        rows = session.execute(
            sa.select(Author.name, sa.func.count(Book.id), sa.func.sum(Book.price))
            .join(Author.books)
            .group_by(Author.name)
            .having(sa.func.count() > 2)
            .order_by(sa.desc(Author.name))
        ).all()
        assert rows == [("Bob", 3, Decimal("6.00"))]
        titles = session.scalars(
            sa.select(Book.title)
            .where(Book.title.like("b%"), Book.id.in_([1, 2, 5]))
            .order_by(Book.id)
            .limit(2)
            .offset(1)
        ).all()
        assert titles == ["b1", "b2"]
        assert session.scalar(sa.select(sa.exists().where(Author.name == "Zoe"))) is False
        upper = sa.select(sa.func.upper(Author.name) + sa.literal("!")).order_by(Author.id)
        assert session.scalars(upper).all() == ["ADA!", "BOB!"]


def test_changes_cascades_and_deletes(engine: Any) -> None:
    with orm.Session(engine) as session:
        author = Author(name="Ada", books=[Book(title="one"), Book(title="two")])
        session.add(author)
        session.commit()
        author.books[0].title = "changed"
        del author.books[1]
        session.commit()
        assert session.scalars(sa.select(Book.title)).all() == ["changed"]
        changed = session.execute(sa.update(Book).values(sold=True).where(Book.title == "changed"))
        assert changed.rowcount == 1
        session.delete(author)
        session.commit()
        assert session.scalar(sa.select(sa.func.count()).select_from(Book)) == 0


def test_rollback_and_savepoints(engine: Any) -> None:
    with orm.Session(engine) as session:
        session.add(Author(name="kept"))
        nested = session.begin_nested()
        session.add(Author(name="given up"))
        session.flush()
        nested.rollback()
        with session.begin_nested():
            session.add(Author(name="kept too"))
        session.commit()
        session.add(Author(name="lost"))
        session.flush()
        session.rollback()
        names = session.scalars(sa.select(Author.name).order_by(Author.name)).all()
        assert names == ["kept", "kept too"]


def test_rules_are_errors_of_their_kind(engine: Any) -> None:
    for wrong in (
        Author(name=None),
        Book(title="x", author_id=99),
        Book(title="x", price=Decimal(-1), author=Author(name="Eve")),
    ):
        with orm.Session(engine) as session:
            session.add(wrong)
            with pytest.raises(sa.exc.IntegrityError):
                session.commit()
    with orm.Session(engine) as session, pytest.raises(sa.exc.ProgrammingError):
        session.execute(sa.text("SELECT nothing FROM authors"))


def test_many_rows_at_once_give_their_keys(engine: Any) -> None:
    with orm.Session(engine) as session:
        authors = [Author(name=f"n{n}") for n in range(300)]
        session.add_all(authors)
        session.commit()
        assert sorted(author.id for author in authors) == list(range(1, 301))
        by_name = {author.name: author.id for author in session.scalars(sa.select(Author))}
        assert all(by_name[f"n{n}"] == authors[n].id for n in range(300))


def test_threads_have_connections_of_their_own(engine: Any) -> None:
    def add(first: int) -> None:
        for number in range(first, first + 5):
            with orm.Session(engine) as session:
                session.add(Author(id=number, name=f"n{number}"))
                session.commit()

    threads = [threading.Thread(target=add, args=(100 * at,)) for at in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with engine.connect() as one, engine.connect() as other:
        count = sa.select(sa.func.count()).select_from(Author)
        assert one.scalar(count) == other.scalar(count) == 20


def test_a_directory_stays_open_for_whoever_comes_next(engine: Any) -> None:
    first = engine.connect()
    second = engine.connect()
    second.invalidate()
    second.close()
    other = sa.create_engine(engine.url)
    with engine.connect() as third, other.connect() as fourth:
        assert third.scalar(sa.text("SELECT 1")) == fourth.scalar(sa.text("SELECT 1")) == 1
    first.close()
    other.dispose()
    engine.dispose()
    with engine.connect() as again:
        assert sa.inspect(again).has_table("authors")


def test_autocommit_is_an_isolation_level(engine: Any) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.insert(Author).values(id=1, name="at once"))
        connection.rollback()
    with engine.connect() as connection:
        assert connection.get_isolation_level() == "SERIALIZABLE"
        assert connection.scalar(sa.select(Author.name)) == "at once"


def test_the_asynchronous_engine(tmp_path: Path) -> None:
    async def run() -> None:
        engine = create_async_engine(f"mfdb+aio:///{tmp_path}/box")
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        async with AsyncSession(engine, expire_on_commit=False) as session:
            author = Author(name="Ada", books=[Book(title="one")])
            session.add(author)
            await session.commit()
            found = await session.scalar(
                sa.select(Author)
                .options(orm.selectinload(Author.books))
                .execution_options(populate_existing=True)
            )
            assert [book.title for book in found.books] == ["one"]
        async with engine.connect() as connection:
            endless = sa.text(
                "SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b"
            )
            slow = asyncio.create_task(connection.scalar(endless))
            await asyncio.sleep(0)
            assert not slow.done()
            slow.cancel()
            with pytest.raises(asyncio.CancelledError):
                await slow
        async with engine.connect() as connection:
            assert await connection.scalar(sa.select(Author.name)) == "Ada"
        await engine.dispose()

    asyncio.run(asyncio.wait_for(run(), 120))
