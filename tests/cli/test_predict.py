"""`rnncli predict`: candidates and continuations."""

import json
import math

import pytest


def document(result):
    assert result.exit_code == 0
    return json.loads(result.stdout)


@pytest.fixture
def predict(rnncli, fruit):
    return lambda *words, stdin=None: rnncli("predict", "--run", fruit, *words, stdin=stdin)


def test_json(predict, fruit):
    found = document(predict("--seed", "mango is", "--json", "--random-seed", 3))
    assert found.keys() >= {
        "seed",
        "run",
        "checkpoint",
        "random_seed",
        "candidates",
        "remaining_probability",
        "samples",
    }
    assert (found["seed"], found["run"], found["random_seed"]) == ("mango is", str(fruit), 3)
    assert found["checkpoint"].endswith("step-00000150.npz")
    assert len(found["candidates"]) == 10
    [best, *_] = found["candidates"]
    assert best.keys() == {"word", "probability", "log10_probability"}
    assert best["word"] == "yellow"
    assert best["probability"] > 0.9
    assert best["log10_probability"] == pytest.approx(math.log10(best["probability"]))
    assert len(found["samples"]) == 3
    for sample in found["samples"]:
        assert sample.keys() == {"text", "words", "log10_probability"}
        assert sample["text"] == " ".join(["mango is", *sample["words"]])
    assert document(predict("--seed", "mango is", "--json", "--random-seed", 3)) == found


def test_probabilities_sum_to_one(predict):
    found = document(predict("--seed", "mango", "--top", 2, "--json", "--samples", 0))
    assert len(found["candidates"]) == 2
    total = sum(each["probability"] for each in found["candidates"]) + found["remaining_probability"]
    assert total == pytest.approx(1, abs=1e-9)
    assert document(predict("--top", 0, "--json"))["remaining_probability"] == 1


def test_text(predict):
    result = predict("--seed", "mango is", "--top", 2)
    first, second, rest, blank, *samples = result.stdout.splitlines()
    assert first.split()[0] == "yellow"
    assert float(first.split()[1]) + float(second.split()[1]) + float(rest.split()[1]) == pytest.approx(1, abs=2e-6)
    assert (rest.split()[0], blank, len(samples)) == ("(others)", "", 3)
    assert all(sample.startswith("mango is ") for sample in samples)
    assert result.stderr == ""
    assert predict("--prompt", "mango is", "--top", 2, "--samples", 0).stdout == "\n".join([first, second, rest, ""])


@pytest.mark.parametrize("seed", ["", " ", "\t\n"])
def test_an_empty_seed_asks_for_the_first_word(predict, seed):
    found = document(predict("--seed", seed, "--json", "--top", 3))
    assert {each["word"] for each in found["candidates"]} == {"mango", "banana", "hair"}
    assert document(predict("--json", "--top", 3))["candidates"] == found["candidates"]


def test_options_of_drawing(predict):
    greedy = document(predict("--seed", "mango", "--temperature", 0, "--json", "--samples", 2))["samples"]
    assert [each["words"] for each in greedy] == [["is", "yellow", "color"]] * 2
    one = document(predict("--seed", "mango", "--top-k", 1, "--json", "--samples", 1, "--words", 2))["samples"]
    assert one[0]["words"] == ["is", "yellow"]
    assert document(predict("--seed", "mango", "--top-p", 0.5, "--json"))["samples"][0]["words"][0] == "is"
    beam = document(predict("--seed", "mango", "--beam", 3, "--json"))["samples"]
    assert beam[0]["words"] == ["is", "yellow", "color"]
    assert [each["log10_probability"] for each in beam] == sorted((b["log10_probability"] for b in beam), reverse=True)


@pytest.mark.parametrize(
    "words",
    [
        *(["--temperature", "-1"], ["--temperature", "nan"], ["--temperature", "inf"], ["--top-k", "0"]),
        *(["--top-p", "0"], ["--top-p", "nan"], ["--top-p", "1.1"], ["--beam", "0"], ["--top", "-1"]),
        *(["--words", "0"], ["--samples", "x"], ["--random-seed", "-1"], ["--interactive", "--json"]),
        *(["--samples", "200000000"], ["--beam", "1000000000"]),
    ],
    ids=" ".join,
)
def test_contradictory_options(predict, words):
    result = predict(*words)
    assert result.exit_code == 2
    assert result.stderr.count("Error: ") == 1
    assert words[0] in result.stderr


def test_unknown_words_without_unk(refused, fruit):
    message = refused(
        4, ["the seed: the word 'mangos' is not in the vocabulary, which has no <unk>"], *seed(fruit, "mangos")
    )
    assert "the nearest known: mango" in message
    assert "vocabulary.unknown: true" in message
    assert "\n" not in message
    refused(4, ["the word 'Mango'", "mango"], *seed(fruit, "Mango is"))
    refused(4, "the seed: a literal <end>", *seed(fruit, "mango <end>"))
    refused(4, "not UTF-8", *seed(fruit, "mango \udcff"))


def seed(run, text):
    return "predict", "--run", run, "--seed", text


def test_unknown_words_with_unk(rnncli, with_unknown):
    result = rnncli(*seed(with_unknown, "mangos is mangos"))
    assert result.exit_code == 0
    assert result.stderr == "'mangos' is not in the vocabulary: read as <unk>; similar words: mango\n"
    found = document(rnncli(*seed(with_unknown, "mangos is"), "--json", "--top", 20))
    assert found["unknown"] == ["mangos"]
    assert "<unk>" in {each["word"] for each in found["candidates"]}
    assert found["candidates"] == document(rnncli(*seed(with_unknown, "<unk> is"), "--json", "--top", 20))["candidates"]
    without = document(rnncli(*seed(with_unknown, "mangos is"), "--json", "--top", 20, "--no-unk", "--samples", 50))
    assert "<unk>" not in {each["word"] for each in without["candidates"]}
    assert not any("<unk>" in each["words"] for each in without["samples"])
    unknown = next(each["probability"] for each in found["candidates"] if each["word"] == "<unk>")
    assert without["remaining_probability"] == pytest.approx(unknown, abs=1e-6)


def test_a_bare_number_gets_a_hint(rnncli, with_unknown):
    result = rnncli(*seed(with_unknown, "42"))
    assert "--random-seed 42" in result.stderr
    assert result.exit_code == 0


def test_interactive(predict):
    result = predict("--interactive", "--samples", 0, "--top", 1, stdin="mango is\nnonsense\n\n")
    assert result.exit_code == 0
    assert "yellow" in result.stdout
    assert "'nonsense' is not in the vocabulary" in result.stderr  # the next line is then read
    assert result.stdout.count("(others)") == 2


@pytest.mark.parametrize("end", ["\n", ""])
def test_piped_input_gets_no_prompt(predict, end):
    words = ("--samples", 1, "--top", 2, "--random-seed", 3)
    result = predict("--interactive", *words, stdin=f"mango is\nbanana{end}")
    assert result.exit_code == 0
    alone = [predict("--seed", seed, *words).stdout for seed in ("mango is", "banana")]
    assert result.stdout == "".join(alone)
    assert "> " not in result.stdout + result.stderr
