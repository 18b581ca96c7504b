"""The metadata: what is saved is loaded, and nothing that is spoilt gets in."""

from __future__ import annotations

import json
import shutil

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from turso_sync_nb.errors import ReplicaBrokenError, ReplicaError
from turso_sync_nb.storage.files.metadata import (
    VERSION,
    BootstrapPlan,
    FileStamp,
    Metadata,
    load_metadata,
    save_metadata,
)
from turso_sync_nb.units import PAGES_MAX

FULL = Metadata(
    client_id="turso-sync-nb-5f0c6c9e",
    bootstrap=BootstrapPlan(kind="prefix", length=128 * 1024),
    phase="ready",
    revision='odd "revision" \u2603 \\',
    db_pages=PAGES_MAX,
    remote_url="https://example.com/db",
    segment_size=4096,
    prefetch=True,
    last_pull_unix_time=0,
    last_push_unix_time=2**40,
    stamp=FileStamp(inode=2**63, size=2**44, mtime_ns=-1),
)
NEW = Metadata(client_id="x", bootstrap=BootstrapPlan(kind="whole"))


@pytest.mark.parametrize("metadata", [FULL, NEW], ids=["full", "new"])
def test_saved_and_loaded(metadata, folder) -> None:
    """What is saved is loaded, and names its version."""
    save_metadata(folder, metadata)
    assert load_metadata(folder) == metadata
    assert json.loads(folder.metadata.read_text())["version"] == VERSION


def test_changed_is_another(folder) -> None:
    """A change gives another value and leaves the file alone until it is saved."""
    save_metadata(folder, NEW)
    changed = NEW.changed(revision="7", db_pages=3)
    assert (changed.revision, changed.db_pages, changed.client_id) == ("7", 3, "x")
    assert load_metadata(folder) == NEW


def test_no_metadata(folder) -> None:
    """A folder without metadata has none."""
    assert load_metadata(folder) is None


@pytest.mark.parametrize("version", ["turso-sync-nb/2", "v1", ""])
def test_other_version_is_refused(version, folder) -> None:
    """Metadata of another version is refused by name with a hint, whatever else is in it."""
    folder.metadata.write_text(json.dumps({"version": version, "new": [1]}))
    with pytest.raises(ReplicaError, match="turso-sync-nb/1") as caught:
        load_metadata(folder)
    assert repr(version) in str(caught.value)
    assert caught.value.hint
    assert not isinstance(caught.value, ReplicaBrokenError)


def changed(**changes: object) -> bytes:
    """Return FULL as JSON with other values."""
    return json.dumps(json.loads(msgspec.json.encode(FULL)) | changes).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 400,
        b"\xff\xfe",
        b"null",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b'{"version": 1}',
        b'{"version": "turso-sync-nb/1"}',
        changed(db_pages=-1),
        changed(db_pages=PAGES_MAX + 1),
        changed(db_pages="3"),
        changed(db_pages=10**30),
        changed(phase="done"),
        changed(protocol="v2"),
        changed(segment_size=100),
        changed(revision=None),
        changed(client_id=3),
        changed(bootstrap={"kind": "other"}),
        changed(bootstrap={"kind": "prefix", "length": -1}),
        changed(stamp={"inode": 1}),
        changed(stamp=[1, 2, 3]),
        changed(unknown=1),
        changed()[:-1],
        changed() + b"x",
    ],
)
def test_nonsense_is_refused(content, folder) -> None:
    """Metadata with wrong types, missing, unknown or impossible values is a broken replica, with a hint."""
    folder.metadata.write_bytes(content)
    with pytest.raises(ReplicaBrokenError, match=r"replica\.json") as caught:
        load_metadata(folder)
    assert caught.value.hint


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_is_an_error_of_ours(data, folder) -> None:
    """Metadata with any bytes replaced or cut is refused by us, or what it says fits its types and ranges."""
    save_metadata(folder, FULL)
    content = bytearray(folder.metadata.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[at : at + data.draw(st.integers(1, 4))] = data.draw(st.binary(max_size=4))
    else:
        del content[at:]
    folder.metadata.write_bytes(content)
    try:
        loaded = load_metadata(folder)
    except ReplicaError as error:
        assert error.hint  # noqa: PT017 - both ways are right
    else:
        assert msgspec.json.decode(msgspec.json.encode(loaded), type=Metadata) == loaded


def test_unreadable_is_an_error_of_ours(folder) -> None:
    """Something at its place that cannot be read is an error of ours."""
    folder.metadata.mkdir()
    with pytest.raises(ReplicaError, match=r"replica\.json"):
        load_metadata(folder)


def test_stamp(tmp_path) -> None:
    """A stamp matches the file as it was and a copy of it; not after it grew or was touched."""
    path = tmp_path / "file"
    path.write_bytes(b"one")
    stamp = FileStamp.of(path)
    assert stamp.matches(path)
    shutil.copy2(path, tmp_path / "copy")
    assert stamp.matches(tmp_path / "copy")
    with path.open("ab") as file:
        file.write(b"more")
    assert not stamp.matches(path)
    with pytest.raises(ReplicaError, match="look at"):
        stamp.matches(tmp_path / "gone")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    revision=st.text(),
    url=st.none() | st.text(),
    query=st.text(),
    pulled=st.none() | st.integers(0, 2**63),
)
def test_any_values_come_back(revision, url, query, pulled, folder) -> None:
    """Whatever a remote calls its revisions, and a user asks for, is loaded as it was saved."""
    metadata = FULL.changed(
        revision=revision,
        remote_url=url,
        last_pull_unix_time=pulled,
        bootstrap=BootstrapPlan(kind="query", query=query),
    )
    save_metadata(folder, metadata)
    assert load_metadata(folder) == metadata


def test_no_field_for_a_secret() -> None:
    """Metadata has no place for a token, a key or a password."""
    names = " ".join((*Metadata.__struct_fields__, *BootstrapPlan.__struct_fields__))
    assert not any(word in names for word in ("token", "key", "password", "secret", "auth"))
