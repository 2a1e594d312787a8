import bz2
import gzip
import hashlib
import io
import lzma
import os
import re
import threading

import pytest

from rnncli.errors import TextError
from rnncli.text.files import Reader, content_of, files_of, name_of, size_of
from rnncli.text.lines import read_lines

COMPRESSORS = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
TEXT = os.urandom(50_000).hex().encode()  # larger than one buffer, compressed or not
TEXT = b"\n".join(TEXT[i : i + 60] for i in range(0, len(TEXT), 60))


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A current folder with texts."""
    monkeypatch.chdir(tmp_path)
    for name in ("b/2.txt", "b/10.txt", "b/c/d/1.txt.gz", "b/.hidden", "b/.git/objects", "a.txt", "b-b.txt", "[x].txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("a\n")
    (tmp_path / "empty" / ".git").mkdir(parents=True)
    (tmp_path / "empty" / ".git" / "file").touch()
    (tmp_path / "x.txt").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("path", "files"),
    [
        ("a.txt", ["a.txt"]),
        ("missing.txt", ["missing.txt"]),
        ("b", ["b/10.txt", "b/2.txt", "b/c/d/1.txt.gz"]),
        ("b/", ["b/10.txt", "b/2.txt", "b/c/d/1.txt.gz"]),
        ("b/*", ["b/10.txt", "b/2.txt"]),
        ("b/**", ["b/10.txt", "b/2.txt", "b/c/d/1.txt.gz"]),
        ("**/*.gz", ["b/c/d/1.txt.gz"]),
        ("**/*.txt", ["[x].txt", "a.txt", "b-b.txt", "b/10.txt", "b/2.txt"]),
        ("b/?.txt", ["b/2.txt"]),
        ("b/[0-9]*.txt", ["b/10.txt", "b/2.txt"]),
        ("[x].txt", ["[x].txt"]),  # not x.txt
        ("[[]x].txt", ["[x].txt"]),
    ],
)
def test_the_files_of_a_path(tree, path, files):
    assert files_of(path) == files
    assert files_of(tree / path) == [str(tree / file) for file in files]


def test_a_broken_link_is_a_file_that_is_missing(tree):
    os.symlink("nowhere", "[b]roken")
    assert files_of("[b]roken") == ["[b]roken"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("empty", "empty: a folder without a text; put one into it"),
        ("*.tex", "*.tex: no file matches this pattern; "),
        ("a.t[yz]t", "a.t[yz]t: no file matches this pattern; did you mean a.txt"),
        ("nowhere/*.txt", "nowhere/*.txt: no file matches this pattern; there is no folder nowhere either"),
        ("x.*", "x.*: no file matches this pattern; "),  # a folder
        ("*\0", ": no file matches this pattern; "),
        ("[" + "a" * 5000 + "]" * 5000, ": no file matches this pattern; "),
    ],
)
def test_nothing_there(tree, path, message):
    with pytest.raises(TextError, match=re.escape(message)):
        files_of(path)


def test_a_folder_that_cannot_be_read(tree, monkeypatch):
    real = os.scandir

    def denied(path):
        if os.fspath(path).endswith("d"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(TextError, match=r"^b/c/d: cannot be read \(Permission denied\); give a folder that can"):
        files_of("b")


def test_name_of(tmp_path):
    assert name_of(tmp_path) == str(tmp_path)
    assert name_of(io.BytesIO()) == "<stream>"
    with (tmp_path / "x").open("wb") as file:
        assert name_of(file) == str(tmp_path / "x")


def write(path, content=TEXT):
    path.write_bytes(COMPRESSORS[path.suffix](content))


@pytest.mark.parametrize("suffix", COMPRESSORS)
def test_read(tmp_path, suffix):
    path = tmp_path / f"text{suffix}"
    write(path)
    size = path.stat().st_size
    with Reader(path) as reader:
        data = reader.read(10, 1, 0)
        assert 0 < len(data) <= 10
        assert 0 < reader.position <= size
        while more := reader.read(7000, 1, len(data)):
            data += more
        assert reader.position == size
    assert data == TEXT
    with Reader(path, decompress=False) as reader:
        assert reader.read(size, 1, 0) == path.read_bytes()[: len(TEXT)]
    assert reader._raw.file.closed


def change(path, how):
    if how == "grows":
        with path.open("ab") as file:
            file.write(COMPRESSORS[path.suffix](b"more\n"))
    elif how == "shrinks":
        os.truncate(path, path.stat().st_size // 2)
    elif how == "vanishes":
        path.unlink()
    elif how == "is replaced":
        write(path.with_name("new" + path.suffix))
        os.replace(path.with_name("new" + path.suffix), path)
    elif how == "is written again":
        write(path, TEXT[::-1])
        os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))


HOW = ["grows", "shrinks", "vanishes", "is replaced", "is written again"]


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("suffix", COMPRESSORS)
def test_a_file_that_changes_while_it_is_read(tmp_path, suffix, how):
    path = tmp_path / f"text{suffix}"
    write(path)
    before = path.stat().st_size
    what = "vanished while it was read" if how == "vanishes" else "changed while it was read"
    with Reader(path) as reader:
        assert reader.read(100, 1, 0)
        change(path, how)
        with pytest.raises(TextError, match=rf"^{re.escape(str(path))}: {what} \(") as error:
            list(iter(lambda: reader.read(5000, 1, 100), b""))
    if how in ("grows", "shrinks"):
        assert f"({before} bytes before, {path.stat().st_size} now)" in str(error.value)
    assert error.value.remedy


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_file_that_changes_never_ends_without_an_error(tmp_path, monkeypatch, suffix, how):
    monkeypatch.setattr("rnncli.text.lines.CHUNK", 500)
    path = tmp_path / f"text{suffix}"
    write(path)
    lines = read_lines(path)
    next(lines)
    change(path, how)
    with pytest.raises(TextError, match=r"(changed|vanished) while it was read"):
        list(lines)


def test_a_file_that_grows_faster_than_it_is_read(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"line\n" * 100)

    def read_some(reader):
        with path.open("ab") as file:
            file.write(b"line\n" * 20)
        return reader.read(50, 1, 0)

    with Reader(path) as reader, pytest.raises(TextError, match="changed while it was read"):
        all(read_some(reader) for _ in range(10_000))


def test_a_pipe_or_a_device_may_change(tmp_path):
    """A pipe has no size, and `/dev/zero` has no end."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = threading.Thread(target=lambda: fifo.write_bytes(b"a\nb\n"))
    writer.start()
    assert list(read_lines(fifo)) == [(1, "a"), (2, "b")]
    writer.join()
    with Reader("/dev/zero") as reader:
        assert reader.read(10, 1, 0) == bytes(10)


def test_content(tmp_path):
    for name, content in (("1.txt", b"a\n" * 10), ("2.GZ", b"\x1f\x8b no gzip"), ("3.xz", b"")):
        (tmp_path / name).write_bytes(content)
    paths = [str(tmp_path / name) for name in ("1.txt", "2.GZ", "3.xz")]
    calls = []
    found = content_of(paths, lambda *each: calls.append(each))
    together = b"a\n" * 10 + b"\x1f\x8b no gzip"
    assert found.sha256 == hashlib.sha256(together).hexdigest()
    assert found.files == (("", 20), (".gz", 10), (".xz", 0))
    assert calls == [("checking", 20, 30), ("checking", 30, 30)]
    assert found.size == sum(size for _, size in found.files)
    assert content_of(paths[:1]) != content_of(paths[:1] * 2)
    with pytest.raises(TextError, match="no such file"):
        content_of([*paths, str(tmp_path / "4")])


def test_size(tmp_path):
    (tmp_path / "1").write_bytes(b"abc")
    (tmp_path / "2").write_bytes(b"de")
    assert size_of([]) == 0
    assert size_of([tmp_path / "1", str(tmp_path / "2")]) == 5
    os.mkfifo(tmp_path / "fifo")
    for source in (tmp_path / "fifo", "/dev/null", io.BytesIO(b"abc"), tmp_path / "no", tmp_path, "a\0b", "a" * 5000):
        assert size_of([tmp_path / "1", source]) is None


@pytest.mark.parametrize("suffix", ["gz", "bz2", "xz"])
@pytest.mark.parametrize("trailing", [b"garbage", b"\0\0garbage", "damaged", "cut"])
def test_bytes_after_a_member_are_not_ignored(tmp_path, suffix, trailing):
    compress = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}[suffix]
    other = compress(b"two\n" * 1000)
    trailing = {"damaged": b"X" + other[1:], "cut": other[: len(other) // 2]}.get(trailing, trailing)
    path = tmp_path / f"text.{suffix}"
    path.write_bytes(compress(b"one\n" * 10) + trailing)
    with pytest.raises(TextError, match=r":\d+: damaged or cut off after \d+ bytes of text"):
        list(read_lines(path))
    path.write_bytes(compress(b"one\n" * 10) + bytes(4) + other + compress(b"") + bytes(8))
    assert [line for _, line in read_lines(path)] == ["one"] * 10 + ["two"] * 1000


def test_the_error_for_an_incomplete_member_counts_the_members_before_it(tmp_path):
    path = tmp_path / "text.gz"
    path.write_bytes(gzip.compress(b"one\ntwo\nthree\n") + gzip.compress(b"four\n")[:12])
    with pytest.raises(TextError, match=r":4: damaged or cut off after 1[45] bytes of text"):
        list(read_lines(path))


def test_a_folder_yields_each_text_once(tmp_path):
    folder = tmp_path / "texts"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.txt").write_text("a\n")
    (folder / "sub" / "b.txt").write_text("b\n")
    (folder / "sub" / "up").symlink_to("..")
    (folder / "sub" / "again.txt").symlink_to("b.txt")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "c.txt").write_text("c\n")
    (folder / "linked").symlink_to("../elsewhere")
    os.mkfifo(folder / "pipe")
    expected = [str(folder / name) for name in ("a.txt", "linked/c.txt", "sub/again.txt")]
    assert files_of(folder) == expected
    assert files_of(f"{folder}/**") == expected
    assert files_of(folder, [str(tmp_path / "elsewhere")]) == [expected[0], expected[2]]


def test_a_pattern_in_a_folder_with_brackets(tmp_path):
    for name in ("p[1]", "p1"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text("a\n")
    assert files_of(tmp_path / "p[1]" / "*.txt") == [str(tmp_path / "p[1]" / "a.txt")]
    assert files_of(tmp_path / "p[12]" / "*.txt") == [str(tmp_path / "p1" / "a.txt")]


@pytest.mark.parametrize("text", [b"PK\x03\x04 is how a zip begins\n", b"BZh91AY&SY\n"])
def test_a_text_may_begin_like_an_archive(text):
    assert [line.encode() + b"\n" for _, line in read_lines(io.BytesIO(text))] == [text]


@pytest.mark.parametrize("suffix", ["gz", "bz2", "xz"])
def test_a_compressed_stream_is_recognised(suffix):
    compress = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}[suffix]
    with pytest.raises(TextError, match=r"^<stream>:1: compressed, it looks like (gzip|bzip2|xz); decompress it first"):
        list(read_lines(io.BytesIO(compress(b"a b c\n"))))


def test_a_pipe_that_does_not_block_is_waited_for(monkeypatch):
    read, write = os.pipe()
    os.set_blocking(read, False)
    with open(read, "rb", buffering=0) as file, open(write, "wb", buffering=0) as pipe:
        arriving = [lambda: pipe.write(b"a\nb"), pipe.close]
        monkeypatch.setattr("select.select", lambda *_: arriving.pop(0)())
        assert [line for _, line in read_lines(file)] == ["a", "b"]
    assert not arriving
