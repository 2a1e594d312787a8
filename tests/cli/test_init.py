"""`rnncli init`: a starter config and corpus."""

import json
import os
from pathlib import Path

import pytest

from rnncli.config import yaml_file


def test_what_is_written_trains_as_it_is(rnncli, work):
    result = rnncli("init", "my-model")
    assert result.exit_code == 0
    assert result.stdout == "my-model/config.yaml\nmy-model/corpus.txt\n"
    assert result.stderr == "try: rnncli train my-model/config.yaml\n"
    trained = rnncli("train", "my-model/config.yaml", "--epochs", 6, "--random-seed", 1, "--json")
    assert trained.exit_code == 0
    done = json.loads(trained.stdout.splitlines()[-1])
    assert done["best_valid_perplexity"] < 60  # the vocabulary has 133 words
    assert rnncli("predict", "--seed", "the cat sleeps on the sofa").exit_code == 0  # a word that it cannot know
    assert yaml_file.read("my-model/config.yaml").vocabulary.unknown


def test_the_command_to_try_is_quoted(rnncli, work):
    assert rnncli("init", "it's mine").stderr == "try: rnncli train 'it'\"'\"'s mine/config.yaml'\n"


def test_in_the_current_folder(rnncli, work):
    assert rnncli("init").exit_code == 0
    assert sorted(os.listdir()) == ["config.yaml", "corpus.txt"]


@pytest.mark.parametrize("name", ["config.yaml", "corpus.txt"])
def test_nothing_is_overwritten(refused, work, name):
    Path(name).write_text("mine")
    refused(2, [name, "not overwritten", "name another folder"], "init")
    assert os.listdir() == [name]
    assert Path(name).read_text() == "mine"


def test_places_that_cannot_be_written(refused, work):
    Path("file").write_text("mine")
    refused(7, ["file: cannot write", "name another folder"], "init", "file")
    refused(7, "cannot write", "init", "file/below")
