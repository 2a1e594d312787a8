"""Malicious checkpoints: refused with exit code 5 and one message, in little memory and time.

Each command runs in a separate process. Its memory is compared with that of the same command on a good checkpoint.
"""

import hashlib
import json
import math
import pickle
import shutil
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from support.crafting import as_json, contents, craft, entries, good, meta_bytes, npy, npy_of, patched, sha256, write
from support.measured import Measured

from rnncli.runs import checkpoint_file

MARGIN = 64_000_000  # bytes, in addition to twice the file size
LONGEST = 5.0  # seconds
LONGEST_MESSAGE = 1500  # characters: a message must not print the contents of the file

ALL = ("inspect", "verify", "predict", "evaluate", "train")
RESUMING = ("verify", "train")
MEASURED = ("inspect", "verify", "train")  # commands that show measured losses, or resume from them
NONE = ()
TERA = 10**12

W, MOMENT, STATE = "parameter.layer0.Waa", "moment.m.layer0.Waa", "state.layer0.a"


@dataclass(frozen=True)
class Case:
    """`make(path, good)` writes a checkpoint; the commands in `must` have to refuse it, the others may."""

    name: str
    make: object
    must: tuple = ALL


class Place:
    """A run folder for one hostile checkpoint at a time, and the commands that read it."""

    def __init__(self, folder, commands):
        self.folder, self.commands = folder, commands
        self.good = good(folder)
        self.checkpoints = folder / "run" / "checkpoints"
        shutil.copytree(folder / "run", folder / "kept")
        self.words = {
            "inspect": ("inspect", "--run", self.good.path),
            "verify": ("inspect", "--run", self.good.path, "--verify"),
            "predict": ("predict", "--run", self.good.path, "--seed", "sun", "--random-seed", 1),
            "evaluate": ("evaluate", "--run", self.good.path, folder / "text.txt"),
            "train": ("train", folder / "config.yaml", "--resume", "--quiet"),
        }
        self.baseline = {name: self.run(name) for name in ALL}
        for name, outcome in self.baseline.items():
            assert outcome.exit_code == 0, (name, outcome.stderr)
        self.fresh()

    def run(self, name):
        return self.commands.run(*self.words[name], cwd=self.folder)

    def fresh(self, keep=False):
        """Restore the run folder; without its checkpoints unless `keep`."""
        shutil.rmtree(self.folder / "run")
        shutil.copytree(self.folder / "kept", self.folder / "run")
        for path in () if keep else self.checkpoints.iterdir():
            path.unlink()

    def faults(self, case, names):
        """Faults in how the commands treat a checkpoint, one text each."""
        self.fresh()
        case.make(self.good.path, self.good)
        size, found = self.good.path.stat().st_size, []
        for name in names:
            outcome = self.run(name)
            found += [f"{case.name}: {name}: {fault}" for fault in self._faults(name, outcome, size, name in case.must)]
            if outcome.exit_code == 0 and name == "train":
                self.fresh()
        return found

    def _faults(self, name, outcome, size, must):
        message = outcome.stderr.strip().rpartition(", and keeps it\n")[2]  # after a note on the tokenizer's version
        if "Traceback" in message or outcome.exit_code not in (0, 5):
            yield f"exit code {outcome.exit_code}, {message[-300:]!r}"
        elif outcome.exit_code == 0 and must:
            yield "accepted"
        elif outcome.exit_code == 5:
            other = f"{self.good.path.parent.parent}: holds a run of another config or corpus:\n"
            if not message.startswith((f"{self.good.path}: ", other)) or (outcome.stdout and name != "verify"):
                yield f"message {message[:200]!r}"
            lines = message.removesuffix("\n1 of 1 checkpoints damaged").count("\n")
            if len(message) > LONGEST_MESSAGE or (lines and " config" not in message and "can use" not in message):
                yield f"message of {len(message)} characters in {message.count(chr(10)) + 1} lines: {message[:200]!r}"
        if (more := outcome.peak - self.baseline[name].peak) > 2 * size + MARGIN:
            yield f"{more / 1e6:.0f} MB more than usual, for a file of {size / 1e6:.1f} MB"
        if outcome.seconds > LONGEST:
            yield f"{outcome.seconds:.1f} s"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    with Measured(folder / "output") as commands:
        yield Place(folder, commands)


def check(place, soak, cases, short, what):
    """Every case with every command; in a short test, some cases with one command each. Reports all faults at once."""
    chosen = cases if soak.full else soak.random.sample(cases, min(short, len(cases)))
    commands = [ALL if soak.full else (soak.random.choice(case.must or ALL),) for case in chosen]
    faults = [fault for case, names in zip(chosen, commands, strict=True) for fault in place.faults(case, names)]
    assert not faults, f"{len(faults)} faults:\n" + "\n".join(faults)
    soak.report(f"{what}: {len(chosen)} checkpoints, {sum(map(len, commands))} commands")


def test_a_crafted_checkpoint_is_accepted(place):
    """Otherwise every case below would be refused for the wrong reason."""
    place.fresh(keep=True)
    craft(place.folder / "by-hand.npz", place.good)
    assert (place.folder / "by-hand.npz").read_bytes() == place.good.raw
    craft(place.good.path, place.good)
    assert contents(place.good.path) == contents(place.folder / "kept" / "checkpoints" / place.good.path.name)
    assert {place.run(name).exit_code for name in ALL} == {0}


# Members


def with_member(name, data):
    """Replace a member's `.npy` by these bytes, or by a function of its array; the hashes do not change."""

    def make(path, good):
        raw_meta = np.frombuffer(meta_bytes(good.meta, good.members), np.uint8)
        members = good.members | {"meta": raw_meta}
        replaced = members | {name: data(members[name]) if callable(data) else data}
        write(path, replaced.items())

    return make


def with_array(name, change):
    """Replace a member by `change(array)`, with a matching hash."""
    return lambda path, good: craft(path, good.with_members(**{name.replace(".", "__"): change(good.members[name])}))


def claim(shape, descr="<f4"):
    return lambda array: npy_of(
        f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}", np.asarray(array).tobytes()
    )


def of_version(version):
    return lambda array: npy_of(
        f"{{'descr': {array.dtype.str!r}, 'fortran_order': False, 'shape': {array.shape}, }}", array.tobytes(), version
    )


SHAPES = {
    "terabytes": f"({TERA},)",
    "terabytes of rows": f"({TERA}, 5)",
    "more bytes than can exist": f"({10**30},)",
    "a product that overflows": f"({2**32}, {2**32})",
    "a product that overflows to the actual size": f"({2**63}, 2, 25)",
    "a negative dimension": "(-1, 5)",
    "two negative dimensions": "(-20, -5)",
    "no dimension": "()",
    "a dimension of zero": "(0, 5)",
    "65 dimensions": f"({'1, ' * 65})",
    "2000 dimensions": f"({'1, ' * 2000})",
    "a number of 5000 digits": f"({'9' * 5000},)",
    "a float": "(2.0, 5)",
    "True": "(True, 5)",
    "a text": "('20', 5)",
    "a list": "[20, 5]",
    "None": "None",
    "code": "(__import__('os').system('touch harm'),)",
    "deep nesting": "(" * 500 + ")" * 500,
}
DESCRS = ["O", "|O", "<f8", ">f4", "<c8", "<M8[s]", "<m8[ns]", "|V4", "<U1", "|S4", "|b1", "<f2", "<i4", "<u4", "<f16"]
DESCRS += ["<f0", "<f99999999999", "", "f4,f4", "|V0", "<f4\0", "é"]


def refusing(member):
    """Commands that must refuse a bad member: those that use it."""
    return ALL if member.startswith("parameter") or member == "meta" else RESUMING


def header_cases():
    for member in (W, MOMENT, STATE, "meta"):
        descr = "|u1" if member == "meta" else "<f4"
        for what, shape in SHAPES.items():
            yield Case(f"{member} claims {what}", with_member(member, claim(shape, descr)), refusing(member))
        for each in DESCRS:
            yield Case(f"{member} claims {each!r}", with_member(member, claim("(20, 5)", each)), refusing(member))
        headers = {
            "an empty header": "",
            "no dict": "[]",
            "an extra key": "{'descr': '<f4', 'fortran_order': False, 'shape': (20, 5), 'more': 1, }",
            "a missing key": "{'descr': '<f4', 'shape': (20, 5), }",
            "fields": "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (20, 5), }",
            "fields of objects": "{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (20, 5), }",
            "an invalid order": "{'descr': '<f4', 'fortran_order': 7, 'shape': (20, 5), }",
            "a header of 60,000 bytes": "{'descr': '<f4', 'fortran_order': False, 'shape': (20, 5), }" + " " * 60_000,
            "an open bracket": "{'descr': '<f4', 'fortran_order': False, 'shape': (20, 5, }",
            "a header that is not ASCII": b"{'descr': '<f4', '\xff': \x00}",
        }
        for what, header in headers.items():
            data = lambda array, header=header: npy_of(header, np.asarray(array).tobytes())  # noqa: E731
            yield Case(f"{member} has {what}", with_member(member, data), refusing(member))
        for version in ((2, 0), (3, 0), (0, 0), (255, 255)):
            yield Case(f"{member} has version {version}", with_member(member, of_version(version)), refusing(member))
        for what, data in {
            "nothing": b"",
            "six bytes": b"\x93NUMPY",
            "a header length beyond its end": b"\x93NUMPY\x01\x00\xff\xff{'descr'",
            "a header of 4 GB": b"\x93NUMPY\x02\x00\xff\xff\xff\xff{",
            "no .npy": b"PK\x03\x04" * 100,
            "a zip in it": lambda array: b"PK\x05\x06" + bytes(18),
        }.items():
            yield Case(f"{member} is {what}", with_member(member, data), refusing(member))


def test_false_headers(place, soak):
    check(place, soak, list(header_cases()), 8, "headers of arrays")
    assert not list(place.folder.rglob("harm"))


def dtype_cases():
    changes = {
        "structured": lambda a: np.zeros(a.shape, [("x", "<f4")]),
        "void": lambda a: np.zeros(a.shape, "V4"),
        "big-endian": lambda a: a.astype(">f4"),
        "complex": lambda a: a.astype(np.complex64),
        "datetime": lambda a: a.astype("M8[s]"),
        "timedelta": lambda a: a.astype("m8[s]"),
        "text": lambda a: a.astype("U8"),
        "bytes": lambda a: a.astype("S8"),
        "bool": lambda a: a.astype(bool),
        "float16": lambda a: a.astype(np.float16),
        "float64": lambda a: a.astype(np.float64),
        "whole numbers": lambda a: a.astype(np.int32),
        "transposed": lambda a: np.ascontiguousarray(a.T),
        "flat": lambda a: a.reshape(-1),
        "one row more": lambda a: np.concatenate([a, a[:1]]),
        "one row less": lambda a: a[:-1],
        "with an extra dimension": lambda a: a[None],
        "empty": lambda a: a[:0],
        "a number": lambda a: a.reshape(-1)[0],
        "NaN": lambda a: np.full_like(a, math.nan),
        "with one NaN": lambda a: np.where(np.arange(a.size).reshape(a.shape) == 3, math.nan, a).astype(a.dtype),
        "infinite": lambda a: np.full_like(a, math.inf),
    }
    for member in (W, "parameter.output.by", "parameter.embedding.E", MOMENT, "moment.v.output.by", STATE):
        for what, change in changes.items():
            if not (what in ("transposed", "flat") and member.endswith("by")):  # a vector is both
                yield Case(f"{member} is {what}", with_array(member, change), refusing(member))
    yield Case("moment.v is negative", with_array("moment.v.layer0.Waa", lambda a: -1 - np.abs(a)), ("train",))
    for member in (W, MOMENT, STATE):  # the same numbers, so it is accepted
        yield Case(f"{member} is in Fortran's order", with_array(member, np.asfortranarray), NONE)


def test_wrong_arrays_with_correct_hashes(place, soak):
    check(place, soak, list(dtype_cases()), 8, "arrays")


class Harm:
    """Creates a file when unpickled."""

    def __reduce__(self):
        return Path.touch, (Path("harm"),)


def without(name, listed):
    def make(path, good):
        raw = np.frombuffer(meta_bytes(good.meta, good.members), np.uint8)
        members = {each: array for each, array in good.members.items() if each != name}
        if listed:
            write(path, [*members.items(), ("meta", raw)])
        else:
            write(path, [*members.items(), ("meta", np.frombuffer(meta_bytes(good.meta, members), np.uint8))])

    return make


def with_extra(name, listed=False):
    extra = np.arange(5, dtype=np.float32)

    def make(path, good):
        hashed = good.members | ({name: extra} if listed else {})
        raw = np.frombuffer(meta_bytes(good.meta, hashed), np.uint8)
        write(path, [(name, extra), *good.members.items(), ("meta", raw)])

    return make


def twice(name, array=None):
    def make(path, good):
        members = good.members | {"meta": np.frombuffer(meta_bytes(good.meta, good.members), np.uint8)}
        again = members[name] if array is None else array
        with pytest.warns(UserWarning, match="Duplicate name"):
            write(path, [*members.items(), (name, again)])

    return make


def renamed(raw, name, other):
    """Replace a name by bytes of the same length, everywhere in the zip."""
    assert len(name) == len(other)
    changed = bytearray(raw)
    for each, local, central in entries(raw):
        if each == name:
            changed[local + 30 : local + 30 + len(other)] = other
            changed[central + 46 : central + 46 + len(other)] = other
    return bytes(changed)


def with_name(other, utf8=False):
    """Give an extra member an odd name, with `utf8` marked as UTF-8 in the zip."""

    def make(path, good):
        plain = "x" * (len(other) - 4)
        with_extra(plain, listed=True)(path, good)
        raw = path.read_bytes()
        if utf8:
            raw = patched(raw, plain, flags=0x800)
        path.write_bytes(renamed(raw, f"{plain}.npy", other))

    return make


def member_cases():
    names = [W, "parameter.embedding.E", "parameter.output.by", "meta", MOMENT, "moment.v.output.by", STATE]
    pickled = [npy(np.array([Harm()], object)), pickle.dumps(Harm()), b"\x80\x04" + bytes(50)]
    for name in names:
        for data in pickled:
            yield Case(f"{name} is pickled", with_member(name, data), refusing(name))
        yield Case(f"{name} twice", twice(name))
        yield Case(f"{name} twice, once with other data", twice(name, np.zeros(5, np.uint8)))
    for listed in (True, False):
        yield Case(f"an extra member, listed {listed}", with_extra("more", listed), NONE if listed else ALL)
        yield Case(f"an extra parameter, listed {listed}", with_extra("parameter.more", listed), NONE)
    for name in ("../../harm", "/tmp/harm-of-rnncli", "C:\\harm", "", ".", "a/b/c", "n" * 60_000, "ü" * 300, "a\nb"):
        yield Case(f"a member called {name[:20]!r}", with_extra(name), ALL)
        yield Case(f"a member called {name[:20]!r}, listed", with_extra(name, listed=True), NONE)
    for name in (b"a\0b.npy", b"\xff\xfe\xfd.npy", b"\xed\xa0\x80.npy", b"../../har.npy", b"meta\0.npy"):
        for utf8 in (True, False):
            yield Case(f"a member called {name!r}, UTF-8 {utf8}", with_name(name, utf8), ALL)


def missing_cases(good):
    for name in good.members:
        for listed in (True, False):
            yield Case(f"{name} is missing, listed {listed}", without(name, listed), refusing(name))
    yield Case("meta is missing", lambda path, good: write(path, good.members.items()))
    yield Case("nothing but meta", lambda path, good: craft(path, good.__class__(path, b"", good.meta, {})))
    yield Case("nothing", lambda path, good: write(path, []))


def test_members_that_are_missing(place, soak):
    check(place, soak, list(missing_cases(place.good)), 8, "missing members")


def test_members_pickled_twice_extra_and_badly_named(place, soak):
    check(place, soak, list(member_cases()), 8, "odd members")
    assert not list(place.folder.rglob("harm*"))
    assert not Path("/tmp/harm-of-rnncli.npy").exists()


# The zip


def rezipped(change):
    """Change the bytes of the good checkpoint."""
    return lambda path, good: path.write_bytes(change(good.raw))


def end_of(raw):
    return raw.rindex(b"PK\x05\x06")


def with_end(**values):
    """Change fields in the end record of the zip."""
    places = {"disk": (4, "H"), "start_disk": (6, "H"), "here": (8, "H"), "count": (10, "H"), "size": (12, "I")}
    places |= {"start": (16, "I"), "comment": (20, "H")}

    def change(raw):
        changed, at = bytearray(raw), end_of(raw)
        for name, value in values.items():
            struct.pack_into(f"<{places[name][1]}", changed, at + places[name][0], value)
        return bytes(changed)

    return rezipped(change)


def with_directory(change):
    """Replace the central directory by `change(entries)`, bytes of each entry, with a correct end record."""

    def make(path, good):
        raw, at = good.raw, end_of(good.raw)
        starts = [central for _, _, central in entries(raw)]
        pieces = [raw[low:high] for low, high in zip(starts, [*starts[1:], at], strict=True)]
        path.write_bytes(raw[: starts[0]] + directory(change(pieces), starts[0]))

    return make


def directory(pieces, start):
    """A central directory of these entries with its end record, ZIP64 if they are many."""
    joined, count, extra = b"".join(pieces), len(pieces), b""
    if count >= 0xFFFF:
        extra = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, len(joined), start)
        extra += struct.pack("<4sLQL", b"PK\x06\x07", 0, start + len(joined), 1)
    shown = min(count, 0xFFFF)
    return joined + extra + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, shown, shown, len(joined), start, 0)


def with_zip64(end=b"", locator=None, **values):
    """Wrong ZIP64 end record or locator."""

    def change(raw):
        at = end_of(raw)
        found = struct.pack("<4sLQL", b"PK\x06\x07", 0, at, 1) if locator is None else locator
        fields = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
        stated = {"count": 5, "size": 100, "start": 0} | values
        numbers = (stated["count"], stated["count"], stated["size"], stated["start"])
        whole = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, *numbers)
        return raw[:at] + (end or whole) + found + fields

    return rezipped(change)


def with_extra_field(field, where="central", **values):
    """Set the extra field of the first entry in the central directory."""

    def change(pieces):
        first = bytearray(pieces[0])
        name, extra = struct.unpack_from("<HH", first, 28)
        first[46 + name : 46 + name + extra] = field
        struct.pack_into("<H", first, 30, len(field))
        for at, value in values.items():
            struct.pack_into("<I", first, {"packed": 20, "size": 24, "offset": 42}[at], value)
        return [bytes(first), *pieces[1:]]

    return with_directory(change)


def many(number, overlapping):
    """Add this many entries to the directory, all for the same data or each at a different offset."""

    def change(pieces):
        first, made = pieces[0], []
        for k in range(number):
            text = f"parameter.{k:09d}.npy".encode()
            head = bytearray(first[:46])
            struct.pack_into("<HHH", head, 28, len(text), 0, 0)
            if not overlapping:
                struct.pack_into("<I", head, 42, k)
            made.append(bytes(head) + text)
        return pieces + made

    return with_directory(change)


def in_both(name, **values):
    return rezipped(lambda raw: patched(raw, name, **values))


def only(where, name, **values):
    return rezipped(lambda raw: patched(raw, name, where, **values))


def local_zip64(name, size, packed):
    def change(raw):
        ((_, local, _),) = [each for each in entries(raw) if each[0] == f"{name}.npy"]
        (length,) = struct.unpack_from("<H", raw, local + 26)
        changed = bytearray(raw)
        struct.pack_into("<HHQQ", changed, local + 30 + length, 1, 16, size, packed)
        return bytes(changed)

    return rezipped(change)


def zip_cases():
    huge = {"4 GB": 0xFFFFFFF0, "the ZIP64 marker": 0xFFFFFFFF}
    for member in (W, "meta"):
        for what, size in huge.items():
            for where in ("both", "local", "central"):
                must = ALL if where != "local" else NONE  # the local header is not read
                make = only(where, member, size=size, packed=size)
                yield Case(f"{member}: {where} claims {what}", make, must)
                yield Case(f"{member}: {where} claims {what} unpacked", only(where, member, size=size), must)
        yield Case(f"{member} claims terabytes in its local ZIP64 field", local_zip64(member, TERA, TERA), NONE)
        for flag in (0x1, 0x8, 0x20, 0x40, 0x2000, 0xFFFF):
            yield Case(f"{member} has the flags {flag:#x}", in_both(member, flags=flag), NONE if flag == 8 else ALL)
        for method in (1, 8, 9, 12, 14, 93, 97, 98, 99, 0xFFFF):
            yield Case(f"{member} is packed by method {method}", in_both(member, method=method))
        yield Case(f"{member} has a wrong CRC", in_both(member, crc=12345), NONE)
        for offset in (0xFFFFFFF0, 0xFFFFFFFF, 1, 1000):
            yield Case(f"{member} begins at {offset}", only("central", member, offset=offset))
        for length in (0, 1, 0xFFFF):
            yield Case(f"{member} has a name of {length} bytes", only("both", member, name_length=length))
            must = NONE if length == 0 else ALL
            yield Case(
                f"{member} has an extra field of {length} bytes", only("both", member, extra_length=length), must
            )
        yield Case(f"{member} has a comment of 65,535 bytes", only("central", member, comment_length=0xFFFF))
        yield Case(f"{member} is on disk 7", only("central", member, disk=7), NONE)
        yield Case(f"{member} needs zip 25.5", in_both(member, needs=255), NONE)
    ends = [{"count": 0, "here": 0}, {"count": 65535, "here": 65535}, {"size": 0}, {"size": 0xFFFFFFFF}, {"start": 0}]
    ends += [{"start": 0xFFFFFFFF}, {"start": 0xFFFFFFF0}, {"size": 0xFFFFFFF0}, {"comment": 0xFFFF}, {"disk": 7}]
    ends += [{"start_disk": 7}, {"count": 1}, {"count": 999}]
    for values in ends:
        harmless = {"count", "disk", "start_disk"} & values.keys() and "size" not in values
        yield Case(f"the end says {values}", with_end(**values), NONE if harmless else ALL)
    yield Case("ZIP64: no locator", with_zip64(locator=bytes(20)))
    yield Case("ZIP64: a locator to nowhere", with_zip64(locator=struct.pack("<4sLQL", b"PK\x06\x07", 0, 2**63, 1)))
    yield Case("ZIP64: 2**64 - 1 bytes", with_zip64(count=2**64 - 1, size=2**64 - 1, start=2**64 - 1))
    yield Case("ZIP64: terabytes of entries", with_zip64(count=TERA, size=46 * TERA, start=0))
    yield Case("ZIP64: a directory before the file", with_zip64(size=10**9))
    yield Case("ZIP64: an invalid end record", with_zip64(end=bytes(56)))
    fields = {
        "terabytes": struct.pack("<HHQQ", 1, 16, TERA, TERA),
        "too short a field": struct.pack("<HHQ", 1, 8, TERA),
        "a length beyond the field": struct.pack("<HHQ", 1, 60_000, TERA),
        "three bytes": b"\1\0\0",
        "an odd length": struct.pack("<HH", 1, 7) + bytes(7),
        "many fields": struct.pack("<HHQQ", 1, 16, TERA, TERA) * 3000,
    }
    for what, field in fields.items():
        make = with_extra_field(field, packed=0xFFFFFFFF, size=0xFFFFFFFF)
        yield Case(f"ZIP64: the directory has {what}", make)
        yield Case(f"ZIP64: {what}, of the offset alone", with_extra_field(field, offset=0xFFFFFFFF))
    yield Case("a directory without its first entry", with_directory(lambda pieces: pieces[1:]))
    yield Case("a directory without its last entry", with_directory(lambda pieces: pieces[:-1]))
    yield Case("a directory that begins again", with_directory(lambda pieces: pieces * 2))
    yield Case("a directory in another order", with_directory(lambda pieces: pieces[::-1]), NONE)
    yield Case("two entries exchanged", with_directory(exchanged))
    yield Case("a zip before it", rezipped(lambda raw: raw + raw), NONE)
    yield Case("an empty zip after it", rezipped(lambda raw: raw + b"PK\x05\x06" + bytes(18)))
    yield Case("a program in front of it", rezipped(lambda raw: b"#!/bin/sh\n" * 100 + raw), NONE)
    yield Case("a comment after it", rezipped(lambda raw: raw[:-2] + b"\x05\x00" + b"PK\x05\x06!"), NONE)
    yield Case("no zip", lambda path, good: path.write_bytes(b"\x1f\x8b" + bytes(1000)))
    yield Case("a tar", lambda path, good: path.write_bytes(bytes(10_240)))
    yield Case("an array", lambda path, good: path.write_bytes(npy(np.zeros(100))))
    yield Case("nothing at all", lambda path, good: path.write_bytes(b""))


def exchanged(pieces):
    """The first two entries with exchanged offsets."""
    one, two = bytearray(pieces[0]), bytearray(pieces[1])
    one[42:46], two[42:46] = two[42:46], one[42:46]
    return [bytes(one), bytes(two), *pieces[2:]]


def test_false_zips(place, soak):
    check(place, soak, list(zip_cases()), 10, "zips")


def packed(member, method, array):
    """Compress a member, about 1000:1."""

    def make(path, good):
        members = good.members | {"meta": np.frombuffer(meta_bytes(good.meta, good.members), np.uint8)}
        write(path, (members | {member: array}).items(), packed=(member,), method=method)

    return make


def bomb_cases(large):
    size = 300_000_000 if large else 3_000_000
    methods = {"deflate": zipfile.ZIP_DEFLATED, "bzip2": zipfile.ZIP_BZIP2, "lzma": zipfile.ZIP_LZMA}
    zeros = np.zeros(size // 4, np.float32)
    for name, method in methods.items():
        yield Case(f"a bomb by {name}", packed(W, method, zeros))
        yield Case(f"meta is a bomb by {name}", packed("meta", method, np.full(size, 32, np.uint8)))
    yield Case("entries for the same data", many(60_000 if large else 2000, overlapping=True))
    yield Case("entries for overlapping data", many(60_000 if large else 2000, overlapping=False))
    number = 1_000_000 if large else 70_000
    yield Case(f"a directory of {number:,} entries", many(number, overlapping=True))
    yield Case(f"zeros, {size:,} of them", with_array(W, lambda a: zeros))
    yield Case(f"a state of {size:,}", with_array(STATE, lambda a: zeros.reshape(5, -1)), RESUMING)
    yield Case(f"an extra member of {size:,}", lambda path, good: craft(path, good.with_members(more=zeros)), NONE)
    yield Case("zeros after it", rezipped(lambda raw: raw + bytes(size)), NONE)
    yield Case("zeros in front of it", rezipped(lambda raw: bytes(size) + raw), NONE)


def test_bombs_and_crowds(place, soak):
    check(place, soak, list(bomb_cases(soak.full)), 4, "bombs")


# The metadata


def with_meta(must=ALL, **changes):
    return lambda path, good: craft(path, good.with_meta(**changes))


def inside(change):
    """Apply `change` to a deep copy of the metadata."""

    def make(path, good):
        meta = json.loads(json.dumps(good.meta))
        changed = change(meta)
        craft(path, good.__class__(path, b"", meta if changed is None else changed, good.members))

    return make


def leaving_out(key):
    def change(meta):
        del meta[key]

    return inside(change)


def set_in(*keys, value):
    def change(meta):
        for key in keys[:-1]:
            meta = meta[key]
        meta[keys[-1]] = value

    return inside(change)


def raw_value(key, text):
    """Set one value to this JSON text, valid or not, with a matching hash of the metadata."""

    def make(path, good):
        hashes = {name: sha256(array) for name, array in good.members.items()}
        content = good.meta | {"format_version": checkpoint_file.FORMAT_VERSION, "sha256": hashes} | {key: "@@"}
        hashed = as_json(content).replace(b'"@@"', text)
        mark = hashlib.sha256(hashed).hexdigest()
        whole = as_json(content | {"meta_sha256": mark}).replace(b'"@@"', text)
        craft(path, good, raw_meta=whole)

    return make


def raw_whole(text):
    return lambda path, good: craft(path, good, raw_meta=text)


def rewritten(change):
    """Change the text of the metadata."""
    return lambda path, good: craft(path, good, raw_meta=change(meta_bytes(good.meta, good.members)))


def json_cases(large):
    most, size = (100_000_000, 20_000_000) if large else (200_000, 100_000)
    texts = {
        "zeros": b"[" + b"0," * (most // 2) + b"0]",
        "lists": b"[" + b"[]," * (most // 3) + b"[]]",
        "objects": b"[" + b'{"a":1},' * (most // 8) + b"0]",
        "floats": b"[" + b"0.5," * (size // 4) + b"0.5]",
        "numbers": b"[" + b"100000," * (size // 7) + b"0]",
        "empty texts": b"[" + b'"",' * (size // 3) + b'""]',
        "keys": b"{" + b",".join(b'"%07d":0' % k for k in range(size // 12)) + b"}",
        "one text": b'"' + b"x" * (most // 2) + b'"',
        "one text of wide characters": b'"' + "\U0001f600".encode() + b"x" * (size // 2) + b'"',
        "one text of escapes": b'"' + b"\\u0000" * (size // 12) + b'"',
        "a number": b"9" * (size // 2),
    }
    for what, text in texts.items():
        for key in ("vocabulary", "more"):
            yield Case(f"{key} is {len(text):,} bytes of {what}", raw_value(key, text), NONE if key == "more" else ALL)
        yield Case(f"nothing but {len(text):,} bytes of {what}", raw_whole(text))
    for depth in (20, 500, 990, 5000, 100_000, size // 2):
        for what, low, high in (("lists", b"[", b"]"), ("objects", b'{"a":', b"}")):
            text = low * depth + b"1" * (low != b"[") + high * depth
            yield Case(f"vocabulary is {depth:,} deep in {what}", raw_value("vocabulary", text))
            yield Case(f"machine is {depth:,} deep in {what}", raw_value("machine", text))
            yield Case(f"nothing but {depth:,} {what} deep", raw_whole(text))
            yield Case(f"nothing but {depth:,} {what} opened", raw_whole(low * depth))


def test_large_json(place, soak):
    check(place, soak, list(json_cases(soak.full)), 8, "large JSON")


def odd_json_cases():
    for what, text in {
        "a list": b"[1]",
        "a text": b'"x"',
        "null": b"null",
        "a number": b"7",
        "nothing": b"",
        "white space": b"   \n",
        "no JSON": b"{not json}",
        "not UTF-8": b'{"a":"\xff"}',
        "cut off": b'{"a":[1,2',
        "NUL": bytes(100),
        "an empty object": b"{}",
        "a version alone": b'{"format_version":2}',
    }.items():
        yield Case(f"meta is {what}", raw_whole(text))
    for what, change in {
        "something after it": lambda raw: raw + b"{}",
        "NUL after it": lambda raw: raw + b"\0",
        "half of it": lambda raw: raw[: len(raw) // 2],
        "a key twice": lambda raw: b'{"step":9,' + raw[1:],
        "a key twice, the last with another value": lambda raw: raw[:-1] + b',"step":9}',
        "an unknown key": lambda raw: raw[:-1] + b',"zzz":9}',
        "invalid UTF-8": lambda raw: raw.replace(b'"sun"', b'"s\xffn"'),
        "a surrogate": lambda raw: raw.replace(b'"sun"', b'"\\ud800"'),
        "UTF-8 of a surrogate": lambda raw: raw.replace(b'"sun"', b'"\xed\xa0\x80"'),
        "another hash": lambda raw: raw.replace(b'"meta_sha256":"', b'"meta_sha256":"0')[:-1] + b"}",
    }.items():
        yield Case(f"meta has {what}", rewritten(change))
    for what, change in {
        "white space": lambda raw: raw.replace(b",", b", "),
        "a byte order mark": lambda raw: b"\xef\xbb\xbf" + raw,
        "UTF-16": lambda raw: raw.decode().encode("utf-16"),
        "escapes": lambda raw: raw.replace(b'"sun"', b'"\\u0073un"'),
        "a number in another notation": lambda raw: raw.replace(b'"step":6', b'"step":6e0'),
    }.items():
        yield Case(f"meta has {what}", rewritten(change), NONE)
    for key in ("step", "epoch_loss", "gradient_norm", "best_loss", "random_seed", "vocabulary", "counts", "machine"):
        for text in (b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1e400"):
            yield Case(f"{key} is {text.decode()}", raw_value(key, text))
    for key in ("step", "epoch", "index", "random_seed", "epoch_words", "best_step"):
        for text in (b"9" * 400, b"9" * 5000, b"-" + b"9" * 400, b"1e300", b"4.0", b"4.5"):
            yield Case(f"{key} is {text[:10].decode()}… ({len(text)})", raw_value(key, text))


def test_odd_json(place, soak):
    check(place, soak, list(odd_json_cases()), 10, "odd JSON")


VALUES = [None, True, False, -1, 0, 1, 1.5, -0.5, "", "x", "1", [], [1], ["x"], [[]], {}, {"a": 1}, 10**30, -(10**30)]


def a_count(value):
    return type(value) is int and 0 <= value < 2**63


def a_number(value):
    return type(value) in (int, float) and abs(value) < 1e300


def or_none(kind):
    return lambda value: value is None or kind(value)


def nothing(value):
    return False


# Values that each key may have, by type. Values that need more than a type check are not tested here.
TYPES = {
    **dict.fromkeys(
        ("step", "epoch", "index", "epoch_words", "epochs_without_gain", "random_seed", "rollbacks"), a_count
    ),
    **dict.fromkeys(
        ("epoch_loss", "epoch_nll_oov", "gradient_norm", "learning_rate", "loss_level", "loss_spread"), a_number
    ),
    **dict.fromkeys(("train_loss", "valid_loss", "best_loss"), or_none(a_number)),
    "best_step": or_none(a_count),
    "weights_only": lambda value: type(value) is bool,
    **dict.fromkeys(("train", "valid", "best"), lambda value: value is None),
    "counts": lambda value: value is None,
    **dict.fromkeys(("config", "vocabulary", "data", "machine"), nothing),
}
# The same for nested keys. Outside `config`, only a resumed training has to refuse a wrong value.
INSIDE = {
    ("data", "train"): lambda value: type(value) is str,
    ("data", "valid"): or_none(lambda value: type(value) is str),
    ("machine", "threads"): lambda value: value is None or isinstance(value, str | int),  # only shown
    ("machine", "numpy"): lambda value: value is None or isinstance(value, str | int),
    ("config", "data"): nothing,
    ("config", "model"): nothing,
    ("config", "model", "hidden_size"): lambda value: value == 5,
    ("config", "model", "layers"): lambda value: type(value) is int and value == 1,
    ("config", "model", "cell"): nothing,
    ("config", "model", "output"): nothing,
    ("config", "model", "output", "name"): nothing,
    ("config", "training", "dtype"): nothing,
    ("config", "training", "batch_size"): lambda value: type(value) is int and value > 0,
    ("config", "optimizer", "schedule"): nothing,
    ("config", "optimizer", "name"): nothing,
    ("config", "data", "train"): lambda value: value in ("x", "1", ["x"]) and value is not True,
    ("config", "data", "tokenizer"): nothing,
    ("config", "run", "checkpoint_every"): nothing,
}
EVALUATION = {
    **dict.fromkeys(("tokens", "oov", "vocabulary", "characters"), a_count),
    "ends": lambda value: type(value) is bool,
    "nll_spelling": or_none(a_number),
    "nll": a_number,
    "nll_oov": a_number,
}


def optional(path, value):
    """An empty section of a config means its defaults."""
    return path[0] == "config" and value in (None, {}) and type(value) in (type(None), dict)


def type_cases():
    for key, may in TYPES.items():
        yield Case(f"{key} is missing", leaving_out(key))
        for value in VALUES:
            yield Case(f"{key} is {value!r}", with_meta(**{key: value}), NONE if may(value) else ALL)
    for path, may in INSIDE.items():
        for value in VALUES:
            must = NONE if may(value) or optional(path, value) else ALL if path[0] == "config" else ("train",)
            yield Case(f"{'.'.join(path)} is {value!r}", set_in(*path, value=value), must)
    for name in ("train", "valid", "best"):
        for key, may in EVALUATION.items():
            yield Case(f"{name}.{key} is missing", evaluation(name, key, None, leave_out=True), MEASURED)
            for value in VALUES:
                yield Case(f"{name}.{key} is {value!r}", evaluation(name, key, value), NONE if may(value) else MEASURED)
        yield Case(f"{name} has an extra key", evaluation(name, "more", 1), NONE)


SOUND = {"tokens": 50, "ends": True, "oov": 3, "vocabulary": 12, "characters": 200, "nll_spelling": 9.5}
SOUND |= {"nll": 110.5, "nll_oov": 6.25}


def evaluation(name, key, value, leave_out=False):
    changed = {each: old for each, old in (SOUND | {key: value}).items() if not (leave_out and each == key)}
    return with_meta(**{name: changed})


def test_wrong_types_in_the_metadata(place, soak):
    check(place, soak, list(type_cases()), 15, "types in metadata")


def vocabulary_cases():
    def words(change, counts=None):
        def alter(meta):
            meta["vocabulary"] = change(meta["vocabulary"])
            meta["counts"] = counts(meta["counts"]) if counts else meta["counts"]

        return inside(alter)

    yield Case("a word twice", words(lambda w: [w[1], *w[1:]]))
    yield Case("no <end>", words(lambda w: ["x" if word == "<end>" else word for word in w]))
    yield Case("an extra word", words(lambda w: [*w, "more"]))
    yield Case("an extra word with its count", words(lambda w: [*w, "more"], lambda c: [*c, 1]))
    yield Case("a missing word", words(lambda w: [word for word in w if word != "sun"]))
    yield Case("a missing word with its count", words(lambda w: [x for x in w if x != "sun"], lambda c: c[1:]))
    yield Case("no word", words(lambda w: [], lambda c: []))
    for word in ("", "a\nb", "a\0b", "\ud800", 7, None, 1.5, ["sun"], {"a": 1}, True):
        must = NONE if word == "a\0b" else ALL
        make = words(lambda w, word=word: [word if each == "sun" else each for each in w])
        yield Case(f"a word is {word!r}", make, must)
    for what, counts in {
        "one less": lambda c: c[1:],
        "one more": lambda c: [*c, 1],
        "negative": lambda c: [-1, *c[1:]],
        "a float": lambda c: [1.5, *c[1:]],
        "a text": lambda c: ["5", *c[1:]],
        "null": lambda c: [None, *c[1:]],
        "true": lambda c: [True, *c[1:]],
        "a list": lambda c: [[1], *c[1:]],
        "lists": lambda c: [[n] for n in c],
        "huge": lambda c: [2**63, *c[1:]],
        "far too huge": lambda c: [10**400, *c[1:]],
        "an object": lambda c: {"a": 1},
    }.items():
        yield Case(f"counts: {what}", words(lambda w: w, counts))


def config_cases():
    large = 2**31 - 1
    for keys, value in [
        (("model", "hidden_size"), large),
        (("model", "hidden_size"), 6),
        (("model", "embedding_size"), large),
        (("model", "embedding_size"), None),
        (("model", "layers"), 2),
        (("model", "layers"), 1000),
        (("model", "layers"), 10**9),
        (("model", "cell"), "gru"),
        (("model", "cell"), "rnn"),
        (("model", "output"), {"name": "adaptive", "cutoffs": [3], "div_value": 4.0}),
        (("model", "output"), {"name": "adaptive", "cutoffs": [10**9], "div_value": 4.0}),
        (("model", "output"), {"name": "adaptive", "cutoffs": list(range(1, 100_000)), "div_value": 1.0}),
        (("model", "output"), {"name": "full", "more": 1}),
        (("training", "dtype"), "float64"),
        (("training", "more"), 1),
        (("more",), {"a": 1}),
        (("data", "more"), "x"),
    ]:
        yield Case(f"config: {'.'.join(keys)} is {str(value)[:40]}", set_in("config", *keys, value=value))
    both = {"hidden_size": large, "layers": 1000, "embedding_size": large}
    yield Case("config: a giant model in all sizes", inside(lambda meta: meta["config"]["model"].update(both)))
    yield Case(
        "config: an optimizer without these moments", set_in("config", "optimizer", "name", value="sgd"), ("train",)
    )
    for keys, value in [
        (("training", "batch_size"), large),
        (("training", "bptt"), large),
        (("training", "batch_size"), 5),
        (("data", "mode"), "sentences"),
        (("data", "tokenizer"), "characters"),
        (("data", "lowercase"), True),
        (("optimizer", "learning_rate"), 1e300),
    ]:
        yield Case(f"config: {'.'.join(keys)} is {value}", set_in("config", *keys, value=value), ("train",))
    yield Case("config: a giant number of epochs", set_in("config", "training", "epochs", value=large), NONE)


def version_cases():
    for version in (None, "3", "", -1, 0, 1, 99, 10**30, 3.5, True, [], {}, "x" * 100_000):
        yield Case(
            f"format version {str(version)[:20]!r}", lambda path, good, v=version: craft(path, good, format_version=v)
        )
    for sums in (None, [], "x", 5, {"meta": "x"}, {W: 5}, {W: "0" * 64}, {W: None}, True):
        yield Case(f"sha256 is {sums!r}", lambda path, good, sums=sums: craft(path, good, sha256=sums))
    for mark in (5, "", "0" * 64, [], {}, True):
        yield Case(f"meta_sha256 is {mark!r}", lambda path, good, mark=mark: craft(path, good, meta_sha256=mark))


def progress_cases():
    train = ("train",)
    for what, must, changes in [
        ("a step below zero", ALL, {"step": -1}),
        ("an epoch below zero", ALL, {"epoch": -1}),
        ("an index below zero", ALL, {"index": -1}),
        ("words below zero", ALL, {"epoch_words": -5}),
        ("an index beyond the epoch", train, {"index": 10_000}),
        ("an index far beyond the epoch", train, {"index": 10**12}),
        ("an index beyond any number", ALL, {"index": 2**70}),
        ("an epoch of 1.5", ALL, {"epoch": 1.5}),
        ("an epoch far beyond the last", NONE, {"epoch": 10**9}),
        ("a step far beyond all", NONE, {"step": 10**12}),
        ("a step beyond any number", ALL, {"step": 2**70}),
        ("a step of 400 digits", ALL, {"step": 10**400}),
        ("no word in the current epoch", NONE, {"epoch_words": 0, "epoch_loss": 0.0}),
        ("more words than the epoch has", NONE, {"epoch_words": 10**15}),
        ("the end of the epoch without a word", train, {"epoch_words": 0, "epoch_loss": 0.0, "index": 4}),
        ("the best at a step that does not exist", NONE, {"best_step": 77_777, "best_loss": 1.0}),
        ("a best step below zero", ALL, {"best_step": -3}),
        ("a best step beyond any number", ALL, {"best_step": 10**400}),
        ("a best step beyond this step", NONE, {"best_step": 7}),
        ("a best step without a loss", NONE, {"best_step": 4, "best_loss": None}),
        ("a huge loss", NONE, {"epoch_loss": 1e308, "train_loss": 1e308, "valid_loss": 1e308, "best_loss": 1e308}),
        ("a loss below zero", NONE, {"epoch_loss": -1e308, "train_loss": -1e308, "valid_loss": -5.0}),
        ("a huge integer for a loss", ALL, {"train_loss": 10**400}),
        ("no gain in 10**9 epochs", NONE, {"epochs_without_gain": 10**9}),
        ("a seed below zero", ALL, {"random_seed": -1}),
        ("a seed of 200 bits", ALL, {"random_seed": 2**200}),
        ("no seed", ALL, {"random_seed": None}),
        ("a seed of text", ALL, {"random_seed": "7"}),
        ("another seed", NONE, {"random_seed": 8}),
        ("marked as weights only", train, {"weights_only": True}),
        ("no machine", ALL, {"machine": None}),
        ("a machine of nonsense", NONE, {"machine": {"numpy": "x" * 1000, "threads": -3}}),
        ("no hash of the data", RESUMING, {"data": {}}),
        ("other hashes of the data", train, {"data": {"train": "0" * 64, "valid": "0" * 64}}),
        ("one hash of the data too many", NONE, {"data": {"train": "0", "valid": "0", "more": "0"}}),
        ("no tokens", MEASURED, {"train": SOUND | {"tokens": 0}}),
        ("no characters", MEASURED, {"valid": SOUND | {"characters": 0}}),
        ("more unknown words than tokens", NONE, {"best": SOUND | {"oov": 51}}),
        ("as many unknown words as tokens", NONE, {"best": SOUND | {"oov": 50}}),
        ("a huge -ln P", NONE, {"train": SOUND | {"nll": 1e308}}),
        ("a huge number of tokens", NONE, {"train": SOUND | {"tokens": 10**18}}),
        ("tokens beyond any number", MEASURED, {"train": SOUND | {"tokens": 10**400}}),
    ]:
        yield Case(what, with_meta(**changes), must)


def test_vocabularies_and_counts(place, soak):
    check(place, soak, list(vocabulary_cases()), 8, "vocabularies")


def test_configs_in_the_metadata(place, soak):
    check(place, soak, list(config_cases()), 8, "configs")


def test_versions_and_hashes(place, soak):
    check(place, soak, list(version_cases()), 8, "versions and hashes")


def test_impossible_progress(place, soak):
    check(place, soak, list(progress_cases()), 6, "progress")


def test_a_resumed_run_skips_a_hostile_checkpoint_and_uses_the_previous_one(place, soak):
    """It ends with the same bits as a run without a hostile checkpoint."""
    place.fresh(keep=True)
    assert place.run("train").exit_code == 0
    last = sorted(place.checkpoints.iterdir())[-1]
    expected = contents(last)
    sources = [case for cases in (header_cases(), member_cases(), zip_cases()) for case in cases]
    sure = [case for case in sources if case.must == ALL]
    for case in soak.random.sample(sure, soak.times(4, 150)):
        place.fresh(keep=True)
        case.make(place.checkpoints / "step-00000007.npz", place.good)
        outcome = place.run("train")
        assert outcome.exit_code == 0, (case.name, outcome.stderr)
        assert contents(last) == expected, case.name
