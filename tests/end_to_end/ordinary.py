"""Programs that know nothing of replicas: scripts of well-known schemas, an ORM, pandas, random statements.

Each does the same on a replica and on plain SQLite beside it. Data are the same at each run.
"""

from __future__ import annotations

import sqlite3
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Protocol

import apsw
import pandas as pd
import random_sql
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.pool import StaticPool

import turso_sync_nb as tsn
from turso_sync_nb.changes.names import folded, is_internal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SCRIPTS = Path(__file__).parent / "programs"
SCHEMA = "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT GLOB 'sqlite_*' ORDER BY 1, 2"
SHADOWS = "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type IN ('shadow', 'virtual')"
TURSODB_OWN = "__turso_internal_"
RANDOM_STATEMENTS = 120


class Runs(Protocol):
    """A connection as DB-API has it: plain SQLite's or a replica's."""

    def execute(self, sql: str, parameters: Any = ..., /) -> Any:
        """Run one statement."""


@dataclass
class Pair:
    """A replica, and plain SQLite beside it; ``findings`` say where the replica did not do as SQLite does."""

    replica: tsn.Connection
    plain: sqlite3.Connection
    findings: list[str] = field(default_factory=list)

    def execute(self, sql: str, parameters: tuple[Any, ...] = ()) -> None:
        """Run one statement on both; what the replica refuses is left out of the plain one too."""
        head = " ".join(sql.split())[:70]
        try:
            here, failed = self.replica.execute(sql, parameters).fetchall(), None
        except (tsn.Error, apsw.Error) as error:
            if not isinstance(error, apsw.Error) or isinstance(error, apsw.AuthError):
                self.findings.append(f"refused: {head}: {error}")
                return
            here, failed = [], error
        try:
            there, expected = self.plain.execute(sql, parameters).fetchall(), None
        except sqlite3.Error as error:
            there, expected = [], error
        if (failed is None) != (expected is None):
            self.findings.append(f"differs: {head}: {failed or 'done'}, plain SQLite: {expected or 'done'}")
        elif here != there:
            self.findings.append(f"differs: {head}: {here}, plain SQLite: {there}")

    def each(self, program: Callable[[Runs], None]) -> None:
        """Run a program of several statements on each, in sqlite3's default mode; an error ends it there."""
        self.plain.isolation_level = self.replica.isolation_level = "DEFERRED"
        program(self.plain)
        try:
            program(self.replica)
        except (tsn.Error, apsw.Error) as error:
            self.findings.append(f"refused: {program.__name__}: {error}")


def statements(script: str) -> Iterator[str]:
    """Yield the statements of a script, without the comment at its head."""
    waiting = ""
    for line in script.splitlines(keepends=True):
        if not waiting and line.startswith("--"):
            continue
        waiting += line
        if sqlite3.complete_statement(waiting):
            yield waiting.strip().removesuffix(";")
            waiting = ""
    assert not waiting.strip(), waiting


def run_script(pair: Pair, name: str) -> None:
    """Run a script of the folder, statement by statement."""
    for statement in statements((SCRIPTS / f"{name}.sql").read_text()):
        pair.execute(statement)


def run_random_sql(pair: Pair, seed: int) -> None:
    """Run random changes of rows and of the schema."""
    rnd = Random(seed)
    for _ in range(RANDOM_STATEMENTS):
        found = random_sql.tables(lambda sql: pair.plain.execute(sql).fetchall())
        if not found or rnd.randint(0, 6) == 0:
            pair.execute(*random_sql.schema_statement(rnd, found, random_sql.PLAIN_FORMS))
        else:
            pair.execute(*random_sql.row_statement(rnd, found))


# SQLAlchemy


class Base(orm.DeclarativeBase):
    """The ORM's tables."""


class Author(Base):
    """An author of books."""

    __tablename__ = "author"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    name: orm.Mapped[str] = orm.mapped_column(sa.String(50), unique=True)
    books: orm.Mapped[list[Book]] = orm.relationship(back_populates="author", cascade="all, delete-orphan")


class Book(Base):
    """A book."""

    __tablename__ = "book"
    __table_args__ = (sa.CheckConstraint("price >= 0", name="ck_price"), sa.Index("ix_book_title", "title"))
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    title: orm.Mapped[str]
    price: orm.Mapped[float] = orm.mapped_column(server_default=sa.text("0"))
    stocked: orm.Mapped[bool] = orm.mapped_column(default=True)
    extra: orm.Mapped[dict[str, Any] | None] = orm.mapped_column(sa.JSON)
    author_id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey("author.id", ondelete="CASCADE"))
    author: orm.Mapped[Author] = orm.relationship(back_populates="books")


def engine_over(connection: Runs) -> sa.Engine:
    """Return an engine that uses this one connection."""
    return sa.create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool)


def sqlalchemy_orm(connection: Runs) -> None:
    """Make the tables, insert, flush, load, change, delete with a cascade, roll back."""
    engine = engine_over(connection)
    Base.metadata.create_all(engine)
    with orm.Session(engine) as session:
        books = [Book(title="Notes", price=3.5), Book(title="Letters", extra={"n": [1]})]
        ada = Author(name="Ada", books=books)
        session.add_all([ada, Author(name="Grace", books=[Book(title="Compilers", stocked=False)])])
        session.commit()
        session.scalars(sa.select(Book).where(Book.title == "Notes")).one().price = 4.25
        session.delete(session.scalars(sa.select(Author).filter_by(name="Grace")).one())
        session.flush()
        with session.begin_nested() as nested:
            session.add(Author(name="Nobody"))
            session.flush()
            nested.rollback()
        session.execute(sa.insert(Book), [{"title": f"t{n}", "author_id": ada.id} for n in range(5)])
        session.execute(sa.update(Book).where(Book.title == "t3").values(price=Book.price + 1))
        session.commit()
        session.add(Author(name="Lost"))
        session.rollback()
        assert session.scalar(sa.select(sa.func.count()).select_from(Book)) == 7
    found = sa.inspect(engine)
    assert {"author", "book"} <= set(found.get_table_names())
    assert found.get_foreign_keys("book")[0]["referred_table"] == "author"


# pandas

FRAME = pd.DataFrame(
    {
        "n": [1, 2, None],
        "x": [0.5, -1.0, float("inf")],
        "name": ["a", "ä", None],
        "at": pd.to_datetime(["2024-01-01 00:00:00", "2024-01-02 03:04:05", None]),
        "ok": [True, False, True],
    }
)


def pandas_through_sqlalchemy(connection: Runs) -> None:
    """Write frames by ``to_sql`` with an engine: new, appended, replaced, with an index, many at once."""
    engine = engine_over(connection)
    with engine.begin() as under:
        FRAME.to_sql("frame", under, index=False)
        FRAME.to_sql("frame", under, index=False, if_exists="append", method="multi")
        FRAME.head(1).to_sql("other", under, index_label="row")
        FRAME.to_sql("other", under, index_label="row", if_exists="replace")
        assert len(pd.read_sql("SELECT * FROM frame", under)) == 6


def pandas_over_the_connection(connection: Runs) -> None:
    """Write frames by ``to_sql`` with the connection itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas has tested no other than sqlite3's
        FRAME.to_sql("frame", connection, index=False)  # type: ignore[call-overload]
        FRAME.to_sql("frame", connection, index=False, if_exists="append")  # type: ignore[call-overload]
        FRAME.to_sql("frame", connection, if_exists="replace", index_label="row")  # type: ignore[call-overload]
        assert len(pd.read_sql("SELECT * FROM frame", connection)) == 3  # type: ignore[call-overload]


# States


def contents(connection: Runs) -> dict[str, list[tuple[Any, ...]]]:
    """Return every ordinary table's rows, sorted."""
    left_out = {name for (name,) in connection.execute(SHADOWS).fetchall()}
    names = [name for kind, name, _, _ in schema(connection) if kind == "table" and name not in left_out]
    return {
        folded(name): sorted(connection.execute(f'SELECT * FROM "{name}"').fetchall(), key=repr)
        for name in names
    }


def schema(connection: Runs) -> list[tuple[str, str, str, str]]:
    """Return what a user made, with its text."""
    made = [row for row in connection.execute(SCHEMA).fetchall() if not is_internal(row[1])]
    return [row for row in made if not row[1].startswith(TURSODB_OWN)]


def names(connection: Runs) -> list[tuple[Any, ...]]:
    """Return what a user made, and the columns of tables, without the texts that servers write anew.

    In lower case: ``tursodb`` keeps names so.
    """
    found: list[tuple[Any, ...]] = [tuple(map(folded, row[:3])) for row in schema(connection)]
    for kind, name, _, _ in schema(connection):
        if kind == "table":
            columns = f"SELECT name, \"notnull\", pk FROM pragma_table_xinfo('{name}')"
            found += [("column", folded(name), *row) for row in connection.execute(columns).fetchall()]
    return sorted(found)
