"""Files in a run folder that are not part of the run are neither overwritten nor moved."""

import subprocess
import sys

import pytest


@pytest.fixture
def mine(tmp_path):
    (tmp_path / "fruit.txt").write_text("mango is yellow\n" * 3)
    (tmp_path / "my.yaml").write_text("data: {train: fruit.txt}\nrun: {dir: .}\ntraining: {epochs: 2}\n")
    return tmp_path


def rnncli(folder, *arguments):
    command = [sys.executable, "-m", "rnncli", *arguments]
    return subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True)


@pytest.mark.parametrize("name", ["config.yaml", "vocabulary.txt"])
def test_a_file_of_the_user_is_not_written_over(mine, name):
    (mine / name).write_text("mine")
    result = rnncli(mine, "train", "my.yaml")
    assert (result.returncode, result.stdout) == (2, "")
    assert f"{name}: exists, but belongs to no run; set another run.dir" in result.stderr
    assert (mine / name).read_text() == "mine"


def test_a_folder_with_more_than_a_run_is_not_moved_aside(mine):
    assert rnncli(mine, "train", "my.yaml").returncode == 0
    before = sorted(mine.rglob("*"))
    result = rnncli(mine, "train", "my.yaml", "--fresh")
    assert result.returncode == 2
    assert "contains fruit.txt, which is not part of the run" in result.stderr
    assert sorted(mine.rglob("*")) == before


def test_training_continues_when_its_output_is_closed(mine):
    command = f"{sys.executable} -m rnncli train my.yaml --set training.epochs=50 2>&1 | true"
    subprocess.run(["bash", "-c", command], cwd=mine, check=True)
    assert "finished already, after 50 epochs" in rnncli(mine, "train", "my.yaml", "--epochs", "50").stderr


def test_training_continues_when_its_output_is_full(mine):
    with open("/dev/full", "wb") as full:
        command = [sys.executable, "-m", "rnncli", "train", "my.yaml", "--json"]
        result = subprocess.run(command, check=False, cwd=mine, stdout=full, stderr=subprocess.PIPE, text=True)
    assert result.returncode == 0
    assert "output stopped: No space left on device; training continues" in result.stderr
    assert "finished already, after 2 epochs" in rnncli(mine, "train", "my.yaml").stderr
