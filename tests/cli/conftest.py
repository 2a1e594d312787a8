"""Fixtures of the command tests: an empty folder, commands in this process and in another, finished runs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from rnncli.cli import main

HERE = Path(__file__).parents[2]


@pytest.fixture
def work(tmp_path, monkeypatch):
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def rnncli():
    """Run a command in this process: `rnncli("train", path)`, with what it wrote and its exit code."""

    def run(*words, stdin=None, **extra):
        result = CliRunner().invoke(main, [str(word) for word in words], input=stdin, **extra)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception  # a traceback, where a user would see it
        assert "Traceback" not in result.stderr
        assert "\x1b" not in result.output
        return result

    return run


@pytest.fixture(scope="session")
def refused(rnncli):
    """Run a command that must fail with this exit code and one message that has these pieces; the message."""

    def run(exit_code, pieces, *words, stdin=None):
        result = rnncli(*words, stdin=stdin)
        assert result.exit_code == exit_code, result.output
        assert result.stdout == ""
        lines = [line for line in result.stderr.splitlines() if not line.startswith("using ")]
        message = "\n".join(lines)
        for piece in [pieces] if isinstance(pieces, str) else pieces:
            assert piece in message
        return message

    return run


@pytest.fixture
def start():
    """Start a command in a process of its own, which does not outlive the test."""
    started = []

    def run(*words, stderr=subprocess.PIPE, **environment):
        process = subprocess.Popen(
            [sys.executable, "-m", "rnncli", *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=stderr,
            env={key: value for key, value in os.environ.items() if key != "NO_COLOR"} | environment,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def copy_fruit(folder):
    for name in ("configs/fruit.yaml", "data/fruit.txt"):
        (folder / name).parent.mkdir(parents=True)
        shutil.copy(HERE / name, folder / name)


@pytest.fixture
def fruit_config(work):
    """A fresh copy of the fruit config and its text."""
    copy_fruit(work)
    return "configs/fruit.yaml"


@pytest.fixture(scope="session")
def fruit(tmp_path_factory, rnncli):
    """The folder of a finished run of configs/fruit.yaml; not to be changed."""
    folder = tmp_path_factory.mktemp("fruit")
    copy_fruit(folder)
    assert rnncli("train", folder / "configs" / "fruit.yaml", "--set", f"run.dir={folder / 'run'}").exit_code == 0
    return folder / "run"


@pytest.fixture(scope="session")
def with_unknown(tmp_path_factory, rnncli):
    """The folder of a run whose vocabulary has `<unk>`; not to be changed."""
    folder = tmp_path_factory.mktemp("unknown")
    copy_fruit(folder)
    settings = {"vocabulary.unknown": "true", "training.epochs": 5, "run.dir": folder / "run"}
    words = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    assert rnncli("train", folder / "configs" / "fruit.yaml", *words).exit_code == 0
    return folder / "run"
