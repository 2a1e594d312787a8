import errno
import gc
import io
import os
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnncli.errors import TextError, WriteError
from rnncli.text import spool
from rnncli.text.spool import Spool, expect_whole, mapped

VALUES = st.lists(st.lists(st.integers(-100, 100), max_size=6), max_size=8)
DTYPES = st.sampled_from([np.int32, np.int64, np.int8])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "numbers"


@given(VALUES, DTYPES, st.integers(0, 40), st.integers(1, 5), st.booleans(), st.data())
def test_a_concatenation(tmp_path_factory, appended, dtype, in_memory, piece, named, data):
    """The array is what was appended, in memory, in an unnamed file, or in a named one."""
    path = tmp_path_factory.getbasetemp() / "spool" if named else None
    with mock.patch.multiple(spool, LARGEST_IN_MEMORY=in_memory, PIECE=piece):
        numbers = Spool(dtype, path)
        whole = np.empty(0, dtype)
        for values in appended:
            numbers.append(np.array(values, np.float64))  # of a different type
            whole = np.concatenate([whole, np.array(values, dtype)])
            assert len(numbers) == len(whole)
            start = data.draw(st.integers(0, len(whole)))
            stop = data.draw(st.integers(start, len(whole)))
            assert (
                numbers.read(start, stop).tolist() == whole[start:stop].tolist()
            )  # the next append is at the end again
        found = list(numbers.pieces(start, stop) if appended else numbers.pieces(0, 0))
        assert np.concatenate([np.empty(0, dtype), *found]).tolist() == (whole[start:stop].tolist() if appended else [])
        assert all(0 < len(values) <= piece for values in found)
        array = numbers.array()
        numbers.remove()
    assert (array.dtype, array.tolist()) == (dtype, whole.tolist())
    assert not array.flags.writeable or not len(array)
    assert path is None or not path.exists()


def test_a_large_array_moves_to_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(spool, "LARGEST_IN_MEMORY", 80)
    numbers = Spool(np.int64)
    numbers.append(np.arange(10))
    assert isinstance(numbers._file, io.BytesIO)
    assert not isinstance(numbers.array().base, np.memmap)
    numbers.append(np.arange(10, 11))
    assert not isinstance(numbers._file, io.BytesIO)
    assert numbers.array().tolist() == list(range(11))
    assert isinstance(numbers.array().base, np.memmap)
    numbers.remove()


def test_strided_and_long_arrays(path):
    numbers = Spool(np.int64, path)
    numbers.append(np.arange(300_000)[::-3])
    assert (numbers.array() == np.arange(300_000)[::-3]).all()
    assert (mapped(path, np.int64) == np.arange(300_000)[::-3]).all()
    numbers.remove()


def test_an_array_outlives_its_file(path):
    numbers = Spool(np.int32, path)
    numbers.append(np.arange(5))
    array = numbers.array()
    numbers.remove()
    numbers.remove()  # a second call does nothing
    del numbers
    gc.collect()
    assert array.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("named", [False, True])
def test_empty(path, named):
    numbers = Spool(np.int32, path if named else None)
    numbers.append(np.empty(0))
    assert (len(numbers), numbers.array().tolist(), numbers.array().dtype) == (0, [], np.int32)
    assert list(numbers.pieces(0, 0)) == []
    assert numbers.read(0, 0).tolist() == []
    numbers.remove()


class FullDisk(io.FileIO):
    """A file that accepts a limited number of bytes, a few at a time."""

    left = 50

    def write(self, data):
        if not self.left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = super().write(data[: min(30, self.left)])
        self.left -= written
        return written


def test_a_write_may_be_partial(path):
    numbers = Spool(np.int64, path)
    numbers._file.close()
    numbers._file = FullDisk(path, "w+b")
    numbers.append(np.arange(6))
    assert numbers.array().tolist() == [0, 1, 2, 3, 4, 5]
    with pytest.raises(OSError, match="No space left"):
        numbers.append(np.arange(6))
    numbers.remove()
    assert not path.exists()


@pytest.fixture
def small(tmp_path, monkeypatch):
    """An unnamed spool with at most 8 bytes in memory."""
    monkeypatch.setattr(spool, "LARGEST_IN_MEMORY", 8)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    numbers = Spool(np.int64)
    numbers.append(np.arange(1))
    yield numbers
    numbers.remove()


def test_a_full_folder_for_temporary_files(tmp_path, monkeypatch, small):
    monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: FullDisk(tmp_path / "unnamed", "w+b"))
    with pytest.raises(
        WriteError, match=rf"^{tmp_path}: cannot write: No space left on device; 0 MB of .* TMPDIR"
    ) as error:
        small.append(np.arange(9))
    assert error.value.exit_code == 7


def test_no_folder_for_temporary_files(tmp_path, small):
    tmp_path.rmdir()
    with pytest.raises(WriteError, match=r"cannot write: No such file or directory; 0 MB of .* set TMPDIR"):
        small.append(np.arange(9))
    tmp_path.mkdir()


def test_a_map_that_was_cut_short_is_noticed_in_its_parts(path, monkeypatch):
    monkeypatch.setattr(spool, "LARGEST_IN_MEMORY", 8)
    path.write_bytes(np.arange(6, dtype=np.int32).tobytes())
    whole = mapped(path, np.int32)
    parts = [whole, whole[1:], whole[2:4][1:], whole.reshape(2, 3)[1]]
    for part in [*parts, np.arange(3), mapped(path, np.int32)[:0]]:
        expect_whole(part)
    os.truncate(path, 20)
    for part in parts:
        with pytest.raises(TextError, match=f"^{path}: the encoded text was cut short"):
            expect_whole(part)


def test_a_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError):
        Spool(np.int32, tmp_path / "no" / "numbers")


def test_reading_beyond_the_end_fails(path):
    """As when another process truncates the file."""
    numbers = Spool(np.int32, path)
    numbers.append(np.arange(5))
    os.truncate(path, 8)
    with pytest.raises(OSError, match="shorter"):
        numbers.read(0, 5)
    numbers.remove()
