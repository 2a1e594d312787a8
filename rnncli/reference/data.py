"""Data preparation of notebook 000: sentences to one-hot tensors, with the vocabulary on the feature axis.

A sentence w1 ... wn gives the inputs w1 ... wn and the targets w2 ... wn <end>. The tensors of notebook 000 have the
vocabulary on the example axis, which makes every prediction 1 (docs/errata.md); here x is (n_x, m, T_x).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rnncli.reference.functional import one_hot
from rnncli.system.arrays import Array

END = "<end>"
FRUIT_SENTENCES = ("mango is yellow color", "banana is pink color", "hair has black color")


class PreparedSentences(NamedTuple):
    """Result of `prepare_sentences` for m sentences, T_x words in the longest, n_x words in the vocabulary."""

    char2idx: dict[str, int]  # word -> index
    idx2char: Array  # (n_x,) index -> word; "char" is the name in the notebook
    x: Array  # (n_x, m, T_x) one-hot inputs; all zeros at padded positions
    y: Array  # (n_x, m, T_x) one-hot targets; all zeros at padded positions
    input_ids: Array  # (m, T_x) integers; the index of <end> at padded positions
    target_ids: Array  # (m, T_x) integers; the index of <end> at padded positions
    mask: Array  # (m, T_x) bool: True at the real positions


def build_vocabulary(sentences: Sequence[str]) -> list[str]:
    """Return the distinct words and <end>, sorted as in notebook 000 ("<" sorts before "a", so <end> is first)."""
    return sorted({END, *(word for sentence in sentences for word in sentence.split())})


def prepare_sentences(
    sentences: Sequence[str] = FRUIT_SENTENCES, dtype: npt.DTypeLike = np.float64
) -> PreparedSentences:
    """Return vocabulary, inputs and targets of sentences split at white space (notebook 000, "Data preparing").

    Sentences are padded at the end to the length of the longest (notebook 000 has equal lengths only). `mask` marks
    the real positions; pass it to `cross_entropy_cost` and `output_backward`. States after the end of a shorter
    sentence are computed, but affect neither cost nor gradients.

    Raises ValueError for an empty list, a blank sentence, or a sentence that contains the word <end>.
    """
    rows = [sentence.split() for sentence in sentences]
    _check_rows(rows)
    idx2char = np.array(build_vocabulary(sentences))
    char2idx = {str(word): index for index, word in enumerate(idx2char)}
    lengths = np.array([len(row) for row in rows])
    mask = np.arange(lengths.max()) < lengths[:, np.newaxis]
    input_ids = np.full(mask.shape, char2idx[END])
    target_ids = np.full(mask.shape, char2idx[END])  # leaves an <end> as the last target of each row
    for i, row in enumerate(rows):
        input_ids[i, : len(row)] = [char2idx[word] for word in row]
        target_ids[i, : len(row) - 1] = input_ids[i, 1 : len(row)]
    x = one_hot(input_ids, len(idx2char), dtype) * mask.astype(dtype)
    y = one_hot(target_ids, len(idx2char), dtype) * mask.astype(dtype)
    return PreparedSentences(char2idx, idx2char, x, y, input_ids, target_ids, mask)


def _check_rows(rows: Sequence[Sequence[str]]) -> None:
    if not rows:
        raise ValueError("sentences is empty; give at least one")
    for number, row in enumerate(rows, start=1):
        if not row:
            raise ValueError(f"sentence {number} is blank; remove it")
        if END in row:
            raise ValueError(
                f"sentence {number} contains {END!r}, which is reserved for the ends of sentences; remove it"
            )
