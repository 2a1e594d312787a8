"""Memory and age of this process, and the memory that it can still have."""

from __future__ import annotations

import math
import os
import sys
import time
from contextlib import suppress
from pathlib import Path

import rnncli
from rnncli.system import control_groups


def give_memory_back() -> None:
    """Return to the operating system the freed memory that the C library (glibc) keeps, if it can."""
    import ctypes

    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def available_memory(root: Path = control_groups.ROOT) -> int | None:
    """Bytes that this process can still use: the smallest of all limits; None if none is known.

    Limits are the memory of the machine, the control groups of this process, and those of `mappable_memory`.
    """
    machine = _sizes(root / "proc/meminfo").get("MemAvailable")
    if machine is None and hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return _smallest(machine, control_groups.memory_left(root), mappable_memory(root))


def mappable_memory(root: Path = control_groups.ROOT) -> int | None:
    """Bytes that this process can still map, used or not; None if there is no limit.

    Limits are those of the process (`ulimit -v`, `ulimit -d`), and on a machine that promises no more memory than it
    has (vm.overcommit_memory=2) what is left of that.
    """
    limits: list[int] = []
    with suppress(ImportError):  # Windows
        import resource

        used = _sizes(root / "proc/self/status")
        for limit, field in ((resource.RLIMIT_AS, "VmSize"), (resource.RLIMIT_DATA, "VmData")):
            most, _ = resource.getrlimit(limit)
            if most != resource.RLIM_INFINITY and field in used:
                limits.append(most - used[field])
    if control_groups.lines(root / "proc/sys/vm/overcommit_memory") == ["2"]:
        machine = _sizes(root / "proc/meminfo")
        limits.append(machine["CommitLimit"] - machine["Committed_AS"])
    return _smallest(*limits)


def _smallest(*limits: int | None) -> int | None:
    return max(0, min(known)) if (known := [limit for limit in limits if limit is not None]) else None


def size(number: int, up: bool = False) -> str:
    """A number of bytes in MB or GB, rounded down, or up: a model that does not fit is never shown to be as small."""
    whole = math.ceil if up else math.floor
    return f"{whole(number / 1e6):,} MB" if number < 1e9 else f"{whole(number / 1e8) / 10:,.1f} GB"


def peak_memory() -> int | None:
    """Peak resident size of this process in bytes; None if unknown."""
    peak = _status("VmHWM")  # on Linux, `getrusage` counts from the size of the parent process
    if peak is not None:
        return peak
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def resident_memory() -> int | None:
    """Resident size of this process in bytes; None if unknown."""
    return _status("VmRSS")


def _status(field: str) -> int | None:
    """A size from /proc/self/status, in bytes; None on systems other than Linux."""
    return _sizes(control_groups.ROOT / "proc/self/status").get(field)


def _sizes(path: Path) -> dict[str, int]:
    """The sizes in a file of lines like `VmRSS:  1234 kB`, in bytes; empty on systems other than Linux."""
    words = [line.split() for line in control_groups.lines(path)]
    return {line[0].rstrip(":"): int(line[1]) * 1024 for line in words if line[2:] == ["kB"]}


def process_age() -> float:
    """Seconds since this program started: since its first import of rnncli, a moment after Python began.

    The system knows when the process was made, which a shell may have been before it became this program (`exec`).
    """
    return time.monotonic() - rnncli.STARTED
