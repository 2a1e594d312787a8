import hashlib
import io
import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.traced_memory import peak_of

from rnncli.batches.sentences import CHUNK, POOL, SentenceBatches
from rnncli.batches.stream import StreamBatches
from rnncli.system.randomness import stream
from rnncli.text.corpus import TextFormat, prepare
from rnncli.text.tokenize import Tokenizer
from rnncli.text.vocabulary import Rules

END = 0
SIZES = st.integers(1, 7)
POOLS = st.just({}) | st.fixed_dictionaries({"pool": st.integers(1, 20), "chunk": st.integers(1, 9)})
FIELDS = ("inputs", "targets", "mask", "positions", "fresh", "words", "epoch", "index")


def sentence_corpus(lengths, mode="sentences"):
    """A corpus with sentences of these lengths; all words of the text differ."""
    number = itertools.count()
    text = "".join(" ".join(f"w{next(number)}" for _ in range(n)) + "\n" for n in lengths)
    text_format = TextFormat(Tokenizer("whitespace", lowercase=False), mode, line_end=mode == "sentences")
    texts = prepare([io.BytesIO(text.encode())], text_format, Rules())
    vocabulary, corpus = texts.vocabulary, texts.train
    return corpus, vocabulary.end_id


def starts_of(lengths):
    """Ids and line starts of a text with lines of these lengths, `<end>` included; no other word has the id END."""
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    ids = np.ones(starts[-1], np.uint16)
    ids[starts[1:] - 1] = END
    return ids, starts


def sentences_of(batches, epoch, line_starts):
    """The sentences of each fresh batch: every group of an epoch, in order."""
    first = (batch.positions[0] for batch in batches.epoch(epoch) if batch.fresh)
    return [np.searchsorted(line_starts, positions).tolist() for positions in first]


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
    assert (mask[:-1] >= mask[1:]).all()  # padding only at the end of a column
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


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=40).filter(any), SIZES, SIZES, st.none() | st.integers(0, 5), POOLS
)
def test_sentences_against_plain_loops(lengths, batch_size, bptt, seed, pools):
    corpus, end_id = sentence_corpus(lengths)
    batches = SentenceBatches(corpus.ids, corpus.line_starts, end_id, batch_size, bptt, seed, **pools)
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
    if seed is None and not pools:
        assert [lengths[i] for i in order] == sorted(lengths)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=30).filter(any), SIZES, SIZES, POOLS, st.integers(0, 100))
def test_starting_at_any_step_gives_the_same_batches(lengths, batch_size, bptt, pools, start):
    corpus, end_id = sentence_corpus(lengths)
    kinds = [
        SentenceBatches(corpus.ids, corpus.line_starts, end_id, batch_size, bptt, seed=1, **pools),
        SentenceBatches(corpus.ids, corpus.line_starts, end_id, 3, bptt, None, **pools),
    ]
    if corpus.tokens >= batch_size:
        kinds.append(StreamBatches(corpus.ids, end_id, batch_size, bptt))
    for batches in kinds:
        whole = list(batches.epoch(1))
        start %= len(whole) + 1
        rest = list(batches.epoch(1, start))
        assert len(rest) == len(whole) - start == batches.steps(1) - start
        assert all(same(a, b) for a, b in zip(rest, whole[start:], strict=True))
        largest = [max(shape) for shape in zip(*(batch.targets.shape for batch in whole), strict=True)]
        assert tuple(largest) == batches.largest_window


def test_the_largest_window_is_found_block_by_block(monkeypatch):
    monkeypatch.setattr("rnncli.batches.sentences.POOL", 3)
    for place in range(10):
        ids, starts = starts_of([9 if i == place else 2 for i in range(10)])
        assert SentenceBatches(ids, starts, END, 4, 35, 0).largest_window == (9, 4)
        assert SentenceBatches(ids, starts, END, 40, 5, 0).largest_window == (5, 10)


def shuffled(rng, items):
    """Items sorted by one 64-bit random number each."""
    return [item for _, item in sorted(zip(rng.bit_generator.random_raw(len(items)).tolist(), items, strict=True))]


@pytest.mark.parametrize("sentences", [250, 96, 41, 5])
def test_the_order_in_plain_python(sentences):
    """Divide shuffled chunks among pools; in each pool shuffle, sort by length, cut into groups, shuffle the groups."""
    lengths = [1 + (7 * i) % 13 for i in range(sentences)]
    ids, starts = starts_of(lengths)
    expected = []
    pieces = [list(range(sentences))[i : i + 16] for i in range(0, sentences, 16)]  # 14, up to a multiple of 4
    pools = -(-len(pieces) // 3)
    if pools > 1:
        pieces = shuffled(stream(5, "order", 3), pieces)
    bounds = [len(pieces) * i // pools for i in range(pools + 1)]
    for number, (first, last) in enumerate(itertools.pairwise(bounds)):
        pool = list(itertools.chain(*pieces[first:last]))
        rng = stream(5, "order", 3, number)
        keys = dict(zip(pool, rng.bit_generator.random_raw(len(pool)).tolist(), strict=True))
        pool.sort(key=lambda s: (lengths[s], keys[s]))
        groups = -(-len(pool) // 4)
        places = shuffled(rng, range(groups))
        smaller = rng.bit_generator.random_raw(groups).argmin()
        unread = iter(pool)
        cut = [list(itertools.islice(unread, 4 - (i == smaller) * (-len(pool) % 4))) for i in range(groups)]
        expected += [cut[i] for i in places]
    batches = SentenceBatches(ids, starts, END, 4, 100, seed=5, pool=50, chunk=14)
    assert sentences_of(batches, 3, starts) == expected


@given(st.integers(1, 300), st.integers(1, 9), st.integers(1, 80), st.integers(1, 20))
def test_a_pool_bounds_what_comes_together(sentences, batch_size, pool, chunk):
    """A pool holds few chunks: from anywhere in the text for training, consecutive ones for evaluation."""
    lengths = np.random.default_rng(sentences).integers(1, 30, sentences)
    ids, starts = starts_of(lengths)
    chunk_size = min(-(-chunk // batch_size) * batch_size, sentences)
    chunks = -(-sentences // chunk_size)
    at_once = max(1, pool // chunk_size)
    for seed in (None, 0):
        batches = SentenceBatches(ids, starts, END, batch_size, 100, seed, pool=pool, chunk=chunk)
        pools = list(batches._pools(0))
        assert len(pools) == -(-chunks // at_once)
        per_pool = [{s // chunk_size for s in np.searchsorted(starts, each.starts).tolist()} for each in pools]
        assert max(map(len, per_pool)) <= at_once
        assert max(map(len, per_pool)) - min(map(len, per_pool)) <= 1
        assert sum(map(len, per_pool)) == len(set.union(*per_pool)) == chunks
        groups = sentences_of(batches, 0, starts)
        assert all(any({s // chunk_size for s in group} <= each for each in per_pool) for group in groups)
        assert sum(len(group) < batch_size for group in groups) <= 1
        if seed is None:
            assert [c for each in per_pool for c in sorted(each)] == list(range(chunks))


def test_the_order_is_the_same_in_every_version():
    """If this fails, runs of older versions cannot be resumed to the same bits: note it in the changelog."""
    ids, starts = starts_of([1 + i * i % 37 for i in range(3000)])
    batches = SentenceBatches(ids, starts, END, 20, 35, seed=1, pool=700, chunk=64)
    order = json.dumps([sentences_of(batches, epoch, starts) for epoch in (0, 1)])
    assert (
        hashlib.sha256(order.encode()).hexdigest() == "381c5c97ff904e1553ac40167d99ba9c1d360eb1aaba72eba37f1986a88b574c"
    )


def like_ptb(sentences):
    """Lengths with `<end>`, similar to the Penn Treebank: 22 on average, 99 % up to 50, the longest about 90."""
    return np.clip(np.random.default_rng(0).gamma(4.0, 5.6, sentences), 2, 83).astype(np.int64)


@pytest.mark.parametrize("sentences", [42_000, 3 * POOL // 2])
@pytest.mark.parametrize("batch_size", [20, 64, 128])
def test_little_is_padded(batch_size, sentences):
    ids, starts = starts_of(like_ptb(sentences))
    for seed in (0, None):
        read = SentenceBatches(ids, starts, END, batch_size, 35, seed).epoch(0)
        words, positions = np.sum([(batch.words, batch.targets.size) for batch in read], axis=0)
        assert words == len(ids)
        assert words > 0.98 * positions


def test_the_smaller_batch_may_have_any_length():
    """If it were always the last, the longest sentences would share the small batch in every epoch."""
    ids, starts = starts_of(range(1, 42))
    batches = SentenceBatches(ids, starts, END, 4, 100, seed=0)
    smaller = {min(len(group) for group in sentences_of(batches, epoch, starts)) for epoch in range(20)}
    found = {group[0] for epoch in range(60) for group in sentences_of(batches, epoch, starts) if len(group) == 1}
    assert smaller == {1}
    assert len(found) > 8


def mapped(path, array):
    """The array, mapped from a file."""
    array.tofile(path)
    return np.memmap(path, array.dtype, "r")


@pytest.fixture
def large(tmp_path):
    """A text of two million sentences of one to seven words, mapped from files."""
    ids, starts = starts_of(np.arange(2_000_000) % 7 + 1)
    return mapped(tmp_path / "ids", ids), mapped(tmp_path / "line_starts", starts)


@pytest.mark.parametrize("seed", [0, None])
@pytest.mark.parametrize("batch_size", [20, 128])
def test_memory_does_not_grow_with_the_text(large, seed, batch_size):
    ids, starts = large
    made = []

    def work():
        made[:] = [SentenceBatches(ids, starts, END, batch_size, 35, seed)]
        assert made[0].largest_window == (7, batch_size)
        assert made[0].steps(0) == 2_000_000 // batch_size
        for batch in itertools.islice(made[0].epoch(1, 2_000_000 // batch_size // 2), 4 * POOL // batch_size):
            assert batch.mask is None or batch.words

    peak, estimate = peak_of(work), made[0].order_bytes
    assert estimate < 6_000_000
    assert 0.7 * peak < estimate < 1.2 * peak


def test_a_stream_takes_the_memory_of_a_batch(large):
    ids, _ = large

    def work():
        assert all(batch.words == 700 for batch in itertools.islice(StreamBatches(ids, END, 20, 35).epoch(0, 99), 200))

    assert peak_of(work) < 10 * 700 * 8


def test_the_order_of_a_small_text_takes_little():
    ids, starts = starts_of([3] * 1000)
    assert SentenceBatches(ids, starts, END, 10**9, 35, 0).order_bytes < 100_000
    assert peak_of(lambda: list(SentenceBatches(ids, starts, END, 10**9, 35, 0).epoch(0))) < 1_000_000
    assert StreamBatches(ids, END, 2, 35).order_bytes == 0


@pytest.mark.parametrize("mode", ["sentences", "stream"])
def test_a_mapped_text_is_read_as_one_in_memory(tmp_path, mode):
    ids, starts = starts_of(like_ptb(2000))
    ids[ids > 0] = np.random.default_rng(0).integers(1, 999, np.count_nonzero(ids))
    texts = [(ids, starts), (mapped(tmp_path / "ids", ids), mapped(tmp_path / "starts", starts))]
    if mode == "sentences":
        kinds = [SentenceBatches(*text, END, 20, 35, 0) for text in texts]
    else:
        kinds = [StreamBatches(text[0], END, 20, 35) for text in texts]
    assert all(same(a, b) for a, b in zip(*(kind.epoch(0) for kind in kinds), strict=True))
    assert all(type(a) is np.ndarray for a in vars(next(kinds[1].epoch(0))).values() if isinstance(a, np.ndarray))
    assert type(kinds[1]._ids) is np.ndarray
    assert np.shares_memory(kinds[1]._ids, texts[1][0])


def test_epochs_and_seeds_have_different_orders():
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
    """Results by position, from any batches, are put in text order by one assignment."""
    corpus, end_id = sentence_corpus([4, 0, 9, 2, 2])
    result = np.full(corpus.tokens, -1)
    for batch in SentenceBatches(corpus.ids, corpus.line_starts, end_id, 2, 3, seed=None).epoch(0):
        result[batch.positions[real(batch)]] = batch.targets[real(batch)]
    assert result.tolist() == corpus.ids.tolist()


def test_a_corpus_without_line_ends_has_no_sentences():
    corpus, end_id = sentence_corpus([2, 0, 3], mode="stream")
    with pytest.raises(ValueError, match="encoded as a stream"):
        SentenceBatches(corpus.ids, corpus.line_starts, end_id, 2, 3, seed=None)


def test_a_line_without_an_end_is_found_as_it_is_read():
    ids, starts = starts_of([3] * (2 * CHUNK))
    ids[starts[-1] - 1] = 7
    batches = SentenceBatches(ids, starts, END, 2, 35, seed=0)
    with pytest.raises(ValueError, match="encoded as a stream"):
        list(batches.epoch(0))
