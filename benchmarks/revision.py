"""The sources of an earlier revision, to run beside this checkout."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def extract(revision: str, folder: Path) -> Path:
    """Write the files of a revision into a new folder below `folder`."""
    place = folder / "before"
    place.mkdir()
    archive = subprocess.run(["git", "archive", revision], cwd=ROOT, check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", place], input=archive, check=True)
    return place
