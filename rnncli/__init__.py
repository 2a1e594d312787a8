"""Word-level recurrent language models on NumPy: train, check, predict."""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # `load` is imported on first use: `import rnncli` and `rnncli --help` stay free of NumPy.
    if name == "load":
        from rnncli.system.threads import prepare

        prepare()  # before NumPy is imported
        from rnncli.api import load

        return load
    raise AttributeError(f"module 'rnncli' has no attribute {name!r}")
