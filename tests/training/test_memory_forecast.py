"""The memory forecast against measured memory."""

from types import SimpleNamespace

import numpy as np
import pytest
from support.models import architecture, language_model, noise_of
from support.small_run import settings, trainer
from support.traced_memory import peak_of

from rnncli.batches.stream import StreamBatches
from rnncli.config import build, corpora
from rnncli.errors import ConfigError, TextError
from rnncli.model import costs
from rnncli.model.noise import NO_DROPOUT, Dropout
from rnncli.model.outputs import AdaptiveSoftmax, SampledSoftmax
from rnncli.system import process, threads
from rnncli.text import spelling, spool
from rnncli.training import memory_forecast

OPTIONS = {
    "full": None,
    "adaptive": AdaptiveSoftmax.Options(cutoffs=(200, 900)),
    "sampled": SampledSoftmax.Options(samples=400),
}
COUNTS = (1e7 / np.arange(1, 2001)).astype(np.int64)  # Zipf's law
SHARES = COUNTS / COUNTS.sum()


def model(
    cell="lstm",
    layers=1,
    embedding_size=60,
    output="full",
    engine="fused",
    dtype=np.float32,
    hidden_size=60,
    tied=False,
    residual=False,
):
    sizes = layers, hidden_size, embedding_size
    made = architecture(len(COUNTS), cell, *sizes, output, OPTIONS[output], tied, residual)
    return language_model(engine, made, made.initialise(1, dtype), COUNTS)


def batches(T, B, number=3):
    ids = np.random.default_rng(0).choice(len(COUNTS), T * B * number, p=SHARES)
    return list(StreamBatches(ids, 0, B, T).epoch(0))


def steps(made, T, B, dropout=NO_DROPOUT):
    """Some steps of training, with the gradients allocated before."""
    window = batches(T, B)
    assert made.gradients.vector.size

    def work():
        state = made.zero_state(B)
        for batch in window:
            passed = made.forward(batch, state, noise_of(batch, dropout=dropout))
            made.backward_(passed)
            state = passed.state

    return work


def held(made, T, B, scored=0):
    """The estimate in bytes for the stack and the output layer."""
    numbers = costs.stack_elements(made.stack, made.architecture, T, B)
    numbers += costs.output_elements(made.output, made.architecture.output_shapes(), T * B, scored)
    return numbers * made.parameters.dtype.itemsize


@pytest.fixture(scope="module", autouse=True)
def imported():
    """Run one pass first: its imports are not memory of a model."""
    for output in OPTIONS:
        made = model(output=output, layers=2)
        steps(made, 3, 4)()


@pytest.mark.parametrize("output", OPTIONS)
@pytest.mark.parametrize("embedding_size", [60, None])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_memory_of_a_step(cell, layers, embedding_size, output):
    made = model(cell, layers, embedding_size, output)
    measured, estimate = peak_of(steps(made, 20, 20)), held(made, 20, 20)
    assert 0.93 * measured < estimate < 1.2 * measured


@pytest.mark.parametrize("masks", ["window", "step"])
@pytest.mark.parametrize("embedding_size", [60, 40])
def test_memory_of_a_tied_model_with_dropout(embedding_size, masks):
    made, dropout = model(layers=2, embedding_size=embedding_size, tied=True), Dropout(0.2, 0.2, 0.3, 0.1, 0.4, masks)
    measured, estimate = peak_of(steps(made, 20, 20, dropout)), held(made, 20, 20)
    estimate += 4 * costs.noise_elements(made.architecture, dropout, 20, 20)
    assert 0.85 * measured < estimate < 1.15 * measured


@pytest.mark.parametrize(
    "changes",
    [{"dtype": np.float64}, {"hidden_size": 150, "cell": "gru", "layers": 2}, {"layers": 3, "residual": True}],
)
@pytest.mark.parametrize(("T", "B"), [(1, 300), (40, 3), (35, 20)])
def test_memory_of_a_step_of_another_shape(T, B, changes):
    made = model(**changes)
    measured, estimate = peak_of(steps(made, T, B)), held(made, T, B)
    assert 0.9 * measured < estimate < 1.25 * measured


@pytest.mark.parametrize(
    ("cell", "output"),
    [*((cell, "full") for cell in ("rnn", "lstm", "gru")), ("lstm", "adaptive"), ("lstm", "sampled")],
)
def test_memory_of_the_stepwise_engine_roughly(cell, output):
    for embedding_size in (60, None):
        made = model(cell, 2, embedding_size, output, "stepwise")
        measured, estimate = peak_of(steps(made, 4, 5)), held(made, 4, 5)
        assert 0.4 * measured < estimate < 2.5 * measured


@pytest.mark.parametrize("output", OPTIONS)
@pytest.mark.parametrize(("T", "B"), [(32, 16), (512, 1)])
def test_memory_of_evaluation(output, T, B, monkeypatch):
    monkeypatch.setattr("rnncli.model.outputs.full.SCORED", 1 << 18)
    made = model(output=output, layers=2)

    def score():
        state = made.zero_state(B)
        for batch in window:
            _, state = made.score(batch, state)

    window = batches(T, B)
    measured = peak_of(score)
    shapes = {name[7:]: shape for name, shape in made.parameters.shapes.items() if name.startswith("output.")}
    stack = costs.stack_elements(made.stack, made.architecture, T, B)
    estimate = 4 * (stack + costs.output_elements(made.output, shapes, 0, T * B))
    assert 0.9 * measured < estimate < 2.5 * measured  # the estimate includes a backward pass


def test_several_layers_share_what_none_of_them_keeps():
    one, three = (peak_of(steps(model(layers=layers), 20, 20)) for layers in (1, 3))
    gates = 4 * 60 * 400 * 4
    assert three - one < 2 * 2.2 * gates  # a layer keeps its gates, but not their rows and gradients


MEGABYTE = 1_000_000


@pytest.fixture
def machine(monkeypatch):
    """Memory figures of the system: 50 MB now, 70 MB at the peak, and a settable amount free."""
    made = SimpleNamespace(resident=50 * MEGABYTE, peak=70 * MEGABYTE, available=10**12)
    monkeypatch.setattr(process, "resident_memory", lambda: made.resident)
    monkeypatch.setattr(process, "peak_memory", lambda: made.peak)
    monkeypatch.setattr(process, "available_memory", lambda: made.available)
    monkeypatch.setattr(process, "mappable_memory", lambda: None)
    return made


def predicted(config):
    return memory_forecast.predict(config, corpora.texts(config))


def test_the_parts_and_the_peak(tmp_path, machine):
    config = settings(tmp_path, model__hidden_size=300, data__valid=0.2)
    found = predicted(config)
    numbers = trainer(config, tmp_path / "run").model.parameters.vector.size
    assert found.parts["parameters"] == found.parts["gradients"] == 4 * numbers
    assert found.parts["moments"] == 8 * numbers
    assert found.parts["process"] == 50 * MEGABYTE + memory_forecast.LATER
    assert found.parts.keys() == {
        *("process", "parameters", "gradients", "moments", "activations", "logits", "products", "order"),
        *("masks", "spelling", "mapped texts"),
    }
    assert found.peak == max(sum(found.parts.values()), 70 * MEGABYTE)
    double = predicted(settings(tmp_path, model__hidden_size=300, data__valid=0.2, training__dtype="float64"))
    for name in ("parameters", "gradients", "moments", "activations", "logits", "products"):
        assert double.parts[name] == 2 * found.parts[name]
    assert predicted(settings(tmp_path, optimizer__name="sgd")).parts["moments"] == 0


def test_reading_may_be_the_peak(tmp_path, machine):
    machine.peak = 900 * MEGABYTE
    assert predicted(settings(tmp_path)).peak == 900 * MEGABYTE


def test_the_start_of_a_large_recurrent_matrix_may_be_the_peak(tmp_path, machine):
    config = settings(tmp_path, model__cell="rnn", model__hidden_size=5000, optimizer__name="sgd")
    found = predicted(config)
    assert found.peak == found.parts["process"] + found.parts["parameters"] + 40 * 5000**2
    assert found.peak > sum(found.parts.values())


def test_without_the_resident_size_the_peak_so_far_is_used(tmp_path, machine):
    machine.resident = None
    assert predicted(settings(tmp_path)).parts["process"] == 70 * MEGABYTE + memory_forecast.LATER
    machine.peak = None
    found = predicted(settings(tmp_path))
    assert found.parts["process"] == memory_forecast.PYTHON_AND_NUMPY + memory_forecast.LATER
    assert found.peak == sum(found.parts.values())


def test_a_model_that_does_not_fit_is_refused(tmp_path, machine, monkeypatch):
    config, machine.peak = settings(tmp_path, model__hidden_size=300), 70_300_000
    texts, found = corpora.texts(config), predicted(config)
    machine.available = found.peak - machine.resident
    memory_forecast.check(config, texts)
    machine.available -= 1
    with pytest.raises(ConfigError, match=r"takes 71 MB, and 70 MB are free here; lower .*\.batch_size$"):
        memory_forecast.check(config, texts)
    monkeypatch.setattr(process, "mappable_memory", lambda: machine.available)
    monkeypatch.setattr(threads, "count", lambda: 2)
    with pytest.raises(ConfigError, match=r"model\.hidden_size, .*training\.batch_size, or --threads$"):
        memory_forecast.check(config, texts)
    machine.available = None
    memory_forecast.check(config, texts)


def test_the_spelling_of_unknown_words_is_counted(tmp_path, machine):
    assert predicted(settings(tmp_path)).parts["spelling"] == 0
    config = settings(tmp_path, vocabulary__max_size=6)
    words, outside = corpora.texts(config).vocabulary.words, [f"rare{i:06}" for i in range(50_000)]
    held = predicted(config).parts["spelling"]
    assert held == spelling.peak_bytes(words)
    assert 0.5 * held < peak_of(lambda: spelling.Spelling(words).nats(outside)) < 1.2 * held
    many = [f"{i:x}word" for i in range(50_000)]
    assert 0.7 * spelling.peak_bytes(many) < peak_of(lambda: spelling.Spelling(many)) < 1.2 * spelling.peak_bytes(many)


def test_mapped_texts_are_listed_but_can_be_reclaimed(tmp_path, machine, monkeypatch):
    config = settings(tmp_path, data__cache=str(tmp_path / "cache"), data__valid=0.2)
    with monkeypatch.context() as large:
        large.setattr(spool, "LARGEST_IN_MEMORY", 0)
        texts, found = corpora.texts(config), predicted(config)
    read = [texts.train.ids, texts.train.line_starts, texts.valid.ids, texts.valid.line_starts]
    assert found.parts["mapped texts"] == sum(array.nbytes for array in read) > 0
    assert predicted(settings(tmp_path, data__valid=0.2)).parts["mapped texts"] == 0
    machine.available = found.peak - found.parts["mapped texts"] - machine.resident
    memory_forecast.check(config, texts)
    machine.available -= 1
    with pytest.raises(ConfigError):
        memory_forecast.check(config, texts)


def test_a_stream_with_fewer_words_than_columns_is_refused(tmp_path, machine):
    config = settings(tmp_path, data__mode="stream", training__batch_size=10**6)
    with pytest.raises(TextError, match=r"fewer than the 1000000 that one batch needs"):
        memory_forecast.check(config, corpora.texts(config))


def test_memory_that_a_product_copies():
    def packed(made, positions, narrow=False):
        return costs.packed_elements(made.architecture, made.output, positions, 320, narrow)

    made = model(layers=2, hidden_size=400, embedding_size=300)
    assert packed(made, 700) == packed(made, 700, narrow=True) == 2000 * 320
    narrow = model(layers=2)
    assert packed(narrow, 700) == 2000 * 320
    assert packed(narrow, 700, narrow=True) == 320 * 320
    few, sampled = model(layers=2), model(output="sampled")  # few positions, and no product with all words
    assert packed(few, 5) == 2000 * 60
    assert packed(sampled, 700) == 320 * 320


def test_the_order_of_sentences(tmp_path, machine):
    for share, largest in ((0.1, "train"), (0.9, "valid")):
        config = settings(tmp_path, data__valid=share)
        texts = corpora.texts(config)
        end_id = texts.vocabulary.end_id
        order = {
            "train": build.training_batches(config, texts.train, end_id, 0).order_bytes,
            "valid": build.evaluation_batches(config, texts.valid, end_id).order_bytes,
        }
        assert predicted(config).parts["order"] == order[largest] == max(order.values())
    assert predicted(settings(tmp_path, data__mode="stream")).parts["order"] == 0
