"""Define the subcommands of ``%turso_sync``: one table for dispatch, help and "did you mean".

Rules of this file: to add a subcommand, write a function ``(Notebook, Arguments) -> result`` in the file
of its subject and put one ``Subcommand`` here. A result that is not None is what the line returns.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Final

from turso_sync_nb.errors import UsageError
from turso_sync_nb.jupyter import (
    alias,
    cells,
    connecting,
    describing,
    doctor,
    offline,
    profiling,
    syncing,
    widgets,
    writing,
)
from turso_sync_nb.jupyter.arguments import Arguments, Grammar, Option, parse, parse_before_sql, showable
from turso_sync_nb.jupyter.suggestions import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable

    from turso_sync_nb.jupyter.notebook import Notebook

_SQL_WORDS: Final = frozenset(
    {
        "SELECT",
        "WITH",
        "VALUES",
        "INSERT",
        "UPDATE",
        "DELETE",
        "CREATE",
        "PRAGMA",
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
    }
)
_ON: Final = cells.SQL_OPTIONS[1]


@dataclass(frozen=True)
class Subcommand:
    """One subcommand; ``takes_sql``: what follows its options is SQL, left exactly as typed."""

    name: str
    grammar: Grammar
    summary: str
    run: Callable[[Notebook, Arguments], object]
    takes_sql: bool = False

    def parse(self, line: str) -> Arguments:
        """Return the parsed rest of the line after the subcommand's name."""
        return parse_before_sql(self.grammar, line) if self.takes_sql else parse(self.grammar, line)


def _sql(notebook: Notebook, arguments: Arguments) -> object:
    return cells.run(notebook, cells.make_cell(arguments, arguments.word(0), arguments.rest))


def _help(notebook: Notebook, arguments: Arguments) -> None:
    wanted = arguments.word(0)
    notebook.say_lines(_overview() if wanted is None else details(find(wanted)))


_ALL: Final = (
    Subcommand(
        "connect",
        Grammar(
            "%turso_sync connect PATH [URL] [--as NAME] [--whole | --prefix 128KiB | --bootstrap-query SQL]"
            " [--max-resident 2GB] [--token-env NAME]",
            connecting.CONNECT_OPTIONS,
            1,
            2,
        ),
        "open a replica and use it; its data comes as queries need it",
        connecting.connect_replica,
    ),
    Subcommand(
        "use", Grammar("%turso_sync use NAME", (), 1, 1), "choose the connection for cells", connecting.use
    ),
    Subcommand(
        "at",
        Grammar("%turso_sync at REVISION [--as NAME]", (_ON, *connecting.AT_OPTIONS), 1, 1),
        "read the database as it was at a revision, as history lists them",
        connecting.at,
    ),
    Subcommand(
        "history",
        Grammar("%turso_sync history", (_ON,)),
        "list the revisions at which the replica was",
        syncing.history,
    ),
    Subcommand(
        "status",
        Grammar("%turso_sync status"),
        "list the open connections: what waits, what is here, online or not",
        describing.status,
    ),
    Subcommand(
        "offline",
        Grammar(
            "%turso_sync offline [TABLE ...] [--all]", (_ON, *offline.OFFLINE_OPTIONS), 0, offline.TABLES_MAX
        ),
        "tell what is not here, by table; download tables, or everything, before the network is gone",
        offline.offline,
    ),
    Subcommand("tables", Grammar("%turso_sync tables", (_ON,)), "list tables and views", describing.tables),
    Subcommand(
        "schema",
        Grammar("%turso_sync schema TABLE", (_ON,), 1, 1),
        "show a table's columns and keys",
        describing.schema,
    ),
    Subcommand(
        "profile",
        Grammar(
            "%turso_sync profile TABLE [--sample ROWS] [--fetch]", (_ON, *profiling.PROFILE_OPTIONS), 1, 1
        ),
        "describe what a table's columns hold",
        profiling.profile,
    ),
    Subcommand(
        "explain",
        Grammar("%turso_sync explain SQL", (_ON,)),
        "show how SQLite would run a query, without running it",
        profiling.explain,
        takes_sql=True,
    ),
    Subcommand(
        "sql",
        Grammar(
            "%turso_sync sql [-o NAME] [--on CONNECTION] [--atomic] [--all] [--csv FILE] [--timeout 5s]"
            " [NAME <<] SQL",
            cells.SQL_OPTIONS,
        ),
        "run SQL that fits on the line",
        _sql,
        takes_sql=True,
    ),
    Subcommand(
        "run",
        Grammar("%turso_sync run FILE.sql [-o NAME] [--atomic] [--timeout 5s]", cells.SQL_OPTIONS, 1, 1),
        "run the SQL in a file",
        cells.run_file,
    ),
    Subcommand(
        "write",
        Grammar(
            "%turso_sync write FRAME TABLE [--append | --upsert [--key COLUMNS] | --replace] [--create]",
            (_ON, *writing.WRITE_OPTIONS),
            2,
            2,
        ),
        "write a DataFrame into a table",
        writing.write,
    ),
    Subcommand(
        "pull",
        Grammar("%turso_sync pull [--same-database]", (_ON, *syncing.PULL_OPTIONS)),
        "bring what is new on the remote",
        syncing.pull,
    ),
    Subcommand(
        "push",
        Grammar("%turso_sync push [--skip-refused]", (_ON, *syncing.PUSH_OPTIONS)),
        "send the changes made here",
        syncing.push,
    ),
    Subcommand("sync", Grammar("%turso_sync sync", (_ON,)), "push, then pull", syncing.sync),
    Subcommand(
        "changes",
        Grammar("%turso_sync changes", (_ON,)),
        "show what a push would send, and what was refused",
        syncing.changes,
    ),
    Subcommand(
        "arrived",
        Grammar("%turso_sync arrived [TABLE]", (_ON,), 0, 1),
        "how many rows the last pull brought, changed and took away, by table; the rows of a table",
        syncing.arrived,
    ),
    Subcommand(
        "diff",
        Grammar("%turso_sync diff [OLD [NEW]]", (_ON,), 0, 2),
        "show what a push would send and a pull would change, by table and key; or compare two revisions",
        syncing.diff,
    ),
    Subcommand(
        "conflicts",
        Grammar("%turso_sync conflicts", (_ON,)),
        "show conflicts and how each was settled",
        syncing.conflicts,
    ),
    Subcommand(
        "review",
        Grammar("%turso_sync review", (_ON,)),
        "see what waits, comes and clashes, and what a pull leaves; decide, push, pull, undo",
        widgets.review,
    ),
    Subcommand(
        "undo",
        Grammar("%turso_sync undo TRANSACTION", (_ON,), 1, 1),
        "undo a transaction: one that waits, or by a new one what was pushed from here",
        syncing.undo,
    ),
    Subcommand(
        "skip",
        Grammar("%turso_sync skip TRANSACTION", (_ON,), 1, 1),
        "give a transaction up: undo it here, never send it",
        syncing.skip,
    ),
    Subcommand(
        "retry",
        Grammar("%turso_sync retry TRANSACTION", (_ON,), 1, 1),
        "take up a transaction that was refused, set aside or skipped",
        syncing.retry,
    ),
    Subcommand(
        "replay",
        Grammar("%turso_sync replay [FILE.sql] [-o NAME]", (_ON, *syncing.REPLAY_OPTIONS), 0, 1),
        "show what this session wrote as an SQL script",
        syncing.replay,
    ),
    Subcommand(
        "verify",
        Grammar("%turso_sync verify [--all] [--repair]", (_ON, *syncing.VERIFY_OPTIONS)),
        "compare the replica with the remote, name what differs, fetch it again",
        syncing.verify,
    ),
    Subcommand(
        "checkpoint",
        Grammar("%turso_sync checkpoint", (_ON,)),
        "move the log into the database file",
        syncing.checkpoint,
    ),
    Subcommand("stats", Grammar("%turso_sync stats", (_ON,)), "show the replica's figures", describing.stats),
    Subcommand(
        "explore",
        Grammar("%turso_sync explore", (_ON,)),
        "look through tables: sizes, the share here, columns with profiles, first rows",
        widgets.explore,
    ),
    Subcommand(
        "pages",
        Grammar("%turso_sync pages", (_ON,)),
        "show a map of what is here, and whose it is; a click fetches a table",
        widgets.pages,
    ),
    Subcommand(
        "dashboard",
        Grammar("%turso_sync dashboard [--remote] [--pull]", (_ON, *cells.LISTENING)),
        "show the replica's figures, live, with buttons to pull, push, sync and checkpoint",
        widgets.dashboard,
    ),
    Subcommand(
        "edit",
        Grammar("%turso_sync edit TABLE [--where SQL]", (_ON, *widgets.EDIT_OPTIONS), 1, 1),
        "edit a table in a grid; what is staged is applied as one transaction",
        widgets.edit,
    ),
    Subcommand(
        "watch",
        Grammar(
            "%turso_sync watch [--remote] [--pull] [--max-fetch 2MB] SQL",
            tuple(each for each in cells.SQL_OPTIONS if each.key not in (*cells.NOT_WATCHED, "watch")),
        ),
        "show the rows of a query, asked again when something changed",
        widgets.watch,
        takes_sql=True,
    ),
    Subcommand(
        "doctor",
        Grammar("%turso_sync doctor", (_ON,)),
        "check versions, files, disk, clock, remote and waiting changes; say what to do",
        doctor.doctor,
    ),
    Subcommand(
        "alias",
        Grammar("%turso_sync alias [NAME]", (), 0, 1),
        "run SQL as %sql and %%sql too, which editors colour",
        alias.alias,
    ),
    Subcommand(
        "close",
        Grammar("%turso_sync close [NAME] [--all]", connecting.CLOSE_OPTIONS, 0, 1),
        "close a connection",
        connecting.close,
    ),
    Subcommand(
        "help", Grammar("%turso_sync help [SUBCOMMAND]", (), 0, 1), "show this, or one in detail", _help
    ),
)
SUBCOMMANDS: Final = {subcommand.name: subcommand for subcommand in _ALL}

_LINE_LENGTH: Final = 88
"""Of help, in characters: a cell's output breaks longer ones amid a word."""

_WIDTH: Final = max(map(len, SUBCOMMANDS))


def find(name: str) -> Subcommand:
    """Return the subcommand called ``name``.

    Raises:
        UsageError: there is none.
    """
    if name in SUBCOMMANDS:
        return SUBCOMMANDS[name]
    guess = did_you_mean(name, SUBCOMMANDS) or "%turso_sync help lists them"
    if name.upper() in _SQL_WORDS:
        guess = "SQL goes after %turso_sync sql, or below %%turso_sync"
    raise UsageError(f"run subcommand {showable(name)}: there is none of that name", hint=guess)


def short_help() -> list[str]:
    """Return what ``%turso_sync`` alone shows."""
    return [
        "%turso_sync connect PATH [URL] --as NAME     open a replica",
        "%%turso_sync [-o NAME]                       run the SQL below it, get a DataFrame",
        *_wrapped("also: ", ", ".join(name for name in SUBCOMMANDS if name != "connect")),
        "%turso_sync help SUBCOMMAND                  its options",
    ]


def _overview() -> list[str]:
    each_line = (
        _wrapped(f"%turso_sync {each.name.ljust(_WIDTH)}  ", each.summary) for each in SUBCOMMANDS.values()
    )
    return [
        *chain.from_iterable(each_line),
        *_wrapped("%%turso_sync ", cells.CELL.usage.removeprefix("%%turso_sync ")),
        "    run the SQL below it; :name takes the variable name",
    ]


def _wrapped(begin: str, text: str) -> list[str]:
    """Return lines of a text after ``begin``, further ones under its first word."""
    indent = " " * len(begin)
    return textwrap.wrap(
        text, _LINE_LENGTH, initial_indent=begin, subsequent_indent=indent, break_on_hyphens=False
    )


def details(subcommand: Subcommand) -> list[str]:
    """Return what help shows of one subcommand."""
    return [subcommand.grammar.usage, subcommand.summary, *map(_option_line, subcommand.grammar.options)]


def _option_line(option: Option) -> str:
    spelled = f"{', '.join(option.flags)} {option.value}".rstrip()
    return f"  {spelled.ljust(24)}  {option.help}"
