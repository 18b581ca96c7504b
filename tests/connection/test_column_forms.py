"""Moments, days, times, JSON and decimals that went through pandas go back as their column writes them."""

from __future__ import annotations

import io
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import apsw
import pandas as pd
import polars as pl
import pytest

import turso_sync_nb as tsn
from turso_sync_nb.connection.moment_style import moment_of, style_of

if TYPE_CHECKING:
    from collections.abc import Callable

DAY = [f"2024-0{n}-1{n}" for n in range(1, 5)]
CLOCK = ["00:00:00", "12:30:05", "23:59:59", "07:00:00"]


def moments(form: str, *, digits: str = "") -> list[str]:
    """Return four moments in a form."""
    days = [form.format(day=day, clock=clock, hm=clock[:5]) for day, clock in zip(DAY, CLOCK, strict=True)]
    return [day.replace("#", digits[: n + 1] or "0") for n, day in enumerate(days)]


FORMS: dict[str, tuple[str, list[Any]]] = {
    "iso": ("TIMESTAMP", moments("{day} {clock}")),
    "iso with some parts": ("DATETIME", [*moments("{day} {clock}"), "2024-05-01 10:00:00.123456"]),
    "T": ("TIMESTAMP", moments("{day}T{clock}")),
    "T Z": ("DATETIME", moments("{day}T{clock}Z")),
    "T ms Z": ("TIMESTAMP", moments("{day}T{clock}.120Z")),
    "ms": ("TIMESTAMP", moments("{day} {clock}.120")),
    "us": ("TIMESTAMP", moments("{day} {clock}.000001")),
    "ns": ("TIMESTAMP", moments("{day} {clock}.000000001")),
    "us and ns": ("TIMESTAMP", ["2024-01-01 00:00:00.078125+00:00", "2024-01-01 00:00:00.000000001+00:00"]),
    "minutes": ("DATETIME", moments("{day} {hm}")),
    "minutes T": ("DATETIME", moments("{day}T{hm}")),
    "offset": ("TIMESTAMP", moments("{day} {clock}+05:45")),
    "offset without a colon": ("TIMESTAMP", moments("{day} {clock}-0330")),
    "hours of offset": ("TIMESTAMP", moments("{day} {clock}+02")),
    "text T Z": ("TEXT", moments("{day}T{clock}Z")),
    "text days": ("TEXT", DAY),
    "days": ("DATE", DAY),
    "undeclared": ("", moments("{day}T{clock}")),
    "mixed": ("TIMESTAMP", [*moments("{day}T{clock}"), "2024-05-01 10:00:00", "2024-06-01 10:00"]),
    "mixed offsets": ("TIMESTAMP", ["2024-01-01T00:00:00+01:00", "2024-07-01T00:00:00+02:00"]),
    "seconds": ("TIMESTAMP", [1_706_659_200, 1_706_745_601, 0, -5]),
    "milliseconds": ("DATETIME", [1_706_659_200_123, 1_706_745_600_000, 1_706_745_600_001, 946_684_800_000]),
}


def to_datetime(series: pd.Series) -> pd.Series:
    """Return a column as pandas reads its moments."""
    if series.dtype.kind == "M":
        return series
    if series.dropna().map(type).eq(int).all():
        return pd.to_datetime(series, unit="ms" if series.max() > 10**11 else "s")
    offsets = {str(text)[-6:] for text in series.dropna() if str(text)[10:][-6:-5] in ("+", "-")}
    return pd.to_datetime(series, format="ISO8601", utc=len(offsets) > 1)


def in_utc(series: pd.Series) -> pd.Series:
    """Return a column as pandas reads its moments with ``utc=True``."""
    moments = to_datetime(series)
    return moments.dt.tz_convert("UTC") if moments.dt.tz else moments.dt.tz_localize("UTC")


def by_csv(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return a frame that went into a CSV file and back, with pandas' dates."""
    text = frame.assign(**{name: to_datetime(frame[name])}).to_csv(index=False)
    back = pd.read_csv(io.StringIO(text), parse_dates=[name], date_format="ISO8601")
    return back.assign(note=back["note"].astype(frame["note"].dtype))


def by_polars(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return a frame whose moments are polars', as Arrow has them."""
    moments = to_datetime(frame[name])
    zoned = moments.dt.tz_convert("UTC") if getattr(moments.dtype, "tz", None) else moments
    typed = pl.from_pandas(frame.assign(**{name: zoned}))
    return typed.to_pandas(use_pyarrow_extension_array=True)


WAYS: dict[str, Callable[[pd.DataFrame, str], pd.DataFrame]] = {
    "to_datetime": lambda frame, name: frame.assign(**{name: to_datetime(frame[name])}),
    "in UTC": lambda frame, name: frame.assign(**{name: in_utc(frame[name])}),
    "objects": lambda frame, name: frame.assign(**{name: to_datetime(frame[name]).astype(object)}),
    "csv": by_csv,
    "polars": by_polars,
}


@pytest.fixture
def server(remote_server, tmp_path) -> Any:
    """Both servers with a table for each form, and one in which the moments are the key."""
    path = tmp_path / "forms.db"
    raw = apsw.Connection(str(path))
    for number, (declared, values) in enumerate(FORMS.values()):
        raw.execute(f"CREATE TABLE t{number} (id INTEGER PRIMARY KEY, at {declared}, note TEXT)")
        raw.execute(f"CREATE TABLE k{number} (at {declared} PRIMARY KEY, note TEXT)")
        raw.executemany(f"INSERT INTO t{number} (at, note) VALUES (?, 'n')", [(value,) for value in values])
        raw.execute(f"INSERT INTO t{number} (note) VALUES ('nothing')")
        raw.execute(f"INSERT INTO k{number} SELECT at, note FROM t{number} WHERE at IS NOT NULL")
    raw.close()
    return remote_server(path)


def rows(db: tsn.Connection, table: str) -> list[Any]:
    """Return all rows of a table with the types of their values."""
    return db.execute(f"SELECT *, typeof(at) FROM {table} ORDER BY rowid").fetchall()


def test_unchanged_rows_stay_and_new_ones_have_the_form(server, connect):
    """By each way and form: nothing to write; one row by one note; a new moment in the column's form."""
    db = connect(server.url)
    for number, (form, (_, values)) in enumerate(FORMS.items()):
        table, before = f"t{number}", rows(db, f"t{number}")
        for way, through in WAYS.items():
            frame = db.edit_frame(table)
            typed = through(frame, "at")
            assert db.preview(typed, of=frame).empty, (form, way)
            typed.loc[typed["id"] == 1, "note"] = way
            typed.loc[typed["id"] == 2, "at"] += pd.Timedelta(days=1)
            report = db.apply(typed, of=frame)
            assert (report.updated, report.inserted) == (2, 0), (form, way)
            now = rows(db, table)
            assert now[0] == (*before[0][:2], way, before[0][3])
            assert now[2:] == before[2:]
            _check_form(now[1][1], values, before[1][1])
            db.execute(f"UPDATE {table} SET at = ?, note = 'n' WHERE id < 3 AND id = 2", (before[1][1],))
            db.execute(f"UPDATE {table} SET note = 'n' WHERE id = 1")
            db.commit()
            assert rows(db, table) == before
    assert db.push()
    other = connect(server.url, db.path.parent / "other.db")
    assert [rows(other, f"t{n}") for n in range(len(FORMS))] == [rows(db, f"t{n}") for n in range(len(FORMS))]


def test_another_zone_is_kept(server, connect):
    """A moment with a zone of its own goes into a column without one as it is."""
    db = connect(server.url)
    frame = db.edit_frame("t0")
    frame["at"] = to_datetime(frame["at"]).dt.tz_localize("Europe/Berlin")
    db.apply(frame.head(2))
    assert [row[1] for row in rows(db, "t0")[:3]] == [
        "2024-01-11 00:00:00+01:00", "2024-02-12 12:30:05+01:00", "2024-03-13 23:59:59",
    ]  # fmt: skip


def _check_form(now: Any, values: list[Any], before: Any) -> None:
    """Compare the form of a moment that was put a day later with that of the others."""
    if isinstance(before, int):
        assert now - before == (86_400 if before < 10**11 else 86_400_000)
        return
    style = style_of(values)
    if style is not None:
        assert style_of([*values, now]) == style, (now, values)
    was, then = moment_of(before), moment_of(now)
    assert (was[0] + 1, *was[1:]) == then


def test_keys_are_found_by_what_they_say(server, connect):
    """Moments in the key: rows are found, one note is one update, nothing is inserted or kept."""
    db = connect(server.url)
    for number, form in enumerate(FORMS):
        table, before = f"k{number}", rows(db, f"k{number}")
        for way, through in WAYS.items():
            frame = db.edit_frame(table)
            typed = through(frame, "at")
            assert db.preview(typed, of=frame).empty, (form, way)
            typed.loc[0, "note"] = way
            report = db.apply(typed, of=frame)
            assert (report.updated, report.inserted, report.kept) == (1, 0, 0), (form, way)
            now = rows(db, table)
            assert [row[::2] for row in now] == [row[::2] for row in before]
            assert [row[1] for row in now] == [way, *(row[1] for row in before[1:])]


def test_frames_are_written_in_the_form_that_is_there(server, connect):
    """Upserted unchanged, nothing is captured; appended, the new rows are as the others; so after replace."""
    db = connect(server.url)
    for number, (form, (_, values)) in enumerate(FORMS.items()):
        table, before = f"t{number}", rows(db, f"t{number}")
        frame = db.query(f"SELECT * FROM {table}")
        typed = frame.assign(at=to_datetime(frame["at"]))
        waiting = db.pending_changes
        db.write_frame(typed, table, "upsert")
        if "mixed" not in form:
            assert db.pending_changes == waiting, form
            assert rows(db, table) == before, form
        db.write_frame(typed.head(4).assign(id=lambda f: f["id"] + 100), table)
        added = db.execute(f"SELECT at FROM {table} WHERE id > 100 ORDER BY id").fetchall()
        for (now,), value in zip(added, values, strict=False):
            assert now == value or "mixed" in form, form
        if "mixed" not in form:
            db.write_frame(typed, table, "replace")
            assert rows(db, table) == before, form


FORMATS = {(8, "0"): "%Y%m%d", (10, "/"): "%Y/%m/%d", (10, "1"): "%d.%m.%Y", (7, "-"): "%Y-%m"}
"""By length and fifth character."""

OTHERS: dict[str, tuple[str, list[Any], Callable[[Any], Any], Callable[[Any], Any], Any]] = {
    "json": ("JSON", ['{"a":1,"b":[1,2]}', "[]", None], json.loads, lambda v: {**v, "c": "ü"},
             '{"a":1,"b":[1,2],"c":"ü"}'),
    "json with spaces": ("JSON", ['{"a": 1}', '{"a": "\\u00fc"}'], json.loads, lambda v: [v], '[{"a": 1}]'),
    "json of a kind": ("JSON", ['{"a" :1.50}', '{"b": true}'], json.loads, lambda _: {"b": 1}, '{"b":1}'),
    "decimal": ("DECIMAL(10, 2)", [1.5, 2, 0.1, None], lambda v: Decimal(str(v)), lambda v: v * 2, 3),
    "numeric": ("NUMERIC", [1.25, 2], lambda v: Decimal(str(v)), lambda v: v + Decimal("0.1"), 1.35),
    "time": ("TIME", ["12:30:00", "23:59:59"], lambda v: pd.Timestamp(f"2024-01-01 {v}").time(),
             lambda v: v.replace(hour=1), "01:30:00"),
    "time to the minute": ("TIME", ["12:30", "00:00", None], lambda v: pd.Timestamp(f"2024-01-01 {v}").time(),
                           lambda v: v.replace(hour=1), "01:30"),
    "days in other forms": ("TEXT", ["20240131", "2024/01/31", "31.01.2024", "2024-01"],
                            lambda v: pd.to_datetime(v, format=FORMATS[len(v), v[4]]),
                            lambda v: v.replace(year=2025), "2025-01-31 00:00:00"),
    "seconds of no moment": ("INTEGER", [1_706_702_400, 0], lambda v: pd.Timestamp(v, unit="s"),
                             lambda v: v.replace(year=2025), "2025-01-31 12:00:00"),
    "time as timedelta": ("TIME", ["12:30:00.500", "01:00:00.000"], pd.Timedelta, lambda v: v / 2,
                          "06:15:00.250"),
}  # fmt: skip
"""Declared type, values, what a user makes of them, how one is changed, and what is stored then."""


def test_json_decimals_and_times_go_back_too(server, connect):
    """Unchanged, nothing is to be written; a changed value has the form of the others."""
    db = connect(server.url)
    for name, (declared, values, made, change, stored) in OTHERS.items():
        db.execute("DROP TABLE IF EXISTS o")
        db.execute(f"CREATE TABLE o (id INTEGER PRIMARY KEY, at {declared})")
        db.executemany("INSERT INTO o (at) VALUES (?)", [(value,) for value in values])
        db.commit()
        before = rows(db, "o")
        frame = db.edit_frame("o")
        there = [None if pd.isna(value) else made(value) for value in frame["at"].tolist()]
        typed = frame.assign(at=pd.Series(there, dtype=object))
        assert db.preview(typed, of=frame).empty, name
        typed["at"] = pd.Series([change(there[0]), *there[1:]], dtype=object)
        assert db.apply(typed, of=frame).updated == 1
        assert rows(db, "o")[0][1] == stored, name
        assert rows(db, "o")[1:] == before[1:], name


@pytest.mark.parametrize(
    ("declared", "there", "value", "reason"),
    [
        ("DECIMAL", 1.5, Decimal("0.12345678901234567890"), "more digits than a float"),
        ("TIMESTAMP", 1_706_659_200, pd.Timestamp("2024-01-01 00:00:00.5"), "no number of seconds"),
        ("TIME", "12:00", pd.Timedelta(hours=25), "has no SQLite type"),
        ("DECIMAL", 1.5, Decimal("Infinity"), "Infinity is no number"),
        ("JSON", "{}", {1, 2}, "has no SQLite type"),
        ("TEXT", "1.50", Decimal("1.50"), "has no SQLite type"),
    ],
)
def test_what_the_column_cannot_hold_is_refused(server, connect, declared, there, value, reason):  # noqa: PLR0917 - a table's columns
    """It names column and row, and nothing is written."""
    db = connect(server.url)
    db.execute(f"CREATE TABLE r (id INTEGER PRIMARY KEY, at {declared})")
    db.execute("INSERT INTO r (at) VALUES (?)", (there,))
    db.commit()
    before = rows(db, "r")
    frame = pd.DataFrame({"id": [7, 8], "at": pd.Series([None, value], dtype=object)})
    with pytest.raises(tsn.UsageError, match=rf"write to r, column at, row 1: .*{reason}"):
        db.write_frame(frame, "r")
    assert rows(db, "r") == before
