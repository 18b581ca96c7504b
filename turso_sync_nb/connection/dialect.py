"""The SQLAlchemy dialect: ``create_engine("sqlite+turso_sync_nb:///flights.db")``.

The path is the replica's folder, ``sqlite+turso_sync_nb://`` a private one for each connection of the pool.
Options of :func:`turso_sync_nb.connect` go into ``connect_args``, those that are no secrets into the URL as
well: ``?remote_url=http://127.0.0.1:8080&bootstrap_if_empty=false&prefix=128KiB``. All connections of an
engine share the replica; ``engine.raw_connection().driver_connection`` is one of them, with its verbs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine import reflection
from sqlalchemy.util import VersionInfo, asbool

from turso_sync_nb.changes.names import is_internal
from turso_sync_nb.errors import ProgrammingError, UsageError
from turso_sync_nb.options import PartialSyncOpts, PartialSyncPrefixBootstrap
from turso_sync_nb.units import parse_size

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import URL


def _level(name: str) -> str | None:
    return None if name.upper() == "AUTOCOMMIT" else name


_SYNC_URL: Final = "sync_url"
"""``remote_url`` as the dialect of libSQL names it; Turso's takes it too."""

_OPTIONS: Final[dict[str, Callable[[str], Any]]] = {
    "remote_url": str,
    _SYNC_URL: str,
    "client_name": str,
    "isolation_level": _level,
    "bootstrap_if_empty": asbool,
    "max_resident": str,
    "long_poll_timeout_ms": int,
}
"""Options that may be in the URL, with what reads them."""

_PREFIX: Final = "prefix"


class TursoSyncDialect(SQLiteDialect_pysqlite):
    """SQLAlchemy's dialect of SQLite over replicas."""

    driver = "turso_sync_nb"
    supports_statement_cache = True

    @classmethod
    def import_dbapi(cls) -> Any:
        """Return the module with PEP 249's names."""
        return importlib.import_module(__name__.partition(".")[0])

    def create_connect_args(self, url: URL) -> tuple[list[str], dict[str, Any]]:
        """Return the arguments of ``connect`` for ``url``.

        Raises:
            UsageError: the URL names a host, or an option that is none or belongs into ``connect_args``.
        """
        if url.host or url.username or url.password or url.port:
            raise UsageError(
                "create engine: the URL names a host where the replica's folder belongs",
                hint="write it like sqlite+turso_sync_nb:///flights.db?remote_url=http://127.0.0.1:8080",
            )
        options: dict[str, Any] = {}
        for name, value in url.query.items():
            if name == _PREFIX:
                length = parse_size(str(value))
                options["partial_sync"] = PartialSyncOpts(PartialSyncPrefixBootstrap(length))
            elif name in _OPTIONS:
                options[name] = _OPTIONS[name](str(value))
            else:
                raise UsageError(
                    f"create engine: {name} is no option of the URL",
                    hint=f"{', '.join([*_OPTIONS, _PREFIX])} are; others go into connect_args",
                )
        if _SYNC_URL in options:
            options.setdefault("remote_url", options[_SYNC_URL])
            del options[_SYNC_URL]
        return [url.database or ":memory:"], options

    @reflection.cache
    def get_table_names(
        self, connection: Any, schema: str | None = None, sqlite_include_internal: Any = None, **kw: Any
    ) -> list[str]:
        """Return the tables of a schema, those of this package and of the protocol left out."""
        stock: Any = super()
        names = stock.get_table_names(connection, schema, bool(sqlite_include_internal), **kw)
        return [name for name in names if sqlite_include_internal or not is_internal(name)]

    def on_connect(self) -> Any:
        """Register nothing: REGEXP and floor() are there, and a function in Python hinders read-ahead."""

    def retrieve_dbapi_version(self, dbapi: Any) -> Any:
        """Return the version of this package."""
        numbers = str(dbapi.__version__).split(".")
        return VersionInfo(tuple(int(number) for number in numbers if number.isdigit()))

    def is_disconnect(self, e: Any, connection: Any, cursor: Any) -> bool:  # noqa: ARG002 - SQLAlchemy's signature
        """Return whether ``e`` says that the connection is closed."""
        return isinstance(e, ProgrammingError) and "it is closed" in str(e)
