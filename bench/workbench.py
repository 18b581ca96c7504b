"""What a person at the workbench waits for: a result's first rows, its order, lists of explore and review.

Each is the work of the kernel from the request to the reply, the median of some runs. How many rows a page
has, and how often a widget is told something, are counts, which tests keep.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import apsw
from figures import Figure, seconds, timed
from million import ROWS, million_rows

import turso_sync_nb as tsn
from turso_sync_nb.jupyter.result_rows import ResultRows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RUNS: Final = 5

FIRST_ROWS_LIMIT_S: Final = 0.1
ARRANGED_LIMIT_S: Final = 0.5
EXPLORE_LIMIT_S: Final = 0.3
REVIEW_LIMIT_S: Final = 0.5

PAGE_ROWS: Final = 20
TABLES: Final = 2_300
WAITING: Final = 10_000


def figures() -> list[Figure]:
    """Return the lines."""
    return [*result(), explored(), reviewed()]


def result() -> list[Figure]:
    """Look at a result of a million rows: its first page, sorted, filtered."""
    with _replica_of(million_rows) as db:
        frame = db.query("SELECT * FROM large")

        def page(**choice: Any) -> Callable[[], object]:
            def ask() -> object:
                rows = ResultRows(frame, PAGE_ROWS)
                asked = {"type": "rows", "first": 0, "count": PAGE_ROWS, **choice}
                return [list(rows.answer(each)) for each in ({"type": "open"}, asked)]

            return ask

        def grid(**choice: Any) -> Callable[[], object]:
            def ask() -> object:
                arranged = {"filters": {}, "search": "", "sort": None, "descending": False, **choice}
                editor.receive({"type": "arrange", "view": "one", **arranged})
                while editor.doing:
                    time.sleep(0.001)
                return None

            return ask

        editor = db.edit("large")
        _unheard(editor)
        of = f"of {ROWS:,} rows"
        return [
            _line(f"first page of a result {of}", page(), FIRST_ROWS_LIMIT_S),
            _line(f"a result {of} sorted by a number", page(sort=2, descending=True), ARRANGED_LIMIT_S),
            _line(f"a result {of} sorted by texts, all different", page(sort=3), ARRANGED_LIMIT_S),
            _line(f"a result {of} filtered", page(filters={"1": "> 990"}), ARRANGED_LIMIT_S),
            _line(f"the grid {of} sorted by a number", grid(sort="b", descending=True), ARRANGED_LIMIT_S),
            _line(
                f"the grid {of} filtered, with their number", grid(filters={"a": "> 990"}), ARRANGED_LIMIT_S
            ),
        ]


def explored() -> Figure:
    """List very many tables, all of them here."""

    def made(path: Path) -> Path:
        with closing(apsw.Connection(str(path))) as raw, raw:
            for number in range(TABLES):
                raw.execute(f"CREATE TABLE t{number} (id INTEGER PRIMARY KEY, a, UNIQUE (a))")
                raw.execute(f"INSERT INTO t{number} VALUES (1, 2)")
        return path

    with _replica_of(made) as db:
        widget = db.explore()
        _unheard(widget)
        return _line(f"explore of {TABLES:,} tables", lambda: widget.full_message(db), EXPLORE_LIMIT_S)


def reviewed() -> Figure:
    """Review very many changes that wait."""
    with _replica_of(million_rows) as db:
        db.execute(f"UPDATE large SET d = 'changed' WHERE id <= {WAITING}")
        db.commit()
        widget = db.review_widget()
        _unheard(widget)
        name = f"review of {WAITING:,} waiting changes"
        return _line(name, lambda: widget.full_message(db), REVIEW_LIMIT_S)


def _unheard(widget: Any) -> None:
    """Let a widget tell nobody what it would send: no browser is here."""
    widget.send = lambda *_: None


def _line(what: str, action: Callable[[], object], limit_s: float) -> Figure:
    action()
    median = statistics.median(timed(action) for _ in range(RUNS))
    return Figure(what, seconds(median), "", limit=f"<= {seconds(limit_s)}", within=median <= limit_s)


@contextmanager
def _replica_of(make: Callable[[Path], Path]) -> Iterator[tsn.Connection]:
    """Give a whole replica of a database that is made."""
    with (
        tempfile.TemporaryDirectory() as name,
        tsn.server.LocalServer(make(Path(name) / "source.db")) as server,
        closing(tsn.connect(Path(name) / "replica", server.url)) as db,
    ):
        yield db
