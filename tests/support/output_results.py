"""Shared by the tests of the output layers: tensors, positions, all results of a pass, and comparisons."""

import numpy as np

from rnncli.model.parameters import Gradients, Parameters

TIGHT = {np.float32: 2e-5, np.float64: 1e-12}
PROPOSALS = ("log_uniform", "unigram")


def random_tensors(shapes, dtype=np.float64, seed=0, spread=1.0):
    rng = np.random.default_rng(seed)
    return {name: (spread * rng.normal(size=shape)).astype(dtype) for name, shape in shapes.items()}


def positions(N, V, H, dtype=np.float64, seed=1):
    """Hidden states in (-1, 1), as from the cells, and targets, some of them equal."""
    rng = np.random.default_rng(seed)
    return np.tanh(rng.normal(size=(N, H))).astype(dtype), rng.integers(0, V, N)


def counts_of(V):
    """Counts by Zipf's law; every fourth word does not occur in the training text."""
    return np.where(np.arange(V) % 4 == 3, 0, 1 + 30 // (np.arange(V) + 1))


class FixedNoise:
    """Noise from one generator for every purpose."""

    def __init__(self, rng):
        self._rng = rng

    def stream(self, purpose, *position):
        return self._rng


def section_of(p):
    """Gradients of an output layer's parameters, filled with other numbers before they are written."""
    dtype = next(iter(p.values())).dtype
    parameters = Parameters({f"output.{name}": tensor.shape for name, tensor in p.items()}, dtype)
    gradients = Gradients(parameters)
    gradients.vector[:] = 77
    return gradients.section("output")


def results(layer, p, hidden, targets, scale=1.0, rng=None):
    """Copies of the losses, the gradients by name, and the gradient of the hidden states."""
    nll, cache = layer.forward(p, hidden, targets, rng and FixedNoise(rng))
    nll = nll.copy()
    g = section_of(p)
    dhidden = layer.backward_(p, g, scale, cache)
    return {"nll": nll, "hidden": dhidden.copy()} | dict(g)


def assert_same(results, expected, tolerance):
    """Compare each array to `tolerance` times its largest absolute value, or times 1 if that is larger."""
    assert results.keys() == expected.keys()
    for name, array in expected.items():
        assert results[name].shape == array.shape
        np.testing.assert_allclose(
            results[name], array, rtol=0, atol=tolerance * max(1.0, np.abs(array).max(initial=0)), err_msg=name
        )


def wide(arrays):
    """The same numbers in float64."""
    return {name: array.astype(np.float64) for name, array in arrays.items()}


def assert_complex_steps_agree(layer, p, hidden, targets, rng=lambda: None):
    """The gradients are the derivatives of the losses' sum, along a random direction in each array."""
    expected = results(layer, p, hidden, targets, rng=rng())
    directions, h = np.random.default_rng(9), 1e-20
    arrays = p | {"hidden": hidden}
    for name, array in arrays.items():
        direction = directions.normal(size=array.shape)
        moved = {key: value.astype(np.complex128) for key, value in arrays.items()}
        moved[name] += 1j * h * direction
        moved_hidden = moved.pop("hidden")
        nll, _ = layer.forward(moved, moved_hidden, targets, (drawn := rng()) and FixedNoise(drawn))
        derivative = (direction * expected[name]).sum()
        np.testing.assert_allclose(nll.sum().imag / h, derivative, rtol=1e-10, atol=1e-13, err_msg=name)
        np.testing.assert_allclose(nll.real, expected["nll"], rtol=1e-12, atol=1e-14)
