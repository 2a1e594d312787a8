"""The command line as a whole: help, names, exit codes, pipes and terminals."""

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
from support.terminal import terminal

import rnncli as package
from rnncli.cli import COMMANDS, main, options


def test_help_names_every_command(rnncli):
    for words in (["--help"], ["-h"]):
        result = rnncli(*words)
        assert result.exit_code == 0
        assert all(re.search(rf"^  {name} +\S", result.stdout, re.MULTILINE) for name in COMMANDS)
        assert "\n    rnncli train my-model/config.yaml\n" in result.stdout  # examples keep their lines
    assert rnncli("--version").stdout == f"rnncli, version {package.__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_each_command(rnncli, name):
    result = rnncli(name, "--help")
    assert result.exit_code == 0
    assert "\n  Example" in result.stdout
    assert re.search(rf"^    rnncli {name}", result.stdout, re.MULTILINE)
    assert r"\b" not in result.stdout
    if "--json" in result.stdout:
        assert "\n  JSON: " in result.stdout


def test_help_imports_neither_numpy_nor_yaml():
    program = (
        "import sys\nfrom rnncli.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit as end: assert not end.code\n"
        "assert not {'numpy', 'yaml', 'tqdm', 'rnncli.config.config'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)


def test_unknown_commands(refused, rnncli):
    refused(2, ["No such command 'trian'", "Did you mean train?"], "trian")
    refused(2, "No such command 'xyzzy'", "xyzzy")
    refused(2, "No such option", "train", "--no-such-thing")
    assert rnncli().exit_code == 2


def test_no_module_is_called_main():
    assert main.name == "main"
    assert not any(name.startswith("rnncli.cli.main") for name in sys.modules)


@pytest.mark.parametrize("command", [["predict"], ["evaluate", "x.txt"], ["inspect"]])
def test_no_run_here(refused, work, command):
    refused(5, ["no run found", "./runs", "current folder", "--run PATH"], *command)
    refused(5, ["nope: no such run or checkpoint", "rnncli train CONFIG"], *command, "--run", "nope")


@pytest.mark.parametrize("command", [["predict"], ["evaluate", "x.txt"], ["inspect"]])
def test_runs_that_cannot_be_used(refused, work, fruit, command):
    (work / "empty").mkdir()
    refused(5, "empty: no checkpoint in this folder yet", *command, "--run", "empty")
    (work / "rubbish.npz").write_bytes(b"rubbish")
    refused(5, "rubbish.npz: not a valid checkpoint", *command, "--run", "rubbish.npz")
    whole = sorted((fruit / "checkpoints").iterdir())[-1].read_bytes()
    (work / "cut.npz").write_bytes(whole[: len(whole) // 2])
    refused(5, "cut.npz: not a valid checkpoint", *command, "--run", "cut.npz")


@pytest.mark.parametrize("command", [["predict"], ["evaluate", "x.txt"], ["inspect"]])
def test_a_checkpoint_of_another_version(refused, work, fruit, command, monkeypatch):
    from rnncli.runs import checkpoint_file

    meta, members = checkpoint_file.read(sorted((fruit / "checkpoints").iterdir())[-1], lambda name: True)
    monkeypatch.setattr(checkpoint_file, "FORMAT_VERSION", 4)
    monkeypatch.setattr(checkpoint_file, "READABLE", (4,))
    checkpoint_file.write(work / "future.npz", meta, members)
    monkeypatch.undo()
    monkeypatch.chdir(work)
    pieces = ["future.npz: a checkpoint of format version 4", "reads versions 2 and 3", "train again"]
    refused(5, pieces, *command, "--run", "future.npz")


def test_the_run_is_reported_if_it_was_not_named(rnncli, fruit, monkeypatch):
    monkeypatch.chdir(fruit)
    result = rnncli("predict", "--samples", 0)
    assert re.match(r"using checkpoints/step-\d{8}\.npz\n", result.stderr)
    assert "using" not in rnncli("predict", "--samples", 0, "--run", fruit).stderr


def test_a_reader_that_leaves_early(start, fruit):
    process = start("predict", "--run", fruit, "--samples", 4000)
    assert process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("json_flag", [[], ["--json"]])
def test_stdout_on_a_full_disk(fruit, json_flag):
    with open("/dev/full", "w") as full:
        words = [sys.executable, "-m", "rnncli", "predict", "--run", str(fruit), *json_flag]
        result = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert result.returncode == 7
    assert result.stderr == "standard output: no space left; free some space, or write elsewhere\n"


def test_stderr_and_terminals_get_no_control_characters(rnncli, work, monkeypatch):
    Path("a\x1b[31m.yaml").write_text("data: {train: '\\x9b\\u202e\\nb.txt'}\n")
    result = rnncli("train", "a\x1b[31m.yaml")
    assert result.exit_code == 4
    assert r"\x9b" in result.stderr
    result = rnncli("train", "c\n\x1b[31m.yaml", "extra\x1b[31m")
    assert r"extra\x1b[31m" in result.stderr
    for argument in ("no\x1b[31m", "no\nno"):
        message = rnncli("runs", argument).stderr
        assert message.startswith(argument.encode("unicode_escape").decode())
    with monkeypatch.context() as patched, mock.patch("sys.stdout", io.StringIO()) as written:
        options.say("a\x1b[31m\nb\u200b")  # a file gets it as it is
        patched.setattr(written, "isatty", lambda: True, raising=False)
        options.say("a\x1b[31m\nb\u200b")
        assert written.getvalue() == "a\x1b[31m\nb\u200b\n" + "a\\x1b[31m\nb\\u200b\n"


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1", "cp1252"])
def test_json_is_ascii_where_stdout_is_not_utf8(monkeypatch, encoding):
    written = io.TextIOWrapper(io.BytesIO(), encoding)
    monkeypatch.setattr("sys.stdout", written)
    options.print_json({"word": "naïve 😀\udce9\x1b"}, indent=None)
    text = written.buffer.getvalue().decode(encoding)
    assert json.loads(text) == {"word": "naïve 😀\udce9\x1b"}
    assert text.isascii() is (encoding != "utf-8")


COMPLETED = [
    ("train conf", "file,conf"),
    ("evaluate x.txt te", "file,te"),
    ("predict --run run", "file,run"),
    ("predict --file se", "file,se"),
    ("inspect --strip ou", "file,ou"),
    ("tr", "plain,train"),
    ("gradcheck --method com", "plain,complex"),
    ("nosuch x", ""),
]


@pytest.mark.parametrize(("typed", "expected"), COMPLETED)
def test_the_shell_completes_names(rnncli, monkeypatch, typed, expected):
    monkeypatch.setenv("_RNNCLI_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", f"rnncli {typed}")
    monkeypatch.setenv("COMP_CWORD", str(len(typed.split())))
    assert rnncli(prog_name="rnncli").stdout.strip() == expected


def on_a_terminal(start, *words, **environment):
    """Run a command with a terminal as stderr; the text on the terminal and stdout."""
    with terminal(120) as (theirs, shown):
        process = start(*words, stderr=theirs, **environment)
        seen = shown()
        assert process.wait() == 0
    return seen, process.stdout.read().decode()


@pytest.mark.alone
def test_a_bar_on_a_terminal_alone(start, fruit_config):
    train = ("train", fruit_config, "--fresh", "--epochs", 30)
    shown, stdout = on_a_terminal(start, *train, "--epochs", 500, TERM="xterm")
    assert re.search(r"\r[^\n]*epoch \d+/500, perplexity [\d.]+ over 15 tokens, [\d,]+ words/s", shown)
    assert "\r" not in stdout
    assert "\x1b" not in stdout
    plain, _ = on_a_terminal(start, *train, TERM="xterm", NO_COLOR="1")
    quiet, _ = on_a_terminal(start, *train, "--quiet", TERM="xterm")
    rows, stdout = on_a_terminal(start, *train, "--json", TERM="xterm")
    for text in (plain, quiet, rows):
        assert "\x1b" not in text
        assert "\r" not in text.replace("\r\n", "\n")
    assert json.loads(stdout.splitlines()[-1])["event"] == "done"
    assert "words/s" not in quiet


def test_as_a_module():
    result = subprocess.run([sys.executable, "-m", "rnncli", "--help"], capture_output=True, text=True, check=True)
    assert result.stdout.startswith("Usage: rnncli [OPTIONS]")
