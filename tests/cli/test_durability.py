"""The files of a run are safe: damaged checkpoints, folders of others, two commands on one folder."""

import json
import os
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from rnncli.config import yaml_file
from rnncli.runs import checkpoint_file
from rnncli.runs.folder import RunFolder


def folder(path="runs/fruit"):
    return RunFolder(Path(path))


def newest(path="runs/fruit"):
    return folder(path).checkpoints()[-1]


def steps(path="runs/fruit"):
    return [int(each.stem.removeprefix("step-")) for each in folder(path).checkpoints()]


def flip_a_byte_of_a_member(path):
    """Change one byte of the numbers of a checkpoint, which leaves the file a readable archive."""
    content = bytearray(path.read_bytes())
    at = content.index(b"\x93NUMPY") + 128
    content[at] ^= 1
    path.write_bytes(content)


def test_a_damaged_later_checkpoint_does_not_cost_the_one_just_written(rnncli, fruit_config):
    words = ("train", fruit_config, "--set", "run.keep=1", "--set", "run.checkpoint_every=10 epochs")
    assert rnncli(*words, "--epochs", 10).exit_code == 0
    whole = newest().read_bytes()
    folder().checkpoint_at(20).write_bytes(whole[: len(whole) // 2])
    result = rnncli(*words, "--epochs", 15, "--resume")
    assert result.exit_code == 0
    assert "resuming from runs/fruit/checkpoints/step-00000010.npz, step 10" in result.stderr
    assert checkpoint_file.read(folder().checkpoint_at(15), lambda name: True)[0]["step"] == 15
    predicted = rnncli("predict", "--run", "runs/fruit", "--seed", "mango", "--json")
    assert json.loads(predicted.stdout)["checkpoint"] == str(folder().checkpoint_at(15))
    assert "warning: skipped runs/fruit/checkpoints/step-00000020.npz" in result.stderr
    assert steps() == [15]
    assert rnncli(*words, "--epochs", 20, "--resume").exit_code == 0
    rnncli(*words, "--epochs", 20, "--set", "run.dir=whole")
    assert (steps(), newest().read_bytes()) == ([20], newest("whole").read_bytes())


def test_one_flipped_byte_in_the_newest_checkpoint(rnncli, fruit_config):
    words = ("train", fruit_config, "--set", "run.checkpoint_every=4 epochs")
    assert rnncli(*words, "--epochs", 8).exit_code == 0
    assert steps() == [4, 8]
    flip_a_byte_of_a_member(newest())
    result = rnncli(*words, "--epochs", 10, "--resume")
    assert result.exit_code == 0
    assert "resuming from runs/fruit/checkpoints/step-00000004.npz" in result.stderr
    rnncli(*words, "--epochs", 10, "--set", "run.dir=whole")
    assert newest().read_bytes() == newest("whole").read_bytes()


@pytest.fixture
def with_a_best(rnncli, fruit_config):
    """A run whose best checkpoint is not its last: what it is validated on contradicts what it learns."""
    Path("valid.txt").write_text("yellow is mango\npink mango has hair\n")
    words = ("--set", "data.valid=valid.txt", "--set", "run.keep=1", "--epochs", 30)
    assert rnncli("train", fruit_config, *words).exit_code == 0
    best, last = steps()
    assert checkpoint_file.verify(newest())["best_step"] == best
    return folder().checkpoint_at(best), folder().checkpoint_at(last)


@pytest.mark.parametrize("damage", [flip_a_byte_of_a_member, lambda path: path.write_bytes(b"half")])
def test_a_damaged_best_checkpoint(rnncli, with_a_best, damage):
    best, last = with_a_best
    words = ("--run", "runs/fruit", "--json")
    before = rnncli("predict", *words)
    assert (json.loads(before.stdout)["checkpoint"], before.stderr) == (str(best), "")
    damage(best)
    for command in (["predict", *words], ["evaluate", *words, "data/fruit.txt"]):
        result = rnncli(*command)
        assert result.exit_code == 0
        passed_over, using = result.stderr.splitlines()
        assert passed_over.startswith(f"warning: skipped {best}: not a valid checkpoint")
        assert using == f"using {last}"
    assert json.loads(rnncli("predict", *words).stdout)["checkpoint"] == str(last)


def test_a_run_that_was_killed_before_its_first_checkpoint(rnncli, refused, fruit_config):
    words = ("train", fruit_config, "--epochs", 3)
    assert rnncli(*words).exit_code == 0
    whole = newest().read_bytes()
    newest().unlink()
    rows = folder().metrics.read_bytes()
    message = refused(2, "runs/fruit: holds a run without a checkpoint yet", *words)
    assert "--resume" in message
    assert "--fresh" in message
    assert folder().metrics.read_bytes() == rows
    result = rnncli(*words, "--fresh")
    assert result.exit_code == 0
    assert "the existing run is now runs/fruit.1" in result.stderr
    assert folder("runs/fruit.1").metrics.read_bytes() == rows
    newest().unlink()
    assert rnncli(*words, "--resume").exit_code == 0
    assert newest().read_bytes() == whole
    assert folder().metrics.read_bytes().count(b"\n") == rows.count(b"\n")  # started anew, not after the old rows


@pytest.mark.parametrize("words", [[], ["--resume"], ["--fresh"]], ids=str)
def test_a_config_of_the_user_is_not_written_over(refused, fruit_config, work, words):
    shutil.copy(fruit_config, "config.yaml")
    before = Path("config.yaml").read_bytes()
    there = sorted(work.rglob("*"))
    for run_dir in (".", work):
        message = refused(2, "config.yaml: exists", "train", fruit_config, "--set", f"run.dir={run_dir}", *words)
        assert "run.dir" in message
    assert Path("config.yaml").read_bytes() == before
    assert sorted(work.rglob("*")) == there


def test_a_dangling_link_as_the_newest_checkpoint(rnncli, fruit_config):
    assert rnncli("train", fruit_config, "--epochs", 2).exit_code == 0
    assert rnncli("train", fruit_config, "--epochs", 2, "--set", "run.dir=runs/other").exit_code == 0
    folder().checkpoint_at(9).symlink_to("gone")
    result = rnncli("predict", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["run"] in ("runs/fruit", "runs/other")
    named = rnncli("predict", "--run", "runs/fruit", "--json")
    assert json.loads(named.stdout)["checkpoint"] == str(folder().checkpoint_at(2))
    assert "step-00000009.npz: no such checkpoint" in named.stderr


@pytest.mark.parametrize("first", [[], ["--fresh"]], ids=str)
def test_two_trains_on_one_folder_before_there_is_a_checkpoint(start, refused, rnncli, fruit_config, first):
    if first:
        rnncli("train", fruit_config, "--epochs", 1)
    never = ("--epochs", 1000000, "--set", "run.checkpoint_every=1000000 epochs")
    holder = start("train", fruit_config, *never, *first, "--json")
    assert holder.stdout.readline()
    assert steps() == []
    for words in ([], ["--resume"], ["--fresh"]):
        message = refused(8, "runs/fruit: in use by process", "train", fruit_config, *words)
        assert str(holder.pid) in message
    assert steps() == []
    assert holder.poll() is None


def test_a_drawn_seed_can_be_given_again(rnncli, fruit_config):
    words = ("train", fruit_config, "--epochs", 3)
    drawn = ("--set", "training.random_seed=null")
    done = json.loads(rnncli(*words, *drawn, "--json").stdout.splitlines()[-1])
    seed = done["random_seed"]
    assert yaml_file.read("runs/fruit/config.yaml").training.random_seed == seed
    meta = checkpoint_file.verify(newest())
    assert meta["random_seed"] == meta["config"]["training"]["random_seed"] == seed
    assert rnncli(*words, "--random-seed", seed, "--set", "run.dir=given").exit_code == 0
    assert newest("given").read_bytes() == newest().read_bytes()
    assert rnncli("train", "runs/fruit/config.yaml", "--set", "run.dir=written").exit_code == 0
    assert newest("written").read_bytes() == newest().read_bytes()


def test_a_time_limit_that_is_not_reached_changes_no_byte(rnncli, fruit_config):
    rnncli("train", fruit_config, "--epochs", 3)
    rnncli("train", fruit_config, "--epochs", 3, "--max-time", "1h", "--set", "run.dir=limited")
    assert newest("limited").read_bytes() == newest().read_bytes()


def test_two_models_of_one_name(rnncli, refused, work):
    for name in ("one", "two"):
        assert rnncli("init", name).exit_code == 0
    with open("two/corpus.txt", "a") as corpus:
        corpus.write("the cat sleeps on the cat\n")
    words = ("--epochs", 2, "--random-seed", 1)
    assert rnncli("train", "one/config.yaml", *words).exit_code == 0
    before = newest("runs/config").read_bytes()
    refused(5, "the text of data.train differs", "train", "two/config.yaml", *words)
    assert newest("runs/config").read_bytes() == before


SLOWED = ("--set", "optimizer.learning_rate=5", "--set", "optimizer.clip_norm=null")


def test_a_run_that_diverges_continues_with_a_lower_learning_rate(rnncli, fruit_config):
    result = rnncli("train", fruit_config, *SLOWED)
    assert result.exit_code == 0
    message = [line for line in result.stderr.splitlines() if line.startswith("diverged at step 2: the loss is ")]
    assert [line.rpartition("; ")[2] for line in message] == [
        f"back to step 0, learning rate {rate:g}" for rate in (2.5, 1.25, 0.625)
    ]
    assert "perplexity train 1.25" in result.stdout
    rnncli("train", fruit_config, *SLOWED, "--set", "run.dir=again")
    assert newest("again").read_bytes() == newest().read_bytes()


def test_a_rollback_is_a_row_of_json(rnncli, fruit_config):
    result = rnncli("train", fruit_config, *SLOWED, "--json", "--epochs", 5)
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    back = [row for row in rows if row["event"] == "rollback"]
    assert [(row["step"], row["diverged_at"], row["rollbacks"]) for row in back] == [(0, 2, 1), (0, 2, 2), (0, 2, 3)]
    assert back[0]["sentence"] in {f"{line} <end>" for line in Path("data/fruit.txt").read_text().splitlines()}
    kept = [json.loads(line) for line in Path("runs/fruit/metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in kept] == [1, 1, 0, 1, 1, 0, 1, 1, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]  # with epochs
    assert [row for row in kept if row["event"] == "rollback"] == back


def test_after_the_last_try_the_message_has_all(refused, fruit_config):
    message = refused(
        6, "diverged at step 2: the loss is", "train", fruit_config, *SLOWED, "--set", "guard.rollbacks=1"
    )
    for piece in ("learning rate 2.5, lowered 1 time from 5", "the tensor to inspect first: ", " <end>", "--fresh"):
        assert piece in message


def test_a_guard_setting_that_is_impossible(refused, fruit_config):
    refused(3, "guard.every is 0", "train", fruit_config, "--set", "guard.every=0")
    refused(3, "guard.learning_rate_factor", "train", fruit_config, "--set", "guard.learning_rate_factor=2")


def test_a_killed_run_resumes_from_its_guard(start, rnncli, fruit_config):
    words = ("--epochs", 60, "--set", "run.checkpoint_every=1000 epochs", "--set", "guard.every=20")
    process = start("train", fruit_config, *words, "--json")
    while json.loads(process.stdout.readline())["step"] < 45:
        pass
    process.kill()
    process.wait()
    result = rnncli("train", fruit_config, *words, "--resume")
    at = int(re.search(r"resuming from runs/fruit/guard/step-000000(\d\d)\.npz", result.stderr)[1])
    assert at >= 40
    rnncli("train", fruit_config, *words, "--set", "run.dir=whole")
    assert newest().read_bytes() == newest("whole").read_bytes()


def test_a_run_whose_only_guard_is_damaged_starts_from_step_0(rnncli, fruit_config):
    guard = Path("runs/fruit/guard/step-00000020.npz")
    guard.parent.mkdir(parents=True)
    guard.write_bytes(b"half")
    result = rnncli("train", fruit_config, "--epochs", 2, "--resume")
    assert "warning: runs/fruit/guard: no valid guard; starting from step 0\n" in result.stderr
    assert steps() == [2]


def test_a_run_that_another_process_trains_is_in_use_however_far_it_is(start, refused, fruit_config):
    holder = start("train", fruit_config, "--epochs", 1000000, "--json", "--set", "run.checkpoint_every=5 epochs")
    while json.loads(holder.stdout.readline())["step"] < 20:
        pass
    for words in ([], ["--resume"], ["--fresh"]):
        refused(8, f"in use by process {holder.pid}", "train", fruit_config, "--epochs", 3, *words)


def test_a_warning_before_the_disk_is_full(rnncli, fruit_config, monkeypatch):
    monkeypatch.setattr("rnncli.cli.training_session.disk_usage", lambda path: SimpleNamespace(free=100_000))
    result = rnncli("train", fruit_config, "--epochs", 2)
    assert result.exit_code == 0
    assert "warning: runs/fruit: the disk has 0.1 MB free, but checkpoints will take up to 0.6 MB" in result.stderr


def test_a_pipe_in_place_of_a_checkpoint_is_passed_over(rnncli, fruit_config):
    assert rnncli("train", fruit_config, "--epochs", 2).exit_code == 0
    os.mkfifo("runs/fruit/checkpoints/step-00000009.npz")
    for words in (("predict", "--samples", 0), ("inspect",), ("train", fruit_config, "--epochs", 3, "--resume")):
        result = rnncli(*words)
        assert result.exit_code == 0
        assert "step-00000009.npz: not a valid checkpoint (it is a pipe)" in result.stderr
