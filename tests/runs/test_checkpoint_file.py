import errno
import json
import os
import resource
import shutil
import subprocess
import sys
import tracemalloc
import zipfile

import numpy as np
import pytest

from rnncli.errors import RunError, WriteError
from rnncli.runs import checkpoint_file, npz

META = {"step": 3, "words": ["<end>", "naïve", " "], "loss": 1.25, "nothing": None}
MEMBERS = {
    "parameter.W": np.arange(6, dtype=np.float32).reshape(2, 3) / 7,
    "parameter.columns": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "state.layer0.a": np.full((2, 1), 0.5),
}


def everything(name):
    return True


def same(found, expected):
    return found.keys() == expected.keys() and all(
        found[name].dtype == expected[name].dtype
        and found[name].flags.c_contiguous
        and np.array_equal(found[name], expected[name])
        for name in expected
    )


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "step-00000003.npz"
    checkpoint_file.write(path, META, MEMBERS)
    return path


def test_round_trip(path):
    meta, members = checkpoint_file.read(path, everything)
    assert {key: meta[key] for key in META} == META
    assert meta["format_version"] == checkpoint_file.FORMAT_VERSION
    assert same(members, MEMBERS)
    assert checkpoint_file.verify(path) == meta
    assert checkpoint_file.read(path, lambda name: name.startswith("state."))[1].keys() == {"state.layer0.a"}


def test_the_bytes_are_those_that_numpy_writes(path, tmp_path):
    with np.load(path) as archive:
        np.savez(tmp_path / "again.npz", **{name: archive[name] for name in archive.files})
    assert (tmp_path / "again.npz").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    "array",
    [
        np.arange(24, dtype=np.int64).reshape(4, 6)[::2, 1::2],
        np.arange(24.0).reshape(2, 3, 4).transpose(0, 2, 1),
        np.float32(3.5) * np.ones(()),
        np.zeros((0, 4)),
        np.arange(5)[::-1],
    ],
    ids=["strided", "transposed", "a number", "empty", "backwards"],
)
def test_any_layout_of_an_array_is_written_as_numpy_does(tmp_path, array):
    checkpoint_file.write(tmp_path / "a.npz", META, {"a": array})
    assert same(checkpoint_file.read(tmp_path / "a.npz", everything)[1], {"a": array})
    with np.load(tmp_path / "a.npz") as archive:
        np.savez(tmp_path / "b.npz", a=array, meta=archive["meta"])
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_writing_takes_no_memory_for_a_copy(tmp_path):
    large = np.ones(4_000_000, np.float32)
    tracemalloc.start()
    try:
        checkpoint_file.write(tmp_path / "a.npz", META, {"large": large})
        assert tracemalloc.get_traced_memory()[1] < large.nbytes / 8
        tracemalloc.reset_peak()
        checkpoint_file.read(tmp_path / "a.npz", everything)
        assert tracemalloc.get_traced_memory()[1] < large.nbytes * 9 / 8
    finally:
        tracemalloc.stop()


def test_is_a_plain_uncompressed_npz_of_numbers(path):
    with np.load(path, allow_pickle=False) as archive:
        assert set(archive.files) == {*MEMBERS, "meta"}
        assert archive["meta"].dtype == np.uint8
        assert all(archive[name].dtype.kind in "fiu" for name in archive.files)
        meta = json.loads(archive["meta"].tobytes())
    assert set(meta["sha256"]) == set(MEMBERS)
    with zipfile.ZipFile(path) as archive:
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}


def test_same_content_gives_the_same_bytes(path, tmp_path, monkeypatch):
    monkeypatch.setattr("time.time", lambda: 1e9)
    monkeypatch.setattr("os.getpid", lambda: 1)
    reordered = dict(reversed(META.items()))
    checkpoint_file.write(tmp_path / "other.npz", reordered, MEMBERS)
    assert (tmp_path / "other.npz").read_bytes() == path.read_bytes()


def test_a_temporary_file_of_a_killed_writer_with_the_same_id_is_replaced(path):
    before = path.read_bytes()
    (path.parent / f".{path.name}.{os.getpid()}.tmp").write_bytes(b"half")
    path.unlink()
    checkpoint_file.write(path, META, MEMBERS)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_a_write_is_verified_by_reading_it_back(path, monkeypatch):
    def forgetful(file, arrays, write=npz.write):
        write(file, arrays)
        file.seek(700)
        file.write(b"\0")

    before = path.read_bytes()
    monkeypatch.setattr(npz, "write", forgetful)
    with pytest.raises(WriteError, match="the bytes read back differ from those written"):
        checkpoint_file.write(path, META | {"step": 4}, MEMBERS)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file(path, monkeypatch, call):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = path.read_bytes()
    monkeypatch.setattr(os, call, full)
    size = {"parameter.W": np.zeros(2_000_000)}
    with pytest.raises(WriteError, match=r"step-00000003\.npz: .*: No space left on device; .* 16\.0 MB: make room"):
        checkpoint_file.write(path, META, size)
    with pytest.raises(WriteError, match=r"16\.0 MB: make room there, or name another file$"):
        checkpoint_file.write(path, META, size, remedy="name another file")
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_a_disk_that_fills_up_in_the_middle_of_a_write(path):
    """The kernel refuses to let the file grow: a size limit simulates a full disk."""
    before = path.read_bytes()
    program = (
        "import sys, pathlib, numpy as np; from rnncli.errors import WriteError\n"
        "from rnncli.runs import checkpoint_file\n"
        "try: checkpoint_file.write(pathlib.Path(sys.argv[1]), {}, {'W': np.zeros(10**5), 'X': np.zeros(10**5)})\n"
        "except WriteError as error: print(error)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000)),
    )
    assert "cannot write: File too large; the checkpoint needs 1.6 MB" in result.stdout
    assert result.stderr == ""
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def refused(damaged, path):
    """Whether the bytes are refused; asserts that accepted bytes are read as the values written."""
    path.write_bytes(damaged)
    try:
        meta, members = checkpoint_file.read(path, everything)
    except RunError as error:
        return str(error).startswith(f"{path}: ")
    assert {key: meta[key] for key in META} == META
    assert same(members, MEMBERS)
    return False


def test_every_truncation_is_refused(path):
    whole = path.read_bytes()
    for length in [*range(0, len(whole), 13), len(whole) - 1]:
        assert refused(whole[:length], path), length


@pytest.mark.parametrize("bits", [0x01, 0x80, 0xFF])
def test_no_flipped_byte_changes_a_value(path, bits):
    whole = path.read_bytes()
    passed = 0
    # every byte of the zip records, which are at the end, and some of the rest
    for place in [*range(0, len(whole) - 400, 11), *range(len(whole) - 400, len(whole))]:
        damaged = bytearray(whole)
        damaged[place] ^= bits
        passed += not refused(bytes(damaged), path)
    assert passed < len(whole) / 5  # dates, attributes and other fields that are not used


def rewritten(path, member, data):
    """The checkpoint with the bytes of one member replaced, and correct zip checksums."""
    with zipfile.ZipFile(path) as archive:
        content = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    content[member] = data
    with zipfile.ZipFile(path, "w") as archive:
        for name, each in content.items():
            archive.writestr(name, each)


def test_a_header_that_claims_much_memory_is_refused_before_allocation(path):
    with zipfile.ZipFile(path) as archive:
        data = archive.read("parameter.W.npy")
    claim = data.replace(b"(2, 3), }" + b" " * 11, b"(9999999999999, 3), }")
    claim = claim.replace(b"3), }", b"3), }") if len(claim) == len(data) else claim.replace(b" \n", b"\n")
    rewritten(path, "parameter.W.npy", claim)
    with pytest.raises(RunError, match="claims 119999999999988 bytes"):
        checkpoint_file.read(path, everything)


def test_a_changed_value_in_a_valid_zip_is_refused(path):
    with zipfile.ZipFile(path) as archive:
        data = bytearray(archive.read("parameter.W.npy"))
    data[-1] ^= 1
    rewritten(path, "parameter.W.npy", bytes(data))
    assert checkpoint_file.read(path, lambda name: False)[0]["step"] == 3  # unused members are not read
    with pytest.raises(RunError, match=r"parameter\.W does not match its SHA-256"):
        checkpoint_file.read(path, everything)


def test_a_changed_word_in_the_metadata_is_refused(path):
    with zipfile.ZipFile(path) as archive:
        data = archive.read("meta.npy")
    rewritten(path, "meta.npy", data.replace(b'"step":3', b'"step":4'))
    with pytest.raises(RunError, match="metadata does not match"):
        checkpoint_file.verify(path)


def test_objects_are_never_unpickled(path):
    np.savez(path, meta=np.array([{"format_version": 1}], dtype=object))
    with pytest.raises(RunError, match="not a valid checkpoint"):
        checkpoint_file.verify(path)


def test_compressed_members_are_refused(path):
    np.savez_compressed(path, meta=np.zeros(100, np.uint8))
    with pytest.raises(RunError, match="not a valid checkpoint"):
        checkpoint_file.verify(path)


def test_another_format_version_is_refused_by_name(path, monkeypatch):
    monkeypatch.setattr(checkpoint_file, "FORMAT_VERSION", 99)
    monkeypatch.setattr(checkpoint_file, "READABLE", (99,))
    checkpoint_file.write(path, META, MEMBERS)
    monkeypatch.undo()
    with pytest.raises(RunError, match=r"format version 99, and this rnncli reads versions 2 and 3; use"):
        checkpoint_file.verify(path)


def test_files_that_are_no_checkpoint(tmp_path):
    path = tmp_path / "x.npz"
    with pytest.raises(RunError, match="no such checkpoint"):
        checkpoint_file.verify(path)
    for content in (b"", b"hello", b"PK\x05\x06" + bytes(18)):
        path.write_bytes(content)
        with pytest.raises(RunError, match="not a valid checkpoint"):
            checkpoint_file.verify(path)
    np.savez(path, W=np.zeros(3))
    with pytest.raises(RunError, match="not a valid checkpoint"):
        checkpoint_file.verify(path)
    for meta in (b"[1]", b"{", b"\xff", b'{"format_version":2}'):
        np.savez(path, meta=np.frombuffer(meta, np.uint8))
        with pytest.raises(RunError, match="not a valid checkpoint"):
            checkpoint_file.verify(path)
    with pytest.raises(RunError, match="cannot read it: Is a directory"):
        checkpoint_file.verify(tmp_path)
    shutil.rmtree(tmp_path)
    with pytest.raises(WriteError, match="No such file or directory"):
        checkpoint_file.write(path, META, MEMBERS)
