"""Comparison of two runs: the bytes of their checkpoints, and their metrics without timings."""

from __future__ import annotations

import hashlib
import json
from itertools import zip_longest
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np

from rnncli.runs import checkpoint_file
from rnncli.runs.folder import RunFolder

TIMINGS = ("words_per_second", "seconds")


def difference(expected: Path, found: Path) -> str | None:
    """The first difference of two run folders; None if they are equal. Raises RunError for a damaged checkpoint."""
    ours, theirs = _checkpoints(expected), _checkpoints(found)
    for name in reversed(ours):  # the last first
        if name in theirs and ours[name] != theirs[name]:
            return f"{name}: {_members(expected / 'checkpoints' / name, found / 'checkpoints' / name)}"
    if ours.keys() != theirs.keys():
        return f"checkpoints of steps {_steps(theirs)}, not {_steps(ours)}"
    nothing: dict[str, Any] = {}
    rows = zip_longest(_metrics(expected), _metrics(found), fillvalue=nothing)
    for number, (row, other) in enumerate(rows, 1):
        if row != other:
            keys = [key for key in {**row, **other} if row.get(key) != other.get(key)]
            return f"metrics.jsonl:{number}: {keys[0]} is {other.get(keys[0])}, not {row.get(keys[0])}"
    return None


def digest(run: Path) -> str:
    """The first digits of the SHA-256 of a run's last checkpoint."""
    return list(_checkpoints(run).values())[-1][:10]


def _checkpoints(run: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in RunFolder(run).checkpoints()}


def _steps(checkpoints: dict[str, str]) -> str:
    return ", ".join(str(int(name[5:-4])) for name in checkpoints) or "none"


def _metrics(run: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in RunFolder(run).metrics.read_text().splitlines()]
    return [{key: value for key, value in row.items() if key not in TIMINGS} for row in rows]


def _members(expected: Path, found: Path) -> str:
    """The number of arrays that differ between two checkpoints, and the largest difference in one of them."""
    _, ours = checkpoint_file.read(expected, lambda name: True)
    _, theirs = checkpoint_file.read(found, lambda name: True)
    names = [name for name in ours if name not in theirs or ours[name].tobytes() != theirs[name].tobytes()]
    names.sort(key=lambda name: not name.startswith("parameter."))
    if not names:
        return "the arrays are equal, the metadata differ"
    first, second = ours[names[0]], theirs.get(names[0])
    apart = "by its shape"
    if second is not None and first.shape == second.shape:
        apart = f"by {np.abs(first.astype(np.float64) - second.astype(np.float64)).max():.1e} at most"
    return f"{len(names)} of {len(ours)} arrays differ, {names[0]} {apart}"


def middle_of(path: Path, prefix: str) -> int:
    """The offset, in a checkpoint file, of a byte in the middle of the first member whose name starts with `prefix`."""
    with ZipFile(path) as archive, open(path, "rb") as file:
        entry = next(each for each in archive.infolist() if each.filename.startswith(prefix))
        file.seek(entry.header_offset + 26)  # in the local header: the lengths of the name and of the extra field
        lengths = file.read(4)
    begin = entry.header_offset + 30 + int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")
    return begin + entry.file_size * 3 // 4  # after the header that NumPy writes
