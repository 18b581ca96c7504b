"""What Tab offers in our lines and cells, without the network, and nowhere else."""

from __future__ import annotations

from contextlib import ExitStack, closing

import apsw
import pandas as pd
import pytest
from inside import replica_of
from IPython.core.completer import (
    CompletionContext,
    SimpleCompletion,
    context_matcher,
    provisionalcompleter,
)
from kernels import DEADLINE_S, Kernel

from turso_sync_nb import connect
from turso_sync_nb.engine.stats import read_stats
from turso_sync_nb.jupyter import load_ipython_extension, unload_ipython_extension
from turso_sync_nb.options import PartialSyncOpts, PartialSyncPrefixBootstrap
from turso_sync_nb.server import LocalServer


@pytest.fixture
def offered(flights):
    """Give ``offered(text)``: what a Tab at the ``|`` in ``text`` offers, through IPython's own completer."""

    def tab(text: str) -> list[str]:
        position = text.index("|")
        with provisionalcompleter():
            found = flights.ip.Completer.completions(text.replace("|", ""), position)
            return [each.text for each in found]

    return tab


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("%turso_sync pu|", ["pull", "push"]),
        ("x = %turso_sync sch|", ["schema"]),
        ("y = 1\n%turso_sync expla|", ["explain"]),
        ("%turso_sync push --sk|", ["--skip-refused"]),
        ("%turso_sync connect a.db --wh|", ["--whole"]),
        ("%%turso_sync --at|", ["--atomic"]),
        ("%turso_sync schema fl|", ["flights"]),
        ("%turso_sync profile ca|", ["carriers"]),
        ("%turso_sync help conn|", ["connect"]),
        ("%turso_sync use f|", ["flights"]),
        ("%turso_sync sql --on f|", ["flights"]),
        ("%turso_sync write my_fr|", ["my_frame"]),
        ("%turso_sync write my_frame ca|", ["carriers"]),
        ("%turso_sync sql SELECT * FROM fl|", ["flights"]),
        ("%%turso_sync\nSELECT * FROM ca|", ["carriers"]),
        ("%%turso_sync\nSELECT * FROM flights AS f WHERE f.or|", ["origin"]),
        ("%%turso_sync\nSELECT f.del| FROM flights f\nJOIN carriers", ["delay"]),
        ("%%turso_sync\nSELECT rem|\nFROM flights", ["remarks"]),
        ("%%turso_sync -o x\nSELECT 1 FROM flights WHERE carrier = :my_f|", [":my_frame"]),
        ("%%turso_sync\nSELECT json_extr|", ["json_extract("]),
        ("%%turso_sync\nSELECT * FROM flights WHERE origin = 'x' AND del|", ["DELETE", "delay"]),
        ("%%turso_sync\nINSERT INTO ca|", ["carriers"]),
        ('%%turso_sync\nSELECT "odd table".od| FROM "odd table"', ['"odd column"']),
        ('%%turso_sync\nSELECT * FROM "od|', ['"odd table"']),
        ("%%turso_sync\nSELECT o.od| FROM [odd table] o", ['"odd column"']),
        ("%%turso_sync\nSELECT F.del| FROM flights AS f", ["delay"]),
        ("%%turso_sync\nSELECT c.na| FROM flights, carriers c", ["name"]),
        ("%%turso_sync\nSELECT c.na| FROM flights JOIN carriers c", ["name"]),
        ("%%turso_sync\nSELECT f.del| FROM main.flights f", ["delay"]),
        ("%%turso_sync\nSELECT * FROM main.car|", ["carriers"]),
        ("%%turso_sync\nSELECT x.na| FROM carriers x; SELECT 1 FROM flights x", ["name"]),
        ("%%turso_sync\nSELECT 1 FROM carriers x; SELECT x.del| FROM flights x", ["delay"]),
        ("%%turso_sync\nSELECT f.or|,\n  1\nFROM flights AS f\nWHERE 1", ["origin"]),
        ("%turso_sync sql SELECT f.or| FROM flights f", ["origin"]),
        ("%turso_sync sql --on flights SELECT * FROM ca|", ["carriers"]),
        ("%turso_sync sql --at|", ["--atomic"]),
        ("%turso_sync schema --on flights ca|", ["carriers"]),
        ("%turso_sync write --on flights my_frame ca|", ["carriers"]),
        ("%turso_sync close f|", ["flights"]),
        ("%%turso_sync --on=f|", ["--on=flights"]),
        ("%%time\n%turso_sync pu|", ["pull", "push"]),
    ],
)
def test_offers(flights, offered, text, wanted):
    """Each place offers what fits there."""
    flights.names["my_frame"] = pd.DataFrame()
    flights.sql('CREATE TABLE IF NOT EXISTS "odd table" ("odd column")')
    assert offered(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "import o|",
        "fli|",
        "%time pri|",
        "%sql SELECT * FROM fl|",
        "%%sql\nSELECT * FROM fl|",
        "# %turso_sync pu|",
        "%%sql\n%turso_sync pu|",
        "%%turso_sync_other\nSELECT * FROM fl|",
    ],
)
def test_what_is_not_ours_is_left_alone(flights, text):
    """Other lines and cells, those of other SQL magics too, get nothing from us."""
    (matcher,) = flights.ip.Completer.custom_matchers
    before = text.partition("|")[0]
    lines = before.split("\n")
    result = matcher(CompletionContext("", before, len(lines[-1]), len(lines) - 1, 500))
    assert result["completions"] == []
    assert not result["suppress"]


@pytest.mark.parametrize("text", ["SELECT 'FROM fl|", "SELECT 1 -- fl|", "SELECT /* fl|"])
def test_nothing_inside_literals(offered, text):
    """Text and comments are the user's."""
    assert "flights" not in offered(f"%%turso_sync\n{text}")


def test_no_network(shell, embedded, flights_file, offered):
    """It works with the server gone, and asks it nothing."""
    server = embedded(flights_file)
    shell.names["url"] = server.url
    shell.good("%turso_sync connect here.db {url} --prefix 4KiB --as here")
    server.stop()
    assert offered("%%turso_sync --on here\nSELECT rem| FROM flights") == ["remarks"]
    assert offered("%turso_sync schema ca|") == ["carriers"]


@pytest.fixture
def lazy(shell, tmp_path):
    """Give ``lazy(statements)``: a replica of one page of a database, nothing of which was asked for yet."""
    with ExitStack() as opened:

        def connected(statements: str):
            source = tmp_path / "source.db"
            with closing(apsw.Connection(str(source))) as db:
                db.execute(statements)
            server = opened.enter_context(LocalServer(source))
            first_page = PartialSyncOpts(PartialSyncPrefixBootstrap(4096))
            db = opened.enter_context(closing(connect("lazy.db", server.url, partial_sync=first_page)))
            shell.names["lazy"] = db
            return db

        yield connected


def traffic(db):
    """Return requests sent and pages here; the connection's own ``stats()`` would read the schema."""
    stats = read_stats(replica_of(db))
    return stats.network_requests, stats.pages_resident


def test_a_schema_that_is_not_here_is_not_fetched(lazy, offered):
    """Before the first query SQLite has parsed no schema: parsing it would fetch its pages."""
    db = lazy(";".join(f"CREATE TABLE many_{n:03}({'x' * 200})" for n in range(100)))
    before = traffic(db)
    assert not set(offered("%%turso_sync --on lazy\nSELECT * FROM many_00|")) & {"many_001"}
    assert traffic(db) == before
    db.execute("SELECT * FROM many_000").fetchall()
    assert "many_001" in offered("%%turso_sync --on lazy\nSELECT * FROM many_00|")


def test_virtual_tables_are_not_connected_by_fetching(lazy, offered):
    """FTS5 reads its configuration when SQLite first asks for its columns: that page is not fetched."""
    db = lazy(
        "CREATE TABLE flights(id INTEGER PRIMARY KEY, remarks);"
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900)"
        "INSERT INTO flights SELECT i, printf('%0500d', i) FROM n;"
        "CREATE VIRTUAL TABLE notes USING fts5(body)"
    )
    before = traffic(db)
    assert offered("%%turso_sync --on lazy\nSELECT * FROM fl|") == ["flights"]
    assert offered("%%turso_sync --on lazy\nSELECT n.bo| FROM notes n") != ["body"]
    assert offered("%%turso_sync --on lazy\nSELECT rem| FROM flights") == ["remarks"]
    assert traffic(db) == before


@pytest.mark.parametrize(
    ("typed", "becomes"),
    [('FROM "od', 'FROM "odd table"'), ("FROM [od", "FROM [odd table]")],
)
def test_a_quote_that_was_begun_is_not_doubled(flights, typed, becomes):
    """What is completed begins at the quote, and ends with one."""
    flights.sql('CREATE TABLE IF NOT EXISTS "odd table" ("odd column")')
    text = f"%%turso_sync\nSELECT * {typed}"
    with provisionalcompleter():
        found = [*flights.ip.Completer.completions(text, len(text))]
    assert [text[: each.start] + each.text for each in found] == [f"%%turso_sync\nSELECT * {becomes}"]


def test_other_matchers_keep_their_cells(flights, offered):
    """What another extension completes in its cells stays, and it does not show in ours."""

    @context_matcher()
    def theirs(context):
        return {"completions": [SimpleCompletion("their_table")], "matched_fragment": context.token}

    flights.ip.Completer.custom_matchers.append(theirs)
    assert "their_table" in offered("%%sql\nSELECT * FROM the|")
    assert offered("%%turso_sync\nSELECT * FROM ca|") == ["carriers"]


def test_in_a_kernel(wheel_path_env, tmp_path, flights_url):
    """A ``complete_request`` is answered, with the place in a cell of several lines."""
    env = wheel_path_env | {"IPYTHONDIR": str(tmp_path / "ipython"), "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    code = "%%turso_sync\nSELECT f.or\nFROM flights AS f"
    position = code.index("\nFROM")
    with Kernel(tmp_path, env) as kernel:
        kernel.good("%load_ext turso_sync_nb")
        kernel.good(f"%turso_sync connect flights.db {flights_url}")
        answer = kernel._client.complete(code, position, reply=True, timeout=DEADLINE_S)["content"]
    assert answer["matches"] == ["origin"]
    assert (answer["cursor_start"], answer["cursor_end"]) == (position - 2, position)


def test_a_failure_is_no_completion(flights, offered, monkeypatch):
    """A schema that cannot be read, or no connection at all, offers nothing and raises nothing."""
    (matcher,) = flights.ip.Completer.custom_matchers
    asked = CompletionContext("", "%turso_sync schema fl", 21, 0, 500)
    assert matcher(asked)["completions"]
    with monkeypatch.context() as patched:
        patched.setattr("turso_sync_nb.jupyter.schema.table_names", lambda _db: 1 / 0)
        assert matcher(asked)["completions"] == []
    flights.good("%turso_sync close --all")
    assert matcher(asked)["completions"] == []
    assert "flights" not in offered("%%turso_sync\nSELECT * FROM fl|")


def test_it_comes_and_goes_with_the_extension(shell):
    """Loaded twice it is there once; unloaded it is gone."""
    load_ipython_extension(shell.ip)
    assert len(shell.ip.Completer.custom_matchers) == 1
    unload_ipython_extension(shell.ip)
    assert shell.ip.Completer.custom_matchers == []
    load_ipython_extension(shell.ip)


def test_keywords_are_quoted_as_names(flights, offered):
    """A column that is called like a keyword is offered in quotes."""
    flights.sql('CREATE TABLE tricky ("order", plain)')
    assert '"order"' in offered("%%turso_sync\nSELECT ord| FROM tricky")
    assert "ORDER" in apsw.keywords
