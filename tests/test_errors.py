import ast
import errno
import os
import pickle
import re
from pathlib import Path

import pytest

import rnncli
from rnncli.errors import RnncliError, TextError, reason


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "not UTF-8"),
        ({"location": "a.txt:3"}, "a.txt:3: not UTF-8"),
        ({"remedy": "convert it"}, "not UTF-8; convert it"),
        ({"location": "a.txt:3", "remedy": "convert it"}, "a.txt:3: not UTF-8; convert it"),
    ],
)
def test_the_message_is_formatted_from_the_fields(fields, message):
    error = TextError("not UTF-8", **fields)
    assert str(error) == message
    assert (error.problem, error.location, error.remedy) == (
        "not UTF-8",
        fields.get("location", ""),
        fields.get("remedy", ""),
    )


def test_an_error_keeps_its_fields_when_it_is_pickled():
    again = pickle.loads(pickle.dumps(TextError("empty", location="x: y; z.txt", remedy="fill it")))
    assert (type(again), str(again)) == (TextError, "x: y; z.txt: empty; fill it")
    assert (again.location, again.problem, again.remedy) == ("x: y; z.txt", "empty", "fill it")


def test_each_kind_has_an_exit_code_of_its_own():
    codes = [kind.exit_code for kind in RnncliError.__subclasses__() if kind.__module__ == "rnncli.errors"]
    assert sorted(codes) == [2, 3, 4, 5, 6, 7, 8]


def test_the_reason_of_an_error_is_never_empty():
    assert reason(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))) == "No space left on device"
    assert reason(OSError("the file is too short")) == "the file is too short"
    assert reason(EOFError()) == "EOFError"


PACKAGE = Path(rnncli.__file__).parent


def raised_errors():
    """Module, function and first argument of every call of RnncliError or one of its children in the package."""
    trees = {str(path.relative_to(PACKAGE)): ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}
    classes = [node for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    children = {"RnncliError"}
    while more := {c.name for c in classes if {ast.unparse(base) for base in c.bases} & children} - children:
        children |= more
    for module, tree in trees.items():
        for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
            for call in ast.walk(function):
                if isinstance(call, ast.Call) and ast.unparse(call.func) in children and call.args:
                    yield module, function.name, call.args[0]


def is_one_sentence(problem):
    """Whether a message contains a remedy after "; ", or begins with a formatted location and ": "."""
    parts = problem.values if isinstance(problem, ast.JoinedStr) else [problem]
    text = "".join(part.value if isinstance(part, ast.Constant) else "\0" for part in parts)
    return "; " in text or re.match("\0[^ ]*: ", text) is not None


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        ('"not UTF-8"', False),
        ('f"{n} words: too few"', False),
        ('f"{key} is {value}, not a number"', False),
        ('f"{path}: not UTF-8"', True),
        ('f"{path}:{line}: not UTF-8"', True),
        ('"not UTF-8; convert it"', True),
        ('f"not {name}; convert it"', True),
    ],
)
def test_a_message_of_one_sentence_is_recognised(problem, expected):
    assert is_one_sentence(ast.parse(problem, mode="eval").body) == expected


def test_errors_are_built_from_their_fields():
    found = {(module, function) for module, function, problem in raised_errors() if is_one_sentence(problem)}
    assert found == set()
    assert len(list(raised_errors())) > 60
