import errno
import os
import warnings

import pytest

from rnncli.system import disk


def test_a_file_replaces_the_previous_one(tmp_path):
    path = tmp_path / "file"
    for content in (b"one", b"two"):
        with disk.replacing(path) as file:
            file.write(content)
            assert not path.exists() or path.read_bytes() == b"one"
        assert path.read_bytes() == content
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_nothing_changes_on_failure(tmp_path, monkeypatch, call):
    path = tmp_path / "file"
    path.write_bytes(b"one")

    def broken(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, call, broken)
    with pytest.raises(OSError, match="Input/output"), disk.replacing(path) as file:
        file.write(b"two")
    assert path.read_bytes() == b"one"
    assert os.listdir(tmp_path) == ["file"]


def test_nothing_changes_if_the_check_fails(tmp_path):
    path = tmp_path / "file"

    def check(temporary):
        assert temporary.read_bytes() == b"two"
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"), disk.replacing(path, check) as file:
        file.write(b"two")
    assert os.listdir(tmp_path) == []


def test_the_order_of_syncs(tmp_path, monkeypatch):
    done = []
    for name in ("fsync", "replace"):
        original = getattr(os, name)

        def call(*arguments, name=name, original=original):
            where = os.readlink(f"/proc/self/fd/{arguments[0]}") if name == "fsync" else arguments[0]
            done.append((name, os.path.basename(where)))
            return original(*arguments)

        monkeypatch.setattr(os, name, call)
    temporary = f".file.{os.getpid()}.tmp"
    with disk.replacing(tmp_path / "file") as file:
        file.write(b"x")
    assert done == [("fsync", temporary), ("replace", temporary), ("fsync", tmp_path.name)]
    done.clear()
    with disk.replacing(tmp_path / "file", durable=False) as file:
        file.write(b"x")
    assert done == [("replace", temporary)]


def test_folders_are_made_durable_from_above(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(disk, "sync", synced.append)
    disk.make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    assert synced == [tmp_path, tmp_path / "a"]
    disk.make_folder(tmp_path / "a" / "b")
    assert len(synced) == 2
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "x"):
        with pytest.raises(OSError, match=r"exists|Not a directory"):
            disk.make_folder(path)


def test_only_temporary_files_are_cleared(tmp_path):
    kept = {"step-00000001.npz", ".lock", ".notes.tmp", "x.12.tmp", ".step-1.npz.tmp"}
    for name in [*kept, ".step-1.npz.12.tmp", ".config.yaml.9.tmp"]:
        (tmp_path / name).write_text("")
    disk.clear(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == kept
    disk.clear(tmp_path / "nowhere")


@pytest.fixture
def fsync(monkeypatch):
    """Let every fsync fail with an error of this name: `fsync("EIO")`; nothing was warned of before."""

    def fail(name):
        number = getattr(errno, name)

        def broken(descriptor):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "fsync", broken)

    monkeypatch.setattr(disk, "_unflushed", [])
    return fail


def write_durably(folder):
    """Everything that flushes."""
    disk.make_folder(folder / "new")
    with disk.replacing(folder / "file") as file:
        file.write(b"x")
    disk.sync(folder)
    disk.sync(folder / "file")
    with open(folder / "other", "wb") as file:
        disk.flush(file)


@pytest.mark.parametrize("name", ["EINVAL", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"])
def test_a_file_system_that_cannot_flush_is_used_with_one_warning(tmp_path, fsync, name):
    fsync(name)
    with pytest.warns(UserWarning, match="cannot flush") as warned:
        write_durably(tmp_path)
    assert [str(each.message) for each in warned] == [
        f"{tmp_path}: this file system cannot flush files to the disk; a power failure may lose what was written last"
    ]
    assert (tmp_path / "file").read_bytes() == b"x"
    with warnings.catch_warnings(action="error"):
        write_durably(tmp_path)


@pytest.mark.parametrize("name", ["EIO", "ENOSPC", "EDQUOT", "EBADF"])
def test_a_failure_to_flush_is_none_of_a_missing_operation(tmp_path, fsync, name):
    fsync(name)
    with pytest.raises(OSError, match=os.strerror(getattr(errno, name))), disk.replacing(tmp_path / "file") as file:
        file.write(b"x")
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_opened_or_flushed_is_used(tmp_path, fsync, monkeypatch):
    fsync("EBADF")
    with pytest.warns(UserWarning, match="cannot flush"):
        disk.sync(tmp_path)

    def refused(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    disk._unflushed.clear()
    monkeypatch.setattr(os, "open", refused)
    with pytest.warns(UserWarning, match="cannot flush"):
        disk.sync(tmp_path)
    with pytest.raises(PermissionError):
        disk.sync(tmp_path / "file")
