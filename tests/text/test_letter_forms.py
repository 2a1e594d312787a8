import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnncli.text.letter_forms import LANGUAGES, lower, normal

I_LIKE = "IİıiJjĮÌÍĨΣσς \u0301\u0307\u0323\u0345.a"
TEXTS = st.text(st.sampled_from(I_LIKE) | st.characters(codec="utf-8"), max_size=12)


@pytest.mark.parametrize(
    ("language", "text", "lowered"),
    [
        (None, "ISPARTA İSTANBUL I\u0307 I\u0323\u0307", "isparta istanbul i i\u0323"),
        (None, "I\u0301\u0307 I.\u0307 i\u0307", "i\u0301\u0307 i.\u0307 i\u0307"),  # not above the I, or written so
        (None, "ΟΔΟΣ ΣΑΣ Ì J\u0301", "οδος σας ì j\u0301"),
        ("tr", "ISPARTA İSTANBUL I\u0307 I\u0323\u0307 ΟΔΟΣ", "ısparta istanbul i i\u0323 οδος"),
        ("tr", "I\u0301\u0307 I.\u0307 II\u0307I", "ı\u0301\u0307 ı.\u0307 ıiı"),
        ("az", "QARAQIZI İÇİN", "qaraqızı için"),
        ("lt", "I J Į İ", "i j į i\u0307"),
        (
            "lt",
            "I\u0300 J\u0303 Į\u0301 I\u0328\u0301",
            "i\u0307\u0300 j\u0307\u0303 į\u0307\u0301 i\u0307\u0328\u0301",
        ),
        ("lt", "Ì Í Ĩ I\u0328 I.\u0301", "i\u0307\u0300 i\u0307\u0301 i\u0307\u0303 i\u0328 i.\u0301"),
    ],
)
def test_lower(language, text, lowered):
    assert lower(text, language) == lowered


@given(TEXTS.filter(lambda text: not set(text) & set("Iİ")))
def test_without_a_capital_i_lower_is_that_of_python(text):
    assert lower(text) == lower(text, "tr") == text.lower()


@given(TEXTS)
def test_no_dot_above_is_made(text):
    for language in (None, "tr", "az"):
        assert lower(text, language).count("\u0307") <= text.count("\u0307")


@given(TEXTS)
def test_texts_that_are_canonically_the_same_stay_so(text):
    """Not so in Turkish and Lithuanian, where Unicode's rules differ for a composed Î and a decomposed one."""
    assert len({normal(lower(unicodedata.normalize(form, text)), "nfc") for form in ("NFC", "NFD")}) == 1


def test_a_line_is_lowered_by_itself():
    lines = ["I", "\u0307J", "ΑΣ", "Α", "İ\u0301"]
    for language in (None, *LANGUAGES):
        assert lower("\n".join(lines), language).split("\n") == [lower(line, language) for line in lines]
