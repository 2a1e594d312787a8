import io
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnncli.randomness import stream
from rnncli.text.batches import POOL, SentenceBatches, StreamBatches
from rnncli.text.corpus import Reading, prepare
from rnncli.text.tokenize import Tokenizer
from rnncli.text.vocabulary import Rules

END = 0
SIZES = st.integers(1, 7)
FIELDS = ("inputs", "targets", "mask", "positions", "fresh", "words", "epoch", "index")


def sentence_corpus(lengths, mode="sentences"):
    """Sentences of these lengths, no two words of the text alike."""
    number = itertools.count()
    text = "".join(" ".join(f"w{next(number)}" for _ in range(n)) + "\n" for n in lengths)
    reading = Reading(Tokenizer("whitespace", lowercase=False), mode, line_end=mode == "sentences")
    vocabulary, corpus, _ = prepare([io.BytesIO(text.encode())], reading, Rules())
    return corpus, vocabulary.end_id


def same(a, b):
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in FIELDS)


def real(batch):
    return np.ones(batch.targets.shape, bool) if batch.mask is None else batch.mask


def check_shape(batch, bptt, end_id):
    mask = real(batch)
    assert batch.inputs.shape == batch.targets.shape == batch.positions.shape == mask.shape
    assert batch.inputs.dtype == batch.targets.dtype == batch.positions.dtype == np.intp
    assert 1 <= len(mask) <= bptt
    assert batch.mask is None or not batch.mask.all()
    assert batch.words == mask.sum() > 0
    assert mask.any(axis=1).all()
    assert (mask[:-1] >= mask[1:]).all()  # pads only at the end of a column
    assert (batch.inputs[~mask] == end_id).all()
    assert (batch.targets[~mask] == end_id).all()


@given(st.integers(1, 60), SIZES, SIZES)
def test_stream_against_plain_loops(words, batch_size, bptt):
    ids = np.arange(1, words + 1, dtype=np.uint8)
    if words < batch_size:
        with pytest.raises(ValueError, match=rf"{words} words for {batch_size} columns"):
            StreamBatches(ids, END, batch_size, bptt)
        return
    batches = StreamBatches(ids, END, batch_size, bptt)
    columns = [([], []) for _ in range(batch_size)]
    for index, batch in enumerate(batches.epoch(3)):
        check_shape(batch, bptt, END)
        assert (batch.fresh, batch.epoch, batch.index) == (index == 0, 3, index)
        assert (batch.targets == ids[batch.positions])[real(batch)].all()
        for (inputs, targets), x, y, mask in zip(columns, batch.inputs.T, batch.targets.T, real(batch).T, strict=True):
            inputs += x[mask].tolist()
            targets += y[mask].tolist()
    assert batches.steps(3) == index + 1
    assert batches.words == words
    text = [END, *range(1, words + 1)]
    assert [x for inputs, _ in columns for x in inputs] == text[:-1]
    assert [y for _, targets in columns for y in targets] == text[1:]
    lengths = [len(targets) for _, targets in columns]
    assert lengths == [words // batch_size + (b < words % batch_size) for b in range(batch_size)]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40).filter(any), SIZES, SIZES, st.none() | st.integers(0, 5))
def test_sentences_against_plain_loops(lengths, batch_size, bptt, seed):
    corpus, end_id = sentence_corpus(lengths)
    batches = SentenceBatches(corpus.ids, corpus.line_starts, end_id, batch_size, bptt, seed)
    starts = corpus.line_starts.tolist()
    sentences = [corpus.ids[a:b].tolist() for a, b in itertools.pairwise(starts)]
    read, sizes = [], []
    columns = []
    for index, batch in enumerate([*batches.epoch(2), None]):
        if batch is None or batch.fresh:
            read += columns
            columns = [([], [], []) for _ in range(batch.targets.shape[1])] if batch else []
            sizes.append(len(columns))
        if batch is None:
            break
        check_shape(batch, bptt, end_id)
        assert (batch.epoch, batch.index) == (2, index)
        arrays = (batch.inputs.T, batch.targets.T, batch.positions.T, real(batch).T)
        for column, x, y, positions, mask in zip(columns, *arrays, strict=True):
            for values, new in zip(column, (x, y, positions), strict=True):
                values += new[mask].tolist()
    assert batches.steps(2) == index
    assert batches.words == sum(map(len, sentences)) == sum(lengths) + len(lengths)
    order = [starts.index(positions[0]) for _, _, positions in read]
    assert sorted(order) == list(range(len(sentences)))
    for sentence, (inputs, targets, positions) in zip(order, read, strict=True):
        assert targets == sentences[sentence]
        assert inputs == [end_id, *targets[:-1]]
        assert positions == list(range(starts[sentence], starts[sentence + 1]))
    assert sorted(sizes[:-1], reverse=True) == [
        min(batch_size, len(lengths) - i) for i in range(0, len(lengths), batch_size)
    ]
    if seed is None:
        assert [lengths[i] for i in order] == sorted(lengths)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=30).filter(any), SIZES, SIZES, st.integers(0, 100))
def test_starting_at_any_step_gives_the_same_batches(lengths, batch_size, bptt, start):
    corpus, end_id = sentence_corpus(lengths)
    kinds = [
        SentenceBatches(corpus.ids, corpus.line_starts, end_id, batch_size, bptt, seed=1),
        SentenceBatches(corpus.ids, corpus.line_starts, end_id, 3, bptt, None),
    ]
    if corpus.tokens >= batch_size:
        kinds.append(StreamBatches(corpus.ids, end_id, batch_size, bptt))
    for batches in kinds:
        whole = list(batches.epoch(1))
        start %= len(whole) + 1
        rest = list(batches.epoch(1, start))
        assert len(rest) == len(whole) - start == batches.steps(1) - start
        assert all(same(a, b) for a, b in zip(rest, whole[start:], strict=True))


def test_order_is_shuffled_within_pools_of_like_length():
    """The recipe, in plain Python: permute, sort pools of 50 batches by length, cut, shuffle the batches."""
    lengths = [(7 * i) % 13 for i in range(250)]
    corpus, end_id = sentence_corpus(lengths)
    batches = SentenceBatches(corpus.ids, corpus.line_starts, end_id, 2, 100, seed=5)
    rng = stream(5, "order", 4)
    order = rng.permutation(250).tolist()
    pools = [sorted(order[i : i + POOL * 2], key=lambda s: lengths[s]) for i in range(0, 250, POOL * 2)]
    flat = [sentence for pool in pools for sentence in pool]
    pairs = [flat[i : i + 2] for i in range(0, 250, 2)]
    expected = [pairs[i] for i in rng.permutation(len(pairs))]
    starts = corpus.line_starts.tolist()
    assert [[starts.index(p) for p in batch.positions[0]] for batch in batches.epoch(4)] == expected


def test_epochs_and_seeds_have_orders_of_their_own():
    corpus, end_id = sentence_corpus([3] * 40)
    orders = {
        (seed, epoch): tuple(
            b.positions[0].tobytes()
            for b in SentenceBatches(corpus.ids, corpus.line_starts, end_id, 4, 35, seed).epoch(epoch)
        )
        for seed in (0, 1)
        for epoch in (0, 1)
    }
    assert len(set(orders.values())) == 4


def test_results_go_back_to_their_sentences():
    """Evaluation: what was computed by position, in whatever batches, is put in the order of the text by one store."""
    corpus, end_id = sentence_corpus([4, 0, 9, 2, 2])
    result = np.full(corpus.tokens, -1)
    for batch in SentenceBatches(corpus.ids, corpus.line_starts, end_id, 2, 3, seed=None).epoch(0):
        result[batch.positions[real(batch)]] = batch.targets[real(batch)]
    assert result.tolist() == corpus.ids.tolist()


def test_a_corpus_without_line_ends_has_no_sentences():
    corpus, end_id = sentence_corpus([2, 0, 3], mode="stream")
    with pytest.raises(ValueError, match="read as a stream"):
        SentenceBatches(corpus.ids, corpus.line_starts, end_id, 2, 3, seed=None)
