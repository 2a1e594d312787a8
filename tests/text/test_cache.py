import contextlib
import errno
import gzip
import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from support.small_run import settings
from support.text_facts import all_of

from rnncli.config import build, corpora, yaml_file
from rnncli.errors import TextError, WriteError
from rnncli.evaluation.evaluate import nll_of_unknown
from rnncli.system import disk
from rnncli.text import cache, spool
from rnncli.text.corpus import TextFormat, prepare
from rnncli.text.spool import Spool
from rnncli.text.tokenize import Tokenizer
from rnncli.text.vocabulary import Rules

CACHE = Path("cache")
FORMAT = TextFormat(Tokenizer("words", lowercase=True), "stream", line_end=True)
RULES = Rules(min_count=2)
TEXTS = {
    "train.txt": "The sun, the sea — and the İce.\n\nRain's on the sea\n" * 3 + "once\n",
    "more.txt": "the moon\nthe moon\n",
    "valid.txt": "the rain falls on the sea and the moon falls\n",
    "test.txt": "ice\nmoon moon\n",
    "words.txt": "the\nsea\nmoon\nkelp\n",
}
GIVEN = {"train": ["train.txt", "more.txt"], "text_format": FORMAT, "rules": RULES}
GIVEN |= {"valid": ["valid.txt"], "test": ["test.txt"]}
DAY = 86400.0


@pytest.fixture(autouse=True)
def work(tmp_path, monkeypatch):
    """A current folder with texts."""
    monkeypatch.chdir(tmp_path)
    for name, content in TEXTS.items():
        Path(name).write_text(content)
    return tmp_path


def prepared(**changes):
    return cache.prepared(CACHE, **GIVEN | changes)


def directly(**changes):
    return all_of(prepare(**GIVEN | changes))


def entries():
    return sorted(CACHE.iterdir()) if CACHE.exists() else []


def unread():
    return mock.patch.object(cache, "prepare", side_effect=AssertionError("it reads the texts"))


def age(path, seconds):
    os.utime(path, (time.time() - seconds,) * 2)


def test_a_second_call_reads_the_entry():
    first = prepared()
    assert all_of(first) == directly()
    assert first.valid.outside == {"falls": 2, "rain": 1}
    with unread():
        second = prepared()
    assert all_of(second) == all_of(first)
    assert second.vocabulary.words == first.vocabulary.words
    assert second.train.files == (("train.txt", 0), ("more.txt", 10))


@pytest.fixture
def mapping(monkeypatch):
    """Files of any size are mapped."""
    monkeypatch.setattr(spool, "LARGEST_IN_MEMORY", 0)


def arrays_of(texts):
    return [array for text in texts.named().values() for array in (text.ids, text.line_starts, text.oov_positions)]


def test_large_arrays_are_mapped(mapping):
    for texts in (prepared(), prepared()):
        for array in arrays_of(texts):
            assert isinstance(array.base, np.memmap) or not len(array)
            assert not array.flags.writeable or not len(array)


def test_small_arrays_do_not_depend_on_their_files():
    for texts in (prepared(), prepared()):
        before = all_of(texts)
        for path in entries()[0].iterdir():
            path.chmod(0o600)
            os.truncate(path, 0)
        assert all_of(texts) == before
        assert not any(isinstance(array.base, np.memmap) for array in arrays_of(texts))


@pytest.mark.parametrize(
    ("member", "mode", "again"),
    [
        ("ids", "sentences", False),  # mapped by the process that wrote it
        ("ids", "stream", True),
        ("line_starts", "sentences", True),
        ("oov_positions", "stream", True),
        ("outside", "sentences", True),
    ],
)
def test_a_mapped_file_that_is_cut_short_is_an_error(mapping, member, mode, again):
    """Not SIGBUS, which would end the process. Here the cut leaves the page that has all of the file."""
    config = config_of(data__cache=str(CACHE.absolute()), data__mode=mode, vocabulary__min_count=3)
    if again:
        corpora.texts(config)
    text = corpora.texts(config).train
    batches = build.training_batches(config, text, 0, 1)

    def use():
        for batch in batches.epoch(0):
            nll_of_unknown(np.ones(batch.words), batch, text)
        return dict(text.outside.items()), len(text.outside)

    assert use()[1] > 0
    path = entries()[0] / f"train.{member}"
    path.chmod(0o600)
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(TextError, match=r"cut short by another program while it was in use; start again") as error:
        use()
    assert error.value.exit_code == 4


def test_the_files_of_an_entry_are_read_only():
    prepared()
    assert not any(path.stat().st_mode & 0o222 for path in entries()[0].iterdir())


def test_an_entry_has_no_more_than_it_needs():
    prepared()
    [entry] = entries()
    arrays = {f"{text}.{member}" for text in ("train", "valid", "test") for member in ("ids", "line_starts")}
    arrays |= {f"{text}.{member}" for text in ("train", "valid", "test") for member in ("oov_positions", "outside")}
    assert {path.name for path in entry.iterdir()} == arrays | {"words", "counts", "meta.json"}


def written(name, content):
    return lambda: Path(name).write_bytes(content)


def compressed():
    Path("more.txt.gz").write_bytes(Path("more.txt").read_bytes())  # but not compressed


CHANGES = {
    "a letter of the text": (written("more.txt", b"the moon\nthe noon\n"), {}),
    "of the valid text": (written("valid.txt", b"the sun\n"), {}),
    "of the test text": (written("test.txt", b"sun\n"), {}),
    "no valid text": (None, {"valid": None}),
    "no test text": (None, {"test": None}),
    "a test text for a valid one": (None, {"valid": ["test.txt"], "test": ["valid.txt"]}),
    "order": (None, {"train": ["more.txt", "train.txt"]}),
    "a file twice": (None, {"train": ["train.txt", "more.txt", "more.txt"]}),
    "a fraction": (None, {"valid": 0.25}),
    "another fraction": (lambda: prepared(valid=0.25), {"valid": 0.5}),
    "tokenizer": (None, {"text_format": replace(FORMAT, tokenizer=Tokenizer("whitespace", lowercase=True))}),
    "lowercase": (None, {"text_format": replace(FORMAT, tokenizer=Tokenizer("words", lowercase=False))}),
    "line_end": (None, {"text_format": replace(FORMAT, line_end=False)}),
    "min_count": (None, {"rules": Rules(min_count=3)}),
    "max_size": (None, {"rules": Rules(min_count=2, max_size=5)}),
    "unknown": (None, {"rules": Rules(min_count=2, unknown=True)}),
    "file": (None, {"rules": Rules(file="words.txt")}),
}


@pytest.mark.parametrize("what", CHANGES)
def test_an_entry_depends_on_the_texts_and_all_settings(what):
    change, changes = CHANGES[what]
    prepared()
    if change:
        change()
    before = len(entries())
    assert all_of(prepared(**changes)) == directly(**changes)
    assert len(entries()) == before + 1
    with unread():
        assert all_of(prepared(**changes)) == directly(**changes)


def test_an_entry_depends_on_the_content_of_the_word_list():
    listed = {"rules": Rules(file="words.txt")}
    prepared(**listed)
    Path("words.txt").write_text("the\nsea\nsun\n")
    assert all_of(prepared(**listed)) == directly(**listed)
    Path("words.txt").write_text("the\nsea\nmoon\nkelp\n")
    shutil.copy("words.txt", "others")
    with unread():
        assert all_of(prepared(rules=Rules(file="others"))) == directly(**listed)
    shutil.copy("words.txt", "words.gz")  # not compressed
    with pytest.raises(TextError, match=r"words\.gz:1: damaged"):
        prepared(rules=Rules(file="words.gz"))


def test_an_entry_depends_on_where_a_file_ends():
    Path("a.txt").write_text("the sea\nthe sea")
    Path("b.txt").write_text("the moon\n")
    Path("c.txt").write_text("the sea\n")
    Path("d.txt").write_text("the seathe moon\n")
    for train in (["a.txt", "b.txt"], ["c.txt", "d.txt"]):
        assert all_of(prepared(train=train)) == directly(train=train)
    assert len(entries()) == 2


def test_an_entry_depends_on_the_compression_suffix():
    prepared(train=["more.txt"])
    shutil.copy("more.txt", "more.gz")
    with pytest.raises(TextError, match=r"more\.gz:1: damaged"):
        prepared(train=["more.gz"])
    assert len(entries()) == 1


def test_an_entry_does_not_depend_on_names_and_folders():
    first = all_of(prepared())
    Path("new").mkdir()
    for name in TEXTS:
        shutil.move(name, f"new/{name[::-1]}")
    moved = {key: [f"new/{name[::-1]}" for name in GIVEN[key]] for key in ("train", "valid", "test")}
    with unread():
        again = prepared(**moved)
        sentences = prepared(**moved, text_format=replace(FORMAT, mode="sentences"))  # it ends its lines, too
        CACHE.rename("elsewhere")
        elsewhere = cache.prepared(Path("elsewhere"), **GIVEN | moved)
    assert again.test.files == (("new/txt.tset", 0),)
    assert all_of(again) == all_of(sentences) == all_of(elsewhere)
    assert all_of(again)[:2] == first[:2]


def test_the_held_out_part_has_the_names_of_the_training_files():
    for _ in range(2):
        texts = prepared(valid=0.25)
        assert texts.train.files == (("train.txt", 0), ("more.txt", 10))
        assert texts.valid.files == (("train.txt", -9), ("more.txt", 1))


def flipped(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 4
    path.write_bytes(content)


DAMAGE = {
    "first byte": lambda path: flipped(path, 0),
    "middle byte": lambda path: flipped(path, path.stat().st_size // 2),
    "last byte": lambda path: flipped(path, -1),
    "cut off": lambda path: os.truncate(path, path.stat().st_size - 1),
    "emptied": lambda path: os.truncate(path, 0),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\0" * 8),
    "removed": lambda path: path.unlink(),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_entry_is_detected_and_replaced(damage):
    expected = all_of(prepared())
    [entry] = entries()
    for member in sorted(path.name for path in entry.iterdir()):
        if damage in ("longer", "removed", "a folder") or (entry / member).stat().st_size:
            (entry / member).chmod(0o600)
            DAMAGE[damage](entry / member)
            with mock.patch.object(cache, "prepare", wraps=prepare) as reads:
                assert all_of(prepared()) == expected, member
            assert reads.call_count == 1, member
            assert entries() == [entry]
            with unread():
                assert all_of(prepared()) == expected


def test_a_valid_meta_file_of_another_entry():
    """Of another version, or of a different text with the same hash."""
    expected = all_of(prepared())
    [entry] = entries()
    meta = json.loads((entry / "meta.json").read_bytes().partition(b"\n")[2])
    for changed in ({}, [], meta | {"material": {}}, meta | {"members": {}}, meta | {"members": {"../x": [1, ""]}}):
        content = json.dumps(changed).encode()
        (entry / "meta.json").chmod(0o600)
        (entry / "meta.json").write_bytes(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
        assert all_of(prepared()) == expected
        assert entries() == [entry]


def test_a_file_with_the_name_of_an_entry():
    expected = all_of(prepared())
    [entry] = entries()
    shutil.rmtree(entry)
    entry.write_text("in the way")
    assert all_of(prepared()) == expected
    assert entries() == [entry]


def test_every_kind_of_word_is_restored():
    words = ["\r", "a\r", "\u2028", "é", "x" * 3000, "\x1f", "-", "\ufeff", "1", "12 34".replace(" ", "\u200b")]
    Path("train.txt").write_bytes((" ".join(words) + "\n").encode() * 2 + b"b c c\n")
    Path("valid.txt").write_bytes((" ".join(f"{word}y" for word in words) + "\n").encode())
    for name in ("whitespace", "words", "characters"):
        text_format = TextFormat(Tokenizer(name, lowercase=False), "stream", line_end=False)
        given = {"train": ["train.txt"], "text_format": text_format, "test": None}
        assert all_of(prepared(**given)) == all_of(prepared(**given)) == directly(**given)


def test_the_words_outside_remain_readable_after_the_entry_is_removed():
    prepared()
    texts = prepared()
    shutil.rmtree(CACHE)
    assert len(texts.valid.outside) == 2
    assert texts.valid.outside["falls"] == 2
    assert list(texts.train.outside.items()) == list(prepare(**GIVEN).train.outside.items())
    assert all_of(texts) == directly()


def test_unused_entries_are_removed_when_another_is_written():
    prepared()
    prepared(valid=None)
    prepared(test=None)
    old = entries()
    for entry in old:
        age(entry, 31 * DAY)
    with unread():
        prepared()  # marks the entry as used now
    assert entries() == old
    age(next(entry for entry in old if entry.stat().st_mtime < time.time() - DAY), 29 * DAY)
    prepared(valid=0.5)
    assert len(set(entries()) & set(old)) == 2
    assert len(entries()) == 3


def test_other_files_in_the_folder_stay():
    """A user may name a folder that has other contents."""
    names = ["building-materials", "building-1", "notes", "0" * 31, "building-1-0000000g"]
    for name in names:
        (CACHE / name).mkdir(parents=True)
        (CACHE / name / "meta.json").touch()
        age(CACHE / name, 90 * DAY)
    (CACHE / "readme").touch()
    age(CACHE / "readme", 90 * DAY)
    prepared()
    assert {path.name for path in entries()} > {*names, "readme"}


# The code of a child process, which has the same `prepared()`.
CHILD = f"""
import os, sys, time
from pathlib import Path
sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parents[1])]}
import test_cache
from rnncli.system import disk
from rnncli.text import cache
def wait(*_):
    print("now", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def child():
    started = []

    def start(code):
        process = subprocess.Popen([sys.executable, "-c", CHILD + code], stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize(
    "when",
    [
        "cache._write = wait",
        "disk.sync = wait",
        "cache._rename = wait",
        "import rnncli.text.corpus as corpus; corpus.build = wait",
    ],
)
def test_the_entry_of_a_killed_process_is_not_used(child, when):
    process = child(f"{when}\ntest_cache.prepared()")
    assert process.stdout.readline() == "now\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    [left] = entries()
    assert left.name.startswith("building-")
    assert all_of(prepared()) == directly()
    assert left in entries()  # it is too new to be removed
    age(left, 100)
    prepared(valid=None)
    assert left not in entries()
    assert len(entries()) == 2


def test_an_entry_that_another_process_is_writing_is_left_alone(child):
    process = child("cache._write = wait\ntest_cache.prepared()")
    assert process.stdout.readline() == "now\n"
    [other] = entries()
    age(other, 10 * DAY)
    prepared()
    assert other in entries()
    process.kill()
    process.wait()
    prepared(valid=None)
    assert other not in entries()


def test_two_processes_at_once(child):
    code = """
kept = cache._rename
def meet(*paths):
    print("now", flush=True)
    while not Path("go").exists():
        time.sleep(0.01)
    kept(*paths)
cache._rename = meet
print(test_cache.all_of(test_cache.prepared()) == test_cache.directly())
"""
    processes = [child(code) for _ in range(2)]
    for process in processes:
        assert process.stdout.readline() == "now\n"
    assert len(entries()) == 2
    Path("go").touch()
    assert [process.communicate()[0] for process in processes] == ["True\n"] * 2
    assert len(entries()) == 1
    with unread():
        assert all_of(prepared()) == directly()


def test_another_process_writes_the_entry_first():
    def slow(*arguments):
        with mock.patch.object(cache, "prepare", prepare):
            prepared()
        return prepare(*arguments)

    with mock.patch.object(cache, "prepare", slow):
        texts = prepared()
    assert all_of(texts) == directly()
    assert len(entries()) == 1


def assert_write_error(error):
    message = str(error.value)
    assert error.value.exit_code == 7
    assert message.startswith("cache: cannot write: ")
    assert " MB: make room there, or set data.cache to another folder" in message
    assert entries() == []


@pytest.mark.parametrize("chosen", [{}, {"valid": 0.25, "rules": Rules(min_count=3)}])
def test_no_room_for_a_file(chosen):
    """For several limits on the file size, set with setrlimit."""
    prepared(**chosen)
    [entry] = entries()
    sizes = {path.name: path.stat().st_size for path in entry.iterdir()}
    shutil.rmtree(CACHE)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in sorted({*range(0, max(sizes.values()), 37), *(size - 1 for size in sizes.values() if size)}):
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
            with pytest.raises(WriteError) as error:
                prepared(**chosen)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert_write_error(error)
    assert all_of(prepared(**chosen)) == directly(**chosen)


@pytest.mark.parametrize(
    "what",
    [
        *(f"pathlib.Path.{name}" for name in ("mkdir", "rename", "write_bytes", "iterdir")),
        *("rnncli.system.disk.sync", "os.fsync", "rnncli.text.spool.Spool._write"),
    ],
)
def test_a_full_disk_in_other_calls(what):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with mock.patch(what, side_effect=full), pytest.raises(WriteError, match="No space left on device") as error:
        prepared()
    assert_write_error(error)


class Disk:
    """A disk that is full at one of the calls that write."""

    def __init__(self, fails_at):
        self.left = fails_at
        self.patches = [self.patch(Path, name) for name in ("write_bytes", "mkdir", "rename")]
        self.patches += [self.patch(Spool, "_write"), self.patch(disk, "sync")]

    def patch(self, owner, name):
        real = getattr(owner, name)

        def call(*arguments, **named):
            self.left -= 1
            if self.left == 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(*arguments, **named)

        return mock.patch.object(owner, name, call)

    def __enter__(self):
        for patch in self.patches:
            patch.start()
        return self

    def __exit__(self, *_):
        for patch in self.patches:
            patch.stop()


def test_a_disk_that_is_full_at_any_call():
    for fails_at in range(1, 1000):
        with Disk(fails_at) as full, contextlib.suppress(WriteError):
            prepared()
        left = entries()
        assert not any(path.name.startswith("building-") for path in left)
        if left:  # the entry is complete: only the sync of its parent folder failed, or nothing
            with unread():
                assert all_of(prepared()) == directly()
            shutil.rmtree(CACHE)
        if full.left > 0:
            break
    assert fails_at > 40


@pytest.mark.parametrize("folder", ["train.txt", "train.txt/cache", "/proc/no", "a" * 300])
def test_a_folder_that_cannot_be_created(folder):
    with pytest.raises(WriteError, match=f"^{folder}: cannot write: .*; the encoded texts need about "):
        cache.prepared(Path(folder), **GIVEN)


def test_an_error_in_a_text_leaves_no_entry():
    for name, content in (("train.txt", b"a \xff\n"), ("valid.txt", b"\n"), ("test.txt", b"<end>\n")):
        good = Path(name).read_bytes()
        Path(name).write_bytes(content)
        with pytest.raises(TextError, match=f"^{name}:"):
            prepared()
        Path(name).write_bytes(good)
        assert entries() == []
    with pytest.raises(TextError, match=r"^missing.txt: no such file"):
        prepared(train=["missing.txt"])
    with pytest.raises(TextError, match=r"^missing.txt: no such file"):
        prepared(rules=Rules(file="missing.txt"))
    with pytest.raises(KeyboardInterrupt), mock.patch.object(cache, "_write", side_effect=KeyboardInterrupt):
        prepared()
    assert entries() == []


@pytest.mark.parametrize("name", ["train.txt", "more.txt.gz", "valid.txt", "test.txt", "words.txt"])
def test_a_text_that_changes_before_it_is_read(name):
    """The entry would be for a different text than the one that was hashed."""
    Path("more.txt.gz").write_bytes(gzip.compress(b"the moon\nthe moon\n"))
    changes = {"train": ["train.txt", "more.txt.gz"], "rules": Rules(file="words.txt", unknown=True)}

    def changed(*arguments):
        other = b"the\nsea\n"
        Path(name).write_bytes(gzip.compress(other) if name.endswith("gz") else other)
        return prepare(*arguments)

    with mock.patch.object(cache, "prepare", changed), pytest.raises(TextError, match="changed while it was read"):
        prepared(**changes)
    assert entries() == []
    assert all_of(prepared(**changes)) == directly(**changes)


def test_a_pipe_is_read_once():
    os.mkfifo("fifo")
    writer = threading.Thread(target=lambda: Path("fifo").write_text(TEXTS["more.txt"]))
    writer.start()
    texts = prepared(train=["fifo"], valid=None, test=None)
    writer.join()
    assert texts.train.ids.tolist() == prepare(["more.txt"], FORMAT, RULES).train.ids.tolist()
    assert entries() == []


def test_watch_is_called_in_each_pass():
    calls = []
    prepared(watch=lambda *each: calls.append(each))
    passes = list(dict.fromkeys(activity for activity, _, _ in calls))
    assert passes == ["checking", "reading", "writing"]
    assert all(0 <= done <= total for _, done, total in calls)
    for what in passes:
        assert any(done == total for each, done, total in calls if each == what)
    calls.clear()
    prepared(watch=lambda *each: calls.append(each))
    assert {activity for activity, _, _ in calls} == {"checking"}


def config_of(**changes):
    return settings("config", "".join(TEXTS.values()), **changes)


def test_the_cache_folder_of_a_config():
    config = config_of(data__cache=str(CACHE.absolute()))
    first = all_of(corpora.texts(config))
    with unread():
        assert all_of(corpora.texts(config)) == first
    assert len(entries()) == 1
    with mock.patch.object(corpora, "prepare", prepare):
        assert all_of(corpora.texts(config_of())) == first


def test_a_small_text_makes_no_folder(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", os.path.abspath("home"))
    corpora.texts(config_of())
    assert not Path("home").exists()


@pytest.fixture
def large(monkeypatch):
    """Texts of any size are cached."""
    monkeypatch.setattr(corpora, "SMALL", 10)


def test_the_cache_of_the_user(large, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", os.path.abspath("home"))
    first = all_of(corpora.texts(config_of()))
    assert [path.name for path in Path("home").iterdir()] == ["rnncli"]
    assert len(list(Path("home/rnncli").iterdir())) == 1
    with unread():
        assert all_of(corpora.texts(config_of())) == first


@pytest.mark.parametrize("value", ["relative", "", None])
def test_a_relative_cache_home_is_ignored(large, monkeypatch, value):
    monkeypatch.setenv("HOME", os.path.abspath("home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    if value is not None:
        monkeypatch.setenv("XDG_CACHE_HOME", value)
    corpora.texts(config_of())
    assert len(list(Path("home/.cache/rnncli").iterdir())) == 1
    assert not Path("relative").exists()


def uncached(config):
    return all_of(prepare(config.data.train, corpora.text_format(config.data), corpora.rules(config)))


@pytest.mark.parametrize("lacking", ["a file", "no permission", "no home", "another user"])
def test_without_a_cache_folder_the_texts_are_read(large, monkeypatch, lacking):
    monkeypatch.setenv("XDG_CACHE_HOME", os.path.abspath("home"))
    if lacking == "a file":
        Path("home").touch()
    elif lacking == "no home":
        monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.setattr(Path, "home", mock.Mock(side_effect=RuntimeError("Could not determine home directory.")))
    elif lacking == "another user":
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    else:  # root always has permission
        monkeypatch.setattr(os, "access", lambda *_: False)
    config = config_of()
    assert all_of(corpora.texts(config)) == uncached(config)
    assert not list(Path().glob("home/rnncli/*"))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO])
@pytest.mark.parametrize("what", ["pathlib.Path.write_bytes", "os.fsync", "rnncli.text.spool.Spool._write"])
def test_a_full_disk_stops_nobody_who_asked_for_no_cache(large, monkeypatch, tmp_path, what, number):
    monkeypatch.setenv("XDG_CACHE_HOME", os.path.abspath("home"))
    named, unnamed = config_of(data__cache=str(tmp_path / CACHE)), config_of()
    expected, write = uncached(unnamed), Spool._write

    def fails(*arguments, **_):
        if isinstance(arguments[0], Spool) and arguments[0]._path is None:  # in memory
            return write(*arguments)
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as full:
        full.setattr(what, fails)
        assert all_of(corpora.texts(unnamed)) == expected
        with pytest.raises(WriteError, match=os.strerror(number)):
            corpora.texts(named)
    assert list(Path("home/rnncli").iterdir()) == entries() == []


def test_the_cache_folder_of_the_user_is_private(large, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", os.path.abspath("home"))
    for mode in (None, 0o777, 0o775):  # made here, and by an older version
        if mode is not None:
            Path("home/rnncli").chmod(mode)
        corpora.texts(config_of())
        assert Path("home/rnncli").stat().st_mode & 0o777 == 0o700


def test_a_pattern_and_a_folder_in_a_config():
    Path("config/texts").mkdir(parents=True)
    for name in ("10.txt", "9.txt", ".hidden"):
        Path("config/texts", name).write_text(f"the {name}\n")
    for train in ("texts", "texts/*.txt", ["texts/10.txt", "texts/9*"]):
        Path("config/config.yaml").write_text(f"data: {{train: {json.dumps(train)}}}\n")
        config = yaml_file.read("config/config.yaml")
        found = corpora.texts(config)
        assert [Path(file).name for file, _ in found.train.files] == ["10.txt", "9.txt"]
        assert set(found.vocabulary.words) == {"<end>", "the", "10.txt", "9.txt"}
