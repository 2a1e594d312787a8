import json
import math

from rnncli.system import json_text


def test_numbers_that_are_not_finite_are_null():
    content = {"a": [math.nan, 1.5, (math.inf, -math.inf)], "b": {"c": "naïve", "d": None, "e": True, "f": 3}}
    expected = {"a": [None, 1.5, [None, None]], "b": {"c": "naïve", "d": None, "e": True, "f": 3}}
    assert json.loads(json_text.dumps(content)) == expected
    assert "naïve" in json_text.dumps(content)
