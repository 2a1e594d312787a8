"""Two processes train in one folder at once, and exactly one gets it; other commands read while a training runs."""

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
    """A config that trains without end and saves every step, a stopped run of it, and results of lone runs."""
    folder = tmp_path_factory.mktemp("endless")
    config = config_in(folder, rate=0.01, epochs=1000000, keep=1, every=1)
    stopped = folder / "stopped"
    result = here(*train_words(config, stopped, "--epochs", 2))
    assert result.exit_code == 0, result.stderr
    return SimpleNamespace(config=config, folder=folder, stopped=stopped, lone_results={})


def lone_result(endless, epochs):
    """Result of a run of this many epochs without another process."""
    if epochs not in endless.lone_results:
        endless.lone_results[epochs] = Whole(endless.config, endless.folder / f"lone-{epochs}", "--epochs", epochs)
    return endless.lone_results[epochs]


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.npz")}


def first_to_end(processes):
    until = time.monotonic() + 100
    while time.monotonic() < until:
        for process in processes:
            if process.poll() is not None:
                return process
        time.sleep(0.005)
    raise AssertionError("neither process ended")


# The command line with a slow rename of folders.
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
    """Start two at once: one is refused, the other trains until it is stopped, and its run is as if it were alone."""
    processes = []
    for _ in range(2):
        processes.append(start(run.parent, train_words(endless.config, run, *words), program=program))
        time.sleep(pause * (len(processes) == 1))
    try:
        loser = first_to_end(processes)
        [winner] = [process for process in processes if process is not loser]
        loser_stderr = loser.communicate()[1].decode()
        assert loser.returncode == 8, f"{words}: {loser.returncode} {loser_stderr}"
        assert f"in use by process {winner.pid} on {socket.gethostname()}" in loser_stderr
        assert "Traceback" not in loser_stderr
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
    lone_result(endless, epochs).assert_resuming_reproduces_it(run)


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
def running_training(endless, tmp_path):
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


def test_a_running_training_keeps_others_out(endless, soak, running_training):
    process, run = running_training("--set", "data.valid=null")
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
def test_reading_while_a_training_replaces_its_only_checkpoint(endless, soak, running_training, valid):
    text = endless.folder / "text.txt"
    process, run = running_training("--set", f"data.valid={valid if valid == 'null' else text}")
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
