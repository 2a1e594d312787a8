import io
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from support.small_run import settings, train

import rnncli
from rnncli import api
from rnncli.errors import RunError, TextError


@pytest.fixture
def made(tmp_path):
    return train(settings(tmp_path, data__valid=0.2), tmp_path / "runs" / "demo")[0]


def test_load_is_the_one_name_of_the_package(made):
    assert rnncli.load is api.load
    with pytest.raises(AttributeError, match="module 'rnncli' has no attribute 'lode'"):
        rnncli.lode  # noqa: B018 - looks up the attribute


def test_import_does_not_import_numpy():
    program = "import sys, rnncli; assert not {'numpy', 'yaml', 'click'} & set(sys.modules); rnncli.load"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_load_a_run_or_a_file_or_the_newest(made, tmp_path, monkeypatch):
    run = tmp_path / "runs" / "demo"
    best = made.folder.preferred()[0]
    monkeypatch.chdir(tmp_path)
    for path in (run, str(run), best, str(best), None, "runs/demo"):
        loaded = rnncli.load(path)
        assert loaded.checkpoint.resolve() == best
        assert loaded.run.resolve() == run
        assert np.array_equal(loaded.model.parameters.vector, rnncli.load(best).model.parameters.vector)
    alone = tmp_path / "model.npz"
    alone.write_bytes(best.read_bytes())
    assert rnncli.load("model.npz").run.resolve() == tmp_path


def test_the_attributes_of_a_trained_model(made):
    loaded = rnncli.load(made.folder.path)
    assert loaded.vocabulary == made.texts.vocabulary
    assert loaded.config.model == made.config.model
    assert (loaded.tokenizer.name, loaded.tokenizer.lowercase) == ("whitespace", False)
    [first, *_] = loaded.read("the sun").candidates(top=3)
    assert first.word in loaded.vocabulary
    assert loaded.evaluate([io.BytesIO(b"the sun\n")]).tokens == 3


@pytest.mark.parametrize("output", ["full", {"name": "adaptive", "cutoffs": [3, 8]}, {"name": "sampled", "samples": 6}])
def test_stepwise_gives_the_same_figures(output, tmp_path):
    figures = []
    for engine in ("fused", "stepwise"):
        config = settings(tmp_path, model__engine=engine, model__output=output, training__dtype="float64")
        train(config, tmp_path / engine)
        loaded = rnncli.load(tmp_path / engine)
        figures.append(loaded.evaluate([tmp_path / "text.txt"]).nll)
        log_p, _ = loaded.model.next_word(np.array([[0, 1, 2]]), loaded.model.zero_state(3))
        np.testing.assert_allclose(np.exp(log_p).sum(axis=1), 1, rtol=1e-12)
        assert log_p.shape == (3, len(loaded.vocabulary))
    assert figures[0] == pytest.approx(figures[1], rel=1e-9)


def test_texts_to_evaluate(made, tmp_path):
    loaded = rnncli.load(made.folder.path)
    path = tmp_path / "text.txt"
    expected = loaded.evaluate([path])
    assert loaded.evaluate(path) == loaded.evaluate(str(path)) == loaded.evaluate(iter([path])) == expected
    with path.open("rb") as file:
        assert loaded.evaluate(file) == expected
    with pytest.raises(ValueError, match="files must have at least one text"):
        loaded.evaluate([])
    with path.open() as text:
        for wrong in (text, [text], 3, [3], b"text.txt", None):
            with pytest.raises(TypeError, match="files must be paths, or files open in binary mode, not"):
                loaded.evaluate(wrong)
    with pytest.raises(TextError, match=r"nope\.txt: no such file"):
        loaded.evaluate("nope.txt")


def test_what_is_no_path_and_no_seed(made):
    for wrong in (3, b"runs", ["runs"]):
        with pytest.raises(TypeError, match="path must be a str or a Path, not"):
            rnncli.load(wrong)
    for wrong in (3, b"sun", ["sun"], None):
        with pytest.raises(TypeError, match="seed must be a str, not"):
            rnncli.load(made.folder.path).read(wrong)


def test_nothing_to_load(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match="no run found"):
        rnncli.load()
    with pytest.raises(RunError, match="no such run"):
        rnncli.load("runs/nope")
    (tmp_path / "rubbish.npz").write_text("rubbish")
    with pytest.raises(RunError, match="not a valid checkpoint"):
        rnncli.load("rubbish.npz")


def test_two_threads_read_with_one_model(tmp_path):
    """NumPy releases the GIL while it computes: no thread may write where another reads."""
    train(settings(tmp_path, model__hidden_size=200), tmp_path / "runs" / "wide")
    loaded = rnncli.load(tmp_path / "runs" / "wide")
    words = [word for word in loaded.vocabulary.words if word not in ("<end>", "<unk>")][:4]
    seeds = [" ".join(words[k:] + words[:k]) for k in range(4)]
    alone = [loaded.read(seed).log_probabilities for seed in seeds]

    def read(k):
        return [np.array_equal(loaded.read(seeds[k]).log_probabilities, alone[k]) for _ in range(100)]

    with ThreadPoolExecutor(4) as pool:
        assert all(all(same) for same in pool.map(read, range(4)))
