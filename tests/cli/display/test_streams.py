"""Standard output and standard error that cannot be written."""

import errno
import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from rnncli.cli import main
from rnncli.cli.display import streams
from rnncli.errors import WriteError


class Failing(io.RawIOBase):
    """A file that fails, as long as `error` is set, with that number."""

    def __init__(self, error):
        self.error, self.written = error, b""

    def writable(self):
        return True

    def write(self, data):
        if self.error:
            raise OSError(self.error, os.strerror(self.error))
        self.written += bytes(data)
        return len(data)


def text(raw):
    return io.TextIOWrapper(io.BufferedWriter(raw), "utf-8", write_through=True)


@pytest.fixture
def command(monkeypatch):
    """Run a command whose standard streams fail with these numbers (0: do not fail); its exit code and output."""

    def run(*words, out=0, err=0):
        files = Failing(out), Failing(err)
        with monkeypatch.context() as patched:
            patched.setattr(sys, "stdout", text(files[0]))
            patched.setattr(sys, "stderr", text(files[1]))
            with pytest.raises(SystemExit) as end:
                main([str(word) for word in words])
        return end.value.code, *(file.written.decode() for file in files)

    return run


LOST = [errno.ENOSPC, errno.EPIPE, errno.EIO]


@pytest.mark.parametrize("error", LOST, ids=map(errno.errorcode.get, LOST))
def test_training_goes_on_without_its_output(command, fruit, fruit_config, error):
    train = ("train", fruit_config, "--set", "run.dir=run", "--json")
    stopped = f"output stopped: {os.strerror(error)}; training continues\n"
    code, _, messages = command(*train, "--epochs", 5, out=error)
    assert (code, messages.count(stopped)) == (0, 1)
    assert command(*train, "--fresh", out=error, err=error) == (0, "", "")
    name = "checkpoints/step-00000150.npz"
    assert Path("run", name).read_bytes() == Path(fruit, name).read_bytes()


def test_output_that_can_be_written_again_is_written(monkeypatch):
    file = Failing(errno.ENOSPC)
    monkeypatch.setattr(sys, "stderr", text(file))
    with streams.standard_streams():
        print("lost", file=sys.stderr)
        file.error = 0
        print("kept", file=sys.stderr)
    assert file.written == b"kept\n"


@pytest.mark.parametrize("words", [["predict", "--samples", "0"], ["inspect"], ["--help"], ["predict", "--help"]])
def test_a_result_that_cannot_be_written(command, fruit, monkeypatch, words):
    monkeypatch.chdir(fruit)
    remedy = "free some space, or write elsewhere\n"
    code, _, message = command(*words, out=errno.ENOSPC)
    assert (code, message.splitlines(True)[-1]) == (7, f"standard output: no space left; {remedy}")
    code, _, message = command(*words, out=errno.EIO)
    assert (code, message.splitlines(True)[-1]) == (7, f"standard output: Input/output error; {remedy}")
    code, _, message = command(*words, out=errno.EPIPE)  # head has seen enough
    assert code == 0
    assert "output" not in message


def test_a_message_that_cannot_be_written(command, work):
    assert command("predict", err=errno.ENOSPC) == (5, "", "")
    assert command("trian", err=errno.EPIPE) == (2, "", "")


def test_a_pipe_that_does_not_block_is_waited_for():
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with open(reader, "rb", buffering=0) as read, open(writer, "wb", buffering=0) as below:
        while below.write(b"x" * 4096):  # until it is full
            pass
        thread = threading.Thread(target=streams.Sink(below, True).write, args=(b"end",))
        thread.start()
        thread.join(0.05)
        assert thread.is_alive()
        seen = b""
        while not seen.endswith(b"xend"):
            seen += read.read(1 << 20)
        thread.join()


def test_the_rest_of_a_required_stream_is_dropped():
    sink = streams.Sink(Failing(errno.ENOSPC), True)
    with pytest.raises(WriteError):
        sink.write(b"a")
    assert sink.write(b"b") == 1  # so that nothing fails when the interpreter exits


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")
@pytest.mark.parametrize("redirection", ["2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_not_taken_by_files(fruit, fruit_config, redirection):
    words = [sys.executable, "-m", "rnncli", "train", fruit_config, "--set", "run.dir=run"]
    result = subprocess.run(["sh", "-c", f'"$@" {redirection}', "sh", *words], capture_output=True, check=False)
    assert (result.returncode, result.stderr) == (0, b"")
    for name in ("checkpoints/step-00000150.npz", "vocabulary.txt"):
        assert Path("run", name).read_bytes() == Path(fruit, name).read_bytes()


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")
def test_closed_descriptors_become_the_null_device():
    program = (
        "import os\nfrom rnncli.cli.display.streams import standard_streams\n"
        "null = os.stat(os.devnull).st_rdev\n"
        "with standard_streams(): raise SystemExit(sum(os.fstat(i).st_rdev == null for i in range(3)))"
    )
    result = subprocess.run(["sh", "-c", '"$@" <&- >&- 2>&-', "sh", sys.executable, "-c", program], check=False)
    assert result.returncode == 3
