import bz2
import contextlib
import gzip
import io
import lzma
import random
import sys
from itertools import islice
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnncli.errors import TextError
from rnncli.text.files import ByteCounter
from rnncli.text.lines import Block, raw_lines, read_blocks, read_lines, validate
from rnncli.text.tokenize import Tokenizer

SIZES = ((3, 4), (16, 40), (1 << 18, 1 << 20))  # bytes read at a time, and the longest line in memory
COMPRESSORS = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}


def lines_of(content):
    return list(read_lines(io.BytesIO(content)))


def sizes(chunk, longest):
    return mock.patch.multiple("rnncli.text.lines", CHUNK=chunk, LONGEST_HELD=longest)


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


TEXTS = st.lists(st.text(st.sampled_from("aé漢\U0001f600\r\n  ")), max_size=8).map("".join)
BYTES = st.binary(max_size=60) | TEXTS.map(str.encode)


def longest_word(content):
    """In bytes; a word is a run without spaces and line ends."""
    return max(map(len, content.replace(b"\n", b" ").split(b" ")))


@given(TEXTS, st.booleans(), st.integers(1, 12), st.integers(4, 20))
def test_the_size_of_the_reads_changes_nothing(text, mark, chunk, longest):
    content = b"\xef\xbb\xbf" * mark + text.encode()
    whole = lines_of(content)
    with sizes(chunk, longest):
        try:
            found = lines_of(content)
        except TextError:
            assert longest_word(content) >= longest
        else:
            assert found == whole


@given(BYTES, st.integers(1, 12), st.integers(4, 20))
def test_blocks_are_the_bytes_of_the_file_and_know_their_place(content, chunk, longest):
    with sizes(chunk, longest):
        blocks = list(read_blocks(io.BytesIO(content)))
    assert b"".join(block.data for block in blocks) == content
    begins = True
    for block in blocks:
        before = content[: block.offset]
        assert content[block.offset :].startswith(block.data)
        assert block.line == before.count(b"\n") + 1
        assert block.begins == begins == (before.endswith(b"\n") or not before)
        assert block.ends == (block.data.endswith(b"\n") or block is blocks[-1])
        assert block.ends or b"\n" not in block.data  # a piece belongs to one line
        assert block.begins or b"\n" not in block.data[:-1]  # and so does the last piece
        assert block.ends or len(block.data) <= longest
        begins = block.ends
    assert not blocks or blocks[-1].ends
    *ended, rest = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    assert sum(block.lines for block in blocks) == len(ended) + bool(rest)


@given(TEXTS, st.integers(1, 12), st.integers(4, 20))
def test_no_character_is_cut(text, chunk, longest):
    with sizes(chunk, longest):
        assert "".join(block.data.decode() for block in read_blocks(io.BytesIO(text.encode()))) == text


@given(BYTES, st.integers(1, 12))
def test_any_bytes_are_lines_or_a_text_error(content, chunk):
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = "\0"
    with mock.patch("rnncli.text.lines.CHUNK", chunk):
        if "\0" in text:
            with pytest.raises(TextError, match=r"^<stream>:\d+: .*; "):
                lines_of(content)
            return
        *ended, rest = text.removeprefix("\ufeff").split("\n")
        lines = [*ended, rest] if rest else ended
        assert lines_of(content) == [(n, line.removesuffix("\r")) for n, line in enumerate(lines, 1)]


def test_a_line_longer_than_memory_comes_in_pieces():
    """Memory is bounded, and nothing is lost, not even the spaces between the pieces."""
    content = b"first\n" + b"a bc   def " * 5000 + b"\r\nlast"
    with sizes(100, 400):
        blocks = list(read_blocks(io.BytesIO(content)))
        assert len(blocks) > 50000 // 400
        assert max(len(block.data) for block in blocks) <= 400
        assert {block.line for block in blocks} == {1, 2, 3}
        assert [block.lines for block in blocks].count(1) == 3
        assert all(block.data.endswith(b" ") for block in blocks if not block.ends)
        assert lines_of(content) == [(1, "first"), (2, "a bc   def " * 5000), (3, "last")]


@pytest.mark.parametrize(
    ("before", "word", "line", "at"),
    [
        (b"", b"x", 1, 0),
        (b"one\ntwo ", "漢".encode(), 2, 8),
        (b"one two three four five six seven ", b"x", 1, 34),
        (b"\xef\xbb\xbf\n\n", b"\r", 3, 5),
    ],
)
def test_an_endless_word_is_refused(before, word, line, at):
    """At its beginning, and before all of it is read."""
    left = 10

    def read(size):
        nonlocal left
        left -= 1
        assert left > 0, "it reads on"
        return before + word * 20 if left == 9 else word * 20

    file = mock.Mock(read=read)
    file.name = "genome.txt"
    message = (
        rf"^genome\.txt:{line}: no space, tab or line end in \d+ bytes from byte (\d+) on; break the text into lines"
    )
    with sizes(64, 30), pytest.raises(TextError, match=message) as error:
        list(read_lines(file))
    place = int(error.value.problem.split()[-2])
    assert at <= place + 30
    assert place <= at


TOGETHER = [
    "<unk>",
    "e\u0301",
    "\u1112\u1161\u11ab",
    "ΑΣ",
    "Σ",
    "漢",
    "a",
    "\u05e9\u05bc\u05c1",
    "\u0300\u0323",
    "👍🏽",
]


@given(st.lists(st.sampled_from(TOGETHER), min_size=40, max_size=90).map("".join), st.booleans(), st.integers(80, 99))
def test_pieces_without_spaces_have_the_characters_of_the_line(text, lowercase, longest):
    tokenizer = Tokenizer("characters", lowercase, normalize="nfc")
    with sizes(40, longest):
        blocks = list(read_blocks(io.BytesIO(f"{text}\r\n".encode())))
    assert len(blocks) > 1
    tokens = [token for block in blocks for token in tokenizer.tokens(block.data.decode().removesuffix("\r\n"))]
    assert tokens == tokenizer.tokens(text)
    for block in blocks:
        validate(block, "text", words=False)
    with pytest.raises(TextError, match=r"or set data\.tokenizer: characters"):
        validate(blocks[0], "text")


def test_an_endless_word_of_a_real_size():
    with pytest.raises(TextError, match=r"^<stream>:2: no space, tab or line end in 1048576 bytes from byte 2 on; "):
        lines_of(b"a\n" + b"x" * (3 << 20))
    word = "x" * ((1 << 20) - 1)
    assert lines_of(f"a {word} {word} b\n".encode()) == [(1, f"a {word} {word} b")]


def test_a_line_without_an_end_is_refused(monkeypatch):
    monkeypatch.setattr("rnncli.text.lines.LONGEST_LINE", 40)
    with sizes(8, 16):
        found = raw_lines(io.BytesIO(b"a\n" + b"\0" * 41 + b"\n" + b"b " * 28))
        assert list(islice(found, 2)) == [(1, b"a"), (2, b"\0" * 41)]  # it has ended
        with pytest.raises(TextError, match=r"^<stream>:3: a line of over 40 bytes; break it into lines"):
            next(found)


def test_advice_about_encodings_is_imported_for_errors_alone():
    assert "encodings" not in vars(sys.modules["rnncli.text.lines"])


def test_check_leaves_a_good_block_alone():
    for data, ends in ((b"", True), ("é\n".encode(), True), (b"a ", False), (b"\xef\xbb\xbfa\n", True)):
        validate(Block(1, 0, data, True, ends), "text")
    validate(Block(1, 7, b"\xff\xfe".decode("utf-16").encode() + b"\n", True, True), "text")


@pytest.mark.parametrize("suffix", COMPRESSORS)
def test_compressed(tmp_path, suffix):
    path = tmp_path / f"text.{suffix.upper() if suffix == 'gz' else suffix}"
    content = "é b\nc\n".encode() * 20_000
    path.write_bytes(COMPRESSORS[suffix](content))
    assert list(read_lines(path)) == lines_of(content)


@pytest.mark.parametrize("suffix", COMPRESSORS)
def test_damaged_compression_is_reported(tmp_path, suffix):
    path = tmp_path / f"text.{suffix}"
    good = COMPRESSORS[suffix](random.Random(1).randbytes(20_000).hex().encode() + b"\n")
    for bad in (good[: len(good) // 2], good[:-1], b"plain text\n", good[:3]):
        path.write_bytes(bad)
        with pytest.raises(TextError, match=rf"text\.{suffix}:\d+: damaged or cut off after \d+ bytes of text"):
            list(read_lines(path))


@given(st.sampled_from(sorted(COMPRESSORS)), st.integers(0, 10**6), st.binary(min_size=1, max_size=3))
def test_damage_raises_only_text_errors(tmp_path_factory, suffix, at, damage):
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
        (b"ab\ncd\0\n", r"^<stream>:2: a NUL byte at byte 5, so it is binary; give a plain text file"),
        (b"ab\nc\xe9d\n", r"^<stream>:2: not UTF-8: byte 0xe9 at byte 4; .*iconv -f WINDOWS-1252 -t UTF-8"),
        ("ab\n".encode("utf-16"), r"^<stream>:1: not UTF-8: byte 0xff .* UTF-16; .*iconv -f UTF-16 -t UTF-8"),
        ("ab\n".encode("utf-32"), r"^<stream>:1: not UTF-8: .* looks like UTF-32; .*iconv -f UTF-32 -t UTF-8"),
        (b"\xfe\xff\0a", r"looks like UTF-16"),
        (b"a\n\xf0\x9f\x98", r"^<stream>:2: not UTF-8: byte 0xf0 at byte 2"),
    ],
)
@pytest.mark.parametrize(("chunk", "longest"), SIZES)
def test_errors_name_their_place(content, message, chunk, longest):
    with sizes(chunk, longest), pytest.raises(TextError, match=message):
        lines_of(content)


@pytest.mark.parametrize(("chunk", "longest"), [(7, 20), (1000, 20), (50, 20)])
def test_errors_in_a_line_that_comes_in_pieces(chunk, longest):
    good = "one\n" + "été à la " * 30
    for bad, message in (
        (b"\xe9 ", r"^<stream>:2: not UTF-8: byte 0xe9 at byte 364; "),
        (b"a\0", r"^<stream>:2: a NUL byte at byte 365, "),
    ):
        with sizes(chunk, longest), pytest.raises(TextError, match=message):
            lines_of(good.encode() + bad + b" more\n" * 10)


@pytest.mark.parametrize(
    ("before", "line", "at"),
    [(b"", 1, 0), (b"x" * 40, 1, 40), (b"one\ntwo\nthr", 3, 11), (b"one\n\n" + b"x" * 33, 3, 38)],
)
def test_a_binary_file_without_a_newline_is_refused_early(before, line, at):
    content = before + b"\0" * 160
    chunks = [content[i : i + 16] for i in range(0, len(content), 16)][:6]  # a line is in memory up to 64 bytes
    file = mock.Mock(read=mock.Mock(side_effect=[*chunks, AssertionError("it reads on")]))
    file.name = "disk.img"
    with (
        sizes(16, 64),
        pytest.raises(TextError, match=rf"^disk\.img:{line}: a NUL byte at byte {at}, so it is binary; "),
    ):
        list(read_lines(file))


def test_missing_file(tmp_path):
    (tmp_path / "train.txt").touch()
    with pytest.raises(TextError, match=r"trian\.txt: no such file; did you mean .*train\.txt\?"):
        list(read_lines(tmp_path / "trian.txt"))
    with pytest.raises(TextError, match="has a similar name"):
        list(read_lines(tmp_path / "qqqqqqqqqqqq"))
    with pytest.raises(TextError, match="there is no folder"):
        list(read_lines(str(tmp_path / "no" / "a.gz")))


def test_not_a_file(tmp_path):
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


def test_damage_within_a_line():
    file = mock.Mock(read=mock.Mock(side_effect=[b"ab\ncd", b"e", EOFError("cut off")]))
    file.name = "text.xz"
    with pytest.raises(TextError, match=r"^text\.xz:2: damaged or cut off after 6 bytes of text \(cut off\)"):
        list(read_lines(file))


def test_streams_are_left_open():
    file = io.BytesIO(b"a\n")
    assert list(read_blocks(file)) == [Block(1, 0, b"a\n", begins=True, ends=True)]
    assert not file.closed


def test_a_counter_gets_the_bytes_read_of_the_file(tmp_path):
    path = tmp_path / "text.gz"
    path.write_bytes(gzip.compress(random.Random(1).randbytes(200_000).hex().encode() + b"\n", 1))
    calls = []
    assert len(list(read_blocks(path, ByteCounter(lambda *each: calls.append(each), "reading", 7)))) == 1
    assert {(what, total) for what, _, total in calls} == {("reading", 7)}
    done = [position for _, position, _ in calls]
    assert done == sorted(done)
    assert len(set(done)) > 1
    assert done[-1] == path.stat().st_size


def test_readable_blocks_come_before_the_error():
    file = mock.Mock(read=mock.Mock(side_effect=[b"ab\ncd\ne", OSError(5, "Input/output error")]))
    file.name = "text"
    lines = read_lines(file)
    assert [next(lines) for _ in range(3)] == [(1, "ab"), (2, "cd"), (3, "e")]
    with pytest.raises(TextError, match=r"^text:3: cannot be read"):
        next(lines)
    file.read.side_effect = [b"ab\n\xffcd\ne", OSError(5, "Input/output error")]
    with pytest.raises(TextError, match=r"^text:2: not UTF-8"):
        list(read_lines(file))
