import bz2
import contextlib
import gzip
import io
import lzma
import random
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnncli.errors import TextError
from rnncli.text.lines import read_blocks, read_lines

COMPRESSORS = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}


def lines_of(content):
    return list(read_lines(io.BytesIO(content)))


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", []),
        (b"\n", [""]),
        (b"a\nb", ["a", "b"]),
        (b"a\nb\n", ["a", "b"]),
        (b"a\n\n", ["a", ""]),
        (b"a\r\nb\r\r\nc\rd\r", ["a", "b\r", "c\rd"]),
        (b"\xef\xbb\xbfa\n\xef\xbb\xbfb", ["a", "\ufeffb"]),
        (b"\xef\xbb\xbf", []),
        ("a\u2028b\x85c\x0cd\x1ce\n".encode(), ["a\u2028b\x85c\x0cd\x1ce"]),
    ],
)
def test_lines(content, lines):
    assert lines_of(content) == list(enumerate(lines, 1))


@given(st.lists(st.text(st.sampled_from("aé漢\U0001f600\r\n ")), max_size=8), st.integers(1, 12))
def test_block_size_changes_nothing(pieces, block):
    content = "".join(pieces).encode()
    whole = lines_of(content)
    with mock.patch("rnncli.text.lines.BLOCK", block):
        assert lines_of(content) == whole


@given(st.binary(max_size=60) | st.text(max_size=20).map(str.encode), st.integers(1, 12))
def test_any_bytes_are_lines_or_a_text_error(content, block):
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = "\0"
    with mock.patch("rnncli.text.lines.BLOCK", block):
        if "\0" in text:
            with pytest.raises(TextError, match=r"^<stream>:\d+: .*; "):
                lines_of(content)
            return
        *ended, rest = text.removeprefix("\ufeff").split("\n")
        lines = [*ended, rest] if rest else ended
        assert lines_of(content) == [(n, line.removesuffix("\r")) for n, line in enumerate(lines, 1)]


@pytest.mark.parametrize("suffix", COMPRESSORS)
def test_compressed(tmp_path, suffix):
    path = tmp_path / f"text.{suffix.upper() if suffix == 'gz' else suffix}"
    content = "é b\nc\n".encode() * 20_000
    path.write_bytes(COMPRESSORS[suffix](content))
    assert list(read_lines(path)) == lines_of(content)


@pytest.mark.parametrize("suffix", COMPRESSORS)
def test_damaged_compression_is_told(tmp_path, suffix):
    path = tmp_path / f"text.{suffix}"
    good = COMPRESSORS[suffix](random.Random(1).randbytes(20_000).hex().encode() + b"\n")
    for bad in (good[: len(good) // 2], good[:-1], b"plain text\n", good[:3]):
        path.write_bytes(bad)
        with pytest.raises(TextError, match=rf"text\.{suffix}:\d+: damaged or cut off after \d+ bytes of text"):
            list(read_lines(path))


@given(st.sampled_from(sorted(COMPRESSORS)), st.integers(0, 10**6), st.binary(min_size=1, max_size=3))
def test_no_damage_escapes_as_another_exception(tmp_path_factory, suffix, at, damage):
    path = tmp_path_factory.getbasetemp() / f"damaged.{suffix}"
    content = bytearray(COMPRESSORS[suffix](b"one two\nthree\n" * 50))
    at %= len(content)
    content[at : at + len(damage)] = damage
    path.write_bytes(content)
    with contextlib.suppress(TextError):
        list(read_lines(path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"ab\ncd\0\n", r"^<stream>:2: a NUL byte at byte 5"),
        (b"ab\nc\xe9d\n", r"^<stream>:2: not UTF-8: byte 0xe9 at byte 4; .*iconv -f latin1 -t utf-8"),
        ("ab\n".encode("utf-16"), r"^<stream>:1: not UTF-8: byte 0xff .* UTF-16; .*iconv -f utf-16 -t utf-8"),
        ("ab\n".encode("utf-32"), r"^<stream>:1: not UTF-8: .* looks like UTF-32; .*iconv -f utf-32 -t utf-8"),
        (b"\xfe\xff\0a", r"looks like UTF-16"),
        (b"a\n\xf0\x9f\x98", r"^<stream>:2: not UTF-8: byte 0xf0 at byte 2"),
    ],
)
@pytest.mark.parametrize("block", [3, 1 << 15])
def test_misfortunes_with_their_place(content, message, block):
    with mock.patch("rnncli.text.lines.BLOCK", block), pytest.raises(TextError, match=message):
        lines_of(content)


@pytest.mark.parametrize(
    ("before", "line", "at"),
    [(b"", 1, 0), (b"x" * 40, 1, 40), (b"one\ntwo\nthr", 3, 11), (b"one\n\n" + b"x" * 33, 3, 38)],
)
def test_a_binary_file_without_a_newline_is_refused_before_it_is_all_read(before, line, at):
    content = before + b"\0" * 16
    chunks = [content[i : i + 16] for i in range(0, len(content), 16)][: at // 16 + 1]  # up to that with the first NUL
    file = mock.Mock(read=mock.Mock(side_effect=[*chunks, AssertionError("it reads on")]))
    file.name = "disk.img"
    with pytest.raises(TextError, match=rf"^disk\.img:{line}: a NUL byte at byte {at}, so it is binary; "):
        list(read_lines(file))


def test_missing_file(tmp_path):
    (tmp_path / "train.txt").touch()
    with pytest.raises(TextError, match=r"trian\.txt: no such file; did you mean .*train\.txt\?"):
        list(read_lines(tmp_path / "trian.txt"))
    with pytest.raises(TextError, match="nothing of a similar name"):
        list(read_lines(tmp_path / "qqqqqqqqqqqq"))
    with pytest.raises(TextError, match="there is no folder"):
        list(read_lines(str(tmp_path / "no" / "a.gz")))


def test_what_is_no_file(tmp_path):
    with pytest.raises(TextError, match="a folder, not a file"):
        list(read_lines(tmp_path))
    with pytest.raises(TextError, match="cannot be opened"):
        list(read_lines("a\0b"))
    with pytest.raises(TextError, match="cannot be opened"):
        list(read_lines("a" * 5000))


def test_no_permission(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("a\n")
    with (
        mock.patch("pathlib.Path.open", side_effect=PermissionError(13, "Permission denied")),
        pytest.raises(TextError, match=r"text\.txt: permission to read it is denied"),
    ):
        list(read_lines(path))


def test_failing_disk():
    file = mock.Mock(read=mock.Mock(side_effect=OSError(5, "Input/output error")))
    file.name = "text.txt"
    with pytest.raises(TextError, match=r"^text\.txt:1: cannot be read \(Input/output error\)"):
        list(read_lines(file))


def test_damage_is_placed_within_a_line():
    file = mock.Mock(read=mock.Mock(side_effect=[b"ab\ncd", b"e", EOFError("cut off")]))
    file.name = "text.xz"
    with pytest.raises(TextError, match=r"^text\.xz:2: damaged or cut off after 6 bytes of text \(cut off\)"):
        list(read_lines(file))


def test_streams_are_left_open():
    file = io.BytesIO(b"a\n")
    assert list(read_blocks(file)) == [(1, ["a"])]
    assert not file.closed
