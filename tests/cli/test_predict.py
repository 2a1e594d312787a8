"""`rnncli predict`: candidates and continuations."""

import json
import math
from pathlib import Path

import pytest
from support.small_run import settings, train

from rnncli.cli.display.characters import width


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
        assert sample.keys() == {"text", "words", "log10_probability", "ended"}
        assert sample["ended"] == (len(sample["words"]) < 20)
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
    likeliest = ["is", "yellow", "color"]
    for number, options in ((2, ("--temperature", 0, "--samples", 2)), (1, ("--temperature", 0)), (1, ("--top-k", 1))):
        greedy = document(predict("--seed", "mango", "--json", *options))["samples"]
        assert [each["words"] for each in greedy] == [likeliest] * number
    one = document(predict("--seed", "mango", "--top-k", 1, "--json", "--samples", 1, "--words", 2))["samples"]
    assert (one[0]["words"], one[0]["ended"]) == (["is", "yellow"], False)
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


@pytest.mark.parametrize(
    "words",
    [
        *(["--beam", "3", *drawing] for drawing in (["--samples", "2"], ["--temperature", "1"], ["--top-k", "2"])),
        *(["--beam", "3", *drawing] for drawing in (["--top-p", "0.5"], ["--random-seed", "1"])),
        *(["--samples", "0", option, "5"] for option in ("--words", "--temperature", "--top-k", "--random-seed")),
        *(["--temperature", "0", *less] for less in (["--top-k", "5"], ["--top-p", "0.5"], ["--random-seed", "3"])),
        *(["--top-k", "1", *less] for less in (["--temperature", "2"], ["--top-p", "0.5"], ["--random-seed", "3"])),
        *(["--interactive", "--seed", "mango"], ["--file", "-", "--seed", "mango"], ["--file", "-", "--interactive"]),
        ["--samples", "0", "--across-lines"],
    ],
    ids=" ".join,
)
def test_options_without_an_effect(predict, words):
    *_, idle = (word for word in words if word.startswith("--"))
    assert _usage_error(predict(*words)).endswith(f": leave out {idle}.")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--seed", "mango", "--prompt", "mango"], "--seed is given more than once"),
        (["--across-lines"], "--across-lines needs a model whose text goes on"),
        (["--beam", "3", "--top-k", "2", "--samples", "1"], "leave out --samples and --top-k."),
        (["--file", "-", "--prompt", "mango"], "leave out --seed."),
    ],
)
def test_options_that_do_not_fit(predict, words, message):
    assert message in _usage_error(predict(*words))


def _usage_error(result):
    assert (result.exit_code, result.stdout) == (2, "")
    [message] = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    return message


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
    assert result.exit_code == 4
    assert "'nonsense' is not in the vocabulary" in result.stderr
    yellow, _, refused, first, _ = result.stdout.splitlines()  # one block each
    assert yellow.startswith("yellow ")
    assert refused == "(refused)"
    assert first.split()[0] in ("mango", "banana", "hair")


def test_lines_of_windows_with_a_mark(predict):
    words = ("--interactive", "--samples", 0)
    plain = predict(*words, stdin="mango is\nbanana\n")
    assert predict(*words, stdin="\ufeffmango is\r\nbanana\r\n").stdout == plain.stdout
    assert plain.exit_code == 0


def test_a_file_of_seeds(rnncli, with_unknown, work):
    seeds = ["mango is", "nonsense here", "<end>", "", "hair has"]
    options = ("--run", with_unknown, "--random-seed", 3, "--top", 2)
    Path("seeds.txt").write_bytes("\ufeff".encode() + "\r\n".join(seeds).encode() + b"\nm\xff\n")
    result = rnncli("predict", "--file", "seeds.txt", *options)
    assert result.exit_code == 4
    *found, last = map(json.loads, result.stdout.splitlines())
    for seed, each in zip(seeds, found, strict=True):
        if seed != "<end>":
            assert each == document(rnncli("predict", "--seed", seed, "--json", *options))
        else:
            assert each.keys() == {"seed", "error"}
            assert each["seed"] == seed
            assert each["error"].startswith("seeds.txt:3: a literal <end>")
    assert (last["seed"], last["error"][:15]) == ("m\ufffd", "seeds.txt:6: ch")
    assert "2 of 6 seeds refused" in result.stderr


def test_the_errors_of_a_file_name_its_lines(predict, work):
    Path("s.bin").write_bytes(b"PK\x03\x04\xff\nab\0\n\xff\xfem\0\nmangos\n")
    result = predict("--file", "s.bin", "--samples", 0)
    assert result.exit_code == 4
    utf8 = "give plain text in UTF-8"
    assert [json.loads(line)["error"].partition("mangos")[0] for line in result.stdout.splitlines()] == [
        f"s.bin:1: character 5 is not UTF-8; {utf8}",
        f"s.bin:2: character 3 is a NUL; {utf8}",
        f"s.bin:3: character 1 is not UTF-8; {utf8}",
        "s.bin:4: the word '",
    ]


def test_a_seed_beyond_the_characters_of_the_locale(refused, fruit, monkeypatch):
    monkeypatch.setattr("sys.getfilesystemencoding", lambda: "ascii")
    message = "--seed: cannot be read in the ascii of this locale; set PYTHONUTF8=1, or LC_ALL to a UTF-8 locale"
    refused(4, message, *seed(fruit, "\udcc3\udca9"))


def test_a_line_without_an_end_is_refused(predict, monkeypatch):
    monkeypatch.setattr("rnncli.text.lines.LONGEST_LINE", 1 << 20)
    result = predict("--file", "/dev/zero")
    assert (result.exit_code, result.stdout) == (4, "")
    assert result.stderr == "/dev/zero:1: a line of over 1,048,576 bytes; break it into lines\n"


def test_seeds_of_standard_input(predict):
    result = predict("--file", "-", "--json", "--samples", 0, stdin="mango\nmango is")
    assert result.exit_code == 0
    assert [json.loads(line)["seed"] for line in result.stdout.splitlines()] == ["mango", "mango is"]


def test_a_file_without_seeds(refused, predict, fruit, work):
    refused(4, "nope.txt: no such file", "predict", "--run", fruit, "--file", "nope.txt")
    Path("empty").write_text("")
    assert (predict("--file", "empty").exit_code, predict("--file", "empty").stdout) == (0, "")


def test_lines_of_a_stream(rnncli, tmp_path):
    text = "roses are red\nviolets are blue\n"
    heart = {"training__batch_size": 1, "training__epochs": 80, "optimizer__learning_rate": 0.05}  # learnt by
    train(settings(tmp_path, text, data__mode="stream", run__checkpoint_every="99 steps", **heart), tmp_path / "run")
    roses = ("predict", "--run", tmp_path / "run", "--temperature", 0, "--seed", "roses are red\n")
    found = document(rnncli(*roses, "--json"))
    assert found["candidates"][0]["word"] == "violets"
    [sample] = found["samples"]
    assert (sample["text"], sample["ended"]) == (text.strip(), True)
    [sample] = document(rnncli(*roses, "--json", "--across-lines", "--words", 5))["samples"]
    *words, beyond = sample["words"]
    assert (words, sample["ended"]) == (["violets", "are", "blue", "<end>"], False)
    assert sample["text"] == text + beyond
    blocks = rnncli(*roses, "--across-lines", "--words", 5, "--samples", 2).stdout.split("\n\n")
    assert [block.strip() for block in blocks[1:]] == [sample["text"]] * 2


def test_words_that_look_alike(rnncli, tmp_path):
    train(settings(tmp_path, "caf\u00e9 cafe\u0301 a\n", vocabulary__unknown=True), tmp_path / "run", stop_at=1)
    result = rnncli(*seed(tmp_path / "run", "cafe\u0300"), "--samples", 0)
    assert {line.split()[0] for line in result.stdout.splitlines()} >= {r"caf\xe9", r"cafe\u0301", "a", "<end>"}
    assert r"similar words: cafe\u0301, caf\xe9" in result.stderr


def test_words_that_a_terminal_would_obey(rnncli, tmp_path):
    train(settings(tmp_path, "a\x1b[2Jb 漢 c\u200bd\n"), tmp_path / "run", stop_at=1)
    words = ("predict", "--run", tmp_path / "run", "--samples", 0)
    lines = rnncli(*words).stdout.splitlines()
    assert {line.split()[0] for line in lines} == {r"a\x1b[2Jb", r"c\u200bd", "漢", "<end>"}
    assert len({width(line) for line in lines}) == 1
    assert "a\x1b[2Jb" in {each["word"] for each in document(rnncli(*words, "--json"))["candidates"]}


@pytest.mark.parametrize("end", ["\n", ""])
def test_piped_input_gets_no_prompt(predict, end):
    words = ("--samples", 1, "--top", 2, "--random-seed", 3)
    result = predict("--interactive", *words, stdin=f"mango is\nbanana{end}")
    assert result.exit_code == 0
    alone = [predict("--seed", seed, *words).stdout for seed in ("mango is", "banana")]
    assert result.stdout == "".join(alone)
    assert "> " not in result.stdout + result.stderr
