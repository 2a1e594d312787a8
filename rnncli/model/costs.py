"""Costs of a model: operations of its matrix products, and elements of memory at the peak of a step.

A new cell or output layer uses the general estimates below; registering a specific one makes them tighter.
"""

from __future__ import annotations

import math
from functools import singledispatch

from rnncli.model.architecture import Architecture
from rnncli.model.cells import Cell, Gru, Lstm, Rnn
from rnncli.model.engines.base import Stack
from rnncli.model.engines.fused import ClusterRows
from rnncli.model.engines.stepwise import StepwiseStack
from rnncli.model.engines.stepwise_outputs import StepwiseAdaptive, StepwiseFull, StepwiseSampled
from rnncli.model.language_model import LanguageModel, Pass
from rnncli.model.noise import Dropout
from rnncli.model.outputs import AdaptiveSoftmax, FullSoftmax, Output, SampledSoftmax
from rnncli.model.outputs.full import rows_in_a_piece
from rnncli.system.arrays import Shapes, Tensors

# Arrays (T, n_a, B) besides the gates: kept by each layer for its backward pass (states, u, tanh c), and shared
# scratch. The default for other cells: number of states + 1, and 4.
CELL_ARRAYS: dict[type[Cell], tuple[int, int]] = {Rnn: (1, 0), Lstm: (3, 1), Gru: (2, 4)}


def operations(model: LanguageModel, passed: Pass) -> dict[str, int]:
    """Floating-point operations of the matrix products of a step, by section of a profile.

    A product of (n, k) and (k, m) takes 2 n m k, and its backward pass two such products. One-hot input takes no
    product: it is a gather of rows.
    """
    a, forward = model.architecture, 0
    n_x, one_hot = a.embedding_size or a.vocabulary_size, a.embedding_size is None
    for _ in range(a.layers):
        shapes = a.cell.shapes(n_x, a.hidden_size)
        forward += 2 * passed.batch.inputs.size * math.prod(shapes["Waa"])
        forward += 0 if one_hot else 2 * passed.batch.inputs.size * math.prod(shapes["Wxa"])
        n_x, one_hot = a.hidden_size, False
    projection = 2 * len(passed.losses) * a.hidden_size * (a.projected or 0)
    made = 2 * passed.x.products if isinstance(passed.x, ClusterRows) else 0
    products, backward = _output_products(model.output, model.parameters.section("output"), passed)
    return {
        "input": 3 * made,
        "cells forward": forward,
        "cells backward": 2 * forward,
        "output": 2 * products * (3 if backward else 1) + 3 * projection,
    }


@singledispatch
def _output_products(output: Output, p: Tensors, passed: Pass) -> tuple[int, bool]:
    """Multiply-adds of the products of a forward pass, and whether the backward pass has products too.

    Default: every matrix at every position.
    """
    return len(passed.losses) * sum(tensor.size for tensor in p.values() if tensor.ndim == 2), True


@_output_products.register
def _(output: AdaptiveSoftmax, p: Tensors, passed: Pass) -> tuple[int, bool]:
    hidden, _, tails = passed.output
    products = len(hidden) * p["Wya"].size
    for k, (rows, _) in enumerate(tails, 1):  # the rows whose target is in the cluster
        products += len(rows) * (p[f"P{k}"].size + p[f"W{k}"].size)
    return products, True


@_output_products.register
def _(output: SampledSoftmax, p: Tensors, passed: Pass) -> tuple[int, bool]:
    hidden, _, _, W, *_ = passed.output
    return len(hidden) * W.size, True  # W: the distinct words drawn


@_output_products.register
def _(output: StepwiseSampled, p: Tensors, passed: Pass) -> tuple[int, bool]:
    return len(passed.losses) * p["Wya"].size, False  # backward goes word by word


@singledispatch
def stack_elements(stack: Stack, architecture: Architecture, T: int, B: int) -> int:
    """Peak memory of a forward and a backward pass of input and stack over T steps and B columns, in elements.

    For the fused engine: arrays of each layer, and scratch arrays shared by all layers.
    """
    a, N = architecture, T * B
    D, one_hot = a.embedding_size, a.embedding_size is None
    n_x = a.vocabulary_size if D is None else D
    # Rows of the embedding, and their gradients summed by word: of a text, words that occur once in a window are copied
    # once, the others twice. (If every word occurred twice, it would be 2 N.)
    summed = N + min(N // 4, 2 * a.vocabulary_size)
    kept = 0 if D is None else (N + summed) * D
    shared = 0
    states, scratch = CELL_ARRAYS.get(type(a.cell), (len(a.cell.states) + 1, 4))
    for _ in range(a.layers):
        n_a, row = a.hidden_size, a.cell.shapes(n_x, a.hidden_size)["ba"][0]
        kept += N * row + (N + B) * n_a * states + N * n_a  # gates, states, hidden states as rows
        # Gates and their gradients as rows, the gradient from above, the hidden states of the previous step; Waa
        # transposed, and the arrays of one step.
        of_layer = 2 * N * row + N * n_a * (2 + scratch) + row * n_a + 2 * B * (row + states * n_a)
        # A gather of rows, or their gradients summed by word; otherwise the gradient of the input.
        shared = max(shared, of_layer + (summed * row if one_hot else N * n_x))
        n_x, one_hot = n_a, False
    return kept + shared + (N * a.hidden_size if a.residual else 0)  # the gradient that goes around a layer


@stack_elements.register
def _(stack: StepwiseStack, architecture: Architecture, T: int, B: int) -> int:
    a = architecture
    V, n_x = a.vocabulary_size, a.embedding_size or a.vocabulary_size
    gates = a.cell.shapes(n_x, a.hidden_size)["ba"][0] // a.hidden_size
    weights = sum(math.prod(shape) for name, shape in a.shapes().items() if not name.startswith("output."))
    # Roughly: parameters in the course's matrices, and their gradients, per step and summed; one-hot vectors and
    # arrays of that size; the input, its concatenation with the state for each gate, its gradient; per layer and step,
    # the cache.
    return (3 if gates > 1 else 1) * weights + T * B * (V + (1 + gates) * n_x + a.layers * 20 * a.hidden_size)


def noise_elements(architecture: Architecture, dropout: Dropout, T: int, B: int) -> int:
    """Elements of the masks of a step, and of the recurrent weights that they are multiplied with."""
    a, steps = architecture, T if dropout.masks == "step" else 1
    of_layers = [dropout.hidden] * (a.layers - 1) + [dropout.output]
    elements = sum(steps * B * a.hidden_size for rate in of_layers if rate)
    elements += steps * B * (a.embedding_size or 0) if dropout.input else 0
    elements += a.vocabulary_size + T * B if dropout.word else 0
    recurrent = [math.prod(a.cell.shapes(1, a.hidden_size)["Waa"])] * a.layers if dropout.recurrent else []
    return elements + 2 * sum(recurrent)


@singledispatch
def output_elements(output: Output, shapes: Shapes, positions: int, scored: int) -> int:
    """Peak memory of an output layer in elements, besides parameters of these shapes and their gradients.

    positions: of a training step. scored: of an evaluation batch. Default: the logits of the largest matrix.
    """
    return _full_elements(max((s for s in shapes.values() if len(s) == 2), key=math.prod), positions, scored)


def _full_elements(shape: tuple[int, ...], positions: int, scored: int) -> int:
    words, size = shape
    rows = max(positions, min(scored, rows_in_a_piece(words)))
    return rows * words + 2 * positions * size  # the logits, and two of the small (positions, size) matrices


@output_elements.register
def _(output: FullSoftmax, shapes: Shapes, positions: int, scored: int) -> int:
    return _full_elements(shapes["Wya"], positions, scored)


@output_elements.register
def _(output: AdaptiveSoftmax, shapes: Shapes, positions: int, scored: int) -> int:
    head, size = shapes["Wya"]
    clusters = [shapes[f"W{k}"] for k in range(1, (len(shapes) - 2) // 3 + 1)]  # words and features of each
    rows = max(positions, min(scored, rows_in_a_piece(max([head, *(words for words, _ in clusters)]))))
    elements = rows * head + 2 * positions * size
    start = head - len(clusters)
    for words, features in clusters:
        share = output.share(start, start + words)
        # The cluster's share of the positions, plus four standard deviations for the worst of many batches.
        of_cluster = min(rows, math.ceil(rows * share + 4 * math.sqrt(rows * share * (1 - share))))
        elements += of_cluster * (words + 2 * features + size)
        start += words
    return elements


@output_elements.register
def _(output: SampledSoftmax, shapes: Shapes, positions: int, scored: int) -> int:
    words, size = shapes["Wya"]
    drawn = output.proposal.distinct(words)
    in_training = positions * (drawn + 1)
    # Rows of the drawn words and of the targets, and their gradients: concatenated, sorted, summed.
    return max(in_training, min(scored, rows_in_a_piece(words)) * words) + (5 * drawn + 3 * positions) * size


@output_elements.register
def _(output: StepwiseFull, shapes: Shapes, positions: int, scored: int) -> int:
    """Roughly: logits and probabilities of every word at every position; all gradients of one position."""
    words = sum(math.prod(shape) for shape in shapes.values() if len(shape) == 1)
    of_clusters = 2 if isinstance(output, StepwiseAdaptive) else 1  # added to those of all words
    return 2 * of_clusters * max(positions, scored) * words + 2 * sum(map(math.prod, shapes.values()))


def packed_elements(architecture: Architecture, output: Output, positions: int, strip: int, narrow: bool) -> int:
    """Elements that a BLAS copies for the largest product: `strip` of the inner dimension at a time, as OpenBLAS does.

    narrow: with one thread, a narrow product needs only a strip of the tall matrix at a time.
    """
    size, left_out = architecture.hidden_size, ["embedding.E"]
    left_out += [] if output.exact else ["output.Wya"]
    left_out += ["layer0.Wxa"] if architecture.embedding_size is None else []
    shapes = architecture.shapes() | {f"output.{name}": shape for name, shape in architecture.output_shapes().items()}
    tallest = max(shape[0] for name, shape in shapes.items() if len(shape) == 2 and name not in left_out)
    if narrow and size < strip:
        tallest = min(tallest, strip)
    return int(max(tallest, min(positions, strip)) * min(max(positions, size), strip))


def orthogonal_bytes(architecture: Architecture) -> int:
    """Bytes for drawing one square block of a recurrent matrix: five copies of it in float64."""
    return 5 * 8 * architecture.hidden_size**2
