"""What Tab offers in our lines and cells, without the network, and nowhere else."""

from __future__ import annotations

import apsw
import pandas as pd
import pytest
from IPython.core.completer import CompletionContext, provisionalcompleter

from turso_sync_nb.jupyter import load_ipython_extension, unload_ipython_extension


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
        ("y = 1\n%turso_sync ex|", ["explain"]),
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


def test_a_failure_is_no_completion(flights, offered, monkeypatch):
    """A schema that cannot be read, or no connection at all, offers nothing and raises nothing."""
    monkeypatch.setattr("turso_sync_nb.jupyter.schema.table_names", lambda _db: 1 / 0)
    assert "flights" not in offered("%turso_sync schema fl|")
    flights.good("%turso_sync close --all")
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
