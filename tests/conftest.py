"""What every test starts from: the threads that a command would set, and how the property tests search.

They search without a clock, and in continuous integration over the same examples each time. `--soak SEED` makes the
tests of faults long, as `make soak` does.
"""

import os
import tempfile

import pytest
from hypothesis import settings
from support.soaking import Soak

from rnncli.system.threads import prepare

# No test reads or writes the cache of whoever runs them.
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="rnncli-tests-")

prepare()  # before NumPy is imported: what is computed here and by a command in another process has the same bits

settings.register_profile("steady", deadline=None, derandomize="CI" in os.environ)
settings.register_profile("soak", deadline=None, max_examples=3000, derandomize=False)
settings.load_profile("steady")


def pytest_addoption(parser):
    parser.addoption("--soak", type=int, metavar="SEED", help="the tests of faults in full, drawn from this seed")


@pytest.fixture
def soak(request):
    """How much a test of faults tries, and what it draws from."""
    return Soak(request.config.getoption("--soak"), request.node.nodeid)
