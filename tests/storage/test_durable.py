"""The durable write: the old content or the new, whole, and errors that say what to do."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

import pytest
from partial import names_in

from turso_sync_nb.errors import ReplicaError
from turso_sync_nb.storage.files.durable import mapped_os_errors, sync_folder, write_durably, write_whole


def test_content_is_replaced(tmp_path) -> None:
    """A write makes the file or replaces all of it, and leaves nothing else behind."""
    path = tmp_path / "file"
    for content in (b"long content", b"short", b""):
        write_durably(path, content)
        assert path.read_bytes() == content
    assert names_in(tmp_path) == ["file"]


def test_disk_full(tmp_path) -> None:
    """A full disk is an error of ours with a hint; the old content stays and no temporary file does."""
    path = tmp_path / "file"
    write_durably(path, b"old")
    (tmp_path / "file.new").symlink_to("/dev/full")
    with pytest.raises(ReplicaError, match="No space left on device") as caught:
        write_durably(path, b"new")
    assert "free some disk space" in caught.value.hint
    assert isinstance(caught.value.__cause__, OSError)
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["file"]


STEPS = ("fsync of the file", "rename", "fsync of the folder")


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("code", [errno.EIO, errno.EROFS, errno.EACCES, errno.EDQUOT])
def test_every_step_may_fail(step, code, tmp_path, monkeypatch) -> None:
    """Whichever step fails, ours is raised, and the old content or the new is there, and nothing else."""
    path = tmp_path / "file"
    write_durably(path, b"old")
    left = iter(STEPS)

    def failing(real):
        def call(*args):
            if next(left) == step:
                raise OSError(code, os.strerror(code))
            return real(*args)

        return call

    monkeypatch.setattr(os, "fsync", failing(os.fsync))
    monkeypatch.setattr(type(path), "replace", failing(type(path).replace))
    with pytest.raises(ReplicaError, match=os.strerror(code)) as caught:
        write_durably(path, b"new")
    assert caught.value.hint
    assert path.read_bytes() == (b"new" if step == "fsync of the folder" else b"old")
    assert names_in(tmp_path) == ["file"]


def test_order_of_steps(tmp_path, monkeypatch) -> None:
    """The content is synced before it gets its name, the name after."""
    steps = []
    fsync, replace = os.fsync, type(tmp_path).replace

    def note_fsync(descriptor):
        steps.append(f"fsync {Path(f'/proc/self/fd/{descriptor}').readlink().name}")
        fsync(descriptor)

    def note_replace(path, target):
        steps.append(f"rename {path.name} {target.name}")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(type(tmp_path), "replace", note_replace)
    write_durably(tmp_path / "file", b"content")
    assert steps == ["fsync file.new", "rename file.new file", f"fsync {tmp_path.name}"]


def test_whole_without_a_sync(tmp_path, monkeypatch) -> None:
    """A write that need not outlive a power cut replaces all at once too, and waits for no disk."""
    monkeypatch.setattr(os, "fsync", lambda _descriptor: pytest.fail("synced"))
    write_whole(tmp_path / "file", b"old")
    write_whole(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"
    (tmp_path / "file.new").symlink_to("/dev/full")
    with pytest.raises(ReplicaError, match="No space left on device"):
        write_whole(tmp_path / "file", b"more")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert names_in(tmp_path) == ["file"]


def test_interrupted_write_leaves_nothing(tmp_path, monkeypatch) -> None:
    """Ctrl-C in a write leaves the old content and no temporary file, and stays Ctrl-C."""
    write_durably(tmp_path / "file", b"old")

    def interrupt(_descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_durably(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert names_in(tmp_path) == ["file"]


def test_folder_is_gone(tmp_path) -> None:
    """A folder that is not there is an error of ours, for a write and for a sync."""
    with pytest.raises(ReplicaError, match="No such file"):
        write_durably(tmp_path / "gone" / "file", b"")
    with pytest.raises(ReplicaError, match="sync folder"):
        sync_folder(tmp_path / "gone")


def test_only_os_errors_are_explained() -> None:
    """Other errors, ours among them, pass as they are."""
    for error in (ReplicaError("mine"), ValueError("other"), KeyboardInterrupt()):
        with suppress(type(error)), mapped_os_errors("do"):
            raise error
        with pytest.raises(type(error)) as caught, mapped_os_errors("do"):
            raise error
        assert caught.value is error
