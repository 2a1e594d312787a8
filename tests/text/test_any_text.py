"""Any bytes, mode and tokenizer: training succeeds without losing a character, or one message names the place."""

import bz2
import gzip
import json
import lzma
import re
import shutil
import signal
from contextlib import contextmanager
from unittest import mock

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from rnncli.cli import main
from rnncli.config import corpora, yaml_file
from rnncli.text import lines
from rnncli.text.vocabulary import END

# `make soak` runs many more examples.
FILES = 10_000 if settings().max_examples >= 1000 else 150
LONGEST = 5.0  # seconds

COMPRESSORS = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}

PIECES = st.sampled_from(
    [
        *(
            "a",
            "b",
            "word",
            "Don't",
            "it’s",
            "naïve",
            "ΣΟΦΟΣ",
            "İstanbul",
            "日本語",
            "👩‍👩‍👧",
            "1,234.5",
            "½",
            "e\u0301",
            "—",
        ),
        *("<unk>", "<end>", "<UNK>", "<end", "<un<unk>", "&lt;", "\\n", "x" * 40),
        *(
            " ",
            "  ",
            "\t",
            "\n",
            "\n\n",
            "\r\n",
            "\r",
            "\u2028",
            "\x85",
            "\xa0",
            "\u3000",
            "\u200b",
            "\ufeff",
            "\x0c",
            "\x1c",
        ),
    ]
)
TEXT = st.lists(PIECES | st.characters(codec="utf-8"), max_size=60).map("".join).map(str.encode)
SPOILT = st.sampled_from([b"\0", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf8", b"\xff\xfe", b"\xef\xbb\xbf", b"\xc0\xaf"])


@st.composite
def contents(draw):
    """Mostly a text; sometimes with bytes that are not in any text, or only such bytes."""
    kind = draw(st.integers(0, 4))
    if kind == 0:
        return draw(st.binary(max_size=100))
    text = draw(TEXT)
    if kind == 1:
        at = draw(st.integers(0, len(text)))
        return text[:at] + draw(SPOILT) + text[at:]
    return text * draw(st.sampled_from([1, 1, 2, 50]))


@contextmanager
def at_most(seconds):
    def late(*_):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("any")


@settings(max_examples=FILES)
@given(
    content=contents(),
    compression=st.sampled_from(["", "", "", ".gz", ".bz2", ".xz"]),
    damage=st.none() | st.integers(0, 600),
    mode=st.sampled_from(["sentences", "stream", "wrapped"]),
    tokenizer=st.sampled_from(["whitespace", "words", "characters"]),
    letters=st.sampled_from([{}, {}, {"lowercase": True}, {"lowercase": True, "language": "tr"}, {"normalize": "nfc"}]),
    valid=st.none() | st.sampled_from([0.1, 0.5]),
    cached=st.booleans(),
    chunk=st.sampled_from([lines.CHUNK, 5, 64]),
)
def test_any_bytes(folder, content, compression, damage, mode, tokenizer, letters, valid, cached, chunk):
    path = folder / f"text.txt{compression}"
    packed = COMPRESSORS[compression](content)
    if compression and damage is not None:  # cut off, with a byte changed, or with something appended
        at, kind = divmod(damage, 3)
        at %= len(packed)
        packed = [packed[:at], packed[:at] + bytes([packed[at] ^ 0x55]) + packed[at + 1 :], packed + b"junk"][kind]
    path.write_bytes(packed)
    data = {"train": path.name, "mode": mode.replace("wrapped", "stream"), "tokenizer": tokenizer}
    data |= letters | {"line_end": mode != "wrapped"}
    data |= {"valid": valid} if valid else {}
    data |= {"cache": "cache"} if cached else {}
    training = {"epochs": 1, "batch_size": 2, "bptt": 5, "random_seed": 1, "max_time": "0s"}
    whole = {"data": data, "model": {"hidden_size": 2}, "training": training, "vocabulary": {"unknown": True}}
    (folder / "any.yaml").write_text(json.dumps(whole | {"run": {"dir": "run"}}))
    shutil.rmtree(folder / "run", ignore_errors=True)
    with at_most(LONGEST), mock.patch("rnncli.text.lines.CHUNK", chunk):
        result = CliRunner().invoke(main, ["train", str(folder / "any.yaml"), "--json"])
    if result.exit_code == 0:
        assert json.loads(result.stdout.splitlines()[-1])["event"] == "done"
        config = yaml_file.read(str(folder / "any.yaml"), [])
        check_nothing_is_lost(content, corpora.texts(config), corpora.text_format(config.data).tokenizer)
        return
    assert result.exit_code == 4, (result.exit_code, result.output, result.exception)
    messages = result.stderr.splitlines()
    assert len(messages) == 1, messages
    assert re.match(rf"{re.escape(str(path))}(:\d+)?: .*[;,] ", messages[0]), messages
    if packed == COMPRESSORS[compression](content) and ("not UTF-8" in messages[0] or "NUL" in messages[0]):
        place = re.search(r":(\d+): .* at byte (\d+)", messages[0])
        at = int(place[2])
        assert int(place[1]) == content[:at].count(b"\n") + 1
        assert content[at] == 0 if "NUL" in messages[0] else content[at] >= 0x80


def check_nothing_is_lost(content, texts, tokenizer):
    """The joined tokens are the text without its white space, and every character is counted."""
    *ended, rest = content.decode().removeprefix("\ufeff").split("\n")
    written = [line.removesuffix("\r") for line in ([*ended, rest] if rest else ended)]
    assert sum(part.characters for part in texts.named().values()) == sum(len(line) + 1 for line in written)
    written = [tokenizer.spelled(line) for line in written]
    for part in texts.named().values():
        words = ["" if word == END else word for word in texts.vocabulary.decode(part.ids.tolist())]
        expected = written[: part.lines] if part is texts.train else written[-part.lines :]
        if not part.outside:  # else words that only the validation text has are <unk>
            assert "".join("".join(words).split()) == "".join("".join(expected).split())
