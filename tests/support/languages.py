"""A few plain words in many languages, and the encodings that texts in them had before UTF-8."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest

WESTERN, CENTRAL, GREEK, JAPANESE = (
    ("cp1252", "mac_roman"), ("cp1250", "iso8859_2"), ("cp1253", "iso8859_7"), ("cp932", "euc_jp"),
)  # fmt: skip

# The name of each language, a text of a few sentences, and Python's names of encodings that have its characters.
TEXTS = {
    "English": ("“What a day,” she said — it’s the third one, and he didn’t answer.", ("cp1252",)),
    "French": ("Le garçon était très fatigué, mais il a préféré rester à l’école. Où êtes-vous allés après ?", WESTERN),
    "German": ("Die Bäume müssen im Frühling geschnitten werden. „Schöne Grüße“, sagte er auf der Straße.", WESTERN),
    "Spanish": ("El niño comió una manzana en el jardín y después se durmió. ¿Cuándo llegará la señora?", WESTERN),
    "Portuguese": ("A mãe não sabia onde estavam as crianças; o avô também não. Amanhã vão à praia.", WESTERN),
    "Italian": ("Perché la città è così bella? Il sole è già alto, e più tardi andrò al mercato.", WESTERN),
    "Swedish": ("Flickan gick över ängen för att hämta äpplen. Det är märkligt att hon lärde sig det.", WESTERN),
    "Icelandic": ("Stúlkan gekk yfir brúna og sá að það var ekki langt heim. Þegar hún kom inn var gott.", ("cp1252",)),
    "Finnish": ("Tyttö käveli metsässä ja löysi vähän mustikoita. Hän ei ollut syönyt mitään.", WESTERN),
    "Polish": ("Dziewczynka poszła do sklepu, żeby kupić chleb, ale zapomniała pieniędzy.", CENTRAL),
    "Czech": ("Kluk šel přes most a uviděl velkého psa. Řekl mu, že není čas, a pak běžel domů.", CENTRAL),
    "Hungarian": ("A fiú az erdőben sétált, és egy nagy fát látott. Később megkérdezte az anyját.", ("cp1250",)),
    "Turkish": ("Çocuk bahçede oynarken ağaçtan düştü. Annesi ona ıspanak pişirdi, çünkü açtı.", ("cp1254",)),
    "Lithuanian": ("Berniukas ėjo per tiltą ir pamatė didžiulį šunį. Jis pasakė, kad jau vėlu.", ("cp1257",)),
    "Romanian": ("Băiatul a mers în pădure să culeagă mure și a găsit o vulpe. Mama lui îi spusese asta.", ()),
    "Vietnamese": ("Cậu bé đi qua cầu và nhìn thấy một con chó lớn. Nó nói rằng trời đã tối.", ()),
    "Russian": (
        "Мальчик шёл через мост и увидел большую собаку. Он сказал, что не может ждать.",
        ("cp1251", "koi8_r", "cp866", "iso8859_5"),
    ),
    "Ukrainian": ("Хлопець ішов через міст і побачив собаку. Він сказав, що не може чекати.", ("cp1251", "koi8_u")),
    "Serbian": ("Дечак је ишао преко моста и видео пса. Рекао је да не може дуже да чека.", ("cp1251",)),
    "Greek": ("Το αγόρι περπάτησε πάνω από τη γέφυρα και είδε ένα σκύλο. Είπε ότι είναι αργά.", GREEK),
    "Hebrew": ("הילד הלך על הגשר וראה כלב גדול. הוא אמר שהוא לא יכול לחכות יותר.", ("cp1255",)),
    "Arabic": ("مشى الولد فوق الجسر ورأى كلبا كبيرا. قال إنه لا يستطيع الانتظار أكثر.", ("cp1256",)),
    "Persian": ("پسر از روی پل گذشت و سگ بزرگی را دید. او گفت که نمی\u200cتواند بماند.", ()),
    "Hindi": ("लड़का पुल के ऊपर से गया और उसने एक बड़ा कुत्ता देखा।", ()),
    "Sinhala": ("ශ්\u200dරී ලංකාවේ පිරිමි ළමයා පාලම හරහා ගියේය", ()),
    "Thai": ("เด็กชายเดินข้ามสะพานและเห็นสุนัขตัวใหญ่ เขาบอกว่าไม่สามารถรอได้อีกต่อไป", ("cp874",)),
    "Georgian": ("ბიჭმა ხიდზე გადაიარა და დიდი ძაღლი დაინახა.", ()),
    "Chinese": ("小男孩走过桥的时候看见了一只很大的狗。他说他不能再等了，因为天已经黑了。", ("gb18030",)),
    "Taiwanese": ("小男孩走過橋的時候看見了一隻很大的狗。他說他不能再等了，因為天已經黑了。", ("cp950",)),
    "Japanese": ("男の子は橋を渡って大きな犬を見ました。もう遅いので待つことができないと言いました。", JAPANESE),
    "Korean": ("소년은 다리를 건너다가 큰 개를 보았습니다. 그는 더 이상 기다릴 수 없다고 말했습니다.", ("cp949",)),
}  # fmt: skip
# Texts that have no language of their own, or little of it that is not ASCII.
ODD = (
    "He said “café” to the Россия team 😀 — naïve, π ≈ 3.14, 25 °C, €5.",
    "LA MAÑANA ESTÁ AQUÍ «CAFÉ» DIE SPÖ“ AMANHÃ… IRMû CRÈME BRÛLÉE",
    "The word /ˈwɜːd/ is pronounced [wɝd]; see ʃ, ŋ and θ.",
    "nǐ hǎo, wǒ shì zhōngguó rén, nǐ jiào shénme míngzi?",
    "arma virumque canō, Trōiae quī prīmus ab ōrīs",
    "┌────┬────┐\n│ a  │ b  │\n├────┼────┤\n└────┴────┘ the table",
    "// ┌─────────┬─────┬─────┐\n// │ (index) │  a  │  b  │\n// ├─────────┼─────┼─────┤\n// └─────────┴─────┴─────┘",
    "├── BaseException\n│    ├── Group\n│    └── Exit\n└── Exception\n     ├── StopIteration\n     └── Warning",
    "├──Rule\n│  └──Alternative\n├──StringLeaf\n│  └──Whatever\n└──Something\n   └──Another",
    "6.\xa0README, output\xa0spewed\xa0out\xa0during\xa0compilation,\xa0letting\xa0users\xa0know",
    "Dominik Miedziński, dr. Kertész Csaba-Zoltán, Víctor Díaz",
    "   └──Rule\n      └──Alternative\n         │  └──StringLeaf\n      └──Whatever\n   └──Something",
    "add ½ cup and ¼ of the ¾ with 1⅓, sin²α + cos²β = 1",
    "« Bonjour ! » dit-il. « Où ? »",
    "ｶﾀｶﾅ ﾃｷｽﾄ です",
    "I ❤️ it 😀👨‍👩‍👧 🇫🇷",
    "∀x ∈ ℝ: ∃y ≥ 0 · f(x) = √y × 2 ± ½ → ∞",
)


def follow(advice, folder):
    """Run the command at the end of an advice in a folder, in a plain locale; returns the file that it writes."""
    command, new = re.search(r"(?:^|[:;] )((?:iconv|perl|sed|gzip|python3|tr) .*> (\S+))$", advice).groups()
    program = command.split()[0]
    if shutil.which(program) is None:
        pytest.skip(f"no {program} here")
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=folder,
        capture_output=True,
        env=os.environ | {"LC_ALL": "C"},
        check="-c -f" not in command,
    )
    assert not done.stderr, done.stderr
    return folder / new


# Texts with invisible characters where they belong.
JOINED = (
    *("می\u200cخواهم", "کتاب\u200cها را", "CD\u200cها", "۲۰\u200cساله"),  # Persian
    *("क्\u200dष", "क्\u200cष", "ශ්\u200dරී", "അവന്\u200d", "র\u200d্য", "क्\u200c"),  # Indic
    *(
        "👨\u200d👩\u200d👧\u200d👦",
        "🏃🏽\u200d♀\ufe0f",
        "❤\ufe0f",
        "❤\ufe0f\u200d🔥",
        "🏳\ufe0f\u200d🌈",
        "1\ufe0f\u20e3",
        "☎\ufe0e",
    ),
    *("🇫🇷", "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "葛\ufe00", "កខ\u200bគង"),
)
