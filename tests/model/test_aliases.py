"""Two names for one tensor: an output matrix tied to the embedding."""

from dataclasses import replace

import numpy as np
import pytest
from support.models import architecture, language_model, noise_of
from support.small_run import settings, train

from rnncli.batches.stream import StreamBatches
from rnncli.config import build, corpora
from rnncli.model.parameters import Gradients, Parameters
from rnncli.optim.adam import Adam
from rnncli.proof.gradcheck import EVERY_KIND, check_architecture
from rnncli.runs import checkpoint
from rnncli.training import memory_forecast
from rnncli.training.step import Learner


def tied(output="full", cell="lstm", V=7, embedding_size=4):
    return architecture(V, cell, 2, 4, embedding_size, output, tied=True)


@pytest.mark.parametrize(("engine", "output"), [("fused", "full"), ("fused", "sampled"), ("stepwise", "full")])
@pytest.mark.parametrize("embedding_size", [4, 3])
@pytest.mark.parametrize("mode", ["sentences", "stream"])
def test_the_gradients_of_both_uses_are_added(engine, mode, output, embedding_size):
    made = tied(output, embedding_size=embedding_size)
    found = list(check_architecture(made, engine, mode, noise=EVERY_KIND))
    assert ("projection.P" in made.shapes()) == (embedding_size == 3)
    assert {name for name, _, _ in found} >= {"embedding.E", "output.by", "layer0.Waa"}
    assert "output.Wya" not in {name for name, _, _ in found}
    assert all(relative < 1e-9 for _, relative, _ in found), found


@pytest.mark.parametrize("engine", ["fused", "stepwise"])
@pytest.mark.parametrize("embedding_size", [4, 3])
def test_the_rows_of_an_adaptive_softmax_are_the_input(engine, embedding_size):
    made = tied("adaptive", embedding_size=embedding_size)
    assert not any(name.startswith(("input.", "embedding.")) for name in made.shapes())
    found = list(check_architecture(made, engine, "stream", noise=EVERY_KIND))
    assert all(relative < 1e-9 for _, relative, _ in found), found
    p = made.initialise(2, np.float64)
    model = language_model(engine, made, p)
    ids = np.array([[0, 2], [4, 6]])
    x = model.input.forward(p, ids, None)
    rows = x.x if engine == "fused" else x[0].transpose(2, 1, 0).reshape(4, -1)
    words = made.word_rows()
    for row, id in zip(rows, ids.flat, strict=True):
        name = next(name for name in words if name[:8] in ("output.W",) and id in words[name])
        vector = p[name][id - words[name][0]]
        expected = vector if name == "output.Wya" else vector @ p[name.replace("W", "P")]
        np.testing.assert_allclose(row, expected, rtol=1e-13)


@pytest.mark.parametrize("output", ["full", "sampled"])
def test_a_tied_tensor_is_drawn_and_counted_once(output):
    made, plain = tied(output), architecture(7, "lstm", 2, 4, 4, output)
    parameters, untied = made.initialise(3), plain.initialise(3)
    assert list(made.shapes()) == [name for name in plain.shapes() if name != "output.Wya"]
    assert parameters.vector.size == untied.vector.size - 7 * 4
    assert np.array_equal(parameters["output.Wya"], untied["embedding.E"])  # drawn as the embedding
    assert np.array_equal(parameters["layer1.Waa"], untied["layer1.Waa"])
    assert np.shares_memory(parameters["output.Wya"], parameters["embedding.E"])
    assert np.shares_memory(parameters.section("output")["Wya"], parameters.vector)
    copy = parameters.astype(np.float64)
    copy["embedding.E"][2, 1] = 9
    assert copy["output.Wya"][2, 1] == 9
    assert parameters.zeros_like().aliases == {"output.Wya": "embedding.E"}


@pytest.mark.parametrize("output", ["full", "sampled"])
def test_a_tied_tensor_is_updated_once(output):
    """Same steps as with two tensors that are kept equal by hand and whose gradients are added."""
    ids = np.random.default_rng(0).integers(0, 30, 200)
    made, plain = tied(output, V=30), architecture(30, "lstm", 2, 4, 4, output)
    parameters = made.initialise(5, np.float64)
    both = plain.parameters(np.float64)
    for name in plain.shapes():
        both[name][...] = parameters[name]
    learner = Learner(language_model("fused", made, parameters), Adam(parameters.vector.size, np.dtype(float)), None, 1)
    untied, adam, state = language_model("fused", plain, both), Adam(parameters.vector.size, np.dtype(float)), ()
    for number, batch in enumerate(StreamBatches(ids, 0, 3, 5).epoch(0), 1):
        learner.step_(batch, number, 0.05, lambda attempt: None)
        passed = untied.forward(batch, untied.entering(batch, state), noise_of(batch, 1))
        gradients, state = untied.backward_(passed)[0], passed.state
        summed = Parameters(made.shapes(), np.float64)
        for name, tensor in summed.items():
            tensor[...] = gradients[name]
        summed["embedding.E"][...] += gradients["output.Wya"]
        vector = Parameters(made.shapes(), np.float64)
        for name, tensor in vector.items():
            tensor[...] = both[name]
        adam.step_(vector.vector, summed.vector, 0.05, number)
        for name, tensor in vector.items():
            both[name][...] = tensor
        both["output.Wya"][...] = vector["embedding.E"]
        np.testing.assert_allclose(parameters.vector, vector.vector, rtol=0, atol=1e-12)


def test_rows_of_both_uses_are_touched():
    gradients = Gradients(Parameters({"embedding.E": (6, 2)}, np.float64, aliases={"output.Wya": "embedding.E"}))
    for _ in range(2):  # earlier contents are cleared
        gradients.write_rows_("embedding.E", np.array([1, 4]), np.ones((2, 2)))
        gradients.write_rows_("output.Wya", np.array([0, 4]), np.full((2, 2), 3.0))
        gradients.add_aliases_()
        np.testing.assert_array_equal(gradients["embedding.E"][:, 0], [3, 1, 0, 0, 4, 0])
        (touched,) = gradients.touched()
        np.testing.assert_array_equal(touched.rows, [0, 1, 4])
    gradients.write_rows_("embedding.E", np.array([1]), np.ones((1, 2)))
    gradients["output.Wya"][...] = 2
    gradients._rows.pop("output.Wya")  # written as a whole, as the full softmax does
    gradients.add_aliases_()
    np.testing.assert_array_equal(gradients["embedding.E"][:, 0], [2, 3, 2, 2, 2, 2])
    assert gradients.touched() == []
    gradients.write_rows_("embedding.E", np.array([2]), np.ones((1, 2)))
    assert gradients["embedding.E"].sum() == 2


@pytest.mark.parametrize("embedding_size", [5, 3])
def test_a_tied_model_is_forecast_trained_and_resumed(tmp_path, embedding_size):
    config = settings(tmp_path, model__embedding_size=embedding_size, model__tied=True)
    texts = corpora.texts(config)
    found = memory_forecast.check(config, texts)
    shared = 4 * len(texts.vocabulary) * embedding_size
    assert found.parts["gradients"] == found.parts["parameters"] + shared
    whole, _ = train(config, tmp_path / "whole")
    assert "output.Wya" not in whole.model.parameters.shapes
    train(config, tmp_path / "parts", stop_at=3)
    resumed, _ = train(config, tmp_path / "parts", resume=True)
    assert np.array_equal(resumed.model.parameters.vector, whole.model.parameters.vector)
    stored = checkpoint.read(whole.folder.checkpoints()[-1])
    model = build.model(stored.config, stored.parameters, stored.vocabulary)
    assert np.shares_memory(model.parameters["output.Wya"], model.parameters["embedding.E"])


def test_a_tensor_of_another_shape_cannot_be_shared():
    made = replace(architecture(7, "lstm", 1, 5, 4), aliases=(("output.Wya", "embedding.E"),))
    with pytest.raises(ValueError, match=r"output\.Wya \(7, 5\) cannot share the tensor embedding\.E \(7, 4\)"):
        made.shapes()
