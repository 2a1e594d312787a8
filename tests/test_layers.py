"""A module imports only from lower layers; inside a package, and within the layer of the loop, no circles."""

import ast
from pathlib import Path

import pytest

import rnncli

PACKAGE = Path(rnncli.__file__).parent

# The layer of each module, or of each package. A name that is missing here fails the test.
LAYERS = {
    "errors": 0,
    "functional": 0,
    "parameters": 0,
    "randomness": 0,
    "settings": 0,
    "machine": 0,
    "threads": 0,
    "buffers": 0,
    "profile": 0,
    "events": 1,
    "npz": 1,
    "lock": 1,
    "signals": 0,
    "plain_json": 0,
    "disk": 0,
    "perplexity": 0,
    "reference": 1,
    "text": 1,
    "cells": 1,
    "outputs": 1,
    "optim": 1,
    "config_build": 1,
    "engines": 2,
    "model": 3,
    "config": 3,
    "config_file": 4,
    "build": 4,
    "checkpoint": 5,
    "findings": 5,
    "gradcheck": 5,
    "evaluate": 5,
    "memory": 5,
    "generate": 5,
    "progress": 5,
    "snapshot": 6,
    "metrics": 6,
    "run": 7,
    "divergence": 8,
    "keeping": 9,
    "training": 10,
    "vocabularies": 11,
    "runs": 8,
    "selftest": 11,
    "api": 8,
    "cli": 12,
}


def modules():
    return sorted(
        path for path in PACKAGE.rglob("*.py") if path.name not in ("__main__.py",) and path.parent != PACKAGE
    ) + [path for path in sorted(PACKAGE.glob("*.py")) if path.stem not in ("__init__", "__main__")]


def place(name):
    """`rnncli.text.corpus` -> `text`, the key in LAYERS; None for another package and for `rnncli` itself."""
    parts = name.split(".")
    return parts[1] if parts[0] == "rnncli" and len(parts) > 1 else None


def imports(path):
    """Full names of what a module imports, at the top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            if node.module == "rnncli":
                yield from (f"rnncli.{alias.name}" for alias in node.names)
            else:
                yield node.module


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_come_from_lower_layers(path):
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for name in imports(path):
        other = place(name)
        if other is None or other.startswith("__") or other == own:
            continue
        assert LAYERS[other] < LAYERS[own], f"{own} (layer {LAYERS[own]}) imports {other} (layer {LAYERS[other]})"


def test_every_module_has_a_layer():
    found = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in modules()}
    assert found == set(LAYERS)


def test_no_module_is_two_things():
    long = {str(path): n for path in modules() if (n := len(path.read_text().splitlines())) > 300}
    assert long == {}
