"""`rnncli train`: output, stopping, resuming."""

import json
import math
import re
import shlex
import signal
from pathlib import Path

import numpy as np
import pytest

from rnncli.runs import checkpoint_file
from rnncli.runs.folder import RunFolder

DONE = {"event", "reason", "run", "checkpoint", "epochs", "steps", "words_per_second", "train_perplexity"}
DONE |= {"valid_perplexity", "best_valid_perplexity", "test_perplexity", "random_seed", "peak_memory"}
DONE |= {"train_tokens", "train", "valid", "best_valid", "test"}
EVERY_ROW = {"step", "epoch", "loss", "perplexity", "gradient_norm", "learning_rate", "words_per_second", "seconds"}


def rows(result):
    return [json.loads(line) for line in result.stdout.splitlines()]


def newest(folder="runs/fruit"):
    return RunFolder(Path(folder)).checkpoints()[-1]


def test_the_fruit_demo(rnncli, fruit_config):
    result = rnncli("train", fruit_config)
    assert result.exit_code == 0
    assert "150 epochs, 150 steps: perplexity train 1.25" in result.stdout
    assert 'try: rnncli predict --run runs/fruit --seed "..."' in result.stderr
    assert sorted(path.name for path in Path("runs/fruit").iterdir() if path.name[0] != ".") == [
        *("checkpoints", "config.yaml", "metrics.jsonl", "vocabulary.txt")
    ]
    assert Path("runs/fruit/vocabulary.txt").read_text().split()[:3] == ["<end>", "color", "is"]
    found = json.loads(rnncli("predict", "--seed", "mango is", "--json").stdout)
    assert found["candidates"][0]["word"] == "yellow"
    assert found["candidates"][0]["probability"] > 0.9


def test_the_written_config_trains_the_same_model(rnncli, fruit_config):
    rnncli("train", fruit_config, "--epochs", 5)
    assert rnncli("train", "runs/fruit/config.yaml", "--set", "run.dir=again").exit_code == 0
    assert newest("again").read_bytes() == newest().read_bytes()


def test_a_finished_run(rnncli, fruit_config):
    assert rnncli("train", fruit_config, "--epochs", 3).exit_code == 0
    before = newest().read_bytes()
    for words in ([], ["--resume"]):
        result = rnncli("train", fruit_config, "--epochs", 3, *words)
        assert (result.exit_code, result.stdout) == (0, "")
        assert result.stderr == "runs/fruit: finished already, after 3 epochs; --fresh trains it anew\n"
    result = rnncli("train", fruit_config, "--epochs", 3, "--json")
    [done] = rows(result)
    assert done.keys() >= DONE
    assert (done["event"], done["reason"], done["steps"]) == ("done", "epochs", 3)
    Path("data/fruit.txt").unlink()  # a finished run needs no text
    assert rnncli("train", fruit_config, "--epochs", 3).exit_code == 0
    assert newest().read_bytes() == before


@pytest.mark.parametrize("words", [["--epochs", 2], ["--max-time", "0.001s"]])
@pytest.mark.parametrize("choice", [[], ["--resume"]])
def test_a_run_of_another_config_or_corpus_is_refused(rnncli, refused, fruit_config, words, choice):
    rnncli("train", fruit_config, *words)
    before = newest().read_bytes()
    hidden = ("--set", "model.hidden_size=9", "--json")
    output = refused(5, "runs/fruit: holds a run of another config", "train", fruit_config, *words, *choice, *hidden)
    assert "model.hidden_size was 32, and is 9" in output
    assert "--set 'run.dir=runs/fruit-{model.hidden_size}'" in output
    Path("data/fruit.txt").write_text("mango is pink color\n")
    output = refused(5, "the text of data.train differs", "train", fruit_config, *words, *choice)
    assert "--set run.dir=runs/fruit-2" in output
    assert "--fresh" in output
    assert newest().read_bytes() == before


def test_a_sweep_gives_each_run_its_folder(rnncli, refused, fruit_config):
    folder = ("--set", "run.dir=runs/h{model.hidden_size}-{optimizer.learning_rate}-{model.output}")
    for size in (4, 5):
        result = rnncli("train", fruit_config, "--epochs", 1, "--set", f"model.hidden_size={size}", *folder, "--json")
        assert rows(result)[-1]["run"] == str(Path(f"runs/h{size}-0.01-full").resolve())
    for name, message in (
        ("{model.hiden_size}", "is not a setting; did you mean {model.hidden_size}?"),
        ("{model.embedding_size}", "which is null, and cannot name a folder"),
        ("{data.train}", "cannot name a folder"),
        ("{hidden_size}", "is not a setting; did you mean {model.hidden_size}?"),
        ("{ model.hidden_size }", "is not a setting; did you mean {model.hidden_size}?"),
        ("{optimizer.learning_rate:.3f}", "is not a setting; did you mean {optimizer.learning_rate}?"),
    ):
        setting = f"run.dir=runs/{name}"
        refused(3, [f"--set {setting}: run.dir names {name}", message], "train", fruit_config, "--set", setting)


def test_a_config_on_standard_input(rnncli, fruit_config):
    config = Path(fruit_config).read_text().replace("../data", "data")
    result = rnncli("train", "-", "--max-time", "0.001s", stdin=config)
    assert "resume with: rnncli train runs/stdin/config.yaml --set run.dir=runs/stdin --set " in result.stderr
    words = shlex.split(result.stderr.rpartition("resume with: rnncli ")[2])
    assert rnncli(*words).exit_code == 0
    rnncli("train", fruit_config)
    assert newest("runs/stdin").read_bytes() == newest().read_bytes()


def test_resume_says_where_it_found_no_run(rnncli, fruit_config):
    output = rnncli("train", fruit_config, "--epochs", 1, "--resume").stderr
    assert f"no run to resume in {Path('runs/fruit').resolve()}; starting a new one" in output
    assert "no run to resume" not in rnncli("train", fruit_config, "--epochs", 2, "--resume").stderr


def test_a_time_limit_stops_the_test(rnncli, fruit_config):
    words = ("train", fruit_config, "--epochs", 2, "--set", "data.test=data/fruit.txt")
    rnncli("train", fruit_config, "--epochs", 2)
    result = rnncli(*words, "--max-time", "0s")
    assert result.exit_code == 0
    assert "stopped by max_time; resume with: " in result.stderr
    listed = json.loads(rnncli("runs", "--json").stdout)["runs"][0]
    assert (listed["state"], listed["test_perplexity"]) == ("finished", None)  # the checkpoint names no test text
    rnncli("train", fruit_config, "--fresh", "--epochs", 2, "--max-time", "0s", "--set", "data.test=data/fruit.txt")
    rnncli(*words, "--resume", "--max-time", "0s")
    assert json.loads(rnncli("runs", "--json").stdout)["runs"][0]["state"] == "stopped"
    assert rnncli(*words, "--resume").exit_code == 0
    assert json.loads(rnncli("runs", "--json").stdout)["runs"][0]["state"] == "finished"


def test_the_test_text_is_measured_once(rnncli, fruit_config):
    words = ("train", fruit_config, "--epochs", 2)
    rnncli(*words)
    tested = (*words, "--set", "data.test=data/fruit.txt", "--json")
    *_, test, done = rows(rnncli(*tested))  # a test text that was added to a finished run
    assert (test["event"], test["test"]) == ("test", done["test"])
    [again] = rows(rnncli(*tested))
    assert (again["test"], again["test_perplexity"]) == (done["test"], done["test_perplexity"])
    [run] = json.loads(rnncli("runs", "--json").stdout)["runs"]
    assert run["test_perplexity"] == done["test_perplexity"]
    [untested] = rows(rnncli(*words, "--json"))
    assert untested["test_perplexity"] is None
    missing = rnncli(*words, "--set", "data.test=missing.txt", "--json")
    assert rows(missing)[0]["test"] is None
    assert "missing.txt: no such file" in missing.stderr
    assert missing.exit_code == 0
    Path("other.txt").write_text("banana is pink color\n")
    *_, other = rows(rnncli(*words, "--set", "data.test=other.txt", "--json"))
    assert other["test_perplexity"] != done["test_perplexity"]
    Path("data/fruit.txt").write_text("mango is pink color\n")  # an unreadable test text is no excuse
    assert rnncli(*words, "--set", "data.test=missing.txt").exit_code == 5


def test_the_fitted_temperature_is_shown(rnncli, fruit_config):
    settings = ("data.valid=data/fruit.txt", "training.calibrate=true")
    words = ("train", fruit_config, "--epochs", 2, *(word for each in settings for word in ("--set", each)))
    shown = re.search(r"^temperature (\d+\.\d{3}): perplexity valid \d+\.\d\d$", rnncli(*words).stderr, re.MULTILINE)
    assert shown
    assert re.search(rf"^temperature +{shown[1]}$", rnncli("inspect", "runs/fruit").stdout, re.MULTILINE)
    for option in ("--quiet", "--json"):
        result = rnncli(*words, option, "--fresh")
        assert "temperature 0" not in result.stderr
        assert "temperature 1" not in result.stderr


def test_more_epochs_resume_a_finished_run(rnncli, refused, fruit_config):
    rnncli("train", fruit_config, "--epochs", 3)
    refused(2, "unfinished run, stopped at step 3", "train", fruit_config, "--epochs", 5)
    assert rnncli("train", fruit_config, "--epochs", 5, "--resume").exit_code == 0
    rnncli("train", fruit_config, "--epochs", 5, "--set", "run.dir=at-once")
    assert newest().read_bytes() == newest("at-once").read_bytes()


def test_an_unfinished_run_asks_what_to_do(rnncli, refused, fruit_config):
    assert rnncli("train", fruit_config, "--max-time", "0.001s").exit_code == 0
    output = refused(2, ["runs/fruit: holds an unfinished run, stopped at step 1"], "train", fruit_config)
    assert "--resume" in output
    assert "--fresh" in output
    refused(2, "give one of the two", "train", fruit_config, "--resume", "--fresh")


def test_fresh_moves_the_old_run_aside(rnncli, fruit_config):
    rnncli("train", fruit_config, "--max-time", "0.001s")
    old = newest().read_bytes()
    result = rnncli("train", fruit_config, "--fresh", "--epochs", 2)
    assert result.exit_code == 0
    assert "the existing run is now runs/fruit.1" in result.stderr
    assert newest("runs/fruit.1").read_bytes() == old
    assert [path.name for path in RunFolder(Path("runs/fruit")).checkpoints()] == ["step-00000002.npz"]
    rnncli("train", fruit_config, "--fresh", "--epochs", 2)  # of a finished one too
    assert newest("runs/fruit.2").name == "step-00000002.npz"


def test_resume_starts_what_is_not_there(rnncli, fruit_config):
    assert rnncli("train", fruit_config, "--resume", "--epochs", 2).exit_code == 0
    (Path("begun") / "checkpoints").mkdir(parents=True)
    assert rnncli("train", fruit_config, "--resume", "--epochs", 2, "--set", "run.dir=begun").exit_code == 0
    assert newest("begun").read_bytes() == newest().read_bytes()


def test_max_time_takes_a_step_each_time_and_counts_as_done(rnncli, fruit_config):
    for step in (1, 2, 3):
        result = rnncli("train", fruit_config, "--max-time", "0.001s", "--resume", "--json")
        assert result.exit_code == 0
        done = rows(result)[-1]
        assert (done["reason"], done["steps"]) == ("max_time", step)
    assert rnncli("train", fruit_config, "--resume", "--epochs", 6).exit_code == 0
    rnncli("train", fruit_config, "--epochs", 6, "--set", "run.dir=at-once")
    assert newest().read_bytes() == newest("at-once").read_bytes()


def test_the_resume_command_is_quoted_for_the_shell(rnncli, fruit_config):
    result = rnncli("train", fruit_config, "--set", "run.dir=a b", "--random-seed", 4, "--max-time", "0.001s")
    [output] = [line for line in result.stderr.splitlines() if line.startswith("stopped by max_time")]
    command = output.partition(": ")[2]
    assert command.startswith(f"rnncli train {fruit_config} ")
    assert "'run.dir=a b'" in command
    assert "random_seed=4" in command
    assert command.endswith("--resume")


def test_a_drawn_seed_is_recorded_and_kept(rnncli, fruit_config):
    words = ("train", fruit_config, "--set", "training.random_seed=null", "--epochs", 4, "--json")
    first = rows(rnncli(*words, "--max-time", "0.001s"))[-1]
    second = rows(rnncli(*words, "--resume"))[-1]
    assert first["random_seed"] == second["random_seed"] == checkpoint_file.verify(newest())["random_seed"]
    third = rows(rnncli(*words, "--fresh"))[-1]
    assert third["random_seed"] != first["random_seed"]
    train = ("train", fruit_config, "--epochs", 4)
    rnncli(*train, "--random-seed", first["random_seed"], "--set", "run.dir=again")
    stored = checkpoint_file.read(newest("again"), lambda name: True)[1]
    theirs = checkpoint_file.read(newest("runs/fruit.1"), lambda name: True)[1]
    assert all(np.array_equal(stored[name], theirs[name]) for name in theirs)


def test_resume_with_a_changed_config_or_text(rnncli, refused, fruit_config):
    rnncli("train", fruit_config, "--max-time", "0.001s")
    Path("data/fruit.txt").write_text("mango is pink color\n")
    output = refused(
        5, "holds a run of another config or corpus", "train", fruit_config, "--resume", "--set", "model.cell=gru"
    )
    assert "model.cell was 'lstm', and is 'gru'" in output
    assert "the text of data.train differs" in output
    assert "--fresh" in output


def test_json_is_one_object_per_line(rnncli, fruit_config):
    result = rnncli("train", fruit_config, "--epochs", 3, "--set", "data.valid=data/fruit.txt", "--json")
    *steps, done = rows(result)
    assert [row["event"] for row in steps] == ["step", "epoch"] * 3
    assert steps == [json.loads(line) for line in Path("runs/fruit/metrics.jsonl").read_text().splitlines()]
    for row in steps:
        assert row.keys() >= EVERY_ROW
        assert all(isinstance(row[key], int | float) for key in EVERY_ROW)
    assert done.keys() >= DONE
    assert (done["event"], done["reason"], done["epochs"], done["steps"]) == ("done", "epochs", 3, 3)
    assert (done["run"], done["random_seed"]) == ("runs/fruit", 1)
    assert Path(done["checkpoint"]) == newest()
    assert done["best_valid_perplexity"] == min(row["valid_perplexity"] for row in steps if row["event"] == "epoch")
    assert done["words_per_second"] > 0
    evaluated = json.loads(rnncli("evaluate", "--json", "data/fruit.txt").stdout)
    assert evaluated["perplexity"] == pytest.approx(done["best_valid_perplexity"], rel=1e-6)


def test_quiet(rnncli, fruit_config):
    result = rnncli("train", fruit_config, "--epochs", 3, "--quiet")
    assert result.stdout.count("\n") == 1
    assert "words to train on" not in result.stderr


MEASURED = ("--set", "data.valid=data/fruit.txt", "--set", "data.test=data/fruit.txt")


def test_what_perplexities_were_counted_over(rnncli, fruit_config):
    words = ("train", fruit_config, "--epochs", 3, *MEASURED, "--set", "vocabulary.min_count=2")
    *steps, done = rows(rnncli(*words, "--json"))
    evaluated = json.loads(rnncli("evaluate", "--json", "data/fruit.txt").stdout)
    del evaluated["files"]
    assert (evaluated["tokens"], evaluated["ends"], evaluated["oov"], evaluated["vocabulary"]) == (15, True, 7, 4)
    assert done["test"] == evaluated  # the best checkpoint, as `evaluate` measures it
    assert done["test_perplexity"] == evaluated["perplexity"]
    epochs = [row for row in steps if row["event"] == "epoch"]
    assert (done["train"], done["valid"]) == (epochs[-1]["train"], epochs[-1]["valid"])
    assert done["best_valid"] == next(row["valid"] for row in epochs[::-1] if row["best"])
    for row in epochs:
        assert row["valid"].keys() == row["train"].keys() == evaluated.keys()
        assert row["valid"]["perplexity"] == row["valid_perplexity"]
        assert row["train"]["perplexity"] == row["perplexity"]
        paid = math.log(row["train"]["perplexity_with_spelling"] / row["perplexity"])
        assert paid == pytest.approx(math.log(evaluated["perplexity_with_spelling"] / evaluated["perplexity"]))
    assert done["train_tokens"] == 15
    [again] = rows(rnncli(*words, "--json"))  # finished already: read from the checkpoint
    assert {name: again[name] for name in ("train", "valid", "best_valid")} == {
        name: done[name] for name in ("train", "valid", "best_valid")
    }


@pytest.mark.parametrize("mode", ["sentences", "stream"])
def test_a_model_that_learns_nothing_has_the_same_figures_in_training(rnncli, fruit_config, mode):
    still = ("--set", "optimizer.learning_rate=1e-30", "--set", "optimizer.name=sgd", "--set", "training.bptt=2")
    one = ("--set", f"data.mode={mode}", "--set", "training.batch_size=1", "--set", "vocabulary.min_count=2")
    *_, done = rows(rnncli("train", fruit_config, "--epochs", 2, *MEASURED, *still, *one, "--json"))
    assert done["train"]["oov"] == 7
    assert done["train"] == pytest.approx(done["valid"], rel=1e-6)


def test_the_table_of_perplexities(rnncli, fruit_config):
    words = ("train", fruit_config, "--epochs", 3, *MEASURED)
    summary, blank, *table = rnncli(*words, "--set", "vocabulary.min_count=2").stdout.splitlines()
    assert summary.startswith("3 epochs, 3 steps: perplexity train ")
    assert (blank, table[0].split("  ")[0]) == ("", "measured on")
    assert [cell.strip() for cell in table[0].split("  ") if cell][1:] == ["train", "valid", "best valid", "test"]
    found = {line.strip().split("  ")[0]: line.split()[-4:] for line in table[1:]}
    assert (found["tokens"], found["<end>"], found["unknown words"]) == (["15"] * 4, ["counted"] * 4, ["7"] * 4)
    done = json.loads(rnncli(*words, "--set", "vocabulary.min_count=2", "--json").stdout)
    assert found["perplexity"][:3] == [f"{done[name]['perplexity']:.2f}" for name in ("train", "valid", "best_valid")]
    without = [f"{done[name]['perplexity_excluding_oov']:.2f}" for name in ("train", "valid", "best_valid")]
    assert found["without unknown words"][:3] == without
    assert len(table) == 11


def test_what_a_training_perplexity_alone_was_counted_over(rnncli, fruit_config):
    output = rnncli("train", fruit_config, "--epochs", 3).stdout
    assert "; train over 15 tokens (<end> counted, 0 unknown): " in output
    assert "spelling" not in output
    output = rnncli("train", fruit_config, "--epochs", 3, "--fresh", "--set", "vocabulary.min_count=2").stdout
    assert "; train over 15 tokens (<end> counted, 7 unknown): " in output
    assert " with their spelling, " in output
    assert "15 words to train on, <end> counted; " in rnncli("train", fruit_config, "--fresh", "--epochs", 3).stderr
    one = ("--set", "training.batch_size=1")
    output = rnncli("train", fruit_config, "--fresh", "--max-time", "0.001s", *one).stdout
    assert output.startswith("0 epochs, 1 step: ")
    assert "; train over the 5 tokens read so far" in output


SAMPLED = ("--set", "model.output=sampled")


def test_a_sampled_loss_is_not_shown_as_perplexity(rnncli, fruit_config):
    words = ("train", fruit_config, "--epochs", 3, *SAMPLED)
    result = rnncli(*words)
    assert result.stdout.startswith("3 epochs, 3 steps: ")
    assert "perplexity" not in result.stdout + result.stderr
    assert json.loads(rnncli(*words, "--json").stdout)["train_perplexity"] is None  # finished already
    found = json.loads(rnncli("inspect", "--json").stdout)
    assert (found["train_perplexity"], found["epoch"]) == (None, 3)
    assert "none measured" in rnncli("inspect").stdout
    words = (*words, "--fresh", "--set", "data.valid=data/fruit.txt", "--set", "data.test=data/fruit.txt")
    output = rnncli(*words).stdout
    assert output.startswith("3 epochs, 3 steps: perplexity valid ")
    assert ", test " in output
    assert "train" not in output
    *steps, done = rows(rnncli(*words, "--json"))
    assert done["train_perplexity"] is None
    assert done["valid_perplexity"] > 1 < done["test_perplexity"]
    assert all((row["perplexity"] is None) == (row["event"] != "test") and row["loss"] > 0 for row in steps)


def test_dry_run_writes_nothing(rnncli, refused, fruit_config, work):
    before = sorted(work.rglob("*"))
    result = rnncli("train", fruit_config, "--dry-run", "--set", "data.valid=0.34", "--set", "vocabulary.unknown=true")
    assert result.exit_code == 0
    for piece in ("run folder", "runs/fruit", "10 words in 2 lines", "vocabulary", "layer0.Waa", "128 x 32", "memory"):
        assert piece in result.stdout
    assert re.search(r"^first epoch +1 step$", result.stdout, re.MULTILINE)
    assert re.search(r"^validation text +5 words in 1 line, ", result.stdout, re.MULTILINE)
    assert "nothing was trained" in result.stderr
    refused(4, "nope.txt: no such file", "train", fruit_config, "--dry-run", "--set", "data.train=nope.txt")
    refused(3, "hidden_size", "train", fruit_config, "--dry-run", "--set", "model.hidden_size=0")
    assert sorted(work.rglob("*")) == before


@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_dry_run_as_json(rnncli, fruit_config, work, cell):
    before = sorted(work.rglob("*"))
    words = ("--set", "data.test=data/fruit.txt", "--set", f"model.cell={cell}", "--set", "training.batch_size=2")
    result = rnncli("train", fruit_config, "--dry-run", "--json", *words)
    assert (result.exit_code, result.stderr) == (0, "")
    found = json.loads(result.stdout)  # one document, and nothing else
    sizes = {"memory", "predicted_peak_memory", "available_memory"}
    assert found.keys() == {"run", "texts", "vocabulary", "steps", "parameters"} | sizes
    assert (found["run"], found["vocabulary"], found["steps"]) == ("runs/fruit", 10, 2)
    text = {"tokens": 15, "lines": 3, "oov": 0}
    assert found["texts"] == {"training": text, "test": text}
    numbers = sum(math.prod(each["shape"]) for each in found["parameters"])
    assert found["memory"]["parameters"] == found["memory"]["gradients"] == 4 * numbers
    assert found["memory"]["moments"] == 8 * numbers
    assert found["predicted_peak_memory"] >= sum(found["memory"].values())
    assert found["available_memory"] is None or found["available_memory"] > found["predicted_peak_memory"]
    assert sorted(work.rglob("*")) == before
    rnncli("train", fruit_config, *words, "--epochs", 1)
    shapes = {name: list(tensor.shape) for name, tensor in checkpoint_file.read(newest(), lambda name: True)[1].items()}
    assert [each["name"] for each in found["parameters"]]
    assert all(shapes[f"parameter.{each['name']}"] == each["shape"] for each in found["parameters"])


def test_a_model_too_large_for_this_machine(refused, rnncli, fruit_config):
    huge = ("--set", "model.hidden_size=2000000")
    output = refused(3, ["GB", "free here", "model.hidden_size"], "train", fruit_config, *huge)
    assert output.count("\n") == 0
    assert rnncli("train", fruit_config, "--dry-run", *huge).exit_code == 3
    assert not Path("runs").exists()


def test_the_memory_check_counts_what_the_text_can_fill(rnncli, fruit_config):
    """A window or a batch larger than the text takes no more than the text does, and trains the same model."""
    for name, words in (
        ("whole", []),
        ("long", ["training.bptt=100000000"]),
        ("wide", ["training.batch_size=100000000"]),
    ):
        changed = [word for setting in [*words, f"run.dir={name}"] for word in ("--set", setting)]
        assert rnncli("train", fruit_config, "--epochs", 3, *changed).exit_code == 0
    texts = [Path(name, "metrics.jsonl").read_text() for name in ("whole", "long", "wide")]
    whole, *others = [[json.loads(row)["loss"] for row in text.splitlines()] for text in texts]
    assert all(other == whole for other in others)


def test_a_run_that_diverges(rnncli, fruit_config):
    sgd = "optimizer={name: sgd, learning_rate: 1e39, clip_norm: null}"
    result = rnncli("train", fruit_config, "--set", sgd)
    assert result.exit_code == 6
    assert "diverged at step 2" in result.stderr
    assert "learning_rate" in result.stderr
    assert "RuntimeWarning" not in result.stderr


def stopped(start, number, *words):
    """Train with `--json` until some steps are done, send the signal, and read to the end."""
    process = start("train", *words, "--json")
    # A reader that waits holds the run: more rows than the pipe takes, and it cannot end before the signal.
    for _ in range(20):
        process.stdout.readline()
    process.send_signal(number)
    stdout, stderr = process.communicate()
    assert b"Traceback" not in stderr
    return process.returncode, json.loads(stdout.splitlines()[-1]), stderr.decode()


@pytest.mark.parametrize(
    ("name", "exit_code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGUSR1", 0)], ids=["SIGINT", "SIGTERM", "SIGUSR1"]
)
def test_signals(start, rnncli, fruit_config, name, exit_code):
    words = (fruit_config, "--epochs", 800, "--set", "run.checkpoint_every=300 epochs")
    code, done, _ = stopped(start, getattr(signal, name), *words)
    assert code == exit_code
    assert (done["event"], done["reason"]) == ("done", name)
    assert 10 <= done["steps"] < 800
    assert Path(done["checkpoint"]) == newest()
    assert rnncli("predict", "--seed", "mango").exit_code == 0
    assert rnncli("train", *words, "--resume").exit_code == 0
    rnncli("train", *words, "--set", "run.dir=whole")
    assert newest().read_bytes() == newest("whole").read_bytes()


def test_the_resume_command_after_a_signal(start, fruit_config):
    process = start("train", fruit_config, "--epochs", 1000000)
    while not Path("runs/fruit/metrics.jsonl").exists() or not Path("runs/fruit/metrics.jsonl").stat().st_size:
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate()
    assert process.returncode == 130
    assert b"stopped by SIGINT; resume with: rnncli train configs/fruit.yaml" in stderr
    assert math.isfinite(float(stdout.split(b"perplexity train ")[1].split(b",")[0]))


def test_two_trains_on_one_folder(start, refused, fruit_config):
    holder = start("train", fruit_config, "--epochs", 1000000, "--json")
    assert holder.stdout.readline()
    output = refused(8, "runs/fruit: in use by process", "train", fruit_config)
    assert str(holder.pid) in output
    assert "run.dir" in output
    refused(8, "in use", "train", fruit_config, "--resume")


def test_a_reader_that_leaves_early_costs_no_traceback(start, rnncli, fruit_config):
    process = start("train", fruit_config, "--json", "--set", "run.checkpoint_every=10 steps")
    for _ in range(50):
        process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b"output stopped: Broken pipe; training continues\n"
    assert process.wait() == 0
    rnncli("train", fruit_config, "--set", "run.checkpoint_every=10 steps", "--set", "run.dir=whole")
    assert newest().read_bytes() == newest("whole").read_bytes()  # it trained to the end


def test_a_warm_start(rnncli, refused, fruit_config):
    rnncli("train", fruit_config, "--epochs", 2)
    words = ("train", fruit_config, "--epochs", 1, "--set", "optimizer.learning_rate=0.5")
    message = refused(5, "holds a run of another config", *words)
    assert "--set 'run.dir=runs/fruit-{optimizer.learning_rate}' (with --init-from runs/fruit it begins" in message
    result = rnncli(*words, "--set", "run.dir=runs/warm", "--init-from", "runs/fruit")
    assert "starting from runs/fruit/checkpoints/step-00000002.npz: 10 of 10 words are known there" in result.stderr
    warm = rows(rnncli(*words, "--fresh", "--init-from", "runs/fruit", "--json"))  # its own run, moved aside
    assert warm[0]["loss"] == json.loads(Path("runs/warm/metrics.jsonl").read_text().splitlines()[0])["loss"]
    result = rnncli(*words, "--resume", "--init-from", "runs/nowhere")
    assert result.exit_code == 0
    assert "--init-from is not used: runs/fruit holds a run" in result.stderr
    for more in (["--set", "run.dir=runs/new"], ["--set", "run.dir=runs/new", "--dry-run"]):
        refused(5, "runs/nowhere: no such run", *words, *more, "--init-from", "runs/nowhere")
        cells = ("--init-from", "runs/fruit", "--set", "model.hidden_size=9")
        refused(3, "cannot start from this model: model.hidden_size is 32 there, 9 here", *words, *more, *cells)
    assert not Path("runs/new").exists()


def test_a_schedule_of_the_whole_run_is_not_extended(rnncli, refused, fruit_config):
    cosine = ("train", fruit_config, "--set", "optimizer.schedule=cosine", "--resume", "--epochs")
    rnncli(*cosine, 2)
    refused(5, "training.epochs was 2, and is 3", *cosine, 3)
