"""Setup of every test: the number of threads that a command would set, and the profiles of the property tests.

These have no deadline, and in continuous integration use the same examples each time. `--soak SEED` runs the fault
tests in full, as `make soak` does.
"""

import os
import signal
import tempfile

import pytest
from hypothesis import settings
from support.soaking import Soak

from rnncli.system.threads import prepare

# No test reads or writes the user's cache.
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="rnncli-tests-")

# Under nohup it is ignored, and so it is in the commands that the tests start.
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

prepare()  # before NumPy is imported, so that results here and in another process have the same bits

settings.register_profile("steady", deadline=None, max_examples=50, derandomize="CI" in os.environ)
settings.register_profile("soak", deadline=None, max_examples=3000, derandomize=False)
settings.load_profile("steady")


def pytest_addoption(parser):
    parser.addoption("--soak", type=int, metavar="SEED", help="run the fault tests in full, with this seed")


@pytest.fixture
def soak(request):
    """Number of trials and random generator of a fault test."""
    return Soak(request.config.getoption("--soak"), request.node.nodeid)
