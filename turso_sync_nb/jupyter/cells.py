"""Run a cell of SQL; name, show or stop its result.

Rules of this file: values reach SQLite by its binder only; a cell that fails assigns nothing. Whether
statements commit is the connection's business (alone, unless a BEGIN is open); this file only says how
things stand afterwards.
"""

from __future__ import annotations

import importlib
import re
import time
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import apsw

from turso_sync_nb.connection.frames import gathered_by_column
from turso_sync_nb.connection.index_labels import index_labels
from turso_sync_nb.connection.saving import saving
from turso_sync_nb.connection.statements import is_blank, split
from turso_sync_nb.errors import Error, RemoteUnreachableError, UsageError
from turso_sync_nb.jupyter.arguments import Arguments, Grammar, Option, showable
from turso_sync_nb.jupyter.error_places import keyword_meant, place_of
from turso_sync_nb.jupyter.failures import line_of, render_as
from turso_sync_nb.jupyter.identifiers import with_identifiers
from turso_sync_nb.jupyter.notebook import Notebook, check_variable_name
from turso_sync_nb.jupyter.offline import missing_for
from turso_sync_nb.jupyter.parameters import UNNAMED_HINT, Variables, sql_in_variable
from turso_sync_nb.jupyter.places import shown_path
from turso_sync_nb.jupyter.rendering import footer
from turso_sync_nb.jupyter.schema import column_names, function_names, table_names
from turso_sync_nb.jupyter.suggestions import did_you_mean
from turso_sync_nb.units import PAGE_SIZE, format_size, parse_seconds
from turso_sync_nb.words import count_of, format_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from turso_sync_nb.connection.frames import Columns, Declared
    from turso_sync_nb.connection.results import QueryResult
    from turso_sync_nb.connection.saving import Format
    from turso_sync_nb.public_connection import Connection
    from turso_sync_nb.widgets.watch import Watch

LISTENING: Final = (
    Option(("--remote",), "", "listen to the remote too, and say when it has something new"),
    Option(("--pull",), "", "pull that at once, not amid a transaction or while a grid is half edited"),
)
NOT_WATCHED: Final = (
    "all",
    "csv",
    "parquet",
    "out",
    "atomic",
    "arrow",
    "polars",
    "dry_run",
    "timeout",
    "verbose",
)
"""Options of a cell that mean nothing when its rows are shown live."""

SQL_OPTIONS: Final = (
    Option(("-o", "--out"), "NAME", "put the DataFrame into this variable as well"),
    Option(("--on",), "CONNECTION", "run on this connection instead of the one in use"),
    Option(("--atomic",), "", "all statements or none: an error undoes what the cell did"),
    Option(("--arrow",), "", "a pyarrow Table in place of a DataFrame"),
    Option(("--polars",), "", "a polars DataFrame in place of pandas' one"),
    Option(("--parse-dates",), "", "days and moments of declared columns as datetime64"),
    Option(("--all",), "", "show the rows of every statement; -o takes a list of them"),
    Option(("--csv",), "FILE", "write the rows into a CSV file as they come, in place of a DataFrame"),
    Option(("--parquet",), "FILE", "write the rows into a Parquet file as they come"),
    Option(("--identifiers",), "", "{name} in the SQL is the variable's text as a quoted identifier"),
    Option(("--max-fetch",), "SIZE", "stop before more than that is fetched: 2MB, 512KiB"),
    Option(("--offline",), "", "stop in place of fetching anything"),
    Option(("--dry-run",), "", "do not run it: show what it would fetch at most, by table and index"),
    Option(("--timeout",), "TIME", "stop after that long: 5s, 500ms, 2min"),
    Option(("--verbose",), "", "say under the result how many pages were read and downloaded"),
    Option(("--watch",), "", "show the rows live: asked again when something changed here, or was pulled"),
    *LISTENING,
)
CELL: Final = Grammar(
    "%%turso_sync [-o NAME] [--on NAME] [--max-fetch 2MB] [--dry-run] [--atomic] [--timeout 5s]"
    " [--watch [--remote] [--pull]] [NAME <<]",
    SQL_OPTIONS,
    0,
    2,
)

Kind = Literal["pandas", "arrow", "polars", "dates"]
"""The result of a cell; ``dates``: pandas with days and moments as ``datetime64``."""

_KINDS: Final[dict[str, Kind]] = {"arrow": "arrow", "polars": "polars", "parse_dates": "dates"}
"""By the option that asks for it."""

_HINTS: Final = {
    'unrecognized token: "{"': "names of tables and columns go in {name} with --identifiers, values by :name",
    "cannot start a transaction within": "--atomic is a transaction of its own: leave BEGIN and COMMIT out",
    "no transaction is active": "without a BEGIN each statement commits by itself",
    "attempt to write a readonly database": "a watched query only reads: leave --watch out",
}
_MISSING: Final = re.compile(r"no such (table|column|function|index|view): (.+)")


@dataclass(frozen=True)
class Cell:
    """The SQL of a cell and the place of its result.

    ``quiet``: into the variable only; ``atomic``: all or nothing; ``identifiers``: ``{name}`` is replaced.
    ``every``: the rows of all statements; ``file``: the rows go there, in ``form``.
    ``max_fetch`` is a size, as :meth:`Connection.fetching` takes it. ``remote`` and ``pull`` are a watched
    cell's, as :meth:`Connection.watch` takes them.
    """

    sql: str
    on: str | None = None
    out: str | None = None
    quiet: bool = False
    atomic: bool = False
    identifiers: bool = False
    kind: Kind = "pandas"
    every: bool = False
    file: str | None = None
    form: Format = "csv"
    timeout_s: float | None = None
    max_fetch: str | None = None
    offline: bool = False
    dry_run: bool = False
    verbose: bool = False
    watch: bool = False
    remote: bool = False
    pull: bool = False


def cell_of(arguments: Arguments, sql: str) -> Cell:
    """Return the cell that ``%%turso_sync`` with these words and ``sql`` below it means.

    Raises:
        UsageError: words that are not ``NAME <<``, two names for the result, no SQL.
    """
    words = list(arguments.words)
    target = words[0] if len(words) == 2 and words[1] == "<<" else None  # noqa: PLR2004 - NAME and <<
    if words and target is None:
        raise UsageError(
            f"read the line: {showable(words[0])} does not belong above a cell of SQL",
            hint=f"usage: {CELL.usage}; subcommands take one %: %turso_sync help",
        )
    return make_cell(arguments, target, sql)


def make_cell(arguments: Arguments, target: str | None, sql: str) -> Cell:
    """Return a cell from its parsed options, the name before ``<<``, and its SQL.

    Raises:
        UsageError: two names for the result, a name that is none, no SQL.
    """
    out = arguments.get("out")
    if target is not None and out is not None:
        raise UsageError("name the result: both -o and << were given", hint="keep one of them")
    name = target if target is not None else out
    if name is not None:
        check_variable_name(name)
    if is_blank(sql):
        raise UsageError("run a cell: it holds no SQL", hint="write a statement below %%turso_sync")
    _check_watched(arguments, target)
    given: list[str] = [kind for kind in ("arrow", "polars", "parse_dates") if arguments.has(kind)]
    if len(given) > 1:
        both = " and ".join(f"--{kind.replace('_', '-')}" for kind in given[:2])
        raise UsageError(f"name the result: {both} exclude each other", hint="keep one of them")
    forms: list[Format] = [form for form in ("csv", "parquet") if arguments.has(form)]
    _check_file(arguments, forms, name)
    timeout = arguments.get("timeout")
    return Cell(
        sql,
        arguments.get("on"),
        name,
        quiet=target is not None,
        atomic=arguments.has("atomic"),
        identifiers=arguments.has("identifiers"),
        kind=_KINDS[given[0]] if given else "pandas",
        every=arguments.has("all"),
        file=arguments.get(forms[0]) if forms else None,
        form=forms[0] if forms else "csv",
        timeout_s=None if timeout is None else parse_seconds(timeout),
        max_fetch=arguments.get("max_fetch"),
        offline=arguments.has("offline"),
        dry_run=arguments.has("dry_run"),
        verbose=arguments.has("verbose"),
        watch=arguments.has("watch"),
        remote=arguments.has("remote"),
        pull=arguments.has("pull"),
    )


def _check_file(arguments: Arguments, forms: Sequence[Format], name: str | None) -> None:
    """Refuse what has no meaning where the rows go into a file."""
    refused = [f"--{key}" for key in ("arrow", "polars", "all") if arguments.has(key)]
    if len(forms) > 1 or (forms and (refused or name is not None)):
        other = "--parquet" if len(forms) > 1 else refused[0] if refused else "a name for the result"
        raise UsageError(
            f"write the rows to a file: --{forms[0]} does not go with {other}", hint="keep one of them"
        )


def _check_watched(arguments: Arguments, target: str | None) -> None:
    """Refuse what has no meaning beside ``--watch``, and what has none without it."""
    if not arguments.has("watch"):
        if alone := [key for key in ("remote", "pull") if arguments.has(key)]:
            raise UsageError(f"read option --{alone[0]}: it belongs to a watched cell", hint="add --watch")
        return
    refused = [f"--{key.replace('_', '-')}" for key in NOT_WATCHED if arguments.has(key)]
    if target is not None or refused:
        raise UsageError(
            f"watch a cell: it does not go with {' and '.join(refused) or '<<'}",
            hint="its rows are shown live, not given; leave one of the two out",
        )


def run_file(notebook: Notebook, arguments: Arguments) -> Any:
    """Run the SQL in a file as a cell.

    Raises:
        UsageError: there is no such file, or it holds no text.
    """
    path = Path(arguments.words[0]).expanduser()
    try:
        sql = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise UsageError(
            f"read {shown_path(path)}: {reason}", hint="name a file of SQL, relative to the notebook"
        ) from error
    return run(notebook, make_cell(arguments, None, sql))


def run(notebook: Notebook, cell: Cell) -> Any:
    """Run the cell; return the frame of its last statement with rows, None when there is nothing to show.

    Shows the footer, under the frame or alone. Assigns the frame (None when no statement returned rows) to
    the cell's variable.
    """
    db = notebook.connections.get(cell.on, notebook.variables).db
    cell = replace(cell, sql=sql_in_variable(cell.sql, notebook.variables))
    if cell.identifiers:
        cell = replace(cell, sql=with_identifiers(cell.sql, notebook.variables))
    for is_wanted, other in (
        (cell.dry_run, _dry_run), (cell.watch, _watched), (cell.file, _saved), (cell.every, _every),
    ):  # fmt: skip
        if is_wanted:
            return other(notebook, db, cell)
    result = executed(db, cell, Variables(notebook.variables))
    frame = _made(result, cell.kind)
    rows = None if frame is None else len(frame)
    notes = [
        footer(
            result.report,
            in_transaction=db.in_transaction,
            rows=rows,
            pending=db.pending_changes,
            verbose=cell.verbose,
        )
    ]
    if cell.out is not None:
        notebook.assign(cell.out, frame)
        if frame is None:
            notes.append(f"{cell.out} is None: no statement returned rows")
    if frame is None or cell.quiet:
        notebook.say(" · ".join(notes))
        return None
    if cell.kind != "pandas":
        notebook.say(" · ".join(notes))
        return frame
    return notebook.shown(frame, notes)


def _saved(notebook: Notebook, db: Connection, cell: Cell) -> None:
    """Write the rows into a file, and say how many.

    Raises:
        UsageError: no statement returned rows; what they did is done.
    """
    path = Path(cell.file or "").expanduser()
    with saving(path, cell.form) as rows:
        result = executed(db, cell, Variables(notebook.variables), rows.of)
        if result.columns is None:
            raise UsageError(
                f"write {cell.form}: no statement returned rows", hint=f"leave --{cell.form} out"
            )
    noted = footer(
        result.report, in_transaction=db.in_transaction, rows=rows.count, pending=db.pending_changes
    )
    notebook.say(f"wrote {shown_path(path)}, {format_size(path.stat().st_size)} · {noted}")


def _every(notebook: Notebook, db: Connection, cell: Cell) -> Any:
    """Show the rows of each statement that returns any; return the last ones, or assign a list of all."""
    gathered: list[tuple[Declared, Columns]] = []

    def gather(columns: Declared) -> Columns:
        gathered.append((columns, gathered_by_column(columns)))
        return gathered[-1][1]

    result = executed(db, cell, Variables(notebook.variables), gather)
    results = [
        replace(result, columns=names, declared=declared, gathered=rows)
        for columns, rows in gathered
        for names, declared in [zip(*columns, strict=True)]
    ]
    frames = [_made(each, cell.kind) for each in results]
    note = footer(
        result.report, in_transaction=db.in_transaction, rows=None, pending=db.pending_changes,
        verbose=cell.verbose,
    )  # fmt: skip
    if cell.out is not None:
        notebook.assign(cell.out, frames)
    if cell.quiet or not frames:
        notebook.say(f"{count_of(len(frames), 'result')} · {note}")
        return None
    for at, frame in enumerate(frames):
        notes = [f"result {at + 1} of {len(frames)}, {count_of(len(frame), 'row')}"]
        if at == len(frames) - 1:
            notes.append(note)
        if cell.kind == "pandas":
            notebook.shown(frame, [" · ".join(notes)])
        else:
            notebook.say(" · ".join(notes))
        if at < len(frames) - 1:
            notebook.show(frame)
    return frames[-1]


def _watched(notebook: Notebook, db: Connection, cell: Cell) -> Watch:
    """Return the rows of the cell's one query, live, after it ran once: its errors are the cell's.

    ``:name`` keeps the value that the variable has now, and no other variable is kept.

    Raises:
        UsageError: several statements.
    """
    statements = list(split(cell.sql))
    if len(statements) > 1:
        raise UsageError(f"watch a cell: it holds {len(statements)} statements", hint="watch one query")
    values = Variables(notebook.variables)
    watch = db.watch(
        statements[0], values, remote=cell.remote, pull=cell.pull,
        max_fetch=cell.max_fetch, offline=cell.offline,
    )  # fmt: skip
    try:
        watch.read()
    except apsw.BindingsError as error:
        render_as(error, f"SqlError: bind a parameter without a name — {UNNAMED_HINT}")
        raise
    except apsw.Error as error:
        render_as(error, line_of(error, _next_step(db, cell.sql, error)), place_of(error, cell.sql))
        raise
    watch.bind(values.taken)
    return watch


def _dry_run(notebook: Notebook, db: Connection, cell: Cell) -> Any:
    """Return what the cell's statements would fetch at most, a row for each table and index."""
    import pandas as pd

    trees: dict[str, int] = {}
    try:
        for statement in split(cell.sql):
            for name, count in db.dry_run(statement, Variables(notebook.variables)).by_tree.items():
                trees[name] = max(trees.get(name, 0), count)
    except apsw.Error as error:
        render_as(error, line_of(error, _next_step(db, cell.sql, error)), place_of(error, cell.sql))
        raise
    size = sum(trees.values()) * PAGE_SIZE
    sizes = [count * PAGE_SIZE for count in trees.values()]
    frame = pd.DataFrame({"table or index": list(trees), "pages": list(trees.values()), "bytes": sizes})
    if cell.out is not None:
        notebook.assign(cell.out, frame)
    labels = index_labels(db)
    names = [f"index of {labels[name]}" if name in labels else name for name in trees]
    seen = pd.DataFrame({"table or index": names, "to download": [format_size(each) for each in sizes]})
    note = f"at most {format_size(size)} would be downloaded; long values come on top"
    return notebook.shown(frame, [note], seen)


def _made(result: QueryResult, kind: Kind) -> Any:
    """Return the rows as what the cell asked for, ``None`` when no statement returned any.

    Raises:
        UsageError: polars is not installed, or a column holds values of several types.
    """
    if kind == "dates":
        return result.frame(dates=True)
    if kind == "pandas":
        return result.frame()
    table = result.table()
    if kind == "arrow" or table is None:
        return table
    try:
        polars = importlib.import_module("polars")
    except ImportError as error:
        raise UsageError(
            "make a polars DataFrame: polars is not installed", hint="pip install polars"
        ) from error
    return polars.from_arrow(table)


def executed(
    db: Connection,
    cell: Cell,
    values: Mapping[str, Any],
    gather: Callable[[Declared], Columns] = gathered_by_column,
) -> QueryResult:
    """Run the cell's SQL; an error or a stop gets its line, with what became of an open transaction."""
    was_open, changed_before = db.in_transaction, db.total_changes
    started_s = time.monotonic()
    try:
        with db.atomic() if cell.atomic else nullcontext():
            return db.run(
                cell.sql, values, timeout_s=cell.timeout_s, max_fetch=cell.max_fetch, offline=cell.offline,
                gather=gather,
            )  # fmt: skip
    except KeyboardInterrupt as error:
        seconds = format_seconds(time.monotonic() - started_s)
        fate = _fate(was_open=was_open, is_open=db.in_transaction)
        render_as(error, f"KeyboardInterrupt: stopped after {seconds} — {fate}; the connection can be used")
        raise
    except RemoteUnreachableError as error:
        if lacking := missing_for(db, cell.sql):
            render_as(error, line_of(error) + f" · {lacking}")
        raise
    except apsw.BindingsError as error:
        render_as(error, f"SqlError: bind a parameter without a name — {UNNAMED_HINT}")
        raise
    except apsw.Error as error:
        became = _became(db, changed=db.total_changes > changed_before, was_open=was_open)
        undone = "nothing of the cell was kept" if cell.atomic else became
        steps = [_next_step(db, cell.sql, error), undone]
        render_as(error, line_of(error, "; ".join(filter(None, steps))), place_of(error, cell.sql))
        raise


def _fate(*, was_open: bool, is_open: bool) -> str:
    """Return what became of the transaction of a stopped cell."""
    if is_open:
        return "the transaction is still open, COMMIT or ROLLBACK ends it"
    return "the open transaction was rolled back" if was_open else "no transaction was open"


def _became(db: Connection, *, changed: bool, was_open: bool) -> str:
    """Return what became of the statements before the one that failed, where a reader might not expect it."""
    if db.in_transaction:
        return "the transaction is still open, COMMIT or ROLLBACK ends it"
    if changed and not was_open:
        return "what the cell did before is done: --atomic makes it all or nothing"
    return ""


def _next_step(db: Connection, sql: str, error: apsw.Error) -> str:
    """Return a hint for an SQL error from the schema, which is here: nothing is fetched for it."""
    found = _MISSING.search(str(error))
    if not found:
        return next((hint for text, hint in _HINTS.items() if text in str(error)), keyword_meant(error))
    name = found[2].rpartition(".")[2].strip("\"'`[]")
    # the error that is being explained matters more than one that explaining it runs into
    with suppress(apsw.Error, Error):
        return _correction(db, sql, found[1], name)
    return ""


def _correction(db: Connection, sql: str, kind: str, name: str) -> str:
    """Return what to write in place of ``name``, or where to look."""
    if kind in {"table", "view"}:
        return did_you_mean(name, table_names(db)) or "%turso_sync tables lists what is there"
    if kind == "column":
        return did_you_mean(name, column_names(db, sql)) or "%turso_sync schema TABLE lists the columns"
    return did_you_mean(name, function_names(db)) if kind == "function" else ""
