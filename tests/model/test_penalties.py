"""Penalties on hidden states against plain sums; gradcheck proves their gradient."""

import numpy as np
import pytest
from support.models import architecture, language_model, noise_of
from support.small_run import metrics, settings, train

from rnncli.batches.stream import StreamBatches
from rnncli.model.penalties import Penalties


@pytest.mark.parametrize("padded", [False, True])
def test_the_sums(padded):
    rng = np.random.default_rng(0)
    T, B, H = 4, 3, 5
    h = rng.normal(size=(T, B, H))
    mask = np.arange(T)[:, None] < np.array([4, 1, 2]) if padded else np.ones((T, B), bool)
    activation = sum((h[t, b] ** 2).sum() for t in range(T) for b in range(B) if mask[t, b])
    temporal = sum(((h[t, b] - h[t - 1, b]) ** 2).sum() for t in range(1, T) for b in range(B) if mask[t, b])
    found = Penalties(0.5, 0.25).value(h.reshape(-1, H), mask if padded else None, T, 7)
    assert found == pytest.approx((0.5 * activation + 0.25 * temporal) / (7 * H), rel=1e-13)


def test_the_loss_is_reported_without_the_penalty(tmp_path):
    made = architecture(9, "lstm", 1, 4, 3)
    model = language_model("fused", made, made.initialise(1))
    batch = next(StreamBatches(np.arange(60) % 9, 0, 3, 5).epoch(0))
    plain = model.forward(batch, model.zero_state(3), noise_of(batch))
    with_penalty = model.forward(batch, model.zero_state(3), noise_of(batch, penalties=Penalties(2.0, 1.0)))
    assert (plain.loss, plain.penalty) == (with_penalty.loss, 0.0)
    assert with_penalty.penalty > 0
    first = {}
    for factor in (0.0, 2.0):
        train(settings(tmp_path, penalty__activation=factor), tmp_path / str(factor))
        first[factor] = metrics(tmp_path / str(factor))
    assert first[0.0][0]["loss"] == first[2.0][0]["loss"]
    assert first[0.0][0]["gradient_norm"] != first[2.0][0]["gradient_norm"]
    assert first[0.0][-1]["loss"] != first[2.0][-1]["loss"]
