"""The BLAS that NumPy uses: its version and kernel, on which the last bits of results depend, and its threads."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import rnncli


@cache
def _openblas() -> tuple[Any, str, str] | None:
    """The OpenBLAS library in NumPy's wheel, with the prefix and suffix of its symbols; None for any other BLAS."""
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


def _map_work_space() -> None:
    """Let OpenBLAS map its work space now, while there is room: it ends the process if it cannot, at any product."""
    ones = np.ones((8, 8), np.float32)
    ones @ ones


_map_work_space()


def describe() -> dict[str, Any]:
    """Versions, BLAS, its kernel and number of threads: the last bits of a float32 product depend on them.

    Kernel and threads are None if the BLAS is not the OpenBLAS of NumPy's wheel.
    """
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
    """Set the number of threads for matrix products, if NumPy uses the OpenBLAS of its wheel."""
    if found := _openblas():
        library, prefix, suffix = found
        getattr(library, f"{prefix}set_num_threads{suffix}")(threads)


@contextmanager
def one_thread() -> Iterator[None]:
    """Run matrix products on one thread, if NumPy uses the OpenBLAS of its wheel.

    For many small products that depend on each other: synchronising threads would take longer than it saves.
    """
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
