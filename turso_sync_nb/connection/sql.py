"""Run SQL: PEP 249 as Python's sqlite3 behaves, over a replica that may be shared and reopened.

Transactions follow ``isolation_level`` as in sqlite3: INSERT, UPDATE, DELETE and REPLACE open one, ``with
db:`` commits or rolls back and does not close. :meth:`SqlConnection.run` is for cells: no transaction is
opened unasked, an open one is joined.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self

from turso_sync_nb.connection.cursor import Cursor
from turso_sync_nb.connection.exit import close_at_exit
from turso_sync_nb.connection.frames import Columns, gathered_by_column
from turso_sync_nb.connection.local_tables import find_local_tables, local_tables
from turso_sync_nb.connection.parameters import Parameters, bindings
from turso_sync_nb.connection.results import QueryResult
from turso_sync_nb.connection.row import RowFactoryMixin
from turso_sync_nb.connection.session import Session
from turso_sync_nb.connection.sql_errors import mapped_sql_errors, numbered
from turso_sync_nb.connection.statements import split
from turso_sync_nb.engine import tree_costs
from turso_sync_nb.engine.reports import QueryReport
from turso_sync_nb.engine.stats import read_cost
from turso_sync_nb.errors import ProgrammingError, UsageError
from turso_sync_nb.storage.files.signals import defer_sigint
from turso_sync_nb.storage.pages.fetch_budget import FetchBudget
from turso_sync_nb.units import parse_size

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from pathlib import Path
    from types import TracebackType

    import apsw

    from turso_sync_nb.connection.facts import Facts
    from turso_sync_nb.connection.frames import Declared
    from turso_sync_nb.engine.replica import Replica
    from turso_sync_nb.engine.reports import BootstrapReport, Cost, TreeCost

_ATOMIC: Final = "turso_sync_nb_atomic"

ISOLATION_LEVELS: Final = frozenset({"DEFERRED", "IMMEDIATE", "EXCLUSIVE", None})


class SqlConnection(RowFactoryMixin):
    """A connection that runs SQL: statements, cursors, transactions, what they may fetch, and their cost.

    ``tables_ignore``: tables whose changes are never pushed.
    """

    def __init__(
        self,
        replica: Replica,
        isolation_level: str | None = "DEFERRED",
        tables_ignore: Collection[str] = (),
    ) -> None:
        self.bootstrap_report: BootstrapReport | None = replica.bootstrap_report
        self.opening_note = replica.opening_note
        self.last_report = QueryReport()
        self.parse_dates = False
        """Whether frames have days and moments of columns declared as such as ``datetime64``."""
        self._released = False
        self._text_factory: Callable[[bytes], Any] | None = None
        self._replica = replica
        self._session = Session(replica, tables_ignore)
        close_at_exit(self)
        self.isolation_level = isolation_level

    # Facts

    @property
    def path(self) -> Path:
        """Return the replica's folder."""
        return self._replica.copy_of or self._replica.path

    @property
    def remote_url(self) -> str | None:
        """Return the remote's address without secrets, ``None`` when there is none."""
        return self._replica.remote_url

    @property
    def closed(self) -> bool:
        """Return whether :meth:`close` was done."""
        return self._released

    @property
    def isolation_level(self) -> str | None:
        """The kind of transaction that a changing statement opens; ``None``: none (autocommit)."""
        return self._session.isolation_level

    @isolation_level.setter
    def isolation_level(self, level: str | None) -> None:
        level = level.upper() if isinstance(level, str) else level
        if level == "":
            level = "DEFERRED"
        if level not in ISOLATION_LEVELS:
            raise ProgrammingError(
                f"set isolation_level {level!r}: use DEFERRED, IMMEDIATE, EXCLUSIVE or None"
            )
        self._session.isolation_level = level

    @property
    def in_transaction(self) -> bool:
        """Return whether a transaction is open."""
        return self._session.in_transaction

    @property
    def total_changes(self) -> int:
        """Rows that INSERT, UPDATE and DELETE changed on this connection, what triggers did not counted."""
        self._session.check_open()
        return self._session.rows_changed

    @property
    def text_factory(self) -> Any:
        """The maker of values from texts' UTF-8 bytes in rows of cursors: ``str``, ``bytes``, a function."""
        return self._text_factory or str

    @text_factory.setter
    def text_factory(self, factory: Any) -> None:
        if not callable(factory):
            raise ProgrammingError("set text_factory: give str, bytes, or a function of bytes")
        self._text_factory = None if factory is str else factory

    # Running SQL

    def cursor(self, factory: type[Cursor] | None = None) -> Cursor:
        """Return a new cursor, of the class ``factory`` if there is one."""
        self._session.check_open()
        return (factory or Cursor)(self)

    def execute(self, sql: str, parameters: Parameters = ()) -> Cursor:
        """Run one statement on a new cursor and return it."""
        return Cursor(self).execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Parameters]) -> Cursor:
        """Run one changing statement many times on a new cursor and return it."""
        return self.cursor().executemany(sql, parameters)

    def executescript(self, sql_script: str) -> Cursor:
        """Commit, then run any number of statements; their rows are dropped."""
        return self.cursor().executescript(sql_script)

    def run(
        self,
        sql: str,
        parameters: Parameters | None = None,
        *,
        timeout_s: float | None = None,
        max_fetch: int | str | None = None,
        offline: bool = False,
        gather: Callable[[Declared], Columns] = gathered_by_column,
    ) -> QueryResult:
        """Run the text of a cell: any number of statements, no transaction opened unasked.

        Named parameters may come from any mapping, asked for just the names that the statements use. After
        ``timeout_s`` seconds SQLite stops (a fetch under way is waited for) and ``InterruptError`` is raised.
        ``max_fetch`` and ``offline`` limit what is fetched, as :meth:`fetching` does. ``gather`` makes
        what takes the rows of a statement, given its columns with their declared types. A frame or a list
        among named parameters is a table: ``FROM :frame``, ``IN :ids``.
        """
        if max_fetch is not None or offline:
            with self.fetching(max_fetch=max_fetch, offline=offline):
                return self.run(sql, parameters, timeout_s=timeout_s, gather=gather)
        self._session.check_open()
        if isinstance(parameters, Mapping):
            with_tables, tables = find_local_tables(sql, parameters)
            if tables:
                with local_tables(self._session, tables):
                    return self.run(with_tables, parameters, timeout_s=timeout_s, gather=gather)
        columns: tuple[tuple[str, str | None], ...] | None = None
        gathered = Columns(0)
        statements = list(split(sql))
        if len(statements) > 1 and not isinstance(parameters, Mapping | None):
            raise ProgrammingError(
                "run: parameters by position belong to one statement; name them (:name) to use several"
            )

        def before_first_step(cursor: apsw.Cursor, _sql: str, _bindings: object) -> bool:
            nonlocal columns, gathered
            description = cursor.get_description()
            if description:
                columns, gathered = description, gather(description)
            return True

        def step(facts: Facts) -> None:
            self._session.prefetch_for(statement, facts, [bound])
            with closing(self._session.raw.cursor()) as raw:
                raw.exec_trace = before_first_step
                # prepared anew: a statement that APSW kept would describe columns of an earlier schema
                executed = raw.execute(statement, bound, can_cache=False)
                gathered.take(executed)

        changed_before = self._session.rows_changed
        bound = bindings(parameters)
        with self._measured(), self._session.deadline.limited(timeout_s):
            for number, statement in enumerate(statements):
                with numbered(number):
                    self._session.statement(statement, step, items=[bound], begins=False)
        self.last_report = replace(
            self.last_report, rows=gathered.count, rows_changed=self._session.rows_changed - changed_before
        )
        names, declared = zip(*columns, strict=True) if columns else ((), ())
        return QueryResult(names if columns else None, declared, gathered, self.last_report, self.parse_dates)

    @contextmanager
    def fetching(self, *, max_fetch: int | str | None = None, offline: bool = False) -> Iterator[None]:
        """Limit what this connection fetches in the block: all of it together.

        ``max_fetch`` are bytes of pages, read-ahead included (``"2MB"``); each request is checked before it
        is sent, and made smaller to fit. ``offline``: nothing is fetched. What a statement wrote before it
        met the limit is rolled back with its transaction.

        Raises:
            FetchBudgetError: a query wants more.
            RemoteUnreachableError: a query wants a page that is not here, ``offline``.
            UsageError: ``max_fetch`` is no size.
        """
        self._session.check_open()
        bytes_max = parse_size(max_fetch) if isinstance(max_fetch, str) else max_fetch
        if bytes_max is not None and bytes_max < 0:
            raise UsageError(f"limit a fetch: max_fetch is {bytes_max}", hint="give bytes, 0 or more")
        with self._session.allowed(FetchBudget(bytes_max, offline=offline)):
            yield

    def interrupt(self) -> None:
        """Stop what another thread is doing here, SQL or waiting for the remote; nothing if it is neither.

        There ``InterruptError`` is raised, or :class:`StoppedError`. The connection can be used afterwards.
        """
        self._session.interrupt()

    # Transactions

    def commit(self) -> None:
        """Commit the open transaction; do nothing when there is none."""
        self._end_transaction("COMMIT")

    def rollback(self) -> None:
        """Roll the open transaction back; do nothing when there is none."""
        self._end_transaction("ROLLBACK")

    @contextmanager
    def atomic(self) -> Iterator[None]:
        """Do all of the block, or nothing of it: an error undoes it.

        It has a transaction of its own; an open one is joined, and what was done there before stays as it
        is. The block holds no COMMIT, and no ROLLBACK but one to a savepoint of its own.

        Raises:
            UsageError: the block ended the transaction itself.
        """
        joins = self.in_transaction
        self.execute(f"SAVEPOINT {_ATOMIC}" if joins else "BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self.in_transaction and joins:
                self.execute(f"ROLLBACK TO {_ATOMIC}")
                self.execute(f"RELEASE {_ATOMIC}")
            else:
                self.rollback()
            raise
        if not self.in_transaction:
            raise UsageError(
                "end the block: its transaction was ended inside", hint="leave COMMIT and ROLLBACK out of it"
            )
        try:
            self.execute(f"RELEASE {_ATOMIC}" if joins else "COMMIT")
        except BaseException:  # a deferred constraint
            self.rollback()
            raise

    def _end_transaction(self, sql: str) -> None:
        self._session.check_open()
        if self._session.in_transaction:
            self._session.statement(sql, lambda _: self._session.raw.execute(sql))

    def __enter__(self) -> Self:
        self._session.check_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.commit()
        elif not self.closed:
            self.rollback()

    def close(self) -> None:
        """Roll back what is open and let go of the replica; may be repeated, also when it failed.

        Unless it was refused or stopped, the connection is closed then too.
        """
        if self.closed:
            return
        if self._session.is_of_parent:
            self._released = True
            return
        with defer_sigint():
            self._replica.listener.end(self)
            self._session.close()
            try:
                self._replica.release()
            except KeyboardInterrupt:  # it goes on when it is called again
                raise
            except BaseException:  # the folder is let go of all the same
                self._released = True
                raise
            self._released = True

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Refuse to be copied or pickled, as sqlite3 does: a copy that goes would close this one.

        Raises:
            TypeError: always; ``sibling()`` makes another connection.
        """
        raise TypeError("cannot copy or pickle a connection; sibling() makes another one, as does connect()")

    def __del__(self) -> None:
        if hasattr(self, "_session"):
            self.close()

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"from {self.remote_url}" if self.remote_url else "no remote"
        return f"<turso_sync_nb.Connection {self.path} {state}>"

    @contextmanager
    def _measured(self) -> Iterator[None]:
        """Put the cost of the block in ``last_report``; other connections' fetches of that time count too."""
        before, started_s = self._cost(anew=True), time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - started_s
            cost = self._cost() - before
            self.last_report = QueryReport(
                seconds=seconds,
                pages_hit=cost.pages_hit,
                pages_fetched=cost.pages_fetched,
                received_bytes=cost.received_bytes,
                sent_bytes=cost.sent_bytes,
                requests=cost.requests,
            )
        self.last_report = self._by_tree(self.last_report)

    def _cost(self, *, anew: bool = False) -> Cost:
        """Return the counters; those of tables and indexes begin ``anew``."""
        gate = self._replica.gate  # not while another thread's pull has the files
        with mapped_sql_errors():
            return gate.statement(self._session, lambda: self._cost_now(anew=anew))

    def _cost_now(self, *, anew: bool) -> Cost:
        if anew:
            tree_costs.begin(self._replica.databases.lazy_file(self._session.raw))
        return read_cost(self._replica, self._session.raw)

    def _by_tree(self, report: QueryReport) -> QueryReport:
        """Add to ``report`` what was read of each table and index, if anything was fetched for that."""
        costs = self._replica.gate.statement(self._session, self._tree_costs)
        if costs is None:
            return report
        return replace(report, pages_wasted=sum(cost.pages_wasted for cost in costs), by_tree=costs)

    def _tree_costs(self) -> tuple[TreeCost, ...] | None:
        file = self._replica.databases.lazy_file(self._session.raw)
        if file is None or not file.requests:
            return None
        return tree_costs.tree_costs(file, dict(self._session.do(tree_costs.ROOTS)))
