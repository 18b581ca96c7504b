"""What HttpRemote gives from a server, the same from the real one and from the embedded one."""

from __future__ import annotations

import math
from contextlib import closing

import apsw
import pytest
from pyroaring import BitMap

from turso_sync_nb.errors import RemoteRefusedError
from turso_sync_nb.protocol.pipeline import (
    And,
    Batch,
    BatchResponse,
    Execute,
    ExecuteResponse,
    IsAutocommit,
    Not,
    Or,
    SqlError,
    Step,
    StepError,
    StepOk,
    Stmt,
    encode_request,
)
from turso_sync_nb.protocol.pull_updates import PullRequest, encode_header, encode_page
from turso_sync_nb.remote.http import HttpRemote
from turso_sync_nb.units import PAGE_SIZE


@pytest.fixture
def served(tmp_path):
    """Give a database of some pages in a plain file."""
    path = tmp_path / "source.db"
    with closing(apsw.Connection(str(path))) as db:
        db.execute("CREATE TABLE t(x INTEGER PRIMARY KEY, y TEXT)").fetchall()
        with db:
            db.executemany("INSERT INTO t VALUES(?, ?)", ((n, f"row {n} " * 20) for n in range(500)))
    return path


@pytest.fixture
def connect():
    """Give ``connect(url, ...)``: a remote that ends with the test."""
    remotes: list[HttpRemote] = []

    def make(url, *args, **options):
        remotes.append(HttpRemote(url, *args, **options))
        return remotes[-1]

    yield make
    for remote in remotes:
        remote.close()


def pull(remote, **asked):
    """Return the header and the pages of one pull."""
    with remote.pull_updates(PullRequest(**asked)) as answer:
        return answer.header, dict(answer.pages())


def execute(remote, sql, *args):
    """Return what one statement gives."""
    (answer,) = remote.pipeline([Execute(Stmt(sql, args=args))])
    return answer


def test_a_whole_pull_gives_every_page_once(remote_server, served, connect):
    """All pages of the database come, and hold what its file holds, the file's own header aside."""
    header, pages = pull(connect(remote_server(served).url))
    source = served.read_bytes()
    count = len(source) // PAGE_SIZE
    assert count > 10
    assert header.db_pages == count
    assert sorted(pages) == list(range(count))
    for number in range(1, count):
        assert pages[number] == source[number * PAGE_SIZE : (number + 1) * PAGE_SIZE]
    assert pages[0][:16] == source[:16]
    assert pages[0][100:] == source[100:PAGE_SIZE]


def test_a_selector_gives_these_pages_alone(remote_server, served, connect):
    """Pages 1, 3 and 7 are asked for, and no other comes."""
    remote = connect(remote_server(served).url)
    _, every = pull(remote)
    header, some = pull(remote, pages=BitMap([1, 3, 7]))
    assert some == {number: every[number] for number in (1, 3, 7)}
    assert header.db_pages == len(every)


def test_the_asked_revision_is_echoed_and_read(remote_server, served, connect):
    """A revision from before a write is what the header says, and its pages are as they were."""
    remote = connect(remote_server(served).url)
    before, old = pull(remote)
    assert isinstance(execute(remote, "UPDATE t SET y = 'new'"), ExecuteResponse)
    after, new = pull(remote)
    again, same = pull(remote, server_revision=before.revision)
    assert after.revision != before.revision == again.revision
    assert new != old == {number: same[number] for number in old}


def test_a_client_that_is_up_to_date_gets_nothing(remote_server, served, connect):
    """With the newest revision as its own, the header comes with that revision and no page."""
    remote = connect(remote_server(served).url)
    newest, _ = pull(remote)
    header, pages = pull(remote, client_revision=newest.revision)
    assert header.revision == newest.revision
    assert pages == {}


def test_a_client_behind_gets_what_makes_it_new(remote_server, served, connect):
    """The pages since a revision, over those of that revision, are those of the newest one."""
    remote = connect(remote_server(served).url)
    before, base = pull(remote)
    execute(remote, "INSERT INTO t VALUES(1000, 'more')")
    header, changes = pull(remote, client_revision=before.revision)
    newest, every = pull(remote)
    assert header.revision == newest.revision
    assert 0 < len(changes) < len(every)
    assert {**base, **changes} == every


def test_an_unknown_client_revision_gets_no_page_or_all(remote_server, served, connect):
    """A revision of nobody gives no page (tursodb), or the whole database (the embedded server)."""
    remote = connect(remote_server(served).url)
    newest, every = pull(remote)
    header, pages = pull(remote, client_revision="of-nobody")
    assert header.revision == newest.revision
    assert pages in ({}, every)


def test_an_empty_database_has_a_revision(remote_server, connect):
    """A fresh server answers with a revision and no page, or the one of an empty file."""
    header, pages = pull(connect(remote_server().url))
    assert header.revision
    assert header.db_pages == len(pages) <= 1


@pytest.mark.parametrize(
    "value",
    [
        None, 0, 1, -1, 2**63 - 1, -(2**63), 2**53 + 1, 0.5, -0.0, 1e308, 5e-324, 0.1,
        "", "text", "nul\0inside", "emoji 🦆 é", "'\"\\\n\x01", b"", b"\0", bytes(range(256)),
    ],
    ids=repr,
)  # fmt: skip
def test_a_value_comes_back_as_it_went(remote_server, connect, value):
    """What is bound by position is stored and read with its type and every bit."""
    remote = connect(remote_server().url)
    execute(remote, "CREATE TABLE v(x)")
    execute(remote, "INSERT INTO v VALUES(?)", value)
    answer = execute(remote, "SELECT x, typeof(x) FROM v")
    assert isinstance(answer, ExecuteResponse), answer
    ((back, kind),) = answer.result.rows
    assert back == value
    assert type(back) is type(value)
    names = {type(None): "null", int: "integer", float: "real", str: "text", bytes: "blob"}
    assert kind == names[type(value)]
    if isinstance(value, float):
        assert math.copysign(1, back) == math.copysign(1, value)


def test_a_result_has_columns_counts_and_the_rowid(remote_server, connect):
    """A query names its columns; an insert says its rows and rowid, or leaves them out (tursodb)."""
    remote = connect(remote_server().url)
    execute(remote, "CREATE TABLE v(x INTEGER PRIMARY KEY, y TEXT)")
    inserted = execute(remote, "INSERT INTO v VALUES(41, 'a'), (42, 'b')").result
    assert (inserted.affected_row_count, inserted.last_insert_rowid) in {(2, 42), (0, None)}
    read = execute(remote, "SELECT y, x + 1 AS more FROM v ORDER BY x").result
    assert [column.name for column in read.cols] == ["y", "more"]
    assert read.rows == (("a", 42), ("b", 43))


def test_an_sql_error_is_an_answer(remote_server, connect):
    """A missing table is a SqlError that says so, and the requests around it are answered."""
    remote = connect(remote_server().url)
    good, bad, after = remote.pipeline(
        [Execute(Stmt(sql)) for sql in ("SELECT 1", "SELECT * FROM missing", "SELECT 2")]
    )
    assert isinstance(bad, SqlError)
    assert "no such table" in bad.message
    assert [one.result.rows for one in (good, after)] == [((1,),), ((2,),)]


CONDITIONS = [
    (StepOk(0), True),
    (StepOk(1), False),
    (StepError(0), False),
    (StepError(1), True),
    (Not(StepError(0)), True),
    (Not(StepError(1)), False),
    (And((StepOk(0), StepError(1))), True),
    (And((StepOk(0), StepOk(1))), False),
    (Or((StepOk(1), StepOk(0))), True),
    (Or((StepOk(1), StepError(0))), False),
    (IsAutocommit(), True),
    (Not(IsAutocommit()), False),
]


@pytest.mark.parametrize(("condition", "holds"), CONDITIONS, ids=lambda one: str(one)[:60])
def test_a_step_runs_if_its_condition_holds(remote_server, connect, condition, holds):
    """After a step that ran and one that failed, a third runs, or has neither result nor error."""
    steps = (
        Step(Stmt("SELECT 1")),
        Step(Stmt("SELECT * FROM missing")),
        Step(Stmt("SELECT 3"), condition),
    )
    (answer,) = connect(remote_server().url).pipeline([Batch(steps)])
    assert isinstance(answer, BatchResponse)
    results, errors = answer.result.step_results, answer.result.step_errors
    assert results[0].rows == ((1,),)
    assert results[1] is None
    assert "no such table" in errors[1].message
    assert errors[2] is None
    assert (results[2].rows if results[2] else None) == (((3,),) if holds else None)


def test_a_transaction_of_one_batch_is_seen_by_its_conditions(remote_server, connect):
    """Between BEGIN and COMMIT there is no autocommit, after it there is; what was written stays."""
    remote = connect(remote_server().url)
    execute(remote, "CREATE TABLE v(x)")
    texts: list[tuple[str, object]] = [
        ("BEGIN", None),
        ("INSERT INTO v VALUES(1)", Not(IsAutocommit())),
        ("INSERT INTO v VALUES(2)", IsAutocommit()),
        ("COMMIT", None),
        ("INSERT INTO v VALUES(3)", IsAutocommit()),
    ]
    (answer,) = remote.pipeline([Batch(tuple(Step(Stmt(sql), cond) for sql, cond in texts))])
    assert answer.result.step_errors == (None,) * 5
    assert execute(remote, "SELECT x FROM v ORDER BY x").result.rows == ((1,), (3,))


def test_a_path_where_nothing_is_is_a_refusal(remote_server, connect):
    """Below a wrong path both requests are refused, with a hint about the address."""
    remote = connect(remote_server().url + "/nowhere")
    with pytest.raises(RemoteRefusedError, match="address") as pulled:
        pull(remote)
    with pytest.raises(RemoteRefusedError, match="address") as asked:
        execute(remote, "SELECT 1")
    assert pulled.value.hint
    assert asked.value.hint


def test_counters_are_exact(remote_server, served, connect):
    """Each request counts once, and both bodies by the bytes that crossed the wire."""
    remote = connect(remote_server(served).url)
    request = PullRequest(pages=BitMap([1, 3]))
    with remote.pull_updates(request) as answer:
        pages = dict(answer.pages())
        header = answer.header
    count = remote.traffic.snapshot()
    assert (count.requests, count.sent_bytes) == (1, len(request.encode()))
    framed = [encode_page(number, data, header.encoding) for number, data in pages.items()]
    shortest = len(encode_header(header)) - 4  # the embedded server writes fields that others leave out
    body = count.received_bytes - sum(map(len, framed))
    assert shortest <= body <= shortest + 20
    remote.pipeline([Execute(Stmt("SELECT 1"))])
    after = remote.traffic.snapshot()
    assert after.requests == 2
    assert after.sent_bytes - count.sent_bytes == len(encode_request([Execute(Stmt("SELECT 1"))]))
    assert after.received_bytes > count.received_bytes


def test_a_remote_can_be_used_after_close(remote_server, connect):
    """Closing lets go of connections; a later request opens another."""
    remote = connect(remote_server().url)
    pull(remote)
    remote.close()
    remote.close()
    assert pull(remote)[0].db_pages <= 1
