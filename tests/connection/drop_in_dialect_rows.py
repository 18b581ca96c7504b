"""Programs for the rows of the drop-in table about SQLAlchemy; see ``drop_in_rows``."""

from __future__ import annotations

from drop_in_rows import Differs

HEAD = """
import sqlalchemy as sa
from urllib.parse import quote

remote = "remote_url=" + quote(url, "")

def engine(query=remote, **options):
    return sa.create_engine(f"sqlite+{scheme}:///{path()}?{query}", **options)

def rows(*query, **options):
    with engine(*query, **options).connect() as connection:
        return [tuple(row) for row in connection.execute(sa.text("SELECT * FROM t ORDER BY id"))]
"""
"""``rows`` connects and reads."""

ALL = "[(1, 'one'), (2, None)]"


def ran(*lines: str) -> str:
    """Return a program that runs ``lines`` with a connection of SQLAlchemy's and looks at ``said``."""
    body = "".join(f"    {line}\n" for line in lines)
    run = "    run = lambda sql: connection.execute(sa.text(sql))\n"
    return f"{HEAD}with engine().connect() as connection:\n{run}{body}said"


DIALECT: dict[str, dict[str, str | Differs]] = {
    "sqlite+turso_sync://": {
        "rows": f"{HEAD}rows()",
        "memory": (
            f"{HEAD}made = sa.create_engine(f'sqlite+{{scheme}}:///:memory:',\n"
            "    connect_args={'remote_url': url})\n"
            "with made.connect() as connection:\n"
            "    said = connection.execute(sa.text('SELECT a FROM t WHERE id = 1')).scalar()\nsaid"
        ),
        "rolled back": ran(
            "run(\"INSERT INTO t VALUES (31, 'x')\")",
            "connection.rollback()",
            "said = run('SELECT count(*) FROM t WHERE id = 31').scalar()",
        ),
        "committed": ran(
            "run(\"INSERT INTO t VALUES (32, 'x')\")",
            "connection.commit()",
            "connection.rollback()",
            "said = run('SELECT count(*) FROM t WHERE id = 32').scalar()",
        ),
        "constraint": ran("run(\"INSERT INTO t VALUES (1, 'x')\")", "said = 0"),
        "columns": ran(
            "said = [(one['name'], str(one['type'])) for one in sa.inspect(connection).get_columns('t')]"
        ),
        "kinds of values": ran(
            "import datetime as dt",
            "table = sa.Table('kinds', sa.MetaData(), sa.Column('id', sa.Integer, primary_key=True),",
            "    sa.Column('d', sa.DateTime), sa.Column('f', sa.Float), sa.Column('b', sa.Boolean))",
            "table.create(connection)",
            "row = {'d': dt.datetime(2024, 1, 2, 3, 4, 5), 'f': 1.5, 'b': True}",
            "connection.execute(table.insert(), row)",
            "said = connection.execute(sa.select(table)).fetchall()",
        ),
        "tables": Differs(
            ran("said = 'turso_cdc' in sa.inspect(connection).get_table_names()"), "True", "False"
        ),
        "another level": Differs(
            ran(
                "connection.execution_options(isolation_level='AUTOCOMMIT')",
                "run(\"INSERT INTO t VALUES (33, 'x')\")",
                "connection.rollback()",
                "said = run('SELECT count(*) FROM t WHERE id = 33').scalar()",
            ),
            "0",
            "1",
        ),
        "host": Differs(
            f"{HEAD}sa.create_engine(f'sqlite+{{scheme}}://host/x.db').connect()",
            "fails ValueError",
            "fails DatabaseError Error",
        ),
        "unknown option": Differs(f"{HEAD}rows(remote + '&nothing=1')", ALL, "fails DatabaseError Error"),
    },
    "?remote_url": {
        "in connect_args": f"{HEAD}rows('', connect_args={{'remote_url': url}})",
        "none": f"{HEAD}rows('')",
    },
    "?sync_url": {
        "in the URL": f"{HEAD}rows('sync_url=' + quote(url, ''))",
        "in connect_args": Differs(
            f"{HEAD}rows('', connect_args={{'sync_url': url}})", ALL, "fails DatabaseError"
        ),
    },
    "?auth_token": {
        "in connect_args": f"{HEAD}rows(connect_args={{'auth_token': 'token'}})",
        "in the URL": Differs(f"{HEAD}rows(remote + '&auth_token=token')", ALL, "fails DatabaseError Error"),
    },
    "?client_name": {"any": f"{HEAD}rows(remote + '&client_name=analysis')"},
    "?long_poll_timeout_ms": {"soon": f"{HEAD}rows(remote + '&long_poll_timeout_ms=5')"},
    "?bootstrap_if_empty": {
        "yes": f"{HEAD}[rows(remote + '&bootstrap_if_empty=' + said) for said in ('true', '1', 'yes')]",
        "no": f"{HEAD}rows(remote + '&bootstrap_if_empty=false')",
    },
    "?isolation_level": {
        "level": f"{HEAD}rows(remote + '&isolation_level=IMMEDIATE')",
        "autocommit": (
            f"{HEAD}with engine(remote + '&isolation_level=AUTOCOMMIT').connect() as connection:\n"
            "    said = connection.connection.driver_connection.isolation_level\nsaid"
        ),
    },
    "?experimental_features": {
        "none": f"{HEAD}rows(connect_args={{'experimental_features': None}})",
        "one": Differs(
            f"{HEAD}rows(remote + '&experimental_features=views')", ALL, "fails DatabaseError Error"
        ),
    },
    "get_sync_connection": {
        "verbs": ran(
            "db = connection.connection.driver_connection",
            "run(\"INSERT INTO checked VALUES (130, 'x')\")",
            "connection.commit()",
            "db.push()",
            "said = isinstance(db, module.ConnectionSync), bool(db.pull()), db.stats().cdc_operations",
        ),
    },
}
