"""An archive is either read exactly as `np.load` reads it, or refused."""

import io
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from rnncli.runs import npz

ARRAYS = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "naïve/b": np.arange(4.0), "c": np.uint8([7])}


def written(arrays):
    file = io.BytesIO()
    npz.write(file, arrays)
    return file.getvalue()


def read(content):
    archive = npz.Archive(io.BytesIO(content))
    found = {}
    for name in archive.names:
        layout = archive.layout(name)
        numbers = bytearray(layout.size)
        archive.read_into(layout, memoryview(numbers))
        order = "F" if layout.fortran_order else "C"
        found[name] = np.frombuffer(bytes(numbers), layout.dtype).reshape(layout.shape, order=order)
    return found


def same(found, expected):
    return list(found) == list(expected) and all(
        found[name].dtype == each.dtype and found[name].shape == each.shape and found[name].tobytes() == each.tobytes()
        for name, each in expected.items()
    )


def refused(content):
    with pytest.raises((ValueError, EOFError, OverflowError)):
        read(content)


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=9),
        arrays_of.arrays(
            st.sampled_from(["<f4", "<f8", "|u1", "<i8", "|b1", ">f4"]), arrays_of.array_shapes(min_dims=0, min_side=0)
        ),
        max_size=4,
    )
)
def test_an_archive_is_read_back_by_us_and_by_numpy(arrays):
    content = written(arrays)
    assert same(read(content), arrays)
    with np.load(io.BytesIO(content), allow_pickle=False) as theirs:
        assert same({name: theirs[name] for name in arrays}, arrays)


def test_the_layout_of_large_archives(monkeypatch):
    """Lowered limits make zipfile write the records it writes above 4 GB and 65,535 members."""
    plain = written(ARRAYS)
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 2)
    large = written(ARRAYS)
    assert len(large) > len(plain) + 76
    assert same(read(large), ARRAYS)
    for length in range(len(large)):
        refused(large[:length])


def test_every_truncation_and_every_addition_is_refused():
    content = written(ARRAYS)
    for length in range(len(content)):
        refused(content[:length])
    for around in (b"\0", b"PK", content):
        refused(content + around)
        refused(around + content)


@pytest.mark.parametrize("bits", [0x01, 0x10, 0x80, 0xFF])
def test_no_flipped_byte_of_a_header_is_read_as_another_array(bits):
    content = written(ARRAYS)
    for at in range(len(content)):
        damaged = bytearray(content)
        damaged[at] ^= bits
        try:
            found = read(bytes(damaged))
        except (ValueError, EOFError, OverflowError):
            continue
        for (
            name,
            each,
        ) in found.items():  # the numbers themselves have no checksum here, and orders of one row are equal
            assert name in ARRAYS
            assert each.shape == ARRAYS[name].shape
            assert each.dtype.itemsize == ARRAYS[name].dtype.itemsize


def zipped(members, method=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return file.getvalue()


def npy(header=None, array=ARRAYS["a"], magic=b"\x93NUMPY\1\0"):
    file = io.BytesIO()
    np.save(file, array)
    content = file.getvalue()
    if header is None:
        return magic + content[8:]
    return magic + struct.pack("<H", len(header)) + header + content[128:]


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("members", "method"),
    [
        ([("a.npy", npy())], zipfile.ZIP_DEFLATED),
        ([("a.npy", npy())], zipfile.ZIP_BZIP2),
        ([("a.npy", npy())], zipfile.ZIP_LZMA),
        ([("a.npy", npy()), ("a.npy", npy())], zipfile.ZIP_STORED),
        ([("a.npy", npy()), ("a", npy())], zipfile.ZIP_STORED),
        ([("a.npy", npy()), ("folder/", b"")], zipfile.ZIP_STORED),
        ([("x" * 2000 + ".npy", npy())], zipfile.ZIP_STORED),
        ([("a.npy", npy(magic=b"\x93NUMPY\2\0"))], zipfile.ZIP_STORED),
        ([("a.npy", npy(magic=b"\x93NUMPX\1\0"))], zipfile.ZIP_STORED),
        ([("a.npy", npy(array=np.array([{}], object)))], zipfile.ZIP_STORED),
        ([("a.npy", npy(array=np.zeros(2, "f4,i4")))], zipfile.ZIP_STORED),
        ([("a.npy", npy(array=np.zeros(2, "M8[s]")))], zipfile.ZIP_STORED),
        ([("a.npy", npy(array=np.zeros(2, complex)))], zipfile.ZIP_STORED),
        ([("a.npy", npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 4), }\n"))], zipfile.ZIP_STORED),
        ([("a.npy", npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (-2, -3), }\n"))], zipfile.ZIP_STORED),
        (
            [("a.npy", npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (999999999999, 3), }\n"))],
            zipfile.ZIP_STORED,
        ),
        (
            [("a.npy", npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (2 if 1 else 2, 3), }\n"))],
            zipfile.ZIP_STORED,
        ),
        ([("a.npy", npy(b"{'descr': '<f4', 'fortran_order': 0, 'shape': (2, 3), }\n"))], zipfile.ZIP_STORED),
        ([("a.npy", npy(b"{'descr': '<f9', 'fortran_order': False, 'shape': (2, 3), }\n"))], zipfile.ZIP_STORED),
        ([("a.npy", b"")], zipfile.ZIP_STORED),
        ([("a.npy", b"\x93NUMPY\1\0\xff\xff")], zipfile.ZIP_STORED),
    ],
)
def test_archives_that_numpy_would_not_write_are_refused(members, method):
    refused(zipped(members, method))


def test_an_archive_that_claims_very_many_members_is_refused_at_once():
    content = zipped([])
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0, 0, 0)
    large = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 2**40, 2**40, 0, 0)
    with pytest.raises(ValueError, match="claims to have 1099511627776 members"):
        read(large + struct.pack("<4sLQL", b"PK\6\7", 0, 0, 1) + end)
    assert read(content) == {}


def test_a_missing_member():
    with pytest.raises(ValueError, match="d is missing"):
        npz.Archive(io.BytesIO(written(ARRAYS))).layout("d")
