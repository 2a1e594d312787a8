"""Training from start to end in both engines: equal losses, a start at ln V, and the entropy of the text at the end."""

import collections
from pathlib import Path

import numpy as np
import pytest
from support.models import architecture, language_model, noise_of

from rnncli import reference
from rnncli.batches.stream import StreamBatches
from rnncli.config import build, corpora
from rnncli.config.config import from_dict
from rnncli.evaluation.evaluate import evaluate
from rnncli.model.cells import CELLS
from rnncli.model.engines import ENGINES
from rnncli.runs.folder import RunFolder
from rnncli.training.trainer import Step, Trainer

# Shared prefixes, repeated sentences, and one that is a prefix of others: the next word is often uncertain.
SENTENCES = """\
the cat sat on the mat
the cat sat on the red mat
the cat sat on the mat
the cat ran
the cat
the dog ran after the cat
the dog ran after the cat and the cat ran
the dog ran home
the dog ran home
the dog sat
a bird sang
a bird sang
a bird sang in the old tree by the river
a bird flew over the house
a fish swam
a fish swam in the river
my dog ran home
my cat ran home
my bird sang

"""


def prefix_entropy(text):
    """The lowest possible mean loss in nats: the probability of a word is its share after the same prefix."""
    following = collections.defaultdict(collections.Counter)
    for line in text.splitlines():
        sentence = [*line.split(), "<end>"]
        for i, word in enumerate(sentence):
            following[tuple(sentence[:i])][word] += 1
    total = sum(counts.total() for counts in following.values())
    nats = (-n * np.log(n / counts.total()) for counts in following.values() for n in counts.values())
    return sum(nats) / total


def trainer_of(folder, text, training, optimizer=None, mode="sentences", **model):
    path = Path(folder) / "text.txt"
    path.write_text(text, encoding="utf-8")
    config = from_dict(
        {
            "data": {"train": [str(path)], "mode": mode},
            "model": model,
            "optimizer": optimizer or {},
            "training": training,
            "run": {"checkpoint_every": "10000 steps"},
        }
    )
    run = RunFolder(Path(folder) / f"run-{model.get('engine')}")
    run.create()
    return Trainer(config, corpora.texts(config), 7, run)


def losses_in(trainer):
    return [event.loss for event in trainer.train() if isinstance(event, Step)]


def test_the_entropy_of_a_prefix_tree():
    assert len(SENTENCES.splitlines()) == 20
    assert prefix_entropy("a\na\na\n") == 0
    np.testing.assert_allclose(prefix_entropy("a b\na c\n"), 2 * np.log(2) / 6)
    np.testing.assert_allclose(prefix_entropy("a\na\n\nb\n"), (2 * np.log(2) + 2 * np.log(4)) / 7)


OUTPUTS = {
    "full": "full",
    "adaptive": {"name": "adaptive", "cutoffs": [8, 16], "div_value": 2},
    "sampled": {"name": "sampled", "samples": 100},
    "unigram": {"name": "sampled", "samples": 100, "proposal": "unigram"},
}
MODELS = [*((cell, "full") for cell in CELLS), *(("gru", output) for output in list(OUTPUTS)[1:])]


@pytest.mark.parametrize(("cell", "output"), MODELS)
def test_twenty_sentences_are_learnt_to_their_entropy(cell, output, tmp_path):
    training = {"epochs": 400, "batch_size": 20, "bptt": 6, "dtype": "float32"}  # of 11 words: the state is carried
    model = {"cell": cell, "hidden_size": 24, "embedding_size": 12, "output": OUTPUTS[output]}
    trainer = trainer_of(tmp_path, SENTENCES, training, {"learning_rate": 0.01}, **model)
    assert trainer.model.parameters.dtype == np.float32
    losses_in(trainer)
    text = trainer.texts.train
    batches = build.evaluation_batches(trainer.config, text, trainer.texts.vocabulary.end_id)
    learnt, best = evaluate(trainer.model, batches, text, trainer.train_counts).cross_entropy, prefix_entropy(SENTENCES)
    # The sampled softmax minimises not quite -ln P, even with three samples per word.
    near = 1.02 if trainer.model.output.exact else 1.05
    assert best * (1 - 1e-5) < learnt < best * near, (learnt, best)


def plain_losses(trainer):
    """The same training in plain code: the step-by-step engine, the reference's Adam, one norm over all gradients."""
    config, text, end_id = trainer.config, trainer.texts.train, trainer.texts.vocabulary.end_id
    made = build.architecture(config.model, len(trainer.texts.vocabulary))
    model = language_model("stepwise", made, made.initialise(7, np.float64), trainer.texts.vocabulary.counts)
    v, s = reference.initialize_adam({"w": model.parameters.vector})
    rate, clip_norm, losses, norms, state = config.optimizer.learning_rate, config.optimizer.clip_norm, [], [], ()
    for epoch in range(config.training.epochs):
        for batch in build.training_batches(config, text, end_id, 7).epoch(epoch):
            entering = model.zero_state(batch.inputs.shape[1]) if batch.fresh else state
            passed = model.forward(batch, entering, noise_of(batch, 7))
            dw = model.backward_(passed)[0].vector
            state = passed.state
            norms.append(np.linalg.norm(dw))
            dw = dw * min(1, clip_norm / norms[-1])
            new, v, s = reference.update_parameters_with_adam(
                {"w": model.parameters.vector}, {"dw": dw}, v, s, len(norms), rate
            )
            model.parameters.vector[:] = new["w"]
            losses.append(float(passed.loss))
    assert min(norms) < clip_norm < max(norms)  # some gradients are clipped, some not
    return losses


@pytest.mark.parametrize("mode", ["sentences", "stream"])
@pytest.mark.parametrize(("cell", "output"), MODELS)
def test_training_gives_the_same_losses_in_both_engines(cell, output, mode, tmp_path):
    stream = mode == "stream"
    training = {"epochs": 5, "batch_size": 3 if stream else 2, "bptt": 4, "dtype": "float64"}
    model = {"cell": cell, "hidden_size": 6, "layers": 2 if stream else 1, "embedding_size": None if stream else 5}
    model["output"] = OUTPUTS[output]
    optimizer = {"learning_rate": 0.02, "clip_norm": 0.6}
    fused, stepwise = (
        trainer_of(tmp_path, SENTENCES, training, optimizer, mode, engine=engine, **model) for engine in ENGINES
    )
    expected = plain_losses(fused)
    assert len(expected) >= 50
    for trainer in (fused, stepwise):
        np.testing.assert_allclose(losses_in(trainer), expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(
    ("V", "H", "layers", "D"), [(50, 16, 1, None), (300, 64, 2, 32), (2000, 40, 3, 20), (500, 100, 1, 100)]
)
def test_the_loss_before_training_is_that_of_guessing(cell, V, H, layers, D):
    made = architecture(V, cell, layers, H, D)
    rng = np.random.default_rng(0)
    batch = next(StreamBatches(rng.zipf(1.3, 2000) % V, 0, 10, 10).epoch(0))
    for seed in (0, 1):
        model = language_model("fused", made, made.initialise(seed, np.float32))
        loss = float(model.forward(batch, model.zero_state(10), noise_of(batch)).loss)
        assert abs(loss / np.log(V) - 1) < 0.02, (seed, loss, np.log(V))
