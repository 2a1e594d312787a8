from __future__ import annotations

import contextlib
import io
import os
import re
from pathlib import Path

import pytest
from config.test_config import DEFAULTS, configs, paths
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rnncli.config.config import Config, DataConfig, to_dict
from rnncli.config.yaml_file import read, to_yaml, write
from rnncli.errors import ConfigError, WriteError
from rnncli.model.outputs import OUTPUTS, AdaptiveSoftmax
from rnncli.schema.fields import Choice, Duration, Interval

# Section 6 of the design, word for word.
DESIGN = """\
data:
  train: ../data/fruit.txt      # one path or a list; .gz, .bz2 and .xz are read as they are
  valid: null                   # a path, or a fraction such as 0.1
  test: null
  mode: sentences               # sentences | stream
  line_end: true                # stream only
  tokenizer: whitespace         # whitespace | words | characters
  lowercase: false
vocabulary: {min_count: 1, max_size: null, unknown: null, file: null}
model:
  cell: lstm                    # rnn | lstm | gru
  layers: 1
  hidden_size: 64
  embedding_size: null          # null: one-hot vectors enter the first cell
  output: {name: full}          # full | adaptive (cutoffs, …) | sampled (samples, …); a bare name will do
  engine: fused                 # fused | stepwise
optimizer:
  name: adam                    # adam | sgd | …
  learning_rate: 0.001
  clip_norm: 5.0
  schedule: {name: constant}
training: {epochs: 10, batch_size: 20, bptt: 35, random_seed: null, patience: null, max_time: null, dtype: float32}
parallel: {shards: 1, reduction: tree}
run: {dir: null, keep: 2, checkpoint_every: 1 epoch}    # or 500 steps, or 10m; dir null: ./runs/<config's name>
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").mkdir()
    return tmp_path


def given_text(text: str | bytes, name: str = "configs/ptb.yaml") -> str:
    Path(name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return name


def faults(text: str | bytes, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        read(given_text(text), overrides)
    assert error.value.exit_code == 3
    return str(error.value).splitlines()


def config_of(body: str, *overrides: str) -> Config:
    return read(given_text("data: {train: x}\n" + body), overrides)


def test_the_config_of_the_design_says_the_defaults(folder: Path) -> None:
    config = read(given_text(DESIGN))
    assert config == Config(DataConfig((f"{folder}/data/fruit.txt",)))
    assert to_dict(config) == DEFAULTS | {"data": DEFAULTS["data"] | {"train": [f"{folder}/data/fruit.txt"]}}


def test_paths_are_resolved_where_they_are_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    name = given_text("data: {train: [a.txt, ../b.txt, /c.txt], valid: ~/d.txt}\nvocabulary: {file: words}")
    config = read(name, ["data.test=e.txt", "run.dir=~/f"])
    assert config.data.train == (f"{folder}/configs/a.txt", f"{folder}/b.txt", "/c.txt")
    assert (config.data.valid, config.data.test) == ("/home/me/d.txt", f"{folder}/e.txt")
    assert (config.vocabulary.file, config.run.dir) == (f"{folder}/configs/words", "/home/me/f")


def test_a_fault_names_file_line_key_and_remedy() -> None:
    text = "data:\n  train: x\n\n\n# the model\nmodel:\n  cell: lstn\n"
    assert faults(text) == ["configs/ptb.yaml:7: model.cell is 'lstn'; choose rnn, lstm or gru (did you mean lstm?)"]


def test_every_fault_is_listed_in_the_order_of_its_line() -> None:
    text = (
        "hidden_size: 100\n"
        "model:\n"
        "  cell:\n"
        "    lstn\n"
        "  layers: 0\n"
        "  layers: 2\n"
        "training: {epochs: 1e3, patience: 2, dtype: on}\n"
        "optimizer: {learning_rate: .nan, clip_norm: .inf}\n"
        "run: [1]\n"
    )
    starts = [
        "configs/ptb.yaml:1: hidden_size is not a known key; ",
        "configs/ptb.yaml:1: data.train is missing; give a path or a list of such",
        "configs/ptb.yaml:3: model.cell is 'lstn'; ",
        "configs/ptb.yaml:6: model.layers is given twice, first in line 5; keep one of them",
        "configs/ptb.yaml:7: training.epochs is 1e3; give a whole number",
        "configs/ptb.yaml:7: training.dtype is 'on'; choose float32 or float64",
        "configs/ptb.yaml:7: training.patience needs data.valid",
        "configs/ptb.yaml:8: optimizer.learning_rate is '.nan'; give a number",
        "configs/ptb.yaml:8: optimizer.clip_norm is '.inf'; give a number",
        "configs/ptb.yaml:9: run is a list; it is a section",
        "--set model.engine=fast: model.engine is 'fast'; choose fused or stepwise",
        "--set nonsense: write it as key=value, such as --set model.cell=gru",
        "--set model.output=[1: not valid YAML: ",
        "--set lr=1: lr is not a known key; ",
    ]
    found = faults(text, "model.engine=fast", "nonsense", "model.output=[1", "lr=1")
    told = {start for start in starts for line in found if line.startswith(start)}
    assert told == set(starts)
    assert len(found) == len(starts)
    numbers = [int(match[1]) for line in found if (match := re.match(r"configs/ptb\.yaml:(\d+):", line))]
    assert numbers == sorted(numbers)
    assert [line.startswith("--set") for line in found] == [False] * 10 + [True] * 4
    assert found[0].endswith("(did you mean model.hidden_size?)")
    assert found[-1].endswith("(did you mean optimizer.learning_rate?)")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("training: {epochs: 1e3}", "training.epochs is 1e3; give a whole number, at least 1 (did you mean 1000?)"),
        ("training: {epochs: 10.0}", "training.epochs is 10.0; give a whole number, at least 1 (did you mean 10?)"),
        (
            'training: {bptt: "35"}',
            "training.bptt is '35'; give a whole number, at least 1 (did you mean 35, without quotes?)",
        ),
        (
            'optimizer: {learning_rate: "1e-3"}',
            "optimizer.learning_rate is '1e-3'; give a number, above 0 (did you mean 0.001, without quotes?)",
        ),
        (
            'data: {lowercase: "True"}',
            "data.lowercase is 'True'; give true or false (did you mean true, without quotes?)",
        ),
        (
            "training: {max_time: 3600}",
            "training.max_time is 3600; give a time with its unit, such as 90s, 30m or 2h, or null "
            "(did you mean 3600s?)",
        ),
        (
            "run: {checkpoint_every: 500}",
            "run.checkpoint_every is 500; give a number of epochs or steps, or a time, such as 1 epoch, 500 steps or "
            "10m (did you mean 500 steps?)",
        ),
        # nothing that would work
        ("training: {epochs: 1.5}", "training.epochs is 1.5; give a whole number, at least 1"),
        ('training: {epochs: "1e99"}', "training.epochs is '1e99'; give a whole number, at least 1"),
        ("training: {epochs: nan}", "training.epochs is 'nan'; give a whole number, at least 1"),
        ('optimizer: {learning_rate: "-1"}', "optimizer.learning_rate is '-1'; give a number, above 0"),
        ("data: {lowercase: 1}", "data.lowercase is 1; give true or false"),
        (
            "training: {max_time: -3}",
            "training.max_time is -3; give a time with its unit, such as 90s, 30m or 2h, or null",
        ),
        (
            "run: {checkpoint_every: 0}",
            "run.checkpoint_every is 0; give a number of epochs or steps, or a time, such as 1 epoch, 500 steps or 10m",
        ),
    ],
)
def test_a_number_in_another_form_gets_a_hint(body: str, message: str) -> None:
    text = body if body.startswith("data") else f"data: {{train: x}}\n{body}"
    assert [line.split(": ", 1)[1] for line in faults(text) if "is missing" not in line] == [message]


def test_a_fault_names_the_option_that_was_typed() -> None:
    name = given_text("data: {train: x}")
    typed = {"training.max_time=3600": "--max-time", "training.epochs=a: [": "--epochs"}
    with pytest.raises(ConfigError) as error:
        read(name, ["model.layers=0", *typed], typed)
    layers, max_time, epochs = str(error.value).splitlines()
    assert layers.startswith("--set model.layers=0: model.layers is 0; ")
    assert max_time.startswith("--max-time is 3600; give a time with its unit, ")
    assert epochs.startswith("--epochs: not valid YAML: ")


def test_standard_input_is_a_config_in_the_current_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def given(text: bytes) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text)))

    given("\ufeffdata: {train: naïve.txt}".encode())
    assert read("-").data.train == (f"{folder}/naïve.txt",)
    for text, message in [
        (b"data: {trian: x}", "standard input:1: data.trian is not a known key"),
        (b"", "standard input: the file is empty"),
        (b"\n\xff", "standard input:2: not UTF-8"),
        (b"#" * (2 << 20), "standard input: is larger than 1 MiB"),
    ]:
        given(text)
        with pytest.raises(ConfigError, match=re.escape(message)):
            read("-")
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(ConfigError, match="standard input: is closed; name a config file"):
        read("-")


def test_paths_that_the_locale_cannot_name(monkeypatch: pytest.MonkeyPatch) -> None:
    path = "caf\udcc3\udca9.txt"  # as Python reads café.txt, where the locale is ASCII
    assert faults("data: {train: x}", f"data.train={path}") == [
        r"--set 'data.train=caf\udcc3\udca9.txt': is not UTF-8; rename the file"
    ]
    monkeypatch.setattr("sys.getfilesystemencoding", lambda: "ascii")
    monkeypatch.setattr("os.fsencode", lambda path: path.encode("ascii", "surrogateescape"))
    remedy = "set PYTHONUTF8=1, or LC_ALL to a UTF-8 locale"
    assert faults("data: {train: x}", f"data.train={path}") == [
        rf"--set 'data.train=caf\udcc3\udca9.txt': cannot be read in the ascii of this locale; {remedy}"
    ]
    assert faults("data: {train: café.txt}") == [
        f"configs/ptb.yaml:1: data.train is 'café.txt'; file names in this locale are ascii; {remedy}"
    ]


def test_settings_that_exclude_each_other_are_reported_with_their_line() -> None:
    assert faults("data: {train: x}\ntraining:\n  patience: 3")[0].startswith("configs/ptb.yaml:3: training.patience ")
    lines = faults("data: {train: x}\n", "training.patience=3")
    assert lines[0].startswith("--set training.patience=3: training.patience needs data.valid")


@pytest.mark.parametrize(
    ("written", "value"),
    [("1e-3", 0.001), ("1E-3", 0.001), ("1_000", 1000.0), (".5", 0.5), ("5.", 5.0), ("+2", 2.0), ("1_0.5e+1", 105.0)],
)
def test_numbers_are_read_as_people_write_them(written: str, value: float) -> None:
    assert config_of(f"optimizer: {{learning_rate: {written}}}").optimizer.learning_rate == value


@pytest.mark.parametrize(
    "written", [".nan", "nan", "inf", "-.inf", "1e999", "'1'", "1:30", "0x10", "1,5", "true", "9" * 70]
)
def test_text_that_is_not_a_number(written: str) -> None:
    (line,) = faults(f"data: {{train: x}}\noptimizer:\n  learning_rate: {written}\n")
    assert line.startswith("configs/ptb.yaml:3: optimizer.learning_rate is ")


def test_on_and_off_are_true_and_false_for_a_switch_and_text_for_a_text(folder: Path) -> None:
    config = config_of("vocabulary: {unknown: yes}\nmodel: {layers: 007}")
    assert config.vocabulary.unknown is True
    assert config.model.layers == 7
    assert config_of("", "data.lowercase=on", "vocabulary.unknown=Off").vocabulary.unknown is False
    assert config_of("", "data.train=[on, 1984, 1e3, 2001-01-01]").data.train == tuple(
        f"{folder}/{name}" for name in ("on", "1984", "1e3", "2001-01-01")
    )
    assert faults("data: {train: x, lowercase: 'on'}") == [
        "configs/ptb.yaml:1: data.lowercase is 'on'; give true or false"
    ]


def test_a_fraction_is_a_number_and_a_path_is_text(folder: Path) -> None:
    assert config_of("", "data.valid=0.1").data.valid == 0.1
    assert config_of("", "data.valid='0.1'").data.valid == f"{folder}/0.1"
    assert config_of("", "data.valid=0.1", "data.valid=").data.valid is None


def test_times_and_intervals() -> None:
    config = config_of("training: {max_time: 1h30m}\nrun: {checkpoint_every: 500 steps}")
    assert config.training.max_time == Duration(5400)
    assert config.run.checkpoint_every == Interval(500, "step")


def test_an_override_wins_over_the_file_and_the_last_over_the_first() -> None:
    config = config_of("model: {cell: rnn, layers: 2}", "model.cell=lstm", "model.cell=gru", "training={epochs: 3}")
    assert (config.model.cell, config.model.layers, config.training.epochs) == ("gru", 2, 3)
    config = config_of("model: {cell: rnn, layers: 2}", "model={cell: lstm}")
    assert (config.model.cell, config.model.layers) == ("lstm", 2)


def test_an_override_reaches_into_a_choice() -> None:
    expected = Choice("adaptive", AdaptiveSoftmax.Options((5, 9), 2.0))
    in_file = "model: {output: {name: adaptive, cutoffs: [5, 9]}}"
    assert config_of(in_file, "model.output.div_value=2").model.output == expected
    bare = "model: {output: adaptive}"
    assert config_of(bare, "model.output.cutoffs=[5, 9]", "model.output.div_value=2").model.output == expected
    assert config_of(in_file, "model.output=full").model.output == Choice.of(OUTPUTS, "full")
    config = config_of(in_file, "model.output.div_value=2")
    assert read(given_text(to_yaml(config, "configs"), "configs/again.yaml")) == config


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.cell.deep=1", "model.cell is a mapping; choose rnn, lstm or gru"),
        ("data.train.x=1", "data.train is a mapping; give a path or a list of such"),
        ("model.=1", "write it as key=value"),
        ("=1", "write it as key=value"),
        ("", "write it as key=value"),
        ("data.test=*x", "anchors and aliases (& and *) are not supported; write the value out, or quote it"),
        ("data.test=!x", "tags such as '!x' are not supported"),
        ("data.test={a: 1, a: 2}", "data.test.a is given twice, first in line 1; keep one of them"),
        ("model.layers=two", "model.layers is 'two'; give a whole number, at least 1"),
        ("model=gru", "model is 'gru'; it is a section"),
        ("modl.cell=gru", "modl is not a known key"),
    ],
)
def test_a_fault_of_an_override_names_the_override(override: str, message: str) -> None:
    lines = faults("data: {train: x}", override)
    assert lines[0].startswith(f"--set {override}: {message}")
    assert all(line.startswith("--set") for line in lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "configs/ptb.yaml: the file is empty; "),
        ("# nothing\n", "configs/ptb.yaml: the file is empty; "),
        ("- a\n", "configs/ptb.yaml:1: this is a list, not a config; "),
        ("mango is yellow\n" * 99, "configs/ptb.yaml:1: this is 'mango is yellow mango"),
        ("data: {train: x}\n---\ndata: 1\n", "configs/ptb.yaml:2: a second document starts here; "),
        ("---\n---\ndata: 1\n", "configs/ptb.yaml:2: a second document starts here; "),
        ("data: &a {train: x}\nmodel: *a\n", "configs/ptb.yaml:1: anchors and aliases"),
        ("data: {train: x}\nmodel: *a\n", "configs/ptb.yaml:2: anchors and aliases"),
        ("data:\n  train: !!python/name:os.system x\n", "configs/ptb.yaml:2: tags such as '!!python/name:os.system'"),
        ("data:\n\ttrain: x\n", "configs/ptb.yaml:2: not valid YAML: "),
        ("data: {train: 'x\n", "configs/ptb.yaml:2: not valid YAML: "),
        ("data: train: x\n", "configs/ptb.yaml:1: not valid YAML: mapping values are not allowed here; write one"),
        ("data: {train: x}\na: \x01\n", "configs/ptb.yaml:2: the character 0x1 is not allowed in YAML; "),
        ('data: {train: "\\UFFFFFFFF"}\n', "configs/ptb.yaml: not valid YAML: a character"),
        ("%YAML " + "9" * 5000 + ".1\n---\n", "configs/ptb.yaml: not valid YAML: a character or version"),
        (b"a: 1\nb: \xe9t\xe9\n", "configs/ptb.yaml:2: not UTF-8: byte 0xe9 at byte 8; save the file as UTF-8"),
        ("x" * (2**20 + 1), "configs/ptb.yaml: is larger than 1 MiB"),
        ("? [a]\n: b\n", "configs/ptb.yaml:1: a key must be a word"),
        ("[" * 2**20, "configs/ptb.yaml:1: nested more than 16 levels deep"),
        ("[\n" * 2**19, "configs/ptb.yaml:17: nested more than 16 levels deep"),
        ("{a: " * 2**17, "configs/ptb.yaml:1: nested more than 16 levels deep"),
        ("".join(" " * i + "a:\n" for i in range(1000)), "configs/ptb.yaml:17: nested more than 16 levels deep"),
        ("- " * 2**19, "configs/ptb.yaml:1: nested more than 16 levels deep"),
        ("a: 1\n" * 2**17, "configs/ptb.yaml:10000: more than 20000 keys and values"),
    ],
)
def test_yaml_outside_the_subset_is_refused_at_once(text: str | bytes, message: str) -> None:
    (line,) = faults(text)
    assert line.startswith(message)


def test_a_byte_order_mark_and_crlf_do_no_harm(folder: Path) -> None:
    name = given_text(b"\xef\xbb\xbfdata:\r\n  train: x\r\n")
    assert read(name).data.train == (f"{folder}/configs/x",)


def test_a_missing_file_gets_a_suggestion() -> None:
    given_text("data: {train: x}", "configs/ptb.yaml")
    given_text("data: {train: x}", "configs/fruit.yaml")
    for name, message in (
        ("configs/prb.yaml", "configs/prb.yaml: no such file (did you mean configs/ptb.yaml?)"),
        ("ptb", "ptb: no such file (did you mean configs/ptb.yaml?)"),
        ("configs/x.yaml", "configs/x.yaml: no such file; found configs/fruit.yaml and configs/ptb.yaml"),
        ("nowhere/x.yaml", "nowhere/x.yaml: no such file"),
        ("configs", "configs: is a folder; give the path of a config file; found configs/fruit.yaml and"),
        ("configs/ptb.yaml/x", "configs/ptb.yaml/x: cannot be read: Not a directory"),
        ("a\0b", "'a\\x00b': not a valid file name"),
        ("x" * 300, "x" * 300 + ": cannot be read: File name too long"),
    ):
        with pytest.raises(ConfigError, match="^" + re.escape(message)):
            read(name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_is_a_config_error() -> None:
    name = given_text("data: {train: x}")
    Path(name).chmod(0)
    with pytest.raises(ConfigError, match="cannot be read: Permission denied"):
        read(name)


# One temporary folder serves all examples of a test: each overwrites the file.
one_folder = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

WORDS = ["data", "train", "model", "cell", "output", "name", "full", "valid", "training", "max_time", "run", "x", "1e3"]
WORDS += [
    "null",
    "on",
    "-1",
    ".nan",
    ": ",
    ": ",
    ":\n  ",
    "\n",
    "\n",
    "\n  ",
    "- ",
    "{",
    "}",
    "[",
    "]",
    ", ",
    "'",
    '"',
    "|",
    ">",
]
WORDS += [
    "&a ",
    "*a",
    "!!",
    "%",
    "---\n",
    "...",
    "#",
    "\\",
    "\t",
    "\ufeff",
    "\x85",
    "\u2028",
    "~",
    "=",
    ".",
    "? ",
    "<<",
]
YAMLISH = st.lists(st.sampled_from(WORDS), max_size=25).map("".join)


@one_folder
@given(st.text() | YAMLISH | YAMLISH.map("data: {train: x}\n".__add__) | st.binary())
def test_any_file_is_a_config_or_a_config_error(text: str | bytes) -> None:
    if isinstance(text, str):
        text = text.encode("utf-8", "surrogatepass")
    with contextlib.suppress(ConfigError):
        read(given_text(text))


KEYS = st.sampled_from([f"{section}.{key}" for section, keys in DEFAULTS.items() for key in keys] + ["model", "x.y.z"])


@one_folder
@given(st.lists(st.text() | YAMLISH | st.tuples(KEYS, st.text() | YAMLISH).map("=".join), max_size=3))
def test_any_override_gives_a_config_or_a_config_error(overrides: list[str]) -> None:
    with contextlib.suppress(ConfigError):
        config_of("model: {output: full}", *overrides)


def absolute(path: str) -> str:
    return os.path.normpath("/" + path.lstrip("/"))  # POSIX treats two leading slashes specially


@one_folder
@given(configs(paths().map(absolute)))
def test_any_config_comes_back_from_yaml(folder: Path, config: Config) -> None:
    assert read(given_text(to_yaml(config, folder / "configs"))) == config


@pytest.mark.parametrize(
    "name", ["~", "~root", "0.1", "1e-3", "null", "on", "a: b", " x", "#", "1_0", "é\u2028", "-", "0\x85", "a  " * 60]
)
def test_a_file_with_an_odd_name_comes_back_from_yaml(folder: Path, name: str) -> None:
    path = f"{folder}/configs/{name}"
    config = Config(DataConfig((path, path), valid=path, test=path))
    assert read(given_text(to_yaml(config, "configs"))) == config


def test_a_written_config_is_read_back_wherever_the_folders_go_together(folder: Path) -> None:
    config = Config(DataConfig((f"{folder}/data/fruit.txt",)))
    Path("runs/1").mkdir(parents=True)
    write(config, "runs/1/config.yaml")
    assert "  - ../../data/fruit.txt\n" in Path("runs/1/config.yaml").read_text()
    assert read("runs/1/config.yaml") == config
    Path("moved").mkdir()
    Path("runs").rename("moved/runs")
    assert read("moved/runs/1/config.yaml").data.train == (f"{folder}/moved/data/fruit.txt",)


def test_a_config_that_cannot_be_written_is_a_write_error() -> None:
    with pytest.raises(WriteError, match=r"nowhere/config\.yaml: cannot write: No such file"):
        write(Config(DataConfig(("/x",))), "nowhere/config.yaml")
