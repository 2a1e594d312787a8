"""`rnncli gradcheck` on the model of a config; the standard set is in tests/proof/test_gradcheck.py."""

import json

import pytest

from rnncli.model.engines import ENGINES
from rnncli.proof import gradcheck


def test_the_model_of_a_config(rnncli, fruit_config):
    result = rnncli("gradcheck", fruit_config, "--set", "model.cell=gru", "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert found["passed"]
    assert found["method"] == "complex"
    assert {(check["engine"], check["cell"]) for check in found["checks"]} == {(engine, "gru") for engine in ENGINES}
    names = {"layer0.Wxa", "layer0.Waa", "layer0.ba", "layer0.bna", "output.Wya", "output.by", "state.layer0.a"}
    assert {check["parameter"] for check in found["checks"]} == names
    for check in found["checks"]:
        assert check.keys() == {*("engine", "cell", "parameter", "max_relative_error", "max_absolute_error", "passed")}
        assert check["passed"]
        assert check["max_relative_error"] <= 1e-9


@pytest.mark.parametrize(
    ("output", "parameters"),
    [
        ("adaptive", ["Wya", "by", "P1", "W1", "b1", "P2", "W2", "b2"]),
        ("{name: adaptive, cutoffs: [5000], div_value: 2}", ["Wya", "by", "P1", "W1", "b1"]),
        ("{name: adaptive, cutoffs: []}", ["Wya", "by"]),
        ("sampled", ["Wya", "by"]),
        ("{name: sampled, samples: 3, proposal: unigram}", ["Wya", "by"]),
    ],
)
def test_the_output_layer_of_a_config(rnncli, fruit_config, output, parameters):
    words = ("gradcheck", fruit_config, "--set", "model.cell=rnn", "--set", f"model.output={output}", "--json")
    result = rnncli(*words)
    assert result.exit_code == 0
    checks = json.loads(result.stdout)["checks"]
    assert all(check["passed"] for check in checks)
    for engine in ENGINES:
        names = [check["parameter"] for check in checks if check["engine"] == engine]
        assert [name for name in names if name.startswith("output.")] == [f"output.{name}" for name in parameters]


def test_the_table(rnncli, fruit_config):
    result = rnncli("gradcheck", fruit_config, "--method", "central")
    assert result.exit_code == 0
    head, *rows = result.stdout.splitlines()
    assert head.split() == ["engine", "cell", "parameter", "largest", "relative", "error"]
    assert all(row.endswith("  ok") for row in rows)
    assert len(rows) == 2 * 7
    assert "1 model in both engines, method central, largest error " in result.stderr


@pytest.mark.parametrize("flag", [[], ["--json"]])
def test_a_gradient_that_is_wrong(rnncli, fruit_config, monkeypatch, flag):
    cell = gradcheck.CELLS["lstm"]
    backward = type(cell).backward_

    def wrong(self, p, g, *rest):
        result = backward(self, p, g, *rest)
        g["ba"][0] *= 1.001
        return result

    monkeypatch.setattr(type(cell), "backward_", wrong)
    result = rnncli("gradcheck", fruit_config, *flag)
    assert result.exit_code == 6
    assert "gradcheck failed for 1 of 14 tensors: fused lstm layer0.ba" in result.stderr
    if flag:
        found = json.loads(result.stdout)
        assert not found["passed"]
        assert [check["parameter"] for check in found["checks"] if not check["passed"]] == ["layer0.ba"]
    else:
        assert result.stdout.count("FAILED") == 1


def test_bad_options(refused, work):
    refused(2, "--set changes a config, but none was given", "gradcheck", "--set", "model.cell=gru")
    refused(2, "'finite' is not one of", "gradcheck", "--method", "finite")
    refused(3, "nope.yaml: no such file", "gradcheck", "nope.yaml")
