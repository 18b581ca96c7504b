"""Ledger scenarios through SQLAlchemy's ORM and sqlalchemy-libsql; tells the test what came of each."""

from __future__ import annotations

from sqlalchemy import Engine, create_engine, func, inspect, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from telling import begun, restarted, tell


class Base(DeclarativeBase):
    """All tables here."""


class Entry(Base):
    """A line of the ledger."""

    __tablename__ = "entry"
    id: Mapped[int] = mapped_column(primary_key=True)
    who: Mapped[str]
    amount: Mapped[int]


class Kept(Base):
    """A value of each kind."""

    __tablename__ = "kept"
    name: Mapped[str] = mapped_column(primary_key=True)
    half: Mapped[float | None]
    text: Mapped[str | None]
    none: Mapped[str | None]


given = begun()


def connected() -> Engine:
    """Return an engine of the server."""
    address = given["url"].removeprefix("http://")
    return create_engine(
        f"sqlite+libsql://{address}?secure=false", connect_args={"auth_token": given["token"]}
    )


def total(session: Session) -> int | None:
    """Return the sum of the ledger."""
    return session.scalar(select(func.sum(Entry.amount)))


def add(session: Session, who: str | None, *amounts: int) -> None:
    """Put lines into the ledger."""
    session.add_all([Entry(who=who, amount=amount) for amount in amounts])
    session.flush()


engine, other = connected(), connected()
Base.metadata.create_all(engine)
tell("tables", sorted(inspect(engine).get_table_names()))
with Session(engine) as session:
    add(session, "batch", 1, 2)
    session.commit()
    tell("batch", total(session))
    session.rollback()
    try:
        add(session, "batch", 10)
        add(session, None, 10)
    except (DBAPIError, ValueError) as error:
        tell("batch undone", "refused" if "NOT NULL" in str(error) else str(error))
    session.rollback()
    tell("nothing of it", total(session))
    add(session, "committed", 100)
    with Session(other) as elsewhere:
        tell("not seen elsewhere", total(elsewhere))
    tell("one row amid a transaction", total(session))
    add(session, "committed", 500)
    session.commit()
    tell("committed", total(session))
    add(session, "rolled back", 1000)
    session.rollback()
    tell("rolled back", total(session))
    session.add(Kept(name="one", half=0.5, text="Zürich 東京"))
    session.commit()
    kept = session.get_one(Kept, "one")
    tell("values", [["half", kept.half], ["text", kept.text], ["none", kept.none]])
    session.rollback()
    add(session, "lost", 10_000)
    restarted()
    try:
        add(session, "lost", 10_000)
        session.commit()
        tell("a transaction over a restart", "committed")
    except (DBAPIError, ValueError):
        tell("a transaction over a restart", "refused")
with Session(connected()) as session:
    tell("after the restart", total(session))
    add(session, "after", 20)
    session.commit()
    tell("goes on", total(session))
