import os
import signal
import subprocess
import sys
import time

import pytest

from rnncli.system.signals import HANDLED, Signals, Stopped


@pytest.mark.parametrize("name", HANDLED)
def test_the_first_signal_is_stored(name):
    number = getattr(signal, name)
    before = signal.getsignal(number)
    with Signals() as signals:
        signals.defer()
        assert (signals.received, signals.exit_code) == (None, 0)
        os.kill(os.getpid(), number)
        assert signals.received is number
        assert signals.exit_code == (0 if name == "SIGUSR1" else 128 + number)
    assert signal.getsignal(number) == before


@pytest.mark.parametrize("name", HANDLED)
def test_with_nothing_to_save_the_first_signal_stops(name):
    number = getattr(signal, name)
    with pytest.raises(Stopped) as stopped, Signals():
        os.kill(os.getpid(), number)
    assert stopped.value.code == (0 if name == "SIGUSR1" else 128 + number)


@pytest.mark.parametrize("name", HANDLED)
def test_a_signal_that_was_ignored_stays_ignored(name):
    number = getattr(signal, name)
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with Signals() as signals:
            signals.defer()
            os.kill(os.getpid(), number)
            assert (signals.received is None) == (name != "SIGINT")  # shells ignore it for each command with `&`
        assert signal.getsignal(number) == signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_the_system_may_repeat_a_signal():
    """SIGXCPU comes every second, and a closed terminal sends SIGHUP, as does the shell in it."""
    with Signals() as signals:
        signals.defer()
        for name in ("SIGXCPU", "SIGXCPU", "SIGHUP", "SIGUSR1", "SIGUSR2"):
            os.kill(os.getpid(), getattr(signal, name))
        assert (signals.received, signals.exit_code) == (signal.SIGXCPU, 152)


def test_a_second_signal_exits_at_once():
    program = (
        "import os, time; from rnncli.system.signals import Signals\n"
        "with Signals() as signals:\n"
        "    signals.defer()\n"
        "    print('ready', flush=True)\n"
        "    while signals.received is None: time.sleep(0.01)\n"
        "    print(signals.received.name, flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == b"SIGTERM\n"
        time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
