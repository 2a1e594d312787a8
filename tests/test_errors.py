import errno
import os
import pickle

import pytest

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
