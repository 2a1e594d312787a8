import json
import shutil
from dataclasses import asdict, fields, replace

import numpy as np
import pytest
from support.small_run import settings, train

from rnncli.config import build, corpora, yaml_file
from rnncli.config.config import from_dict
from rnncli.errors import RunError
from rnncli.runs import checkpoint, checkpoint_file
from rnncli.runs.progress import Progress, finished
from rnncli.system import blas


@pytest.fixture
def made(tmp_path):
    """A run that was stopped in the middle of its second epoch."""
    return train(settings(tmp_path, model__layers=2), tmp_path / "run", stop_at=11)[0]


def rewrite(path, change):
    """Write the checkpoint anew with its meta data and members changed, all its hashes right."""
    meta, members = checkpoint_file.read(path, lambda name: True)
    change(meta, members)
    checkpoint_file.write(path, meta, members)


def test_reads_back_what_was_written(made):
    expected, found = made.contents(), checkpoint.read(made.folder.checkpoint_at(11))
    assert found.progress == expected.progress != Progress()
    assert found.vocabulary == expected.vocabulary
    assert np.array_equal(found.vocabulary.counts, expected.vocabulary.counts)
    assert (found.random_seed, found.data) == (7, expected.data)
    assert found.machine == blas.describe()
    assert np.array_equal(found.parameters.vector, expected.parameters.vector)
    for kind in ("moments", "state"):
        ours, theirs = getattr(expected, kind), getattr(found, kind)
        assert list(ours) == list(theirs)
        assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
    assert sorted(found.moments) == ["m", "v"]
    assert list(found.state) == ["layer0.a", "layer0.c", "layer1.a", "layer1.c"]


def test_evaluations_are_read_back(tmp_path):
    made, events = train(settings(tmp_path, data__valid=0.3, vocabulary__min_count=9), tmp_path / "run")
    path, done = made.folder.last()[0], events[-1]
    found = checkpoint.read(path).progress
    assert (found.train, found.valid, found.best) == (done.train, done.valid, done.best_valid)
    assert found.valid.oov > 0 < found.valid.nll_spelling


def test_a_model_alone_needs_no_moments(made):
    path = made.folder.checkpoint_at(11)

    def drop(meta, members):
        for name in [name for name in members if not name.startswith("parameter.")]:
            del members[name]

    rewrite(path, drop)
    found = checkpoint.read(path, resume=False)
    assert (found.moments, found.state) == ({}, {})
    assert np.array_equal(found.parameters.vector, made.model.parameters.vector)
    with pytest.raises(RunError, match=r"not a checkpoint that this rnncli can use: .*moment\.m\.embedding\.E"):
        checkpoint.read(path)


def test_needs_no_other_file(made, tmp_path):
    alone = tmp_path / "elsewhere" / "model.npz"
    alone.parent.mkdir()
    made.folder.checkpoint_at(11).rename(alone)
    (tmp_path / "text.txt").unlink()
    found = checkpoint.read(alone)
    model = build.model(found.config, found.parameters, found.vocabulary)
    assert np.isfinite(model.next_word(np.zeros((1, 1), np.intp), model.zero_state(1))[0]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda meta, members: members.pop("parameter.output.by"), r"parameter\.output\.by"),
        (
            lambda meta, members: members.update({"parameter.output.by": np.zeros(3, np.float32)}),
            r"float32 \(3,\), and",
        ),
        (
            lambda meta, members: members.update({"parameter.output.by": np.zeros(11)}),
            r"is float64 \(11,\), and should be float32 \(11,\)",
        ),
        (lambda meta, members: members.pop("state.layer1.c"), r"state\.layer1\.c"),
        (lambda meta, members: meta["config"]["model"].update(cell="lstn"), r"did you mean lstm\?"),
        (lambda meta, members: meta["config"]["model"].update(hidden_size=2**31 - 1), r"should be float32 \("),
        (lambda meta, members: meta.pop("vocabulary"), "vocabulary"),
        (lambda meta, members: meta.update(vocabulary=["<end>"] * 11), "stands twice"),
        (lambda meta, members: meta["counts"].pop(), "the counts are not those of the words"),
        (lambda meta, members: meta.pop("step"), "step"),
    ],
)
def test_what_does_not_fit_together_is_refused(made, change, message):
    path = made.folder.checkpoint_at(11)
    rewrite(path, change)
    with pytest.raises(RunError, match=rf"step-00000011\.npz: not a checkpoint that this rnncli can use: .*{message}"):
        checkpoint.read(path)


def test_finished(tmp_path):
    config = settings(tmp_path, data__valid=0.2, training__patience=2)
    assert finished(Progress(epoch=1, epochs_without_gain=1), config) is None
    assert finished(Progress(epoch=2), config) == "epochs"
    assert finished(Progress(epoch=1, epochs_without_gain=2), config) == "patience"


def changed(made, tmp_path, **changes):
    config = settings(tmp_path, **({"model__layers": 2} | changes))
    return checkpoint.changes(checkpoint.describe(made.folder.checkpoint_at(11)), config, corpora.texts(config))


def test_nothing_changed(made, tmp_path):
    assert changed(made, tmp_path) == []
    assert changed(made, tmp_path / "another folder") == []


@pytest.mark.parametrize(
    "change",
    [
        {"training__epochs": 99, "training__max_time": "3h"},
        {"run__keep": 9, "run__checkpoint_every": "5 steps", "run__dir": "/tmp/elsewhere"},
        {"training__random_seed": None},
    ],
    ids=str,
)
def test_what_may_change(made, tmp_path, change):
    assert changed(made, tmp_path, **change) == []


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"model__hidden_size": 6}, "model.hidden_size was 5, and is 6"),
        ({"model__cell": "gru"}, "model.cell was 'lstm', and is 'gru'"),
        ({"training__random_seed": 8}, "training.random_seed was 7, and is 8"),
        ({"optimizer__learning_rate": 0.5}, "optimizer.learning_rate was 0.01, and is 0.5"),
        ({"training__batch_size": 5}, "training.batch_size was 4, and is 5"),
        ({"data__lowercase": True}, "data.lowercase was False, and is True"),
        ({"training__dtype": "float64"}, "training.dtype was 'float32', and is 'float64'"),
    ],
)
def test_what_may_not_change(made, tmp_path, change, line):
    assert changed(made, tmp_path, **change) == [line]


def test_another_text_is_told(made, tmp_path):
    text = (tmp_path / "text.txt").read_text()
    assert changed(made, tmp_path, text=text.replace("sun moon", "moon sun", 1)) == [
        "the text of data.train is another"
    ]
    assert "the vocabulary is another" in changed(made, tmp_path, text=text + "one new word\n")


def test_another_list_of_words_under_the_same_name_is_told(tmp_path):
    def run(words):
        (tmp_path / "words.txt").write_text("\n".join(words))
        return settings(tmp_path, vocabulary__file=str(tmp_path / "words.txt"))

    made, _ = train(run(["sun", "moon"]), tmp_path / "run", stop_at=1)
    then = checkpoint.describe(made.folder.checkpoint_at(1))
    for words, told in ((["sun", "moon"], []), (["sun", "rain"], ["the vocabulary is another"])):
        config = run(words)
        assert checkpoint.changes(then, config, corpora.texts(config)) == told


def test_a_validation_text_under_another_name_is_the_same(tmp_path):
    (tmp_path / "valid.txt").write_text("sun moon\n")
    (tmp_path / "renamed.txt").write_text("sun moon\n")
    config = settings(tmp_path, data__valid=str(tmp_path / "valid.txt"))
    made, _ = train(config, tmp_path / "run", stop_at=1)
    then = checkpoint.describe(made.folder.checkpoint_at(1))
    renamed = replace(config, data=replace(config.data, valid=str(tmp_path / "renamed.txt")))
    assert checkpoint.changes(then, renamed, corpora.texts(renamed)) == []
    (tmp_path / "renamed.txt").write_text("moon moon\n")
    assert checkpoint.changes(then, renamed, corpora.texts(renamed)) == ["the text of data.valid is another"]
    without = replace(config, data=replace(config.data, valid=None))
    assert len(checkpoint.changes(then, without, corpora.texts(without))) == 2


def test_another_machine_is_told(made, monkeypatch):
    then = checkpoint.describe(made.folder.checkpoint_at(11))
    assert checkpoint.other_machine(then) == []
    here = blas.describe()
    monkeypatch.setattr(blas, "describe", lambda: here | {"threads": 77, "numpy": "9.9"})
    told = checkpoint.other_machine(then)
    assert told == [f"numpy was {here['numpy']}, and is 9.9", f"threads was {here['threads']}, and is 77"]


def test_the_stored_config_is_the_one_that_was_given(made, tmp_path):
    stored = checkpoint.read(made.folder.checkpoint_at(11)).config
    given = settings(tmp_path, model__layers=2)
    assert stored == replace(given, data=replace(given.data, train=("text.txt",)))
    meta = checkpoint_file.verify(made.folder.checkpoint_at(11))
    assert from_dict(json.loads(json.dumps(meta["config"]))) == stored
    assert meta["tokenizer"] == {"name": "whitespace", "lowercase": False}
    assert meta["vocabulary"] == list(made.texts.vocabulary.words)


@pytest.mark.parametrize("mode", ["sentences", "stream"])
@pytest.mark.parametrize("tokenizer", ["words", "characters"])
def test_odd_words_are_stored_as_they_are(tmp_path, tokenizer, mode):
    text = 'naïve "quoted" \\n \u200b \u2028 🙂 <unk> {} \x0b\n'
    config = settings(tmp_path, text=text * 3, data__tokenizer=tokenizer, data__mode=mode)
    made, _ = train(config, tmp_path / "run")
    assert checkpoint.read(made.folder.last()[0]).vocabulary.words == made.texts.vocabulary.words
    yaml_file.write(config, made.folder.config)


LATER = {"loss_level", "loss_spread", "loss_steps", "calm_epoch", "calm_index", "probe_epoch", "probe_index"}
LATER |= {"guarded", "rollbacks", "diverged_at", "back_to"}


def test_a_checkpoint_of_format_2_goes_on(made, monkeypatch, tmp_path):
    """What version 2 did not have is what it was without saying so."""
    path = made.folder.checkpoint_at(11)
    expected = checkpoint.read(path)

    def older(meta, members):
        for key in asdict(Progress()).keys() & LATER | {"weights_only"}:
            del meta[key]
        del meta["config"]["guard"]

    monkeypatch.setattr(checkpoint_file, "FORMAT_VERSION", 2)
    rewrite(path, older)
    monkeypatch.undo()
    found = checkpoint.verify(path)
    assert found.config == expected.config
    assert found.progress == replace(expected.progress, **{name: getattr(Progress(), name) for name in LATER})
    config = settings(tmp_path, model__layers=2)
    assert checkpoint.changes(found, config, corpora.texts(config)) == []
    resumed, _ = train(config, tmp_path / "run", resume=True)
    whole, _ = train(config, tmp_path / "whole")
    assert np.array_equal(resumed.model.parameters.vector, whole.model.parameters.vector)


def test_version_1_is_refused_by_name(made, monkeypatch):
    path = made.folder.checkpoint_at(11)
    monkeypatch.setattr(checkpoint_file, "FORMAT_VERSION", 1)
    monkeypatch.setattr(checkpoint_file, "READABLE", (1, 3))
    rewrite(path, lambda meta, members: None)
    monkeypatch.undo()
    for read in (checkpoint.describe, checkpoint.verify, checkpoint.read):
        with pytest.raises(
            checkpoint_file.OtherVersionError, match="format version 1, and this rnncli reads versions 2 and 3"
        ):
            read(path)


WRONG = {"int": [-1, 1.0, True, "3", None], "float": [1, "x", None], "bool": [0, None]}


@pytest.mark.parametrize("name", [field.name for field in fields(Progress)])
def test_no_type_of_progress_is_taken_on_trust(made, name):
    [kind] = [str(field.type) for field in fields(Progress) if field.name == name]
    path = made.folder.checkpoint_at(11)
    for wrong in WRONG.get(kind.split(" |")[0], [1, [], "x", {}, {"tokens": 0}]):
        if wrong is None and kind.endswith("None"):
            continue
        rewrite(path, lambda meta, members, wrong=wrong: meta.update({name: wrong}))
        with pytest.raises(RunError, match="not a checkpoint that this rnncli can use"):
            checkpoint.describe(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda meta, members: meta.update(index=99),
        lambda meta, members: meta.update(index=0),
        lambda meta, members: meta.update(random_seed="7"),
        lambda meta, members: meta.update(data=[]),
        lambda meta, members: meta.update(data={"train": "x"}),
        lambda meta, members: meta.update(machine=None),
        lambda meta, members: meta.update(counts=[-1] * len(meta["vocabulary"])),
        lambda meta, members: meta.update(counts=[2**70] * len(meta["vocabulary"])),
        lambda meta, members: meta.update(vocabulary="abc"),
        lambda meta, members: meta.update(vocabulary=[1] * len(meta["vocabulary"])),
        lambda meta, members: meta.update(weights_only=1),
        lambda meta, members: members.update({"state.layer0.a": np.zeros((5, 3), np.float32)}),
        lambda meta, members: members.update({"state.layer0.a": np.zeros(5, np.float32)}),
        lambda meta, members: members.update(
            {name: np.zeros((5, 9), np.float32) for name in members if name.startswith("state.")}
        ),
    ],
    ids=range(14),
)
def test_what_cannot_be_is_refused_before_it_is_used(made, change):
    path = made.folder.checkpoint_at(11)
    rewrite(path, change)
    with pytest.raises(RunError, match="not a checkpoint that this rnncli can use"):
        checkpoint.verify(path)


def test_a_place_that_the_text_does_not_have_is_refused(made, tmp_path):
    path = made.folder.checkpoint_at(11)
    for changes in ({"index": 11}, {"epoch_words": 10**9}):
        shutil.copy(path, tmp_path / "kept.npz")
        rewrite(path, lambda meta, members, changes=changes: meta.update(changes))
        with pytest.raises(RunError, match="its place in the text is none"):
            train(settings(tmp_path, model__layers=2), tmp_path / "run", resume=True)
        shutil.copy(tmp_path / "kept.npz", path)
