"""`rnncli inspect`: the content of a run or a checkpoint."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from support.models import progress
from support.small_run import contents

from rnncli.runs import checkpoint
from rnncli.runs.folder import RunFolder


def test_json(rnncli, fruit):
    result = rnncli("inspect", "--run", fruit, "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert (found["step"], found["epoch"], found["random_seed"], found["vocabulary"]) == (150, 150, 1, 10)
    assert found["train_perplexity"] == pytest.approx(3 ** (1 / 5), rel=0.01)  # only the first word is uncertain
    assert found["valid_perplexity"] is None
    assert (found["valid"], found["best_valid"]) == (None, None)
    assert found["train"]["perplexity"] == found["train_perplexity"] == found["train"]["perplexity_with_spelling"]
    assert (found["train"]["tokens"], found["train"]["oov"], found["train"]["ends"]) == (15, 0, True)
    with np.load(found["checkpoint"]) as archive:
        stored = {name[10:]: archive[name].shape for name in archive.files if name.startswith("parameter.")}
    assert {each["name"]: tuple(each["shape"]) for each in found["parameters"]} == stored
    assert found["parameter_count"] == sum(np.prod(shape) for shape in stored.values())
    assert found["config"]["data"]["train"] == ["fruit.txt"]
    assert found["machine"]["numpy"] == np.__version__
    assert len(found["data"]["train"]) == 64


def test_text(rnncli, fruit):
    checkpoint = sorted((fruit / "checkpoints").iterdir())[0]
    by_path, by_option = rnncli("inspect", checkpoint), rnncli("inspect", "--run", checkpoint)
    assert by_path.exit_code == by_option.exit_code == 0
    assert by_path.stdout == by_option.stdout
    for piece in (
        str(checkpoint),
        "step 100, 100 epochs",
        "lstm, 1 x 32, one-hot",
        "10 words",
        "layer0.Wxa",
        "10 x 128",
        "measured on",
        "unknown words",
    ):
        assert piece in by_path.stdout
    assert by_path.stderr == ""


def test_the_run_twice(refused, fruit):
    refused(2, "give the run once", "inspect", fruit, "--run", fruit)


@pytest.fixture
def copy(fruit, work):
    """A copy of a run that a test may change."""
    shutil.copytree(fruit, "runs/fruit")
    return RunFolder(Path("runs/fruit"))


def damage(path):
    content = bytearray(path.read_bytes())
    content[content.index(b"\x93NUMPY") + 128] ^= 1
    path.write_bytes(content)


def test_verify(rnncli, refused, copy):
    result = rnncli("inspect", "--verify")
    assert result.exit_code == 0
    assert [line.split()[-1] for line in result.stdout.splitlines()] == ["good", "yes", "yes"]
    damage(copy.checkpoint_at(150))
    result = rnncli("inspect", "runs/fruit", "--verify")
    assert result.exit_code == 5
    assert [line.split()[-1] for line in result.stdout.splitlines()] == ["good", "yes", "no"]
    assert "step-00000150.npz: not a valid checkpoint (the content of parameter." in result.stderr
    assert result.stderr.endswith("1 of 2 checkpoints damaged\n")
    assert rnncli("inspect", "--verify", copy.checkpoint_at(100)).exit_code == 0
    assert rnncli("inspect", "--verify", copy.checkpoint_at(150)).exit_code == 5


def test_verify_checks_moments_and_state(rnncli, copy):
    path = copy.checkpoint_at(100)
    with np.load(path) as archive:
        moment = archive["moment.v.layer0.Wxa"].tobytes()
    content = path.read_bytes()
    at = content.index(moment)
    path.write_bytes(content[: at + 5] + bytes([content[at + 5] ^ 4]) + content[at + 6 :])
    assert rnncli("predict", "--run", path, "--samples", 0).exit_code == 0  # it does not use the state
    assert "moment.v.layer0.Wxa does not match" in rnncli("inspect", "--verify", path).stderr


def test_verify_as_json(rnncli, copy):
    damage(copy.checkpoint_at(100))
    result = rnncli("inspect", "--verify", "--json")
    assert result.exit_code == 5
    found = json.loads(result.stdout)
    assert (found["good"], found["damaged"]) == (1, 1)
    assert [(each["good"], each["step"]) for each in found["checkpoints"]] == [(False, None), (True, 150)]
    assert found["checkpoints"][1]["bytes"] == copy.checkpoint_at(150).stat().st_size
    assert "SHA-256" in found["checkpoints"][0]["problem"]


def test_verify_checks_guards(rnncli, fruit_config):
    assert rnncli("train", fruit_config, "--epochs", 20, "--set", "guard.every=15").exit_code == 0
    found = json.loads(rnncli("inspect", "--verify", "--json").stdout)["checkpoints"]
    assert [(Path(each["checkpoint"]).parent.name, each["step"]) for each in found] == [
        ("checkpoints", 20),
        ("guard", 15),
    ]


def test_strip(rnncli, refused, copy):
    result = rnncli("inspect", "--strip", "weights.npz")
    assert result.exit_code == 0
    assert "weights.npz: the weights of runs/fruit/checkpoints/step-00000150.npz, 0.03 MB of 0.08 MB" in result.stdout
    whole, alone = (
        json.loads(rnncli("predict", "--run", run, "--seed", "mango is", "--random-seed", 1, "--json").stdout)
        for run in ("runs/fruit", "weights.npz")
    )
    assert [whole[key] == alone[key] for key in ("candidates", "samples", "checkpoint")] == [True, True, False]
    Path("data.txt").write_text("mango is pink color\n")
    measured = [rnncli("evaluate", "--run", run, "data.txt", "--json") for run in ("runs/fruit", "weights.npz")]
    assert measured[0].stdout == measured[1].stdout
    assert "weights only: predicts, but cannot be resumed" in rnncli("inspect", "weights.npz").stdout
    assert json.loads(rnncli("inspect", "weights.npz", "--json").stdout)["weights_only"]
    assert rnncli("inspect", "--verify", "weights.npz").exit_code == 0
    assert rnncli("inspect", "weights.npz", "--strip", "again.npz").exit_code == 0
    assert Path("again.npz").read_bytes() == Path("weights.npz").read_bytes()


def test_the_command_to_try_is_quoted(rnncli, copy):
    assert "try: rnncli predict --run 'a b.npz' --seed" in rnncli("inspect", "--strip", "a b.npz").stderr


def test_weights_only_cannot_be_resumed(rnncli, refused, fruit_config):
    assert rnncli("train", fruit_config, "--epochs", 5).exit_code == 0
    assert rnncli("inspect", "--strip", "weights.npz").exit_code == 0
    for path in RunFolder(Path("runs/fruit")).checkpoints():
        path.unlink()
    Path("weights.npz").rename("runs/fruit/checkpoints/step-00000005.npz")
    refused(5, "contains only weights", "train", fruit_config, "--epochs", 9, "--resume")
    assert rnncli("predict").exit_code == 0


def test_strip_overwrites_nothing(refused, rnncli, copy):
    Path("mine").write_text("mine")
    refused(2, "mine: exists already", "inspect", "--strip", "mine")
    assert Path("mine").read_text() == "mine"
    refused(7, "nowhere/x.npz: cannot write: No such file", "inspect", "--strip", "nowhere/x.npz")
    refused(2, "give one of the two", "inspect", "--strip", "x", "--verify")
    damage(copy.checkpoint_at(150))
    result = rnncli("inspect", "--strip", "x.npz", "--json")
    assert json.loads(result.stdout)["checkpoint"] == str(copy.checkpoint_at(100))
    assert "warning: skipped runs/fruit/checkpoints/step-00000150.npz" in result.stderr


def test_a_missing_best_checkpoint_is_reported(rnncli, work):
    folder = RunFolder(Path("demo"))
    folder.create()
    checkpoint.write(folder.checkpoint_at(2), contents(progress(step=2, best_step=1)))
    skipped = "warning: skipped demo/checkpoints/step-00000001.npz: no such checkpoint\n"
    for command in (["predict", "--run", "demo"], ["inspect", "demo"]):
        result = rnncli(*command)
        assert (result.exit_code, skipped in result.stderr) == (0, True)
    result = rnncli("inspect", "demo", "--verify")
    assert (result.exit_code, "1 of 2 checkpoints damaged" in result.stderr) == (5, True)
