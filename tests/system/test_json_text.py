import json
import math
import unicodedata

import pytest

from rnncli.system import json_text


def test_numbers_that_are_not_finite_are_null():
    content = {"a": [math.nan, 1.5, (math.inf, -math.inf)], "b": {"c": "naïve", "d": None, "e": True, "f": 3}}
    expected = {"a": [None, 1.5, [None, None]], "b": {"c": "naïve", "d": None, "e": True, "f": 3}}
    assert json.loads(json_text.dumps(content)) == expected
    assert "naïve" in json_text.dumps(content)


@pytest.mark.parametrize("ascii_only", [False, True])
def test_every_text_becomes_json_that_can_be_written(ascii_only):
    names = ["café 😀", "a\udce9.txt", "\x1b[31m\x9b31m\x7f", "one\u2028line\x85", "\ud83d"]
    text = json_text.dumps({name: name for name in names}, ascii_only=ascii_only)
    assert list(json.loads(text.encode("ascii" if ascii_only else "utf-8"))) == names
    assert ("é" in text) is not ascii_only
    assert text.splitlines() == [text]
    assert not any(unicodedata.category(c) == "Cc" for c in text)
