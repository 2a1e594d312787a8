"""`rnncli evaluate`: perplexity."""

import json
import math
from pathlib import Path

import pytest
from support.plain_model import Plain
from support.plain_spelling import PlainSpelling
from support.small_run import settings

from rnncli.config import build
from rnncli.runs import checkpoint
from rnncli.text.vocabulary import Vocabulary

FIGURES = {"cross_entropy", "perplexity", "perplexity_excluding_oov", "bits_per_word", "bits_per_character"}
PAID = {f"{name}_with_spelling" for name in ("perplexity", "bits_per_word", "bits_per_character")}
TEXT = "mango is pink color\nhair is black\n"


@pytest.fixture
def text(work):
    Path("text.txt").write_text(TEXT)
    return "text.txt"


def test_json(rnncli, fruit, text):
    result = rnncli("evaluate", "--run", fruit, "--json", text)
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert found.keys() == {"files", "tokens", "ends", "oov", "vocabulary"} | FIGURES | PAID
    assert (found["files"], found["tokens"], found["oov"]) == (["text.txt"], 9, 0)
    assert (found["ends"], found["vocabulary"]) == (True, 10)
    assert all(found[name] == found[name.removesuffix("_with_spelling")] for name in PAID)  # no word is unknown
    plain = Plain(sorted((fruit / "checkpoints").iterdir())[-1])
    nats = sum(sum(plain.losses([*line.split(), "<end>"])) for line in TEXT.splitlines())
    assert found["cross_entropy"] == pytest.approx(nats / 9, rel=1e-5)
    assert found["perplexity"] == found["perplexity_excluding_oov"] == pytest.approx(math.exp(nats / 9), rel=1e-4)
    assert found["bits_per_word"] == pytest.approx(nats / 9 / math.log(2), rel=1e-5)
    assert found["bits_per_character"] == pytest.approx(nats / len(TEXT) / math.log(2), rel=1e-5)


@pytest.mark.parametrize(
    "output",
    ["adaptive", "{name: adaptive, cutoffs: [3, 6], div_value: 2}", "sampled", "{name: sampled, proposal: unigram}"],
)
def test_every_output_layer(rnncli, fruit_config, text, output):
    sizes = ["--set", "model.hidden_size=8", "--epochs", 30]
    assert rnncli("train", fruit_config, "--set", f"model.output={output}", *sizes).exit_code == 0
    found = json.loads(rnncli("evaluate", "--json", text).stdout)
    plain = Plain(sorted(Path("runs/fruit/checkpoints").iterdir())[-1])
    nats = sum(sum(plain.losses([*line.split(), "<end>"])) for line in TEXT.splitlines())
    assert found["cross_entropy"] == pytest.approx(nats / 9, rel=1e-5)
    candidates = json.loads(rnncli("predict", "--seed", "mango", "--top", 20, "--json").stdout)["candidates"]
    log_p, _ = plain.after(["mango"])
    assert sum(each["probability"] for each in candidates) == pytest.approx(1, rel=1e-6)
    for each in candidates:
        assert each["probability"] == pytest.approx(math.exp(log_p[plain.id(each["word"])]), rel=1e-4)


def test_text(rnncli, fruit, text):
    result = rnncli("evaluate", "--run", fruit, text)
    assert result.exit_code == 0
    assert "tokens                     9 (<end> counted), 0 not in the vocabulary of 10 words" in result.stdout
    assert result.stdout.count("\n") == 7
    assert result.stderr == ""
    figures = json.loads(rnncli("evaluate", "--run", fruit, "--json", text).stdout)
    printed = dict(line.split("  ", 1) for line in result.stdout.splitlines())
    assert float(printed["perplexity with spelling"]) == pytest.approx(figures["perplexity_with_spelling"], abs=1e-3)
    assert float(printed["bits per word"].split()[-1]) == pytest.approx(
        figures["bits_per_word_with_spelling"], abs=1e-4
    )


def test_stdin_and_several_files(rnncli, fruit, text):
    piped = json.loads(rnncli("evaluate", "--run", fruit, "--json", "-", stdin=TEXT).stdout)
    named = json.loads(rnncli("evaluate", "--run", fruit, "--json", text).stdout)
    assert piped == named | {"files": ["-"]}
    twice = json.loads(rnncli("evaluate", "--run", fruit, "--json", text, text).stdout)
    assert (twice["files"], twice["tokens"]) == ([text, text], 18)
    assert twice["cross_entropy"] == pytest.approx(named["cross_entropy"], rel=1e-6)


def test_a_mark_and_line_ends_of_windows(rnncli, fruit, text):
    named = json.loads(rnncli("evaluate", "--run", fruit, "--json", text).stdout)
    piped = rnncli("evaluate", "--run", fruit, "--json", "-", stdin="\ufeff" + TEXT.replace("\n", "\r\n"))
    assert json.loads(piped.stdout) == named | {"files": ["-"]}


def test_unknown_words(rnncli, refused, fruit, with_unknown, work):
    Path("text.txt").write_text("mango is blue color\n\nblue\n")
    found = json.loads(rnncli("evaluate", "--run", with_unknown, "--json", "text.txt").stdout)
    assert (found["tokens"], found["oov"]) == (8, 2)
    words = (with_unknown / "vocabulary.txt").read_text().split()
    letters = PlainSpelling([word for word in words if word not in ("<end>", "<unk>")])
    nats = found["cross_entropy"] * 8 - 2 * math.log(letters.probability("blue"))
    assert found["perplexity_with_spelling"] == pytest.approx(math.exp(nats / 8), rel=1e-9)
    assert found["bits_per_word_with_spelling"] == pytest.approx(nats / 8 / math.log(2), rel=1e-9)
    characters = len(Path("text.txt").read_text())
    assert found["bits_per_character_with_spelling"] == pytest.approx(nats / characters / math.log(2), rel=1e-9)
    refused(4, ["text.txt:1: the word 'blue' is not in the vocabulary"], "evaluate", "--run", fruit, "text.txt")
    Path("text.txt").write_text("")
    refused(4, "text.txt: no word in the text", "evaluate", "--run", fruit, "text.txt")


def test_nothing_but_unknown_words_is_null(rnncli, refused, fruit_config):
    words = ["--set", "vocabulary.unknown=true", "--set", "data.mode=stream", "--set", "data.line_end=false"]
    rnncli("train", fruit_config, "--epochs", 1, "--set", "training.batch_size=2", *words)
    Path("text.txt").write_text("blue\n")
    result = rnncli("evaluate", "--json", "text.txt")
    assert json.loads(result.stdout)["perplexity_excluding_oov"] is None
    assert "NaN" not in result.stdout
    printed = rnncli("evaluate", "text.txt").stdout
    assert "no <end>" in printed
    assert "perplexity excluding oov   -" in printed


def test_a_warning_if_no_figure_is_comparable(rnncli, work):
    """A vocabulary of only `<unk>`: no rule makes one, but a checkpoint may contain it."""
    config = settings(work)
    vocabulary = Vocabulary(("<unk>", "<end>"))
    parameters = build.architecture(config.model, 2).initialise(1, "float32")
    contents = checkpoint.Checkpoint(
        config=config,
        vocabulary=vocabulary,
        random_seed=1,
        progress=checkpoint.Progress(),
        data={"train": None, "valid": None},
        parameters=parameters,
        moments={},
        state={},
        weights_only=True,
    )
    checkpoint.write(work / "alone.npz", contents)
    Path("text.txt").write_text(TEXT)
    printed = rnncli("evaluate", "--run", "alone.npz", "text.txt")
    assert printed.exit_code == 0
    assert "perplexity with spelling   -" in printed.stdout
    assert "7 unknown words cannot be spelled, as the vocabulary has no words to train a" in printed.stderr
    assert "do not compare this perplexity" in printed.stderr
    result = rnncli("evaluate", "--run", "alone.npz", "text.txt", "--json")
    found = json.loads(result.stdout)
    assert {found[name] for name in PAID} == {None}
    assert found["perplexity"] < 3
    assert result.stderr == printed.stderr


def test_bad_texts(refused, fruit, work):
    evaluate = ("evaluate", "--run", fruit)
    refused(2, "Missing argument 'FILE...'", *evaluate)
    refused(2, "can be read only once", *evaluate, "-", "-")
    refused(4, "nope.txt: no such file", *evaluate, "nope.txt")
    Path("empty").mkdir()
    refused(4, "empty: a folder without a text", *evaluate, "empty")
    refused(4, "*.text: no file matches this pattern", *evaluate, "*.text")
    Path("bad.txt").write_bytes(b"mango\nis \xe9\n")
    refused(4, "bad.txt:2: not UTF-8: byte 0xe9 at byte 9", *evaluate, "bad.txt")
    refused(4, ":1: a NUL byte at byte 1", *evaluate, "-", stdin=b"a\0b")
    Path("bad.txt").write_text("<end>")
    refused(4, "bad.txt:1: a literal <end>", *evaluate, "bad.txt")
