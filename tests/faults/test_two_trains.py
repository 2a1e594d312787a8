"""Two trainings on one folder at once, of which one wins; and commands that read while a training goes on."""

import shutil
import signal
import socket
import time
from types import SimpleNamespace

import pytest
from support.tiny import Whole, config_in, here, start, train_words

from rnncli.runs import checkpoint_file
from rnncli.runs.folder import RunFolder

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="needs flock and signals")

ROUND = 20  # epochs; a run that was stopped is resumed to the next multiple of it


@pytest.fixture(scope="module")
def endless(tmp_path_factory):
    """A config that is never done and saves every step, a run of it that was stopped, and how lone runs of it end."""
    folder = tmp_path_factory.mktemp("endless")
    config = config_in(folder, rate=0.01, epochs=1000000, keep=1, every=1)
    stopped = folder / "stopped"
    result = here(*train_words(config, stopped, "--epochs", 2))
    assert result.exit_code == 0, result.stderr
    return SimpleNamespace(config=config, folder=folder, stopped=stopped, lone={})


def lone(endless, epochs):
    """How a run of so many epochs ends on which no other process ever was."""
    if epochs not in endless.lone:
        endless.lone[epochs] = Whole(endless.config, endless.folder / f"lone-{epochs}", "--epochs", epochs)
    return endless.lone[epochs]


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.npz")}


def first_to_end(processes):
    until = time.monotonic() + 100
    while time.monotonic() < until:
        for process in processes:
            if process.poll() is not None:
                return process
        time.sleep(0.005)
    raise AssertionError("both go on")


# The command line where it takes a while to rename a folder.
SLOW_MOVE = """
import os, time
real = os.rename

def rename(source, target, **more):
    time.sleep(0.06 * os.path.isdir(source))
    real(source, target, **more)

os.rename = rename
from rnncli.cli import main
main()
"""


def contest(endless, run, words, pause, program):
    """Two at once: one goes on, is stopped at last, and has all to itself."""
    processes = []
    for _ in range(2):
        processes.append(start(run.parent, train_words(endless.config, run, *words), program=program))
        time.sleep(pause * (len(processes) == 1))
    try:
        loser = first_to_end(processes)
        [winner] = [process for process in processes if process is not loser]
        told = loser.communicate()[1].decode()
        assert loser.returncode == 8, f"{words}: {loser.returncode} {told}"
        assert f"in use by process {winner.pid} on {socket.gethostname()}" in told
        assert "Traceback" not in told
        path = run / "metrics.jsonl"
        rows = path.read_bytes().count(b"\n") if path.exists() else 0
        while not path.exists() or path.read_bytes().count(b"\n") < rows + 3:
            assert winner.poll() is None, f"{words}: {winner.communicate()}"
            time.sleep(0.005)
        winner.send_signal(signal.SIGUSR1)
        stderr = winner.communicate(timeout=100)[1].decode()
        assert winner.returncode == 0, f"{words}: {winner.returncode} {stderr}"
        assert "stopped by SIGUSR1" in stderr, stderr
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    epochs = checkpoint_file.verify(RunFolder(run).checkpoints()[-1])["epoch"] // ROUND * ROUND + ROUND
    lone(endless, epochs).is_what_resuming_gives(run)


@pytest.mark.parametrize("words", [[], ["--resume"], ["--fresh"]], ids=str)
def test_one_of_two_wins(endless, soak, tmp_path, words):
    times = soak.times(1, 34)
    for number in range(times):
        folder = tmp_path / str(number)
        folder.mkdir()
        run = folder / "run"
        if words:
            shutil.copytree(endless.stopped, run)
        slow = ("-c", SLOW_MOVE) if words == ["--fresh"] and number % 2 == 0 else ("-m", "rnncli")
        contest(endless, run, words, soak.random.choice([0, soak.random.uniform(0, 0.1)]), slow)
        aside = [folder / "run.1"] if words == ["--fresh"] else []
        assert sorted(folder.iterdir()) == [run, *aside]
        assert all(contents(each) == contents(endless.stopped) for each in aside)
        shutil.rmtree(folder)
    soak.report(f"two at once, {times} times {words}: exactly one won")


@pytest.fixture
def going_on(endless, tmp_path):
    """Start a training that replaces its only checkpoint at every step, and wait for the first."""
    started = []

    def run(*words):
        run = tmp_path / "run"
        process = start(tmp_path, train_words(endless.config, run, *words))
        started.append(process)
        while not RunFolder(run).checkpoints():
            assert process.poll() is None, process.communicate()
            time.sleep(0.001)
        return process, run

    yield run
    for process in started:
        process.kill()
        process.communicate()


def steps_taken(run):
    return int(RunFolder(run).last()[0].stem.removeprefix("step-"))


def test_a_training_that_goes_on_keeps_others_out(endless, soak, going_on):
    process, run = going_on("--set", "data.valid=null")
    times, wrong = soak.times(4, 150), []
    for _ in range(times):
        for words in ([], ["--resume"], ["--fresh"]):
            try:
                result = here(*train_words(endless.config, run, *words))
            except OSError as error:
                wrong.append(f"{words}: {error!r}")
            else:
                if result.exit_code != 8 or f"in use by process {process.pid} on" not in result.stderr:
                    wrong.append(f"{words}: {result.exit_code} {result.stderr}")
    assert process.poll() is None, process.communicate()
    soak.report(f"{3 * times} more trainings kept out while one saved {steps_taken(run)} times")
    assert not wrong, f"{len(wrong)} of {3 * times}: " + "\n".join(wrong[:20])


@pytest.mark.parametrize("valid", ["null", "text.txt"])
def test_reading_while_a_training_replaces_its_only_checkpoint(endless, soak, going_on, valid):
    text = endless.folder / "text.txt"
    process, run = going_on("--set", f"data.valid={valid if valid == 'null' else text}")
    commands = [
        ("predict", "--run", run, "--seed", "mango", "--json"),
        ("evaluate", "--run", run, text, "--json"),
        ("inspect", run, "--json"),
    ]
    times, wrong = soak.times(20, 1000), []
    for _ in range(times):
        for words in commands:
            try:
                result = here(*words)
            except OSError as error:
                wrong.append(f"{words[0]}: {error!r}")
            else:
                wrong += [f"{words[0]}: {result.exit_code} {result.stderr}"] if result.exit_code else []
    assert process.poll() is None, process.communicate()
    soak.report(f"{times} times predict, evaluate and inspect while a training saved {steps_taken(run)} times")
    assert not wrong, f"{len(wrong)} of {times * len(commands)}: " + "\n".join(wrong[:20])
