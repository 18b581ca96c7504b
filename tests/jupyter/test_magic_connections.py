"""%turso_sync in a real IPython shell: connect, use, status, tables, schema, stats, close, help."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest
from inside import replica_of

import turso_sync_nb.jupyter as layer
from turso_sync_nb.api import connect
from turso_sync_nb.errors import ReplicaBusyError, SyncError, UsageError
from turso_sync_nb.jupyter.subcommands import SUBCOMMANDS
from turso_sync_nb.units import format_share, format_size

OWNER = """
import sys
import turso_sync_nb as tsn
db = tsn.connect("a.db", sys.argv[1])
db.execute("INSERT INTO carriers VALUES ('XX', 'New')")
db.commit()
print("open", flush=True)
sys.stdin.readline()
"""

PROJECT = Path(__file__).parents[2]


def test_the_magic_alone_is_a_short_help(shell):
    """A few lines that name every subcommand."""
    lines = shell.good("%turso_sync").displayed[0]["text/plain"].splitlines()
    assert len(lines) <= 7
    assert max(map(len, lines)) <= 88  # JupyterLab breaks longer ones amid a word
    assert all(any(name in line for line in lines) for name in SUBCOMMANDS)


def test_help_describes_every_subcommand_and_every_option(shell):
    """Help lists all; help NAME gives usage and options."""
    overview = shell.good("%turso_sync help").displayed[0]["text/plain"]
    assert max(map(len, overview.splitlines())) <= 88
    for name, subcommand in SUBCOMMANDS.items():
        assert f"%turso_sync {name}" in overview
        detail = shell.good(f"%turso_sync help {name}").displayed[0]["text/plain"]
        assert subcommand.grammar.usage in detail
        assert all(option.flags[0] in detail for option in subcommand.grammar.options)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("conect a.db", "did you mean connect"),
        ("help conect", "did you mean connect"),
        ("connect a.db --hwole", "did you mean --whole?"),
        ("select 1", "SQL goes after %turso_sync sql"),
        ("frobnicate", "%turso_sync help lists them"),
        ("tables", "%turso_sync connect PATH [URL] --as NAME"),
        ("close", "%turso_sync connect PATH [URL] --as NAME"),
        ("connect {pth}", "no variable has that name"),
        ("connect a.db --whole --prefix 128KiB", "--whole and --prefix exclude each other"),
        ("connect a.db --prefix big", "not a size"),
        ("connect a.db --prefix 17", "at least 4096"),
        ("connect a.db --max-resident 17", "too little"),
    ],
)
def test_a_mistake_is_one_line_with_the_next_step(shell, line, said):
    """Mistyped subcommands, options, variables and values: one line each, and the cell fails."""
    ran = shell.run(f"%turso_sync {line}")
    assert said in ran.line
    assert ran.line.startswith("UsageError: ")
    assert isinstance(ran.error, UsageError)


def test_connect_is_lazy_and_says_what_is_here(shell, flights_url):
    """By default a prefix comes; the one line has the share that is here, the size and the time."""
    shell.names["url"] = flights_url
    said = shell.good("%turso_sync connect flights.db {url} --as flights").text
    stats = layer.connection("flights").stats()
    assert 0 < stats.pages_resident < stats.pages_total
    assert f"connected flights to {flights_url}" in said
    share = format_share(stats.pages_resident, stats.pages_total)
    assert f" · {share} of {format_size(stats.pages_total * 4096)} is here · " in said
    assert said.strip().count("\n") == 0


def test_connect_takes_as_much_as_it_is_told(shell, flights_url):
    """--whole takes everything, --prefix the size given, --bootstrap-query what the query touches."""
    shell.names["url"] = flights_url
    shell.good("%turso_sync connect whole.db {url} --whole")
    shell.good("%turso_sync connect prefix.db {url} --prefix 16KiB")
    shell.good("%turso_sync connect query.db {url} --bootstrap-query 'SELECT name FROM carriers'")
    whole, prefix, query = (layer.connection(name).stats() for name in ("whole", "prefix", "query"))
    assert whole.pages_resident == whole.pages_total
    assert prefix.pages_resident == 4
    assert query.pages_resident > 0
    assert "downloaded" not in shell.sql("SELECT name FROM carriers").text


def test_what_is_here_can_be_limited(shell, flights_url):
    """With --max-resident, and with the same word in the project's file."""
    shell.names["url"] = flights_url
    shell.good("%turso_sync connect a.db {url} --max-resident 1MiB")
    assert replica_of(layer.connection("a")).eviction.pages_max == 256
    Path("pyproject.toml").write_text(
        f'[tool.turso_sync_nb.connections.b]\nurl = "{flights_url}"\nmax_resident = "2MiB"'
    )
    shell.good("%turso_sync connect b")
    assert replica_of(layer.connection("b")).eviction.pages_max == 512


def test_a_replica_of_another_kernel_is_read(shell, flights_url):
    """The error offers --read-only, which reads it as it is; so does read_only in the project's file."""
    shell.names["url"] = flights_url
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, flights_url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with owner:
        assert owner.stdout.readline() == "open\n"
        assert "--read-only" in shell.run("%turso_sync connect a.db").line
        said = shell.good("%turso_sync connect a.db --read-only").text
        assert "read only, as it is now: connect again for what is new" in said
        assert shell.sql("SELECT name FROM carriers WHERE carrier = 'XX'").value["name"].tolist() == ["New"]
        assert "read_only=True" in shell.run("%turso_sync sql DELETE FROM carriers").line
        assert "read_only=True" in shell.run("%turso_sync push").line
        Path("pyproject.toml").write_text(
            '[tool.turso_sync_nb.connections.b]\npath = "a.db"\nread_only = true'
        )
        assert "read only" in shell.good("%turso_sync connect b").text
        owner.communicate("\n")


def test_a_replica_opens_again_without_a_url_and_without_a_server(shell, flights_url):
    """The saved address is used, and what is here answers."""
    shell.names["url"] = flights_url
    shell.good("%turso_sync connect flights.db {url} --whole")
    shell.good("%turso_sync close")
    assert f"opened flights, a replica of {flights_url}" in shell.good("%turso_sync connect flights.db").text
    assert shell.sql("SELECT count(*) AS n FROM flights").value["n"].tolist() == [4000]


def test_connecting_again_under_a_name_opens_anew(flights):
    """The former connection is closed: nothing is leaked or busy, and a lost transaction is said."""
    former = layer.connection("flights")
    flights.sql("BEGIN")
    said = flights.good("%turso_sync connect flights.db {url}").text
    assert "its open transaction was rolled back" in said
    assert former.closed
    assert not layer.connection().closed
    assert "rolled back" not in flights.good("%turso_sync connect flights.db {url}").text
    assert flights.good("%turso_sync status").value["connection"].tolist() == ["flights"]


def test_a_connect_that_fails_leaves_a_clear_state(flights):
    """After a failed connect under the same name nothing is open, and a right one works."""
    ran = flights.run("%turso_sync connect other.db http://127.0.0.1:1 --as flights")
    assert isinstance(ran.error, SyncError)
    assert ran.line.startswith("RemoteUnreachableError: ")
    assert "none is open" in flights.sql("SELECT 1").line
    flights.good("%turso_sync connect flights.db {url} --as flights")
    assert flights.sql("SELECT 1 AS one").success


def test_an_option_that_comes_too_late_is_said(flights):
    """A replica that is here stays what it is: --whole on it changes nothing, and the line says so."""
    said = flights.good("%turso_sync connect flights.db {url} --whole").text
    assert "so --whole changed nothing" in said


def test_two_names_on_one_replica_share_it(flights):
    """One process may open a replica under several names."""
    flights.good("%turso_sync connect flights.db {url} --as again")
    for name in ("flights", "again"):
        assert flights.sql("SELECT count(*) AS n FROM carriers", f"--on {name}").value["n"].tolist() == [2]


def test_another_process_that_has_the_replica_is_named(shell, flights_url, tmp_path):
    """The second notebook on a replica gets one line with the next step, and may try again later."""
    program = (
        "import sys; from turso_sync_nb.api import connect\n"
        "db = connect(sys.argv[1], sys.argv[2]); print('open', flush=True); sys.stdin.read(); db.close()"
    )
    shell.names["url"] = flights_url
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "work" / "flights.db"), flights_url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
    ) as other:
        assert other.stdout.readline() == "open\n"
        ran = shell.run("%turso_sync connect flights.db {url}")
        assert isinstance(ran.error, ReplicaBusyError)
        assert str(other.pid) in ran.line
        assert " — " in ran.line
        other.stdin.close()
        other.wait()
    shell.good("%turso_sync connect flights.db {url}")


def test_a_mistyped_connection_name_is_corrected(flights):
    """use, --on and close say which name was meant."""
    for ran in (
        flights.run("%turso_sync use flihgts"),
        flights.sql("SELECT 1", "--on flihgts"),
        flights.run("%turso_sync close flihgts"),
    ):
        assert "did you mean flights?" in ran.line


def test_use_chooses_and_adopts_a_variable(flights, flights_url, tmp_path):
    """Cells run on the connection in use; a connection in a variable can be used, and is not closed by us."""
    with closing(connect(tmp_path / "mine.db", flights_url)) as mine:
        flights.names["mine"] = mine
        flights.good("%turso_sync use mine")
        assert layer.connection() is mine
        flights.sql("BEGIN")
        assert mine.in_transaction
        flights.good("%turso_sync use flights")
        assert not layer.connection().in_transaction
        flights.good("%turso_sync close mine")
        assert not mine.closed
        flights.good("%turso_sync use mine")
        said = flights.good("%turso_sync close --all").text
        assert "closed 1 connection; forgot mine, its variable keeps it open" in said
        assert not mine.closed


def test_connecting_again_after_the_folder_was_removed_makes_it_anew(flights):
    """One cell is enough: the line says that the former folder is gone, and the rows are the remote's."""
    former = layer.connection()
    flights.sql("UPDATE carriers SET name = 'lost'")
    shutil.rmtree(former.path)
    said = flights.good("%turso_sync connect flights.db {url} --as flights").text
    assert said.endswith("its folder was removed while it was open, with what waited to be pushed")
    assert layer.connection() is not former
    former.close()
    assert layer.connection().pending_changes == 0
    assert flights.sql("SELECT count(*) AS n FROM carriers WHERE name = 'lost'").value["n"].tolist() == [0]


def test_a_connection_closed_elsewhere_is_reported_and_forgotten(flights):
    """db.close() in Python leaves no dead name behind."""
    layer.connection().close()
    assert "it was closed" in flights.sql("SELECT 1").line
    assert "no connection is open" in flights.good("%turso_sync status").text


def test_status_lists_connections_without_the_home_folder(flights):
    """A row a connection: which is in use, where, from where, how much is here."""
    flights.sql("BEGIN")
    (row,) = flights.good("%turso_sync status").value.to_dict("records")
    assert row["connection"] == "flights"
    assert row["in use"] == "yes"
    assert row["replica"] == "flights.db"
    assert row["remote"] == flights.names["url"]
    assert row["here"].endswith(" %")
    assert row["last pull"].startswith("just now (")
    assert (row["changes waiting"], row["conflicts"]) == (0, 0)
    assert row["transaction"] == "open"


def test_tables_and_schema_describe_the_database(flights):
    """Tables and views; columns with type and key; indexes and foreign keys below. No row is fetched."""
    before = layer.connection().stats()
    tables = flights.good("%turso_sync tables").value.set_index("name")
    assert tables.index.tolist() == ["carriers", "flights", "late"]
    assert tables["rows"].tolist()[:1] == [2]
    assert tables.loc["carriers", "here"] == "████████ 100 %"
    assert tables.loc["flights", "refers to"] == "carriers"
    after = layer.connection().stats()
    assert after.network_requests - before.network_requests <= 2
    assert after.pages_resident - before.pages_resident <= 4
    ran = flights.good("%turso_sync schema flights")
    assert ran.value["column"].tolist() == ["id", "carrier", "origin", "delay", "remarks"]
    assert "index flights_by_origin on origin" in ran.text
    assert "carrier refers to carriers(carrier)" in ran.text
    assert "did you mean flights?" in flights.run("%turso_sync schema flihgts").line
    assert layer.connection().stats().network_requests == after.network_requests


def test_stats_has_the_figures_of_the_connection(flights):
    """The names are those of db.stats()."""
    frame = flights.good("%turso_sync stats").value
    assert {"revision", "network_requests", "pages_total", "pages_resident"} <= set(frame["figure"])


def test_close_closes_one_or_all(flights):
    """A closed name is gone; --all closes the rest; a name and --all exclude each other."""
    flights.good("%turso_sync connect other.db {url}")
    flights_db, other_db = layer.connection("flights"), layer.connection("other")
    assert "closed other" in flights.good("%turso_sync close").text
    assert other_db.closed
    assert "keep one of them" in flights.run("%turso_sync close flights --all").line
    assert "closed 1 connection" in flights.good("%turso_sync close --all").text
    assert flights_db.closed


def test_reset_keeps_connections(flights):
    """%reset clears the variables; the magics and their connections stay."""
    flights.good("%reset -f")
    assert flights.sql("SELECT count(*) AS n FROM carriers").value["n"].tolist() == [2]


def test_unload_closes_and_a_second_load_starts_empty(flights):
    """After unload the magic is gone and its connections closed; loading twice is harmless."""
    db = layer.connection()
    layer.unload_ipython_extension(flights.ip)
    layer.unload_ipython_extension(flights.ip)
    assert db.closed
    assert flights.ip.find_line_magic("turso_sync") is None
    assert flights.ip.find_cell_magic("turso_sync") is None
    with pytest.raises(UsageError, match="magics are not loaded"):
        layer.connection()
    layer.load_ipython_extension(flights.ip)
    layer.load_ipython_extension(flights.ip)
    assert "no connection is open" in flights.good("%turso_sync status").text


def test_the_extension_loads_by_the_name_of_the_package(shell):
    """%load_ext turso_sync_nb and %reload_ext turso_sync_nb are what users type."""
    layer.unload_ipython_extension(shell.ip)
    shell.good("%load_ext turso_sync_nb")
    shell.good("%turso_sync status")
    shell.good("%reload_ext turso_sync_nb")
    shell.good("%turso_sync status")
    shell.good("%unload_ext turso_sync_nb")
    assert not shell.run("%turso_sync status").success


def test_a_name_for_the_connection_defaults_to_the_file(shell, flights_url):
    """Without --as the connection is called after its file; :memory: is called memory."""
    shell.names["url"] = flights_url
    shell.good("%turso_sync connect 'my flights.db' {url}")
    shell.good("%turso_sync connect :memory: {url}")
    assert shell.good("%turso_sync status").value["connection"].tolist() == ["my flights", "memory"]


def test_a_token_is_read_from_the_environment_and_never_shown(shell, monkeypatch):
    """The named variable is used; a missing one is said without its neighbours' values."""
    monkeypatch.setenv("MY_TOKEN", "s3cret")
    ran = shell.run("%turso_sync connect a.db http://127.0.0.1:1 --token-env MY_TOKEN")
    assert "s3cret" not in ran.text + str(ran.error)
    missing = shell.run("%turso_sync connect a.db http://127.0.0.1:1 --token-env MY_TOKN")
    assert "did you mean MY_TOKEN?" in missing.line
    assert "s3cret" not in missing.text


@pytest.mark.parametrize("variable", ["TURSO_AUTH_TOKEN", "MY_TOKEN"])
def test_a_token_opens_what_asks_for_one(shell, embedded, flights_file, monkeypatch, variable):
    """Own server only: without the token one line says so; with it cells run; later tokens are taken too."""
    shell.names["url"] = embedded(flights_file, auth_token="s3cret").url  # noqa: S106 - a test's own token
    refused = shell.run("%turso_sync connect a.db {url}")
    assert refused.line.startswith("RemoteRefusedError: ")
    monkeypatch.setenv(variable, "s3cret")
    option = "" if variable == "TURSO_AUTH_TOKEN" else f"--token-env {variable}"
    said = shell.good(f"%turso_sync connect a.db {{url}} {option}").text
    monkeypatch.setenv(variable, "wr0ng")
    wrong = shell.sql("SELECT sum(length(remarks)) AS n FROM flights")
    assert wrong.line.startswith("RemoteRefusedError: ")
    monkeypatch.setenv(variable, "s3cret")
    right = shell.sql("SELECT sum(length(remarks)) AS n FROM flights")
    assert right.value["n"].tolist() == [2_000_000]
    shown = said + refused.text + wrong.text + right.text + shell.good("%turso_sync status").text
    assert "s3cret" not in shown
    assert "wr0ng" not in shown


def test_a_token_on_the_line_is_warned_about_and_not_repeated(shell):
    """A URL that carries a token is used, with a warning that the notebook now holds it."""
    for url in ("http://127.0.0.1:1?authToken=s3cret", "http://user:s3cret@127.0.0.1:1"):
        ran = shell.run(f"%turso_sync connect a.db '{url}'")
        assert "warning: the URL holds a token or password" in ran.stderr
        assert "s3cret" not in ran.text + str(ran.error)


def test_a_token_that_would_go_unencrypted_is_warned_about(shell, flights_url, monkeypatch):
    """Over plain HTTP to another machine; not to this one, not over TLS, not without a token."""
    warned = "warning: the token goes to this address unencrypted: use https:// or libsql://"
    assert warned not in shell.run("%turso_sync connect a.db http://db.invalid:1").stderr
    monkeypatch.setenv("TURSO_AUTH_TOKEN", "s3cret")
    assert warned in shell.run("%turso_sync connect a.db http://db.invalid:1").stderr
    for url in ("https://db.invalid:1", "libsql://db.invalid:1", flights_url):
        assert warned not in shell.run(f"%turso_sync connect a.db {url}").stderr
    assert shell.run("%turso_sync connect a.db http://[1").line.startswith("UsageError: ")


def test_frames_of_subcommands_are_dataframes(flights):
    """What a line returns can be worked with."""
    flights.good("found = %turso_sync tables")
    assert isinstance(flights.names["found"], pd.DataFrame)


def test_the_end_of_the_process_closes_connections(flights_url, tmp_path):
    """A notebook that never closes anything still closes its replica when its kernel ends."""
    program = """
import atexit, sys
found = []
atexit.register(lambda: print(found[0].closed))
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_cell("%load_ext turso_sync_nb")
shell.run_cell(f"%turso_sync connect a.db {sys.argv[1]}")
from turso_sync_nb.jupyter import connection
found.append(connection())
print("open" if not connection().closed else "closed")
"""
    ran = subprocess.run(
        [sys.executable, "-c", program, flights_url],
        cwd=tmp_path,
        env={**os.environ, "IPYTHONDIR": str(tmp_path / "ipython"), "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.split()[-2:] == ["open", "True"]
    assert not ran.stderr
