"""The two engines agree on every number of a training step."""

from dataclasses import replace

import numpy as np
import pytest
from support.models import architecture, language_model, noise_of

from rnncli.batches.batch import Batch
from rnncli.model.cells import CELLS
from rnncli.model.engines import ENGINES
from rnncli.model.noise import NO_DROPOUT, Dropout
from rnncli.model.outputs import AdaptiveSoftmax, SampledSoftmax
from rnncli.model.parameters import Parameters

LAYERS = (1, 2, 3)
# V, D (None: one-hot), H, T, B, pads
SIZES = [
    (11, 5, 7, 6, 3, True),
    (11, None, 7, 6, 3, True),
    (13, 9, 3, 5, 1, False),  # one column, more features than units
    (5, None, 1, 7, 1, True),  # one column, one unit
    (6, 4, 4, 1, 5, True),  # one step
    (1, None, 3, 1, 1, False),  # one of everything, and a vocabulary of one word
    (37, 2, 10, 4, 9, True),
]
OUTPUTS = {
    "full": ("full", None),
    "adaptive": ("adaptive", AdaptiveSoftmax.Options((2, 3, 9), 2.0)),
    "one cluster": ("adaptive", AdaptiveSoftmax.Options((10,), 1.0)),
    "sampled": ("sampled", SampledSoftmax.Options(6)),
    "unigram": ("sampled", SampledSoftmax.Options(30, "unigram")),
}
MODELS = [*((cell, "full") for cell in CELLS), *(("lstm", output) for output in list(OUTPUTS)[1:])]


def words(V, T, B, pads, seed=0):
    """A batch with repeated words; with padding, columns of every length, one of them all padding."""
    rng = np.random.default_rng([seed, V, T, B])
    inputs, targets, positions = rng.integers(0, V, (3, T, B))
    mask = None
    if pads:
        lengths = np.minimum(rng.integers(1, T + 1, B), T)
        lengths[0] = T
        lengths[1:2] = 0
        mask = np.arange(T)[:, None] < lengths
        mask[T - 1, 0] = B > 1  # also in a batch of one column
    count = T * B if mask is None else int(mask.sum())
    return Batch(inputs, targets, mask, positions, False, count, 0, 0)


def parameters(made, seed=0, dtype=np.float64):
    p = Parameters(made.shapes(), dtype)
    p.vector[:] = np.random.default_rng(seed).uniform(-0.8, 0.8, p.vector.size)
    return p


def state(made, B, seed, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return tuple(
        tuple(rng.normal(size=array.shape).astype(dtype) for array in layer) for layer in made.zero_state(B, dtype)
    )


def results(engine, made, p, batch, start, dlast, dropout=NO_DROPOUT):
    """Every number of a training step by name, as copies."""
    counts = np.arange(made.vocabulary_size)[::-1]
    model = language_model(engine, made, p, counts)
    passed = model.forward(batch, start, noise_of(batch, 3, dropout))
    gradients, first = model.backward_(passed, dlast)
    found = {"loss": passed.loss, **dict(gradients.items())}
    found |= {f"last {name}": array for name, array in made.flatten_state(passed.state).items()}
    found |= {f"first {name}": array for name, array in made.flatten_state(first).items()}
    found["nll"], _ = model.score(batch, start)
    found["next"], _ = model.next_word(batch.inputs, start)
    return {name: np.array(array) for name, array in found.items()}


def worst_error(got, expected):
    """Largest difference of each tensor, divided by its largest element."""
    assert got.keys() == expected.keys()
    assert all(got[name].shape == array.shape for name, array in expected.items())
    return {name: np.abs(got[name] - a).max() / max(np.abs(a).max(), 1e-12) for name, a in expected.items()}


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize("cell", CELLS)
def test_engines_agree(cell, layers, sizes):
    V, D, H, T, B, pads = sizes
    made = architecture(V, cell, layers, H, D)
    p, batch = parameters(made), words(V, T, B, pads)
    for start, dlast in [
        (state(made, B, 1), state(made, B, 2)),
        (made.zero_state(B, np.float64), None),
    ]:
        check_agreement(made, p, batch, start, dlast)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("pads", [True, False])
@pytest.mark.parametrize("output", list(OUTPUTS)[1:])
def test_engines_agree_with_every_output_layer(output, pads, cell):
    made = architecture(11, cell, 2, 7, 5, *OUTPUTS[output])
    p, batch = parameters(made), words(11, 6, 3, pads)
    check_agreement(made, p, batch, state(made, 3, 1), state(made, 3, 2))


REGULARISED = Dropout(input=0.3, hidden=0.2, output=0.4, word=0.25, recurrent=0.3)


@pytest.mark.parametrize("layers", [2, 3])
@pytest.mark.parametrize("cell", CELLS)
def test_engines_agree_with_residual_connections(cell, layers):
    made = architecture(11, cell, layers, 7, None, residual=True)
    plain = architecture(11, cell, layers, 7, None)
    p, batch, start = parameters(made), words(11, 6, 3, True), state(made, 3, 1)
    check_agreement(made, p, batch, start, state(made, 3, 2))
    assert (
        results("fused", made, p, batch, start, None)["loss"] != results("fused", plain, p, batch, start, None)["loss"]
    )


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("masks", ["window", "step"])
@pytest.mark.parametrize(
    ("output", "tied", "embedding_size"),
    [("full", True, 7), ("sampled", True, 5), ("adaptive", True, 5), ("one cluster", True, 7), ("full", False, 5)],
)
def test_engines_agree_with_dropout_and_tied_weights(cell, masks, output, tied, embedding_size, residual):
    made = architecture(11, cell, 2, 7, embedding_size, *OUTPUTS[output], tied=tied, residual=residual)
    p, batch = made.parameters(np.float64), words(11, 6, 3, True)
    p.vector[:] = np.random.default_rng(0).uniform(-0.8, 0.8, p.vector.size)
    check_agreement(made, p, batch, state(made, 3, 1), state(made, 3, 2), replace(REGULARISED, masks=masks))


def check_agreement(made, p, batch, start, dlast, dropout=NO_DROPOUT):
    """Every number of a training step, to 1e-10; inputs are not changed."""
    kept = [np.array(array) for layer in start + (dlast or ()) for array in layer]
    before = p.vector.copy()
    fused, stepwise = (results(engine, made, p, batch, start, dlast, dropout) for engine in ("fused", "stepwise"))
    errors = worst_error(fused, stepwise)
    if made.vocabulary_size == 1:
        # A certain prediction: the loss gives no gradient, only rounding errors.
        errors = {name: e for name, e in errors.items() if np.abs(stepwise[name]).max() > 1e-12}
    assert max(errors.values(), default=0) < 1e-10, errors
    np.testing.assert_array_equal(p.vector, before)
    for array, copy in zip((a for layer in start + (dlast or ()) for a in layer), kept, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_the_batches_of_these_tests_cover_the_cases():
    made = [words(V, T, B, pads) for V, _, _, T, B, pads in SIZES]
    assert any(batch.mask is None for batch in made)
    assert any(batch.mask is not None and not batch.mask.any(axis=0).all() for batch in made)  # a column of padding
    assert any(batch.mask is not None and batch.inputs.shape[1] == 1 for batch in made)
    assert any(len(np.unique(batch.inputs)) < batch.inputs.size for batch in made)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("cell", "output"), MODELS)
def test_padding_has_no_effect(cell, output, engine):
    """The ids in padding, input or target, change no loss and no gradient; nor does a column of padding."""
    made = architecture(11, cell, 2, 4, 3, *OUTPUTS[output])
    p, batch = parameters(made), words(11, 6, 3, True)
    start = state(made, 3, 1)
    plain = results(engine, made, p, batch, start, None)
    rng = np.random.default_rng(5)
    other_words = Batch(
        np.where(batch.mask, batch.inputs, rng.integers(0, 11, (6, 3))),
        np.where(batch.mask, batch.targets, rng.integers(0, 11, (6, 3))),
        *(getattr(batch, name) for name in ("mask", "positions", "fresh", "words", "epoch", "index")),
    )
    changed = results(engine, made, p, other_words, start, None)
    names = [name for name in plain if name in p.shapes or name in ("loss", "nll") or name.startswith("first")]
    errors = worst_error({n: changed[n] for n in names}, {n: plain[n] for n in names})
    assert max(errors.values()) < 1e-12, errors
    assert not batch.mask[:, 1].any()
    assert all(not plain[f"first {name}"][:, 1].any() for name in made.state_names())


@pytest.mark.parametrize("cell", CELLS)
def test_a_state_that_was_handed_over_does_not_change(cell):
    """Buffers may be reused between passes, except for arrays that the caller holds."""
    made = architecture(11, cell, 2, 5, None)
    model = language_model("fused", made, parameters(made))
    batches = [words(11, T, B, pads, seed=T) for T, B, pads in [(4, 3, True), (4, 3, False), (2, 3, True)]]
    start = state(made, 3, 0)
    held = []
    for batch in batches:
        passed = model.forward(batch, start, noise_of(batch))
        _, first = model.backward_(passed, state(made, 3, 1))
        held += [(array, array.copy()) for layer in passed.state + first for array in layer]
        start = passed.state
    for array, copy in held:
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("embedding_size", [None, 6])
@pytest.mark.parametrize(("cell", "output"), MODELS)
def test_float32_is_float64_to_its_digits(cell, output, embedding_size):
    made = architecture(40, cell, 2, 16, embedding_size, *OUTPUTS[output])
    narrow = parameters(made, dtype=np.float32)
    batch = words(40, 12, 5, True)
    start, dlast = (state(made, 5, seed, np.float32) for seed in (1, 2))
    wide_states = [tuple(tuple(a.astype(np.float64) for a in layer) for layer in each) for each in (start, dlast)]
    got = results("fused", made, narrow, batch, start, dlast)
    expected = results("fused", made, narrow.astype(np.float64), batch, *wide_states)
    assert {array.dtype for name, array in got.items() if name != "loss"} == {np.dtype(np.float32)}
    errors = worst_error(got, expected)
    assert max(errors.values()) < 5e-5, errors
