"""What a result depends on besides its config: the NumPy wheel, the BLAS kernel, the threads; and how much memory."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import rnncli


@cache
def _openblas() -> tuple[Any, str, str] | None:
    """The OpenBLAS that NumPy's wheel brought, with what its symbols begin and end with; None for another BLAS."""
    package = Path(np.__file__).parent
    for folder in (package.parent / "numpy.libs", package / ".dylibs"):
        for path in sorted(folder.glob("*openblas*")):
            try:
                library = ctypes.CDLL(str(path))
            except OSError:
                continue
            for prefix in ("scipy_openblas_", "openblas_"):
                for suffix in ("64_", ""):
                    if hasattr(library, f"{prefix}get_corename{suffix}"):
                        return library, prefix, suffix
    return None


def describe() -> dict[str, Any]:
    """Versions, BLAS, its kernel and its threads: what decides the last bits of a float32 product."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    description: dict[str, Any] = {
        "rnncli": rnncli.__version__,
        "python": ".".join(map(str, sys.version_info[:3])),
        "numpy": np.__version__,
        "blas": f"{blas.get('name')} {blas.get('version')}",
        "kernel": None,
        "threads": None,
    }
    found = _openblas()
    if found:
        library, prefix, suffix = found
        corename = getattr(library, f"{prefix}get_corename{suffix}")
        corename.restype = ctypes.c_char_p
        description["kernel"] = corename().decode()
        description["threads"] = int(getattr(library, f"{prefix}get_num_threads{suffix}")())
    return description


def set_threads(threads: int) -> None:
    """Set the threads of the matrix products, where the BLAS is an OpenBLAS that is loaded already."""
    if found := _openblas():
        library, prefix, suffix = found
        getattr(library, f"{prefix}set_num_threads{suffix}")(threads)


def give_memory_back() -> None:
    """Give back to the system what was freed and is kept for later, where the C library can (glibc)."""
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


@contextmanager
def one_thread() -> Iterator[None]:
    """Matrix products on one thread, where the BLAS is an OpenBLAS: for many small ones, that wait for each other."""
    found = _openblas()
    if not found:
        yield
        return
    library, prefix, suffix = found
    before = int(getattr(library, f"{prefix}get_num_threads{suffix}")())
    set_threads(1)
    try:
        yield
    finally:
        set_threads(before)


def available_memory() -> int | None:
    """Bytes that a new process can take here, the control group's limit included; None where nobody tells."""
    limits = []
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                limits.append(int(line.split()[1]) * 1024)
    except OSError:
        if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
            limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for limit, usage in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        try:
            limits.append(int(Path(limit).read_text()) - int(Path(usage).read_text()))
        except (OSError, ValueError):  # no such group, or "max"
            continue
    return min(limits) if limits else None


def peak_memory() -> int | None:
    """Largest resident size of this process so far, in bytes; None where the system does not count it."""
    told = _status("VmHWM")  # what `getrusage` counts begins with the size of the process that started this one
    if told is not None:
        return told
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def resident_memory() -> int | None:
    """Resident size of this process now, in bytes; None where nobody tells."""
    return _status("VmRSS")


def _status(field: str) -> int | None:
    """A size that Linux tells of this process, in bytes."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    sizes = [int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:")]
    return sizes[0] if sizes else None


def process_age() -> float:
    """Seconds since this process started; since this module was imported where the system does not tell."""
    try:
        started = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
        return time.clock_gettime(time.CLOCK_BOOTTIME) - started
    except (OSError, AttributeError, ValueError, IndexError):
        return time.monotonic() - _IMPORTED


_IMPORTED = time.monotonic()
