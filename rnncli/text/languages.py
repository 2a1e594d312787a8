"""How much a text looks like a written language: the judge of the encoding in which bytes were read.

A text in the wrong encoding has letters that no language uses together, capitals after small letters, and signs inside
words. What is written here of each language is little: its usual letters beyond ASCII, and some of its shortest words.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

POOR, GOOD = 0.4, 0.5  # a fit below the first speaks against an encoding; one from the second on speaks for it
LETTER, PUNCTUATION, COMMON, STRANGE, WRONG = 0.6, 0.9, 0.35, -0.5, -1.0  # what a character adds; a usual letter adds 1
WORD = 0.7  # times the share of the words that are those of the language

TYPOGRAPHIC = frozenset("’‘“”„‚«»–—…•°§€£©®™¿¡º·½¼¾²³\u00a0、。，：；？！「」『』（）《》【】・\u3000")
_WORD = re.compile(r"[^\W\d_]+")
# Signs that no word has inside; a dash, a soft hyphen and a middle dot may be there.
_INSIDE = re.compile(r"(?<=[^\W\d_])[\x80-\x9f\xa1-\xac\xae-\xb4\xb6\xb8\xb9\xbb-\xbf\xd7\xf7‘‚“-‡‰-⯿](?=[^\W\d_])")
_MIXED = re.compile("[A-Za-zÀ-ɏ](?=[Ͱ-ݿก-๛])|[Ͱ-ݿก-๛](?=[A-Za-zÀ-ɏ])")  # Latin beside Greek to Arabic, and Thai

NIQQUD = "".join(map(chr, range(0x5B0, 0x5C3)))
# The usual letters, the others, and short words.
ALPHABETS = f"""
|éèêëïñöçœæ|the of and to in is it that was for with you he
éèàêç|ùôîûâëïüœæ|de la le et les des un une est que dans pour il du qui pas je
üäöß|é|der die und das ist nicht ein eine zu mit den von auf ich sie
óáíéñ|ú¿¡üª|de la que el en y los se no un las por con una del
ãéçáó|íêõâúàôü|de que o do da em um para os com uma se não
èàùòì|é|di che la il e non un per una sono le con era
àéèíò|óúçïü·|de la que el i a en un per amb els les
éëï|èüöóê|de het een en van is dat in niet op te zijn
äåö|éàü|och att det som en är på av för jag inte den
øåæ|éòóäö|og i det er en at på til ikke som jeg av af har
äö|åšž|ja on ei että se oli hän mutta ovat kun
áðíþ|éóúýæö|og að í á er það sem til var við ekki
äõü|öšž|ja on ei et see ta oli kui ma
łęąśż|óćńź|nie i w na się z do to jest że jak
íáěéřč|šžůýúňďťó|a se na v je to že s z do jsem
áíčéž|šúýťľňôäóďĺŕ|a sa na v je to že s z do som
áéőö|óíüúű|a az és nem hogy egy is volt meg
ăîșşâ|țţ|de și şi în a la cu nu este că pe un
čšž|ćđ|i je u na se da za ne su in v
ışğüçö|i̇âîû|ve bir bu da de için çok ne ile ben
əıüş|çğöi̇|və bir bu da ki üçün ilə
āīēšņ|ļžķģčū|un ir ar uz no par kas
ėųįšž|ąčęū|ir kad su tai į iš yra buvo
ĉĝĥĵŝŭ||la de kaj en estas ne mi
đưàáộếạờôêăâơ|ảấầẩẫậắằẳẵặẹẻẽềểễệỉịọỏốồổỗớởỡợụủứừửữựỳỵỷỹãèéìíòóõùúýĩũ\u0300\u0301\u0303\u0309\u0323|và là của có
оеаинтсрвл|кмдпуяыьгзбчйхжшюцщэфъё|и в не на что я с он как это по но
оаинвітре|слкумдпязьбгчйхцжюїєщшґф|і в не на що я з він як це до та
оаиеснтрј|вкудпмлзгбчшћжхцњљђфџѓќѕъщ|и у је на да се не за су
аиоентсрв|лъдпкзмябгчущжшхцйюфь|на и да се за е не от че по това
αοιετσνηυρπ|κμλςγδχθφβξζψάέήίόύώϊϋΐΰ|και το να η της του την με σε
יולהאמתרבנש|דחכעפצקטגזסםןךףץ״׳{NIQQUD}|של את על לא
اليمنرتوبهع|دسفقكحجةشطخصأضذئغءثىظزآإؤپچژگکیہھےںٹڈڑ،؛؟\u064b\u064c\u064d\u064e\u064f\u0650\u0651\u0652\u200c|من في على و
านรกอเงมยลวด่้ั|ทสตบคปหจพชขแไใโผถซธณญศษฮภฟฉฝะาำิีึืุู็์ๆ|
"""
# The usual characters, the codec of a national standard, and the first bytes that it gives to common ones.
CHARACTERS = {
    "的一是不了在人有我他这中大来上个国和你说地要出会可也时到就年那得着自子里去过对生能多没为么好小之都她后家很": (
        *("gb2312", 0xB0, 0xD7),
    ),
    "的一是不了在人有我他這中大來上個國和你說地要出會可也時到就年那得著自子裡去過對生能多沒為麼好小之都她後家很": (
        *("big5", 0xA4, 0xC6),
    ),
    "のにはをたがでてとしれさいるすかなもようこまくりらだそあっきんーイスルント日本人大年一国会中出上学生時間気": (
        *("euc_jp", 0xA4, 0xCF),
    ),
    "이다는을에의가를고하지은로도사한인기그나어서자있게해리아시라만들과대정수보부일주안제면것없으와었했": (
        *("euc_kr", 0xB0, 0xC8),
    ),
}


@dataclass(frozen=True)
class _Language:
    usual: frozenset[str]
    others: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()
    standard: tuple[str, int, int] | None = None

    def weight(self, character: str) -> float:
        if character in self.usual:
            return 1.0
        if character in TYPOGRAPHIC:
            return PUNCTUATION
        if character in self.others:
            return LETTER
        if self.standard is not None and _is_common(character, *self.standard):
            return COMMON
        return STRANGE if self.standard is None and character.isalpha() else WRONG


def fit(text: str) -> float:
    """How well the characters beyond ASCII fit the language that they fit best, and each other: at most 1.7."""
    counts = Counter(c for c in text if c > "\x7f")
    total = counts.total()
    if not total:
        return 0.0
    lower = Counter[str]()
    for c, n in counts.items():
        lower[c.lower()] += n
    words = Counter(_WORD.findall(text.lower()))
    known = max(words.total(), 1)
    best = max(
        sum(n * language.weight(c) for c, n in lower.items()) / total
        + WORD * sum(words[word] for word in language.words) / known
        for language in _languages()
    )
    swapped = sum(a.islower() and b.isupper() and not (a + b).isascii() for a, b in pairwise(text))
    faults = 3 * swapped + len(_INSIDE.findall(text)) + len(_MIXED.findall(text))
    return best - faults / total


@cache
def _languages() -> tuple[_Language, ...]:
    rows = (line.split("|") for line in ALPHABETS.strip().splitlines())
    alphabets = [_Language(frozenset(a), frozenset(b), frozenset(words.split())) for a, b, words in rows]
    return (*alphabets, *(_Language(frozenset(usual), standard=code) for usual, code in CHARACTERS.items()))


@cache
def _is_common(character: str, codec: str, first: int, last: int) -> bool:
    try:
        code = character.encode(codec)
    except UnicodeEncodeError:
        return False
    return len(code) == 2 and first <= code[0] <= last
