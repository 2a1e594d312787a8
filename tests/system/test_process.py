"""Memory of this process, as the system counts it, and the limits of it."""

import platform
import subprocess
import sys
import time
from unittest import mock

import numpy as np
import pytest

import rnncli
from rnncli.system import control_groups, process

MEGABYTE = 1_000_000
NEAR = 4 * MEGABYTE  # Linux counts some pages late, for each thread
counted = pytest.mark.skipif(process.resident_memory() is None, reason="the size of a process is unknown here")


@counted
def test_memory_is_counted_when_allocated_and_freed():
    before = process.resident_memory()
    array = np.ones(80 * MEGABYTE, np.uint8)
    with_it = process.resident_memory()
    assert with_it - before == pytest.approx(array.nbytes, abs=20 * MEGABYTE)
    assert process.peak_memory() > with_it - NEAR
    del array
    assert process.resident_memory() - before < 20 * MEGABYTE
    assert process.peak_memory() > with_it - NEAR


@counted
def test_the_peak_excludes_the_parent_process():
    array = np.ones(200 * MEGABYTE, np.uint8)
    code = "from rnncli.system import process; print(process.peak_memory(), process.resident_memory())"
    peak, resident = map(int, subprocess.check_output([sys.executable, "-c", code]).split())
    assert resident - NEAR < peak < 100 * MEGABYTE < array.nbytes


@counted
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_freed_memory_is_returned():
    pieces = [np.ones(50_000, np.uint8) for _ in range(2_000)]  # too small to be mapped one by one
    last = np.ones(50_000, np.uint8)  # keeps the allocations before it from being returned
    del pieces
    process.give_memory_back()
    before = process.resident_memory()
    pieces = [np.ones(50_000, np.uint8) for _ in range(2_000)]
    assert process.resident_memory() - before > 80 * MEGABYTE
    del pieces
    process.give_memory_back()
    assert process.resident_memory() - before < 20 * MEGABYTE
    assert last.all()


def test_a_c_library_that_returns_no_memory(monkeypatch):
    for fault in (OSError, TypeError, AttributeError):
        monkeypatch.setattr("ctypes.CDLL", mock.Mock(side_effect=fault))
        process.give_memory_back()


def test_a_system_without_proc(monkeypatch):
    monkeypatch.setattr(process, "_status", lambda field: None)
    assert process.resident_memory() is None
    if sys.platform != "win32":
        assert process.peak_memory() > MEGABYTE


def test_an_unknown_field():
    assert process._status("Nothing") is None


MEMINFO = "MemTotal: 9000 kB\nMemAvailable: 4000 kB\nCommitLimit: 6000 kB\nCommitted_AS: 3500 kB\nHugePages_Total: 0\n"
STATUS = "Name: python\nVmPeak: 900 kB\nVmSize: 800 kB\nVmData: 300 kB\nVmRSS: 200 kB\n"
UNLIMITED = -1


@pytest.fixture
def limited(tmp_path, monkeypatch):
    """The root of a system with these limits; sizes are in kB."""
    resource = pytest.importorskip("resource")

    def make(address=UNLIMITED, data=UNLIMITED, group=None, overcommit="0", meminfo=MEMINFO):
        files = {"meminfo": meminfo, "self/status": STATUS, "sys/vm/overcommit_memory": f"{overcommit}\n"}
        for name, content in files.items():
            path = tmp_path / "proc" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        soft = {resource.RLIMIT_AS: address, resource.RLIMIT_DATA: data}
        bytes_of = {key: (resource.RLIM_INFINITY if kb == UNLIMITED else kb * 1024) for key, kb in soft.items()}
        monkeypatch.setattr(resource, "getrlimit", lambda limit: (bytes_of[limit], resource.RLIM_INFINITY))
        monkeypatch.setattr(control_groups, "memory_left", lambda root: None if group is None else group * 1024)
        return tmp_path

    return make


@pytest.mark.parametrize(
    ("limits", "mappable", "available"),
    [
        ({}, None, 4000),
        ({"group": 1500}, None, 1500),
        ({"group": 5000}, None, 4000),
        ({"address": 2000}, 1200, 1200),  # 800 are mapped
        ({"address": 9000}, 8200, 4000),
        ({"data": 1000}, 700, 700),
        ({"address": 2000, "data": 1000, "group": 600}, 700, 600),
        ({"address": 700}, 0, 0),
        ({"overcommit": "2"}, 2500, 2500),
        ({"overcommit": "1"}, None, 4000),
    ],
    ids=str,
)
def test_the_smallest_limit_counts(limited, limits, mappable, available):
    root = limited(**limits)
    found = process.mappable_memory(root), process.available_memory(root)
    assert tuple(size if size is None else size // 1024 for size in found) == (mappable, available)


def test_available_memory_of_a_system_without_proc(tmp_path):
    if sys.platform != "win32":
        assert process.available_memory(tmp_path) > MEGABYTE


def test_the_limits_here_are_understood():
    assert process.available_memory() > MEGABYTE
    assert process.mappable_memory() is None or process.mappable_memory() > MEGABYTE


@pytest.mark.parametrize(
    ("number", "down", "up"),
    [
        (0, "0 MB", "0 MB"),
        (45_200_000, "45 MB", "46 MB"),
        (999_999_999, "999 MB", "1,000 MB"),
        (1_000_000_000, "1.0 GB", "1.0 GB"),
        (1_230_000_001, "1.2 GB", "1.3 GB"),
        (5_678_900_000_000, "5,678.9 GB", "5,678.9 GB"),
    ],
)
def test_sizes_are_shown_in_their_unit(number, down, up):
    assert (process.size(number), process.size(number, up=True)) == (down, up)


def test_the_age_counts_from_the_import_of_rnncli(monkeypatch):
    monkeypatch.setattr(rnncli, "STARTED", time.monotonic() - 1000)
    assert 1000 <= process.process_age() <= time.monotonic() - rnncli.STARTED


@pytest.mark.skipif(sys.platform == "win32", reason="needs exec")
def test_the_age_excludes_the_shell_that_became_the_program():
    """Python is started, waits, and becomes another Python, which is then older than the program it runs."""
    code = (
        "import time; began = time.monotonic(); from rnncli.system.process import process_age\n"
        "age = process_age(); print(age <= time.monotonic() - began)"
    )
    program = f"import os, sys, time; time.sleep(0.05); os.execv(sys.executable, [sys.executable, '-c', {code!r}])"
    assert subprocess.check_output([sys.executable, "-S", "-c", program]) == b"True\n"
