"""Run commands in separate processes, and measure their time and memory.

`Measured` starts this file as a program, which imports everything once and forks for each command.
"""

import json
import os
import resource
import subprocess
import sys
import time
import traceback
import warnings
from dataclasses import dataclass
from pathlib import Path

MOST_ADDRESSES = 8 << 30  # bytes: a command that allocates as much as a false header claims fails
KILLED_AFTER = 20.0  # seconds


@dataclass(frozen=True)
class Outcome:
    exit_code: int
    stdout: str
    stderr: str
    peak: int  # bytes
    seconds: float  # of CPU time; a command that sleeps is killed


class Measured:
    """Runs commands one at a time; a context manager."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def __enter__(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, __file__, str(self.folder)]
        self._server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_):
        self._server.stdin.close()
        self._server.wait(KILLED_AFTER)
        self._server.stdout.close()

    def run(self, *words, cwd=".", stdin=os.devnull):
        """Run `rnncli words…`; returns its output, memory and time."""
        asked = {"words": list(map(str, words)), "cwd": str(cwd), "stdin": str(stdin)}
        print(json.dumps(asked), file=self._server.stdin, flush=True)
        exit_code, peak, seconds = json.loads(self._server.stdout.readline())
        written = [(self.folder / name).read_bytes().decode(errors="backslashreplace") for name in ("stdout", "stderr")]
        return Outcome(exit_code, *written, peak, seconds)


def serve(folder):
    """Read one command a line from standard input, and answer with [exit code, peak memory in bytes, seconds]."""
    from importlib import import_module

    from rnncli.system.threads import prepare

    prepare()
    commands = ("inspect", "predict", "evaluate", "train")
    for name in (
        "api",
        "training.trainer",
        "training.memory_forecast",
        "config.yaml_file",
        "cli.display.perplexities",
        *(f"cli.{each}" for each in commands),
    ):
        import_module(f"rnncli.{name}")
    warnings.simplefilter("ignore", DeprecationWarning)  # a fork with threads of OpenBLAS, which it stops before a fork
    for line in sys.stdin.buffer:
        asked = json.loads(line)
        child = os.fork()
        if child == 0:
            run(asked, folder)
        status, seconds = wait(child, time.monotonic() + KILLED_AFTER)
        peak = folder / "peak"
        print(json.dumps([status, int(peak.read_text()) if peak.exists() else 0, seconds]), flush=True)
        peak.unlink(missing_ok=True)


def run(asked, folder):
    """In the child: run the command with its files and limits; never returns."""
    code = 1
    try:
        os.chdir(asked["cwd"])
        for number, path in enumerate((asked["stdin"], folder / "stdout", folder / "stderr")):
            flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            os.dup2(os.open(path, flags, 0o600), number)
        sys.stdin, sys.stdout, sys.stderr = (
            os.fdopen(0, encoding="utf-8", errors="surrogateescape"),
            os.fdopen(1, "w", encoding="utf-8"),
            os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1),
        )
        resource.setrlimit(resource.RLIMIT_AS, (MOST_ADDRESSES, MOST_ADDRESSES))
        from rnncli.cli import main

        main(asked["words"], prog_name="rnncli")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        status = Path("/proc/self/status").read_text()
        (folder / "peak").write_text(str(1024 * int(status.split("VmHWM:")[1].split()[0])))
        os._exit(code)


def wait(child, until):
    """Exit code of a child, killed by SIGKILL if it takes too long, and its CPU time in seconds."""
    while True:
        done, status, used = os.wait4(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime
        if time.monotonic() > until:
            os.kill(child, 9)
            until += KILLED_AFTER
        time.sleep(0.001)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
