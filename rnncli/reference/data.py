"""Data preparation of notebook 000: sentences to one-hot tensors, with the vocabulary on the feature axis.

Notebook 000 reads a sentence w1 ... wn as the inputs, and w2 ... wn <end> as the targets. Its own tensors have the
vocabulary on the example axis, which makes every prediction 1 (docs/errata.md); here x is (n_x, m, T_x).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rnncli.reference.functional import Array, one_hot

END = "<end>"
FRUIT_SENTENCES = ("mango is yellow color", "banana is pink color", "hair has black color")


class PreparedSentences(NamedTuple):
    """What `prepare_sentences` returns, for m sentences, the longest of T_x words, and n_x words in the vocabulary."""

    char2idx: dict[str, int]  # word -> index
    idx2char: Array  # (n_x,) index -> word; "char" is the notebook's word for a word
    x: Array  # (n_x, m, T_x) one-hot inputs; all zeros at padded positions
    y: Array  # (n_x, m, T_x) one-hot targets; all zeros at padded positions
    input_ids: Array  # (m, T_x) integers; the index of <end> at padded positions
    target_ids: Array  # (m, T_x) integers; the index of <end> at padded positions
    mask: Array  # (m, T_x) bool: True at the real positions


def build_vocabulary(sentences: Sequence[str]) -> list[str]:
    """The words and <end>, each once, sorted as in notebook 000 ("<" comes before "a", so <end> is first)."""
    return sorted({END, *(word for sentence in sentences for word in sentence.split())})


def prepare_sentences(
    sentences: Sequence[str] = FRUIT_SENTENCES, dtype: npt.DTypeLike = np.float64
) -> PreparedSentences:
    """Vocabulary, inputs and targets of sentences, split at white space (notebook 000, "Data preparing").

    Sentences of unequal length, of which notebook 000 says nothing, are padded at the end to the longest, and `mask`
    tells the real positions: hand it to `cross_entropy_cost` and `output_backward`. States after the end of a shorter
    sentence are computed but reach neither cost nor gradients.

    Raises ValueError where there is no sentence, or one is blank or holds the word <end>.
    """
    rows = [sentence.split() for sentence in sentences]
    _check_rows(rows)
    idx2char = np.array(build_vocabulary(sentences))
    char2idx = {str(word): index for index, word in enumerate(idx2char)}
    lengths = np.array([len(row) for row in rows])
    mask = np.arange(lengths.max()) < lengths[:, np.newaxis]
    input_ids = np.full(mask.shape, char2idx[END])
    target_ids = np.full(mask.shape, char2idx[END])  # leaves the <end> that closes each row in its place
    for i, row in enumerate(rows):
        input_ids[i, : len(row)] = [char2idx[word] for word in row]
        target_ids[i, : len(row) - 1] = input_ids[i, 1 : len(row)]
    x = one_hot(input_ids, len(idx2char), dtype) * mask.astype(dtype)
    y = one_hot(target_ids, len(idx2char), dtype) * mask.astype(dtype)
    return PreparedSentences(char2idx, idx2char, x, y, input_ids, target_ids, mask)


def _check_rows(rows: Sequence[Sequence[str]]) -> None:
    if not rows:
        raise ValueError("there is no sentence to prepare")
    for number, row in enumerate(rows, start=1):
        if not row:
            raise ValueError(f"sentence {number} is blank: it has no word to read or to predict")
        if END in row:
            raise ValueError(f"sentence {number} holds {END!r}, which only marks ends of sentences: take it out")
