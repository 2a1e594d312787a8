"""Runs that begin with the weights of another."""

import json
from dataclasses import replace

import numpy as np
import pytest
from support.small_run import last_bytes, metrics, settings, train, trainer

from rnncli.errors import ConfigError
from rnncli.model.outputs import AdaptiveSoftmax
from rnncli.runs import checkpoint, find
from rnncli.training.trainer import Rollback, Step
from rnncli.training.warm_start import start_from_

OLD = "the sun rises on the sea\nthe moon falls on ice\nrain falls\n"
NEW = "the sun falls on land\nthe wind rises\nrain falls on the sea\nmoon\n"
ADAPTIVE = {"model__output": {"name": "adaptive", "cutoffs": [3, 6], "div_value": 2}}


def source(folder, **changes):
    config = settings(folder, OLD, **changes)
    made, _ = train(config, folder / "run")
    return made, find.first_readable(made.folder.path)


def warm(folder, found, **changes):
    made = trainer(settings(folder, NEW, **changes), folder / "run")
    drawn = made.model.parameters.vector.copy()
    made.folder.begin()
    return made, start_from_(made, found), drawn


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"model__embedding_size": None},
        {"model__tied": True},
        {"model__tied": True, "model__embedding_size": 5},
        {"model__output": "sampled"},
        ADAPTIVE,
    ],
    ids=str,
)
def test_what_is_taken_over(tmp_path, changes):
    old, found = source(tmp_path / "old", **changes)
    new, reused, drawn = warm(tmp_path / "new", found, **changes)
    a, b = old.texts.vocabulary, new.texts.vocabulary
    assert reused.words == len(set(a.words) & set(b.words)) < len(b)
    assert reused.drawn == ()
    rows_then, rows_now = old.model.architecture.word_rows(), new.model.architecture.word_rows()
    before = type(new.model.parameters)(new.model.parameters.shapes, vector=drawn)
    partly = {name: (rows, of) for name, rows, of in reused.partly}
    for name, tensor in new.model.parameters.items():
        then = old.model.parameters[name]
        if name not in rows_now:
            np.testing.assert_array_equal(tensor, then)
            continue
        places = {a.words[id]: row for row, id in enumerate(rows_then[name])}
        taken = 0
        for row, id in enumerate(rows_now[name]):
            known = places.get(b.words[id])
            np.testing.assert_array_equal(tensor[row], before[name][row] if known is None else then[known])
            taken += known is not None
        np.testing.assert_array_equal(tensor[len(rows_now[name]) :], then[len(rows_then[name]) :])
        assert partly.get(name, (len(tensor), len(tensor))) == (len(tensor) - len(rows_now[name]) + taken, len(tensor))


def test_rows_of_words_cover_the_vocabulary_once():
    shapes = AdaptiveSoftmax.shapes(8, 20, AdaptiveSoftmax.Options((3, 9), 2.0))
    rows = AdaptiveSoftmax.word_rows(shapes)
    assert [id for name in ("Wya", "W1", "W2") for id in rows[name]] == list(range(20))
    assert [id for name in ("by", "b1", "b2") for id in rows[name]] == list(range(20))


def test_another_output_layer_is_drawn(tmp_path):
    _, found = source(tmp_path / "old")
    _, reused, _ = warm(tmp_path / "new", found, **ADAPTIVE)
    assert {"output.P1", "output.W1", "output.b1"} <= set(reused.drawn)
    assert "layer0.Waa" not in reused.drawn


@pytest.mark.parametrize("key", ["hidden_size", "embedding_size", "layers", "cell", "residual"])
def test_other_cells_are_refused(tmp_path, key):
    _, found = source(tmp_path / "old", model__layers=2 if key == "residual" else 1)
    changes = {"hidden_size": 6, "embedding_size": 4, "layers": 2, "cell": "gru", "residual": True}
    message = rf"cannot start from this model: model\.{key} is .* there, {json.dumps(changes[key])} here"
    changed = {f"model__{key}": changes[key]} | ({"model__layers": 2} if key == "residual" else {})
    with pytest.raises(ConfigError, match=message):
        warm(tmp_path / "new", found, **changed)


def test_a_run_killed_before_its_first_checkpoint_needs_no_source(tmp_path):
    _, found = source(tmp_path / "old")
    changes = {"data__valid": 0.3, "vocabulary__unknown": True}
    whole, _, _ = warm(tmp_path / "whole", found, **changes)
    list(whole.train())
    made, _, _ = warm(tmp_path / "killed", found, **changes)
    training = made.train()
    next(training)
    training.close()
    again = trainer(made.config, tmp_path / "killed" / "run")
    assert again.folder.last().path == again.folder.guard_at(0)
    again.resume(again.folder.last().path)
    list(again.train())
    assert last_bytes(tmp_path / "killed" / "run") == last_bytes(tmp_path / "whole" / "run")
    assert metrics(tmp_path / "killed" / "run") == metrics(tmp_path / "whole" / "run")
    stored = checkpoint.read(again.folder.checkpoints()[-1])
    assert stored.source == whole.source
    assert (stored.source["step"], stored.source["words"]) == (found.checkpoint.progress.position.step, 8)


def test_a_run_that_diverges_goes_back_to_the_weights_it_began_with(tmp_path):
    _, found = source(tmp_path / "old")
    made, _, _ = warm(tmp_path / "new", found, optimizer__learning_rate=4, optimizer__clip_norm=None)
    begun = made.model.parameters.vector.copy()
    losses = []
    for event in made.train():
        if isinstance(event, Rollback):
            assert event.step == 0
            np.testing.assert_array_equal(made.model.parameters.vector, begun)
        if isinstance(event, Step) and event.step == 1:
            losses.append(event.loss)
    assert len(losses) > 1 == len(set(losses))


def test_moments_start_anew(tmp_path):
    _, found = source(tmp_path / "old")
    made, _, _ = warm(tmp_path / "new", found)
    assert not any(moment.any() for moment in made.contents().moments.values())
    assert replace(made.progress) == type(made.progress)()
