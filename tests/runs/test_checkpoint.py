import json
import shutil
from dataclasses import fields, replace
from typing import get_type_hints

import numpy as np
import pytest
from support.models import progress
from support.small_run import settings, train

from rnncli.config import build, corpora, yaml_file
from rnncli.config.config import from_dict
from rnncli.errors import RunError
from rnncli.runs import checkpoint, checkpoint_file
from rnncli.runs.differences import config_differences, machine_differences
from rnncli.runs.progress import Progress, Recovery, RunningLoss, finished
from rnncli.system import blas


@pytest.fixture
def made(tmp_path):
    """A run that was stopped in the middle of its second epoch."""
    return train(settings(tmp_path, model__layers=2), tmp_path / "run", stop_at=11)[0]


def listed(*arguments):
    return list(config_differences(*arguments).values())


def rewrite(path, change):
    """Rewrite the checkpoint with changed metadata and members, and correct hashes."""
    meta, members = checkpoint_file.read(path, lambda name: True)
    change(meta, members)
    checkpoint_file.write(path, meta, members)


def test_a_checkpoint_is_read_back_unchanged(made):
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
    found = checkpoint.read(path).progress.measured
    assert (found.train, found.valid, found.best) == (done.train, done.valid, done.best_valid)
    assert found.valid.oov > 0 < found.valid.nll_spelling


def test_a_model_without_moments_predicts(made):
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
        (lambda meta, members: meta.update(vocabulary=["<end>"] * 11), "contains a word twice"),
        (lambda meta, members: meta["counts"].pop(), "the counts do not match the vocabulary"),
        (lambda meta, members: meta.pop("step"), "step"),
    ],
)
def test_inconsistent_metadata_and_members_are_refused(made, change, message):
    path = made.folder.checkpoint_at(11)
    rewrite(path, change)
    with pytest.raises(RunError, match=rf"step-00000011\.npz: not a checkpoint that this rnncli can use: .*{message}"):
        checkpoint.read(path)


def test_finished(tmp_path):
    config = settings(tmp_path, data__valid=0.2, training__patience=2)
    assert finished(progress(epoch=1, epochs_without_gain=1), config) is None
    assert finished(progress(epoch=2), config) == "epochs"
    assert finished(progress(epoch=1, epochs_without_gain=2), config) == "patience"


def changed(made, tmp_path, **changes):
    config = settings(tmp_path, **({"model__layers": 2} | changes))
    return listed(checkpoint.read_metadata(made.folder.checkpoint_at(11)), config, corpora.texts(config))


def test_nothing_changed(made, tmp_path):
    assert changed(made, tmp_path) == []
    assert changed(made, tmp_path / "another folder") == []


def test_a_choice_that_differs_is_one_line(made, tmp_path):
    assert changed(made, tmp_path, optimizer__name="sgd") == ["optimizer.name was 'adam', and is 'sgd'"]
    assert changed(made, tmp_path, optimizer__beta2=0.99) == ["optimizer.beta2 was 0.999, and is 0.99"]
    other = changed(made, tmp_path, model__output={"name": "adaptive", "cutoffs": [5]})
    assert other == ["model.output.name was 'full', and is 'adaptive'"]
    assert changed(made, tmp_path, vocabulary__unknown=True)[0] == "vocabulary.unknown was null, and is true"


@pytest.mark.parametrize(
    "change",
    [
        {"training__epochs": 99, "training__max_time": "3h"},
        {"run__keep": 9, "run__checkpoint_every": "5 steps", "run__dir": "/tmp/elsewhere"},
        {"training__random_seed": None},
    ],
    ids=str,
)
def test_settings_that_may_change(made, tmp_path, change):
    assert changed(made, tmp_path, **change) == []


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"model__hidden_size": 6}, "model.hidden_size was 5, and is 6"),
        ({"model__cell": "gru"}, "model.cell was 'lstm', and is 'gru'"),
        ({"training__random_seed": 8}, "training.random_seed was 7, and is 8"),
        ({"optimizer__learning_rate": 0.5}, "optimizer.learning_rate was 0.01, and is 0.5"),
        ({"training__batch_size": 5}, "training.batch_size was 4, and is 5"),
        ({"data__lowercase": True}, "data.lowercase was false, and is true"),
        ({"training__dtype": "float64"}, "training.dtype was 'float32', and is 'float64'"),
    ],
)
def test_settings_that_may_not_change(made, tmp_path, change, line):
    assert changed(made, tmp_path, **change) == [line]


def test_a_changed_text_is_reported(made, tmp_path):
    text = (tmp_path / "text.txt").read_text()
    assert changed(made, tmp_path, text=text.replace("sun moon", "moon sun", 1)) == ["the text of data.train differs"]
    assert "the vocabulary differs" in changed(made, tmp_path, text=text + "one new word\n")


def test_a_changed_word_list_of_the_same_name_is_reported(tmp_path):
    def run(words):
        (tmp_path / "words.txt").write_text("\n".join(words))
        return settings(tmp_path, vocabulary__file=str(tmp_path / "words.txt"))

    made, _ = train(run(["sun", "moon"]), tmp_path / "run", stop_at=1)
    then = checkpoint.read_metadata(made.folder.checkpoint_at(1))
    for words, differences in ((["sun", "moon"], []), (["sun", "rain"], ["the vocabulary differs"])):
        config = run(words)
        assert listed(then, config, corpora.texts(config)) == differences


def test_a_renamed_validation_text_is_no_difference(tmp_path):
    (tmp_path / "valid.txt").write_text("sun moon\n")
    (tmp_path / "renamed.txt").write_text("sun moon\n")
    config = settings(tmp_path, data__valid=str(tmp_path / "valid.txt"))
    made, _ = train(config, tmp_path / "run", stop_at=1)
    then = checkpoint.read_metadata(made.folder.checkpoint_at(1))
    renamed = replace(config, data=replace(config.data, valid=str(tmp_path / "renamed.txt")))
    assert listed(then, renamed, corpora.texts(renamed)) == []
    (tmp_path / "renamed.txt").write_text("moon moon\n")
    assert listed(then, renamed, corpora.texts(renamed)) == ["the text of data.valid differs"]
    without = replace(config, data=replace(config.data, valid=None))
    assert len(listed(then, without, corpora.texts(without))) == 2


def test_a_different_machine_is_reported(made, monkeypatch):
    then = checkpoint.read_metadata(made.folder.checkpoint_at(11))
    assert machine_differences(then) == []
    here = blas.describe()
    monkeypatch.setattr(blas, "describe", lambda: here | {"threads": 77, "numpy": "9.9"})
    differences = machine_differences(then)
    assert differences == [f"numpy was {here['numpy']}, and is 9.9", f"threads was {here['threads']}, and is 77"]


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
def test_odd_words_are_stored_unchanged(tmp_path, tokenizer, mode):
    text = 'naïve "quoted" \\n \u200b \u2028 🙂 <unk> {} \x0b\n'
    config = settings(tmp_path, text=text * 3, data__tokenizer=tokenizer, data__mode=mode)
    made, _ = train(config, tmp_path / "run")
    assert checkpoint.read(made.folder.last()[0]).vocabulary.words == made.texts.vocabulary.words
    yaml_file.write(config, made.folder.config)


LATER = {"loss_level", "loss_spread", "loss_steps", "calm_epoch", "calm_index", "probe_epoch", "probe_index"}
LATER |= {"guarded", "rollbacks", "diverged_at", "back_to"}


def test_a_checkpoint_of_format_2_is_resumed(made, monkeypatch, tmp_path):
    """Keys that version 2 lacks get their implicit values."""
    path = made.folder.checkpoint_at(11)
    expected = checkpoint.read(path)

    def older(meta, members):
        for key in LATER | {"weights_only"}:
            del meta[key]
        del meta["config"]["guard"]

    monkeypatch.setattr(checkpoint_file, "FORMAT_VERSION", 2)
    rewrite(path, older)
    monkeypatch.undo()
    found = checkpoint.verify(path)
    assert found.config == expected.config
    assert found.progress == replace(expected.progress, running=RunningLoss(), recovery=Recovery())
    config = settings(tmp_path, model__layers=2)
    assert listed(found, config, corpora.texts(config)) == []
    resumed, _ = train(config, tmp_path / "run", resume=True)
    whole, _ = train(config, tmp_path / "whole")
    assert np.array_equal(resumed.model.parameters.vector, whole.model.parameters.vector)


def test_version_1_is_refused_by_name(made, monkeypatch):
    path = made.folder.checkpoint_at(11)
    monkeypatch.setattr(checkpoint_file, "FORMAT_VERSION", 1)
    monkeypatch.setattr(checkpoint_file, "READABLE", (1, 3))
    rewrite(path, lambda meta, members: None)
    monkeypatch.undo()
    for read in (checkpoint.read_metadata, checkpoint.verify, checkpoint.read):
        with pytest.raises(
            checkpoint_file.OtherVersionError, match="format version 1, and this rnncli reads versions 2 and 3"
        ):
            read(path)


WRONG = {"int": [-1, 1.0, True, "3", None], "float": [1, "x", None], "bool": [0, None]}


STORED = {each.name: each.type for part in get_type_hints(Progress).values() for each in fields(part)}


@pytest.mark.parametrize("name", STORED)
def test_wrong_types_in_progress_are_refused(made, name):
    kind = STORED[name]
    path = made.folder.checkpoint_at(11)
    for wrong in WRONG.get(kind.split(" |")[0], [1, [], "x", {}, {"tokens": 0}]):
        if wrong is None and kind.endswith("None"):
            continue
        rewrite(path, lambda meta, members, wrong=wrong: meta.update({name: wrong}))
        with pytest.raises(RunError, match="not a checkpoint that this rnncli can use"):
            checkpoint.read_metadata(path)


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
def test_impossible_values_are_refused(made, change):
    path = made.folder.checkpoint_at(11)
    rewrite(path, change)
    with pytest.raises(RunError, match="not a checkpoint that this rnncli can use"):
        checkpoint.verify(path)


def test_a_position_that_does_not_exist_in_the_text_is_refused(made, tmp_path):
    path = made.folder.checkpoint_at(11)
    for changes in ({"index": 11}, {"epoch_words": 10**9}):
        shutil.copy(path, tmp_path / "kept.npz")
        rewrite(path, lambda meta, members, changes=changes: meta.update(changes))
        with pytest.raises(RunError, match="its position does not exist in this text"):
            train(settings(tmp_path, model__layers=2), tmp_path / "run", resume=True)
        shutil.copy(tmp_path / "kept.npz", path)


@pytest.mark.parametrize("bug", [AttributeError, TypeError, KeyError, AssertionError])
@pytest.mark.parametrize(
    ("module", "name"),
    [
        (checkpoint_file, "_expect_finite"),
        (checkpoint_file, "_memory_bound"),
        (checkpoint, "_state"),
        (blas, "describe"),
    ],
)
def test_a_bug_is_not_reported_as_damage(made, monkeypatch, module, name, bug):
    def fail(*given):
        raise bug("a bug")

    monkeypatch.setattr(module, name, fail)
    with pytest.raises(bug, match="a bug"):
        checkpoint.read(made.folder.checkpoint_at(11))
