import pytest

from rnncli.text.lookalikes import look, told_apart


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["café", "cafe", "naïve"], ["café", "cafe", "naïve"]),
        (["cafe\u0301", "café", "cafe"], ["cafe\\u0301", "caf\\xe9", "cafe"]),
        (["café", "café"], ["café", "café"]),
        (["cat", "ca\u00adt", "c\u200bat"], ["cat", "ca\\xadt", "c\\u200bat"]),
        (["❤", "❤\ufe0f"], ["\\u2764", "\\u2764\\ufe0f"]),
        (["\u200d", "\ufe0f", "\u00a0", "a\x1b"], ["\\u200d", "\\ufe0f", "\\xa0", "a\\x1b"]),
        (["\u00a0"], ["\\xa0"]),
        (["\u3164"], ["\\u3164"]),
        (
            ["می\u200cخواهم", "क\u094d\u200dष", "👨\u200d👩\u200d👧"],
            ["می\u200cخواهم", "क\u094d\u200dष", "👨\u200d👩\u200d👧"],
        ),
        (["क\u200d", "क"], ["\\u0915\\u200d", "\\u0915"]),
        (["it's", "it’s"], ["it's", "it’s"]),
    ],
)
def test_words_that_look_alike_are_escaped(words, shown):
    assert told_apart(words) == shown


def test_look():
    assert look("ﬁn\u200d\u0065\u0301") == "finé"
    assert look("\u200d\ufe0f\n") == ""
