"""The words after the magic: they parse, or say what to write instead, and never repeat a secret."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turso_sync_nb.errors import UsageError
from turso_sync_nb.jupyter.arguments import Arguments, Grammar, Option, expanded, parse, parse_before_sql
from turso_sync_nb.jupyter.connecting import CONNECT_OPTIONS

CONNECT = Grammar("%turso_sync connect PATH [URL]", CONNECT_OPTIONS, 1, 2)
SQL = Grammar("%turso_sync sql SQL", (Option(("-o", "--out"), "NAME"), Option(("--on",), "CONNECTION")))


@pytest.mark.parametrize(
    ("line", "words", "options"),
    [
        ("a.db", ("a.db",), {}),
        ("a.db http://x --as n", ("a.db", "http://x"), {"as": "n"}),
        ("a.db --as n http://x", ("a.db", "http://x"), {"as": "n"}),
        ("--as=n --whole a.db http://x", ("a.db", "http://x"), {"as": "n", "whole": ""}),
        ("'my file.db' --bootstrap-query \"SELECT 'x'\"", ("my file.db",), {"bootstrap_query": "SELECT 'x'"}),
        ("-- --odd", ("--odd",), {}),
    ],
)
def test_options_and_words_may_come_in_any_order(line, words, options):
    """Options stand before, between or after the words; quoting is the shell's."""
    assert parse(CONNECT, line) == Arguments(words, options)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("a.db --hwole", "did you mean --whole?"),
        ("a.db --hlep", "did you mean --help"),
        ("a.db --as", "--as: NAME is missing"),
        ("a.db --as --whole", "--as: NAME is missing"),
        ("a.db --as=", "--as: NAME is missing"),
        ("a.db --whole=yes", "takes no value"),
        ("a.db --as n --as m", "given twice"),
        ("", "0 words where 1 to 2 belong"),
        ("a b c", "3 words where 1 to 2 belong"),
        ("'a.db", "a quote is not closed"),
    ],
)
def test_a_line_that_does_not_parse_says_why(line, said):
    """Each mistake has its own message, with the next step."""
    with pytest.raises(UsageError) as caught:
        parse(CONNECT, line)
    assert said in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(
    "line",
    [
        "a.db http://x s3cret",
        "a.db --auth-token s3cret",
        "a.db --password=s3cret",
        "a.db --token s3cret --hwole",
        "a.db http://x?authToken=s3cret --hwole",
        "--s3cret/x a.db",
        "a.db 's3cret",
    ],
)
def test_no_message_repeats_a_value(line):
    """A value may be a token or a URL with one, so messages name options and counts only."""
    with pytest.raises(UsageError) as caught:
        parse(CONNECT, line)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "words", "options", "rest"),
    [
        ("SELECT 'a  b' -- -o x", (), {}, "SELECT 'a  b' -- -o x"),
        ("-o df --on x SELECT 1", (), {"out": "df", "on": "x"}, "SELECT 1"),
        ("--out=df SELECT '\\'", (), {"out": "df"}, "SELECT '\\'"),
        ("df << SELECT 1 << 2", ("df",), {}, "SELECT 1 << 2"),
        ("-- a comment", (), {}, "-- a comment"),
        ("-1", (), {}, "-1"),
    ],
)
def test_sql_after_options_is_left_as_typed(line, words, options, rest):
    """Only leading options are read; quotes, dashes and backslashes of the SQL stay."""
    assert parse_before_sql(SQL, line) == Arguments(words, options, rest)


@pytest.mark.parametrize(
    "line", ["--token s3cret SELECT 1", "--token=s3cret SELECT 1", "--token s3cret df << SELECT 1"]
)
def test_a_secret_is_apart_whichever_way_a_line_is_read(line):
    """An option whose value must not be seen is among the secrets before SQL too, and is given once."""
    secret = Grammar("sql [--token TOKEN] SQL", (Option(("--token",), "TOKEN", is_secret=True),), words_max=9)
    for read in (parse, parse_before_sql):
        arguments = read(secret, line)
        assert not arguments.options
        assert "s3cret" not in repr(arguments)
        assert arguments.secrets["token"].reveal() == "s3cret"
        with pytest.raises(UsageError, match="given twice"):
            read(secret, f"--token again {line}")


@given(st.text())
def test_any_line_parses_or_raises_our_error(line):
    """No text brings out anything but arguments or a usage error."""
    for read in (parse, parse_before_sql):
        for grammar in (CONNECT, SQL):
            try:
                assert isinstance(read(grammar, line), Arguments)
            except UsageError as error:
                assert error.hint  # noqa: PT017 - either outcome is right


def test_a_variable_in_braces_stays_one_word():
    """A value with spaces, quotes or braces replaces its name and is not read again."""
    variables = {"path": "my 'file' {other}.db", "server": SimpleNamespace(url="http://x")}
    arguments = expanded(parse(CONNECT, "{path} {server.url} --as {path}"), variables)
    assert arguments.words == ("my 'file' {other}.db", "http://x")
    assert arguments.options == {"as": "my 'file' {other}.db"}


def test_braces_that_name_no_variable_are_refused_and_other_braces_kept():
    """A mistyped variable makes no folder called "{pth}"; JSON is left alone."""
    with pytest.raises(UsageError, match=r"did you mean path\?"):
        expanded(Arguments(("{pth}",)), {"path": "a.db"})
    with pytest.raises(UsageError, match="no attribute"):
        expanded(Arguments(("{path.url}",)), {"path": "a.db"})
    assert expanded(Arguments(('{"a": 1}', "{}", "{1}")), {}).words == ('{"a": 1}', "{}", "{1}")
