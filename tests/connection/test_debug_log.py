"""A log at level DEBUG tells of requests and verbs; no secret, no SQL and no value is in it."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

import turso_sync_nb as tsn
from turso_sync_nb.remote.retry import RetryPolicy

if TYPE_CHECKING:
    from pathlib import Path

TOKEN, KEY = "token-of-mine", "a2V5LW9mLW1pbmU="
HIDDEN = (TOKEN, KEY, "user-of-mine", "value-of-mine", "INSERT", "SELECT")
OURS = "turso_sync_nb"


def written(url: str, folder: Path, **options: object) -> None:
    """Write a row and push it, read lazily, pull; an error ends it."""
    with suppress(tsn.Error):
        db = tsn.connect(folder, url, **options)
        db.execute("INSERT INTO person (name) VALUES ('value-of-mine')")
        db.commit()
        db.push()
        db.execute("SELECT max(length(photo)) FROM person").fetchall()
        db.pull()
        db.close()


@pytest.fixture
def folders(people: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Give the database to serve, and where its replica goes."""
    return people, tmp_path / "replica"


@pytest.mark.parametrize(
    ("token", "lines"),
    [
        (
            TOKEN,
            [
                ("DEBUG", "POST /pull-updates to {url}: ", " bytes, status 200 after "),
                ("INFO", "bootstrap: BootstrapReport(pages=", "requests="),
                ("DEBUG", "POST /v2/pipeline to {url}: ", " bytes, status 200 after "),
                ("INFO", "push: PushReport(transactions=1, ", "requests="),
                ("INFO", "pull: PullReport(pages=", "applied=True"),
            ],
        ),
        ("wrong-" + TOKEN, [("DEBUG", "POST /pull-updates to {url}: ", ", status 401 after ")]),
    ],
    ids=["done", "refused"],
)
def test_requests_and_verbs_are_told(embedded, folders, caplog, token, lines) -> None:
    """Each line is there, in order, and what is secret is in no logger's, those of httpx included."""
    caplog.set_level(logging.DEBUG)
    people, replica = folders
    url = embedded(people, auth_token=TOKEN).url
    written(url, replica, remote_encryption_key=KEY, auth_token=token)
    told = [(record.levelname, record.getMessage()) for record in ours(caplog)]
    at = 0
    for level, begins, holds in lines:
        start = begins.format(url=url)
        found = [line == level and text.startswith(start) and holds in text for line, text in told[at:]]
        assert True in found, (start, told)
        at += found.index(True)
    assert_nothing_is_told_that_is_secret(caplog)


def test_an_address_is_told_without_its_secrets(tmp_path: Path, caplog) -> None:
    """Each try of a request that nobody answers is told."""
    caplog.set_level(logging.DEBUG)
    written(f"http://user-of-mine:{TOKEN}@127.0.0.1:1/?authToken={TOKEN}", tmp_path / "replica")
    told = [record.getMessage() for record in ours(caplog)]
    assert len(told) == RetryPolicy().attempts
    assert all("to http://127.0.0.1:1: " in text and ", ConnectError after " in text for text in told)
    assert_nothing_is_told_that_is_secret(caplog)


def ours(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Return what the client's loggers were told."""
    named = (f"{OURS}.remote.", f"{OURS}.engine.")
    return [record for record in caplog.records if record.name.startswith(named)]


def assert_nothing_is_told_that_is_secret(caplog: pytest.LogCaptureFixture) -> None:
    """Also not in an argument that a formatter of another kind would show."""
    told = caplog.text + repr([vars(record) for record in caplog.records])
    assert [secret for secret in HIDDEN if secret in told] == []
