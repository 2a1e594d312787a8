"""The control groups of this process (Linux, versions 1 and 2): what they leave of the memory and of the cores.

A process is bound by the limits of its own group and of every group around that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

ROOT = Path("/")


def memory_left(root: Path = ROOT) -> int | None:
    """Bytes that the tightest group leaves to its processes; None if no group limits them.

    Pages of files count as used, but the system drops them when the group needs memory.
    """
    left = []
    for folder in _folders("memory", root):
        limits = [_number(folder / name) for name in ("memory.max", "memory.high", "memory.limit_in_bytes")]
        used = _number(folder / "memory.current") or _number(folder / "memory.usage_in_bytes") or 0
        fields = dict(line.split(maxsplit=1) for line in lines(folder / "memory.stat") if " " in line)
        kinds = ("inactive_file", "active_file")
        files = sum(int(fields.get(f"total_{kind}", fields.get(kind, 0))) for kind in kinds)  # total_: with subgroups
        left += [max(0, limit - max(0, used - files)) for limit in limits if limit is not None]
    return min(left) if left else None


def cores(root: Path = ROOT) -> float | None:
    """Seconds of CPU time that the tightest group grants in a second; None if no group limits it."""
    shares = []
    for folder in _folders("cpu", root):
        words = " ".join(lines(folder / "cpu.max")).split()  # "max 100000", or both numbers
        quota, period = words if len(words) == 2 else ("max", "0")
        if quota == "max":
            quota, period = (str(_number(folder / f"cpu.cfs_{name}_us") or 0) for name in ("quota", "period"))
        if int(quota) > 0 and int(period) > 0:  # version 1 has -1 for no limit
            shares.append(int(quota) / int(period))
    return min(shares) if shares else None


def lines(path: Path) -> list[str]:
    """The lines of a file that the system shows its state in; none if it cannot be read."""
    try:
        return path.read_text(errors="replace").splitlines()
    except OSError:
        return []


def _number(path: Path) -> int | None:
    """The number in a file; None if there is none, or no limit ("max")."""
    try:
        return int("".join(lines(path)))
    except ValueError:
        return None


def _folders(controller: str, root: Path) -> Iterator[Path]:
    """The folders of the groups that this process is in, from its own to the outermost that can be seen here."""
    groups: dict[str, PurePosixPath] = {}  # by type of file system
    for line in lines(root / "proc/self/cgroup"):  # 4:memory:/a/b, or of version 2 0::/a/b
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(",") or not controllers:
            groups["cgroup" if controllers else "cgroup2"] = PurePosixPath(path)
    for line in lines(root / "proc/self/mountinfo"):
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if kind not in groups or (kind == "cgroup" and controller not in options.split(",")):
            continue
        top, place = (re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), word) for word in before.split(" ")[3:5])
        group = groups[kind]
        # A path that is not below the mount is seen from another namespace: begin at the mount.
        inside = group.relative_to(top) if group.is_relative_to(top) else PurePosixPath()
        for part in (inside, *inside.parents):
            yield root / place.lstrip("/") / part
