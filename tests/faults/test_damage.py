"""Random damage to a checkpoint: flipped bits, truncation, swapped sectors. It is refused, or every value is intact."""

import os
import shutil

import pytest
from support.crafting import contents, good, parts
from support.small_run import settings, train

from rnncli.errors import RunError
from rnncli.runs import checkpoint, checkpoint_file

SECTOR = 512


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return good(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A checkpoint of about 5 MB."""
    folder = tmp_path_factory.mktemp("large")
    train(settings(folder, model__hidden_size=320, data__mode="stream"), folder / "run", stop_at=1)
    return parts(folder / "run" / "checkpoints" / "step-00000001.npz")


class Damaged:
    """A copy of a checkpoint to damage; counts how often it was refused, and how often read with undamaged values."""

    def __init__(self, original, folder, *others):
        self.path = folder / original.path.name
        shutil.copy(original.path, self.path)
        self.raw, self.expected = original.raw, [contents(each.path) for each in (original, *others)]
        self.accepted = self.refused = 0

    def check(self, what):
        """Both readers refuse it with its path, or both accept it and the values are those written."""
        found = [self._read(checkpoint.read), self._read(checkpoint_file.verify)]
        if all(found):
            assert contents(self.path) in self.expected, what
        assert found[0] == found[1], what
        self.accepted += any(found)
        self.refused += not any(found)

    def _read(self, reader):
        try:
            reader(self.path)
        except RunError as error:
            message = str(error)
        else:
            return True
        assert message.startswith(f"{self.path}: ")
        return False

    def flip(self, bit):
        with open(self.path, "r+b") as file:
            for byte in (self.raw[bit // 8] ^ 1 << bit % 8, self.raw[bit // 8]):
                file.seek(bit // 8)
                file.write(bytes([byte]))
                file.flush()
                if byte != self.raw[bit // 8]:
                    self.check(f"bit {bit} flipped")

    def check_content(self, content, what):
        if content == self.raw:
            return
        self.path.write_bytes(content)
        self.check(what)

    def report(self, soak, what):
        soak.report(f"{what}: {self.refused:,} refused, {self.accepted:,} read as written, 0 with a changed value")


def drawn(random, number, below, always=()):
    """Distinct integers below a limit, including those of `always`."""
    return sorted({*always, *random.sample(range(below), min(below, number))})


def test_no_flipped_bit_changes_a_value(small, tmp_path, soak):
    damaged = Damaged(small, tmp_path)
    for bit in drawn(soak.random, soak.times(250, 18_000), 8 * len(small.raw)):
        damaged.flip(bit)
    damaged.report(soak, f"bits flipped in {len(small.raw):,} bytes")


def test_no_flipped_bit_of_a_large_checkpoint_changes_a_value(large, tmp_path, soak):
    damaged = Damaged(large, tmp_path)
    structure = range(8 * (len(large.raw) - 4000), 8 * len(large.raw))  # the zip directory and the metadata
    half = soak.times(5, 1000)
    for bit in drawn(soak.random, half, 8 * len(large.raw), soak.random.sample(structure, half)):
        damaged.flip(bit)
    damaged.report(soak, f"bits flipped in {len(large.raw):,} bytes")


def test_every_truncation_is_refused(small, tmp_path, soak):
    whole = len(small.raw)
    lengths = range(whole) if soak.full else drawn(soak.random, 150, whole, [0, 1, 21, 22, whole - 22, whole - 1])
    check_truncations(Damaged(small, tmp_path), lengths, soak)


def test_truncations_of_a_large_checkpoint_are_refused(large, tmp_path, soak):
    whole = len(large.raw)
    near_the_end = [whole - 1 - k for k in range(soak.times(20, 3000))]
    lengths = drawn(soak.random, soak.times(60, 7000), whole, near_the_end)
    check_truncations(Damaged(large, tmp_path), lengths, soak)


def check_truncations(damaged, lengths, soak):
    for length in reversed(lengths):
        os.truncate(damaged.path, length)
        damaged.check(f"cut to {length}")
    assert damaged.accepted == 0
    damaged.report(soak, f"lengths of {len(damaged.raw):,} bytes")


def test_sectors_zeroed_swapped_and_taken_from_another_checkpoint(small, tmp_path, soak):
    other = good(tmp_path / "other", training__random_seed=8)
    assert len(other.raw) == pytest.approx(len(small.raw), abs=300)
    damaged, random, sectors = Damaged(small, tmp_path), soak.random, len(small.raw) // SECTOR
    for _ in range(soak.times(40, 2000)):
        changed = bytearray(small.raw)
        start, length = random.randrange(len(changed)), random.choice([1, 2, 8, 64, SECTOR, 4096])
        stop = min(start + length, len(changed), len(other.raw))
        for name, piece in (("zeroed", bytes(stop - start)), ("from another checkpoint", other.raw[start:stop])):
            changed[start:stop] = piece
            damaged.check_content(bytes(changed), f"{start} to {stop} {name}")
            changed[:] = small.raw
        one, two = (SECTOR * random.randrange(sectors) for _ in range(2))
        changed[one : one + SECTOR], changed[two : two + SECTOR] = (
            small.raw[two : two + SECTOR],
            small.raw[one : one + SECTOR],
        )
        damaged.check_content(bytes(changed), f"sectors at {one} and {two} swapped")
    damaged.report(soak, "runs of bytes and sectors")


def test_bytes_inserted_or_removed(small, tmp_path, soak):
    damaged, random = Damaged(small, tmp_path), soak.random
    for _ in range(soak.times(20, 1000)):
        junk = random.choice(
            [bytes(random.choice([1, 22, 4096])), random.randbytes(random.randrange(1, 70)), small.raw]
        )
        at = random.choice([0, len(small.raw), random.randrange(len(small.raw))])
        damaged.check_content(small.raw[:at] + junk + small.raw[at:], f"{len(junk)} bytes inserted at {at}")
        cut = random.randrange(1, 100)
        damaged.check_content(small.raw[:at] + small.raw[at + cut :], f"{cut} bytes removed at {at}")
    damaged.report(soak, "bytes inserted or removed")


def test_the_head_of_one_checkpoint_and_the_tail_of_another(small, tmp_path, soak):
    other = good(tmp_path / "other", training__random_seed=8)
    damaged = Damaged(small, tmp_path, other)
    for at in drawn(soak.random, soak.times(40, 1000), len(small.raw)):
        for head, tail in ((small, other), (other, small)):
            damaged.check_content(head.raw[:at] + tail.raw[at:], f"torn at {at}")
    damaged.report(soak, "torn between two checkpoints")
