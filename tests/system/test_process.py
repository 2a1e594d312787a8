"""Memory of this process, as the system counts it."""

import platform
import subprocess
import sys
from unittest import mock

import numpy as np
import pytest

from rnncli.system import blas, process

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
        monkeypatch.setattr(blas.ctypes, "CDLL", mock.Mock(side_effect=fault))
        process.give_memory_back()


def test_a_system_without_proc(monkeypatch):
    monkeypatch.setattr(process, "_status", lambda field: None)
    assert process.resident_memory() is None
    if sys.platform != "win32":
        assert process.peak_memory() > MEGABYTE


def test_an_unknown_field():
    assert process._status("Nothing") is None
