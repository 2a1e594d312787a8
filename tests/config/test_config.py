from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rnncli.config import corpora
from rnncli.config.config import (
    Config,
    DataConfig,
    RunConfig,
    TrainingConfig,
    from_dict,
    from_stored,
    portable_dict,
    stored_dict,
    to_dict,
)
from rnncli.errors import ConfigError
from rnncli.model.outputs import OUTPUTS, AdaptiveSoftmax, SampledSoftmax
from rnncli.schema.fields import Choice, Duration, Interval, NoOptions, setting

# Section 6 of the design, as JSON has it.
DEFAULTS: dict[str, Any] = {
    "data": {
        "train": ["/corpus/fruit.txt"],
        "valid": None,
        "test": None,
        "mode": "sentences",
        "line_end": True,
        "tokenizer": "whitespace",
        "lowercase": False,
        "language": None,
        "normalize": None,
        "tokenizer_version": 2,
        "cache": None,
    },
    "vocabulary": {"min_count": 1, "max_size": None, "unknown": None, "file": None},
    "model": {
        "cell": "lstm",
        "layers": 1,
        "hidden_size": 64,
        "embedding_size": None,
        "output": {"name": "full"},
        "engine": "fused",
        "tied": False,
        "forget_bias": 1.0,
        "residual": False,
    },
    "optimizer": {
        "name": "adam",
        "beta1": 0.9,
        "beta2": 0.999,
        "epsilon": 1e-8,
        "learning_rate": 0.001,
        "clip_norm": 5.0,
        "schedule": {"name": "constant", "warmup": 0.0, "annealing": 0.0},
        "weight_decay": 0.0,
    },
    "training": {
        "epochs": 10,
        "batch_size": 20,
        "bptt": 35,
        "random_seed": None,
        "patience": None,
        "max_time": None,
        "dtype": "float32",
        "averaging": {"name": "none"},
        "calibrate": False,
    },
    "guard": {"every": 1000, "rollbacks": 4, "learning_rate_factor": 0.5, "jump": 3.0},
    "parallel": {"shards": 1, "reduction": "tree"},
    "run": {"dir": None, "keep": 2, "checkpoint_every": "1 epoch"},
    "dropout": {"input": 0.0, "hidden": 0.0, "output": 0.0, "word": 0.0, "recurrent": 0.0, "masks": "window"},
    "penalty": {"activation": 0.0, "temporal": 0.0},
}


def with_value(section: str, **values: object) -> dict[str, Any]:
    changed: dict[str, Any] = json.loads(json.dumps(DEFAULTS))
    changed[section] |= values
    return changed


def fault(section: str, **values: object) -> str:
    with pytest.raises(ConfigError) as error:
        from_dict(with_value(section, **values))
    assert error.value.exit_code == 3
    return str(error.value)


def test_the_defaults_are_those_of_the_design() -> None:
    assert to_dict(from_dict({"data": {"train": "/corpus/fruit.txt"}})) == DEFAULTS
    assert to_dict(Config(DataConfig(("/corpus/fruit.txt",)))) == DEFAULTS


def paths() -> st.SearchStrategy[str]:
    names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8)
    return names.filter(lambda name: bool(name.strip()))


def configs(path: st.SearchStrategy[str]) -> st.SearchStrategy[Config]:
    """Any valid config, built from what the design says is valid and not through the reader."""
    count = st.integers(1, 2**31 - 1)
    positive = st.floats(0, exclude_min=True, allow_infinity=False)
    fraction = st.floats(0, 1, exclude_min=True, exclude_max=True)
    seconds = st.floats(0, 1e9).map(Duration)
    start = Config(DataConfig(("x",)))
    training = st.builds(
        TrainingConfig,
        epochs=count,
        random_seed=st.none() | st.integers(0, 2**63 - 1),
        max_time=st.none() | seconds,
        dtype=st.sampled_from(["float32", "float64"]),
    )
    data = st.builds(
        DataConfig,
        train=st.lists(path, min_size=1, max_size=3).map(tuple),
        valid=st.none() | path | fraction,
        mode=st.just("stream"),
        line_end=st.booleans(),
        tokenizer=st.sampled_from(["whitespace", "words", "characters"]),
        lowercase=st.just(True),
        language=st.sampled_from([None, "tr", "az", "lt"]),
        normalize=st.sampled_from([None, "nfc"]),
        tokenizer_version=st.sampled_from([1, 2]),
    )
    every = st.builds(Interval, count, st.sampled_from(["epoch", "step"])) | st.floats(1e-9, 1e9).map(
        lambda count: Interval(count, "second")
    )
    optimizer = st.builds(
        lambda rate, clip: dataclasses.replace(start.optimizer, learning_rate=rate, clip_norm=clip),
        positive,
        st.none() | positive,
    )
    run = st.builds(RunConfig, dir=st.none() | path, keep=count, checkpoint_every=every)
    return st.builds(Config, data=data, optimizer=optimizer, training=training, run=run)


@given(configs(paths()))
def test_any_config_comes_back_from_its_dict_and_from_json(config: Config) -> None:
    assert from_dict(to_dict(config)) == config
    assert from_dict(json.loads(json.dumps(to_dict(config)))) == config


@given(configs(paths()))
@example(Config(DataConfig(("/\r",))))
def test_a_portable_config_is_valid_and_portable_already(config: Config) -> None:
    portable = from_dict(portable_dict(config))
    assert portable_dict(portable) == portable_dict(config)
    assert portable.training.max_time is None
    training = dataclasses.replace(portable.training, max_time=config.training.max_time)
    assert dataclasses.replace(portable, data=config.data, run=config.run, training=training) == config


def test_a_portable_config_has_nothing_of_this_machine_in_it() -> None:
    def in_folder(folder: str) -> Config:
        data = {"train": [f"{folder}/a.txt", f"{folder}/b.txt"], "valid": f"{folder}/c.txt", "test": f"{folder}/d.txt"}
        return from_dict({"data": data, "vocabulary": {"file": f"{folder}/words"}, "run": {"dir": f"{folder}/runs/1"}})

    portable = portable_dict(in_folder("/home/me"))
    assert portable == portable_dict(in_folder("/scratch/you"))
    assert portable["data"]["train"] == ["a.txt", "b.txt"]
    assert (portable["data"]["valid"], portable["data"]["test"]) == ("c.txt", "d.txt")
    assert portable["vocabulary"]["file"] == "words"
    assert portable["run"]["dir"] is None
    assert "/" not in json.dumps(portable)


def test_the_same_time_written_in_two_ways_is_stored_in_one() -> None:
    one, other = (from_dict(with_value("training", max_time=text)) for text in ("90m", "1h30m"))
    assert one == other
    assert json.dumps(to_dict(one)) == json.dumps(to_dict(other))
    assert str(other.training.max_time) == "1h30m"


@pytest.mark.parametrize(
    ("output", "options", "plain"),
    [
        ("full", NoOptions(), {"name": "full"}),
        ("adaptive", AdaptiveSoftmax.Options(), {"name": "adaptive", "cutoffs": None, "div_value": 4.0, "head": 0.075}),
        (
            {"name": "adaptive", "cutoffs": [10, 20]},
            AdaptiveSoftmax.Options((10, 20), 4.0),
            {"name": "adaptive", "cutoffs": [10, 20], "div_value": 4.0, "head": 0.075},
        ),
        (
            {"name": "adaptive", "cutoffs": 7, "div_value": 1, "head": 0.075},
            AdaptiveSoftmax.Options((7,), 1.0),
            {"name": "adaptive", "cutoffs": [7], "div_value": 1.0, "head": 0.075},
        ),
        (
            {"name": "adaptive", "cutoffs": []},
            AdaptiveSoftmax.Options(()),
            {"name": "adaptive", "cutoffs": [], "div_value": 4.0, "head": 0.075},
        ),
        (
            "sampled",
            SampledSoftmax.Options(1000, "log_uniform"),
            {"name": "sampled", "samples": 1000, "proposal": "log_uniform"},
        ),
        (
            {"name": "sampled", "samples": 3, "proposal": "unigram"},
            SampledSoftmax.Options(3, "unigram"),
            {"name": "sampled", "samples": 3, "proposal": "unigram"},
        ),
    ],
)
def test_a_choice_is_a_name_or_a_mapping_with_its_own_keys(output: Any, options: Any, plain: dict[str, Any]) -> None:
    config = from_dict(with_value("model", output=output))
    assert config.model.output == Choice(plain["name"], options)
    assert to_dict(config)["model"]["output"] == plain
    assert from_dict(to_dict(config)) == config


@dataclass(frozen=True)
class FixedOptions:
    cutoffs: tuple[int, ...] = setting(minimum=1)


class Fixed:
    Options = FixedOptions


CHOOSE = "choose full, adaptive or sampled"


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("adaptiv", f"model.output is 'adaptiv'; {CHOOSE} (did you mean adaptive?)"),
        ({"name": "adaptiv"}, f"model.output.name is 'adaptiv'; {CHOOSE} (did you mean adaptive?)"),
        ({"cutoffs": [3]}, f"model.output.name is missing; {CHOOSE}"),
        (None, f"model.output is null; {CHOOSE}"),
        (3, f"model.output is 3; {CHOOSE}"),
        (["full"], f"model.output is a list; {CHOOSE}"),
        ({"name": ["full"]}, f"model.output.name is a list; {CHOOSE}"),
        (
            {"name": "full", "cutoffs": [3]},
            "model.output.cutoffs is not a key of full; it takes no options (did you mean name: adaptive?)",
        ),
        (
            {"name": "adaptive", "cutoff": 3, "cutoffs": 3},
            "model.output.cutoff is not a key of adaptive; its keys are name, cutoffs, div_value and head "
            "(did you mean cutoffs?)",
        ),
        (
            {"name": "adaptive", "samples": 3},
            "model.output.samples is not a key of adaptive; its keys are name, cutoffs, div_value and head "
            "(did you mean name: sampled?)",
        ),
        (
            {"name": "sampled", "sample": 3},
            "model.output.sample is not a key of sampled; its keys are name, samples and proposal "
            "(did you mean samples?)",
        ),
        ({"name": "adaptive", "cutoffs": [3, None]}, "model.output.cutoffs is null; give a whole number"),
        ({"name": "adaptive", "cutoffs": [3, 2]}, "model.output.cutoffs is a list that does not rise; put the smaller"),
        (
            {"name": "adaptive", "div_value": 1e200},
            "model.output.div_value is 1e+200; give a number, at least 1, at most",
        ),
        ({"name": "adaptive", "cutoffs": [2, 2]}, "model.output.cutoffs is a list that does not rise"),
        ({"name": "sampled", "samples": 10**9}, "model.output.samples is 1000000000; give a whole number, at least 1"),
        ({"name": "adaptive", "cutoffs": [3, 0]}, "model.output.cutoffs is 0; give a whole number, at least 1"),
        ({"name": "adaptive", "div_value": 0.5}, "model.output.div_value is 0.5; give a number, at least 1"),
        ({"name": "sampled", "samples": 0}, "model.output.samples is 0; give a whole number, at least 1"),
        ({"name": "sampled", "samples": 2.5}, "model.output.samples is 2.5; give a whole number, at least 1"),
        (
            {"name": "sampled", "proposal": "uniform"},
            "model.output.proposal is 'uniform'; choose log_uniform or unigram (did you mean ",
        ),
    ],
)
def test_a_wrong_choice_says_what_would_do(output: object, message: str) -> None:
    found = fault("model", output=output)
    assert found.startswith(message)
    assert "\n" not in found


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("fixed", "model.output.cutoffs is missing; give a whole number, at least 1 or a list of such"),
        ({"name": "fixed", "cutoffs": []}, "model.output.cutoffs is an empty list; give a whole number"),
        (
            {"name": "full", "cutoffs": 3},
            "model.output.cutoffs is not a key of full; it takes no options (did you mean name: adaptive or fixed?)",
        ),
    ],
)
def test_a_choice_may_have_a_key_that_must_be_given(
    monkeypatch: pytest.MonkeyPatch, output: object, message: str
) -> None:
    monkeypatch.setitem(OUTPUTS, "fixed", Fixed)
    assert fault("model", output=output).startswith(message)
    assert from_dict(with_value("model", output={"name": "fixed", "cutoffs": 3})).model.output.options == FixedOptions(
        (3,)
    )


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        ("model", {"cell": "lstn"}, "model.cell is 'lstn'; choose rnn, lstm or gru (did you mean lstm?)"),
        ("model", {"cell": "GRU"}, "model.cell is 'GRU'; choose rnn, lstm or gru (did you mean gru?)"),
        ("model", {"layers": 0}, "model.layers is 0; give a whole number, at least 1"),
        ("model", {"hidden_size": 2**31}, "model.hidden_size is 2147483648; give a whole number, at least 1, at most"),
        ("model", {"embedding_size": "big"}, "model.embedding_size is 'big'; give a whole number, at least 1, or null"),
        ("model", {"hiden_size": 8}, "model.hiden_size is not a known key; section model has cell, "),
        ("optimizer", {"lr": 1}, "optimizer.lr is not a known key; section optimizer has name, learning_rate, "),
        ("optimizer", {"learning_rate": 0}, "optimizer.learning_rate is 0; give a number, above 0"),
        ("data", {"train": []}, "data.train is an empty list; give a path or a list of such"),
        ("data", {"train": {}}, "data.train is a mapping; give a path"),
        ("data", {"train": ["a", 3]}, "data.train is 3; give a path"),
        ("data", {"valid": 1.5}, "data.valid is 1.5; give a path, or a fraction between 0 and 1 such as 0.1, or null"),
        ("data", {"lowercase": 1}, "data.lowercase is 1; give true or false"),
        ("vocabulary", {"max_size": 1}, "vocabulary.max_size is 1; give a whole number, at least 3"),
        ("parallel", {"shards": 4}, "parallel.shards is 4; give 1: this version trains in one shard"),
        ("parallel", {"reduction": "ring"}, "parallel.reduction is 'ring'; choose tree"),
        ("training", {"max_time": 90}, "training.max_time is 90; give a time with its unit, such as 90s, 30m or 2h"),
        ("training", {"dtype": "float16"}, "training.dtype is 'float16'; choose float32 or float64"),
        ("run", {"checkpoint_every": 500}, "run.checkpoint_every is 500; give a number of epochs or steps"),
    ],
)
def test_a_wrong_value_says_what_would_do(section: str, values: dict[str, Any], message: str) -> None:
    found = fault(section, **values)
    assert found.startswith(message)
    assert "\n" not in found


@pytest.mark.parametrize(
    ("mapping", "guess"),
    [
        ({"hidden_size": 3}, "model.hidden_size"),
        ({"training": {"learning_rate": 1}}, "optimizer.learning_rate"),
        ({"training": {"seed": 1}}, "training.random_seed"),
        ({"seed": 1}, "training.random_seed"),
        ({"optimizer": {"lr": 1}}, "optimizer.learning_rate"),
        ({"training": {"batch-size": 1}}, "training.batch_size"),
        ({"trainig": {}}, "training"),
        ({"hiden_sise": 3}, "model.hidden_size"),
    ],
)
def test_an_unknown_key_gets_the_nearest_known_one(mapping: dict[str, Any], guess: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"(did you mean {guess}?)")):
        from_dict({"data": {"train": "x"}, **mapping})


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"vocabulary": {"unknown": False, "min_count": 2}}, "vocabulary.unknown"),
        ({"vocabulary": {"unknown": False, "max_size": 10}}, "vocabulary.unknown"),
        ({"vocabulary": {"file": "words", "max_size": 10}}, "vocabulary.file"),
        ({"training": {"patience": 2}}, "training.patience"),
        ({"data": {"train": "x", "line_end": False}}, "data.line_end"),
        ({"data": {"train": "x", "language": "tr"}}, "data.language"),
        ({"optimizer": {"name": "lazy_adam"}, "model": {"engine": "stepwise"}}, "optimizer.name"),
    ],
)
def test_settings_that_exclude_each_other_are_a_fault(changes: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(key)} [^\n]*$"):
        from_dict({"data": {"train": "x"}, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"vocabulary": {"unknown": True, "min_count": 2, "max_size": 10}},
        {"vocabulary": {"unknown": False}},
        {"data": {"train": "x", "valid": 0.1}, "training": {"patience": 2}},
        {"data": {"train": "x", "line_end": True}},
        {"data": {"train": "x", "line_end": False, "mode": "stream"}},
        {"data": {"train": "x", "lowercase": True, "language": "tr"}},
        {"optimizer": {"clip_norm": None}},
        {"optimizer": {"name": "lazy_adam"}},
        {"training": {"max_time": "0s"}},
        {"model": None},
    ],
)
def test_settings_that_go_together_are_none(changes: dict[str, Any]) -> None:
    from_dict({"data": {"train": "x"}, **changes})


def test_a_clash_with_a_key_that_is_wrong_itself_is_not_told() -> None:
    assert fault("data", mode="steam", line_end=False).count("\n") == 0


def test_every_fault_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        from_dict({"model": {"cell": "x", "layers": 0}, "training": {"epochs": "many"}, "more": 1})
    keys = {line.split(" is ")[0] for line in str(error.value).splitlines()}
    assert keys == {"model.cell", "model.layers", "training.epochs", "more", "data.train"}


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["name", "train", "cell"]), inner),
    max_leaves=5,
)


@given(st.sampled_from([(section, key) for section, keys in DEFAULTS.items() for key in keys]), JSON_VALUES)
def test_any_value_anywhere_is_taken_or_a_config_error(place: tuple[str, str], value: object) -> None:
    try:
        config = from_dict(with_value(place[0], **{place[1]: value}))
    except ConfigError:
        pass
    else:
        assert from_dict(to_dict(config)) == config


@pytest.mark.parametrize(
    ("optimizer", "faults"),
    [
        ({"name": "adam", "beta2": 0.99, "epsilon": 1e-6}, []),
        ({"name": "lazy_adam", "beta1": 0}, []),
        ({"beta2": 0.99}, []),  # of the default, adam
        ({"name": "sgd", "beta1": 0.9}, ["optimizer.beta1 is not a key of sgd; its keys are name and momentum"]),
        ({"name": "adam", "beta1": 1}, ["optimizer.beta1 is 1; give a number, at least 0, below 1"]),
        (
            {"name": "sgd", "beta": 0.9},
            ["optimizer.beta is not a known key; section optimizer has name, learning_rate, clip_norm, schedule, "],
        ),
        ("sgd", ["optimizer is 'sgd'; it is a section: write optimizer: {name: ...}"]),
        ({"epsilom": 0.9}, ["optimizer.epsilom is not a known key", "did you mean optimizer.epsilon?"]),
        ({"name": "adams", "beta1": 0.5}, ["optimizer.name is 'adams'; choose adam, lazy_adam or sgd"]),
    ],
)
def test_the_options_of_an_optimizer_stand_beside_its_name(optimizer, faults):
    mapping = {"data": {"train": "text"}, "optimizer": optimizer}
    if faults:
        with pytest.raises(ConfigError) as error:
            from_dict(mapping)
        assert all(fault in str(error.value) for fault in faults), str(error.value)
        assert "\n" not in str(error.value)
        assert "did you mean optimizer.beta" not in str(error.value) or optimizer["name"] != "sgd"
        return
    config = from_dict(mapping)
    given = {key: value for key, value in optimizer.items() if key != "name"}
    assert {key: getattr(config.optimizer.options, key) for key in given} == given
    assert from_dict(to_dict(config)) == config
    assert {key: stored_dict(config)["optimizer"].get(key) for key in given} == given


def test_a_checkpoint_stores_no_option_that_has_its_default():
    stored = stored_dict(from_dict({"data": {"train": "text"}, "optimizer": {"beta2": 0.99}}))["optimizer"]
    assert stored.keys() == {"name", "learning_rate", "clip_norm", "schedule", "beta2"}


@given(configs(paths()))
def test_a_stored_config_comes_back(config: Config) -> None:
    assert portable_dict(from_stored(stored_dict(config))) == portable_dict(config)


@pytest.mark.parametrize(
    ("data", "stored"),
    [
        ({}, set()),
        ({"tokenizer": "characters", "normalize": "nfc"}, {"normalize"}),
        ({"tokenizer": "words"}, {"tokenizer_version"}),
        ({"lowercase": True, "language": "tr"}, {"tokenizer_version", "language"}),
        ({"tokenizer": "words", "tokenizer_version": 1}, set()),
    ],
)
def test_a_checkpoint_stores_settings_of_texts_that_came_later_only_where_they_matter(
    data: dict[str, Any], stored: set[str]
) -> None:
    config = from_dict({"data": {"train": "text", **data}})
    written = stored_dict(config)["data"]
    assert written.keys() & {"language", "normalize", "tokenizer_version"} == stored
    assert from_stored(stored_dict(config)).data == config.data


@pytest.mark.parametrize(
    ("data", "version"), [({}, 2), ({"tokenizer": "words"}, 1), ({"tokenizer": "characters", "lowercase": True}, 1)]
)
def test_a_checkpoint_without_a_version_has_the_first_where_there_was_another(
    data: dict[str, Any], version: int
) -> None:
    config = from_stored({"data": {"train": "text", **data}})
    assert config.data.tokenizer_version == version
    assert corpora.text_format(config.data).tokenizer.version == version


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"cell": "gru", "forget_bias": 2}}, "model.forget_bias is that of an lstm"),
        (
            {"model": {"output": {"name": "adaptive", "cutoffs": [3], "head": 0.2}}},
            "model.output.head has no effect beside model.output.cutoffs",
        ),
        ({"model": {"residual": True}}, "model.residual adds the input of every layer but the first to its output"),
        ({"model": {"tied": True}}, "model.tied is true, but one-hot vectors enter the model"),
        (
            {"dropout": {"input": 0.1}},
            "dropout.input drops parts of embedding rows, but one-hot vectors enter the model",
        ),
        ({"dropout": {"word": 0.1}}, "dropout.word drops parts of embedding rows, but one-hot vectors enter the model"),
        ({"dropout": {"hidden": 0.1}}, "dropout.hidden acts between layers, and there is one"),
        ({"dropout": {"recurrent": 1}}, "dropout.recurrent is 1; give a number, at least 0, below 1"),
        ({"optimizer": {"schedule": "plateau"}}, "optimizer.schedule is plateau, which needs data.valid"),
        ({"training": {"averaging": "asgd"}}, "training.averaging is asgd, which begins when validation stalls"),
        ({"optimizer": {"name": "lazy_adam", "weight_decay": 0.1}}, "optimizer.weight_decay changes every weight"),
        (
            {"optimizer": {"weight_decay": 0.5, "learning_rate": 2}},
            "optimizer.weight_decay times optimizer.learning_rate",
        ),
        (
            {"penalty": {"temporal": 1}, "dropout": {"output": 0.1, "masks": "step"}},
            "penalty.temporal would punish masks that change",
        ),
    ],
)
def test_ways_to_learn_that_make_no_sense(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        from_dict({"data": {"train": "text"}} | changes)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("section", "key", "choice"),
    [("optimizer", "schedule", {"name": "plateau"}), ("training", "averaging", {"name": "asgd"})],
)
def test_a_run_does_not_end_before_its_schedule_acts(section: str, key: str, choice: dict[str, Any]) -> None:
    for patience, fits in ((3, False), (2, False), (4, True)):
        config = {"data": {"train": "text", "valid": 0.1}, "training": {"patience": patience}}
        config[section] = config.get(section, {}) | {key: choice | {"patience": 3}}
        if fits:
            from_dict(config)
            continue
        with pytest.raises(ConfigError, match=rf"{section}\.{key} waits as long as training\.patience"):
            from_dict(config)
