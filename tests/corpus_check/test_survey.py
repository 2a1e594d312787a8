"""A survey of a text, compared with counts in plain Python over the whole text."""

import gzip
import io
import re
from collections import Counter
from pathlib import Path
from unittest import mock

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from rnncli.corpus_check.facts import LONGEST_COUNTED, Lengths, Place
from rnncli.corpus_check.lookup import count_lines, lines_at
from rnncli.corpus_check.survey import survey
from rnncli.text.encode import TextFormat
from rnncli.text.files import ByteCounter
from rnncli.text.invisible import INVISIBLE
from rnncli.text.lines import not_utf8_error
from rnncli.text.tokenize import TOKENIZERS, Tokenizer

SENTENCES = TextFormat(Tokenizer("whitespace", False), "sentences", True)
PIECES = [
    "a",
    "b c",
    "É",
    "漢",
    "\u200b",
    "\u00ad",
    "Ã©",
    "â€™",
    "\ufeff",
    "\ufffd",
    "\r",
    "\r\n",
    "\n",
    "\n",
    " ",
    "<end>",
]
TEXTS = st.lists(
    st.sampled_from([*PIECES, "\t", "<unk>", "\x07", "\x0c", "\u00a0", "\U0001f600", "Z.", "\ue000"]), max_size=25
)
BYTES = (
    TEXTS.map("".join).map(str.encode)
    | st.binary(max_size=50)
    | st.lists(
        st.sampled_from(
            [b"a ", b"\n", b"\xe9", b"\0", b"\xff\xfe", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xf0\x9f", b"<end>"]
        ),
        max_size=15,
    ).map(b"".join)
)
FORMATS = st.builds(
    TextFormat,
    st.builds(Tokenizer, st.sampled_from(sorted(TOKENIZERS)), st.booleans()),
    st.sampled_from(["sentences", "stream"]),
    st.booleans(),
)
CHUNKS = st.sampled_from([1, 3, 7, 1 << 18])


def of(content, text_format=SENTENCES, **more):
    return survey([io.BytesIO(content)], text_format, **more)


def counter_of(calls):
    """A counter that appends the number of bytes read so far."""
    return ByteCounter(lambda activity, done, total: calls.append(done), "reading", None)


def plain_lines(content):
    """The lines of a text; each byte that is not UTF-8 becomes one U+FFFD."""
    text = content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    lines = text.split("\n")
    if not lines[-1]:
        del lines[-1]
    return [re.sub("[\udc80-\udcff]", "\ufffd", line.removesuffix("\r")) for line in lines]


def is_foreign(content):
    """UTF-16, UTF-32, or compressed."""
    assume(not content.startswith((b"BZh91AY&SY", b"PK\x03\x04")))  # a text may begin with these, too
    marks = (b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff", b"\x1f\x8b", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd")
    return content.startswith(marks)


@given(BYTES, FORMATS, CHUNKS)
def test_sizes_words_and_lengths(content, text_format, chunk):
    with mock.patch("rnncli.text.lines.CHUNK", chunk):
        found = of(content, text_format)
    if is_foreign(content):
        assert "it looks like " in found.files[0].error.problem
        assert found.lines == 0
        return
    lines = plain_lines(content)
    tokens = [text_format.tokenizer.tokens(line) for line in lines]
    words = Counter(word for line in tokens for word in line)
    assert (found.bytes, found.lines, found.tokens) == (len(content), len(lines), words.total())
    assert found.blank == sum(not line for line in tokens)
    filled = [line.strip() for line in lines if line.strip()]
    assert found.repeated == len(filled) - len(set(filled))
    ends = text_format.mode == "sentences" or text_format.line_end
    if not ends and text_format.tokenizer.name == "characters" and lines:
        words[" "] += len(lines)
        assert found.predicted == words.total()
    else:
        assert found.predicted == words.total() + ends * len(lines)
    assert found.words == words
    counts = [len(line) for line in tokens if line]
    assert found.longest[0] == max(counts, default=0)
    if counts:
        assert found.longest[1] == Place("<stream>", [len(line) for line in tokens].index(max(counts)) + 1)
    assert found.samples == [(Place("<stream>", n), line) for n, line in enumerate(lines, 1) if line.strip()][:3]
    assert found.lower == sum(line[:1].islower() for line in lines)
    assert found.upper == sum(line[:1].isupper() for line in lines)


@given(BYTES, CHUNKS)
def test_defects_and_their_places(content, chunk):
    with mock.patch("rnncli.text.lines.CHUNK", chunk):
        found = of(content)
    if is_foreign(content):
        return

    def line_of(at):
        return content.count(b"\n", 0, at) + 1

    expected = {}
    for kind, pattern in (("crlf", rb"\r\n"), ("cr", rb"\r(?!\n)")):
        if places := [match.start() for match in re.finditer(pattern, content)]:
            expected[kind] = (len(places), line_of(places[0]))
    if content.startswith(b"\xef\xbb\xbf"):
        expected["bom"] = (1, 1)
    if bad := re.findall("[\udc80-\udcff]", content.decode("utf-8", "surrogateescape")):
        at = len(content.decode("utf-8", "surrogateescape").split(bad[0])[0].encode())
        expected["not_utf8"] = (len(bad), line_of(at))
        assert not_utf8_error("x", found.defects["not_utf8"].block).problem.endswith(
            f"0x{content[at]:02x} at byte {at}"
        )
    lines = plain_lines(content)
    for kind, count in (
        ("end", lambda line: line.split().count("<end>")),
        ("blank", lambda line: not line.split()),
        ("mojibake", lambda line: line.count("Ã©") + line.count("â€™")),
    ):
        if counts := {n: count(line) for n, line in enumerate(lines, 1) if count(line)}:
            expected[kind] = (sum(counts.values()), min(counts))
    if glued := [(n, i) for n, line in enumerate(lines, 1) for i in range(len(line)) if line[i] in INVISIBLE]:
        expected["glued"] = (len(glued), glued[0][0])
    seen = {kind: (defect.count, defect.first.line) for kind, defect in found.defects.items() if kind in expected}
    assert seen == expected
    assert found.defects.keys() - expected.keys() <= {"nul", "mojibake"}  # random bytes may look like mojibake


@given(TEXTS.map("".join), CHUNKS)
def test_characters(text, chunk):
    with mock.patch("rnncli.text.lines.CHUNK", chunk):
        found = of(text.encode())
    inside = text.removeprefix("\ufeff")
    counts = {c: (inside.count(c), inside.count("\n", 0, inside.index(c)) + 1) for c in inside}
    assert {c: (seen.count, seen.first.line) for c, seen in found.characters.items()} == counts


@given(
    st.lists(st.sampled_from([b"a b\n", b"\n", b"c\r\n", b"\xef\xbb\xbfd\n", b"e"]), max_size=8).map(b"".join),
    st.lists(st.sampled_from([b"a b\n", b"\n", b"f"]), max_size=8).map(b"".join),
    st.integers(0, 18),
    CHUNKS,
)
def test_parts_of_a_text_are_those_of_training(tmp_path_factory, first, second, at, chunk):
    folder = tmp_path_factory.getbasetemp()
    paths = [str(folder / "one.txt"), str(folder / "two.txt")]
    for path, content in zip(paths, (first, second), strict=True):
        Path(path).write_bytes(content)
    with mock.patch("rnncli.text.lines.CHUNK", chunk):
        head, tail = survey(paths, SENTENCES, stop=at), survey(paths, SENTENCES, start=at)
        lines = [(path, n, line) for path in paths for n, line in enumerate(plain_lines(Path(path).read_bytes()), 1)]
        assert count_lines(paths) == len(lines)
        for found, part in ((head, lines[:at]), (tail, lines[at:])):
            assert found.lines == len(part)
            assert found.words == Counter(word for *_, line in part for word in line.split())
            assert [found.place(i) for i in range(len(part))] == [Place(path, n) for path, n, _ in part]
        assert head.bytes + tail.bytes == len(first) + len(second)
        wanted = {n for path, n, _ in lines if path == paths[0]}
        assert lines_at(paths[0], wanted, 100) == {n: line for path, n, line in lines if path == paths[0]}


@given(
    st.lists(st.sampled_from([b"ab ", b"c", b"  ", b"\xc3\xa9", b"\n"]), max_size=60).map(b"".join), st.integers(1, 6)
)
def test_lines_in_pieces(content, longest):
    """They have the same words if no word is longer than a piece."""
    text_format = TextFormat(Tokenizer("characters", False), "sentences", True)
    whole = of(content, text_format)
    with mock.patch("rnncli.text.lines.CHUNK", 2), mock.patch("rnncli.text.lines.LONGEST_HELD", longest + 4):
        pieces = of(content, text_format)
    assert (pieces.lines, pieces.words, pieces.longest) == (whole.lines, whole.words, whole.longest)
    assert (pieces.lengths.counts == whole.lengths.counts).all()
    assert pieces.characters == whole.characters
    assert (pieces.widths.counts == whole.widths.counts).all()
    assert ((pieces.hashes == 0) == (whole.hashes == 0)).all()
    assert pieces.blank == whole.blank


@given(
    st.lists(st.sampled_from(["<s> a\n", "b </s>\n", "x\u200b y\n", "\n", "&amp;\n"]), max_size=9).map("".join), CHUNKS
)
def test_the_forms_of_defects_are_counted(text, chunk):
    with mock.patch("rnncli.text.lines.CHUNK", chunk):
        defects = of(text.encode()).defects
    for kind, forms in (("sentence_marks", ("<s>", "</s>")), ("glued", ("\u200b",)), ("entities", ("&amp;",))):
        counts = {form: text.count(form) for form in forms if form in text}
        assert (defects[kind].parts if kind in defects else {}) == counts
        assert kind not in defects or defects[kind].count == sum(counts.values())


def test_some_lines_that_are_not_ascii_are_kept_from_all_over_the_text():
    text = "".join(f"é {n}\n" + "a\n" * 50 for n in range(3000))
    with mock.patch("rnncli.text.lines.CHUNK", 1 << 11):
        found = of(text.encode()).foreign
    assert 40 < len(found) <= 110
    places = [place.line for place, _ in found]
    assert places == sorted(places)
    assert 0.4 < sum(place < text.count("\n") / 2 for place in places) / len(places) < 0.6
    lines = text.split("\n")
    assert all(lines[place.line - 1] == line for place, line in found)
    assert of(b"a\n" * 9).foreign == []
    (_, line), *_ = of(("word " * 300 + "é" + " more" * 300).encode()).foreign
    assert line.startswith("word ")
    assert "é" in line
    assert len(line) <= 400


def test_a_line_without_end_is_not_kept_in_memory():
    class Endless(io.BytesIO):
        left = 300

        def read(self, size=-1):
            self.left -= 1
            return b"word " * (size // 5) if self.left > 0 else b""

    file = Endless()
    found = survey([file], SENTENCES)
    assert found.lines == 1
    assert found.words.keys() == {"word"}
    assert found.longest == (found.words["word"], Place("<stream>", 1))
    assert found.lengths.above(LONGEST_COUNTED - 1) == 1
    assert "endless" not in found.defects
    assert of(b"x" * (3 << 20)).defects["endless"].count == 2


@given(st.lists(st.integers(0, 40), min_size=1, max_size=60), st.integers(1, 100))
def test_percentiles(lengths, percent):
    counted = Lengths()
    counted.add(np.array(lengths, np.int64))
    filled = sorted(n for n in lengths if n)
    least = next((n for n in filled if sum(m <= n for m in filled) * 100 >= percent * len(filled)), 0)
    assert counted.percentile(percent) == least
    assert counted.shortest == min(filled, default=0)
    for n in (0, 5, 40):
        assert counted.above(n) == sum(m > n for m in lengths)


def test_the_first_unknown_word():
    found = of(b"a b\n\nb c a d\nd\n", known=frozenset("ab"))
    assert (found.defects["unknown"].first.line, found.defects["unknown"].detail) == (3, "c")
    assert "unknown" not in of(b"a b\n", known=frozenset("ab")).defects
    found = of(b"a b\nb a\0b c\n", known=frozenset("ab"))
    assert (found.defects["unknown"].first.line, found.defects["unknown"].detail) == (2, "a\0b")
    assert found.words == Counter({"a": 1, "b": 2, "a\0b": 1, "c": 1})


def test_every_character_of_unicode():
    """The time must not grow with the number of characters times that of distinct ones: that would be minutes here."""
    rows = ["".join(map(chr, range(n, n + 64))) for n in range(0, 0x110000, 64) if not 0xD800 <= n < 0xE000]
    text = "".join(f"{row}\n" for row in [*rows, *rows]).replace("\x00\x01\x02\x03\x04\x05\x06\x07\x08\t\n", "")
    found = of(text.encode())
    assert len(found.characters) == 0x110000 - 0x800 - 10
    assert {seen.count for c, seen in found.characters.items() if c != "\n"} == {2}
    assert found.characters["\n"].count == 2 * len(rows)
    for line in (1, 2, 1000, 3000, len(rows)):
        assert {found.characters[c].first.line for c in rows[line - 1][11:]} == {line}


def test_files_that_cannot_be_read(tmp_path):
    good, bad, missing = tmp_path / "good.txt", tmp_path / "bad.gz", tmp_path / "missing.txt"
    good.write_text("a b\n")
    bad.write_bytes(gzip.compress(b"c d\n" * 100_000)[:-20])
    found = survey([str(missing), str(bad), str(good)], SENTENCES)
    errors = [file.error for file in found.files]
    assert str(errors[0]).startswith(f"{missing}: no such file; ")
    assert re.match(rf"{bad}:\d+: damaged or cut off", str(errors[1]))
    assert errors[2] is None
    assert found.words["b"] == 1
    assert found.place(found.lines - 1) == Place(str(good), 1)
    assert lines_at(str(missing), [1], 5) == {}
    assert count_lines([str(missing), str(good)]) == 1


def test_progress_is_in_bytes_on_disk(tmp_path):
    calls = []
    with mock.patch("rnncli.text.lines.CHUNK", 100):
        of(b"a\n" * 1000, counter=counter_of(calls), start=900)
    assert calls[-1] == 2000
    assert len(calls) >= 20  # skipped lines count too
    path = tmp_path / "text.gz"
    path.write_bytes(gzip.compress(b"a b c\n" * 1000))
    for read in (
        lambda counter: survey([path], SENTENCES, counter=counter),
        lambda counter: count_lines([path], counter),
        lambda counter: lines_at(path, [1000], 100, counter),
    ):
        calls.clear()
        read(counter_of(calls))
        assert calls[-1] == path.stat().st_size
