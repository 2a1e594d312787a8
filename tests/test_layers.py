"""The rooms of the package in the order in which data passes through them: each imports only from those before it."""

import ast
from pathlib import Path

import pytest

import rnncli

PACKAGE = Path(rnncli.__file__).parent

ROOMS = [
    *("errors", "system", "schema", "reference", "text", "batches", "model", "optim", "evaluation", "config"),
    *("corpus_check", "runs", "training", "proof", "api", "cli"),
]
FLOORS = 11  # at most: the longest chain of rooms that import each other


def modules():
    return [path for path in sorted(PACKAGE.rglob("*.py")) if path.relative_to(PACKAGE).parts != ("__init__.py",)]


def room(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


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


def imported_rooms(path):
    """The other rooms that a module imports from."""
    names = (name.split(".") for name in imports(path))
    found = {parts[1] for parts in names if parts[0] == "rnncli" and len(parts) > 1 and not parts[1].startswith("__")}
    return found - {room(path)}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_rooms_before_its_own(path):
    if path.name != "__main__.py":
        late = [name for name in imported_rooms(path) if ROOMS.index(name) > ROOMS.index(room(path))]
        assert late == []


def test_the_rooms_are_those_of_the_list():
    assert {room(path) for path in modules()} == {*ROOMS, "__main__"}
    assert len(list(PACKAGE.glob("[!_]*"))) <= 20


def test_the_floors_are_few():
    floor = dict.fromkeys(ROOMS, 1)
    for name in ROOMS:
        below = {other for path in modules() if room(path) == name for other in imported_rooms(path)}
        floor[name] = 1 + max((floor[other] for other in below), default=0)
    assert max(floor.values()) <= FLOORS, floor


def test_no_module_is_two_things():
    long = {str(path): n for path in modules() if (n := len(path.read_text().splitlines())) > 300}
    assert long == {}
