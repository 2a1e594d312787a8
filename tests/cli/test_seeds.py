"""Seeds that come one per line, typed or from a pipe."""

import io
import os
import pty
import select
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from rnncli.cli import seeds


class Typed(io.TextIOWrapper):
    """Standard input that passes for a terminal."""

    def isatty(self):
        return True


def test_a_line_that_the_terminal_cut_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", Typed(io.BytesIO(b"a b\n" + b"a" * 4095 + b"\nc\xff\n")))
    assert list(seeds.typed()) == ["a b", "c\udcff"]
    assert "at most 4,095 bytes of a line" in capsys.readouterr().err


def test_a_long_line_of_a_pipe_is_whole(monkeypatch, capsys):
    monkeypatch.setattr("rnncli.text.lines.LONGEST_HELD", 1000)
    monkeypatch.setattr("rnncli.text.lines.CHUNK", 300)
    long = "é b" * 2000
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f"\ufeffa\r\n{long}\r\n\nb\r".encode())))
    assert list(seeds.typed()) == ["a", long, "", "b"]
    assert capsys.readouterr().err == ""


def test_each_line_is_answered_before_the_next_is_written(monkeypatch):
    read, write = os.pipe()
    with open(read) as stdin, ThreadPoolExecutor(1) as pool, open(write, "wb", buffering=0) as pipe:
        monkeypatch.setattr(sys, "stdin", stdin)
        found = seeds.typed()
        for seed in ("a", "b c"):
            pipe.write(f"{seed}\n".encode())
            assert pool.submit(next, found).result(timeout=20) == seed
        pipe.close()
        assert list(found) == []


@pytest.mark.alone
def test_arrows_edit_a_line_and_bring_back_the_last():
    pytest.importorskip("readline")
    ours, theirs = pty.openpty()
    program = "from rnncli.cli import seeds; print([*seeds.typed()])"
    process = subprocess.Popen([sys.executable, "-c", program], stdin=theirs, stdout=theirs)
    os.close(theirs)
    output = b""
    for keys in (b"ab\x1b[Dx\r", b"\x1b[A" + b"y" * 5000 + b"\r", b"\x04"):
        while not output.endswith(b"> "):
            assert select.select([ours], [], [], 20)[0]
            output += os.read(ours, 1 << 16)
        output = b""
        os.write(ours, keys)
    try:
        while True:
            output += os.read(ours, 1 << 16)
    except OSError:  # EIO: the process has ended
        os.close(ours)
    assert process.wait() == 0
    assert str(["axb", "axb" + "y" * 5000]).encode() in output.replace(b"\r\n", b"")
