"""What a user gives wrongly to `train`: one message, the right exit code, where it is and what would work."""

import bz2
import gzip
import os
from pathlib import Path

import pytest

CONFIG = "data: {train: text.txt}\ntraining: {random_seed: 1, epochs: 1}\n"


@pytest.fixture
def config(work):
    Path("config.yaml").write_text(CONFIG)
    Path("text.txt").write_text("a b c\nb c a\n")
    return "config.yaml"


TEXTS = [
    (b"", ["text.txt: no word in the text", "give a text"]),
    (b" \n\t\n\n", ["text.txt: no word in the text"]),
    (b"a b\nc \xffd\n", ["text.txt:2: not UTF-8: byte 0xff at byte 6", "iconv -f "]),
    ("a b\ncaf\xe9 \xe0 la\n".encode("latin1"), ["text.txt:2: not UTF-8: byte 0xe9 at byte 7"]),
    ("a b\n".encode("utf-16"), ["text.txt:1: not UTF-8: byte 0xff at byte 0, it looks like UTF-16", "iconv -f UTF-16"]),
    (b"a b\nc\x00d\n", ["text.txt:2: a NUL byte at byte 5, so it is binary", "plain text file"]),
    (b"a b\nc <end> d\n", ["text.txt:2: a literal <end> in the text", "remove it"]),
]


@pytest.mark.parametrize(("content", "pieces"), TEXTS, ids=[pieces[0][9:40] for _, pieces in TEXTS])
def test_texts(refused, config, content, pieces):
    Path("text.txt").write_bytes(content)
    message = refused(4, pieces, "train", config)
    assert "\n" not in message
    assert not Path("runs").exists()


def test_a_text_that_is_not_there_or_no_file(refused, config):
    refused(
        4, ["txet.txt: no such file", "did you mean ", "/text.txt?"], "train", config, "--set", "data.train=txet.txt"
    )
    refused(4, ["nowhere/x.txt: no such file", "no folder"], "train", config, "--set", "data.train=nowhere/x.txt")
    Path("folder").mkdir()
    refused(4, ["folder: a folder without a text", "put one into it"], "train", config, "--set", "data.train=folder")
    refused(4, "valid.txt: no such file", "train", config, "--set", "data.valid=valid.txt")
    refused(4, "test.txt: no such file", "train", config, "--set", "data.test=test.txt")
    refused(4, "words.txt: no such file", "train", config, "--set", "vocabulary.file=words.txt")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_text_that_may_not_be_read(refused, config):
    os.chmod("text.txt", 0)
    refused(4, ["text.txt: permission to read it is denied", "chmod"], "train", config)


@pytest.mark.parametrize(("suffix", "compress"), [(".gz", gzip.compress), (".bz2", bz2.compress)])
def test_a_compressed_text_that_is_cut_off(refused, config, suffix, compress):
    Path(f"text{suffix}").write_bytes(compress(b"a b c\n" * 50000)[:-10])
    refused(4, [f"text{suffix}:", "damaged or cut off"], "train", config, "--set", f"data.train=text{suffix}")
    Path(f"text{suffix}").write_bytes(b"a b c\n")
    refused(4, [f"text{suffix}:1: damaged", "remove the suffix"], "train", config, "--set", f"data.train=text{suffix}")


def test_fewer_words_than_a_batch_needs(refused, rnncli, config):
    words = ("train", config, "--set", "data.mode=stream")
    message = refused(4, ["8 words", "fewer than the 20", "set training.batch_size to 8 or less"], *words)
    assert "\n" not in message
    refused(4, "fewer than the 20", *words, "--dry-run")
    assert rnncli(*words, "--set", "training.batch_size=8").exit_code == 0


def test_fractions_that_leave_nothing(refused, config):
    refused(4, ["text.txt: data.valid: 0.1", "no line to validate on"], "train", config, "--set", "data.valid=0.1")
    Path("text.txt").write_text("\n\na b\n")
    refused(4, ["text.txt:1: no word to train on", "data.valid"], "train", config, "--set", "data.valid=0.5")


def test_a_word_of_the_validation_text_without_a_place(refused, config):
    Path("valid.txt").write_text("a b\nc aa\n")
    pieces = ["valid.txt:2: the word 'aa' is not in the vocabulary", "vocabulary.unknown: true"]
    refused(4, pieces, "train", config, "--set", "data.valid=valid.txt")


CONFIGS = [
    ("", ["config.yaml: the file is empty", "data.train"]),
    ("# nothing\n---\n", ["config.yaml: the file is empty"]),
    ("- a\n- b\n", ["config.yaml:1: this is a list, not a config"]),
    ("model: {cell: gru}\n", ["config.yaml", "data.train is missing; give a path"]),
    ("data: {train: t}\nmodel:\n\tcell: gru\n", ["config.yaml:3: not valid YAML", "spaces, not with tabs"]),
    ("data: {train: [t\n", ["config.yaml:2: not valid YAML", "close"]),
    ("data: {train: t}\nmodel: {cell: lstn}\n", ["config.yaml:2: model.cell is 'lstn'; choose", "did you mean lstm?"]),
    ("data: {train: t}\nmodle: {cell: gru}\n", ["config.yaml:2: modle is not a known key", "did you mean model?"]),
    ("data: {train: t}\nmodel: {hiden_size: 3}\n", ["model.hiden_size is not a known key", "model.hidden_size?"]),
    (
        "data: {train: t}\nlearning_rate: 3\n",
        ["learning_rate is not a known key", "did you mean optimizer.learning_rate?"],
    ),
    ("data:\n  train: t\n  train: u\n", ["config.yaml:3: data.train is given twice, first in line 2"]),
    ("data: {train: t}\ntraining: {epochs: many}\n", ["training.epochs is 'many'; give a whole number"]),
    ("data: {train: t}\ntraining: {epochs: 0}\n", ["training.epochs is 0; give a whole number, at least 1"]),
    ("data: {train: t}\nmodel: 3\n", ["config.yaml:2: model is 3; it is a section"]),
    ("data: {train: t}\ntraining: {patience: 3}\n", ["training.patience needs data.valid"]),
    ("data: {train: t}\ntraining: {max_time: 3}\n", ["training.max_time is 3; give a time with its unit"]),
    ("data: {train: t}\nrun: {checkpoint_every: 0 steps}\n", ["run.checkpoint_every", "such as 1 epoch"]),
    (
        "data: {train: t}\noptimizer: {learning_rate: -1e-3}\n",
        ["optimizer.learning_rate is -1e-3; give a number, above 0"],
    ),
    ("data: {train: t}\nparallel: {shards: 2}\n", ["parallel.shards is 2; give 1"]),
]


@pytest.mark.parametrize(("content", "pieces"), CONFIGS, ids=[pieces[-1][:40] for _, pieces in CONFIGS])
def test_configs(refused, config, content, pieces):
    Path(config).write_text(content)
    message = refused(3, pieces, "train", config)
    assert message.startswith("config.yaml")
    assert "\n" not in message
    assert message == refused(3, pieces, "train", config, "--dry-run")
    assert message == refused(3, pieces, "gradcheck", config)
    assert not Path("runs").exists()


def test_all_faults_at_once(refused, config):
    Path(config).write_text(
        "data:\n  train: t\n  mode: strem\nmodel:\n  cell: lstn\n  layers: 0\n  cel: rnn\ntrianing: {epochs: 3}\n"
    )
    message = refused(3, [], "train", config, "--set", "model.hidden_size=big", "--set", "x", "--epochs", "-1")
    places = [line.split(" is ")[0] for line in message.splitlines()]
    assert places == [
        *("config.yaml:3: data.mode", "config.yaml:5: model.cell", "config.yaml:6: model.layers"),
        *("config.yaml:7: model.cel", "config.yaml:8: trianing"),
        "--set model.hidden_size=big: model.hidden_size",
        "--set x: write it as key=value, such as --set model.cell=gru",
        "--epochs",
    ]


def test_config_files_that_cannot_be_read(refused, config):
    refused(3, ["confg.yaml: no such file", "did you mean config.yaml?"], "train", "confg.yaml")
    refused(3, ["gone/config.yaml: no such file"], "train", "gone/config.yaml")
    Path("folder").mkdir()
    refused(3, ["folder: is a folder; give the path of a config file"], "train", "folder")
    Path("binary.yaml").write_bytes(b"data: \xff\n")
    refused(3, ["binary.yaml:1: not UTF-8: byte 0xff at byte 6"], "train", "binary.yaml")
    Path("binary.yaml").write_bytes(bytes(range(32)) * 9)
    refused(3, ["binary.yaml:1:", "is not allowed in YAML"], "train", "binary.yaml")
    refused(2, "Missing argument 'CONFIG'", "train")


@pytest.mark.parametrize(
    ("override", "piece"),
    [
        ("model.cell", "--set model.cell: write it as key=value"),
        ("=3", "write it as key=value"),
        (
            "model.cell=lstn",
            "--set model.cell=lstn: model.cell is 'lstn'; choose rnn, lstm or gru (did you mean lstm?)",
        ),
        ("model.sell=gru", "model.sell is not a known key"),
        ("model.cell=[", "not valid YAML"),
        ("training.epochs=1.5", "training.epochs is 1.5; give a whole number"),
        ("data.train=", "data.train is null; give a path"),
        ("run.keep=0", "run.keep is 0; give a whole number, at least 1"),
    ],
)
def test_overrides(refused, config, override, piece):
    assert "\n" not in refused(3, piece, "train", config, "--set", override)


@pytest.mark.parametrize("setting", ["layers", "hidden_size", "embedding_size"])
def test_sizes_that_no_machine_has(refused, config, setting):
    for number in (2_000_000_000, 10**30):
        message = refused(3, f"model.{setting}", "train", config, "--set", f"model.{setting}={number}")
        assert "\n" not in message
    assert not Path("runs").exists()


@pytest.mark.parametrize("cutoffs", ["4", "[2, 4]", "[1, 1000]"])
def test_cutoffs_that_do_not_cut_the_vocabulary(refused, rnncli, config, cutoffs):
    pieces = ["model.output.cutoffs: ", "must rise, and stay below the 4 words of the vocabulary", "remove them"]
    words = ("train", config, "--set", "model.output=adaptive")
    for more in ([], ["--dry-run"]):
        assert "\n" not in refused(3, pieces, *words, "--set", f"model.output.cutoffs={cutoffs}", *more)
    assert not Path("runs").exists()
    assert rnncli(*words, "--set", "model.output.cutoffs=[1, 3]").exit_code == 0


def test_options_that_are_short_for_a_setting(refused, config):
    for words, piece in (
        (["--epochs", "many"], "--epochs is 'many'; give a whole number"),
        (
            ["--max-time", "5"],
            "--max-time is 5; give a time with its unit, such as 90s, 30m or 2h, or null (did you mean 5s?)",
        ),
        (["--random-seed", "-1"], "--random-seed is -1; give a whole number, at least 0"),
    ):
        assert refused(3, piece, "train", config, *words).startswith(piece)
    refused(2, "0 is not in the range", "train", config, "--threads", "0")


def test_places_that_cannot_be_written(refused, config):
    Path("file").write_text("here")
    refused(7, ["file: cannot write: ", "set run.dir"], "train", config, "--set", "run.dir=file")
    refused(7, ["cannot write: "], "train", config, "--set", "run.dir=file/below")
    refused(7, ["cannot write: ", "run.dir"], "train", config, "--set", "run.dir=/proc/nowhere")
    assert Path("file").read_text() == "here"


def test_a_run_folder_without_a_whole_checkpoint(refused, rnncli, config):
    assert rnncli("train", config).exit_code == 0
    for path in Path("runs/config/checkpoints").iterdir():
        path.write_bytes(b"rubbish")
    for words in ([], ["--resume"]):
        refused(5, ["step-00000001.npz: not a valid checkpoint"], "train", config, *words)
    assert rnncli("train", config, "--fresh").exit_code == 0
    assert Path("runs/config.1").is_dir()
