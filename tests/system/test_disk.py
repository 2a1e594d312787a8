import errno
import os

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
