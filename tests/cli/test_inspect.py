"""`rnncli inspect`: what a run or a checkpoint holds."""

import json

import numpy as np
import pytest


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
